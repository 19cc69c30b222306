import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import type { overview } from "../../examples/demo/dist/overview.js";
import { createDeferred } from "../../src/base/async.js";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { newSession, openDemo, overflow, press, type ServedDemo, shows, tabTo } from "../support/demo.js";

const browser = sharedBrowser();
const match = { file: "a.js", line: 1, text: "needle", at: 0, length: 6 };

/** A demo whose search gives 25 matches and then waits for the gate. */
async function openGated() {
  const gate = createDeferred();
  async function* search(_folder: string, _word: string, signal: AbortSignal) {
    for (let i = 0; i < 25; i++) yield match;
    await Promise.race([gate.promise, new Promise((resolve) => signal.addEventListener("abort", resolve))]);
    yield match;
  }
  return { ...(await openDemo(browser, { work: { search } })), gate };
}

async function startSearch(demo: ServedDemo, word = "needle"): Promise<Page> {
  const page = await demo.open("/search");
  await page.getByLabel("Word").fill(word);
  await press(page, "Search");
  await shows(page, "25 matches so far");
  return page;
}

/** Starts a search without its page. */
async function postSearch(home: Page): Promise<void> {
  const init = { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"word":"needle"}' };
  expect(await home.evaluate(async (post) => (await fetch("/search", post)).status, init)).toBe(201);
}

const row = (page: Page, title: string) => page.getByRole("row").filter({ hasText: title });
/** Waits until the row of this title says so, and nothing else. */
async function rowIs(page: Page, title: string, ...cells: string[]): Promise<void> {
  await page.waitForFunction(
    ([title, ...cells]) =>
      [...document.querySelectorAll<HTMLTableRowElement>("#runners tbody tr")].some(
        (row) =>
          row.cells[0]!.textContent === title && cells.every((cell, i) => row.cells[i + 1]!.textContent === cell),
      ),
    [title, ...cells],
  );
}
const generation = async (page: Page) => Number(await page.locator("#status").getAttribute("data-generation"));
/** Waits until another session is shown than the one of that generation. */
const isNewer = (page: Page, than: number) =>
  page.waitForFunction((old) => Number(document.getElementById("status")!.dataset.generation) > old, than);

