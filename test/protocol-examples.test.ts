/** The examples of docs/protocol.md, run as they stand, over a network that breaks. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EventSource } from "eventsource";
import { describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { defineSequenceRunner } from "../src/index.js";
import type { Runner } from "../src/runner/runner.js";
import type { RunnerOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { PushSource, turns } from "./support/control.js";
import { type Cut, openCuttingProxy } from "./support/cutting-proxy.js";
import { openApp } from "./support/server.js";

const text = readFileSync(new URL("../docs/protocol.md", import.meta.url), "utf8");
const [shell] = [...text.matchAll(/```sh\n(.*?)```/gs)].map((match) => match[1]!);
const scripts = [...text.matchAll(/```js\n(.*?)```/gs)].map((match) => match[1]!);
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

type Timer = (callback: () => void, delay: number) => unknown;
type Follow = (url: string, onItems: (items: unknown[]) => unknown) => Promise<string>;
type Listen = (
  url: string,
  onItem: (item: unknown) => void,
  onEnd: (state: { readonly status: string } | undefined) => void,
) => void;

const annsFetch: typeof fetch = (url, init) => fetch(url, { ...init, headers: { ...init?.headers, "x-user": "ann" } });

/** What the examples define, with a `fetch` that is Ann's and timers that do not wait. */
function examples({ fetch = annsFetch, delays = [] as number[] } = {}) {
  class AnnsEventSource extends EventSource {
    constructor(url: string) {
      super(url, { fetch: annsFetch as never });
      atEnd(() => this.close());
    }
  }
  const soon: Timer = (callback, delay) => {
    delays.push(delay);
    return setImmediate(callback);
  };
  const parameters = ["fetch", "EventSource", "setTimeout"];
  const evaluate = new Function(...parameters, `${scripts.join("\n")}\nreturn { follow, listen };`);
  return evaluate(fetch, AnnsEventSource, soon) as { follow: Follow; listen: Listen };
}

/** Ann's runner behind a network that cuts the connections one after the other as it is told to. */
async function open({
  cuts = [] as Cut[],
  pageLimit = 50,
  ...options
}: RunnerOptions & { cuts?: Cut[]; pageLimit?: number }) {
  const app = await openApp({ router: { pageLimit } });
  const proxy = await openCuttingProxy(app.url, () => cuts.shift());
  const source = new PushSource<unknown>();
  const { session } = await app.user("ann");
  const runner = await session.createSequenceRunner(source, options);
  /** What the server was asked, without the key. */
  const requests: string[] = [];
  app.server.prependListener("request", ({ method, url }) =>
    requests.push(`${method} ${url!.slice("/runners/".length + runner.key.length)}`),
  );
  return { ...app, source, runner, requests, at: `${proxy.url}/runners/${runner.key}`, proxy };
}

async function produced(runner: Runner, count: number): Promise<void> {
  while ((await runner.state()).progress.current < count) await turns(1);
}

const cutAnywhere = (): Cut[] => [
  { after: -1, how: "destroy" },
  { after: 0, how: "end" },
  { after: 300, how: "destroy" },
  { after: 1400, how: "destroy" },
  { after: 1700, how: "end" },
];

test("there are as many examples as are run here", () => {
  expect([shell === undefined, scripts.length]).toEqual([false, 2]);
});

const hasCurl = spawnSync("curl", ["--version"]).status === 0;
if (!hasCurl) console.warn("THE EXAMPLE WITH CURL IS NOT TESTED: there is no curl on this machine");

