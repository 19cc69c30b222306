import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { createDeferred, type Deferred } from "../../src/base/async.js";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { openDemo, press, shows } from "../support/demo.js";

const browser = sharedBrowser();

/** The demo; each compression gives two files and then waits for its gate. */
async function openGated() {
  const gates: Deferred<void>[] = [];
  async function* compress(_folder: string, signal: AbortSignal) {
    const gate = createDeferred();
    gates.push(gate);
    const stopped = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    yield { name: "one.js", bytes: 2000, packed: 1000 };
    yield { name: "two.js", bytes: 3000, packed: 1000 };
    await Promise.race([gate.promise, stopped]);
  }
  const { open, sessions } = await openDemo(browser, { work: { compress } });
  return { open: (path = "/exclusive") => open(path), gates, sessions };
}

const start = (page: Page) => press(page, "Start");

describe.skipIf(!browserPath)("the exclusive page in Chromium", () => {
  test("a second tab waits, says so, and begins when the first one has finished", async () => {
    const { open, gates } = await openGated();
    const [first, second] = [await open(), await open()];
    await start(first);
    await shows(first, "Compressing… 2 files so far.");
    await start(second);
    await shows(second, "Waiting for its turn…");
    expect(gates).toHaveLength(1);
    gates[0]!.resolve();
    await shows(first, "Finished: 2 files.");
    await shows(second, "Compressing… 2 files so far.");
    expect(await second.locator("#total").textContent()).toBe("5.0 kB → 2.0 kB");
  });

  test("Stop in the first tab lets the second one begin; Stop while it waits gives up its place", async () => {
    const { open, gates } = await openGated();
    const [first, second, third] = [await open(), await open(), await open()];
    await start(first);
    await shows(first, "2 files so far");
    await start(second);
    await shows(second, "Waiting");
    await press(second, "Stop");
    await shows(second, "Stopped.");
    await start(third);
    await shows(third, "Waiting");
    await press(first, "Stop");
    await shows(first, "Stopped. 2 files until then.");
    await shows(third, "2 files so far");
    expect(gates).toHaveLength(2);
  });

  test("ending the session ends the work that runs and rejects what waits; the session of the other pages lives on", async () => {
    const { open, sessions } = await openGated();
    const home = await open("/");
    await shows(home, "Your session is live.");
    const [first, second] = [await open(), await open()];
    await start(first);
    await shows(first, "2 files so far");
    await start(second);
    await shows(second, "Waiting");
    expect([...sessions.sessions()].map(({ suffix }) => suffix)).toEqual([undefined, "exclusive"]);
    await press(second, "End this session");
    await press(second, "End it");
    await shows(second, "The compression could not be started. Your session has ended meanwhile.");
    await shows(first, "The compression was ended with your session.");
    await shows(home, "Your session is live.");
    await start(second);
    await shows(second, "2 files so far");
  });

  test("a reload goes on with what the address names", async () => {
    const { open, gates } = await openGated();
    const page = await open();
    await start(page);
    await shows(page, "2 files so far");
    await page.reload();
    await shows(page, "2 files so far");
    gates[0]!.resolve();
    await shows(page, "Finished: 2 files.");
  });
});
