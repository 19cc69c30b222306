import * as diagnostics from "node:diagnostics_channel";
import { describe, expect, test, vi } from "vitest";
import { atEnd } from "../../test/support/cleanup.js";
import { isPending, listenerCount, openHost, PushSource, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { createDeferred } from "../base/async.js";
import { nextSlice } from "../base/event-loop.js";
import { defineSequenceRunner } from "../session/define.js";
import type { ActiveSessionsOptions, RunnerOptions } from "../session/options.js";

const never = new Promise<never>(() => {});

async function openSession(options: ActiveSessionsOptions = {}) {
  const warn = vi.fn();
  const host = openHost({ cleanupTimeout: 1000, logger: { warn }, ...(options as object) });
  return { host, session: await host.get("user"), warn };
}

async function openRunner(options: RunnerOptions = {}) {
  const { session, warn, host } = await openSession();
  const source = new PushSource<number>();
  const runner = await session.createSequenceRunner(source, options);
  return { runner, source, session, warn, host };
}

/** A source function whose start the test settles by hand. */
async function openStarting(options: RunnerOptions = { start: "on-first-read" }) {
  const { session, warn, host } = await openSession();
  const source = new PushSource<number>();
  const start = createDeferred<PushSource<number>>();
  const make = vi.fn(() => start.promise);
  const creating = session.createSequenceRunner(make, options);
  return { creating, source, start, make, session, warn, host };
}

describe("a new runner", () => {
  test("has an id, a key, a number and the application's data (#17)", async () => {
    const { session } = await openSession();
    await session.createSequenceRunner([1]);
    const data = { any: "thing" };
    const runner = await session.createSequenceRunner([1], { data });
    expect(runner.number).toBe(1);
    expect(runner.id).toMatchObject({ sessionId: session.id, generation: session.generation, number: 1 });
    expect(String(runner.id)).toBe(`${session.id}:${session.generation}#1`);
    expect(runner.key).toBe(`1-${session.generation}-${session.id}`);
    expect(runner.key).toMatch(/^[A-Za-z0-9_.-]+$/);
    expect(runner.data).toBe(data);
  });

  test("that is not started is at the beginning of everything (#2)", async () => {
    const { runner } = await openRunner({ start: "on-first-read" });
    expect([(await runner.state()).status, (await runner.state()).position, (await runner.state()).progress]).toEqual([
      "not-started",
      0,
      { current: 0 },
    ]);
    expect([
      (await runner.state()).isBackgroundCompleted,
      (await runner.state()).error,
      (await runner.state()).abortReason,
    ]).toEqual([false, undefined, undefined]);
    expect(runner.signal.aborted).toBe(false);
  });

  test("that is started is stalled", async () => {
    const { runner } = await openRunner();
    expect((await runner.state()).status).toBe("stalled");
  });
});

describe("state()", () => {
  test("tells everything at once and moves nothing (#18)", async () => {
    const { runner, source } = await openRunner();
    source.push(1, 2);
    await turns();
    expect(await runner.state()).toEqual({
      key: runner.key,
      kind: "sequence",
      status: "progressed",
      position: 0,
      progress: { current: 2 },
      ...{ isBackgroundCompleted: false, phase: "running" },
    });
    expect((await runner.state()).position).toBe(0);
  });

  test("has the error only when failed, the reason only when aborted (#55)", async () => {
    const failing = await openRunner();
    failing.source.push(1);
    failing.source.fail(new Error("broken"));
    await turns();
    expect(failing.runner.error).toBeUndefined();
    expect(await failing.runner.state()).not.toHaveProperty("error");
    await failing.runner.getAvailable();
    expect(failing.runner.error?.code).toBe("RUNNER_FAILED");
    expect((await failing.runner.state()).error).toBe(failing.runner.error);

    const aborted = await openRunner();
    await aborted.runner.abort();
    expect(await aborted.runner.state()).toMatchObject({ status: "aborted", abortReason: "stopped" });
    expect(await aborted.runner.state()).not.toHaveProperty("error");
  });
});

describe("arguments", () => {
  test.each<[string, object]>([
    ["advance must be", { advance: -1 }],
    ["advance must be", { advance: 1.5 }],
    ["advance must be", { advance: "5" }],
    ["advance must be", { advance: null }],
    ["start must be", { start: -1 }],
    ["start must be", { start: Number.POSITIVE_INFINITY }],
    ["start must be", { start: Number.NaN }],
    ["start must be", { start: "0" }],
  ])("%s …: %o is refused, and the runner stays usable (#21)", async (requirement, options) => {
    const { runner, source } = await openRunner();
    const error = { code: "INVALID_ARGUMENT", status: 400, message: expect.stringContaining(requirement) };
    await expect(runner.getAvailable(options)).rejects.toMatchObject(error);
    await expect(runner.getRequired(options)).rejects.toMatchObject(error);
    source.push(1);
    expect((await runner.getRequired({ advance: 1 })).result).toEqual([1]);
  });
});

describe("starting", () => {
  test("getAvailable does not start a runner, getRequired does, once (#4, #25)", async () => {
    const { session } = await openSession();
    const make = vi.fn(() => [1, 2]);
    const runner = await session.createSequenceRunner(make, { start: "on-first-read" });
    expect(await runner.getAvailable()).toEqual({ result: [], status: "not-started", position: 0 });
    await runner.state();
    expect(make).not.toHaveBeenCalled();
    expect(await runner.getRequired({ advance: 2 })).toEqual({ result: [1, 2], status: "completed", position: 2 });
    await runner.getRequired();
    expect(make).toHaveBeenCalledTimes(1);
  });

  test("is not begun by a read that was cancelled before it (#25, #40)", async () => {
    const { runner, source } = await openRunner({ start: "on-first-read" });
    await expect(runner.getRequired({ signal: AbortSignal.abort("gone") })).rejects.toBe("gone");
    await turns();
    expect([(await runner.state()).status, source.pulls]).toEqual(["not-started", 0]);
  });

  test("is not begun by a read that is refused (#21, #25)", async () => {
    const { runner, source } = await openRunner({ start: "on-first-read" });
    await expect(runner.getRequired({ start: 1 })).rejects.toMatchObject({ code: "POSITION_AHEAD" });
    await expect(runner.getRequired({ advance: -1 })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await turns();
    expect([(await runner.state()).status, source.pulls]).toEqual(["not-started", 0]);
  });

  test("is all that leads out of `not-started`, but for an abort (#6)", async () => {
    const { runner, session, source } = await openRunner({ start: "on-first-read" });
    await runner.getAvailable({ start: 0, advance: 5 });
    await runner.state();
    await session.findRunner(runner.key);
    await inside(runner).acknowledge(0);
    expect(() => Object.assign(runner, { status: "stalled" })).toThrow(TypeError);
    expect([(await runner.state()).status, source.pulls]).toEqual(["not-started", 0]);
    expect(await runner.abort()).toBe("aborted");
  });

  test("waits for an asynchronous start and then reads (#26)", async () => {
    const { creating, source, start } = await openStarting();
    const runner = await creating;
    const reading = runner.getRequired({ advance: 1 });
    expect(await isPending(reading)).toBe(true);
    expect((await runner.state()).status).toBe("not-started");
    start.resolve(source);
    source.push(1);
    expect((await reading).result).toEqual([1]);
  });

  test("is done once for several reads that wait for it", async () => {
    const { creating, source, start, make } = await openStarting();
    const runner = await creating;
    const readings = [runner.getRequired({ start: 0, advance: 1 }), runner.getRequired({ start: 0, advance: 2 })];
    await turns();
    start.resolve(source);
    source.push(1, 2);
    expect((await Promise.all(readings)).map(({ result }) => result)).toEqual([[1], [1, 2]]);
    expect(make).toHaveBeenCalledTimes(1);
  });

  test("a source function that throws fails the creation, which leaves no runner", async () => {
    const { session } = await openSession();
    const cause = new Error("no connection");
    const make = () => {
      throw cause;
    };
    const refusal = { code: "RUNNER_START_FAILED", status: 500, cause };
    await expect(session.createSequenceRunner(make as never)).rejects.toMatchObject(refusal);
    expect(await session.findRunner(0)).toBeUndefined();
  });

  test("a source that is slow to open is opened behind the creation: reads wait, what is available is nothing (design §4)", async () => {
    const { creating, source, start } = await openStarting({});
    const runner = await creating;
    expect([runner.status, runner.phase]).toEqual(["not-started", "starting"]);
    expect(await runner.getAvailable()).toMatchObject({ result: [], status: "not-started", position: 0 });
    expect(await runner.getRequired({ timeout: 1 })).toMatchObject({ result: [], status: "not-started" });
    const read = runner.getRequired({ advance: 1 });
    expect(await isPending(read)).toBe(true);
    start.resolve(source);
    source.push(7);
    expect(await read).toMatchObject({ result: [7], status: "stalled" });
  });

  test.each<[string, unknown, object]>([
    ["rejects", new Error("no connection"), { message: "no connection" }],
    ["gives no source", undefined, { code: "INVALID_SOURCE" }],
  ])("a source that %s when its creation is over has failed the work (design §4)", async (how, value, cause) => {
    const { creating, make, start } = await openStarting({});
    const runner = await creating;
    const read = runner.getRequired();
    if (how === "rejects") start.reject(value);
    else start.resolve(value as never);
    expect(await read).toMatchObject({ result: [], status: "failed", error: { code: "RUNNER_FAILED", cause } });
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect((await runner.getRequired()).status).toBe("failed");
    expect(make).toHaveBeenCalledTimes(1); // there is no other try
  });

  test("a stop while a source is slow to open ends the work at once, and the late source is closed", async () => {
    const { creating, source, start } = await openStarting({});
    const runner = await creating;
    const read = runner.getRequired();
    await runner.abort();
    expect(await read).toMatchObject({ result: [], status: "aborted" });
    start.resolve(source);
    await runner.cleanup;
    expect([source.pulls, (await runner.state()).abortReason]).toEqual([0, "stopped"]);
  });

  test("a source that rejects after the stop is no failure and no warning", async () => {
    const { creating, start, warn } = await openStarting({});
    const runner = await creating;
    await runner.abort();
    start.reject(new Error("too late"));
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    await turns();
    expect([(await runner.state()).status, warn.mock.calls.length]).toEqual(["aborted", 0]);
  });

  test("with the first read it can be tried again (#9, #23)", async () => {
    const { session } = await openSession();
    let tries = 0;
    const cause = new Error("no connection");
    const make = () => {
      if (++tries === 1) throw cause;
      if (tries === 2) return Promise.reject(cause);
      return [1];
    };
    const runner = await session.createSequenceRunner<number>(make, { start: "on-first-read" });
    for (let i = 0; i < 2; i++) {
      await expect(runner.getRequired()).rejects.toMatchObject({ code: "RUNNER_START_FAILED", cause });
      expect([(await runner.state()).status, runner.signal.aborted]).toEqual(["not-started", false]);
      expect(await runner.getAvailable()).toEqual({ result: [], status: "not-started", position: 0 });
    }
    expect(await runner.getRequired()).toEqual({ result: [1], status: "completed", position: 1 });
  });

  test("a failed one rejects every read that waited for it (#26)", async () => {
    const { creating, start } = await openStarting();
    const runner = await creating;
    const readings = [0, 1].map(() => runner.getRequired({ start: 0 }));
    const rejections = readings.map((reading) =>
      expect(reading).rejects.toMatchObject({ code: "RUNNER_START_FAILED" }),
    );
    await turns();
    start.reject(new Error("x"));
    await Promise.all(rejections);
  });

  test("a read that waits for it can be cancelled; the start goes on", async () => {
    const { creating, source, start } = await openStarting();
    const runner = await creating;
    const controller = new AbortController();
    const reading = runner.getRequired({ signal: controller.signal });
    await turns();
    controller.abort("x");
    await expect(reading).rejects.toBe("x");
    expect(listenerCount(controller.signal)).toBe(0);
    start.resolve(source);
    await turns();
    expect((await runner.state()).status).toBe("stalled");
  });

  test("a read during it takes the position of the moment of its call", async () => {
    vi.useFakeTimers();
    await nextSlice(); // so that all items come in one go, within the start
    const { session } = await openSession();
    const start = createDeferred<number[]>();
    const runner = await session.createSequenceRunner(() => start.promise, { start: "on-first-read" });
    const named = runner.getRequired({ start: 0, advance: 2 });
    const byDefault = runner.getRequired({ advance: 2 });
    await turns();
    start.resolve([1, 2, 3, 4, 5]);
    expect((await named).result).toEqual([1, 2]);
    expect(await byDefault).toMatchObject({ result: [1, 2], position: 2 });
  });

  test("two reads at the default position during it are one too many", async () => {
    vi.useFakeTimers();
    await nextSlice(); // so that all items come in one go, within the start
    const { session } = await openSession();
    const start = createDeferred<number[]>();
    const runner = await session.createSequenceRunner(() => start.promise, { start: "on-first-read" });
    const first = runner.getRequired({ advance: 2 });
    const second = runner.getRequired({ advance: 2 }).then(
      () => "accepted",
      (error) => error.code,
    );
    await turns();
    start.resolve([1, 2, 3, 4, 5]);
    expect((await first).result).toEqual([1, 2]);
    expect(await second).toBe("READ_CONFLICT");
  });
});

describe("an abort during an asynchronous start (#10)", () => {
  test("wins: the runner is aborted, the source that comes later is closed unopened", async () => {
    const { creating, source, start } = await openStarting();
    const runner = await creating;
    const reading = runner.getRequired();
    await turns();
    expect(await runner.abort()).toBe("aborted");
    expect(await reading).toEqual({ result: [], status: "aborted", position: 0 });
    const dispose = vi.fn();
    start.resolve(Object.assign(source, { [Symbol.asyncDispose]: dispose }));
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(source.pulls).toBe(0);
    expect(dispose).toHaveBeenCalledTimes(1);
  });

  test("wins over a start that fails later", async () => {
    const { creating, start } = await openStarting();
    const runner = await creating;
    const reading = runner.getRequired();
    await turns();
    await runner.abort();
    start.reject(new Error("late"));
    expect((await reading).status).toBe("aborted");
    await turns();
    expect((await runner.state()).status).toBe("aborted");
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
  });

  test("lets a creation that waits for the start resolve", async () => {
    const controller = new AbortController();
    const { creating, start, source } = await openStarting({ signal: controller.signal });
    await turns();
    controller.abort();
    const runner = await creating;
    expect([(await runner.state()).status, (await runner.state()).abortReason]).toEqual(["aborted", "signal"]);
    start.resolve(source);
    await runner.cleanup;
  });

  test("does not wait longer than cleanupTimeout for a start that hangs", async () => {
    vi.useFakeTimers();
    const { creating } = await openStarting();
    const runner = await creating;
    const reading = runner.getRequired();
    await turns();
    await runner.abort();
    expect((await reading).status).toBe("aborted");
    vi.advanceTimersByTime(1000);
    expect(await runner.cleanup).toEqual({ timedOut: true, errors: [] });
  });

  /** Calls `then` after so many microtasks. */
  function afterMicrotasks(count: number, then: () => void): void {
    if (count === 0) then();
    else queueMicrotask(() => afterMicrotasks(count - 1, then));
  }

  test.each([...Array(13).keys()])("closes the source in the end, %i microtasks after it was there", async (delay) => {
    vi.useFakeTimers();
    const { creating, source, start } = await openStarting();
    const runner = await creating;
    const dispose = vi.fn();
    Object.assign(source, { [Symbol.asyncDispose]: dispose });
    const reading = runner.getRequired();
    await turns();
    start.resolve(source);
    afterMicrotasks(delay, () => void runner.abort());
    expect((await reading).status).toBe("aborted");
    await turns();
    vi.advanceTimersByTime(1000);
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(dispose).toHaveBeenCalledTimes(1);
  });

  test.each([...Array(9).keys()])(
    "stops a source that needs no start of its own, %i microtasks after it",
    async (delay) => {
      vi.useFakeTimers();
      const { session } = await openSession();
      const source = new PushSource<number>();
      const dispose = vi.fn();
      const disposable = Object.assign(source, { [Symbol.asyncDispose]: dispose });
      const runner = await session.createSequenceRunner(disposable, { start: "on-first-read" });
      const reading = runner.getRequired();
      afterMicrotasks(delay, () => void runner.abort());
      expect((await reading).status).toBe("aborted");
      await turns();
      vi.advanceTimersByTime(1000);
      expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
      expect(dispose).toHaveBeenCalledTimes(1);
    },
  );
});

describe("abort", () => {
  test("tells the status that the runner then has (#11)", async () => {
    const running = await openRunner();
    expect(await running.runner.abort()).toBe("aborted");
    expect(await running.runner.abort()).toBe("aborted");

    const { session } = await openSession();
    const done = await session.createSequenceRunner([1]);
    await done.getRequired();
    expect(await done.abort()).toBe("completed");
    expect(done.abortReason).toBeUndefined();
  });

  test("passes its reason on as the cause of what the work's signal aborts with", async () => {
    const { session } = await openSession();
    let signal: AbortSignal | undefined;
    const source = new PushSource<number>();
    const runner = await session.createSequenceRunner((context) => {
      signal = context.signal;
      return source;
    });
    const reason = new Error("enough");
    await runner.abort(reason);
    expect(signal?.reason).toMatchObject({ code: "RUNNER_ABORTED", cause: reason });
    expect((await runner.state()).abortReason).toBe("stopped");
  });

  test("has settled reads, position and status when the work's signal fires", async () => {
    const { session } = await openSession();
    const source = new PushSource<number>();
    const seen: unknown[] = [];
    const runner = await session.createSequenceRunner<number>(({ signal }) => {
      signal.addEventListener("abort", () =>
        seen.push(runner.status, runner.position, runner.progress, source.returns),
      );
      return source;
    });
    source.push(1, 2, 3);
    await turns();
    const reading = runner.getRequired({ advance: 9 });
    await turns();
    await runner.abort();
    expect(seen).toEqual(["aborted", 3, { current: 3, estimatedEnd: 3 }, 0]);
    expect((await reading).result).toEqual([1, 2, 3]);
  });

  test.each(["session-ended", "shutdown"] as const)("by the end of the session tells the reason %s", async (reason) => {
    const { runner, session, host } = await openRunner();
    if (reason === "session-ended") await session.terminate();
    else await host.close();
    expect([(await runner.state()).status, (await runner.state()).abortReason]).toEqual(["aborted", reason]);
  });

  test("of a disposed runner never throws (#12)", async () => {
    const { runner } = await openRunner();
    await runner[Symbol.asyncDispose]();
    expect(await runner.abort()).toBe("aborted");

    const { session } = await openSession();
    const done = await session.createSequenceRunner([1]);
    await done.getRequired();
    await done[Symbol.asyncDispose]();
    expect(await done.abort()).toBe("completed");
  });
});

describe("an end that was not asked for (design §5 rule 7)", () => {
  /** The payloads of `runner.final` from now on. */
  function finals() {
    const told: unknown[] = [];
    const channel = diagnostics.channel("active-session:runner.final");
    const listen = ({ status, reason }: { status?: string; reason?: string }) => void told.push([status, reason]);
    channel.subscribe(listen as never);
    atEnd(() => channel.unsubscribe(listen as never));
    return told;
  }

  test.each(["idle", "lifetime", "shutdown"] as const)(
    "%s: the work's signal and the event come at once, the status when what was produced has been read",
    async (reason) => {
      const { session } = await openSession();
      const source = new PushSource<number>();
      let work: AbortSignal | undefined;
      const runner = await session.createSequenceRunner(({ signal }) => {
        work = signal;
        return source;
      });
      source.push(1, 2, 3);
      await turns();
      const told = finals();
      await inside(runner).abortFor(reason);
      expect([work?.aborted, work?.reason.message]).toEqual([true, `The runner was aborted: ${reason}`]);
      expect([told, (await runner.state()).status, (await runner.state()).phase]).toEqual([
        [["aborted", reason]],
        "progressed",
        "aborted",
      ]);
      expect([runner.signal.aborted, (await runner.state()).abortReason]).toEqual([false, undefined]);
      expect(await runner.getRequired({ advance: 9 })).toMatchObject({ result: [1, 2, 3], status: "aborted" });
      expect([(await runner.state()).status, (await runner.state()).abortReason, runner.signal.aborted]).toEqual([
        "aborted",
        reason,
        true,
      ]);
      expect(told).toHaveLength(1);
    },
  );

  test("leaves work that has completed completed, also if it is never read", async () => {
    const { runner, source, session } = await openRunner();
    source.push(1, 2);
    source.end();
    await turns();
    const told = finals();
    await inside(runner).dispose("idle");
    await turns();
    expect([(await runner.state()).status, (await runner.state()).abortReason, told]).toEqual([
      "completed",
      undefined,
      [["completed", undefined]],
    ]);
    await session.terminate();
    expect(told).toHaveLength(1);
  });

  test("leaves work that has failed failed, also if it is never read", async () => {
    const { runner, source } = await openRunner();
    source.push(1);
    source.fail(new Error("broken"));
    await turns();
    const told = finals();
    await inside(runner).dispose("lifetime");
    await turns();
    expect([(await runner.state()).status, told]).toEqual(["failed", [["failed", undefined]]]);
  });

  test("a stop after it cuts what is unread, and tells nothing a second time", async () => {
    const { runner, source } = await openRunner();
    source.push(1, 2);
    await turns();
    const told = finals();
    inside(runner).abortFor("lifetime");
    expect(await runner.abort("now")).toBe("aborted");
    expect([(await runner.state()).progress.current, (await runner.state()).abortReason]).toEqual([0, "lifetime"]);
    expect(told).toEqual([["aborted", "lifetime"]]);
  });
});

describe("the signal of a runner", () => {
  test("aborts once, with any final status, and not before (#7)", async () => {
    const { runner, source } = await openRunner();
    const listener = vi.fn();
    runner.signal.addEventListener("abort", listener);
    source.push(1);
    source.end();
    await turns();
    expect(listener).not.toHaveBeenCalled();
    await runner.getAvailable();
    await runner.getAvailable();
    await runner.abort();
    expect(listener).toHaveBeenCalledTimes(1);
  });

  test("looked at after the end has aborted already", async () => {
    const { runner } = await openRunner();
    await runner.abort();
    expect(runner.signal.aborted).toBe(true);
    expect(runner.signal.reason).toMatchObject({ code: "RUNNER_ABORTED" });
  });

  test("aborts with the error of a failed runner", async () => {
    const { runner, source } = await openRunner();
    source.fail(new Error("broken"));
    await turns();
    expect(runner.signal.reason).toBe((await runner.state()).error);
    expect((await runner.state()).error?.code).toBe("RUNNER_FAILED");
  });

  test("aborts when an unfinished runner is disposed (#13)", async () => {
    const { runner } = await openRunner();
    const { signal } = runner;
    await runner[Symbol.asyncDispose]();
    expect(signal.aborted).toBe(true);
  });

  test("the work's signal does not abort when the work ended by itself", async () => {
    const { session } = await openSession();
    let signal: AbortSignal | undefined;
    const runner = await session.createSequenceRunner((context) => {
      signal = context.signal;
      return [1];
    });
    await runner.getRequired();
    await runner.cleanup;
    expect([(await runner.state()).status, signal?.aborted]).toEqual(["completed", false]);
  });
});

describe("the option signal (#16)", () => {
  test("aborts the runner, with the reason as the cause", async () => {
    const controller = new AbortController();
    const { runner } = await openRunner({ signal: controller.signal });
    const reading = runner.getRequired();
    await turns();
    expect(listenerCount(controller.signal)).toBe(1);
    controller.abort("enough");
    expect(await reading).toEqual({ result: [], status: "aborted", position: 0 });
    expect([(await runner.state()).status, (await runner.state()).abortReason]).toEqual(["aborted", "signal"]);
    expect(runner.signal.reason).toMatchObject({ cause: "enough" });
    expect(listenerCount(controller.signal)).toBe(0);
  });

  test("that has aborted before creates an aborted runner whose source is closed unopened", async () => {
    const { session } = await openSession();
    const source = new PushSource<number>();
    const dispose = vi.fn();
    const runner = await session.createSequenceRunner(Object.assign(source, { [Symbol.asyncDispose]: dispose }), {
      signal: AbortSignal.abort("early"),
    });
    expect([(await runner.state()).status, (await runner.state()).abortReason]).toEqual(["aborted", "signal"]);
    await runner.cleanup;
    expect([source.pulls, dispose.mock.calls.length]).toEqual([0, 1]);
  });

  test.each(["completed", "aborted", "disposed", "session ended"])(
    "has no listener of ours when the runner is %s",
    async (how) => {
      const { signal } = new AbortController();
      const { runner, source, session } = await openRunner({ signal });
      expect(listenerCount(signal)).toBe(1);
      if (how === "completed") source.end();
      if (how === "aborted") await runner.abort();
      if (how === "disposed") await runner[Symbol.asyncDispose]();
      if (how === "session ended") await session.terminate();
      await turns();
      expect(listenerCount(signal)).toBe(0);
    },
  );

  test("has no listener of ours after a creation that failed", async () => {
    const { session } = await openSession();
    const { signal } = new AbortController();
    const make = (): number[] => {
      throw new Error("x");
    };
    await expect(session.createSequenceRunner(make, { signal })).rejects.toMatchObject({ code: "RUNNER_START_FAILED" });
    expect(listenerCount(signal)).toBe(0);
  });
});

describe("cleanup", () => {
  test("comes when the background has ended and its source is closed, read or not", async () => {
    const { runner, source } = await openRunner();
    source.push(1);
    await turns();
    expect(await isPending(runner.cleanup)).toBe(true);
    source.end();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect([(await runner.state()).status, (await runner.state()).isBackgroundCompleted]).toEqual(["progressed", true]);
  });

  test("waits for the source to be closed, and is one promise (#107)", async () => {
    const { runner, source } = await openRunner();
    const { cleanup } = runner;
    const closing = createDeferred();
    source.onReturn = () => closing.promise;
    await runner.abort();
    expect(await isPending(cleanup)).toBe(true);
    expect(runner.cleanup).toBe(cleanup);
    closing.resolve();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
  });

  test("collects errors and tells the logger of them", async () => {
    const { runner, source, warn } = await openRunner();
    const error = new Error("cannot close");
    source.onReturn = () => Promise.reject(error);
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [error] });
    await turns();
    expect(warn).toHaveBeenCalledWith(
      expect.objectContaining({ runner: String(runner.id), errors: [error] }),
      expect.stringContaining("clean-up of a runner failed"),
    );
  });

  test("sets no timer for a runner that ends by itself", async () => {
    vi.useFakeTimers();
    const { runner, source } = await openRunner({
      idleTimeout: Number.POSITIVE_INFINITY,
      finishedTimeout: Number.POSITIVE_INFINITY,
    });
    const timers = vi.getTimerCount();
    source.end();
    await runner.cleanup;
    expect(vi.getTimerCount()).toBe(timers);
  });
});

