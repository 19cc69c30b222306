import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { describe, expect, test, vi } from "vitest";
import { checksum } from "../../examples/demo/dist/checksum.js";
import { createDeferred } from "../../src/base/async.js";
import { browserPath, useBrowser } from "../support/browser.js";
import { atEnd } from "../support/cleanup.js";
import { openDemo, overflow, press, shows, tabTo } from "../support/demo.js";

const browser = useBrowser();
const files = 10;
const content = (n: number) => `file ${n}\n`.repeat(n);
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** A demo over a small folder, whose work waits after so many files until the test opens the gate at that number. */
async function openGated(...stops: number[]) {
  const folder = mkdtempSync(join(tmpdir(), "active-session-demo-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "inner"));
  for (let n = 0; n < files; n++) writeFileSync(join(folder, n < 4 ? "." : "inner", `f${n}.txt`), content(n + 1));
  const gates = new Map(stops.map((stop) => [stop, createDeferred()]));
  const stopped = createDeferred();
  type Report = Parameters<typeof checksum>[1];
  const gated = async (path: string, report: Report, signal: AbortSignal) => {
    signal.addEventListener("abort", () => stopped.resolve());
    const queue: (() => void)[] = [];
    const result = await checksum(path, (...told) => void queue.push(() => report(...told)), signal);
    for (const [index, tell] of queue.entries()) {
      tell();
      const gate = gates.get(index + 1);
      if (gate) await Promise.race([gate.promise, stopped.promise]);
      signal.throwIfAborted();
    }
    return result;
  };
  return { ...(await openDemo(browser, { folder, work: { checksum: gated } })), gates, stopped };
}

const start = (page: Page) => press(page, "Start");
const output = (page: Page, n: number) => page.locator("form.milestone output").nth(n);
async function want(page: Page, n: number, at: number): Promise<void> {
  const form = page.locator("form.milestone").nth(n);
  await form.locator("input").fill(String(at));
  await form.getByRole("button", { name: "Wait" }).click();
}

/** How many requests of the page are under way. */
function watchRequests(page: Page) {
  const counts = { open: 0 };
  const ends = () => void counts.open--;
  page.on("request", () => void counts.open++);
  page.on("requestfinished", ends);
  page.on("requestfailed", ends);
  return () => counts.open;
}

describe.skipIf(!browserPath)("the checksum page in Chromium", () => {
  test("shows how far it has come, and at the end what each entry has come to", async () => {
    const { open, gates } = await openGated(5);
    const page = await open("/checksum");
    await shows(page, "Choose a folder to begin.");
    await start(page);
    await shows(page, "Calculating… 5 files");
    expect(await page.locator("#totals").textContent()).toMatch(/^5 of 10 files, \d+ B of \d+ B$/);
    const value = await page.getByRole("progressbar").getAttribute("value");
    expect(Number(value)).toBeGreaterThan(0);
    expect(Number(value)).toBeLessThan(1);
    gates.get(5)!.resolve();
    await shows(page, "Finished: 10 files");
    const rows = await page.locator("#result tbody tr").allInnerTexts();
    expect(rows).toHaveLength(5);
    const digest = sha256(`f0.txt\0${sha256(content(1))}\n`);
    expect(rows[0]).toContain(digest.slice(0, 16));
    expect(await page.locator("#result tbody code").first().getAttribute("title")).toBe(digest);
    expect(rows[4]).toMatch(/^inner\s+6\s/);
  });

  test("three milestones wait at the same time with one request, and are reached in order", async () => {
    const { open, gates } = await openGated(2, 4, 7);
    const page = await open("/checksum");
    const waitingRequests = watchRequests(page);
    await want(page, 0, 7);
    await want(page, 1, 3); // all before there is anything to wait for
    await start(page);
    await shows(page, "Calculating… 2 files");
    await want(page, 2, 4);
    for (const n of [0, 1, 2]) expect(await output(page, n).textContent()).toBe("Waiting…");
    await vi.waitUntil(() => waitingRequests() === 2); // the one that follows, and one for all milestones
    gates.get(2)!.resolve();
    await output(page, 2).filter({ hasText: "Reached:" }).waitFor();
    expect(await output(page, 1).textContent()).toMatch(/^Reached: /);
    expect(await output(page, 0).textContent()).toBe("Waiting…");
    gates.get(4)!.resolve();
    await output(page, 0).filter({ hasText: "Reached:" }).waitFor();
    gates.get(7)!.resolve();
    await shows(page, "Finished");
    await vi.waitUntil(() => waitingRequests() === 0);
  });

  test("a milestone that the end overtakes says so", async () => {
    const { open, gates } = await openGated(2);
    const page = await open("/checksum");
    await want(page, 0, 1000);
    await start(page);
    await shows(page, "2 files");
    gates.get(2)!.resolve();
    await shows(page, "Finished");
    await output(page, 0).filter({ hasText: "It ended before that." }).waitFor();
  });

  test("with two tabs that wait for everything, Stop is answered all the same, and both say so", async () => {
    const { open, stopped } = await openGated(2);
    const page = await open("/checksum");
    await start(page);
    await shows(page, "2 files");
    const second = await open(`/checksum${new URL(page.url()).hash}`);
    await shows(second, "2 files");
    for (const tab of [page, second]) for (const n of [0, 1, 2]) await want(tab, n, 5 + n);
    await press(second, "Stop");
    await stopped.promise;
    await Promise.all([shows(page, "Stopped. 2 files"), shows(second, "Stopped. 2 files")]);
    for (const tab of [page, second]) await output(tab, 1).filter({ hasText: "It ended before that." }).waitFor();
  });

  test("a reload in the middle goes on", async () => {
    const { open, gates } = await openGated(3);
    const page = await open("/checksum");
    await start(page);
    await shows(page, "3 files");
    await page.reload();
    await shows(page, "3 files");
    gates.get(3)!.resolve();
    await shows(page, "Finished: 10 files");
    expect(await page.locator("#result tbody tr").count()).toBe(5);
  });

  test("goes on when the server has been gone for a while, milestones too", async () => {
    const { open, gates, stop, start: serve } = await openGated(2, 6);
    const page = await open("/checksum");
    await want(page, 0, 5);
    await start(page);
    await shows(page, "2 files");
    await stop();
    await page.getByRole("alert").filter({ hasText: "cannot be reached" }).waitFor();
    await serve();
    gates.get(2)!.resolve();
    await shows(page, "6 files");
    await output(page, 0).filter({ hasText: "Reached:" }).waitFor();
    expect(await page.getByRole("alert").isHidden()).toBe(true);
  });

  test("says that the session has ended", async () => {
    const { open } = await openGated(2);
    const [page, home] = [await open("/checksum"), await open("/")];
    await start(page);
    await shows(page, "2 files");
    await press(home, "New session");
    await shows(page, "The calculation was ended with your session.");
  });

  test("fits a phone and works by keyboard", async () => {
    const { open } = await openGated();
    const page = await open("/checksum");
    await page.setViewportSize({ width: 360, height: 640 });
    await tabTo(page, "#start");
    await page.keyboard.press("Enter");
    await shows(page, "Finished: 10 files");
    expect(await overflow(page)).toBeLessThanOrEqual(0);
  });
});
