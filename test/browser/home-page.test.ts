import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { createDeferred } from "../../src/base/async.js";
import { browserPath, useBrowser } from "../support/browser.js";
import { openDemo, overflow, press, type ServedDemo, shows, tabTo } from "../support/demo.js";

const browser = useBrowser();
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

const row = (page: Page, title: string) => page.getByRole("row").filter({ hasText: title });
const generation = async (page: Page) => Number(await page.locator("#generation").textContent());

describe.skipIf(!browserPath)("the home page in Chromium", () => {
  test("shows the session, and its runners as they come, go on and end", async () => {
    const demo = await openGated();
    const home = await demo.open("/");
    await shows(home, "Your session is live.");
    await home.getByText("Nothing is running.").waitFor();
    const search = await startSearch(demo);
    await row(home, "Search for “needle”").filter({ hasText: "sequence" }).filter({ hasText: "25" }).waitFor();
    demo.gate.resolve();
    await shows(search, "Finished: 26 matches.");
    await row(home, "Search for “needle”").filter({ hasText: "completed" }).filter({ hasText: "26" }).waitFor();
    expect(await home.getByRole("button", { name: "Stop Search" }).isVisible()).toBe(false);
    const [session] = demo.sessions.sessions();
    expect(await home.locator("#session-id").textContent()).toBe(session!.id);
    expect(await generation(home)).toBe(session!.generation);
  });

  test("its links lead to the page that shows the runner", async () => {
    const demo = await openGated();
    const home = await demo.open("/");
    await startSearch(demo);
    await home.getByRole("link", { name: "Search for “needle”" }).click();
    await shows(home, "25 matches so far");
  });

  test("Stop stops just that runner", async () => {
    const demo = await openGated();
    const [one, two] = [await startSearch(demo, "one"), await startSearch(demo, "two")];
    const home = await demo.open("/");
    await press(home, "Stop Search for “one”");
    await shows(one, "Stopped.");
    await row(home, "“one”").filter({ hasText: "aborted (stopped)" }).waitFor();
    expect(await two.locator("#status").textContent()).toContain("25 matches so far");
    expect(await row(home, "“two”").getByRole("button").isVisible()).toBe(true);
  });

  test("New session ends this one, everywhere, and shows a larger generation", async () => {
    const demo = await openGated();
    const [home, other] = [await demo.open("/"), await demo.open("/")];
    const search = await startSearch(demo);
    await row(home, "needle").waitFor();
    const before = await generation(home);
    await press(home, "New session");
    await home.waitForFunction((old) => Number(document.querySelector("#generation")!.textContent) > old, before);
    await home.getByText("Nothing is running.").waitFor();
    await shows(search, "The search was ended with your session.");
    await shows(other, "Your session has ended.");
    await press(other, "New session");
    await shows(other, "Your session is live.");
  });

  test("a reload, and a second tab, show the same session", async () => {
    const demo = await openGated();
    await startSearch(demo);
    const home = await demo.open("/");
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
    await startSearch(demo);
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
    await startSearch(demo);
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

  test("fits a phone and works by keyboard", async () => {
    const demo = await openGated();
    const search = await startSearch(demo);
    const home = await demo.open("/");
    await home.setViewportSize({ width: 360, height: 640 });
    await row(home, "needle").waitFor();
    expect(await overflow(home)).toBeLessThanOrEqual(0);
    await tabTo(home, "#runners button");
    await home.keyboard.press("Enter");
    await shows(search, "Stopped.");
  });
});
