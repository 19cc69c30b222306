/** The reading rules of the design, one by one, and the behaviours that are easiest to get wrong; each interleaving is made by hand. */
import { readFileSync } from "node:fs";
import { describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { RequestContext } from "../src/http/request-context.js";
import { createRunnerHandler } from "../src/http/router.js";
import { scopeSelector } from "../src/http/scopes.js";
import type { ProcessContext } from "../src/runner/process-producer.js";
import type { RunnerOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { isPending, listenerCount, openHost, PushSource, turns } from "./support/control.js";
import { inside } from "./support/inside.js";
import { openPort, wireRequest } from "./support/wire.js";

/** A web stream of these items. */
function streamOf<T>(items: readonly T[]): ReadableStream<T> {
  const rest = [...items];
  return new ReadableStream<T>({
    pull(controller) {
      if (rest.length === 0) controller.close();
      else controller.enqueue(rest.shift() as T);
    },
  });
}

async function openSequence(options: RunnerOptions = {}, host = openHost()) {
  const session = await host.get("user");
  const source = new PushSource<number>();
  const runner = await session.createSequenceRunner(source, options);
  /** Pushes and lets the items arrive in the log. */
  const give = async (...items: number[]) => {
    source.push(...items);
    await turns();
  };
  return { runner, source, give, session };
}

async function openProcess(options: RunnerOptions = {}) {
  const session = await openHost().get("user");
  const end = createDeferred<string | undefined>();
  atEnd(() => end.resolve(undefined));
  let context!: ProcessContext<string>;
  const runner = await session.createProcessRunner<string>((given) => {
    context = given as ProcessContext<string>;
    return end.promise;
  }, options);
  return { runner, end, report: context.report, signal: context.signal, context };
}

describe("rule 1, reads", () => {
  test("without a start go on at the position, one slice after the other, without gap or repeat (#1, #20)", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1, 2, 3, 4, 5);
    expect((await runner.getRequired({ advance: 2 })).result).toEqual([0, 1]);
    expect((await runner.getAvailable({ advance: 3 })).result).toEqual([2, 3, 4]);
    expect(await runner.getAvailable()).toEqual({ result: [5], status: "stalled", position: 6 });
  });

  test("with a start give consecutive items from there (#21; design §5 rule 1)", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1, 2, 3, 4, 5);
    expect(await runner.getAvailable({ start: 2, advance: 3 })).toMatchObject({ result: [2, 3, 4], position: 5 });
  });

  test("the position is the end of the furthest item handed out and never moves back", async () => {
    const { runner, give } = await openSequence({ retain: "all" });
    await give(0, 1, 2, 3, 4, 5);
    await runner.getAvailable({ start: 3, advance: 2 });
    expect((await runner.state()).position).toBe(5);
    expect((await runner.getAvailable({ start: 0, advance: 1 })).position).toBe(1);
    expect((await runner.state()).position).toBe(5);
    expect((await runner.getAvailable()).result).toEqual([5]);
  });

  test("the default start is the position at the moment of the call", async () => {
    const { runner, give } = await openSequence();
    const waiting = runner.getRequired({ advance: 3 });
    const ahead = runner.getRequired({ start: 0, advance: 1 });
    await give(0, 1, 2);
    expect((await ahead).result).toEqual([0]);
    expect((await waiting).result).toEqual([0, 1, 2]);
  });
});

describe("rule 2, acknowledgement", () => {
  test("a start acknowledges everything before it, and frees it", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1, 2, 3);
    await runner.getAvailable();
    expect([(await inside(runner).logState()).acknowledged, inside(runner).retained]).toEqual([0, 4]);
    await runner.getAvailable({ start: 3 });
    expect([(await inside(runner).logState()).acknowledged, inside(runner).retained]).toEqual([3, 1]);
  });

  test("handing out, state() and an abort acknowledge nothing", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1, 2, 3);
    await runner.getAvailable();
    await runner.state();
    await runner.abort();
    expect([(await inside(runner).logState()).acknowledged, inside(runner).retained]).toEqual([0, 4]);
  });

  test("a lost page can be read again with the same start, perhaps with later items behind it (#44)", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1, 2);
    expect((await runner.getRequired({ start: 0, advance: 3 })).result).toEqual([0, 1, 2]);
    await give(3);
    expect((await runner.getRequired({ start: 0, advance: 3 })).result).toEqual([0, 1, 2]);
    expect((await runner.getAvailable({ start: 0 })).result).toEqual([0, 1, 2, 3]);
  });

  test("the last page can be read again also after completion and failure (#33, #44; design §5 rule 2)", async () => {
    for (const failure of [undefined, new Error("broken")]) {
      const { runner, source, give } = await openSequence();
      await give(0, 1, 2);
      if (failure) source.fail(failure);
      else source.end();
      await runner.getRequired({ start: 0, advance: 2 });
      const last = await runner.getRequired({ start: 2, advance: 2 });
      expect(last).toMatchObject({ result: [2], status: failure ? "failed" : "completed" });
      expect(await runner.getRequired({ start: 2, advance: 2 })).toEqual(last);
      expect(await runner.getAvailable({ start: 2 })).toEqual(last);
    }
  });

  test("what another pending read waits for is never given up", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1, 2);
    const slow = runner.getRequired({ start: 1, advance: 4 });
    await runner.getAvailable({ start: 3 });
    expect((await inside(runner).logState()).acknowledged).toBe(1);
    await give(3, 4);
    expect((await slow).result).toEqual([1, 2, 3, 4]);
    await runner.getAvailable({ start: 5 });
    expect((await inside(runner).logState()).acknowledged).toBe(5);
  });

  test("retain n keeps the last n acknowledged items in addition", async () => {
    const { runner, give } = await openSequence({ retain: 2 });
    await give(0, 1, 2, 3, 4);
    await runner.getAvailable();
    await runner.getAvailable({ start: 4 });
    expect(inside(runner).retained).toBe(3);
    expect((await runner.getAvailable({ start: 2 })).result).toEqual([2, 3, 4]);
    await expect(runner.getAvailable({ start: 1 })).rejects.toMatchObject({ code: "POSITION_GONE", firstPosition: 2 });
  });

  test("retain all keeps everything, for reloads and for several followers", async () => {
    const { runner, source, give } = await openSequence({ retain: "all" });
    await give(0, 1, 2);
    source.end();
    await runner.getAvailable();
    await runner.getAvailable({ start: 3 });
    expect(await runner.getAvailable({ start: 0 })).toEqual({ result: [0, 1, 2], status: "completed", position: 3 });
  });

  test("the host's retain holds for runners that do not say", async () => {
    const { runner, give } = await openSequence({}, openHost({ retain: "all" }));
    await give(0, 1);
    await runner.getAvailable();
    await runner.getAvailable({ start: 2 });
    expect((await runner.getAvailable({ start: 0 })).result).toEqual([0, 1]);
  });
});

