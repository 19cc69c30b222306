import { describe, expect, test, vi } from "vitest";
import { isPending, listenerCount } from "../../test/support/control.js";
import { anyJson, type Patience, readFrom, withCode } from "../../test/support/logs.js";
import type { ReadRequest } from "./result-log.js";
import { ValueLog } from "./value-log.js";

function openLog() {
  const onFinal = vi.fn();
  const log = new ValueLog<string>({ onFinal });
  log.start();
  return { log, onFinal };
}

const available = (log: ValueLog<string>, more: Partial<ReadRequest> = {}) =>
  readFrom(log, { min: 0, max: Number.POSITIVE_INFINITY, ...more });

const required = (log: ValueLog<string>, advance: number, more: Partial<ReadRequest> & Patience = {}) =>
  readFrom(log, { min: advance, max: advance, ...more });

test("before the first report there is no value", async () => {
  const { log } = openLog();
  expect(await available(log)).toMatchObject({ result: undefined, position: 0, status: "stalled", closed: false });
  expect(log.size).toBe(0);
});

test("before the start the status says so", () => {
  const log = new ValueLog<string>({ onFinal: vi.fn() });
  expect(log.current).toMatchObject({ status: "not-started", position: 0, progress: { current: 0 } });
});

describe("a report", () => {
  test("replaces value and estimate and adds 1 to the progress", async () => {
    const { log } = openLog();
    log.report("a", 10);
    expect(log.current).toMatchObject({ status: "progressed", progress: { current: 1, estimatedEnd: 10 } });
    log.report("b");
    expect(log.current.progress).toEqual({ current: 2 });
    expect(log.size).toBe(1);
    expect(await available(log)).toMatchObject({ result: "b", position: 2, status: "stalled" });
  });

  test("gives a waiting read the value of the very moment its target was reached", async () => {
    const { log } = openLog();
    const first = required(log, 1);
    const second = required(log, 2);
    log.report("a");
    log.report("b");
    log.report("c");
    expect(await first).toMatchObject({ result: "a", position: 1, status: "stalled", progress: { current: 1 } });
    expect(await second).toMatchObject({ result: "b", position: 2, status: "stalled" });
    expect(log.current).toMatchObject({ position: 2, status: "progressed" });
  });

  test("wakes waiting reads in order of their targets; the larger ones go on waiting (#81)", async () => {
    const { log } = openLog();
    const order: number[] = [];
    const reads = [3, 1, 2].map((target) => required(log, target).then(({ position }) => order.push(position)));
    for (const value of ["a", "b", "c"]) log.report(value);
    await Promise.all(reads);
    expect(order).toEqual([1, 2, 3]);
  });
});

describe("a read", () => {
  test("of an earlier point gets the newest value with the older position", async () => {
    const { log } = openLog();
    for (const value of ["a", "b", "c"]) log.report(value);
    expect(await required(log, 1, { start: 0 })).toMatchObject({ result: "c", position: 1, status: "progressed" });
    expect(log.current.position).toBe(1);
    await available(log);
    expect(await required(log, 1, { start: 0 })).toMatchObject({ result: "c", position: 1 });
    expect(log.current.position).toBe(3);
  });

  test("may name a start beyond the progress and waits for it", async () => {
    const { log } = openLog();
    const waiting = required(log, 0, { start: 2 });
    log.report("a");
    expect(await isPending(waiting)).toBe(true);
    log.report("b");
    expect(await waiting).toMatchObject({ result: "b", position: 2, status: "stalled" });
  });

  test("of exactly the present point returns at once and moves nothing", async () => {
    const { log } = openLog();
    log.report("a");
    await required(log, 1);
    expect(await required(log, 0, { start: 1 })).toMatchObject({ result: "a", position: 1 });
    expect(log.current.position).toBe(1);
  });

  test("from the tail gets the next report, and moves nothing while there is none", async () => {
    const { log } = openLog();
    log.report("a");
    await available(log, { start: "tail", max: 0 });
    expect(log.current.position).toBe(0);
    const next = required(log, 1, { start: "tail" });
    log.report("b");
    expect(await next).toMatchObject({ result: "b", position: 2 });
  });

  test("of a target that is reached already does not look at its signal (#80)", async () => {
    const { log } = openLog();
    log.report("a");
    expect(await required(log, 1, { signal: AbortSignal.abort() })).toMatchObject({ result: "a" });
  });

  test("needs no acknowledgement: any point can be named again", async () => {
    const { log } = openLog();
    for (const value of ["a", "b", "c"]) log.report(value);
    await available(log);
    await log.acknowledge();
    expect(await available(log, { start: 0 })).toMatchObject({ result: "c", position: 3 });
  });
});

