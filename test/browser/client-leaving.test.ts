/** The client in a browser whose page is left. The browser keeps the page, frozen, for the case that the user comes back. */
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { createIn, ended, openClientApp, shown, upTo } from "../support/client-page.js";
import { waitUntil } from "../support/patience.js";

const browser = sharedBrowser({ keepsPages: true });

/** Goes back to the page that has made runners. */
async function goBack(page: Page): Promise<void> {
  await page.evaluate(() => void setTimeout(() => history.back()));
  await page.waitForFunction(() => location.search === "", undefined, { polling: 20 });
}

describe.skipIf(!browserPath)("the client in Chromium, when its page is left", () => {
  test("leaves no response open, and goes on without loss when the user comes back", async () => {
    const app = await openClientApp(browser);
    const page = await app.openKnown();
    await createIn(page, "rows", "a", "b");
    for (const name of ["a", "b"]) app.source(name).push(1, 2);
    for (const name of ["a", "b"]) await shown(page, name, 2);
    await waitUntil(() => app.traffic.live.size === 2);
    await page.evaluate(() => {
      document.title = "not loaded again";
    });
    await page.goto(`${app.url}/?other`);
    await waitUntil(() => app.traffic.live.size === 0);
    await waitUntil(() => app.sessions.stats().openReads === 0);
    for (const name of ["a", "b"]) app.source(name).push(3);
    await goBack(page);
    expect(await page.title()).toBe("not loaded again");
    for (const name of ["a", "b"]) expect(await shown(page, name, 3)).toEqual(upTo(3));
    for (const name of ["a", "b"]) app.source(name).end();
    for (const name of ["a", "b"]) expect(await ended(page, name)).toBe("completed");
  });

  test("takes no connection from the pages that follow, which do not know of each other where there are no locks", async () => {
    const app = await openClientApp(browser);
    const page = await app.openKnown();
    for (let visit = 1; visit <= 4; visit++) {
      await page.goto(`${app.url}/?${visit}`);
      await page.evaluate(async () => {
        const client = window.library.createClient("/runners", { connections: Number.POSITIVE_INFINITY });
        for (const name of ["a", "b"]) window.watch(name, await client.create("rows", name + location.search));
      });
      await waitUntil(() => app.traffic.live.size === 2);
    }
  });
});