describe("rule 3, positions that are not there", () => {
  test("before the window: POSITION_GONE, with the first position that is kept (#21; design §5 rule 3)", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1, 2, 3);
    await runner.getAvailable({ start: 2 });
    for (const read of [runner.getAvailable({ start: 1 }), runner.getRequired({ start: 0 })]) {
      await expect(read).rejects.toMatchObject({ code: "POSITION_GONE", status: 410, firstPosition: 2 });
    }
  });

  test("beyond the progress: POSITION_AHEAD, for both methods (#21; design §5 rule 3)", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1);
    for (const read of [runner.getAvailable({ start: 3 }), runner.getRequired({ start: 3 })]) {
      await expect(read).rejects.toMatchObject({ code: "POSITION_AHEAD", status: 400 });
    }
  });

  test("the progress itself is there: the read waits", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1);
    const waiting = runner.getRequired({ start: 2, advance: 1 });
    expect(await isPending(waiting)).toBe(true);
    await give(2, 3);
    expect((await waiting).result).toEqual([2]);
  });

  test("a refused read acknowledges nothing and moves nothing", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1);
    await expect(runner.getAvailable({ start: 9 })).rejects.toMatchObject({ code: "POSITION_AHEAD" });
    expect([runner.position, (await inside(runner).logState()).acknowledged]).toEqual([0, 0]);
    expect((await runner.getAvailable()).result).toEqual([0, 1]);
  });
});

describe("rule 4, back-pressure", () => {
  test.each(["unacknowledged", 100, "all"] as const)(
    "pauses at aheadLimit unacknowledged items with retain %s (#45; design §5 rule 4)",
    async (retain) => {
      const { runner, give } = await openSequence({ aheadLimit: 3, retain });
      await give(0, 1, 2, 3, 4, 5, 6, 7);
      expect((await runner.state()).progress.current).toBe(3);
      await runner.getAvailable();
      await turns();
      expect((await runner.state()).progress.current).toBe(3); // handed out, but not acknowledged
      await runner.getAvailable({ start: 2, advance: 1 });
      await turns();
      expect((await runner.state()).progress.current).toBe(5);
    },
  );

  test("a pending read raises the bound to the end it waits for, so nothing deadlocks (#28)", async () => {
    const { runner, give } = await openSequence({ aheadLimit: 2 });
    await give(0, 1, 2, 3, 4, 5, 6, 7);
    expect((await runner.state()).progress.current).toBe(2);
    const page = await runner.getRequired({ advance: 6 });
    expect(page).toMatchObject({ result: [0, 1, 2, 3, 4, 5], position: 6 });
    await turns();
    expect((await runner.state()).progress.current).toBe(6);
  });

  test("until it settles: a cancelled one raises nothing any more", async () => {
    const { runner, give } = await openSequence({ aheadLimit: 2 });
    const controller = new AbortController();
    const reading = runner.getRequired({ advance: 100, signal: controller.signal });
    await give(0, 1, 2, 3);
    expect((await runner.state()).progress.current).toBe(4);
    controller.abort("x");
    await expect(reading).rejects.toBe("x");
    await give(4, 5);
    expect((await runner.state()).progress.current).toBe(4);
  });

  test("an abort frees a paused producer at once (#46)", async () => {
    const { runner, source, give } = await openSequence({ aheadLimit: 1 });
    await give(0, 1, 2);
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(source.returns).toBe(1);
  });
});

describe("rule 5, several reads", () => {
  test("may wait at once when each names its start (#22; design §5 rule 5)", async () => {
    const { runner, give } = await openSequence();
    const reads = [1, 2, 3].map((advance) => runner.getRequired({ start: 0, advance }));
    await give(0, 1, 2, 3);
    expect((await Promise.all(reads)).map(({ result }) => result)).toEqual([[0], [0, 1], [0, 1, 2]]);
  });

  test("a second one at the default position is refused, getAvailable too; the first is not disturbed (#22)", async () => {
    const { runner, give } = await openSequence();
    const first = runner.getRequired({ advance: 1 });
    await expect(runner.getRequired()).rejects.toMatchObject({ code: "READ_CONFLICT", status: 409 });
    await expect(runner.getAvailable()).rejects.toMatchObject({ code: "READ_CONFLICT" });
    await give(0);
    expect((await first).result).toEqual([0]);
    await expect(runner.getAvailable()).resolves.toMatchObject({ result: [] });
  });

  test("a cancelled one takes nothing away and leaves no listener (#40, #60)", async () => {
    const { runner, give } = await openSequence();
    const controller = new AbortController();
    const reading = runner.getRequired({ advance: 5, signal: controller.signal });
    await give(0, 1);
    const reason = new Error("the client has gone");
    controller.abort(reason);
    await expect(reading).rejects.toBe(reason);
    expect(listenerCount(controller.signal)).toBe(0);
    expect((await runner.state()).position).toBe(0);
    expect((await runner.getAvailable()).result).toEqual([0, 1]);
  });

  test("one that is cancelled before it begins takes nothing away (#40)", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1);
    await runner.getAvailable(); // a page that gets lost
    const reading = runner.getRequired({ advance: 1, signal: AbortSignal.abort("gone") });
    await expect(reading).rejects.toBe("gone");
    expect((await runner.getAvailable({ start: 0 })).result).toEqual([0, 1]);
  });
});

