import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { createDeferred } from "../../src/base/async.js";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { atEnd } from "../support/cleanup.js";
import { openDemo, press } from "../support/demo.js";

const browser = sharedBrowser();

/** The demo, whose work gives something and then goes on until the test is over. */
async function openEndless() {
  const over = createDeferred();
  atEnd(() => over.resolve());
  async function* search(_folder: string, word: string) {
    yield { file: word, line: 1, text: word, at: 0, length: word.length };
    await over.promise;
  }
  async function* filesIn() {
    yield { name: "a.js", size: 1000 };
    await over.promise;
  }
  async function* compress() {
    yield { name: "a.js", bytes: 1000, packed: 100 };
    await over.promise;
  }
  const createGauge = () => ({ gauge: () => ({ cpu: 1, memory: 1, delay: 1 }), close: () => {} });
  const value = { files: 1, of: 2, bytes: 1, ofBytes: 2, elapsed: 1 };
  const checksum = async (_folder: string, report: (so: typeof value) => void) => {
    report(value);
    await over.promise;
    return value;
  };
  return openDemo(browser, { work: { search, filesIn, compress, createGauge, checksum } });
}

const start: Readonly<Record<string, (page: Page) => Promise<void>>> = {
  "/": async () => {},
  "/search": async (page) => {
    await page.getByLabel("Word").fill("needle");
    await press(page, "Search");
  },
  "/monitor": (page) => press(page, "Start"),
  "/checksum": (page) => press(page, "Start"),
  "/files": (page) => press(page, "List"),
  "/exclusive": (page) => press(page, "Start"),
};

describe.skipIf(!browserPath)("the demo in Chromium without a network", () => {
  test.each(Object.keys(start))(
    "%s says that it is offline, and takes it back when the network is there again",
    async (path) => {
      const demo = await openEndless();
      const page = await demo.open(path);
      await start[path]!(page);
      await page.locator('#status[data-state="running"]').waitFor();
      await browser.context.setOffline(true);
      const alert = page.getByRole("alert").filter({ hasText: "You are offline." });
      try {
        await alert.waitFor();
      } finally {
        await browser.context.setOffline(false);
      }
      await page.waitForFunction(() => !/You are offline/.test(document.body.innerText));
      expect(await page.locator("#status").getAttribute("data-state")).toBe("running");
    },
  );
});
