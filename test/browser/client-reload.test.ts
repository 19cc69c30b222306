/** The client in a browser whose page is loaded again in the middle. */
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import type { RunnerFollower } from "../../src/client.js";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { openClientApp, shown, upTo } from "../support/client-page.js";
import { waitUntil } from "../support/patience.js";

const browser = sharedBrowser();

/**
 * What the page of an application does whenever it is loaded: goes on with what is kept for the tab, or begins. What it has shown
 * is kept, too; an update is shown when `isBusy` does not hold it up.
 */
function load(page: Page, { isBusy = false, minItems }: { isBusy?: boolean; minItems?: number } = {}): Promise<void> {
  return page.evaluate(
    async ({ isBusy, minItems }) => {
      const { createClient, savedRunner } = window.library;
      const saved = savedRunner(createClient("/runners"), "rows");
      const runner: RunnerFollower =
        (await saved.resume()) ?? (await saved.create("rows", "a", minItems ? { minItems, timeout: 60 } : {}));
      const shown: unknown[] = JSON.parse(sessionStorage.getItem("shown") ?? "[]");
      void runner.forEach(async ({ items }) => {
        if (items.length > 0) document.title = "Items have come";
        if (items.length > 0 && isBusy) await new Promise(() => {});
        shown.push(...items);
        sessionStorage.setItem("shown", JSON.stringify(shown));
        document.title = `${shown.length} shown`;
      });
    },
    { isBusy, ...(minItems && { minItems }) },
  );
}

async function says(page: Page, title: string): Promise<void> {
  await page.waitForFunction((title) => document.title === title, title, { polling: 20 });
}

const shownIn = (page: Page) => page.evaluate(() => JSON.parse(sessionStorage.getItem("shown") ?? "[]"));

describe.skipIf(!browserPath)("the client in Chromium, when its page is loaded again", () => {
  test("goes on where it was: nothing is lost or repeated, though nothing is kept that was acknowledged", async () => {
    const app = await openClientApp(browser);
    const page = await app.open();
    await load(page);
    let last = 0;
    const push = (count: number) => {
      app.source("a").push(...upTo(last + count, last + 1));
      last += count;
    };
    for (let reload = 0; reload < 5; reload++) {
      push(600); // more than half of what may be ahead, so that some is acknowledged in between
      if (reload % 2 === 0) await says(page, `${last} shown`);
      const reloaded = page.reload();
      push(10);
      await reloaded;
      push(10);
      await load(page);
    }
    await says(page, `${last} shown`);
    expect(await shownIn(page)).toEqual(upTo(last));
    expect(app.begun("a")).toBe(1);
  });

  test("is given the update again that it was still at work on", async () => {
    const app = await openClientApp(browser);
    const page = await app.open();
    await load(page);
    app.source("a").push(1, 2);
    await says(page, "2 shown");
    await page.reload();
    await load(page, { isBusy: true });
    app.source("a").push(3, 4);
    await says(page, "Items have come");
    await page.reload();
    await load(page);
    await says(page, "4 shown");
    expect(await shownIn(page)).toEqual([1, 2, 3, 4]);
  });

  test("knows its runner while it is still at work on the first page", async () => {
    const app = await openClientApp(browser);
    const page = await app.open();
    app.source("a").push(1, 2, 3);
    await load(page, { isBusy: true, minItems: 3 });
    await says(page, "Items have come");
    await page.reload();
    await load(page);
    expect(app.begun("a")).toBe(1);
    await says(page, "3 shown");
    expect(await shownIn(page)).toEqual([1, 2, 3]);
  });

  test("shows everything again from the beginning, and what is new, of a runner that keeps all", async () => {
    const app = await openClientApp(browser);
    const page = await app.open();
    const start = () =>
      page.evaluate(async () => {
        const { createClient, savedRunner } = window.library;
        const saved = savedRunner(createClient("/runners"), "kept");
        window.watch("a", (await saved.resume({ offset: "earliest" })) ?? (await saved.create("kept", "a")));
      });
    await start();
    for (let last = 700; last <= 2100; last += 700) {
      app.source("a").push(...upTo(last, last - 699));
      expect(await shown(page, "a", last)).toEqual(upTo(last));
      await page.reload();
      await start();
    }
    expect(await shown(page, "a", 2100)).toEqual(upTo(2100));
    expect(app.begun("a")).toBe(1);
  });

  test("makes one runner of a creation that was not answered yet", async () => {
    const app = await openClientApp(browser);
    const page = await app.openKnown();
    const start = () =>
      page.evaluate(async () => {
        const { createClient, savedRunner } = window.library;
        const saved = savedRunner(createClient("/runners"), "rows");
        const created = saved.creation ? saved.resume() : saved.create("rows", "a", { minItems: 2, timeout: 60 });
        void created.then((runner) => window.watch("a", runner!));
      });
    await start();
    await waitUntil(() => app.begun("a") === 1);
    app.source("a").push(1); // not enough for an answer
    await page.reload();
    await start();
    await waitUntil(() => app.traffic.requests.filter((request) => request.startsWith("POST ")).length === 2);
    app.source("a").push(2, 3);
    expect(await shown(page, "a", 3)).toEqual([1, 2, 3]);
    expect(app.begun("a")).toBe(1);
    expect(app.sessions.stats()).toMatchObject({ sessions: 1, runners: 1 });
  });
});