describe("rule 6, status", () => {
  test("a slice's status speaks for the slice, the runner's for the runner", async () => {
    const { runner, source, give } = await openSequence({ retain: "all" });
    await give(0, 1, 2);
    source.end();
    await turns();
    expect((await runner.state()).status).toBe("progressed");
    expect((await runner.getAvailable({ start: 0, advance: 2 })).status).toBe("progressed");
    expect((await runner.state()).status).toBe("progressed");
    expect((await runner.getAvailable({ start: 2 })).status).toBe("completed");
    expect((await runner.state()).status).toBe("completed");
    expect((await runner.getAvailable({ start: 0, advance: 2 })).status).toBe("progressed");
    expect((await runner.state()).status).toBe("completed");
  });

  test("completed comes with the last data (#30)", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1, 2);
    source.end();
    await turns();
    expect(await runner.getRequired({ advance: 9 })).toEqual({ result: [0, 1, 2], status: "completed", position: 3 });
  });

  test("completed comes as soon as the background has ended and nothing is left to return (#37)", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1);
    expect((await runner.getAvailable()).status).toBe("stalled");
    source.end();
    await turns();
    expect([(await runner.state()).status, runner.signal.aborted]).toEqual(["completed", true]);
  });

  test("the end of exactly as many items as were asked for is told with them", async () => {
    const session = await openHost().get("user");
    async function* three() {
      yield* [0, 1, 2];
    }
    for (const source of [[0, 1, 2], three(), streamOf([0, 1, 2])]) {
      const runner = await session.createSequenceRunner<number>(source);
      expect(await runner.getRequired({ advance: 3 })).toEqual({ result: [0, 1, 2], status: "completed", position: 3 });
    }
  });

  test("the source gets one turn to report its end, and the read is pending in it", async () => {
    const { runner, source, give } = await openSequence();
    await give(0);
    const reading = runner.getAvailable();
    await expect(runner.getAvailable()).rejects.toMatchObject({ code: "READ_CONFLICT" });
    source.end();
    expect(await reading).toEqual({ result: [0], status: "completed", position: 1 });
  });

  test("failed hands out its data first, and tells the error with the last of it (#31, #55)", async () => {
    const { runner, source, give } = await openSequence();
    const cause = new Error("broken");
    await give(0, 1, 2);
    source.fail(cause);
    await turns();
    expect(await runner.getRequired({ advance: 2 })).toEqual({ result: [0, 1], status: "progressed", position: 2 });
    expect((await runner.state()).error).toBeUndefined();
    const last = await runner.getRequired({ advance: 2 });
    expect(last).toMatchObject({ result: [2], status: "failed", position: 3 });
    expect(last.error?.cause).toBe(cause);
    expect((await runner.state()).error).toBe(last.error);
  });

  test("a foreign cancellation is a failure (#54)", async () => {
    const { runner, source } = await openSequence();
    source.fail(new DOMException("The operation was aborted", "AbortError"));
    const { status, error } = await runner.getRequired();
    expect([status, error?.code]).toEqual(["failed", "RUNNER_FAILED"]);
  });

  test("a final status never changes, and the position does not move then (#5)", async () => {
    const { runner, source, give } = await openSequence({ retain: "all" });
    await give(0, 1);
    source.end();
    await runner.getRequired({ advance: 2 });
    expect(await runner.abort()).toBe("completed");
    await runner.getAvailable({ start: 0, advance: 1 });
    expect(await runner.getAvailable()).toEqual({ result: [], status: "completed", position: 2 });
    expect([(await runner.state()).status, (await runner.state()).position]).toEqual(["completed", 2]);
  });
});

describe("rule 7, abort", () => {
  test("settles all pending reads with what they have, then cuts, then fires the signal (#35)", async () => {
    const session = await openHost().get("user");
    const source = new PushSource<number>();
    const seen: unknown[] = [];
    const runner = await session.createSequenceRunner<number>(({ signal }) => {
      signal.addEventListener("abort", () => seen.push(runner.status, runner.position, runner.progress.current));
      return source;
    });
    source.push(0, 1, 2);
    await turns();
    const reads = [runner.getRequired({ start: 0, advance: 9 }), runner.getRequired({ start: 1, advance: 9 })];
    await turns();
    expect(await runner.abort()).toBe("aborted");
    expect(seen).toEqual(["aborted", 3, 3]);
    expect(await Promise.all(reads)).toEqual([
      { result: [0, 1, 2], status: "aborted", position: 3 },
      { result: [1, 2], status: "aborted", position: 3 },
    ]);
  });

  test("what was handed out and is kept stays readable, the rest is dropped (#34; design §5 rule 7)", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1, 2, 3, 4);
    await runner.getAvailable({ advance: 2 });
    await runner.abort();
    expect([(await runner.state()).position, (await runner.state()).progress, inside(runner).retained]).toEqual([
      2,
      { current: 2, estimatedEnd: 2 },
      2,
    ]);
    expect(await runner.getAvailable({ start: 0 })).toEqual({ result: [0, 1], status: "aborted", position: 2 });
  });

  test("a start between the end and the former progress reads as the end", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1, 2, 3, 4);
    await runner.getAvailable({ advance: 2 });
    await runner.abort();
    for (const start of [2, 3, 5]) {
      expect(await runner.getRequired({ start })).toEqual({ result: [], status: "aborted", position: 2 });
    }
    await expect(runner.getRequired({ start: 6 })).rejects.toMatchObject({ code: "POSITION_AHEAD" });
  });

  test("of a runner whose end is unread drops its data and its error (#34)", async () => {
    const { runner, source, give } = await openSequence();
    await give(0);
    source.fail(new Error("broken"));
    await turns();
    expect(await runner.abort()).toBe("aborted");
    expect([(await runner.state()).error, (await runner.state()).abortReason]).toEqual([undefined, "stopped"]);
    expect(await runner.getAvailable()).toEqual({ result: [], status: "aborted", position: 0 });
  });
});

