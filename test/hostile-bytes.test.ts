/** How much one answer may weigh: items are of any size, and a page is not. */
import { describe, expect, test } from "vitest";
import { createRunnerHandler } from "../src/http/router.js";
import { defineSequenceRunner } from "../src/session/define.js";
import { atEnd } from "./support/cleanup.js";
import { isPending, openHost, PushSource } from "./support/control.js";
import { inside } from "./support/inside.js";
import { openApp, type TestAppOptions } from "./support/server.js";
import { wireRequest } from "./support/wire.js";

const megabyte = 1024 * 1024;
const pageBytes = megabyte; // the default
const json = { "content-type": "application/json" };

/** So many texts of so many bytes each, which can be told apart. */
function texts(count: number, bytes: number, letter = "x"): string[] {
  const rest = letter.repeat(bytes / Buffer.byteLength(letter));
  return Array.from({ length: count }, (_, i) => `${i}:${rest}`);
}

function bytesOf(items: unknown): number {
  return Buffer.byteLength(JSON.stringify(items));
}

/** Options that the router does not have yet. */
function router(options: { pageBytes?: number; maxItemBytes?: number }): NonNullable<TestAppOptions["router"]> {
  return options as object;
}

/** Ann's work, which has come to its end with these items. */
async function openEnded(items: unknown[], options: TestAppOptions = {}) {
  const app = await openApp(options);
  const ann = await app.user("ann");
  const runner = await ann.session.createSequenceRunner(items, { retain: "all" });
  await runner.cleanup;
  const ask = (query: string) => ann.fetch(`/runners/${runner.key}?${query}`);
  return { ...app, ann, runner, ask };
}

/** Reads from the beginning to the end; returns what came in each answer. */
async function readOn(ask: (query: string) => Promise<Response>, query = ""): Promise<unknown[][]> {
  const pages: unknown[][] = [];
  let offset = 0;
  for (let isClosed = false; !isClosed; ) {
    const response = await ask(`offset=${offset}${query}`);
    expect(response.status).toBe(200);
    const items = (await response.json()) as unknown[];
    pages.push(items);
    offset += items.length;
    expect(Number(response.headers.get("stream-next-offset"))).toBe(offset);
    isClosed = response.headers.has("stream-closed");
    expect(response.headers.has("stream-up-to-date")).toBe(isClosed);
    expect(items.length).toBeGreaterThan(0);
  }
  return pages;
}

describe.each([
  ["a page", ""],
  ["a long-poll", "&live=long-poll&min-items=30"],
])("%s", (_what, query) => {
  test.each([
    ["letters of one byte", "x"],
    ["letters of three bytes", "€"],
    ["letters that JSON makes six bytes of", "\u0001"],
  ])("has a megabyte of JSON at most, and reading on gets everything: %s", async (_kind, letter) => {
    const items = texts(30, 90_000, letter);
    const { ask } = await openEnded(items);
    const pages = await readOn(ask, query);
    expect(Math.max(...pages.map(bytesOf))).toBeLessThanOrEqual(pageBytes);
    expect(pages.flat()).toEqual(items);
  });

  test("has one item at least, however large that is (P68)", async () => {
    const items = ["small", ...texts(3, 2 * megabyte), "small"];
    const { ask } = await openEnded(items);
    const pages = await readOn(ask, query);
    for (const page of pages) if (page.length > 1) expect(bytesOf(page)).toBeLessThanOrEqual(pageBytes);
    expect(pages.flat()).toEqual(items);
  });

  test("has as many bytes as the router's pageBytes says", async () => {
    const items = texts(20, 100);
    const { ask } = await openEnded(items, { router: router({ pageBytes: 500 }) });
    const pages = await readOn(ask, query);
    expect(Math.max(...pages.map(bytesOf))).toBeLessThanOrEqual(500);
    expect(Math.max(...pages.map((page) => page.length))).toBeGreaterThan(1);
    expect(pages.flat()).toEqual(items);
  });

  test("of so many items that no text can hold them together is answered all the same", async () => {
    const [item = ""] = texts(1, megabyte);
    const { ask } = await openEnded(Array<string>(520).fill(item));
    const response = await ask(`offset=0${query}`);
    expect(response.status).toBe(200);
    expect(await response.json()).toEqual([item]);
  });
});

