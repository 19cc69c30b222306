import { describe, expect, test, vi } from "vitest";
import { atEnd } from "../../test/support/cleanup.js";
import { isPending, listenerCount, openHost, turns } from "../../test/support/control.js";
import { createDeferred } from "../base/async.js";
import type { RunnerOptions } from "../session/options.js";
import type { ProcessBody, ProcessContext } from "./process-producer.js";

/** A runner whose body does as the test says. */
async function openProcess(options: RunnerOptions = {}, host = openHost({ logger: { warn: () => {} } })) {
  const session = await host.get("user");
  const end = createDeferred<string | undefined>();
  atEnd(() => end.resolve(undefined)); // a body that never ended would hold up the host's end
  let context!: ProcessContext<string>;
  const runner = await session.createProcessRunner<string>((given) => {
    context = given as ProcessContext<string>;
    return end.promise;
  }, options);
  return { runner, session, end, report: context.report, context };
}

test("starts at once: stalled, nothing reported, no estimate (#73)", async () => {
  const { runner } = await openProcess();
  expect([
    runner.kind,
    (await runner.state()).status,
    (await runner.state()).position,
    (await runner.state()).progress,
  ]).toEqual(["process", "stalled", 0, { current: 0 }]);
});

test("starts with the first getRequired when it is told to, and with nothing else", async () => {
  const session = await openHost().get("user");
  const body = vi.fn(async () => "done");
  const runner = await session.createProcessRunner(body, { start: "on-first-read" });
  expect(await runner.getAvailable()).toEqual({ result: undefined, status: "not-started", position: 0 });
  await runner.state();
  expect(body).not.toHaveBeenCalled();
  expect(await runner.getRequired()).toEqual({ result: "done", status: "completed", position: 1 });
  expect(body).toHaveBeenCalledTimes(1);
});

describe("the body", () => {
  test("gets signal, session and services", async () => {
    const host = openHost<{ db: string }>({ services: () => ({ db: "mine" }) });
    const session = await host.get("user");
    const runner = await session.createProcessRunner(async ({ signal, session: own, services }) => [
      signal.aborted,
      own === session,
      services.db,
    ]);
    expect((await runner.getRequired()).result).toEqual([false, true, "mine"]);
  });

  test.each<[string, () => unknown]>([
    ["returns at once", () => "final"],
    ["is async without waiting", async () => "final"],
  ])("that %s keeps its final result (#96)", async (_, body) => {
    const session = await openHost().get("user");
    const runner = await session.createProcessRunner(body as () => Promise<unknown>);
    expect(await runner.getRequired()).toEqual({ result: "final", status: "completed", position: 1 });
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
  });

  test("that reports and returns without waiting keeps reports and result", async () => {
    const session = await openHost().get("user");
    const runner = await session.createProcessRunner<string>(({ report }) => {
      report("a");
      report("b");
      return "final";
    });
    expect(await runner.getAvailable({ start: 0 })).toMatchObject({
      position: 3,
      result: "final",
      status: "completed",
    });
  });

  test.each<[string, () => unknown]>([
    [
      "throws at once",
      () => {
        throw new Error("broken");
      },
    ],
    ["rejects", async () => Promise.reject(new Error("broken"))],
  ])("that %s fails the runner, not its creation (#72; design §4)", async (_, body) => {
    const session = await openHost().get("user");
    const runner = await session.createProcessRunner(body as () => Promise<unknown>);
    const result = await runner.getRequired();
    expect(result).toMatchObject({ result: undefined, status: "failed", position: 0 });
    expect(result.error).toMatchObject({ code: "RUNNER_FAILED", cause: new Error("broken") });
    expect((await runner.state()).error).toBe(result.error);
  });

  test("that is missing is refused (#72)", async () => {
    const session = await openHost().get("user");
    await expect(session.createProcessRunner(undefined as never)).rejects.toMatchObject({ code: "INVALID_SOURCE" });
  });

  test("may be an async generator: its yields are reports, its return value is the final result", async () => {
    const session = await openHost().get("user");
    const gate = createDeferred();
    const runner = await session.createProcessRunner(async function* () {
      yield "a";
      yield "b";
      await gate.promise;
      return "final";
    });
    expect(await runner.getRequired({ advance: 2 })).toEqual({ result: "b", status: "stalled", position: 2 });
    gate.resolve();
    expect(await runner.getRequired()).toEqual({ result: "final", status: "completed", position: 3 });
  });

  test("a generator that returns nothing leaves its last report", async () => {
    const session = await openHost().get("user");
    const runner = await session.createProcessRunner(async function* () {
      yield "a";
    });
    expect(await runner.getRequired({ advance: 2 })).toEqual({ result: "a", status: "completed", position: 2 });
  });

  test("a generator that throws fails behind its reports", async () => {
    const session = await openHost().get("user");
    const runner = await session.createProcessRunner<string>(async function* () {
      yield "a";
      throw new Error("broken");
    });
    expect(await runner.getRequired({ advance: 9 })).toMatchObject({ result: "a", status: "failed", position: 1 });
  });
});