describe("rule 8, a runner that has ended", () => {
  test.each(["completed", "failed", "aborted"] as const)(
    "stays readable: %s (#33, #104; design §5 rule 8)",
    async (status) => {
      const { runner, source, give, session } = await openSequence();
      await give(0, 1);
      await runner.getAvailable();
      if (status === "completed") source.end();
      if (status === "failed") source.fail(new Error("x"));
      if (status === "aborted") await runner.abort();
      await runner.cleanup;
      const found = await session.findSequenceRunner<number>(runner.key);
      expect(await found?.getAvailable({ start: 0 })).toMatchObject({ result: [0, 1], status, position: 2 });
    },
  );

  test.each(["completed", "failed", "aborted"] as const)(
    "tells every later read that it is %s, and moves no more (#5, #33)",
    async (status) => {
      const { runner, source, give } = await openSequence();
      await give(0, 1);
      await runner.getAvailable();
      if (status === "completed") source.end();
      if (status === "failed") source.fail(new Error("x"));
      if (status === "aborted") await runner.abort();
      await turns();
      const { error } = runner;
      expect(error !== undefined).toBe(status === "failed");
      const told = { result: [], status, position: 2, ...(error && { error }) };
      for (let time = 0; time < 2; time++) {
        expect(await runner.getAvailable()).toEqual(told);
        expect(await runner.getRequired()).toEqual(told);
      }
    },
  );

  test("until it idles out (#135; design §5 rule 8)", async () => {
    vi.useFakeTimers();
    const { runner, source, session } = await openSequence({ finishedTimeout: 1000 });
    source.end();
    await runner.getRequired();
    vi.advanceTimersByTime(990);
    expect(inside(session).peek(runner.number)).toBe(runner);
    vi.advanceTimersByTime(11);
    await turns();
    expect(await session.findRunner(runner.key)).toBeUndefined();
    await expect(runner.getAvailable()).rejects.toMatchObject({ code: "RUNNER_GONE" });
    expect((await runner.state()).status).toBe("completed");
  });

  test("until it is removed", async () => {
    const { runner, source, session } = await openSequence();
    source.end();
    await runner.getRequired();
    await runner[Symbol.asyncDispose]();
    expect(await session.findRunner(runner.key)).toBeUndefined();
  });

  test("until its session ends", async () => {
    const { runner, source, session } = await openSequence();
    source.end();
    await runner.getRequired();
    await session.terminate();
    await expect(runner.getAvailable()).rejects.toMatchObject({ code: "RUNNER_GONE" });
  });
});

describe("rule 9, processes", () => {
  test("a start may lie beyond the progress: the read waits", async () => {
    const { runner, report } = await openProcess();
    const waiting = runner.getRequired({ start: 1, advance: 1 });
    report("a");
    expect(await isPending(waiting)).toBe(true);
    report("b");
    expect(await waiting).toEqual({ result: "b", status: "stalled", position: 2 });
  });

  test("any number of reads may wait, at the default position too", async () => {
    const { runner, report } = await openProcess();
    const waiting = [runner.getRequired(), runner.getRequired(), runner.getAvailable({ start: 0, advance: 0 })];
    report("a");
    expect((await Promise.all(waiting)).map(({ position }) => position)).toEqual([1, 1, 0]);
  });

  test("a waiter gets the value of the moment, an earlier point asked later the newest with the older position", async () => {
    const { runner, report } = await openProcess();
    const waiting = runner.getRequired();
    report("a");
    report("b");
    expect(await waiting).toEqual({ result: "a", status: "stalled", position: 1 });
    await runner.getAvailable();
    expect(await runner.getRequired({ start: 0 })).toEqual({ result: "b", status: "progressed", position: 1 });
    expect((await runner.state()).position).toBe(2);
  });

  test("a normal end is one more position, a failure is not", async () => {
    const completed = await openProcess();
    completed.report("a");
    completed.end.resolve("final");
    await turns();
    expect((await completed.runner.state()).progress).toEqual({ current: 2, estimatedEnd: 2 });
    expect(await completed.runner.getAvailable()).toEqual({ result: "final", status: "completed", position: 2 });

    const failed = await openProcess();
    failed.report("a");
    failed.end.reject(new Error("broken"));
    await turns();
    expect((await failed.runner.state()).progress).toEqual({ current: 1, estimatedEnd: 1 });
    expect(await failed.runner.getAvailable()).toMatchObject({ result: "a", status: "failed", position: 1 });
  });

  test("reading acknowledges nothing, and only the newest value is kept", async () => {
    const { runner, report } = await openProcess();
    for (const value of ["a", "b", "c"]) report(value);
    await runner.getAvailable();
    expect(inside(runner).retained).toBe(1);
    expect((await runner.getAvailable({ start: 0 })).result).toBe("c");
  });

  test("an abort drops nothing: the position becomes the progress and stays, every read gets the newest value (#90, #91)", async () => {
    const { runner, report } = await openProcess();
    const waiting = runner.getRequired({ advance: 9 });
    report("a");
    report("b");
    await runner.abort();
    const newest = { result: "b", status: "aborted", position: 2 };
    expect([(await runner.state()).position, (await runner.state()).progress]).toEqual([
      2,
      { current: 2, estimatedEnd: 2 },
    ]);
    expect(await waiting).toEqual(newest);
    expect(await runner.getRequired({ start: 0 })).toEqual(newest);
    expect(await runner.getAvailable({ start: 7 })).toEqual(newest);
    expect(await runner.getRequired({ advance: 5 })).toEqual(newest);
    expect((await runner.state()).position).toBe(2);
  });
});

