/** Live responses (Server-Sent Events) over real HTTP. What depends on time is tested with the handler itself. */
import { createParser } from "eventsource-parser";
import { describe, expect, test } from "vitest";
import { createDeferred } from "../src/base/async.js";
import type { ControlEvent } from "../src/protocol/headers.js";
import type { Runner } from "../src/runner/runner.js";
import type { RunnerOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { PushSource, turns } from "./support/control.js";
import { openApp, type TestAppOptions } from "./support/server.js";

const offset = (position: number) => String(position).padStart(16, "0");
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** What one step of the server shows: the items of a data event, if there is one, and the control event behind it. */
interface Step {
  readonly items: unknown[] | undefined;
  readonly control: ControlEvent;
}

/** Reads a live response step by step, and sees to it that each data event has its control event. */
async function* steps(response: Response): AsyncGenerator<Step, void, undefined> {
  const events: { name: string | undefined; data: string }[] = [];
  const parser = createParser({
    onEvent: ({ event, data, id }) => {
      expect(id).toBeUndefined();
      events.push({ name: event, data });
    },
    onError: (error) => expect.unreachable(error.message),
  });
  let items: unknown[] | undefined;
  for await (const text of response.body!.pipeThrough(new TextDecoderStream())) {
    parser.feed(text);
    for (const { name, data } of events.splice(0)) {
      if (name === "data") {
        expect(items, "a data event without a control event").toBeUndefined();
        items = JSON.parse(data);
        continue;
      }
      expect(name).toBe("control");
      yield { items, control: JSON.parse(data) };
      items = undefined;
    }
  }
  expect(items, "a data event without a control event").toBeUndefined();
}

async function open(options?: TestAppOptions) {
  const app = await openApp(options);
  const ann = await app.user("ann");
  const request = (runner: Runner, query: string) => ann.fetch(`/runners/${runner.key}?live=sse&${query}`);
  /** Opens a live response; `next` gives its next step, and fails at the end of the response. */
  const follow = async (runner: Runner, query: string) => {
    const response = await request(runner, query);
    expect(response.status).toBe(200);
    const reader = steps(response);
    atEnd(() => reader.return());
    const next = async (): Promise<Step> => {
      const { value, done } = await reader.next();
      if (done) throw new Error("The response is over");
      return value;
    };
    return { response, next, rest: () => collect(reader) };
  };
  const running = async <T>(items: T[], runnerOptions?: RunnerOptions) => {
    const source = new PushSource<T>();
    const runner = await ann.session.createSequenceRunner(source, runnerOptions);
    source.push(...items);
    await produced(runner, items.length);
    return { runner, source };
  };
  const ended = async (items: unknown[], runnerOptions?: RunnerOptions) => {
    const runner = await ann.session.createSequenceRunner(items, runnerOptions);
    await runner.cleanup;
    return runner;
  };
  const send = async (runner: Runner, method: string, rest: string) => {
    const response = await ann.fetch(`/runners/${runner.key}${rest}`, { method });
    return { code: response.status, headers: response.headers, body: await response.text() };
  };
  return { ...app, ann, request, follow, running, ended, send };
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Waits until the producer has come so far. */
async function produced(runner: Runner, count: number): Promise<void> {
  while ((await runner.state()).progress.current < count) await turns(1);
}

describe("the form", () => {
  test("of a whole response, to the letter (P71, P73, P77, P78, P80)", async () => {
    const { request, ended } = await open();
    const response = await request(await ended([1, { a: "b" }]), "offset=-1");
    const control = {
      streamNextOffset: offset(2),
      upToDate: true,
      streamClosed: true,
      runnerStatus: "completed",
      runnerProgress: 2,
      runnerEstimatedEnd: 2,
      runnerFirstOffset: offset(0),
      runnerAheadLimit: 1000,
      runnerResponse: response.headers.get("runner-response"),
    };
    const text = `event: data\ndata:[1,{"a":"b"}]\n\nevent: control\ndata:${JSON.stringify(control)}\n\n`;
    expect(await response.text()).toBe(text);
  });

  test("is told by the headers, which no proxy may hold back (P70, P80, P167)", async () => {
    const { follow, running } = await open();
    const { runner } = await running([1], { aheadLimit: 7 });
    const { response } = await follow(runner, "offset=0");
    expect(response.headers.get("content-type")).toMatch(/^text\/event-stream\b/);
    expect(response.headers.get("cache-control")).toBe("private, no-cache, no-store, no-transform");
    expect(response.headers.get("x-accel-buffering")).toBe("no");
    expect(response.headers.get("runner-ahead-limit")).toBe("7");
    expect(response.headers.get("etag")).toBeNull();
  });

  test("has no space behind data:, and no id (P73)", async () => {
    const { request, ended } = await open();
    const text = await (await request(await ended(range(0, 250)), "offset=0")).text();
    expect(new Set(text.split("\n").map((line) => line.slice(0, 6)))).toEqual(
      new Set(["event:", "data:[", "data:{", ""]),
    );
  });

  test("has flat control events", async () => {
    const { follow, running } = await open();
    const { runner, source } = await running([{ deep: { er: 1 } }]);
    const { next, rest } = await follow(runner, "offset=0");
    const first = await next();
    source.fail(new Error("broken"));
    for (const { control } of [first, ...(await rest())]) {
      for (const value of Object.values(control)) expect(["string", "number", "boolean"]).toContain(typeof value);
    }
  });

  test("keeps every text in its event", async () => {
    const { follow, ended } = await open();
    const texts = [
      "\n",
      "\r\n\r\n",
      "\n\nevent: control\ndata:{}\n\n",
      "\u2028\u2029\u0085",
      ":",
      "id: 1",
      "😀\u0000",
      "]",
    ];
    const { rest } = await follow(await ended(texts), "offset=0");
    expect((await rest()).flatMap(({ items }) => items)).toEqual(texts);
  });

  test("holds at most 100 items an event, and each control event speaks for the data before it (P71, P74)", async () => {
    const { follow, ended } = await open();
    const all = await (await follow(await ended(range(0, 950)), "offset=0")).rest();
    expect(all.flatMap(({ items }) => items)).toEqual(range(0, 950));
    expect(Math.max(...all.map(({ items }) => items!.length))).toBe(100);
    let end = 0;
    for (const { items, control } of all) {
      end += items!.length;
      expect(control.streamNextOffset).toBe(offset(end));
      expect(control.runnerStatus).toBe(end < 950 ? "progressed" : "completed");
      expect(control.upToDate).toBe(end < 950 ? undefined : true);
      expect(control.streamClosed).toBe(end < 950 ? undefined : true);
    }
  });

  test("holds fewer items an event if the request says so (P74)", async () => {
    const { follow, ended } = await open();
    const { rest } = await follow(await ended(range(0, 5)), "offset=0&max-items=2");
    expect((await rest()).map(({ items }) => items)).toEqual([[0, 1], [2, 3], [4]]);
  });
});

describe("following", () => {
  test("shows what is there, then what comes, then the end, and ends (P81)", async () => {
    const { follow, running } = await open();
    const { runner, source } = await running(["a", "b"]);
    const { next, rest } = await follow(runner, "offset=0");
    expect(await next()).toMatchObject({ items: ["a", "b"], control: { streamNextOffset: offset(2), upToDate: true } });
    source.push("c");
    expect(await next()).toMatchObject({
      items: ["c"],
      control: { streamNextOffset: offset(3), runnerStatus: "stalled" },
    });
    source.end();
    const [end, ...more] = await rest();
    expect(end).toMatchObject({ items: undefined, control: { streamClosed: true, runnerStatus: "completed" } });
    expect(more).toEqual([]);
    expect(runner.status).toBe("completed");
  });

  test("begins in the middle, and says in its first control event that it is up to date (P72)", async () => {
    const { follow, running } = await open();
    const { runner, source } = await running(["a", "b"]);
    const { next } = await follow(runner, "offset=2");
    const first = await next();
    expect(first).toMatchObject({ items: undefined, control: { streamNextOffset: offset(2), upToDate: true } });
    expect(first.control).toMatchObject({
      runnerStatus: "stalled",
      runnerProgress: 2,
      streamCursor: expect.any(String),
    });
    source.push("c");
    expect((await next()).items).toEqual(["c"]);
  });

  test("from now on shows nothing that was there before, and acknowledges nothing (P76, P94)", async () => {
    const { follow, running, send } = await open();
    const { runner, source } = await running(["a", "b"]);
    const { next } = await follow(runner, "offset=now");
    expect(await next()).toMatchObject({ items: undefined, control: { streamNextOffset: offset(2), upToDate: true } });
    source.push("c");
    expect(await next()).toMatchObject({ items: ["c"], control: { streamNextOffset: offset(3) } });
    expect((await send(runner, "GET", "?offset=0")).body).toBe('["a","b","c"]');
  });

  test("an empty running sequence opens with a control event (P72)", async () => {
    const { follow, running } = await open();
    const { runner } = await running([]);
    const { next } = await follow(runner, "offset=-1");
    expect(await next()).toMatchObject({ items: undefined, control: { streamNextOffset: offset(0), upToDate: true } });
  });

  test.each(["offset=2", "offset=now"])("a completed runner from its tail (%s) is closed at once", async (query) => {
    const { follow, ended } = await open();
    const runner = await ended(["a", "b"]);
    const { rest } = await follow(runner, query);
    const all = await rest();
    expect(all).toHaveLength(1);
    expect(all[0]).toMatchObject({ items: undefined, control: { streamClosed: true, upToDate: true } });
    expect(all[0]!.control.runnerStatus).toBe("completed");
  });

  test("a failed runner shows its items first, then the failure, which says nothing of its cause (P79, P111)", async () => {
    const { request, running } = await open();
    const { runner, source } = await running([1, 2]);
    source.fail(new Error("the password is swordfish"));
    await runner.cleanup;
    const response = await request(runner, "offset=0&max-items=1");
    const all = await collect(steps(response.clone()));
    expect(all.map(({ items }) => items)).toEqual([[1], [2]]);
    expect(all[0]!.control).not.toHaveProperty("runnerErrorCode");
    expect(all[1]!.control).toMatchObject({
      runnerErrorCode: "RUNNER_FAILED",
      runnerStatus: "failed",
      streamClosed: true,
    });
    expect(await response.text()).not.toContain("swordfish");
  });

  test.each([
    ["abort", "POST", "/abort", 200],
    ["DELETE", "DELETE", "", 204],
  ])("a runner that is stopped by %s closes (P81)", async (_, method, rest, code) => {
    const { follow, running, send } = await open();
    const { runner } = await running([1, 2]);
    const live = await follow(runner, "offset=0");
    await live.next();
    expect((await send(runner, method, rest)).code).toBe(code);
    const [end, ...more] = await live.rest();
    expect(end).toMatchObject({ items: undefined, control: { streamClosed: true, runnerStatus: "aborted" } });
    expect(end!.control.streamNextOffset).toBe(offset(2));
    expect(more).toEqual([]);
  });

  test("a session that ends closes", async () => {
    const { follow, running, ann } = await open();
    const { runner } = await running([1, 2]);
    const live = await follow(runner, "offset=0");
    await live.next();
    await ann.session.terminate();
    expect(await live.rest()).toMatchObject([{ control: { streamClosed: true, runnerStatus: "aborted" } }]);
  });

  test("by two at once shows both everything", async () => {
    const { follow, running } = await open();
    const { runner, source } = await running([0], { retain: "all" });
    const both = [await follow(runner, "offset=0"), await follow(runner, "offset=0")];
    source.push(1, 2);
    source.end();
    for (const { rest } of both) expect((await rest()).flatMap(({ items }) => items ?? [])).toEqual([0, 1, 2]);
  });

  test("a sequence that is faster than its reader loses and repeats nothing (P83)", async () => {
    const { follow, ann, send } = await open();
    const runner = await ann.session.createSequenceRunner(range(0, 5000), { aheadLimit: 2000 });
    const seen: unknown[] = [];
    let next = 0;
    for (let closed = false; !closed; ) {
      const { rest } = await follow(runner, `offset=${next}`);
      for (const { items, control } of await rest()) {
        seen.push(...(items ?? []));
        next = Number(control.streamNextOffset);
        closed = control.streamClosed ?? false;
      }
      expect(next).toBe(seen.length);
    }
    expect(seen).toEqual(range(0, 5000));
    expect((await send(runner, "GET", "/state")).body).toContain('"completed"');
  });
});

describe("the cursor", () => {
  test("runs ahead of the one echoed, and is missing once the stream is closed (P77)", async () => {
    const { follow, running } = await open();
    const { runner, source } = await running([0], { retain: "all" });
    const first = (await (await follow(runner, "offset=0")).next()).control.streamCursor!;
    expect(first).toMatch(/^\d+$/);
    const echoed = await follow(runner, `offset=0&cursor=${first}`);
    expect(Number((await echoed.next()).control.streamCursor)).toBeGreaterThan(Number(first));
    source.end();
    const [end] = await echoed.rest();
    expect(end!.control.streamClosed).toBe(true);
    expect(end!.control).not.toHaveProperty("streamCursor");
  });
});

describe("what JSON cannot carry", () => {
  const cycle: unknown[] = [];
  cycle.push(cycle);

  test.each<[string, unknown]>([
    ["a BigInt", 5n],
    ["a cycle", cycle],
  ])("%s ends the response before it, and the reconnect is told why (P84, P116)", async (_, item) => {
    const { follow, ended, send } = await open();
    const runner = await ended([1, 2, item, 4]);
    const { rest } = await follow(runner, "offset=0");
    const all = await rest();
    expect(all).toMatchObject([
      { items: [1, 2], control: { streamNextOffset: offset(2), runnerStatus: "progressed" } },
    ]);
    expect(all[0]!.control).not.toHaveProperty("streamClosed");
    const again = await send(runner, "GET", "?live=sse&offset=2");
    expect(again.code).toBe(500);
    expect(again.headers.get("content-type")).toMatch(/^application\/json/);
    expect(JSON.parse(again.body).code).toBe("RESULT_NOT_SERIALIZABLE");
  });

  test("ends also a response that waits for it", async () => {
    const { follow, running } = await open();
    const { runner, source } = await running<unknown>([1]);
    const { next, rest } = await follow(runner, "offset=0");
    expect((await next()).items).toEqual([1]);
    source.push(5n);
    expect(await rest()).toEqual([]);
  });

  test("has a form where JSON knows one (P117)", async () => {
    const { follow, ended } = await open();
    const { next } = await follow(await ended([new Date(0), undefined]), "offset=0");
    expect((await next()).items).toEqual(["1970-01-01T00:00:00.000Z", null]);
  });
});

describe("acknowledging", () => {
  test("happens for the opening offset only (P91)", async () => {
    const { follow, running, send } = await open();
    const { runner, source } = await running(range(0, 4));
    await send(runner, "GET", "?offset=0&max-items=2");
    const { next } = await follow(runner, "offset=2");
    expect((await next()).items).toEqual([2, 3]);
    source.push(4);
    expect((await next()).items).toEqual([4]);
    expect((await send(runner, "GET", "?offset=1")).code).toBe(410);
    expect((await send(runner, "GET", "?offset=2")).body).toBe("[2,3,4]");
  });

  test("keeps a response going beyond what it may send unacknowledged (P83, P92)", async () => {
    const { follow, running, send } = await open();
    const { runner, source } = await running([0, 1], { aheadLimit: 3 });
    const { next, rest } = await follow(runner, "offset=0&max-items=1");
    expect([(await next()).items, (await next()).items]).toEqual([[0], [1]]);
    expect((await send(runner, "POST", "/ack?offset=2")).code).toBe(204);
    source.push(...range(2, 9));
    const seen = (await rest()).flatMap(({ items }) => items ?? []);
    expect(seen).toEqual([2, 3, 4]); // as many as it may leave unacknowledged, and no more
    const again = await follow(runner, "offset=5");
    expect((await again.rest()).flatMap(({ items }) => items ?? [])).toEqual(range(5, 8));
  });
});

describe("a request that cannot be answered", () => {
  test.each([
    ["no offset", "", 400],
    ["a malformed offset", "offset=x", 400],
    ["a position ahead", "offset=9", 400],
  ])("is refused as JSON: %s (P70)", async (_, query, code) => {
    const { request, running } = await open();
    const { runner } = await running([1]);
    const response = await request(runner, query);
    expect(response.status).toBe(code);
    expect(response.headers.get("content-type")).toMatch(/^application\/json/);
    await response.text();
  });
});

describe("a process", () => {
  async function openProcess() {
    const opened = await open();
    const end = createDeferred<string | undefined>();
    atEnd(() => end.resolve(undefined));
    let report!: (value: unknown, estimatedEnd?: number) => void;
    const runner = await opened.ann.session.createProcessRunner<unknown>((context) => {
      report = context.report;
      return end.promise;
    });
    return { ...opened, runner, report, end: end.resolve };
  }

  test("shows its newest value, every later one, and the final one (P80, P105)", async () => {
    const { follow, runner, report, end } = await openProcess();
    report("one", 5);
    report("two", 5);
    const { response, next, rest } = await follow(runner, "offset=0");
    expect(response.headers.get("runner-ahead-limit")).toBeNull();
    const first = await next();
    expect(first).toMatchObject({ items: ["two"], control: { streamNextOffset: offset(2), upToDate: true } });
    expect(first.control).toMatchObject({ runnerProgress: 2, runnerEstimatedEnd: 5 });
    expect(first.control).not.toHaveProperty("runnerAheadLimit");
    report("three", 5);
    expect(await next()).toMatchObject({ items: ["three"], control: { streamNextOffset: offset(3) } });
    end("final");
    expect(await rest()).toMatchObject([
      { items: ["final"], control: { streamNextOffset: offset(4), streamClosed: true, runnerStatus: "completed" } },
    ]);
  });

  test("before its first report opens with a control event", async () => {
    const { follow, runner, report, end } = await openProcess();
    const { next } = await follow(runner, "offset=-1");
    expect(await next()).toMatchObject({ items: undefined, control: { streamNextOffset: offset(0), upToDate: true } });
    report("one");
    expect((await next()).items).toEqual(["one"]);
    end(undefined);
  });

  test("from now on shows the next value", async () => {
    const { follow, runner, report, end } = await openProcess();
    report("one");
    const { next } = await follow(runner, "offset=now");
    expect(await next()).toMatchObject({ items: undefined, control: { streamNextOffset: offset(1) } });
    report("two");
    expect((await next()).items).toEqual(["two"]);
    end(undefined);
  });

  test("shows its newest value once, whatever max-items says", async () => {
    const { follow, runner, report, end } = await openProcess();
    for (let i = 1; i <= 5; i++) report(i);
    const { next } = await follow(runner, "offset=0&max-items=1");
    expect(await next()).toMatchObject({ items: [5], control: { streamNextOffset: offset(5), upToDate: true } });
    end("final");
    expect((await next()).items).toEqual(["final"]);
  });

  test("shows its newest value once, however many reports there have been", async () => {
    const { follow, runner, report, end } = await openProcess();
    for (let i = 1; i <= 250; i++) report(i);
    const { next } = await follow(runner, "offset=0");
    expect(await next()).toMatchObject({ items: [250], control: { streamNextOffset: offset(250), upToDate: true } });
    end("final");
    expect((await next()).items).toEqual(["final"]);
  });
});
