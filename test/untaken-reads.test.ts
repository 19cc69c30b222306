/** What may happen between the step that settles a read and the one in which its reader goes on, or while items are encoded. */
import { describe, expect, test } from "vitest";
import { defineSequenceRunner, type Producer, type SequenceSink } from "../src/index.js";
import { isPending as waits } from "../src/log/result-log.js";
import type { SequenceRunner } from "../src/runner/sequence-runner.js";
import { openHost, turns } from "./support/control.js";
import { inside } from "./support/inside.js";
import { anyJson, readFrom, withCode } from "./support/logs.js";

interface Options {
  readonly start?: "now" | "on-first-read";
  readonly aheadLimit?: number;
  /** Called by the producer's start. */
  readonly onStart?: (sink: SequenceSink<unknown>) => Promise<void>;
  readonly openReads?: number;
}

/** A runner whose log is filled by hand. */
async function open({ start = "now", aheadLimit = 100, onStart, openReads = 100 }: Options = {}) {
  let sink!: SequenceSink<unknown>;
  const produce = (_input: undefined, given: SequenceSink<unknown>): Producer => {
    sink = given;
    const begin = onStart ?? (async () => given.start());
    return { closed: Promise.resolve({ timedOut: false, errors: [] }), start: () => begin(given), stop() {} };
  };
  const session = await openHost({ limits: { openReadsPerClient: openReads } }).get("ann");
  const definition = defineSequenceRunner({ name: "by hand", produce, options: { aheadLimit } });
  const runner = (await session.createRunner(definition, undefined, { start })) as SequenceRunner<unknown>;
  return { runner, sink };
}

/** The result, or the code or reason of the error. */
async function outcome(reading: Promise<{ readonly result: unknown }>): Promise<unknown> {
  try {
    return (await reading).result;
  } catch (error) {
    return (error as { code?: string }).code ?? error;
  }
}

describe("a reader that leaves when the status becomes final", () => {
  test("gets the item that it has been given: an iteration", async () => {
    const { runner, sink } = await open();
    const iterator = runner[Symbol.asyncIterator]();
    const pulled = iterator.next();
    runner.signal.addEventListener("abort", () => void iterator.return?.());
    sink.append("a");
    sink.end();
    expect(await pulled).toEqual({ done: false, value: "a" });
  });

  test("gets the items that it has been given: a read with that signal", async () => {
    const { runner, sink } = await open();
    const reading = runner.getRequired({ advance: 5, signal: runner.signal });
    sink.append("a");
    sink.end();
    expect((await reading).result).toEqual(["a"]);
  });

  test("does not keep others from reading", async () => {
    const { runner, sink } = await open();
    const reading = runner.getRequired({ advance: 5 });
    const next = new Promise((resolve) => {
      runner.signal.addEventListener("abort", () => resolve(outcome(runner.getAvailable())));
    });
    sink.append("a");
    sink.end();
    expect([(await reading).result, await next]).toEqual([["a"], []]);
  });
});

test("an iteration that is left gives back nothing that another reader has been handed meanwhile", async () => {
  const { runner, sink } = await open();
  const iterator = runner[Symbol.asyncIterator]();
  const pulled = iterator.next();
  const other = runner.getRequired({ start: 0, advance: 1 });
  await turns();
  sink.append("a");
  sink.append("b");
  void iterator.return?.();
  expect(await pulled).toEqual({ done: true, value: undefined });
  expect(await other).toMatchObject({ result: ["a"], position: 1 });
  await inside(runner).acknowledge(1);
  expect((await runner.getAvailable()).result).toEqual(["b"]);
});

test("a cancelled read makes room in the limit of open reads at once", async () => {
  const { runner } = await open({ openReads: 1 });
  const controller = new AbortController();
  const cancelled = outcome(runner.getRequired({ signal: controller.signal }));
  controller.abort("left");
  expect(await runner.getRequired({ timeout: 0 })).toMatchObject({ result: [] });
  expect(await cancelled).toBe("left");
});

test("of two reads whose signal has aborted before, the one that would have to wait is refused", async () => {
  const { runner, sink } = await open();
  for (const item of ["a", "b", "c"]) sink.append(item);
  await turns();
  await runner.state();
  const signal = AbortSignal.abort("early");
  const [first, second] = [0, 1].map(() => outcome(runner.getRequired({ advance: 2, signal })));
  expect(await first).toEqual(["a", "b"]);
  // In memory the first has its items at once; elsewhere its answer is under way, and keeps the default position.
  expect(await second).toBe(process.env.LOG === "slow" ? "READ_CONFLICT" : "early");
  expect((await runner.getAvailable()).result).toEqual(["c"]);
  expect(await outcome(runner.getRequired({ start: 9, advance: 2, signal }))).toBe("POSITION_AHEAD");
});