describe("holds", () => {
  test("are released in reverse order, after the clean-up and not before (#159)", async () => {
    const calls: string[] = [];
    const { runner, source } = await openRunner({
      holds: [
        () => calls.push("first"),
        { [Symbol.dispose]: () => void calls.push("second") },
        { [Symbol.asyncDispose]: async () => void calls.push("third") },
      ],
    });
    const closing = createDeferred();
    source.onReturn = () => closing.promise;
    await runner.abort();
    await turns();
    expect(calls).toEqual([]);
    closing.resolve();
    await runner.cleanup;
    await turns();
    expect(calls).toEqual(["third", "second", "first"]);
  });

  test("are released when the work has ended, although it is unread, and once", async () => {
    const hold = vi.fn();
    const { runner, source, session } = await openRunner({ holds: [hold] });
    source.push(1);
    source.end();
    await turns();
    expect(hold).toHaveBeenCalledTimes(1);
    await runner[Symbol.asyncDispose]();
    await session.terminate();
    expect(hold).toHaveBeenCalledTimes(1);
  });

  test("disposing the runner waits for them (#103, #108)", async () => {
    const releasing = createDeferred();
    const { runner } = await openRunner({ holds: [() => releasing.promise] });
    const disposing = runner[Symbol.asyncDispose]();
    expect(await isPending(disposing)).toBe(true);
    releasing.resolve();
    await disposing;
  });

  test("are released although the work does not end, after cleanupTimeout", async () => {
    vi.useFakeTimers();
    const hold = vi.fn();
    const { runner, source, warn } = await openRunner({ holds: [hold] });
    source.onReturn = () => never;
    await runner.abort();
    vi.advanceTimersByTime(999);
    await turns();
    expect(hold).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    await turns();
    expect(hold).toHaveBeenCalledTimes(1);
    expect(warn).toHaveBeenCalledWith(expect.anything(), expect.stringContaining("too long"));
  });

  test("one that fails or hangs does not keep the others from being released", async () => {
    vi.useFakeTimers();
    const first = vi.fn();
    const { runner, warn } = await openRunner({
      holds: [
        first,
        () => never,
        () => {
          throw new Error("stuck");
        },
      ],
    });
    const disposing = runner[Symbol.asyncDispose]();
    await turns();
    expect(first).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1000);
    await disposing;
    expect(first).toHaveBeenCalledTimes(1);
    expect(warn).toHaveBeenCalledWith(
      expect.objectContaining({ errors: expect.arrayContaining([new Error("stuck")]) }),
      expect.anything(),
    );
  });

  test.each<[string, unknown, RunnerOptions, string]>([
    [
      "its start fails",
      () => {
        throw new Error("x");
      },
      {},
      "RUNNER_START_FAILED",
    ],
    ["its source is none", 5, {}, "INVALID_SOURCE"],
    ["an option is wrong", [1], { aheadLimit: 0 }, "INVALID_OPTION"],
  ])("are released when the creation fails because %s", async (_, source, options, code) => {
    const { session } = await openSession();
    const calls: string[] = [];
    const holds = [() => calls.push("a"), () => calls.push("b")];
    await expect(session.createSequenceRunner(source as never, { ...options, holds })).rejects.toMatchObject({ code });
    expect(calls).toEqual(["b", "a"]);
  });

  test("are released when the creation fails because the session has ended", async () => {
    const { session } = await openSession();
    await session.terminate();
    const hold = vi.fn();
    await expect(session.createSequenceRunner([1], { holds: [hold] })).rejects.toMatchObject({ code: "SESSION_ENDED" });
    expect(hold).toHaveBeenCalledTimes(1);
  });

  test("are released when the session ends during the start", async () => {
    const hold = vi.fn();
    const { creating, session, start, source } = await openStarting({ holds: [hold] });
    await creating;
    const ending = session.terminate();
    start.resolve(source);
    await ending;
    expect(hold).toHaveBeenCalledTimes(1);
  });

  test("what is none is refused, and those beside it are released", async () => {
    const { session } = await openSession();
    const hold = vi.fn();
    const creating = session.createSequenceRunner([1], { holds: [hold, 5] as never });
    await expect(creating).rejects.toMatchObject({ code: "INVALID_OPTION" });
    expect(hold).toHaveBeenCalledTimes(1);
  });
});

