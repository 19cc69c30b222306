import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Match, search } from "../../examples/demo/dist/search.js";
import { createDeferred, type Deferred } from "../../src/base/async.js";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { newSession, openDemo, overflow, press, samePath, shows, tabTo } from "../support/demo.js";
import { waitUntil } from "../support/patience.js";

const browser = sharedBrowser();
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
  const second = () => demo.open(samePath(page));
  return { ...demo, page, second, gate, stopped };
}

/** As {@link openGated}, but nothing is found until the gate opens. */
async function openSlow() {
  const gate: Deferred<void> = createDeferred();
  async function* searchIn(where: string, word: string, signal: AbortSignal): AsyncGenerator<Match, void> {
    await gate.promise;
    yield* search(where, word, signal);
  }
  const demo = await openDemo(browser, { folder, work: { search: searchIn } });
  return { ...demo, page: await demo.open("/search"), gate };
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

  test("a page that is entered shows the search that runs; another one, started there, leaves it alone", async () => {
    const { page, open, stopped, sessions } = await openGated();
    await start(page);
    const entered = await open("/search");
    await rows(entered, beforeGate);
    let hasStopped = false;
    void stopped.promise.then(() => {
      hasStopped = true;
    });
    const former = new URL(entered.url()).hash;
    await start(entered);
    await entered.waitForURL((url) => url.hash !== former);
    await rows(entered, beforeGate);
    expect([sessions.stats().runners, hasStopped]).toEqual([2, false]);
    expect(await page.getByRole("button", { name: "Stop" }).isEnabled()).toBe(true);
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
    await press(page, "Stop");
    expect((await answer).status()).toBe(200);
    answered = true;
    await Promise.all([shows(page, "Stopped."), shows(second, "Stopped.")]);
    expect(stoppedFirst).toBe(true);
    expect(await places(page)).toEqual(expected.slice(0, beforeGate));
  });

  test("finds its search again that was left before the first answer", async () => {
    const { page, gate, sessions } = await openSlow();
    await page.getByLabel("Word").fill("needle");
    await page.getByLabel("Word").press("Enter");
    await waitUntil(() => sessions.stats().runners === 1);
    await page.reload();
    gate.resolve();
    await rows(page, all);
    expect(sessions.stats()).toMatchObject({ sessions: 1, runners: 1 });
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
    await press(page, "Search");
    await shows(page, "The search could not be started. The server cannot be reached.");
  });

  test("says that the session has ended from the home page, and a later load that there is nothing to follow", async () => {
    const { page, open } = await openGated();
    await start(page);
    const home = await open("/");
    await newSession(home);
    await shows(page, `The search was ended with your session. ${beforeGate} matches until then.`);
    await page.reload();
    await shows(page, "This search is not available any more");
  });

  test("says that there is nothing to follow any more after a restart of the server", async () => {
    const { page, restart } = await openGated();
    await start(page);
    await restart();
    await shows(page, "This search is not available any more");
    expect(await places(page)).toEqual(expected.slice(0, beforeGate));
    expect(await page.getByRole("alert").isHidden()).toBe(true);
  });

  test("Stop that does not get through says so; another search stops the former one all the same", async () => {
    const { page, stopped, stop, start: serve } = await openGated();
    await start(page);
    await stop();
    await page.getByRole("alert").filter({ hasText: "cannot be reached" }).waitFor();
    await press(page, "Stop");
    await shows(page, "The search could not be stopped. The server cannot be reached.");
    await serve();
    await page.getByRole("alert").waitFor({ state: "hidden" });
    await press(page, "Search");
    await stopped.promise;
  });

  test("a failure says so after the matches that came before it", async () => {
    const { page, gate } = await openGated();
    await start(page);
    gate.reject(new Error("the disk is on fire"));
    await shows(page, `The search failed after ${beforeGate} matches.`);
  });

  test("a second Enter before the first answer shows the second search only, and the first one is stopped", async () => {
    const words: string[] = [];
    const first = createDeferred();
    const firstStopped = createDeferred();
    async function* searchFor(_folder: string, word: string, signal: AbortSignal): AsyncGenerator<Match, void> {
      words.push(word);
      if (word === "one") {
        signal.addEventListener("abort", () => firstStopped.resolve());
        await first.promise;
      }
      for (let line = 1; line <= 20; line++) yield { file: word, line, text: word, at: 0, length: word.length };
      if (word === "one") await firstStopped.promise;
    }
    const { open } = await openDemo(browser, { work: { search: searchFor } });
    const page = await open("/search");
    const field = page.getByLabel("Word");
    await field.fill("one");
    await field.press("Enter");
    await waitUntil(() => words.length === 1);
    await field.fill("two");
    await field.press("Enter");
    await shows(page, "Finished: 20 matches.");
    const { hash } = new URL(page.url());
    const answered = page.waitForResponse((response) => response.url().endsWith("/abort"));
    first.resolve();
    await firstStopped.promise;
    await answered;
    expect(await places(page)).toEqual(Array.from({ length: 20 }, (_, i) => `two:${i + 1}`));
    await shows(page, "Finished: 20 matches.");
    expect(new URL(page.url()).hash).toBe(hash);
    expect(words).toEqual(["one", "two"]);
  });

  test("another search takes the place of the one that runs, which is stopped", async () => {
    const stopped: string[] = [];
    async function* searchFor(_folder: string, word: string, signal: AbortSignal): AsyncGenerator<Match, void> {
      const stop = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      for (let line = 1; line <= 25; line++) yield { file: word, line, text: word, at: 0, length: word.length };
      await stop;
      stopped.push(word);
    }
    const { open } = await openDemo(browser, { work: { search: searchFor } });
    const page = await open("/search");
    const field = page.getByLabel("Word");
    for (const word of ["one", "two"]) {
      await field.fill(word);
      await field.press("Enter");
      await page.getByText(`${word}:25`, { exact: true }).waitFor();
    }
    expect(await places(page)).toEqual(Array.from({ length: 25 }, (_, i) => `two:${i + 1}`));
    await waitUntil(() => stopped.length > 0);
    expect(stopped).toEqual(["one"]);
    await press(page, "Stop"); // it is the second one's now
    await shows(page, "Stopped. 25 matches until then.");
    expect(stopped).toEqual(["one", "two"]);
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

  test("fits a phone, be a line and its file's name ever so long, and works by keyboard", async () => {
    const stopped = createDeferred();
    async function* searchFor(_folder: string, word: string, signal: AbortSignal): AsyncGenerator<Match, void> {
      signal.addEventListener("abort", () => stopped.resolve());
      for (let line = 1; line <= 25; line++) {
        yield { file: "a".repeat(200), line, text: word.repeat(20), at: 0, length: word.length };
      }
      await stopped.promise;
    }
    const { open } = await openDemo(browser, { work: { search: searchFor } });
    const page = await open("/search");
    await page.setViewportSize({ width: 360, height: 640 });
    await tabTo(page, "#word");
    await page.keyboard.type("needle");
    await tabTo(page, "#start");
    await page.keyboard.press("Space");
    await shows(page, "25 matches so far.");
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    const [search, stop] = await Promise.all([
      page.locator("#start").boundingBox(),
      page.locator("#stop").boundingBox(),
    ]);
    expect(stop!.y).toBe(search!.y); // in one row
    const name = page.locator("#matches .name").first();
    expect(
      await name.evaluate((element) => [element.scrollWidth > element.clientWidth, element.clientHeight < 30]),
    ).toEqual([true, true]);
    await tabTo(page, "#stop");
    await page.keyboard.press("Enter");
    await shows(page, "Stopped. 25 matches until then.");
  });
});
