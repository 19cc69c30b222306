/**
 * The client in a browser that has six connections to a server, over HTTP/1.1 and for all tabs: many runners at once share them,
 * and leave some for everything else.
 */
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { type ClientApp, createIn, openClientApp, upTo } from "../support/client-page.js";
import { waitUntil } from "../support/patience.js";

const browser = sharedBrowser();
const ten = (tab: string) => upTo(10).map((n) => `${tab}${n}`);

interface Tab {
  readonly page: Page;
  /** The names of its ten runners. */
  readonly names: readonly string[];
}

/** Tabs that follow ten runners each. */
async function openTabs(app: ClientApp, ...tabs: string[]): Promise<Tab[]> {
  const opened: Tab[] = [];
  for (const tab of tabs) {
    const page = await app.openKnown();
    await createIn(page, "rows", ...ten(tab));
    opened.push({ page, names: ten(tab) });
  }
  return opened;
}

/** Waits, in all tabs, until each of the runners has given so many items and, if `over`, has ended; they are the first numbers. */
async function expectShown(tabs: readonly Tab[], count: number, over = false): Promise<void> {
  for (const { page, names } of tabs) {
    const isSo = ([names, count, over]: readonly [readonly string[], number, boolean]) => {
      const watched = names.map((name) => window.watched[name]);
      return watched.every((seen) => seen && seen.items.length >= count && (seen.end || !over)) && watched;
    };
    const watched = await page.waitForFunction(isSo, [names, count, over] as const, { polling: 20 });
    const expected = { items: upTo(count), ...(over && { end: "completed" }) };
    expect(await watched.jsonValue()).toMatchObject(names.map(() => expected));
  }
}

/** Gives every runner the next item, and waits until that is shown. */
async function give(app: ClientApp, tabs: readonly Tab[], item: number): Promise<void> {
  for (const name of tabs.flatMap(({ names }) => names)) app.source(name).push(item);
  await expectShown(tabs, item);
}

/** Gives every runner its last item, and waits until that is shown. */
async function end(app: ClientApp, tabs: readonly Tab[], item: number): Promise<void> {
  for (const name of tabs.flatMap(({ names }) => names)) {
    app.source(name).push(item);
    app.source(name).end();
  }
  await expectShown(tabs, item, true);
}

/** What a user does meanwhile: asks for something and waits for the answer. */
const click = ({ page }: Tab) => page.evaluate(async () => (await fetch("/click")).text());

describe.skipIf(!browserPath)("the client in Chromium", () => {
  test.each([
    ["one tab", ["a"]],
    ["three tabs", ["a", "b", "c"]],
  ])(
    "in %s lets four connections stand for ten runners each, gives everything, and leaves room for a click",
    async (_, names) => {
      const app = await openClientApp(browser);
      const tabs = await openTabs(app, ...names);
      await give(app, tabs, 1);
      await waitUntil(() => app.traffic.live.size === 4);
      // All that stands goes on standing: nothing has anything to say until the clicks have been answered.
      for (const tab of tabs) expect(await click(tab)).toBe("answered");
      expect(app.traffic.live.size).toBe(4);
      await end(app, tabs, 2);
      expect(app.traffic.mostLive).toBe(4);
      expect(app.traffic.mostConnections).toBeLessThanOrEqual(6);
      expect(app.sessions.stats()).toMatchObject({ sessions: 1, runners: 10 * tabs.length, openReads: 0 });
    },
  );

  test("lets a tab take the connections over that another one has given back, be it closed or at its end", async () => {
    const app = await openClientApp(browser);
    const [first] = await openTabs(app, "a");
    await waitUntil(() => app.traffic.live.size === 4);
    const others = await openTabs(app, "b", "c");
    const stood = [...app.traffic.live];
    await give(app, [first!, ...others], 1);
    expect(stood.every((response) => app.traffic.live.has(response))).toBe(true);
    await first!.page.close();
    await waitUntil(() => app.traffic.live.size === 4 && !stood.some((response) => app.traffic.live.has(response)));
    await end(app, others.slice(0, 1), 2);
    await waitUntil(() => app.traffic.live.size === 4);
    await end(app, others.slice(1), 2);
  });
});
