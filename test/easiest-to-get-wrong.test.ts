/** Of the fifteen behaviours that are easiest to get wrong, those that concern runners; the design's changes included. */
import { describe, expect, test } from "vitest";
import { createDeferred } from "../src/base/async.js";
import type { ProcessContext } from "../src/runner/process-producer.js";
import type { RunnerOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { isPending, openHost, PushSource, turns } from "./support/control.js";

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

async function openSequence(options: RunnerOptions = {}) {
  const session = await openHost().get("user");
  const source = new PushSource<number>();
  const runner = await session.createSequenceRunner(source, options);
  const give = async (...items: number[]) => {
    source.push(...items);
    await turns();
  };
  return { runner, source, give };
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
  return { runner, end, report: context.report, context };
}

describe("1: a pending getRequired resolves with the data so far, and rejects only when it is cancelled itself (#32, #35)", () => {
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

describe("2: a final status comes with the last data and only then; an abort comes at once", () => {
  test("completed (#8, #30)", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1, 2);
    source.end();
    await turns();
    expect([runner.status, runner.isBackgroundCompleted]).toEqual(["progressed", true]);
    expect(await runner.getAvailable({ advance: 2 })).toEqual({ result: [0, 1], status: "progressed", position: 2 });
    expect([runner.status, runner.signal.aborted]).toEqual(["progressed", false]);
    expect(await runner.getAvailable()).toEqual({ result: [2], status: "completed", position: 3 });
    expect([runner.status, runner.signal.aborted]).toEqual(["completed", true]);
  });

  test("failed: its last slice still carries items (#8, #31)", async () => {
    const { runner, source, give } = await openSequence();
    await give(0, 1, 2);
    source.fail(new Error("broken"));
    await turns();
    expect((await runner.getAvailable({ advance: 2 })).error).toBeUndefined();
    expect([runner.status, runner.error]).toEqual(["progressed", undefined]);
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
    expect(runner.retained).toBe(0);
  });
});

describe("3: a cancelled getRequired loses nothing", () => {
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
    expect(runner.status).toBe("stalled");
  });
});

describe("4: stalled and progressed say whether there is anything to read, not whether the background runs", () => {
  test("of a sequence (#29, #36)", async () => {
    const { runner, source, give } = await openSequence();
    expect(runner.status).toBe("stalled");
    await give(0, 1);
    expect(runner.status).toBe("progressed");
    await runner.getAvailable();
    expect(runner.status).toBe("stalled");
    await give(2);
    source.end();
    await turns();
    expect([runner.status, runner.isBackgroundCompleted]).toEqual(["progressed", true]);
  });

  test("of a process, also after its end (#85)", async () => {
    const { runner, end, report } = await openProcess();
    report("a");
    expect(runner.status).toBe("progressed");
    await runner.getAvailable();
    expect(runner.status).toBe("stalled");
    end.resolve("final");
    await turns();
    expect([runner.status, runner.isBackgroundCompleted]).toEqual(["progressed", true]);
  });
});

describe("5: advance 0", () => {
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

describe("6: getAvailable never starts a runner, getRequired does", () => {
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
    expect(runner.status).toBe("not-started");
    expect(await runner.getRequired()).toEqual({ result: [0, 1], status: "completed", position: 2 });
    expect(tries).toBe(2);
  });
});

describe("7: the ahead limit counts what is not acknowledged; a pending read raises it", () => {
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
    expect(runner.progress.current).toBe(2);
    await runner.getAvailable(); // goes on at 2, which says that 0 and 1 have arrived
    await turns();
    expect(runner.progress.current).toBe(4);
  });

  test("an abort frees a blocked producer", async () => {
    const { runner, source, give } = await openSequence({ aheadLimit: 1 });
    await give(0, 1);
    expect(runner.progress.current).toBe(1);
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(source.returns).toBe(1);
  });
});

describe("8: as many items as exist end as completed, whatever the timing", () => {
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
      expect(runner.status).toBe("completed");
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
    expect([runner.status, runner.signal.aborted]).toEqual(["completed", true]);
  });
});

describe("9: a waiter at a process gets the moment at which its target was reached", () => {
  test("while the runner has moved on (#3, #81)", async () => {
    const { runner, report } = await openProcess();
    const waiting = runner.getRequired({ advance: 2 });
    report("a");
    report("b");
    report("c");
    expect(runner.status).toBe("progressed");
    expect(await waiting).toEqual({ result: "b", status: "stalled", position: 2 });
  });

  test("an earlier point asked later gets the newest result with the older position", async () => {
    const { runner, report } = await openProcess();
    for (const value of ["a", "b", "c"]) report(value);
    expect(await runner.getRequired({ start: 0 })).toEqual({ result: "c", status: "progressed", position: 1 });
  });
});

describe("10: a normal end of a process is one more point, failure and abort are not", () => {
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
      expect(runner.progress).toEqual({ current, estimatedEnd: current });
      expect((await runner.getAvailable()).position).toBe(current);
    },
  );
});

describe("11: aborted only when the runner's own signal fired", () => {
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
      expect(runner.abortReason).toBeUndefined();
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
    expect(runner.status).toBe("aborted");
  });
});