describe("the option signal (#97)", () => {
  test.each<[string, (stopped: Promise<void>) => ProcessBody<string>]>([
    ["an async function", (stopped) => async () => stopped.then(() => "late")],
    ["a function that returns a promise", (stopped) => () => stopped as Promise<never>],
    [
      "an async generator",
      (stopped) =>
        async function* () {
          yield "a";
          await stopped;
        },
    ],
  ])("stops %s", async (_, makeBody) => {
    const session = await openHost().get("user");
    const controller = new AbortController();
    const stopped = createDeferred();
    let work: AbortSignal | undefined;
    const body = makeBody(stopped.promise);
    const runner = await session.createProcessRunner<string>(
      (context) => {
        work = context.signal;
        work.addEventListener("abort", () => stopped.resolve());
        return body(context);
      },
      { signal: controller.signal },
    );
    await turns();
    expect([(await runner.state()).isBackgroundCompleted, work?.aborted]).toEqual([false, false]);
    controller.abort("enough");
    expect([(await runner.state()).status, (await runner.state()).abortReason, work?.aborted]).toEqual([
      "aborted",
      "signal",
      true,
    ]);
    expect(work?.reason).toMatchObject({ code: "RUNNER_ABORTED", cause: "enough" });
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect((await runner.getRequired()).status).toBe("aborted");
  });
});

describe("reports", () => {
  test("replace value and estimate and move the progress (#74)", async () => {
    const { runner, report } = await openProcess();
    report("a", 10);
    expect([(await runner.state()).status, (await runner.state()).progress]).toEqual([
      "progressed",
      { current: 1, estimatedEnd: 10 },
    ]);
    report("b");
    expect((await runner.state()).progress).toEqual({ current: 2 });
    expect(await runner.getAvailable()).toEqual({ result: "b", status: "stalled", position: 2 });
  });

  test("after the body's own end are ignored (#98)", async () => {
    const { runner, end, report } = await openProcess();
    end.resolve("final");
    await turns();
    expect(() => report("late", 99)).not.toThrow();
    expect((await runner.state()).progress).toEqual({ current: 1, estimatedEnd: 1 });
    expect(await runner.getAvailable()).toEqual({ result: "final", status: "completed", position: 1 });
  });

  test("after a failure are ignored", async () => {
    const { runner, end, report } = await openProcess();
    end.reject(new Error("broken"));
    await turns();
    report("late");
    expect(await runner.getAvailable()).toMatchObject({ result: undefined, status: "failed", position: 0 });
  });

  test("after an abort throw the signal's reason and change nothing (#87)", async () => {
    const { runner, report, context } = await openProcess();
    report("a");
    await runner.abort("no longer wanted");
    expect(context.signal.reason).toMatchObject({ code: "RUNNER_ABORTED", cause: "no longer wanted" });
    expect(() => report("late")).toThrow(context.signal.reason);
    expect(await runner.getAvailable()).toEqual({ result: "a", status: "aborted", position: 1 });
  });
});