describe("rule 10, open reads", () => {
  /** A response of the wire without a socket: the test decides when its parts are taken. */
  async function openResponse(query: string, { aheadLimit = 1000, retain }: RunnerOptions = {}) {
    vi.useFakeTimers();
    const host = openHost({
      ...{ runnerIdleTimeout: 10_000, finishedTimeout: 5000, idleTimeout: 15_000 },
      cleanupTimeout: Number.POSITIVE_INFINITY,
    });
    const opened = await openSequence({ aheadLimit, retain }, host);
    const handle = createRunnerHandler(inside(host), { rotateAfter: 60_000, heartbeat: Number.POSITIVE_INFINITY });
    const ask = (action: string | undefined, asked: string, method = "GET") => {
      const query = new URLSearchParams(asked);
      return handle(wireRequest(host, opened.runner.key, { method, action, query, identity: "user:user" }));
    };
    const response = ask(undefined, query);
    return { ...opened, host, ask, response };
  }

  test("a pending read keeps runner and session from idling out, and only while it is pending", async () => {
    const { runner, session, give, response } = await openResponse("offset=0&live=long-poll&timeout=60");
    await vi.advanceTimersByTimeAsync(50_000);
    expect([(await runner.state()).status, session.isAvailable]).toEqual(["stalled", true]);
    await give(1);
    expect((await response).body).toBe("[1]");
    await vi.advanceTimersByTimeAsync(10_000);
    expect([(await runner.state()).abortReason, session.isAvailable]).toEqual(["idle", true]);
    await vi.advanceTimersByTimeAsync(5000);
    expect(session.isAvailable).toBe(false);
  });

  test("no pin holds against maxLifetime", async () => {
    vi.useFakeTimers();
    const { runner } = await openSequence({}, openHost({ maxLifetime: 30_000 }));
    const waiting = runner.getRequired();
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await waiting).toMatchObject({ result: [], status: "aborted" });
    expect((await runner.state()).abortReason).toBe("lifetime");
  });

  test("a connection alone is no sign of life: the response ends and unpins, whatever its body does, and the work ends", async () => {
    const { runner, response } = await openResponse("offset=0&live=sse");
    const { ended } = await response; // none of its parts is taken
    await vi.advanceTimersByTimeAsync(59_999);
    expect([ended!.aborted, (await runner.state()).status]).toEqual([false, "stalled"]);
    await vi.advanceTimersByTimeAsync(1);
    expect(ended!.aborted).toBe(true);
    await vi.advanceTimersByTimeAsync(10_000);
    expect((await runner.state()).abortReason).toBe("idle");
  });

  test("an acknowledgement that names it is a sign of life", async () => {
    const { response, ask } = await openResponse("offset=0&live=sse");
    const { ended, headers } = await response;
    await vi.advanceTimersByTimeAsync(59_999);
    expect((await ask("ack", `offset=0&response=${headers["Runner-Response"]}`, "POST")).status).toBe(204);
    await vi.advanceTimersByTimeAsync(59_999);
    expect(ended!.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(ended!.aborted).toBe(true);
  });

  test.each(["unacknowledged", "all"] as const)(
    "aheadLimit items sent and not acknowledged end it (retain %s)",
    async (retain) => {
      const { give, response } = await openResponse("offset=0&live=sse", { aheadLimit: 2, retain });
      const { ended, body } = await response;
      const parts = (body as AsyncIterable<string>)[Symbol.asyncIterator]();
      await parts.next();
      await give(1, 2, 3);
      await parts.next();
      expect(ended!.aborted).toBe(false);
      await parts.next();
      await vi.advanceTimersByTimeAsync(1100);
      expect(ended!.aborted).toBe(true);
      expect((await parts.next()).done).toBe(true);
    },
  );
});

describe("rule 11, what is not covered", () => {
  test("the lost answer of a creating request: repeated, it makes a second runner", async () => {
    const session = await openHost().get("user");
    const runners = [await session.createSequenceRunner([1]), await session.createSequenceRunner([1])];
    expect(runners.map(({ number }) => number)).toEqual([0, 1]);
  });

  test("a read without a start takes what came before as received", async () => {
    const { runner, give } = await openSequence();
    await give(1, 2);
    await runner.getRequired({ advance: 1 });
    await runner.getRequired({ advance: 1 });
    await expect(runner.getAvailable({ start: 0 })).rejects.toMatchObject({ code: "POSITION_GONE", firstPosition: 1 });
  });

  test("a reload without retain finds what was acknowledged gone", async () => {
    const { runner, give } = await openSequence();
    await give(1, 2, 3);
    await runner.getAvailable({ start: 0 });
    await runner.getAvailable({ start: 2 });
    await expect(runner.getAvailable({ start: 0 })).rejects.toMatchObject({ code: "POSITION_GONE", firstPosition: 2 });
  });

  test("the README says so", () => {
    const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
    const notGuaranteed = readme.slice(readme.indexOf("Not guaranteed:"));
    for (const words of [
      "a crash or a restart loses it",
      "only with an idempotency key",
      "without a `start`",
      'with `retain: "all"`',
    ]) {
      expect(notGuaranteed).toContain(words);
    }
  });
});

// --- easiest to get wrong ---------------------------------------------------------------------------------------------

describe("a pending getRequired resolves with the data so far, and rejects only when it is cancelled itself (#32, #35)", () => {
  test.each(["abort", "end", "failure", "disposal", "end of the session"])("%s", async (how) => {
    const session = await openHost().get("user");
    const source = new PushSource<number>();
    const runner = await session.createSequenceRunner(source);
    const reading = runner.getRequired({ advance: 9 });
    source.push(0, 1);
    await turns();
    if (how === "abort") await runner.abort();
    if (how === "end") source.end();
    if (how === "failure") source.fail(new Error("broken"));
    if (how === "disposal") await runner[Symbol.asyncDispose]();
    if (how === "end of the session") await session.terminate();
    const status = how === "end" ? "completed" : how === "failure" ? "failed" : "aborted";
    expect(await reading).toMatchObject({ result: [0, 1], status, position: 2 });
  });

  test("its own cancellation", async () => {
    const { runner } = await openSequence();
    const controller = new AbortController();
    const reading = runner.getRequired({ signal: controller.signal });
    controller.abort("mine");
    await expect(reading).rejects.toBe("mine");
  });
});

