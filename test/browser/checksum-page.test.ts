import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page, Request } from "playwright-core";
import { describe, expect, test } from "vitest";
import { checksum } from "../../examples/demo/dist/checksum.js";
import { createDeferred } from "../../src/base/async.js";
import { browserPath, sharedBrowser } from "../support/browser.js";
import { atEnd } from "../support/cleanup.js";
import { newSession, openDemo, overflow, press, samePath, shows, tabTo } from "../support/demo.js";
import { waitUntil } from "../support/patience.js";

const browser = sharedBrowser();
const files = 10;
/** The n-th file has n lines, of seven bytes each; the tenth one's have eight. */
const content = (n: number) => `file ${n}\n`.repeat(n);
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

/** The digests of the folder below, by entry, as the page must show them. */
const digests = Object.fromEntries(
  [[0], [1], [2], [3], [4, 5, 6, 7, 8, 9]].map((numbers) => {
    const lines = numbers.map((n) => `${pathOf(n)}\0${sha256(content(n + 1))}\n`);
    return [pathOf(numbers[0]!).split("/")[0]!, sha256(lines.join(""))];
  }),
);

function pathOf(n: number): string {
  return n < 4 ? `f${n}.txt` : `inner/f${n}.txt`;
}

function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "active-session-demo-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "inner"));
  for (let n = 0; n < files; n++) writeFileSync(join(folder, pathOf(n)), content(n + 1));
  return folder;
}

type Report = Parameters<typeof checksum>[1];
/** What the work reports when it has done so many files of ten. */
const value = (done: number) => ({ files: done, of: files, bytes: done, ofBytes: files, elapsed: 1000 * done });

/** A demo over a small folder, whose work waits after so many files until the test opens the gate at that number. */
async function openGated(...stops: number[]) {
  const folder = makeFolder();
  const gates = new Map(stops.map((stop) => [stop, createDeferred()]));
  const stopped = createDeferred();
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
  const demo = await openDemo(browser, { folder, work: { checksum: gated } });
  /** Waits until the follower and just this milestone wait at the server, not only in the browser: a file may come now. */
  const waitsFor = (at: number) =>
    waitUntil(() => {
      const asked = [...demo.live].map(({ url }) => new URLSearchParams(url!.split("?")[1]));
      const milestones = asked
        .filter((query) => query.has("min-items"))
        .map((query) => Number(query.get("offset")) + 1);
      return milestones.join() === String(at) && demo.sessions.stats().openReads === 2;
    });
  return { ...demo, gates, stopped, waitsFor };
}

const start = (page: Page) => press(page, "Start");
const output = (page: Page, n: number) => page.locator("form.milestone output").nth(n);
async function want(page: Page, n: number, at: number): Promise<void> {
  await page.bringToFront();
  const form = page.locator("form.milestone").nth(n);
  await form.locator("input").fill(String(at));
  await form.getByRole("button", { name: "Wait" }).click();
}

