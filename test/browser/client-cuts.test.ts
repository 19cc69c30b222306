/** The client in a browser whose network or server goes away in the middle. */
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { atEnd } from "../support/cleanup.js";
import { type ClientApp, createIn, ended, openClientApp, shown, upTo } from "../support/client-page.js";
import { openHost } from "../support/control.js";

const browser = sharedBrowser();
/** Chromium writes each request that fails to the console, even if the page handles it. */
const complaints = /^Failed to load resource: (net::ERR_|the server responded with a status of 4(04|10) )/;

/** A page that has shown the first three items of a runner. */
async function openFollowing(): Promise<{ app: ClientApp; page: Page; key: string }> {
  const app = await openClientApp(browser, { complaints });
  const page = await app.open();
  const [key] = await createIn(page, "rows", "a");
  app.source("a").push(1, 2, 3);
  await shown(page, "a", 3);
  return { app, page, key: key! };
}

/** Waits until the connection has failed and waits for another try, for the so-manieth time. */
async function waits(page: Page, times = 1, state = "retrying"): Promise<void> {
  const isWaiting = ([times, state]: readonly [number, string]) =>
    window.watched.a!.connections.filter((each) => each === `${state}: SERVER_UNAVAILABLE`).length >= times;
  await page.waitForFunction(isWaiting, [times, state] as const, { polling: 20 });
}

async function endsWith(app: ClientApp, page: Page, last: number): Promise<void> {
  app.source("a").end();
  expect(await ended(page, "a")).toBe("completed");
  expect(await shown(page, "a", last)).toEqual(upTo(last));
}

async function goOffline(offline: boolean): Promise<void> {
  await browser.context.setOffline(offline);
}

describe.skipIf(!browserPath)("the client in Chromium", () => {
  test("without a network waits, and when it is back catches up at once, in order", async () => {
    const { app, page } = await openFollowing();
    // From here on no timer ends a wait: only the event can.
    await page.evaluate(() => Object.assign(window, { setTimeout: () => 0 }));
    atEnd(() => goOffline(false));
    await goOffline(true);
    app.cut();
    await waits(page, 1, "offline");
    app.source("a").push(4, 5, 6);
    expect(app.traffic.live.size).toBe(0);
    await goOffline(false);
    await shown(page, "a", 6);
    app.source("a").push(7);
    await endsWith(app, page, 7);
  });

  test("loses and repeats nothing when the network comes and goes while items come", async () => {
    const { app, page } = await openFollowing();
    atEnd(() => goOffline(false));
    for (let last = 3; last < 60; last += 10) {
      app.source("a").push(...upTo(last + 4, last + 1));
      await goOffline(true);
      app.source("a").push(...upTo(last + 7, last + 5));
      if (last % 20 === 3) app.cut(); // otherwise the connection may outlast it
      await goOffline(false);
      app.source("a").push(...upTo(last + 10, last + 8));
    }
    await shown(page, "a", 63);
    await endsWith(app, page, 63);
  });

  test("goes on when its server has been away for a while", async () => {
    const { app, page } = await openFollowing();
    await app.stop();
    app.source("a").push(4, 5, 6);
    await waits(page, 2);
    await app.start();
    await shown(page, "a", 6);
    await endsWith(app, page, 6);
    expect(app.begun("a")).toBe(1);
  });

  test("goes on when its connection is cut, again and again", async () => {
    const { app, page } = await openFollowing();
    for (let next = 4; next <= 12; next++) {
      app.cut();
      app.source("a").push(next);
      await shown(page, "a", next);
    }
    await endsWith(app, page, 12);
  });

  test.each([
    ["that knows its sessions no more", undefined],
    ["with the same secret", "the secret of both"],
  ])("is told that the runner is gone by a new process %s, and can start again", async (_, secret) => {
    const app = await openClientApp(browser, { complaints, sessions: openHost({ secret }) });
    const page = await app.open();
    await createIn(page, "rows", "a");
    app.source("a").push(1, 2, 3);
    await shown(page, "a", 3);
    await app.stop();
    await app.sessions.close();
    await app.start(openHost({ secret }));
    expect(await ended(page, "a")).toBe("RUNNER_GONE");
    expect(await shown(page, "a", 3)).toEqual([1, 2, 3]);
    expect(await page.evaluate(() => window.watched.a!.connections.at(-1))).toBe("closed");
    await createIn(page, "rows", "b");
    app.source("b").push(1);
    expect(await shown(page, "b", 1)).toEqual([1]);
  });
});
