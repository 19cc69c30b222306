/** The client in a browser creates runners by a relative URL, gives creations up, and is left. */
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { type ClientApp, createIn, ended, openClientApp, shown } from "../support/client-page.js";
import { waitUntil } from "../support/patience.js";

const browser = sharedBrowser();

declare global {
  interface Window {
    /** Gives up the creation that has been begun, and tells what it ended with. */
    giveUp(): Promise<unknown>;
  }
}

/** Begins a creation that is not answered before there is an item. */
async function beginCreation(app: ClientApp, page: Page): Promise<void> {
  await page.evaluate(() => {
    const stop = new AbortController();
    const options = { signal: stop.signal, minItems: 1, timeout: 60 };
    const created = window.library.createClient("/runners").create("rows", "a", options);
    const outcome = created.then(
      () => "created",
      (error) => error,
    );
    window.giveUp = () => {
      stop.abort("no longer wanted");
      return outcome;
    };
  });
  await waitUntil(() => app.begun("a") === 1);
}

describe.skipIf(!browserPath)("the client in Chromium", () => {
  test("creates by a relative URL from any path, with the cookie that the first answer has set", async () => {
    const app = await openClientApp(browser);
    const page = await app.open();
    await page.evaluate(() => history.replaceState(null, "", "/deep/down/"));
    expect(await browser.context.cookies(app.url)).toEqual([]);
    await createIn(page, "rows", "a");
    const cookies = await browser.context.cookies(app.url);
    expect(cookies).toMatchObject([{ name: "active-session", httpOnly: true, sameSite: "Lax" }]);
    app.source("a").push(1, 2);
    expect(await shown(page, "a", 2)).toEqual([1, 2]);
    await createIn(page, "rows", "b");
    const names = () => window.library.createClient("/runners/").list();
    expect(await page.evaluate(names)).toMatchObject([{ name: "rows" }, { name: "rows" }]);
    expect(await browser.context.cookies(app.url)).toEqual(cookies);
    expect(app.sessions.stats()).toMatchObject({ sessions: 1, runners: 2 });
    app.source("a").end();
    expect(await ended(page, "a")).toBe("completed");
  });

  test("on a first visit gets one session for several creations at once", async () => {
    const app = await openClientApp(browser);
    const page = await app.open();
    await createIn(page, "rows", "a", "b", "c");
    expect(app.sessions.stats()).toMatchObject({ sessions: 1, runners: 3 });
    expect(await page.evaluate(() => window.library.createClient("/runners/").list())).toHaveLength(3);
    expect(await browser.context.cookies(app.url)).toHaveLength(1);
  });

  test("that gives up a creation stops its work on the server", async () => {
    const app = await openClientApp(browser);
    const page = await app.openKnown();
    await beginCreation(app, page);
    expect(await page.evaluate(() => window.giveUp())).toBe("no longer wanted");
    await waitUntil(() => app.source("a").returns === 1);
    expect(app.sessions.stats().openReads).toBe(0);
  });

  test("leaves no response open, be it of a runner that is followed or of a creation, when its page is left", async () => {
    const app = await openClientApp(browser);
    const page = await app.openKnown();
    await createIn(page, "rows", "b", "c");
    await beginCreation(app, page);
    await waitUntil(() => app.traffic.live.size === 2);
    await page.goto("about:blank");
    await waitUntil(() => app.traffic.live.size === 0);
    await waitUntil(() => app.sessions.stats().openReads === 0);
  });
});