/** How many requests of the page are under way, and which milestones it has asked for. */
function watchRequests(page: Page) {
  const requests = { open: 0, milestones: [] as number[] };
  const isOurs = (request: Request) => !request.url().endsWith("/work"); // what a page asks for when it is entered
  const ends = (request: Request) => void (isOurs(request) && requests.open--);
  page.on("request", (request) => {
    if (isOurs(request)) requests.open++;
    const { searchParams } = new URL(request.url());
    if (searchParams.has("min-items")) requests.milestones.push(Number(searchParams.get("offset")) + 1);
  });
  page.on("requestfinished", ends);
  page.on("requestfailed", ends);
  return requests;
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
    expect(await page.locator("#totals").textContent()).toBe("10 of 10 files, 395 B of 395 B");
    expect(await page.getByRole("progressbar").getAttribute("value")).toBe("1");
    const rows = await page.locator("#result tbody tr").evaluateAll((all) =>
      all.map((row) => {
        const digest = row.querySelector("code")!;
        return [...[...row.children].map((cell) => cell.textContent), digest.title];
      }),
    );
    const shown = (name: string, count: string, bytes: string) => {
      const digest = digests[name]!;
      return [name, count, bytes, digest.slice(0, 16), digest];
    };
    expect(rows).toEqual([
      ...["7 B", "14 B", "21 B", "28 B"].map((bytes, n) => shown(`f${n}.txt`, "1", bytes)),
      shown("inner", "6", "325 B"),
    ]);
  });

  test("three milestones wait at the same time with one request, and are reached in order", async () => {
    const { open, gates, waitsFor } = await openGated(2, 4, 7);
    const page = await open("/checksum");
    const requests = watchRequests(page);
    const reached: string[] = [];
    await page.exposeFunction("onReached", (text: string) => void reached.push(text));
    await page.evaluate(`for (const output of document.querySelectorAll("form.milestone output")) {
      new MutationObserver(() => output.textContent === "Waiting…" || onReached(output.textContent)).observe(output, { childList: true });
    }`);
    await want(page, 0, 7);
    await want(page, 1, 3); // all before there is anything to wait for
    expect(requests.open).toBe(0);
    await start(page);
    await shows(page, "Calculating… 2 files");
    await want(page, 2, 4);
    for (const n of [0, 1, 2]) expect(await output(page, n).textContent()).toBe("Waiting…");
    await waitsFor(3);
    await waitUntil(() => requests.open === 2); // the one that follows, and one for all milestones
    gates.get(2)!.resolve();
    await output(page, 2).filter({ hasText: "Reached:" }).waitFor();
    expect(await output(page, 0).textContent()).toBe("Waiting…");
    await waitsFor(7);
    await waitUntil(() => requests.open === 2);
    gates.get(4)!.resolve();
    await output(page, 0).filter({ hasText: "Reached:" }).waitFor();
    gates.get(7)!.resolve();
    await shows(page, "Finished");
    await waitUntil(() => requests.open === 0);
    expect(reached).toEqual(["Reached: 42 B", "Reached: 70 B", "Reached: 196 B"]);
    expect(requests.milestones).toEqual([3, 4, 7]);
  });

  test("a nearer milestone takes the place of the one that is waited for, which comes after it", async () => {
    const { open, gates, waitsFor } = await openGated(2, 4);
    const page = await open("/checksum");
    await start(page);
    await shows(page, "2 files");
    await want(page, 0, 1); // long past
    await output(page, 0).filter({ hasText: "Reached: 21 B" }).waitFor();
    const requests = watchRequests(page);
    await want(page, 1, 8);
    await waitUntil(() => requests.open === 1);
    const given = page.waitForEvent("requestfailed");
    await want(page, 2, 3);
    await given;
    await waitsFor(3);
    await waitUntil(() => requests.open === 1);
    gates.get(2)!.resolve();
    await output(page, 2).filter({ hasText: "Reached: 42 B" }).waitFor();
    expect(await output(page, 1).textContent()).toBe("Waiting…");
    await waitsFor(8);
    gates.get(4)!.resolve();
    await output(page, 1).filter({ hasText: "Reached: 252 B" }).waitFor();
  });

  test("a milestone that the end overtakes says so, be it by one file only", async () => {
    const { open, gates } = await openGated(2);
    const page = await open("/checksum");
    await want(page, 0, 1000);
    await want(page, 1, files + 1);
    await want(page, 2, files);
    await start(page);
    await shows(page, "2 files");
    gates.get(2)!.resolve();
    await shows(page, "Finished");
    for (const n of [0, 1]) await output(page, n).filter({ hasText: "It ended before that." }).waitFor();
    expect(await output(page, 2).textContent()).toBe("Reached: 395 B");
  });

  test("with two tabs that wait for everything, Stop is answered all the same, and both say so", async () => {
    const { open, stopped } = await openGated(2);
    const page = await open("/checksum");
    const requests = watchRequests(page);
    await start(page);
    await shows(page, "2 files");
    const second = await open(samePath(page));
    await shows(second, "2 files");
    const more = watchRequests(second); // beside the one that follows
    for (const tab of [page, second]) for (const n of [0, 1, 2]) await want(tab, n, 5 + n);
    await waitUntil(() => requests.open === 2 && more.open === 1);
    await press(second, "Stop");
    await stopped.promise;
    await Promise.all([shows(page, "Stopped. 2 files"), shows(second, "Stopped. 2 files")]);
    for (const tab of [page, second]) await output(tab, 1).filter({ hasText: "It ended before that." }).waitFor();
  });

  test("Stop before the first file stops what has been started as soon as its key is there", async () => {
    const begun = createDeferred();
    const first = createDeferred();
    const stopped = createDeferred();
    const work = {
      checksum: async (_folder: string, report: Report, signal: AbortSignal) => {
        signal.addEventListener("abort", () => stopped.resolve());
        begun.resolve();
        await first.promise;
        report(value(1));
        await stopped.promise;
        return value(1);
      },
    };
    const { open } = await openDemo(browser, { work });
    const page = await open("/checksum");
    await start(page);
    await begun.promise;
    await press(page, "Stop");
    await shows(page, "Stopped.");
    first.resolve();
    await stopped.promise;
    expect(await page.locator("#totals").textContent()).toBe("");
    expect(await page.locator("#status").textContent()).toBe("Stopped.");
  });

  test("a failure says so after the files that came before it, and to the milestones", async () => {
    const { open, gates } = await openGated(2);
    const page = await open("/checksum");
    await want(page, 0, 5);
    await start(page);
    await shows(page, "2 files");
    gates.get(2)!.reject(new Error("the disk is on fire"));
    await shows(page, "The calculation failed after 2 files, 21 B.");
    await output(page, 0).filter({ hasText: "It ended before that." }).waitFor();
  });

  test("a failure before the first file says so", async () => {
    const { open } = await openDemo(browser, { folder: join(tmpdir(), "active-session-demo-that-is-not-there") });
    const page = await open("/checksum");
    await start(page);
    await shows(page, "The calculation failed after 0 files, 0 B.");
    await page.reload();
    await shows(page, "The calculation failed after 0 files, 0 B.");
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

  test("the time that is left is that of the server: the same after a reload, and gone with a Stop", async () => {
    const stopped = createDeferred();
    const work = {
      checksum: async (_folder: string, report: Report, signal: AbortSignal) => {
        signal.addEventListener("abort", () => stopped.resolve());
        report({ ...value(2), elapsed: 4000 });
        await stopped.promise;
        return value(2);
      },
    };
    const page = await (await openDemo(browser, { work })).open("/checksum");
    await start(page);
    const left = page.locator("#remaining").filter({ hasText: "about 16 seconds left" });
    await left.waitFor();
    await page.reload();
    await left.waitFor();
    await press(page, "Stop");
    await shows(page, "Stopped.");
    expect(await page.locator("#remaining").textContent()).toBe("");
  });

  test("says that the session has ended", async () => {
    const { open } = await openGated(2);
    const [page, home] = [await open("/checksum"), await open("/")];
    await start(page);
    await shows(page, "2 files");
    await newSession(home);
    await shows(page, "The calculation was ended with your session.");
  });

  test("fits a phone, be a name ever so long, and works by keyboard", async () => {
    const folder = makeFolder();
    writeFileSync(join(folder, "a".repeat(200)), "");
    const first = createDeferred();
    const stopped = createDeferred();
    const work: { checksum: typeof checksum } = {
      checksum: async (path, report, signal) => {
        const result = await checksum(path, () => {}, signal);
        report({ ...value(1), latest: "b".repeat(200) });
        signal.addEventListener("abort", () => stopped.resolve());
        await Promise.race([first.promise, stopped.promise]);
        return result;
      },
    };
    const { open } = await openDemo(browser, { folder, work });
    const page = await open("/checksum");
    await page.setViewportSize({ width: 360, height: 640 });
    await tabTo(page, "form.milestone input >> nth=0");
    await page.keyboard.type("200");
    await page.keyboard.press("Enter");
    await output(page, 0).filter({ hasText: "Waiting…" }).waitFor();
    await tabTo(page, "#start");
    await page.keyboard.press("Enter");
    await shows(page, "1 file, 1 B so far.");
    expect(await overflow(page)).toBeLessThanOrEqual(0);
    first.resolve();
    await shows(page, "Finished: 11 files");
    expect(await overflow(page)).toBeLessThanOrEqual(0);
  });
});
