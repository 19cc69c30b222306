import type { Page } from "playwright-core";
import { describe, expect, test, vi } from "vitest";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { atEnd } from "../support/cleanup.js";
import { newSession, openDemo, overflow, press, samePath, shows, tabTo } from "../support/demo.js";

const browser = sharedBrowser();

/** A demo whose gauge counts: the n-th measurement is n % of CPU. `before` is called before each. */
async function openCounting(before: (n: number) => void = () => {}) {
  const gauges: { count: number; isClosed: boolean }[] = [];
  const createGauge = () => {
    const state = { count: 0, isClosed: false };
    gauges.push(state);
    const close = () => {
      state.isClosed = true;
    };
    const gauge = () => {
      before(++state.count);
      return { cpu: state.count, memory: 50, delay: 0.5 };
    };
    return { gauge, close };
  };
  return { ...(await openDemo(browser, { work: { createGauge } })), gauges };
}

async function start(page: Page, interval = "100"): Promise<void> {
  await page.getByLabel("Every").selectOption(interval);
  await press(page, "Start");
}

/** Waits until the page shows as many measurements as there have been: from the first one on, and none twice. */
async function showsAll(page: Page): Promise<void> {
  await page.waitForFunction(() => {
    const [number] = /\d+/.exec(document.querySelector("#status")!.textContent!) ?? ["0"];
    return Number(number) === Number.parseFloat(document.querySelector("#cpu strong")!.textContent!);
  });
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

  test("has no axes before there is something to show, and ticks with units and the user's time, the top one above the data", async () => {
    const { open } = await openCounting();
    const page = await open("/monitor");
    expect(await page.locator("canvas").count()).toBe(0);
    await page.evaluate(() => {
      const { fillText } = CanvasRenderingContext2D.prototype;
      const drawn: string[] = [];
      Object.assign(globalThis, { drawn });
      CanvasRenderingContext2D.prototype.fillText = function (text, ...rest) {
        drawn.push(text);
        fillText.call(this, text, ...rest);
      };
    });
    await start(page);
    await page.waitForFunction(() => (globalThis as unknown as { drawn: string[] }).drawn.includes("10 %"));
    const drawn = await page.evaluate(() => (globalThis as unknown as { drawn: string[] }).drawn);
    expect(await cpu(page)).toBeLessThan(10);
    expect(drawn).toEqual(expect.arrayContaining(["0 %", "5 %", "100 MB"]));
    const times = await page.evaluate(() => new Date().toLocaleTimeString());
    expect(drawn.some((text) => text.replace(/\d/g, "0") === times.replace(/\d/g, "0"))).toBe(true);
  });

  test("a reload shows the history again and goes on; a second tab shows the same", async () => {
    const { open, gauges } = await openCounting();
    const page = await open("/monitor");
    await start(page);
    await measured(page, 5);
    await page.reload();
    await measured(page, 8);
    const second = await open(samePath(page));
    await measured(second, 10);
    for (const tab of [page, second]) await showsAll(tab);
    expect(gauges).toHaveLength(1);
  });

  test("a reload goes on from the first measurement that is kept when the server has let go of others", async () => {
    const clock = performance.now.bind(performance);
    atEnd(() => vi.restoreAllMocks());
    const missed = 2000; // the clock leaps, and the time series catches up
    const { open } = await openCounting((n) => {
      if (n === 1) vi.spyOn(performance, "now").mockImplementation(() => clock() + missed * 100);
    });
    const page = await open("/monitor");
    await start(page);
    await page.waitForFunction(
      (count) => Number(document.querySelector("#cpu strong")!.textContent!.replace(/\D/g, "")) >= count,
      missed,
    );
    await shows(page, "Measuring… 600 measurements so far.");
    const gone = page.waitForResponse((response) => response.status() === 410);
    const goesOn = page.waitForRequest(
      (request) => /live=sse/.test(request.url()) && !/offset=0+&/.test(request.url()),
    );
    await page.reload();
    const first = (await gone).headers()["runner-first-offset"];
    expect(Number(first)).toBeGreaterThan(0);
    expect(new URL((await goesOn).url()).searchParams.get("offset")).toBe(String(Number(first)));
    await shows(page, "Measuring… 600 measurements so far.");
    expect(await page.locator("#cpu strong").textContent()).toMatch(/^2,\d{3} %$/);
  });

  test("a gauge that fails is told after the measurements before it", async () => {
    const { open, gauges } = await openCounting((n) => {
      if (n === 3) throw new Error("the sensor is loose");
    });
    const page = await open("/monitor");
    await start(page);
    await shows(page, "The monitor failed after 2 measurements.");
    expect(gauges[0]!.isClosed).toBe(true);
    expect(await page.getByRole("button", { name: "Stop" }).isDisabled()).toBe(true);
  });

  test("Stop ends the measuring, in the other tab too, and lets go of the gauge", async () => {
    const { open, gauges } = await openCounting();
    const page = await open("/monitor");
    await start(page);
    await measured(page, 2);
    const second = await open(samePath(page));
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
    await showsAll(page);
    expect(await page.getByRole("alert").isHidden()).toBe(true);
  });

  test("says that the session has ended, and a later load says that there is nothing to follow", async () => {
    const { open } = await openCounting();
    const [page, home] = [await open("/monitor"), await open("/")];
    await start(page);
    await measured(page, 1);
    await newSession(home);
    await shows(page, "The monitor was ended with your session.");
    await page.reload();
    await shows(page, "not available any more");
  });

  test("draws its line in the accent colour of the scheme, also when that changes", async () => {
    const { open } = await openCounting();
    const page = await open("/monitor");
    await page.emulateMedia({ colorScheme: "light" });
    await start(page);
    await measured(page, 3);
    const isDrawnIn = (colour: string) =>
      page.waitForFunction((wanted) => {
        const canvas = document.querySelector("canvas")!;
        const { data } = canvas.getContext("2d")!.getImageData(0, 0, canvas.width, canvas.height);
        for (let i = 0; i < data.length; i += 4) if (data.slice(i, i + 4).join() === `${wanted},255`) return true;
        return false;
      }, colour);
    await isDrawnIn("26,95,180");
    await page.emulateMedia({ colorScheme: "dark" });
    await isDrawnIn("138,184,245");
  });

  test("fits a phone and works by keyboard", async () => {
    const { open, gauges } = await openCounting();
    const page = await open("/monitor");
    await page.setViewportSize({ width: 360, height: 640 });
    await tabTo(page, "#interval");
    await page.keyboard.type("0.1");
    await tabTo(page, "#start");
    await page.keyboard.press("Enter");
    await measured(page, 3);
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    await tabTo(page, "#stop");
    await page.keyboard.press("Enter");
    await shows(page, "Stopped.");
    expect(gauges[0]!.isClosed).toBe(true);
  });
});