describe("waiting reads", () => {
  test("get the state of the moment their target was reached (#81)", async () => {
    const { runner, report } = await openProcess();
    const first = runner.getRequired();
    const second = runner.getRequired({ start: 0, advance: 2 });
    report("a");
    report("b");
    report("c");
    expect(await first).toEqual({ result: "a", status: "stalled", position: 1 });
    expect(await second).toEqual({ result: "b", status: "stalled", position: 2 });
    expect([(await runner.state()).position, (await runner.state()).status]).toEqual([2, "progressed"]);
  });

  test("any number of them may wait, at the default position too (#80)", async () => {
    const { runner, report } = await openProcess();
    const waiting = [runner.getRequired(), runner.getRequired(), runner.getRequired({ advance: 2 })];
    expect(await runner.getAvailable()).toEqual({ result: undefined, status: "stalled", position: 0 });
    report("a");
    report("b");
    expect((await Promise.all(waiting)).map(({ position }) => position)).toEqual([1, 1, 2]);
  });

  test("can be cancelled one by one (#92, #93)", async () => {
    const { runner, report } = await openProcess();
    const controller = new AbortController();
    const cancelled = runner.getRequired({ signal: controller.signal });
    const other = runner.getRequired();
    await turns();
    controller.abort("x");
    await expect(cancelled).rejects.toBe("x");
    expect(listenerCount(controller.signal)).toBe(0);
    report("a");
    expect((await other).position).toBe(1);
    await expect(runner.getRequired({ signal: controller.signal })).rejects.toBe("x");
  });

  test("leave no listener at their signal when they are answered", async () => {
    const { runner, report } = await openProcess();
    const { signal } = new AbortController();
    const waiting = runner.getRequired({ signal });
    await turns();
    expect(listenerCount(signal)).toBe(1);
    report("a");
    await waiting;
    expect(listenerCount(signal)).toBe(0);
  });

  test("resolve at the end with what there is, however far they wanted to get (#75, #82)", async () => {
    const { runner, end, report } = await openProcess();
    const far = runner.getRequired({ start: 3, advance: 50 });
    report("a");
    end.resolve(undefined);
    expect(await far).toEqual({ result: "a", status: "completed", position: 2 });
  });

  test("resolve at a failure with the error (#86)", async () => {
    const { runner, end, report } = await openProcess();
    const waiting = runner.getRequired({ advance: 50 });
    report("a");
    end.reject(new Error("broken"));
    expect(await waiting).toMatchObject({
      result: "a",
      status: "failed",
      position: 1,
      error: { code: "RUNNER_FAILED" },
    });
  });

  test("resolve at an abort at once, although the body has not ended (#89)", async () => {
    const { runner, end, report } = await openProcess();
    const waiting = runner.getRequired({ advance: 50 });
    report("a");
    report("b");
    await runner.abort();
    expect(await waiting).toEqual({ result: "b", status: "aborted", position: 2 });
    expect((await runner.state()).isBackgroundCompleted).toBe(false);
    end.resolve("late");
    await runner.cleanup;
    expect((await runner.state()).isBackgroundCompleted).toBe(true);
  });
});

