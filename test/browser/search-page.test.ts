import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Match, search } from "../../examples/demo/dist/search.js";
import { createDeferred, type Deferred } from "../../src/base/async.js";
import { browserPath, useBrowser } from "../support/browser.js";
import { openDemo, overflow, press, shows, tabTo } from "../support/demo.js";

const browser = useBrowser();
/** More than the first page, so that something is left to follow. */
const beforeGate = 30;
const files = 4;
const linesPerFile = 25;
const all = files * linesPerFile;

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "active-session-demo-"));
  for (let f = 0; f < files; f++) {
    const inner = join(folder, `package-${f}`);
    mkdirSync(inner);
    const lines = Array.from({ length: linesPerFile }, (_, i) => `const needle${i} = ${i};\nother`);
    writeFileSync(join(inner, "index.js"), lines.join("\n"));
    writeFileSync(join(inner, "notes.txt"), "needle in no source file");
  }
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The demo over the folder above; the real search pauses after some matches until the test opens the gate. */
async function openGated() {
  const gate: Deferred<void> = createDeferred();
  const stopped: Deferred<void> = createDeferred();
  async function* searchIn(where: string, word: string, signal: AbortSignal): AsyncGenerator<Match, void> {
    signal.addEventListener("abort", () => stopped.resolve());
    let found = 0;
    for await (const match of search(where, word, signal)) {
      if (found++ === beforeGate) await Promise.race([gate.promise, stopped.promise]);
      signal.throwIfAborted();
      yield match;
    }
  }
  const demo = await openDemo(browser, { folder, work: { search: searchIn } });
  const page = await demo.open("/search");
  const second = () => demo.open(`/search${new URL(page.url()).hash}`);
  return { ...demo, page, second, gate, stopped };
}

async function start(page: Page): Promise<void> {
  await page.getByLabel("Word").fill("NEEDLE");
  await page.getByLabel("Word").press("Enter");
  await rows(page, beforeGate);
}

/** Waits until just so many matches are shown. */
async function rows(page: Page, count: number): Promise<void> {
  await page.waitForFunction((wanted) => document.querySelectorAll("#matches li").length === wanted, count);
}

async function places(page: Page): Promise<string[]> {
  return page.locator("#matches .place").allTextContents();
}

const expected = Array.from({ length: files }, (_, f) =>
  Array.from({ length: linesPerFile }, (_, i) => `package-${f}/index.js:${2 * i + 1}`),
).flat();