describe("while the start is pending", () => {
  test("a read further on makes the room that the start waits for", async () => {
    const onStart = async (sink: SequenceSink<unknown>) => {
      sink.start();
      for (let i = 0; i < 8; i++) {
        if (sink.isFull) await sink.room();
        sink.append(i);
        await turns(1);
      }
      sink.end();
    };
    const { runner } = await open({ start: "on-first-read", aheadLimit: 4, onStart });
    expect((await runner.getRequired({ start: 0, advance: 4 })).result).toEqual([0, 1, 2, 3]);
    expect((await runner.getRequired({ start: 4, advance: 4 })).result).toEqual([4, 5, 6, 7]);
  });

  test.each([0, 1, 2, 3, 4])(
    "a failure of it is told to the read, whatever ends that, %i microtasks later",
    async (count) => {
      for (const kind of ["read", "iteration"]) {
        const failed = new Error("no start");
        let fail!: (error: Error) => void;
        const started = new Promise<void>((_, reject) => {
          fail = reject;
        });
        const { runner } = await open({ start: "on-first-read", onStart: () => started });
        const pull = async () => ({ result: (await runner[Symbol.asyncIterator]().next()).value });
        const reading = outcome(kind === "read" ? runner.getRequired({ advance: 1 }) : pull());
        await turns();
        fail(failed);
        for (let i = 0; i < count; i++) await undefined;
        void runner.abort();
        expect(await reading).toSatisfy(
          (told) => ["RUNNER_START_FAILED", "RUNNER_ABORTED"].includes(told) || told?.length === 0,
        );
      }
    },
  );

  test("what is available is read without it, and whether it succeeds or not", async () => {
    let fail!: (error: Error) => void;
    const started = new Promise<void>((_, reject) => {
      fail = reject;
    });
    const onStart = (sink: SequenceSink<unknown>) => {
      sink.start();
      sink.append(1);
      return started;
    };
    const { runner } = await open({ start: "on-first-read", onStart });
    const waiting = outcome(runner.getRequired({ start: 0, advance: 5 }));
    await turns();
    const available = outcome(runner.getAvailable({ start: 0 }));
    fail(new Error("no start"));
    expect(await available).toEqual([1]);
    expect(await waiting).toBe("RUNNER_START_FAILED");
  });
});

describe("code of an item that is encoded", () => {
  /** Two reads that wait for more than the two items that there are; the JSON of the first one runs code once they end. */
  async function openWaiting(code: (runner: SequenceRunner<unknown>) => void) {
    const { runner, sink } = await open();
    let isArmed = false;
    sink.append(withCode(0, () => isArmed && code(runner)));
    sink.append(1);
    const encoded = readFrom(inside(runner), { start: 0, min: 5, max: 5, mode: "bounded", json: anyJson });
    const reading = runner.getRequired({ advance: 5 });
    await turns();
    isArmed = true;
    const finish = async (how: "end" | "fail" | "abort") => {
      if (how === "abort") await runner.abort();
      else sink[how](new Error("broken"));
      await encoded;
      return (await reading).result;
    };
    return { finish };
  }

  test.each(["end", "fail", "abort"] as const)("acknowledges: reads that wait keep their items (%s)", async (how) => {
    const { finish } = await openWaiting((runner) => void outcome(runner.getAvailable({ start: 1 })));
    expect(await finish(how)).toHaveLength(2);
  });

  test.each(["end", "abort"] as const)(
    "reads: what is about to be handed out is not handed out twice (%s)",
    async (how) => {
      let nested: Promise<unknown> | undefined;
      const { finish } = await openWaiting((runner) => {
        nested ??= outcome(runner.getAvailable());
      });
      expect([(await finish(how)).length, await nested]).toEqual([2, "READ_CONFLICT"]);
    },
  );

  test("cancels a read that is to be settled after its own: that one takes nothing", async () => {
    const { runner, sink } = await open();
    const controller = new AbortController();
    const encoded = inside(runner).read({
      start: 0,
      min: 1,
      max: 5,
      mode: "follow",
      acknowledge: false,
      json: anyJson,
    });
    const failing = waits(encoded) ? encoded.settled.catch(({ code }) => code) : undefined;
    const reading = outcome(runner.getRequired({ advance: 1, signal: controller.signal }));
    sink.append(
      withCode(0, () => {
        controller.abort("left");
        throw new Error("no form");
      }),
    );
    sink.end();
    expect([await failing, await reading, (await runner.state()).position]).toEqual([
      ...["RESULT_NOT_SERIALIZABLE", "left", 0],
    ]);
  });

  test("aborts while a page is measured: the read begins at the end", async () => {
    const { runner, sink } = await open();
    sink.append(0);
    sink.append(withCode(1, () => void runner.abort()));
    sink.append(2);
    const slice = await readFrom(inside(runner), { start: 1, min: 4, max: 4, mode: "bounded", json: anyJson });
    expect(slice.position).toBe(slice.progress.current);
  });
});
