import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { createDeferred } from "../../src/base/async.js";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { openDemo, overflow, press, shows } from "../support/demo.js";
import { waitUntil } from "../support/patience.js";

const browser = sharedBrowser();
/** More than the first page, and than one event of the stream. */
const beforeGate = 250;

/** The demo with a folder of so many files, the larger the later; the listing pauses before the last one until the gate opens. */
async function openGated() {
  const gate = createDeferred();
  const stopped = createDeferred();
  let listings = 0;
  async function* list(_root: string, signal: AbortSignal) {
    listings++;
    signal.addEventListener("abort", () => stopped.resolve());
    for (let n = 1; n <= beforeGate; n++) yield { name: `file-${n}`, size: n * 1000 };
    await Promise.race([gate.promise, stopped.promise]);
    signal.throwIfAborted();
    yield { name: "the-last", size: 1e9 };
  }
  const demo = await openDemo(browser, { work: { filesIn: list } });
  const page = await demo.open("/files");
  return { ...demo, page, gate, stopped, listings: () => listings };
}

const largest = (page: Page) => page.getByRole("list", { name: "Largest files" }).getByRole("listitem");

describe.skipIf(!browserPath)("the files page in Chromium", () => {
  test("lists, shows the largest as they come, and ends", async () => {
    const { page, gate } = await openGated();
    await shows(page, "Choose a folder to begin.");
    await press(page, "List");
    await shows(page, "Listing… 250 files, 31.4 MB so far.");
    expect(await largest(page).count()).toBe(10);
    expect(await largest(page).first().textContent()).toBe("file-250 250.0 kB");
    gate.resolve();
    await shows(page, "All listed: 251 files, 1031.4 MB.");
    expect(await largest(page).first().textContent()).toBe("the-last 1000.0 MB");
  });

  test("stops the work, keeps what has come, and starts again", async () => {
    const { page, stopped, listings } = await openGated();
    await press(page, "List");
    await shows(page, "Listing… 250 files");
    await page.locator("form").getByRole("button", { name: "Stop" }).click();
    await stopped.promise;
    await shows(page, "Stopped: 250 files, 31.4 MB.");
    await press(page, "List");
    await shows(page, "All listed: 251 files, 1031.4 MB."); // the gate of this test is open for good
    expect(listings()).toBe(2);
  });

  test("shows what is running in all tabs, and stops it", async () => {
    const { page, open, stopped } = await openGated();
    const other = await open("/files");
    await press(page, "List");
    await shows(page, "Listing… 250 files");
    await other.bringToFront();
    const running = other.getByRole("region", { name: "Running" });
    await running.getByText("running, 250").waitFor();
    await running.getByRole("button", { name: "Stop List of files" }).click();
    await stopped.promise;
    await running.getByText("Nothing of yours is running.").waitFor();
    await page.bringToFront();
    await shows(page, "Stopped: 250 files");
  });

  test("finds its list again after a reload, and shows all of it", async () => {
    const { page, gate, listings } = await openGated();
    await press(page, "List");
    await shows(page, "Listing… 250 files");
    await page.reload();
    await shows(page, "Listing… 250 files, 31.4 MB so far.");
    gate.resolve();
    await shows(page, "All listed: 251 files, 1031.4 MB.");
    expect(listings()).toBe(1);
  });

  test("says that the server cannot be reached, also to a Stop, and goes on when it is back", async () => {
    const { page, gate, stop, start } = await openGated();
    await press(page, "List");
    await shows(page, "Listing… 250 files");
    const running = page.getByRole("region", { name: "Running" });
    await running.getByText("running, 250").waitFor();
    await stop();
    await page.getByRole("alert").filter({ hasText: "The server cannot be reached. Trying again…" }).waitFor();
    await running.getByRole("button", { name: "Stop List of files" }).click();
    await running.getByRole("alert").filter({ hasText: "It could not be stopped." }).waitFor();
    await start();
    gate.resolve();
    await shows(page, "All listed: 251 files, 1031.4 MB.");
    await page.getByText("Trying again").waitFor({ state: "detached" });
  });

  test("a link in the list of what runs leads to the page that shows it", async () => {
    const { page, gate, sessions } = await openGated();
    const [session] = sessions.sessions();
    async function* wait() {
      yield await gate.promise;
    }
    await session!.createSequenceRunner(wait, { data: { title: "Rows", page: "/search" } });
    await page.getByRole("link", { name: "Rows" }).click();
    await page.waitForURL(/\/search#/);
    gate.resolve();
  });

  test("a tab that is closed leaves the work to end by itself, and holds nothing open", async () => {
    const { page, sessions } = await openGated();
    await press(page, "List");
    await shows(page, "Listing… 250 files");
    await waitUntil(() => sessions.stats().openReads === 2); // the list, and what runs
    await page.close();
    await waitUntil(() => sessions.stats().openReads === 0);
  });

  test("fits on a phone", async () => {
    const { page } = await openGated();
    await page.setViewportSize({ width: 380, height: 760 });
    await press(page, "List");
    await shows(page, "Listing… 250 files");
    const running = page.getByRole("region", { name: "Running" }).getByRole("listitem");
    await running.waitFor();
    expect(await overflow(page)).toBe(0);
    const [name, button] = [running.getByRole("link"), running.getByRole("button")];
    const boxes = await Promise.all([name.boundingBox(), button.boundingBox()]);
    expect(boxes[1]!.y).toBeLessThan(boxes[0]!.y + boxes[0]!.height); // in one row
  });
});
