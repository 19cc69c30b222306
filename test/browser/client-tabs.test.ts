/** The client in several tabs of a browser, and in a hidden one. */
import type { Page } from "playwright-core";
import { describe, expect, test, vi } from "vitest";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { type ClientApp, createIn, ended, openClientApp, shown, upTo } from "../support/client-page.js";
import { openHost, PushSource } from "../support/control.js";
import { waitUntil } from "../support/patience.js";

const browser = sharedBrowser();

/** Follows a runner in a tab, from the beginning, under the name `a`. */
function follow(page: Page, key: string, whenHidden?: "follow" | "pause"): Promise<void> {
  return page.evaluate(
    ([key, whenHidden]) => {
      const options = { whenHidden, ...window.told("a") };
      window.watch("a", window.library.createClient("/runners").follow(key, options));
    },
    [key, whenHidden] as const,
  );
}

/**
 * Hides the page, or shows it again. A headless Chromium takes every tab for a visible one, also behind others and in a window
 * that is minimized; so the page is told what a browser with a screen would tell it.
 */
async function setHidden(page: Page, hidden: boolean): Promise<void> {
  await page.evaluate((hidden) => {
    const value = (value: unknown) => ({ configurable: true, get: () => value });
    Object.defineProperty(document, "hidden", value(hidden));
    Object.defineProperty(document, "visibilityState", value(hidden ? "hidden" : "visible"));
    document.dispatchEvent(new Event("visibilitychange", { bubbles: true }));
  }, hidden);
}

const signsOf = ({ traffic }: ClientApp) => traffic.requests.filter((request) => request.includes("/ack?")).length;

describe.skipIf(!browserPath)("the client in Chromium", () => {
  test("gives everything to each of two tabs that follow one runner, however late and slow the one is", async () => {
    const app = await openClientApp(browser);
    const [first, second] = [await app.openKnown(), await app.open()];
    const [key] = await createIn(first, "kept", "a");
    app.source("a").push(...upTo(700));
    await shown(first, "a", 700);
    await follow(second, key!);
    app.source("a").push(...upTo(1400, 701));
    for (const page of [first, second]) expect(await shown(page, "a", 1400)).toEqual(upTo(1400));
    app.source("a").push(1401);
    app.source("a").end();
    for (const page of [first, second]) {
      expect(await ended(page, "a")).toBe("completed");
      expect(await shown(page, "a", 1401)).toEqual(upTo(1401));
    }
  });

  test("goes on in a hidden page", async () => {
    const app = await openClientApp(browser);
    const page = await app.openKnown();
    const [key] = await createIn(page, "kept", "made");
    await follow(page, key!);
    app.source("made").push(1);
    await shown(page, "a", 1);
    await setHidden(page, true);
    app.source("made").push(2, 3);
    expect(await shown(page, "a", 3)).toEqual([1, 2, 3]);
    app.source("made").end();
    expect(await ended(page, "a")).toBe("completed");
  });

  test("that is to pause in a hidden page holds no connection, keeps its runner alive, and catches up", async () => {
    const idle = 30_000;
    vi.useFakeTimers(); // time passes only when the test says so, on both sides
    const sessions = openHost({ runnerIdleTimeout: idle, idleTimeout: idle });
    const app = await openClientApp(browser, { sessions });
    const page = await app.openKnown();
    const [session] = sessions.sessions();
    const source = new PushSource<number>();
    const runner = await session!.createSequenceRunner(source);
    const unwatched = await session!.createSequenceRunner(new PushSource<number>());
    await page.clock.install();
    await page.clock.pauseAt(Date.now() + 60_000);
    await follow(page, runner.key, "pause");
    source.push(1, 2, 3);
    await shown(page, "a", 3);
    await setHidden(page, true);
    await waitUntil(() => app.traffic.live.size === 0);
    for (let sign = 1; sign <= 6; sign++) {
      source.push(3 + sign);
      await page.clock.runFor(20_500);
      await waitUntil(() => signsOf(app) === sign);
      vi.advanceTimersByTime(20_500);
      expect(app.traffic.live.size).toBe(0);
    }
    expect(unwatched.abortReason).toBe("idle");
    expect(runner.signal.aborted).toBe(false);
    expect(await shown(page, "a", 3)).toEqual([1, 2, 3]);
    await setHidden(page, false);
    expect(await shown(page, "a", 9)).toEqual(upTo(9));
    source.end();
    expect(await ended(page, "a")).toBe("completed");
    await sessions.close();
    vi.useRealTimers();
  });
});
