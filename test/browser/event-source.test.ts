/** The browser's own `EventSource` on a runner's `events`, with nothing of ours in the page. */
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { openClientApp, upTo } from "../support/client-page.js";

const browser = sharedBrowser();
const complaints = /^Failed to load resource: net::ERR_/;

interface Seen {
  readonly items: number[];
  readonly ends: unknown[];
  opened: number;
  isClosed: boolean;
}

type WithSeen = { seen: Seen };

/** Runs in the page. */
async function listen(): Promise<string> {
  const headers = { "content-type": "application/json", "idempotency-key": "one" };
  const created = await fetch("/runners/rows", { method: "POST", headers, body: '"rows"' });
  const { key } = await created.json();
  const seen: Seen = { items: [], ends: [], opened: 0, isClosed: false };
  Object.assign(window, { seen });
  const events = new EventSource(`/runners/${key}/events`);
  events.onopen = () => {
    seen.opened++;
  };
  events.onmessage = ({ data }) => void seen.items.push(JSON.parse(data));
  events.addEventListener("end", ({ data }) => void seen.ends.push(JSON.parse(data)));
  events.onerror = () => {
    seen.isClosed = events.readyState === EventSource.CLOSED;
  };
  return key;
}

async function has(page: Page, count: number): Promise<void> {
  const isThere = (count: number) => (window as never as WithSeen).seen.items.length >= count;
  await page.waitForFunction(isThere, count, { polling: 5 });
}

describe.skipIf(!browserPath)("EventSource in Chromium", () => {
  test("gets 10,000 items over 20 rotations and 5 cuts, each once and in order, and stops after the end", async () => {
    const app = await openClientApp(browser, { complaints, aheadLimit: 350 });
    const page = await app.openKnown();
    app.source("rows").push(...upTo(10_000));
    app.source("rows").end();
    const key = await page.evaluate(listen);
    for (let cuts = 0; cuts < 5; cuts++) {
      await has(page, 500 + 1500 * cuts);
      app.cut();
    }
    // Closed by the 204 that answers a client which has seen the end: from here on it asks for nothing more.
    await page.waitForFunction(() => (window as never as WithSeen).seen.isClosed, undefined, { polling: 20 });
    const { items, ends, opened } = await page.evaluate(() => (window as never as WithSeen).seen);
    expect(items).toEqual(upTo(10_000));
    expect(ends).toEqual([expect.objectContaining({ key, status: "completed" })]);
    const asked = app.traffic.requests.filter((request) => request.endsWith("/events")).length;
    expect(asked).toBeGreaterThan(25);
    expect(asked - opened).toBeGreaterThanOrEqual(1);
    expect(app.begun("rows")).toBe(1);
  });
});