describe("a final status comes with the last data and only then; an abort comes at once", () => {
  test("completed (#8, #30)", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1, 2);
    source.end();
    await turns();
    expect([(await runner.state()).status, (await runner.state()).isBackgroundCompleted]).toEqual(["progressed", true]);
    expect(await runner.getAvailable({ advance: 2 })).toEqual({ result: [0, 1], status: "progressed", position: 2 });
    expect([(await runner.state()).status, runner.signal.aborted]).toEqual(["progressed", false]);
    expect(await runner.getAvailable()).toEqual({ result: [2], status: "completed", position: 3 });
    expect([(await runner.state()).status, runner.signal.aborted]).toEqual(["completed", true]);
  });

  test("failed: its last slice still carries items (#8, #31)", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1, 2);
    source.fail(new Error("broken"));
    await turns();
    expect((await runner.getAvailable({ advance: 2 })).error).toBeUndefined();
    expect([(await runner.state()).status, (await runner.state()).error]).toEqual(["progressed", undefined]);
    expect(await runner.getAvailable()).toMatchObject({
      result: [2],
      status: "failed",
      error: { code: "RUNNER_FAILED" },
    });
  });

  test("aborted: what was not handed out is dropped at once (#8, #34)", async () => {
    const { runner, give } = await openSequence();
    await give(0, 1, 2);
    await runner.abort();
    expect(await runner.getAvailable()).toEqual({ result: [], status: "aborted", position: 0 });
    expect(inside(runner).retained).toBe(0);
  });
});

describe("a cancelled getRequired loses nothing", () => {
  test("what it had gathered is served first, whole or in parts (#40, #41)", async () => {
    const { runner, give } = await openSequence();
    const controller = new AbortController();
    const reading = runner.getRequired({ advance: 9, signal: controller.signal });
    await give(0, 1, 2);
    controller.abort("x");
    await expect(reading).rejects.toBe("x");
    await give(3);
    expect((await runner.getRequired({ advance: 2 })).result).toEqual([0, 1]);
    expect((await runner.getAvailable()).result).toEqual([2, 3]);
  });

  test("the final status waits until that too has been handed out (#42)", async () => {
    const { runner, source, give } = await openSequence();
    const controller = new AbortController();
    const reading = runner.getRequired({ advance: 9, signal: controller.signal });
    await give(0, 1, 2);
    controller.abort("x");
    await expect(reading).rejects.toBe("x");
    source.end();
    await turns();
    expect(await runner.getRequired({ advance: 1 })).toEqual({ result: [0], status: "progressed", position: 1 });
    expect(await runner.getRequired({ advance: 9 })).toEqual({ result: [1, 2], status: "completed", position: 3 });
  });

  test("cancelled before any item came, it leaves the runner stalled (#43)", async () => {
    const { runner } = await openSequence();
    const controller = new AbortController();
    const reading = runner.getRequired({ signal: controller.signal });
    await turns();
    controller.abort("x");
    await expect(reading).rejects.toBe("x");
    expect((await runner.state()).status).toBe("stalled");
  });
});

describe("stalled and progressed say whether there is anything to read, not whether the background runs", () => {
  test("of a sequence (#29, #36)", async () => {
    const { runner, source, give } = await openSequence();
    expect((await runner.state()).status).toBe("stalled");
    await give(0, 1);
    expect((await runner.state()).status).toBe("progressed");
    await runner.getAvailable();
    expect((await runner.state()).status).toBe("stalled");
    await give(2);
    source.end();
    await turns();
    expect([(await runner.state()).status, (await runner.state()).isBackgroundCompleted]).toEqual(["progressed", true]);
  });

  test("of a process, also after its end (#85)", async () => {
    const { runner, end, report } = await openProcess();
    report("a");
    expect((await runner.state()).status).toBe("progressed");
    await runner.getAvailable();
    expect((await runner.state()).status).toBe("stalled");
    end.resolve("final");
    await turns();
    expect([(await runner.state()).status, (await runner.state()).isBackgroundCompleted]).toEqual(["progressed", true]);
  });
});

describe("advance 0", () => {
  test("is the default page for both methods of a sequence (#1, #21)", async () => {
    const { runner, give } = await openSequence({ defaultAdvance: 2 });
    await give(0, 1, 2, 3, 4);
    expect((await runner.getAvailable({ advance: 0 })).result).toEqual([0, 1]);
    expect((await runner.getRequired({ advance: 0 })).result).toEqual([2, 3]);
  });

  test("is 1 for a process at its default position (#77)", async () => {
    const { runner, report } = await openProcess();
    const reading = runner.getRequired({ advance: 0 });
    expect(await isPending(reading)).toBe(true);
    report("a");
    expect((await reading).position).toBe(1);
  });

  test("is this very point for a process with a start, and returns at once (#78)", async () => {
    const { runner, report } = await openProcess();
    expect(await runner.getRequired({ start: 0, advance: 0 })).toEqual({
      result: undefined,
      status: "stalled",
      position: 0,
    });
    report("a");
    report("b");
    expect((await runner.getRequired({ start: 1, advance: 0 })).position).toBe(1);
  });
});