describe("disposal", () => {
  test("aborts, removes the runner and refuses reads from then on (#56, #103; design §5 rule 7)", async () => {
    const { runner, session } = await openRunner();
    const reading = runner.getRequired();
    await turns();
    const disposing = runner[Symbol.asyncDispose]();
    expect((await runner.state()).status).toBe("aborted");
    expect(await session.findRunner(runner.key)).toBeUndefined();
    expect((await reading).status).toBe("aborted");
    await disposing;
    await expect(runner.getAvailable()).rejects.toMatchObject({ code: "RUNNER_GONE", status: 410 });
    await expect(runner.getRequired({ start: 0 })).rejects.toMatchObject({ code: "RUNNER_GONE" });
    expect((await runner.state()).status).toBe("aborted");
  });

  test("refuses reads from its first moment on, also those of the work that it ends (#14)", async () => {
    const { session } = await openSession();
    const source = new PushSource<number>();
    const closing = createDeferred();
    source.onReturn = () => closing.promise;
    const reads: Promise<unknown>[] = [];
    const read = () => {
      for (const one of [runner.getAvailable(), runner.getRequired({ start: 0 })]) {
        one.catch(() => {});
        reads.push(one);
      }
    };
    const runner = await session.createSequenceRunner(({ signal }) => {
      signal.addEventListener("abort", read);
      return source;
    });
    const disposing = runner[Symbol.asyncDispose]();
    read();
    await turns();
    const outcomes = await Promise.allSettled(reads);
    expect(outcomes).toHaveLength(4);
    for (const outcome of outcomes) expect(outcome).toMatchObject({ reason: { code: "RUNNER_GONE" } });
    expect(await isPending(disposing)).toBe(true);
    closing.resolve();
    await disposing;
  });

  test("is the same for all callers (#14, #57, #59)", async () => {
    const { runner, source } = await openRunner();
    await Promise.all([runner[Symbol.asyncDispose](), runner[Symbol.asyncDispose]()]);
    await runner[Symbol.asyncDispose]();
    expect(source.returns).toBe(1);
  });

  test("does not wait for a source that never ends, beyond cleanupTimeout (#58)", async () => {
    vi.useFakeTimers();
    const { session } = await openSession();
    const gate = createDeferred();
    atEnd(() => gate.resolve());
    async function* stuck() {
      await gate.promise;
      yield 1;
    }
    const runner = await session.createSequenceRunner(stuck());
    const disposing = runner[Symbol.asyncDispose]();
    await turns();
    vi.advanceTimersByTime(999);
    expect(await isPending(disposing)).toBe(true);
    vi.advanceTimersByTime(1);
    await disposing;
  });

  test("of a runner that was never started completes at once", async () => {
    const { runner, source } = await openRunner({ start: "on-first-read" });
    await runner[Symbol.asyncDispose]();
    expect([(await runner.state()).status, source.pulls]).toEqual(["aborted", 0]);
  });

  test.each(["idle", "stopped"] as const)(
    "stops a producer that has ended its log and waits for that: %s",
    async (reason) => {
      const { session } = await openSession();
      const closed = createDeferred();
      const stop = vi.fn(() => closed.resolve());
      const ticker = defineSequenceRunner({
        name: "ticker",
        produce: (_input: undefined, sink) => ({
          start: async () => {
            sink.start();
            sink.append(1);
            sink.end();
          },
          stop,
          closed: closed.promise as Promise<never>,
        }),
      });
      for (const isRead of [false, true]) {
        const runner = await session.createRunner(ticker, undefined);
        if (isRead) await runner.getRequired({ advance: 2 });
        stop.mockClear();
        expect(await inside(runner).dispose(reason)).toEqual({ timedOut: false, errors: [] });
        expect(stop.mock.calls.length).toBeLessThanOrEqual(1);
      }
    },
  );

  test("leaves a completed runner completed", async () => {
    const { runner, source } = await openRunner();
    source.end();
    await turns();
    await runner[Symbol.asyncDispose]();
    expect([(await runner.state()).status, (await runner.state()).abortReason]).toEqual(["completed", undefined]);
  });
});

describe("the signal of a read", () => {
  test.each(["answered", "cancelled", "ended", "aborted"])("has no listener left when the read is %s", async (how) => {
    const { runner, source } = await openRunner();
    const controller = new AbortController();
    const reading = runner.getRequired({ advance: 1, signal: controller.signal }).catch((reason) => reason);
    await turns();
    expect(listenerCount(controller.signal)).toBe(1);
    if (how === "answered") source.push(1);
    if (how === "cancelled") controller.abort("x");
    if (how === "ended") source.end();
    if (how === "aborted") await runner.abort();
    await reading;
    expect(listenerCount(controller.signal)).toBe(0);
  });

  test("that has aborted before does not matter to a read that need not wait (#27)", async () => {
    const { runner, source } = await openRunner();
    source.push(1, 2);
    await turns();
    await runner.state(); // the latest answer of a log elsewhere
    const signal = AbortSignal.abort("early");
    expect((await runner.getRequired({ advance: 1, signal })).result).toEqual([1]);
    await expect(runner.getRequired({ advance: 5, signal })).rejects.toBe("early");
    source.end();
    await turns();
    await runner.state();
    expect((await runner.getRequired({ advance: 5, signal })).result).toEqual([2]);
  });
});