describe.skipIf(!browserPath)("the home page in Chromium", () => {
  test("shows the session, and its runners as they come, go on and end", async () => {
    const demo = await openGated();
    const home = await demo.open("/");
    await shows(home, "Your session is live.");
    await home.getByText("Nothing is running.").waitFor();
    const search = await startSearch(demo);
    await rowIs(home, "Search for “needle”", "running", "25");
    demo.gate.resolve();
    await shows(search, "Finished: 26 matches.");
    await rowIs(home, "Search for “needle”", "finished", "26");
    expect(await home.getByRole("button", { name: "Stop Search" }).isVisible()).toBe(false);
    const [session] = demo.sessions.sessions();
    expect(await generation(home)).toBe(session!.generation);
  });

  test("shows of each work its state and how far it has come, whether or not it is read", async () => {
    const demo = await openDemo(browser);
    const home = await demo.open("/");
    await shows(home, "live");
    const [session] = demo.sessions.sessions();
    const gates = { sequence: createDeferred(), process: createDeferred() };
    async function* rows() {
      yield* [1, 2, 3];
      await gates.sequence.promise;
    }
    await session!.createSequenceRunner(rows, { data: { title: "Rows", page: "/search" } });
    const sum = await session!.createProcessRunner(
      async ({ report }) => {
        report(1, 1101);
        report(2, 1101);
        await gates.process.promise;
      },
      { data: { title: "Sum", page: "/checksum" } },
    );
    await session!.createSequenceRunner(() => [1]); // not the demo's: it has no title
    await rowIs(home, "Rows", "running", "3");
    await rowIs(home, "Sum", "running", "2 of 1,101");
    expect(await home.locator("#runners tbody th").allTextContents()).toEqual(["Rows", "Sum"]);
    gates.process.reject(new Error("the disk is on fire"));
    await rowIs(home, "Sum", "failed", "2");
    gates.sequence.resolve();
    await rowIs(home, "Rows", "finished", "3");
    expect(await home.getByRole("button", { name: /^Stop/ }).count()).toBe(0);
    await sum[Symbol.asyncDispose]();
    await row(home, "Sum").waitFor({ state: "detached" });
    await rowIs(home, "Rows", "finished", "3");
  });

  test("says of work that waits for its reader that it is paused", async () => {
    const demo = await openDemo(browser);
    const home = await demo.open("/");
    await shows(home, "live");
    const [session] = demo.sessions.sessions();
    const data = { title: "Rows", page: "/search" };
    const runner = await session!.createSequenceRunner([1, 2, 3], { aheadLimit: 2, data });
    await rowIs(home, "Rows", "paused until it is read on", "2");
    await runner.getRequired({ start: 2, advance: 1 });
    await rowIs(home, "Rows", "finished", "3");
  });

  test("shows what a page has created by itself, too, with its link", async () => {
    const gate = createDeferred();
    async function* filesIn() {
      yield { name: "a.js", size: 1000 };
      await gate.promise;
    }
    const demo = await openDemo(browser, { work: { filesIn } });
    const files = await demo.open("/files");
    await press(files, "List");
    const home = await demo.open("/");
    await rowIs(home, "List of files", "running", "1");
    await home.getByRole("link", { name: "List of files" }).click();
    await shows(home, "Listing… 1 file, 1.0 kB so far.");
    gate.resolve();
    await shows(home, "All listed: 1 file,");
  });

  test("says in three lines what there is to try", async () => {
    const home = await (await openDemo(browser)).open("/");
    expect(await home.locator(".tries li b").allTextContents()).toEqual(["Reload.", "A second tab.", "Leave."]);
  });

  test("New session says what it ends, and ends nothing unless the user agrees", async () => {
    const demo = await openGated();
    const home = await demo.open("/");
    await shows(home, "live");
    await press(home, "New session");
    await home.getByRole("dialog").filter({ hasText: "Nothing is running in it." }).waitFor();
    await press(home, "Keep it");
    await postSearch(home);
    await row(home, "needle").waitFor();
    const before = await generation(home);
    await press(home, "New session");
    await home.getByRole("dialog").filter({ hasText: "It ends with it: Search for “needle”." }).waitFor();
    await home.keyboard.press("Escape");
    await home.getByRole("dialog").waitFor({ state: "detached" });
    expect([demo.sessions.stats().sessions, await generation(home)]).toEqual([1, before]);
    await rowIs(home, "Search for “needle”", "running", "25");
  });

  test("its links lead to the page that shows the runner", async () => {
    const demo = await openGated();
    const home = await demo.open("/");
    await postSearch(home);
    await home.getByRole("link", { name: "Search for “needle”" }).click();
    await shows(home, "25 matches so far");
  });

  test("Stop stops just that runner", async () => {
    const demo = await openGated();
    const [one, two] = [await startSearch(demo, "one"), await startSearch(demo, "two")];
    const home = await demo.open("/");
    await press(home, "Stop Search for “one”");
    await shows(one, "Stopped.");
    await row(home, "“one”").filter({ hasText: "stopped" }).waitFor();
    expect(await two.locator("#status").textContent()).toContain("25 matches so far");
    expect(await row(home, "“two”").getByRole("button").isVisible()).toBe(true);
  });

  test("Stop that does not get through says so, and can be pressed again", async () => {
    const demo = await openGated();
    const search = await startSearch(demo);
    const home = await demo.open("/");
    await row(home, "needle").waitFor();
    await demo.stop();
    await press(home, "Stop Search for “needle”");
    await shows(home, "It could not be stopped. The server cannot be reached.");
    await demo.start();
    await home.getByRole("alert").waitFor({ state: "hidden" });
    await press(home, "Stop Search for “needle”");
    await shows(search, "Stopped.");
    await row(home, "needle").filter({ hasText: "stopped" }).waitFor();
    await shows(home, "Your session is live.");
  });

  test("New session ends this one, everywhere, and shows a larger generation", async () => {
    const demo = await openGated();
    const [home, other] = [await demo.open("/"), await demo.open("/")];
    const search = await startSearch(demo);
    await row(home, "needle").waitFor();
    const before = await generation(home);
    await newSession(home);
    await isNewer(home, before);
    await home.getByText("Nothing is running.").waitFor();
    await shows(search, "The search was ended with your session.");
    await shows(other, "Your session has ended.");
    await newSession(other);
    await shows(other, "Your session is live.");
  });

  test("a reload, and a second tab, show the same session", async () => {
    const demo = await openGated();
    const home = await demo.open("/");
    await postSearch(home);
    await row(home, "needle").waitFor();
    const before = await generation(home);
    await home.reload();
    await row(home, "needle").waitFor();
    const second = await demo.open("/");
    await row(second, "needle").waitFor();
    expect([await generation(home), await generation(second)]).toEqual([before, before]);
  });

  test("goes on when the server has been gone for a while, and says so meanwhile", async () => {
    const demo = await openGated();
    const home = await demo.open("/");
    await shows(home, "live");
    await demo.stop();
    await home.getByRole("alert").filter({ hasText: "cannot be reached" }).waitFor();
    await demo.start();
    await postSearch(home);
    await row(home, "needle").waitFor();
    expect(await home.getByRole("alert").isHidden()).toBe(true);
  });

  test("shows the same session again by itself when only its overview has gone", async () => {
    const demo = await openGated();
    const home = await demo.open("/");
    await shows(home, "live");
    const before = await generation(home);
    const [session] = demo.sessions.sessions();
    await demo.stop();
    for await (const runner of session!.runners()) await runner[Symbol.asyncDispose]();
    await demo.start();
    await postSearch(home);
    await row(home, "needle").waitFor();
    expect(await generation(home)).toBe(before);
    await shows(home, "Your session is live.");
  });

  test("says that it shows another session after the server was restarted", async () => {
    const demo = await openGated();
    const home = await demo.open("/");
    await shows(home, "live");
    const before = await generation(home);
    await demo.restart();
    await shows(home, "Your former session has ended. This is a new one.");
    expect(await generation(home)).toBeGreaterThan(before);
  });

  test("a new session that cannot be had says so, and can be asked for again", async () => {
    const demo = await openDemo(browser);
    const home = await demo.open("/");
    await shows(home, "live");
    const before = await generation(home);
    await demo.stop();
    await newSession(home);
    await shows(home, "A new session could not be started. The server cannot be reached.");
    expect(await home.getByRole("alert").isHidden()).toBe(true);
    await demo.start();
    await newSession(home);
    await shows(home, "Your session is live.");
    expect(await generation(home)).toBeGreaterThan(before);
  });

  test("a failure of the overview says so, be it before or after the first look", async () => {
    const gate = createDeferred();
    const late: typeof overview = async (_session, report) => {
      report([{ key: "1", title: "Rows", page: "/search", state: "running", current: 3 }]);
      await gate.promise;
      return [];
    };
    const works = [() => Promise.reject(new Error("the disk is on fire")), late];
    const demo = await openDemo(browser, { work: { overview: (...args) => works.shift()!(...args) } });
    const home = await demo.open("/");
    await shows(home, "Your session cannot be shown any more.");
    await home.reload();
    await rowIs(home, "Rows", "running", "3");
    gate.reject(new Error("the disk is on fire"));
    await shows(home, "Your session cannot be shown any more.");
    await row(home, "Rows").waitFor({ state: "detached" });
  });

  test("fits a phone, be a title ever so long, and works by keyboard", async () => {
    const demo = await openGated();
    const word = "n".repeat(100);
    const search = await startSearch(demo, word);
    const home = await demo.open("/");
    await home.setViewportSize({ width: 360, height: 640 });
    await row(home, word).waitFor();
    expect(await overflow(home)).toBeLessThanOrEqual(0);
    expect(await home.getByRole("button", { name: /^Stop/ }).boundingBox()).toMatchObject({
      x: expect.toSatisfy((x) => x < 330),
    });
    await tabTo(home, "#runners button");
    await home.keyboard.press("Enter");
    await shows(search, "Stopped.");
    const before = await generation(home);
    await tabTo(home, "#renew");
    await home.keyboard.press("Enter");
    await tabTo(home, 'dialog button[value="yes"]');
    await home.keyboard.press("Enter");
    await isNewer(home, before);
  });
});