describe("getAvailable never starts a runner, getRequired does", () => {
  test("and a start that failed can be tried again, with the way free (#9, #23, #25)", async () => {
    const session = await openHost().get("user");
    let tries = 0;
    const runner = await session.createSequenceRunner<number>(
      () => {
        if (++tries === 1) throw new Error("not yet");
        return [0, 1];
      },
      { start: "on-first-read" },
    );
    await runner.getAvailable();
    expect(tries).toBe(0);
    await expect(runner.getRequired()).rejects.toMatchObject({ code: "RUNNER_START_FAILED" });
    expect((await runner.state()).status).toBe("not-started");
    expect(await runner.getRequired()).toEqual({ result: [0, 1], status: "completed", position: 2 });
    expect(tries).toBe(2);
  });
});

describe("the ahead limit counts what is not acknowledged; a pending read raises it", () => {
  test("a read larger than the limit is served (#28)", async () => {
    const session = await openHost().get("user");
    const items = Array.from({ length: 30 }, (_, i) => i);
    const runner = await session.createSequenceRunner(items, { aheadLimit: 3 });
    expect(await runner.getRequired({ advance: 30 })).toEqual({ result: items, status: "completed", position: 30 });
  });

  test("a reader that goes on from page to page is never stuck", async () => {
    const session = await openHost().get("user");
    const items = Array.from({ length: 30 }, (_, i) => i);
    const runner = await session.createSequenceRunner(items, { aheadLimit: 1 });
    const seen: number[] = [];
    for (let page = await runner.getRequired({ advance: 7 }); ; page = await runner.getRequired({ advance: 7 })) {
      seen.push(...page.result);
      if (page.status === "completed") break;
    }
    expect(seen).toEqual(items);
  });

  test("what was handed out counts until it is acknowledged (#45; design §5 rule 4)", async () => {
    const { runner, give } = await openSequence({ aheadLimit: 2 });
    await give(0, 1, 2, 3, 4);
    await runner.getAvailable();
    await turns();
    expect((await runner.state()).progress.current).toBe(2);
    await runner.getAvailable(); // goes on at 2, which says that 0 and 1 have arrived
    await turns();
    expect((await runner.state()).progress.current).toBe(4);
  });
});

describe("as many items as exist end as completed, whatever the timing", () => {
  test.each([0, 1, 2, 5, 20])("%i items of each kind of source (#37, #38)", async (count) => {
    const items = Array.from({ length: count }, (_, i) => i);
    const session = await openHost().get("user");
    async function* generate() {
      for (const item of items) yield item;
    }
    const sources = [items, generate(), streamOf(items), () => items, async () => generate()];
    for (const source of sources) {
      const runner = await session.createSequenceRunner<number>(source);
      const result = await runner.getRequired({ advance: Math.max(1, count) });
      expect(result).toEqual({ result: items, status: "completed", position: count });
      expect((await runner.state()).status).toBe("completed");
    }
  });

  test("also when all items had been there before the read", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1);
    const reading = runner.getRequired({ advance: 2 });
    source.end();
    expect((await reading).status).toBe("completed");
  });

  test("an end that comes after the turn needs no empty read (#37)", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1);
    expect((await runner.getRequired({ advance: 2 })).status).toBe("stalled");
    source.end();
    await turns();
    expect([(await runner.state()).status, runner.signal.aborted]).toEqual(["completed", true]);
  });
});

describe("a waiter at a process gets the moment at which its target was reached", () => {
  test("while the runner has moved on (#3, #81)", async () => {
    const { runner, report } = await openProcess();
    const waiting = runner.getRequired({ advance: 2 });
    report("a");
    report("b");
    report("c");
    expect((await runner.state()).status).toBe("progressed");
    expect(await waiting).toEqual({ result: "b", status: "stalled", position: 2 });
  });
});

describe("a normal end of a process is one more point, failure and abort are not", () => {
  test.each(["end", "failure", "abort"] as const)(
    "%s; the estimated end becomes the progress (#75, #86, #88)",
    async (how) => {
      const { runner, end, report } = await openProcess();
      report("a", 50);
      report("b", 50);
      if (how === "end") end.resolve("final");
      if (how === "failure") end.reject(new Error("broken"));
      if (how === "abort") await runner.abort();
      await turns();
      const current = how === "end" ? 3 : 2;
      expect((await runner.state()).progress).toEqual({ current, estimatedEnd: current });
      expect((await runner.getAvailable()).position).toBe(current);
    },
  );
});