describe("cancelling a read", () => {
  test("rejects only that one, moves nothing and leaves no listener (#83, #92, #93)", async () => {
    const { log } = openLog();
    const controller = new AbortController();
    const cancelled = required(log, 2, { signal: controller.signal });
    const other = required(log, 1);
    expect(listenerCount(controller.signal)).toBe(1);
    controller.abort("x");
    await expect(cancelled).rejects.toBe("x");
    expect(listenerCount(controller.signal)).toBe(0);
    expect(log.current.position).toBe(0);
    log.report("a");
    expect(await other).toMatchObject({ result: "a", position: 1 });
    log.report("b"); // for which no read waits any more
    expect(log.current).toMatchObject({ position: 1, status: "progressed" });
  });

  test("a settled read has no listener left", async () => {
    const { log } = openLog();
    const { signal } = new AbortController();
    const waiting = required(log, 1, { signal });
    log.report("a");
    await waiting;
    expect(listenerCount(signal)).toBe(0);
  });
});

test("a read whose time is up gets the newest value and what there is of the position", async () => {
  vi.useFakeTimers();
  const { log } = openLog();
  const waiting = required(log, 5, { timeout: 1000 });
  log.report("a");
  vi.advanceTimersByTime(1000);
  expect(await waiting).toMatchObject({ result: "a", position: 1, status: "stalled" });
  expect(vi.getTimerCount()).toBe(0);
});

describe("the end", () => {
  test("is one more position, and settles all waiting reads however far they wanted to get", async () => {
    const { log, onFinal } = openLog();
    const far = required(log, 50);
    log.report("a", 7);
    log.end("final");
    expect(await far).toMatchObject({ result: "final", position: 2, status: "completed", closed: true });
    expect(log.current.progress).toEqual({ current: 2, estimatedEnd: 2 });
    expect(onFinal).toHaveBeenCalledTimes(1);
  });

  test("without a value leaves the last reported one", async () => {
    const { log } = openLog();
    log.report("a");
    log.end(undefined);
    expect(await available(log)).toMatchObject({ result: "a", position: 2, status: "completed" });
  });

  test("is final only when a read reaches it", async () => {
    const { log, onFinal } = openLog();
    log.report("a");
    log.end("final");
    expect(log.current).toMatchObject({ status: "progressed", ended: true, outcome: "completed" });
    expect(await required(log, 1)).toMatchObject({ result: "final", position: 1, status: "progressed", closed: false });
    expect(onFinal).not.toHaveBeenCalled();
    expect(await required(log, 1)).toMatchObject({ result: "final", position: 2, status: "completed" });
    expect(onFinal).toHaveBeenCalledTimes(1);
  });

  test("is not made final by an empty read at the tail", async () => {
    const { log, onFinal } = openLog();
    log.report("a");
    log.end(undefined);
    expect(await available(log, { start: "tail" })).toMatchObject({ status: "completed", closed: true });
    expect(onFinal).not.toHaveBeenCalled();
    expect(log.current.status).toBe("progressed");
  });

  test("is the end: reports and ends that come later change nothing", async () => {
    const { log } = openLog();
    log.end("final");
    log.report("late");
    log.end("later");
    log.fail(new Error("latest"));
    expect(await available(log)).toMatchObject({ result: "final", position: 1, status: "completed" });
  });
});

