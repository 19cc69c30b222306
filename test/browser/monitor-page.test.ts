import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { browserPath, useBrowser } from "../support/browser.js";
import { openDemo, overflow, press, shows, tabTo } from "../support/demo.js";

const browser = useBrowser();

/** A demo whose gauge counts: the n-th measurement is n % of CPU. */
async function openCounting() {
  const gauges: { count: number; isClosed: boolean }[] = [];
  const createGauge = () => {
    const state = { count: 0, isClosed: false };
    gauges.push(state);
    const close = () => {
      state.isClosed = true;
    };
    return { gauge: () => ({ cpu: ++state.count, memory: 50, delay: 0.5 }), close };
  };
  return { ...(await openDemo(browser, { work: { createGauge } })), gauges };
}

async function start(page: Page, interval = "100"): Promise<void> {
  await page.getByLabel("Every").selectOption(interval);
  await press(page, "Start");
}

/** Waits until the page has shown at least so many measurements. */
async function measured(page: Page, count: number): Promise<void> {
  await page.waitForFunction((wanted) => {
    const [number] = /\d[\d,]*/.exec(document.querySelector("#status")!.textContent!) ?? ["0"];
    return Number(number.replace(",", "")) >= wanted;
  }, count);
}

const cpu = async (page: Page) => Number.parseFloat((await page.locator("#cpu strong").textContent()) ?? "");

describe.skipIf(!browserPath)("the monitor page in Chromium", () => {
  test("draws what comes, and says the latest value in words", async () => {
    const { open } = await openCounting();
    const page = await open("/monitor");
    await shows(page, "Choose an interval to begin.");
    await start(page);
    await measured(page, 3);
    expect(await cpu(page)).toBeGreaterThanOrEqual(3);
    expect(await page.locator("#memory strong").textContent()).toBe("50 MB");
    expect(await page.locator("canvas").count()).toBe(3);
  });

  test("a reload shows the history again and goes on; a second tab shows the same", async () => {
    const { open, gauges } = await openCounting();
    const page = await open("/monitor");
    await start(page);
    await measured(page, 5);
    await page.reload();
    await measured(page, 8);
    const second = await open(new URL(page.url()).pathname + new URL(page.url()).hash);
    await measured(second, 10);
    // As many as have been measured: none of them from before the reload is missing, and none comes twice.
    for (const tab of [page, second]) {
      await tab.waitForFunction(() => {
        const [number] = /\d+/.exec(document.querySelector("#status")!.textContent!) ?? ["0"];
        return Number(number) === Number.parseFloat(document.querySelector("#cpu strong")!.textContent!);
      });
    }
    expect(gauges).toHaveLength(1);
  });

  test("Stop ends the measuring, in the other tab too, and lets go of the gauge", async () => {
    const { open, gauges } = await openCounting();
    const page = await open("/monitor");
    await start(page);
    await measured(page, 2);
    const second = await open(`/monitor${new URL(page.url()).hash}`);
    await measured(second, 2);
    await press(page, "Stop");
    await Promise.all([shows(page, "Stopped."), shows(second, "Stopped.")]);
    expect(gauges[0]!.isClosed).toBe(true);
    expect(await page.getByRole("button", { name: "Stop" }).isDisabled()).toBe(true);
  });

  test("another interval is another monitor, and the former one is stopped", async () => {
    const { open, gauges } = await openCounting();
    const page = await open("/monitor");
    await start(page);
    await measured(page, 2);
    const { hash } = new URL(page.url());
    await start(page, "250");
    await page.waitForURL((url) => url.hash !== hash);
    await measured(page, 2);
    expect(gauges.map(({ isClosed }) => isClosed)).toEqual([true, false]);
  });

  test("goes on when the server has been gone for a while, and says so meanwhile", async () => {
    const { open, stop, start: serve } = await openCounting();
    const page = await open("/monitor");
    await start(page);
    await measured(page, 2);
    await stop();
    await page.getByRole("alert").filter({ hasText: "cannot be reached" }).waitFor();
    const before = await cpu(page);
    await serve();
    await measured(page, before + 2);
    expect(await page.getByRole("alert").isHidden()).toBe(true);
  });

  test("says that the session has ended, and a later load says that there is nothing to follow", async () => {
    const { open } = await openCounting();
    const [page, home] = [await open("/monitor"), await open("/")];
    await start(page);
    await measured(page, 1);
    await press(home, "New session");
    await shows(page, "The monitor was ended with your session.");
    await page.reload();
    await shows(page, "not available any more");
  });

  test("draws in the colours of the scheme, fits a phone, and works by keyboard", async () => {
    const { open } = await openCounting();
    const page = await open("/monitor");
    await page.setViewportSize({ width: 360, height: 640 });
    const colours = () => {
      const canvas = document.querySelector("canvas")!;
      const pixels = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height).data;
      const seen = new Set<string>();
      for (let i = 0; i < pixels.length; i += 4) if (pixels[i + 3] === 255) seen.add(pixels.slice(i, i + 3).join());
      return [...seen].sort().join(" ");
    };
    await tabTo(page, "#interval");
    await page.keyboard.type("0.1");
    await tabTo(page, "#start");
    await page.keyboard.press("Enter");
    await measured(page, 3);
    await tabTo(page, "#stop");
    await page.keyboard.press("Enter");
    await shows(page, "Stopped.");
    await page.evaluate(`window.colours = ${colours}; window.light = colours()`);
    await page.emulateMedia({ colorScheme: "dark" });
    await page.waitForFunction("colours() !== '' && colours() !== light");
    expect(await overflow(page)).toBeLessThanOrEqual(0);
  });
});