describe("positions", () => {
  test("a start beyond the progress makes getRequired wait, advance 0 for exactly that point (#78)", async () => {
    const { runner, report } = await openProcess();
    const waiting = runner.getRequired({ start: 2, advance: 0 });
    report("a");
    expect(await isPending(waiting)).toBe(true);
    report("b");
    expect(await waiting).toEqual({ result: "b", status: "stalled", position: 2 });
  });

  test("advance 0 at the position itself returns at once and moves nothing (#78)", async () => {
    const { runner, report } = await openProcess();
    report("a");
    await runner.getRequired();
    expect(await runner.getRequired({ start: 1, advance: 0 })).toEqual({ result: "a", status: "stalled", position: 1 });
    expect((await runner.state()).position).toBe(1);
  });

  test("advance 0 at the beginning needs no waiting, also if it starts the runner: its signal does not matter (#80)", async () => {
    const session = await openHost().get("user");
    const end = createDeferred();
    const runner = await session.createProcessRunner<string>(() => end.promise as Promise<never>, {
      start: "on-first-read",
    });
    const reading = runner.getRequired({ start: 0, advance: 0, signal: AbortSignal.abort("early") });
    expect(await reading).toEqual({ result: undefined, status: "stalled", position: 0 });
    end.resolve();
  });

  test("advance 0 without a start means 1, for both methods (#77)", async () => {
    const { runner, report } = await openProcess();
    report("a");
    report("b");
    expect((await runner.getAvailable({ advance: 0 })).position).toBe(1);
    expect((await runner.getRequired({ advance: 0 })).position).toBe(2);
  });

  test("getAvailable stops at its target, or at the progress (#79)", async () => {
    const { runner, report } = await openProcess();
    for (const value of ["a", "b", "c"]) report(value);
    expect(await runner.getAvailable({ advance: 2 })).toEqual({ result: "c", status: "progressed", position: 2 });
    expect(await runner.getAvailable({ advance: 9 })).toEqual({ result: "c", status: "stalled", position: 3 });
  });

  test("getAvailable with a start beyond the progress does not wait but returns the progress (#79)", async () => {
    const { runner, report } = await openProcess();
    report("a");
    const reading = runner.getAvailable({ start: 5 });
    const waits = await isPending(reading);
    for (let i = 0; i < 9; i++) report("later");
    const { position } = await reading;
    expect({ waits, position }).toEqual({ waits: false, position: 1 });
  });

  test("an earlier point gets the newest result with the older position (#76, #77, #83; design §5 rule 9)", async () => {
    const { runner, report } = await openProcess();
    for (const value of ["a", "b", "c"]) report(value);
    await runner.getAvailable();
    expect(await runner.getAvailable({ start: 0, advance: 1 })).toEqual({
      result: "c",
      status: "progressed",
      position: 1,
    });
    expect((await runner.state()).position).toBe(3);
  });
});

describe("the end", () => {
  test("is one more position, and final only when it has been read (#75, #84)", async () => {
    const { runner, end, report } = await openProcess();
    report("a");
    end.resolve("final");
    await turns();
    expect([
      (await runner.state()).status,
      (await runner.state()).isBackgroundCompleted,
      runner.signal.aborted,
    ]).toEqual(["progressed", true, false]);
    expect(await runner.getRequired()).toEqual({ result: "final", status: "progressed", position: 1 });
    expect(await runner.getRequired()).toEqual({ result: "final", status: "completed", position: 2 });
    expect([(await runner.state()).status, runner.signal.aborted]).toEqual(["completed", true]);
  });

  test("by failure is no position of its own (#86)", async () => {
    const { runner, end, report } = await openProcess();
    report("a", 7);
    report("b", 7);
    end.reject(new Error("broken"));
    await turns();
    expect((await runner.state()).progress).toEqual({ current: 2, estimatedEnd: 2 });
    const early = await runner.getRequired();
    expect([early.status, early.position, early.error]).toEqual(["progressed", 1, undefined]);
    expect((await runner.state()).error).toBeUndefined();
    const last = await runner.getRequired();
    expect(last).toMatchObject({ result: "b", status: "failed", position: 2, error: { code: "RUNNER_FAILED" } });
    expect((await runner.state()).error).toBe(last.error);
    expect([await runner.getRequired(), await runner.getAvailable()]).toEqual([last, last]); // and so each time
  });
});