describe("a failure", () => {
  test("is no position of its own; earlier points come without the error, the last one with it", async () => {
    const { log } = openLog();
    const cause = new Error("broken");
    log.report("a");
    log.report("b");
    log.fail(cause);
    expect(log.current.progress).toEqual({ current: 2, estimatedEnd: 2 });
    const early = await required(log, 1);
    expect(early).toMatchObject({ result: "b", position: 1, status: "progressed" });
    expect(early.error).toBeUndefined();
    const last = await required(log, 1);
    expect(last).toMatchObject({ result: "b", position: 2, status: "failed", error: { code: "RUNNER_FAILED", cause } });
    expect((await available(log)).error).toBe(last.error);
  });

  test("resolves waiting reads", async () => {
    const { log, onFinal } = openLog();
    const waiting = required(log, 5);
    log.fail(new Error("broken"));
    expect(await waiting).toMatchObject({ result: undefined, position: 0, status: "failed" });
    expect(onFinal).toHaveBeenCalledTimes(1);
  });

  test("is final at once when nothing is left to return", async () => {
    const { log, onFinal } = openLog();
    log.report("a");
    await available(log);
    log.fail(new Error("broken"));
    expect(onFinal).toHaveBeenCalledTimes(1);
    expect(log.current.status).toBe("failed");
  });
});

describe("abort", () => {
  test("drops nothing: the position becomes the progress, every read gets the newest value", async () => {
    const { log, onFinal } = openLog();
    const waiting = required(log, 5);
    log.report("a", 9);
    log.report("b", 9);
    expect(log.abort("stopped").hasEffect).toBe(true);
    expect(onFinal).toHaveBeenCalledTimes(1);
    expect(await waiting).toMatchObject({ result: "b", position: 2, status: "aborted", closed: true });
    expect(await required(log, 1, { start: 0 })).toMatchObject({ result: "b", position: 2, status: "aborted" });
    expect(await required(log, 1, { start: 9 })).toMatchObject({ result: "b", position: 2, status: "aborted" });
    expect(log.current).toMatchObject({ position: 2, progress: { current: 2, estimatedEnd: 2 } });
  });

  test("makes an ended log that is unread aborted, without the failure", async () => {
    const { log } = openLog();
    log.report("a");
    log.fail(new Error("x"));
    expect(log.abort("stopped").hasEffect).toBe(true);
    const slice = await available(log);
    expect(slice).toMatchObject({ result: "a", status: "aborted" });
    expect(slice.error).toBeUndefined();
  });

  test("changes nothing in a final log", async () => {
    const { log } = openLog();
    log.end("final");
    await available(log);
    expect(log.abort("stopped").hasEffect).toBe(false);
    expect(log.current.status).toBe("completed");
  });

  test.each(["report", "end"] as const)(
    "from within the JSON of the value: each other read is settled once (%s)",
    async (how) => {
      const { log, onFinal } = openLog();
      const first = required(log, 1, { start: 0, json: anyJson });
      const second = required(log, 1, { start: 0 });
      log[how](withCode("a", () => log.abort("stopped")));
      expect((await first).json).toMatchObject({ text: '["a"]' });
      expect(await second).toMatchObject({ position: 1, status: "aborted" });
      expect(onFinal).toHaveBeenCalledTimes(1);
    },
  );

  test("ignores what the body still says", async () => {
    const { log } = openLog();
    log.report("a");
    log.abort("stopped");
    log.report("late");
    log.end("later");
    log.fail(new Error("latest"));
    expect(await available(log)).toMatchObject({ result: "a", position: 1, status: "aborted" });
  });
});

describe.each(["idle", "lifetime", "shutdown"] as const)("an abort that was not asked for: %s", (reason) => {
  test("ends the work at once; the status is final when the end has been read", async () => {
    const { log, onFinal } = openLog();
    const waiting = required(log, 5);
    log.report("a");
    log.report("b");
    expect(log.abort(reason).hasEffect).toBe(true);
    log.report("late");
    expect(await waiting).toMatchObject({ result: "b", status: "aborted", closed: true });
    expect(log.current).toMatchObject({ outcome: "aborted", abortReason: reason, status: "aborted" });
    expect(onFinal).toHaveBeenCalledTimes(1);
  });

  test("without a reader the status is not final before the value has been read, or dropped", () => {
    const { log, onFinal } = openLog();
    log.report("a");
    log.abort(reason);
    expect([log.status, log.abort("idle").hasEffect, onFinal.mock.calls.length]).toEqual(["progressed", false, 0]);
    log.discard();
    expect([log.status, onFinal.mock.calls.length]).toEqual(["aborted", 1]);
  });
});