test.skipIf(!hasCurl)("the example with curl prints what it says", async () => {
  const count = defineSequenceRunner({ name: "count", run: ({ to }: { to: number }) => range(1, to + 1) });
  const { url } = await openApp({ middleware: {}, router: { expose: [count] } });
  const cwd = mkdtempSync(join(tmpdir(), "active-session-curl-"));
  atEnd(() => rmSync(cwd, { recursive: true, force: true }));
  const env = { ...process.env, RUNNERS: `${url}/runners` };
  const run = spawn("sh", ["-eu", "-c", shell!], { cwd, env, stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  run.stdout.setEncoding("utf8").on("data", (piece: string) => {
    printed += piece;
  });
  expect(await once(run, "close")).toEqual([0, null]);
  const expected = [...shell!.matchAll(/# → (.*)$/gm)].map(([, line]) => line!);
  expect(expected.length).toBeGreaterThan(10);
  let from = 0;
  for (const line of expected) {
    const at = printed.indexOf(line, from);
    expect(at, `${line}\nin\n${printed.slice(from)}`).toBeGreaterThanOrEqual(0);
    from = at + line.length;
  }
});

describe("the example with fetch", () => {
  test("loses and repeats nothing, wherever it is cut (P170, P171, P174)", async () => {
    const { source, at, proxy } = await open({ cuts: cutAnywhere() });
    source.push(...range(0, 300));
    source.end();
    const items: unknown[] = [];
    const delays: number[] = [];
    expect(await examples({ delays }).follow(at, (more) => items.push(...more))).toBe("completed");
    expect(items).toEqual(range(0, 300));
    expect([proxy.cuts.length, delays.length]).toEqual([5, 5]);
  });

  test.each([
    ["failed", (source: PushSource<unknown>) => source.fail(new Error("broken"))],
    ["aborted", (_: PushSource<unknown>, runner: Runner) => runner.abort()],
  ])("ends with the runner: %s (P171)", async (status, end) => {
    const { source, runner, at } = await open({});
    const items: unknown[] = [];
    const following = examples().follow(at, async (more) => {
      items.push(...more);
      await end(source, runner);
    });
    source.push("a");
    expect([await following, items]).toEqual([status, ["a"]]);
  });

  test("waits as long as it is asked to, else longer from time to time (P174)", async () => {
    const { source, at } = await open({});
    source.end();
    const error = { "Runner-Error-Code": "SERVER_LIMIT_REACHED" };
    const busy = [
      new Response("", { status: 503, headers: { ...error, "Retry-After": "7" } }),
      new Response("", { status: 500 }),
      new Response("", { status: 502 }),
      new Response("", { status: 429, headers: error }),
    ];
    const delays: number[] = [];
    const fetch: typeof globalThis.fetch = async (...asked) => busy.shift() ?? annsFetch(...asked);
    expect(await examples({ fetch, delays }).follow(at, () => {})).toBe("completed");
    const [asked, ...others] = delays;
    expect([asked, others.length]).toEqual([7000, 3]);
    for (const [i, delay] of others.entries()) {
      expect(delay).toBeGreaterThanOrEqual(125 * 2 ** i);
      expect(delay).toBeLessThanOrEqual(250 * 2 ** i);
    }
  });

  test("stops where another try would not help (P173)", async () => {
    const { source, at, runner } = await open({});
    source.push(1, 5n);
    await produced(runner, 2);
    const items: unknown[] = [];
    const following = () => examples().follow(at, (more) => items.push(...more));
    await expect(following()).rejects.toThrow("RESULT_NOT_SERIALIZABLE");
    expect(items).toEqual([1]);
    await expect(following()).rejects.toThrow("POSITION_GONE");
    await runner[Symbol.asyncDispose]();
    await expect(following()).rejects.toThrow("RUNNER_GONE");
  });
});

describe("the example with EventSource", () => {
  /** Listens until the end. */
  function listen(at: string) {
    const items: unknown[] = [];
    const end = createDeferred<{ readonly status: string } | undefined>();
    examples().listen(at, (item) => items.push(item), end.resolve);
    return { items, end: end.promise };
  }

  test("loses and repeats nothing, wherever it is cut (P98, P190, P191, P194)", async () => {
    const { source, at, proxy, runner } = await open({ cuts: cutAnywhere(), aheadLimit: 40 });
    const { items, end } = listen(at);
    source.push(...range(0, 300));
    source.end();
    expect(await end).toMatchObject({ key: runner.key, status: "completed" });
    expect(items).toEqual(range(0, 300));
    expect(proxy.cuts.length).toBeGreaterThan(1);
  });

  test("is told the end at once, also where nothing has come for long (P193)", async () => {
    const { source, at, runner } = await open({});
    const { items, end } = listen(at);
    source.push("a");
    while (items.length === 0) await turns(1);
    await runner.abort();
    expect([await end, items]).toEqual([expect.objectContaining({ status: "aborted" }), ["a"]]);
  });

  test("is told that it is refused, and no more (P195)", async () => {
    const { at, runner } = await open({});
    await runner[Symbol.asyncDispose]();
    expect(await listen(at).end).toBeUndefined();
  });
});

test("P83, P87: an EventSource that is left to itself begins again at the old offset after as many items as the ahead limit says", async () => {
  const { at, source, runner } = await open({ aheadLimit: 3 });
  await annsFetch(at, { method: "HEAD" }); // the first request makes a timer that stays
  vi.useFakeTimers();
  source.push(...range(0, 10));
  await produced(runner, 3);
  const events = new EventSource(`${at}?live=sse&offset=-1&max-items=3`, { fetch: annsFetch as never });
  atEnd(() => events.close());
  const items: unknown[] = [];
  events.addEventListener("data", ({ data }) => items.push(...(JSON.parse(data) as unknown[])));
  for (const count of [3, 6]) {
    while (items.length < count) await turns(1);
    const ended = once(events, "error");
    vi.advanceTimersByTime(1100);
    await ended;
    await turns();
    vi.advanceTimersByTime(3000); // by default it comes back after so long
  }
  expect(items.slice(0, 6)).toEqual([0, 1, 2, 0, 1, 2]);
  events.close();
});