describe("what is full is answered, although more items were asked for than are there", () => {
  const items = texts(12, 110_000); // nine are nearly a megabyte

  test("a long-poll", async () => {
    const sessions = openHost();
    const source = new PushSource<string>();
    const runner = await (await sessions.get("ann")).createSequenceRunner(source);
    const gone = new AbortController();
    atEnd(() => gone.abort());
    const query = new URLSearchParams("live=long-poll&offset=0&min-items=30&timeout=60");
    const answer = createRunnerHandler(inside(sessions))(
      wireRequest(sessions, runner.key, { query, signal: gone.signal }),
    );
    expect(await isPending(answer)).toBe(true);
    source.push(...items);
    expect(await isPending(answer)).toBe(false);
    const { body, headers } = await answer;
    const received = JSON.parse(body as string) as string[];
    expect(bytesOf(received)).toBeLessThanOrEqual(pageBytes);
    expect(received).toEqual(items.slice(0, 9));
    expect(Number(headers["Stream-Next-Offset"])).toBe(9);
  });

  test("a creation", async () => {
    const sessions = openHost();
    const source = new PushSource<string>();
    const work = defineSequenceRunner({ name: "work", run: () => source });
    const gone = new AbortController();
    atEnd(() => gone.abort());
    const query = new URLSearchParams("min-items=30&timeout=60");
    const post = { method: "POST", headers: json, body: "{}", query, signal: gone.signal };
    const answer = createRunnerHandler(inside(sessions), { expose: [work] })(wireRequest(sessions, "work", post));
    expect(await isPending(answer)).toBe(true);
    source.push(...items);
    expect(await isPending(answer)).toBe(false);
    const { body, headers } = await answer;
    const received = JSON.parse(body as string) as { items: string[]; position: number };
    expect(bytesOf(received.items)).toBeLessThanOrEqual(pageBytes);
    expect(received).toMatchObject({ items: items.slice(0, 9), position: 9, closed: false });
    expect(Number(headers["Stream-Next-Offset"])).toBe(9);
  });
});

test("a creation has a megabyte of items at most, and reading on gets the rest (P68)", async () => {
  const items = texts(30, 100_000);
  const work = defineSequenceRunner({ name: "work", run: () => items });
  const { user } = await openApp({ router: { expose: [work] } });
  const ann = await user("ann");
  const response = await ann.fetch("/runners/work?min-items=30", { method: "POST", headers: json, body: "{}" });
  const first = (await response.json()) as { key: string; items: string[] };
  expect(bytesOf(first.items)).toBeLessThanOrEqual(pageBytes);
  expect(Number(response.headers.get("stream-next-offset"))).toBe(first.items.length);
  const rest = await ann.fetch(`/runners/${first.key}?offset=${first.items.length}`);
  const next = (await rest.json()) as string[];
  expect(next.length).toBeGreaterThan(0);
  expect([...first.items, ...next]).toEqual(items.slice(0, first.items.length + next.length));
});

describe("an item that is larger than any may be", () => {
  const tooLarge = "x".repeat(9 * megabyte);
  const code = (response: Response) => response.headers.get("runner-error-code");

  test.each([
    ["a page", "offset=1"],
    ["a long-poll", "offset=1&live=long-poll"],
    ["an event stream", "offset=1&live=sse"],
  ])(
    "is refused with a code where %s begins with it; what lies before and behind it is served",
    async (_what, query) => {
      const { ask, ann, runner } = await openEnded(["before", tooLarge, "behind"]);
      const refused = await ask(query);
      expect(code(refused)).toBe("ITEM_TOO_LARGE");
      expect(await refused.json()).toMatchObject({ code: "ITEM_TOO_LARGE" });
      expect(refused.status).toBeGreaterThanOrEqual(400);
      const before = await ask("offset=0");
      expect([await before.json(), Number(before.headers.get("stream-next-offset"))]).toEqual([["before"], 1]);
      expect(await (await ask("offset=2")).json()).toEqual(["behind"]);
      expect((await ann.fetch(`/runners/${runner.key}/state`)).status).toBe(200);
    },
  );

  test("ends an event stream in front of it (P84, P116)", async () => {
    const { ask } = await openEnded(["before", tooLarge, "behind"]);
    const text = await (await ask("offset=0&live=sse")).text();
    expect(text.length).toBeLessThan(megabyte);
    expect(text).toContain('data:["before"]');
    expect(text).not.toContain("behind");
  });

  test("is refused with a code where a creation would answer with it", async () => {
    const work = defineSequenceRunner({ name: "work", run: () => [tooLarge] });
    const { user } = await openApp({ router: { expose: [work] } });
    const ann = await user("ann");
    const refused = await ann.fetch("/runners/work", { method: "POST", headers: json, body: "{}" });
    expect(code(refused)).toBe("ITEM_TOO_LARGE");
  });

  test("is refused with a code where it is the value of a process", async () => {
    const { user } = await openApp();
    const ann = await user("ann");
    const runner = await ann.session.createProcessRunner(async () => tooLarge);
    await runner.cleanup;
    expect(code(await ann.fetch(`/runners/${runner.key}?offset=0`))).toBe("ITEM_TOO_LARGE");
  });

  test("is measured in bytes, not in letters", async () => {
    const { ask } = await openEnded(["€".repeat(3 * megabyte)]);
    expect(code(await ask("offset=0"))).toBe("ITEM_TOO_LARGE");
  });

  test("is one of more bytes than the router's maxItemBytes says", async () => {
    const { ask } = await openEnded(texts(2, 1000), { router: router({ maxItemBytes: 500 }) });
    expect(code(await ask("offset=0"))).toBe("ITEM_TOO_LARGE");
    const larger = await openEnded([tooLarge], { router: router({ maxItemBytes: 10 * megabyte }) });
    expect(await (await larger.ask("offset=0")).json()).toEqual([tooLarge]);
  });
});