describe("aborted only when the runner's own signal fired", () => {
  const cancellations = [
    new DOMException("This operation was aborted", "AbortError"),
    AbortSignal.abort().reason,
    Object.assign(new Error("cancelled"), { code: "ABORT_ERR", name: "AbortError" }),
  ];

  test.each(cancellations)(
    "a body that throws a cancellation of its own has failed: %s (#88; design §5 rule 6)",
    async (cause) => {
      const { runner, end } = await openProcess();
      end.reject(cause);
      const { status, error } = await runner.getRequired();
      expect([status, error?.code, error?.cause]).toEqual(["failed", "RUNNER_FAILED", cause]);
    },
  );

  test.each(cancellations)("a source that throws one has failed: %s (#54)", async (cause) => {
    for (const source of [asynchronous(), synchronous()]) {
      const session = await openHost().get("user");
      const runner = await session.createSequenceRunner<number>(source);
      expect(await runner.getRequired({ advance: 5 })).toMatchObject({ result: [0], status: "failed" });
      expect((await runner.state()).abortReason).toBeUndefined();
    }
    async function* asynchronous() {
      yield 0;
      throw cause;
    }
    function* synchronous() {
      yield 0;
      throw cause;
    }
  });

  test("report throws the signal's reason after an abort, and the runner stays aborted (#87)", async () => {
    const { runner, end, report, context } = await openProcess();
    await runner.abort();
    let thrown: unknown;
    try {
      report("late");
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBe(context.signal.reason);
    expect(thrown).toMatchObject({ code: "RUNNER_ABORTED" });
    end.reject(thrown);
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect((await runner.state()).status).toBe("aborted");
  });
});

describe("a generation is larger than every one before it of the same client", () => {
  test("after termination, after idling out, and within one millisecond (#116, #117)", async () => {
    vi.useFakeTimers({ now: 1_000_000 });
    const sessions = openHost({ idleTimeout: 1000 });
    const generations: number[] = [];
    for (const end of ["terminate", "idle out", "terminate", "terminate"]) {
      const session = await sessions.get("ann");
      generations.push(session.generation);
      if (end === "terminate") void session.terminate();
      else await vi.advanceTimersByTimeAsync(1000);
      expect(session.isAvailable).toBe(false);
    }
    expect(generations).toEqual([1_000_000, 1_000_001, 1_001_000, 1_001_001]);
  });

  test("also when the clock goes back, and for a host that has just been made", async () => {
    vi.useFakeTimers({ now: 2_000_000 });
    const sessions = openHost();
    const { generation } = await sessions.get("ann");
    vi.setSystemTime(1_000_000);
    expect((await sessions.get("bob")).generation).toBe(generation + 1);
    vi.setSystemTime(3_000_000);
    expect((await openHost().get("ann")).generation).toBe(3_000_000);
  });
});

describe("a group lives as long as a session of it, or a request that holds it", () => {
  /** A request of Ann's, and what ends it. */
  function openRequest(sessions: ReturnType<typeof openHost>) {
    const { port, end } = openPort();
    const request = new RequestContext(
      { sessions: inside(sessions), identify: () => "ann", hasGuests: true, cookies: {} as never },
      {},
      port,
      "ann",
      {
        suffix: undefined,
      },
    );
    return { request, end };
  }

  test("a terminated session's group lives until the request ends; refresh keeps the balance (#124, #182)", async () => {
    const sessions = openHost();
    const { request, end } = openRequest(sessions);
    const { group } = request.session;
    await request.session.terminate();
    await turns();
    expect(group.isAvailable).toBe(true);
    group.properties.set("still", "there");
    expect(request.refresh()).toBe(true);
    expect(request.session.group).toBe(group); // the next session has joined it
    await request.session.terminate();
    await turns();
    expect(group.isAvailable).toBe(true);
    end();
    await group.cleanup;
    expect(group.isAvailable).toBe(false);
    expect((await sessions.get("ann")).group).not.toBe(group);
  });

  test("the host's end does not wait for a request that holds one: the group ends with it", async () => {
    const disposed = vi.fn();
    const sessions = openHost({ groupServices: () => ({ [Symbol.dispose]: disposed }) });
    const { request, end } = openRequest(sessions);
    const { group } = request.session;
    expect(group.services).toBeDefined();
    expect(await sessions.close()).toEqual({ sessions: 1, interrupted: 0, unfinished: [], errors: [] });
    expect([group.isAvailable, disposed.mock.calls.length]).toEqual([false, 1]);
    end();
    await turns();
    expect(disposed).toHaveBeenCalledTimes(1);
  });

  test("a session that lives on keeps it, whatever else has ended", async () => {
    const sessions = openHost();
    const [plain, other] = [await sessions.get("ann"), await sessions.get("ann", "other")];
    const { group } = plain;
    await plain.terminate();
    await turns();
    expect([group.isAvailable, [...group.sessions()]]).toEqual([true, [other]]);
    await other.terminate();
    await group.cleanup;
  });
});

describe("the first accepting scope with a suffix decides, not the first accepting one", () => {
  test("the empty text ends the search and means none; without an accepting scope there is none (#171, #172)", async () => {
    const asked: string[] = [];
    const scope = (name: string, answer: unknown) => ({
      when: () => {
        asked.push(name);
        return answer;
      },
    });
    const select = async (...scopes: Parameters<typeof scopeSelector>[0] & object) => {
      asked.length = 0;
      return [await scopeSelector(scopes)({}, "/", () => {}), [...asked]];
    };
    const [accepts, refuses, gives, givesNone] = [
      ...[scope("accepts", true), scope("refuses", false), scope("gives", "a"), scope("givesNone", "")],
    ] as const;
    expect(await select(accepts, refuses, gives, givesNone)).toEqual([
      { suffix: "a" },
      ["accepts", "refuses", "gives"],
    ]);
    expect(await select(accepts, givesNone, gives)).toEqual([{ suffix: undefined }, ["accepts", "givesNone"]]);
    expect(await select(refuses)).toEqual([undefined, ["refuses"]]);
    expect(await select({ when: "/" }, { when: "/" })).toEqual([{ suffix: undefined }, []]);
  });
});

describe("a session ends in one order", () => {
  test("abort, signal, clean-up of runners, holds, own resources in reverse, services, clean-up (#137, #138, #153)", async () => {
    const order: string[] = [];
    const gate = createDeferred();
    const sessions = openHost({ services: () => ({ [Symbol.dispose]: () => void order.push("services") }) });
    const session = await sessions.get("ann");
    expect(session.services).toBeDefined();
    session.own(() => void order.push("owned first"));
    session.own(() => void order.push("owned second"));
    session.signal.addEventListener("abort", () => void order.push("signal"));
    const lock = (await session.lock("one"))!;
    const waiting = session.lock("one").catch(({ code }) => void order.push(`waiting lock: ${code}`));
    const runner = await session.createProcessRunner(
      async ({ signal }) => {
        signal.addEventListener("abort", () => void order.push("abort"));
        await gate.promise;
        order.push("work has ended");
      },
      { holds: [() => void order.push("holds"), lock] },
    );
    void session.terminate().then(() => order.push("cleaned up"));
    await waiting;
    await turns();
    expect(order.filter((step) => step !== "waiting lock: SESSION_ENDED")).toEqual(["abort", "signal"]);
    expect(order).toHaveLength(3);
    expect([(await runner.state()).status, session.isAvailable]).toEqual(["aborted", false]);
    gate.resolve();
    await session.cleanup;
    await turns();
    expect(order.slice(3)).toEqual([
      ...["work has ended", "holds", "owned second", "owned first", "services", "cleaned up"],
    ]);
  });
});
