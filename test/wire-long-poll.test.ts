/** Long-polls over real HTTP: what they wait for, and what they answer. */
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { describe, expect, test } from "vitest";
import { createDeferred } from "../src/base/async.js";
import type { Runner } from "../src/runner/runner.js";
import type { RunnerOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { PushSource, turns } from "./support/control.js";
import { openApp, type TestAppOptions } from "./support/server.js";

const offset = (position: number) => String(position).padStart(16, "0");
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

async function open(options?: TestAppOptions) {
  const app = await openApp(options);
  const ann = await app.user("ann");
  /** Sends a long-poll and returns when it has been handled as far as it goes by itself. */
  const poll = async (runner: Runner, query: string) => {
    const arrived = once(app.server, "request");
    const answer = ann.fetch(`/runners/${runner.key}?live=long-poll&${query}`).then(describeAnswer);
    const [, response] = (await arrived) as [unknown, ServerResponse];
    await turns(10);
    return {
      answer,
      get isWaiting() {
        return !response.headersSent;
      },
    };
  };
  /** Sends a long-poll that need not wait. */
  const get = async (runner: Runner, query: string) => (await poll(runner, query)).answer;
  const running = async <T>(items: T[], runnerOptions?: RunnerOptions) => {
    const source = new PushSource<T>();
    const runner = await ann.session.createSequenceRunner(source, runnerOptions);
    source.push(...items);
    await produced(runner, items.length);
    return { runner, source };
  };
  return { ...app, ann, poll, get, running };
}

async function describeAnswer(response: Response) {
  const header = (name: string) => response.headers.get(name) ?? undefined;
  const text = await response.text();
  return {
    code: response.status,
    body: text && JSON.parse(text),
    next: header("stream-next-offset"),
    closed: header("stream-closed"),
    upToDate: header("stream-up-to-date"),
    cursor: header("stream-cursor"),
    status: header("runner-status"),
    error: header("runner-error-code"),
    progress: header("runner-progress"),
  };
}

/** Waits until the producer has come so far. */
async function produced(runner: Runner, count: number): Promise<void> {
  while ((await runner.state()).progress.current < count) await turns(1);
}

describe("a long-poll", () => {
  test("at the tail waits for the next item (P60)", async () => {
    const { poll, running } = await open();
    const { runner, source } = await running([0, 1]);
    const waiting = await poll(runner, "offset=2");
    expect(waiting.isWaiting).toBe(true);
    source.push(2);
    expect(await waiting.answer).toMatchObject({ code: 200, body: [2], next: offset(3), status: "stalled" });
    expect(await waiting.answer).toMatchObject({ closed: undefined, upToDate: "true" });
  });

  test("does not wait for what is there (P60)", async () => {
    const { get, running } = await open();
    const { runner } = await running([0, 1]);
    expect(await get(runner, "offset=-1")).toMatchObject({ code: 200, body: [0, 1], next: offset(2) });
    expect(await get(runner, "offset=1")).toMatchObject({ code: 200, body: [1], next: offset(2) });
  });

  test("with offset=now waits for what comes next, and acknowledges nothing (P64, P94)", async () => {
    const { poll, get, running } = await open();
    const { runner, source } = await running([0, 1]);
    const waiting = await poll(runner, "offset=now");
    expect(waiting.isWaiting).toBe(true);
    source.push(2);
    expect(await waiting.answer).toMatchObject({ code: 200, body: [2], next: offset(3) });
    expect((await get(runner, "offset=0")).body).toEqual([0, 1, 2]);
  });

  test("gets the last item and the end in one answer (P55)", async () => {
    const { poll, running } = await open();
    const { runner, source } = await running([0]);
    const waiting = await poll(runner, "offset=1");
    source.push(1);
    source.end();
    expect(await waiting.answer).toMatchObject({ code: 200, body: [1], closed: "true", status: "completed" });
  });

  test.each([
    ["end", { status: "completed", error: undefined }],
    ["fail", { status: "failed", error: "RUNNER_FAILED" }],
    ["abort", { status: "aborted", error: undefined }],
  ] as const)("that waits learns of the end without an item (%s) (P63)", async (way, expected) => {
    const { poll, get, running } = await open();
    const { runner, source } = await running([0]);
    const waiting = await poll(runner, "offset=1");
    if (way === "end") source.end();
    else if (way === "fail") source.fail(new Error("broken"));
    else await runner.abort();
    const answer = { code: 204, body: "", closed: "true", next: offset(1), ...expected };
    expect(await waiting.answer).toMatchObject(answer);
    expect(await get(runner, "offset=1")).toMatchObject(answer);
    expect(await get(runner, "offset=now")).toMatchObject(answer);
  });

  test("at the tail of a closed runner is answered at once, with 204 (P63)", async () => {
    const { get, ann } = await open();
    const runner = await ann.session.createSequenceRunner([1, 2]);
    await runner.cleanup;
    const now = await get(runner, "offset=now");
    expect(now).toMatchObject({ code: 204, closed: "true", next: offset(2), upToDate: "true" });
    expect(runner.position).toBe(0);
    expect(await get(runner, "offset=2")).toMatchObject({ code: 204, closed: "true", status: "completed" });
  });

  test("that times out is answered with 204, and a cursor to go on with (P61)", async () => {
    const { get, running } = await open();
    const { runner } = await running([0]);
    const answer = await get(runner, "offset=1&timeout=0");
    expect(answer).toMatchObject({ code: 204, body: "", next: offset(1), closed: undefined, upToDate: "true" });
    expect(answer).toMatchObject({ status: "stalled", cursor: expect.stringMatching(/^\d+$/) });
    const next = await get(runner, `offset=1&timeout=0&cursor=${answer.cursor}`);
    expect(Number(next.cursor)).toBeGreaterThan(Number(answer.cursor));
  });

  test("waits no longer than its router says", async () => {
    const { get, running } = await open({ router: { longPollTimeout: 0 } });
    const { runner } = await running([0]);
    expect((await get(runner, "offset=1")).code).toBe(204);
  });

  test("needs an offset (P34)", async () => {
    const { get, running } = await open();
    const { runner } = await running([0]);
    expect(await get(runner, "")).toMatchObject({ code: 400, body: { code: "INVALID_ARGUMENT" } });
  });

  test("may be one of several at the same offset, and at several (P65)", async () => {
    const { poll, running } = await open();
    const { runner, source } = await running([0], { retain: "all" });
    const waiting = [await poll(runner, "offset=1"), await poll(runner, "offset=1"), await poll(runner, "offset=now")];
    expect(waiting.map(({ isWaiting }) => isWaiting)).toEqual([true, true, true]);
    source.push(1);
    for (const { answer } of waiting) expect(await answer).toMatchObject({ code: 200, body: [1] });
  });

  test("keeps the items it waits for, whatever others acknowledge (P65)", async () => {
    const { poll, running, ann } = await open();
    const { runner, source } = await running([0, 1]);
    const waiting = await poll(runner, "offset=1&min-items=3");
    const other = await ann.fetch(`/runners/${runner.key}?offset=2`);
    expect(await other.json()).toEqual([]);
    source.push(2, 3);
    expect(await waiting.answer).toMatchObject({ code: 200, body: [1, 2, 3] });
  });

  test("is ended by the removal of its runner", async () => {
    const { poll, running, ann } = await open();
    const { runner } = await running([0]);
    const waiting = await poll(runner, "offset=1");
    await (await ann.fetch(`/runners/${runner.key}`, { method: "DELETE" })).text();
    expect(await waiting.answer).toMatchObject({ code: 204, closed: "true", status: "aborted" });
  });
});

describe("min-items and max-items", () => {
  test("more than one item is waited for (P60)", async () => {
    const { poll, running } = await open();
    const { runner, source } = await running([0, 1]);
    const waiting = await poll(runner, "offset=0&min-items=4");
    source.push(2);
    await produced(runner, 3);
    await turns(10);
    expect(waiting.isWaiting).toBe(true);
    source.push(3);
    expect(await waiting.answer).toMatchObject({ code: 200, body: [0, 1, 2, 3] });
  });

  test("fewer are given when no more will come (P60)", async () => {
    const { poll, running } = await open();
    const { runner, source } = await running([0, 1]);
    const waiting = await poll(runner, "offset=0&min-items=4");
    expect(waiting.isWaiting).toBe(true);
    source.end();
    expect(await waiting.answer).toMatchObject({ code: 200, body: [0, 1], closed: "true", status: "completed" });
  });

  test("fewer are given when the time is up (P60)", async () => {
    const { get, running } = await open();
    const { runner } = await running([0, 1]);
    const answer = await get(runner, "offset=0&min-items=4&timeout=0");
    expect(answer).toMatchObject({ code: 200, body: [0, 1], closed: undefined, next: offset(2) });
  });

  test("no more are waited for than the producer may run ahead (P62, P96)", async () => {
    const { poll, running } = await open();
    const { runner, source } = await running([0, 1], { aheadLimit: 2 });
    source.push(...range(2, 8));
    await turns(10);
    expect(runner.progress.current).toBe(2);
    const waiting = await poll(runner, "offset=0&min-items=6");
    expect(await waiting.answer).toMatchObject({ code: 200, body: [0, 1] });
    const next = await poll(runner, "offset=2&min-items=6");
    expect(await next.answer).toMatchObject({ code: 200, body: [2, 3] });
  });

  test("no more are waited for than can be sent (P60, P62)", async () => {
    const { poll, running } = await open();
    const { runner, source } = await running([0, 1]);
    const waiting = await poll(runner, "offset=0&min-items=4&max-items=3");
    expect(waiting.isWaiting).toBe(true);
    source.push(2);
    const answer = await waiting.answer;
    expect(answer).toMatchObject({ code: 200, body: [0, 1, 2], next: offset(3) });
  });

  test("10,000 is the most that can be waited for (P62)", async () => {
    const { poll, get, ann } = await open({ router: { pageLimit: 20_000 } });
    const runner = await ann.session.createSequenceRunner(range(0, 12_000), { aheadLimit: 10_000 });
    const waiting = await poll(runner, "offset=0&min-items=10000");
    expect((await waiting.answer).body.length).toBeGreaterThanOrEqual(10_000);
    expect((await get(runner, "offset=0&min-items=10001")).code).toBe(400);
  });
});

describe("a process", () => {
  async function openProcess() {
    const opened = await open();
    const end = createDeferred<string | undefined>();
    atEnd(() => end.resolve(undefined));
    let report!: (value: string) => void;
    const runner = await opened.ann.session.createProcessRunner<string>((context) => {
      report = context.report;
      return end.promise;
    });
    return { ...opened, runner, report, end: end.resolve };
  }

  test("gives the report that was waited for, by its number (P102)", async () => {
    const { poll, runner, report, end } = await openProcess();
    report("one");
    const second = await poll(runner, "offset=1");
    const third = await poll(runner, "offset=1&min-items=2");
    const fourth = await poll(runner, "offset=-1&min-items=4");
    expect([second, third, fourth].map(({ isWaiting }) => isWaiting)).toEqual([true, true, true]);
    report("two");
    expect(await second.answer).toMatchObject({ code: 200, body: ["two"], next: offset(2) });
    expect([third, fourth].map(({ isWaiting }) => isWaiting)).toEqual([true, true]);
    report("three");
    end("four");
    expect(await third.answer).toMatchObject({ code: 200, body: ["three"], next: offset(3) });
    expect(await fourth.answer).toMatchObject({ code: 200, body: ["four"], next: offset(4), closed: "true" });
  });

  test("gives its newest value when the report is there already, whatever max-items says (P102, P103)", async () => {
    const { get, runner, report, end } = await openProcess();
    report("one");
    report("two");
    report("three");
    for (const query of ["offset=0", "offset=-1", "offset=0&min-items=2", "offset=1&max-items=1"]) {
      expect(await get(runner, query)).toMatchObject({ code: 200, body: ["three"], next: offset(3), progress: "3" });
    }
    end(undefined);
  });

  test("may be asked for a report far ahead (P101)", async () => {
    const { poll, get, runner, report, end } = await openProcess();
    report("one");
    const waiting = await poll(runner, "offset=3");
    expect(await get(runner, "offset=3&timeout=0")).toMatchObject({ code: 204, next: offset(1) });
    report("two");
    report("three");
    await turns(10);
    expect(waiting.isWaiting).toBe(true);
    report("four");
    expect(await waiting.answer).toMatchObject({ code: 200, body: ["four"], next: offset(4) });
    end(undefined);
  });

  test("gives what there is when it ends before (P102)", async () => {
    const { poll, runner, report, end } = await openProcess();
    report("one");
    const waiting = await poll(runner, "offset=0&min-items=9");
    end("final");
    const last = { body: ["final"], next: offset(2), closed: "true", status: "completed" };
    expect(await waiting.answer).toMatchObject({ code: 200, ...last });
  });

  test("at its end has nothing more", async () => {
    const { get, runner, end } = await openProcess();
    end("final");
    await runner.cleanup;
    expect(await get(runner, "offset=1")).toMatchObject({ code: 204, closed: "true", status: "completed" });
    expect(await get(runner, "offset=now")).toMatchObject({ code: 204, closed: "true" });
  });
});