describe.skipIf(!browserPath)("the search page in Chromium", () => {
  test("shows the first page, reads on, and ends with all matches in order", async () => {
    const { page, gate } = await openGated();
    await start(page);
    await shows(page, `Searching… ${beforeGate} matches so far.`);
    expect(await page.getByRole("button", { name: "Stop" }).isEnabled()).toBe(true);
    gate.resolve();
    await shows(page, `Finished: ${all} matches.`);
    expect(await places(page)).toEqual(expected);
    expect(await page.locator("#matches mark").first().textContent()).toBe("needle");
    expect(await page.getByRole("button", { name: "Stop" }).isDisabled()).toBe(true);
  });

  test("a reload in the middle shows everything again and goes on", async () => {
    const { page, gate } = await openGated();
    await start(page);
    await page.reload();
    await rows(page, beforeGate);
    gate.resolve();
    await shows(page, `Finished: ${all} matches.`);
    expect(await places(page)).toEqual(expected);
  });

  test("a second tab follows the same search from its beginning", async () => {
    const { page, gate, second: openSecond } = await openGated();
    await start(page);
    const second = await openSecond();
    await rows(second, beforeGate);
    gate.resolve();
    await Promise.all([shows(page, `Finished: ${all}`), shows(second, `Finished: ${all}`)]);
    expect(await places(second)).toEqual(expected);
    expect(await places(page)).toEqual(expected);
  });

  test("Stop ends the work, in the other tab too; the producer's signal has fired before the answer", async () => {
    const { page, stopped, second: openSecond } = await openGated();
    await start(page);
    const second = await openSecond();
    await rows(second, beforeGate);
    let answered = false;
    let stoppedFirst = false;
    void stopped.promise.then(() => {
      stoppedFirst = !answered;
    });
    const answer = page.waitForResponse((response) => response.url().endsWith("/abort"));
    await page.getByRole("button", { name: "Stop" }).click();
    expect((await answer).status()).toBe(200);
    answered = true;
    await Promise.all([shows(page, "Stopped."), shows(second, "Stopped.")]);
    expect(stoppedFirst).toBe(true);
    expect(await places(page)).toEqual(expected.slice(0, beforeGate));
  });

  test("says that the server cannot be reached, and goes on where it was when it is back", async () => {
    const { page, gate, stop, start: serve } = await openGated();
    await start(page);
    await stop();
    await page.getByRole("alert").filter({ hasText: "cannot be reached" }).waitFor();
    await serve();
    gate.resolve();
    await shows(page, `Finished: ${all} matches.`);
    expect(await places(page)).toEqual(expected);
    expect(await page.getByRole("alert").isHidden()).toBe(true);
  });

  test("says that the search cannot be started when the server is gone", async () => {
    const { page, stop } = await openGated();
    await stop();
    await page.getByLabel("Word").fill("needle");
    await page.getByRole("button", { name: "Search" }).click();
    await shows(page, "The search could not be started. The server cannot be reached.");
  });

  test("says why there is nothing more when the session has ended, and after a restart", async () => {
    const { page, sessions } = await openGated();
    await start(page);
    for (const session of sessions.sessions()) await session.terminate();
    await shows(page, "with your session");
    await page.reload();
    await shows(page, "not available any more");
  });

  test("a failure says so after the matches that came before it", async () => {
    const { page, gate } = await openGated();
    await start(page);
    gate.reject(new Error("the disk is on fire"));
    await shows(page, `The search failed after ${beforeGate} matches. The runner failed`);
  });

  test("a second Enter before the first answer shows the second search only, and the first one is stopped", async () => {
    const words: string[] = [];
    const stopped: string[] = [];
    const first = createDeferred();
    async function* searchFor(_folder: string, word: string, signal: AbortSignal): AsyncGenerator<Match, void> {
      words.push(word);
      signal.addEventListener("abort", () => void stopped.push(word));
      if (word === "one") await first.promise;
      yield { file: word, line: 1, text: word, at: 0, length: word.length };
    }
    const { open } = await openDemo(browser, { work: { search: searchFor } });
    const page = await open("/search");
    const field = page.getByLabel("Word");
    await field.fill("one");
    await field.press("Enter");
    await vi.waitUntil(() => words.length === 1);
    await field.fill("two");
    await field.press("Enter");
    await shows(page, "Finished: 1 match.");
    const answered = page.waitForResponse((response) => response.url().endsWith("/abort"));
    first.resolve();
    await answered;
    expect(await places(page)).toEqual(["two:1"]);
    await shows(page, "Finished: 1 match.");
    expect(words).toEqual(["one", "two"]);
  });

  test("Stop before the first answer stops what has been started as soon as its key is there", async () => {
    const found = createDeferred();
    const stopped = createDeferred();
    async function* searchFor(_folder: string, word: string, signal: AbortSignal): AsyncGenerator<Match, void> {
      signal.addEventListener("abort", () => stopped.resolve());
      await found.promise;
      for (let i = 0; i < 20; i++) yield { file: word, line: i, text: word, at: 0, length: word.length };
      await stopped.promise;
    }
    const { open } = await openDemo(browser, { work: { search: searchFor } });
    const page = await open("/search");
    await page.getByLabel("Word").fill("needle");
    await press(page, "Search");
    await shows(page, "Searching…");
    await press(page, "Stop");
    await shows(page, "Stopped.");
    found.resolve();
    await stopped.promise;
    expect(await places(page)).toEqual([]);
  });

  test("works on a phone and by keyboard", async () => {
    const { page, gate } = await openGated();
    await page.setViewportSize({ width: 360, height: 640 });
    gate.resolve();
    await tabTo(page, "#word");
    await page.keyboard.type("needle");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Space");
    await shows(page, `Finished: ${all} matches.`);
    expect(await overflow(page)).toBeLessThanOrEqual(0);
  });
});