describe("abort", () => {
  test("of an ended runner that is unread makes it aborted, without the error (#90)", async () => {
    const { runner, end, report } = await openProcess();
    report("a");
    end.reject(new Error("broken"));
    await turns();
    expect(await runner.abort()).toBe("aborted");
    expect((await runner.state()).error).toBeUndefined();
    expect(await runner.getRequired()).toEqual({ result: "a", status: "aborted", position: 1 });
  });

  test("of a final runner changes nothing and tells the status it has (#11)", async () => {
    const { runner, end } = await openProcess();
    end.resolve("final");
    await runner.getRequired();
    expect(await runner.abort()).toBe("completed");
    expect((await runner.state()).abortReason).toBeUndefined();
  });

  test("what the body returns after it is dropped (#88)", async () => {
    const { runner, end, report } = await openProcess();
    report("a");
    await runner.abort();
    end.resolve("late");
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect((await runner.state()).progress).toEqual({ current: 1, estimatedEnd: 1 });
    expect(await runner.getAvailable()).toEqual({ result: "a", status: "aborted", position: 1 });
  });

  test("what the body throws after it is collected, unless it only says that it has stopped", async () => {
    const stopped = await openProcess();
    await stopped.runner.abort();
    stopped.end.reject(stopped.context.signal.reason);
    expect(await stopped.runner.cleanup).toEqual({ timedOut: false, errors: [] });

    const broken = await openProcess();
    await broken.runner.abort();
    broken.end.reject(new Error("in the finally block"));
    expect(await broken.runner.cleanup).toEqual({ timedOut: false, errors: [new Error("in the finally block")] });
  });

  test("a body that ignores it is waited for no longer than cleanupTimeout (#95)", async () => {
    vi.useFakeTimers();
    const { runner } = await openProcess({}, openHost({ cleanupTimeout: 1000, logger: { warn: () => {} } }));
    await runner.abort();
    vi.advanceTimersByTime(999);
    expect(await isPending(runner.cleanup)).toBe(true);
    vi.advanceTimersByTime(1);
    expect(await runner.cleanup).toEqual({ timedOut: true, errors: [] });
  });

  test("ends a generator behind its present step, and runs its finally block", async () => {
    const session = await openHost().get("user");
    const gate = createDeferred();
    const steps: string[] = [];
    const runner = await session.createProcessRunner<string>(async function* () {
      try {
        yield "a";
        await gate.promise;
        steps.push("went on");
        yield "b";
        steps.push("must not run");
      } finally {
        steps.push("finally");
      }
    });
    await runner.getRequired();
    await runner.abort();
    gate.resolve();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(steps).toEqual(["went on", "finally"]);
    expect(await runner.getAvailable()).toEqual({ result: "a", status: "aborted", position: 1 });
  });

  test("before the start keeps the body from being called", async () => {
    const session = await openHost().get("user");
    const body = vi.fn(async () => "x");
    const runner = await session.createProcessRunner(body, { start: "on-first-read" });
    expect(await runner.abort()).toBe("aborted");
    expect(await runner.getRequired()).toEqual({ result: undefined, status: "aborted", position: 0 });
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(body).not.toHaveBeenCalled();
  });
});

test("a read that does not say waits for one report, also when the option defaultAdvance is given as undefined", async () => {
  const { runner, report } = await openProcess({ defaultAdvance: undefined } as unknown as RunnerOptions);
  const waiting = runner.getRequired();
  report("a");
  const waits = await isPending(waiting);
  await runner.abort();
  await waiting;
  expect(waits).toBe(false);
});

test("disposing aborts, waits for the body, and refuses reads from then on (#94; design §5 rule 7)", async () => {
  const { runner, end } = await openProcess();
  const waiting = runner.getRequired();
  const disposing = runner[Symbol.asyncDispose]();
  expect(await waiting).toMatchObject({ status: "aborted" });
  expect(await isPending(disposing)).toBe(true);
  end.resolve("late");
  await disposing;
  await expect(runner.getAvailable()).rejects.toMatchObject({ code: "RUNNER_GONE" });
  expect((await runner.state()).progress).toEqual({ current: 0, estimatedEnd: 0 });
});
