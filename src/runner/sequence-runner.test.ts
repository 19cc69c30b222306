import { describe, expect, test, vi } from "vitest";
import { isPending, openHost, PushSource, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { anyJson, readFrom, withCode } from "../../test/support/logs.js";
import { afterTurn } from "../base/event-loop.js";
import type { SequenceSink } from "../log/sequence-sink.js";
import type { ActiveSession } from "../session/active-session.js";
import { defineSequenceRunner } from "../session/define.js";
import type { RunnerOptions } from "../session/options.js";
import type { Producer } from "./producer.js";
import type { Runner } from "./runner.js";
import type { SequenceRunner } from "./sequence-runner.js";

async function openRunner(options: RunnerOptions = {}) {
  const session = await openHost().get("user");
  const source = new PushSource<number>();
  const runner = await session.createSequenceRunner(source, options);
  return { runner, source, session };
}

/** Pushes and lets the items arrive in the log. */
async function give(source: PushSource<number>, ...items: number[]): Promise<void> {
  source.push(...items);
  await turns();
}

let clock = 0;

/** Fakes the clock, beyond all that was shown before, so that no slice is going on. */
function beginSlices(): void {
  vi.useFakeTimers();
  clock += 10_000_000;
  vi.advanceTimersByTime(clock);
}

describe("iteration", () => {
  test("gives every item once, in order, and ends with the sequence", async () => {
    const { runner, source } = await openRunner();
    source.push(1, 2, 3);
    source.end();
    const seen: number[] = [];
    for await (const item of runner) seen.push(item);
    expect(seen).toEqual([1, 2, 3]);
    expect((await runner.state()).status).toBe("completed");
  });

  test("acknowledges an item with the pull of the next one", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1, 2, 3);
    const iterator = runner[Symbol.asyncIterator]();
    await iterator.next();
    expect([runner.position, (await inside(runner).logState()).acknowledged]).toEqual([1, 0]);
    await iterator.next();
    expect([runner.position, (await inside(runner).logState()).acknowledged]).toEqual([2, 1]);
  });

  test("does not read ahead", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1, 2, 3);
    const iterator = runner[Symbol.asyncIterator]();
    await turns();
    expect((await runner.state()).position).toBe(0);
    await iterator.next();
    await turns();
    expect((await runner.state()).position).toBe(1);
  });

  test("leaving the loop neither aborts nor loses anything", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1, 2, 3);
    for await (const item of runner) if (item === 2) break;
    expect((await runner.state()).status).toBe("progressed");
    expect(source.returns).toBe(0);
    expect((await runner.getAvailable({ start: 1 })).result).toEqual([2, 3]); // the last one again
    await give(source, 4);
    const rest: number[] = [];
    for await (const item of runner) {
      rest.push(item);
      if (item === 4) break;
    }
    expect(rest).toEqual([4]);
  });

  test("an exception in the loop leaves the runner as it is", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1, 2);
    const loop = async () => {
      for await (const item of runner) throw new Error(`at ${item}`);
    };
    await expect(loop()).rejects.toThrow("at 1");
    expect((await runner.getAvailable()).result).toEqual([2]);
  });

  test("of a failed runner throws its error after the last item", async () => {
    const { runner, source } = await openRunner();
    const cause = new Error("broken");
    source.push(1, 2);
    source.fail(cause);
    const seen: number[] = [];
    const loop = async () => {
      for await (const item of runner) seen.push(item);
    };
    await expect(loop()).rejects.toMatchObject({ code: "RUNNER_FAILED", cause });
    expect(seen).toEqual([1, 2]);
  });

  test("of an aborted runner throws RUNNER_ABORTED, with the reason of the abort", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1);
    const iterator = runner[Symbol.asyncIterator]();
    await iterator.next();
    const waiting = iterator.next();
    await turns();
    await runner.abort();
    await expect(waiting).rejects.toMatchObject({
      code: "RUNNER_ABORTED",
      message: expect.stringContaining("stopped"),
    });
  });

  test("hands out the item it has when the abort comes, and throws only then", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1);
    const iterator = runner[Symbol.asyncIterator]();
    const reading = iterator.next(); // has its item and waits out its turn
    await runner.abort();
    expect(await reading).toEqual({ done: false, value: 1 });
    await expect(iterator.next()).rejects.toMatchObject({ code: "RUNNER_ABORTED" });
  });

  test("counts as a read at the default position", async () => {
    const { runner } = await openRunner();
    const waiting = runner[Symbol.asyncIterator]().next();
    await expect(runner.getAvailable()).rejects.toMatchObject({ code: "READ_CONFLICT" });
    await runner.abort();
    await expect(waiting).rejects.toMatchObject({ code: "RUNNER_ABORTED" });
  });

  test("starts a runner that starts with the first read", async () => {
    const session = await openHost().get("user");
    const runner = await session.createSequenceRunner([1, 2], { start: "on-first-read" });
    const seen: number[] = [];
    for await (const item of runner) seen.push(item);
    expect(seen).toEqual([1, 2]);
  });

  test("goes on beyond the ahead limit without an acknowledgement of its own", async () => {
    const session = await openHost().get("user");
    const runner = await session.createSequenceRunner(
      Array.from({ length: 50 }, (_, i) => i),
      { aheadLimit: 3 },
    );
    let count = 0;
    for await (const item of runner) expect(item).toBe(count++);
    expect(count).toBe(50);
  });
});

describe("the web stream", () => {
  test("gives every item and closes", async () => {
    const { runner, source } = await openRunner();
    source.push(1, 2, 3);
    source.end();
    const seen: number[] = [];
    for await (const item of runner.toReadableStream()) seen.push(item);
    expect(seen).toEqual([1, 2, 3]);
  });

  test("does not read ahead", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1, 2, 3);
    const reader = runner.toReadableStream().getReader();
    await turns();
    expect((await runner.state()).position).toBe(0);
    expect(await reader.read()).toEqual({ done: false, value: 1 });
    await turns();
    expect([runner.position, (await inside(runner).logState()).acknowledged]).toEqual([1, 0]);
  });

  test("fails with the runner's error after the last item", async () => {
    const { runner, source } = await openRunner();
    source.push(1);
    source.fail(new Error("broken"));
    const reader = runner.toReadableStream().getReader();
    expect((await reader.read()).value).toBe(1);
    await expect(reader.read()).rejects.toMatchObject({ code: "RUNNER_FAILED" });
  });

  test("fails with RUNNER_ABORTED when the runner is aborted", async () => {
    const { runner } = await openRunner();
    const reader = runner.toReadableStream().getReader();
    const waiting = reader.read();
    await turns();
    await runner.abort();
    await expect(waiting).rejects.toMatchObject({ code: "RUNNER_ABORTED" });
  });

  test("cancelling it between two items neither aborts the runner nor loses anything", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1, 2);
    const reader = runner.toReadableStream().getReader();
    await reader.read();
    await reader.cancel();
    expect((await runner.state()).status).toBe("progressed");
    expect((await runner.getAvailable()).result).toEqual([2]);
  });

  test("cancelling it while it waits takes its read away and loses nothing", async () => {
    const { runner, source } = await openRunner();
    const reader = runner.toReadableStream().getReader();
    const waiting = reader.read();
    await turns();
    await reader.cancel();
    expect(await waiting).toEqual({ done: true, value: undefined });
    await give(source, 1, 2);
    expect((await runner.state()).position).toBe(0);
    expect((await runner.getAvailable()).result).toEqual([1, 2]);
  });

  test.each([...Array(12).keys()])(
    "cancelling it while its item is on the way loses nothing: %i microtasks",
    async (delay) => {
      const { runner, source } = await openRunner();
      await give(source, 1, 2);
      const reader = runner.toReadableStream().getReader();
      await reader.read();
      const reading = reader.read(); // 2 is there, and the source may still report its end
      for (let i = 0; i < delay; i++) await Promise.resolve();
      await reader.cancel();
      expect(await reading).toEqual({ done: true, value: undefined });
      await turns(5);
      expect((await runner.getAvailable()).result).toEqual([2]);
    },
  );

  test("a cancelled one does not stand in the way of the next read", async () => {
    const { runner, source } = await openRunner();
    const reader = runner.toReadableStream().getReader();
    const waiting = reader.read();
    await turns();
    await reader.cancel();
    await waiting;
    const next = runner.getRequired({ advance: 1 });
    source.push(1);
    expect((await next).result).toEqual([1]);
  });
});

test("what a web stream is piped to may itself read the runner, or abort it, while it takes an item", async () => {
  const { runner, source } = await openRunner();
  const got: number[] = [];
  const write = async (item: number) => {
    got.push(item);
    if (item === 1) got.push(...(await runner.getRequired({ advance: 2 })).result);
    if (item === 4) await runner.abort();
  };
  const piping = runner.toReadableStream().pipeTo(new WritableStream({ write }));
  await turns();
  source.push(1, 2, 3, 4, 5);
  await expect(piping).rejects.toMatchObject({ code: "RUNNER_ABORTED" });
  expect([got, (await runner.state()).position]).toEqual([[1, 2, 3, 4], 4]);
});

describe("a walk that is left while others read", () => {
  type Items = Promise<number[]>;

  const itemOf = ({ done, value }: { done?: boolean | undefined; value?: number | undefined }) =>
    done ? [] : [value as number];

  const walks: Record<string, (runner: SequenceRunner<number>) => { pull(): Items; leave(): void }> = {
    "an iterator": (runner) => {
      const iterator = runner[Symbol.asyncIterator]();
      return { pull: () => iterator.next().then(itemOf), leave: () => void iterator.return?.() };
    },
    "a web stream": (runner) => {
      const reader = runner.toReadableStream().getReader();
      return { pull: () => reader.read().then(itemOf), leave: () => void reader.cancel() };
    },
  };

  const reads: Record<string, (runner: SequenceRunner<number>) => Items> = {
    "another read": async (runner) => (await runner.getRequired({ advance: 1 })).result,
    "a read of what is available": async (runner) => (await runner.getAvailable()).result,
    "another walk": async (runner) => itemOf(await runner[Symbol.asyncIterator]().next()),
  };

  /** How the pull gets its item, and what calls `begin` when it has (or is about to have) it; 1, 2 and 3 are given in the end. */
  type Situation = (pull: () => void, give: (...items: number[]) => void, begin: () => void) => void;

  const situations: Record<string, Situation> = {
    "waits for its item": (pull, give, begin) => {
      pull();
      give(1, 2, 3);
      begin();
    },
    "finds its item": (pull, give, begin) => {
      give(1, 2, 3);
      pull();
      begin();
    },
    "finds its item, and waits for the end to be told": (pull, give, begin) => {
      give(1);
      pull();
      begin();
      give(2, 3);
    },
    "has waited for the end to be told": (pull, give, begin) => {
      give(1);
      pull();
      afterTurn(begin);
      afterTurn(() => give(2, 3));
    },
  };

  async function openSequence(session: ActiveSession) {
    let sink!: SequenceSink<number>;
    const produce = (_input: undefined, given: SequenceSink<number>): Producer => {
      sink = given;
      return { closed: Promise.resolve({ timedOut: false, errors: [] }), start: async () => given.start(), stop() {} };
    };
    const runner = await session.createRunner(defineSequenceRunner({ name: "by hand", produce }), undefined);
    return { runner, sink };
  }

  /** What a read brings: nothing where it is refused because the pull is pending. */
  async function unlessRefused(reading: Items): Items {
    try {
      return await reading;
    } catch (error) {
      expect(error).toMatchObject({ code: "READ_CONFLICT" });
      return [];
    }
  }

  type Step = readonly [at: number, step: () => void];

  /** Runs each step after so many microtasks from now, those of the same one in their order. */
  async function inMicrotasks(...steps: Step[]): Promise<void> {
    for (let now = 0; now <= last; now++) {
      for (const [at, step] of steps) if (at === now) step();
      await Promise.resolve();
    }
  }

  const last = 9; // until then every pull has brought its item
  const step = process.env.LOG === "slow" ? 4 : 1;
  const microtasks = [...Array(last + 1).keys()].filter((at) => at % step === 0);
  const orders = microtasks.flatMap((leftAt) =>
    microtasks.flatMap((readAt) =>
      (leftAt === readAt ? [true, false] : [leftAt < readAt]).map((leftFirst) => ({ leftAt, readAt, leftFirst })),
    ),
  );

  const cases = Object.keys(walks).flatMap((walk) =>
    Object.keys(situations).flatMap((situation) => Object.keys(reads).map((read) => [walk, situation, read] as const)),
  );

  test.each(cases)("%s that %s, and %s: whatever comes first, nothing is lost or comes twice", async (...names) => {
    const [open, reach, other] = [walks[names[0]]!, situations[names[1]]!, reads[names[2]]!];
    const session = await openHost().get("user");
    for (const { leftAt, readAt, leftFirst } of orders) {
      const { runner, sink } = await openSequence(session);
      const walk = open(runner);
      await turns(1); // a web stream takes a while to start
      let [pulled, read]: Items[] = [];
      const leaving: Step = [leftAt, walk.leave];
      const reading: Step = [
        readAt,
        () => {
          read = unlessRefused(other(runner));
        },
      ];
      reach(
        () => {
          pulled = walk.pull();
        },
        (...items) => {
          for (const item of items) sink.append(item);
        },
        () => void inMicrotasks(...(leftFirst ? [leaving, reading] : [reading, leaving])),
      );
      await turns();
      const got = [...(await pulled!), ...(await read!), ...(await runner.getAvailable()).result];
      expect(got, JSON.stringify({ leftAt, readAt, leftFirst })).toEqual([1, 2, 3]);
      await runner[Symbol.asyncDispose]();
    }
  });
});

describe("a synchronous source", () => {
  /** A generator that takes `cost` ms of (faked) time for each item, and notes at which turn of the loop it made it. */
  function* burn(count: number, cost: number, turnOf: () => number, made: number[]) {
    for (let i = 0; i < count; i++) {
      vi.advanceTimersByTime(cost);
      made.push(turnOf());
      yield i;
    }
  }

  /** Counts the turns of the loop until it is stopped. */
  function countTurns() {
    let turn = 0;
    let on = true;
    const count = () => {
      turn++;
      if (on) setImmediate(count);
    };
    const stop = () => {
      on = false;
    };
    setImmediate(count);
    return { now: () => turn, stop };
  }

  /** The largest number of items made within one turn. */
  function mostPerTurn(made: readonly number[]): number {
    const perTurn = new Map<number, number>();
    for (const turn of made) perTurn.set(turn, (perTurn.get(turn) ?? 0) + 1);
    return Math.max(...perTurn.values());
  }

  test("lets the event loop go on after about 10 ms of items", async () => {
    beginSlices();
    const session = await openHost().get("user");
    const turn = countTurns();
    const made: number[] = [];
    const runner = await session.createSequenceRunner(burn(40, 3, turn.now, made));
    const { result, status } = await runner.getRequired({ advance: 40 });
    turn.stop();
    expect([result.length, status]).toEqual([40, "completed"]);
    expect(mostPerTurn(made)).toBeLessThanOrEqual(4); // the fourth one begins at 9 ms
    await turns();
  });

  test("shares those 10 ms with all others, which advance in turns", async () => {
    beginSlices();
    const session = await openHost().get("user");
    const turn = countTurns();
    const made: number[] = [];
    const count = 5;
    const runners = await Promise.all(
      Array.from({ length: count }, () => session.createSequenceRunner(burn(12, 3, turn.now, made))),
    );
    const first = runners[0]!.getRequired({ advance: 5 });
    await first;
    // None has finished before all have begun.
    const states = await Promise.all(runners.map((runner) => runner.state()));
    expect(states.every(({ progress }) => progress.current > 0)).toBe(true);
    await Promise.all(runners.map((runner) => runner.getRequired({ start: 0, advance: 12 })));
    turn.stop();
    expect(made).toHaveLength(12 * count);
    expect(mostPerTurn(made)).toBeLessThanOrEqual(4);
    await turns();
  });

  test("that never ends does not keep others from being served", async () => {
    beginSlices();
    const session = await openHost().get("user");
    function* endless() {
      for (let i = 0; ; i++) {
        vi.advanceTimersByTime(1);
        yield i;
      }
    }
    const runner = await session.createSequenceRunner(endless(), { aheadLimit: 1_000_000_000 });
    await turns(10);
    expect((await runner.state()).status).toBe("progressed");
    await runner.abort();
    const { current } = runner.progress;
    await turns(10);
    expect((await runner.state()).progress.current).toBe(current);
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
  });

  test("that always has more does not keep a read of what is available from its answer", async () => {
    beginSlices();
    const session = await openHost().get("user");
    function* endless() {
      for (let i = 0; ; i++) {
        vi.advanceTimersByTime(20); // every item uses up the slice
        yield i;
      }
    }
    const runner = await session.createSequenceRunner(endless(), { aheadLimit: 1_000_000_000 });
    await turns(3);
    let isAnswered = false;
    const reading = runner.getAvailable().finally(() => {
      isAnswered = true;
    });
    await turns(20); // one, in which the source may report its end, is all it needs
    const inTime = isAnswered;
    await runner.abort();
    await reading;
    expect(inTime).toBe(true);
  });

  test("is not asked again after an abort that came between two slices", async () => {
    beginSlices();
    const session = await openHost().get("user");
    const made: number[] = [];
    const runner = await session.createSequenceRunner(burn(100, 20, () => 0, made)); // one item a slice
    await turns(2);
    const before = made.length;
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(100);
    await runner.abort();
    await turns(10);
    expect(made).toHaveLength(before);
  });

  test("an asynchronous source that never waits for anything lets the loop go on too", async () => {
    beginSlices();
    const session = await openHost().get("user");
    const turn = countTurns();
    const made: number[] = [];
    async function* source() {
      yield* burn(200, 3, turn.now, made);
    }
    const runner = await session.createSequenceRunner(source());
    await runner.getRequired({ advance: 200 });
    turn.stop();
    expect(mostPerTurn(made)).toBeLessThan(64);
    await turns();
  });
});

describe("exactly as many items as exist", () => {
  test("of a synchronous source come with its end, whatever else is producing (#38)", async () => {
    beginSlices();
    const session = await openHost().get("user");
    // Every item uses up the slice, so each producer gets its next step only when all others have had theirs.
    function* source() {
      for (let i = 0; i < 3; i++) {
        vi.advanceTimersByTime(20);
        yield i;
      }
    }
    const runners = await Promise.all(Array.from({ length: 6 }, () => session.createSequenceRunner(source())));
    const results = await Promise.all(runners.map((runner) => runner.getRequired({ advance: 3 })));
    expect(results.map(({ status }) => status)).toEqual(Array.from({ length: 6 }, () => "completed"));
  });
});

describe("back-pressure on the source (#45)", () => {
  test("the source is asked for one item beyond the limit, which waits in the producer's hand", async () => {
    const { runner, source } = await openRunner({ aheadLimit: 3 });
    await give(source, 1, 2, 3, 4, 5, 6);
    expect((await runner.state()).progress.current).toBe(3);
    expect(source.pulls).toBe(4);
    await runner.getRequired({ advance: 3 });
    await turns();
    expect((await runner.state()).progress.current).toBe(3); // handed out is not acknowledged
    await runner.getAvailable({ start: 2 });
    await turns();
    expect((await runner.state()).progress.current).toBe(5);
  });

  test("a producer that waits for room has no timer, and goes on without one (#47)", async () => {
    vi.useFakeTimers();
    const { runner, source } = await openRunner({ aheadLimit: 1, idleTimeout: Number.POSITIVE_INFINITY });
    const timers = vi.getTimerCount();
    await give(source, 1, 2, 3);
    expect([(await runner.state()).progress.current, vi.getTimerCount()]).toEqual([1, timers]);
    await runner.getAvailable();
    await runner.getAvailable(); // acknowledges the first
    await turns();
    expect([(await runner.state()).progress.current, vi.getTimerCount()]).toEqual([2, timers]);
  });

  test("a source that has no more can say so although the log is full", async () => {
    const { runner, source } = await openRunner({ aheadLimit: 2 });
    source.push(1, 2);
    source.end();
    await turns();
    expect((await runner.state()).isBackgroundCompleted).toBe(true);
    expect(await runner.getRequired({ advance: 2 })).toEqual({ result: [1, 2], status: "completed", position: 2 });
  });

  test("a source can fail although the log is full", async () => {
    const { runner, source } = await openRunner({ aheadLimit: 2 });
    source.push(1, 2);
    source.fail(new Error("broken"));
    await turns();
    expect(await runner.getRequired({ advance: 2 })).toMatchObject({ result: [1, 2], status: "failed" });
  });

  test("an abort frees a producer that waits for room, and its item is not added (#46)", async () => {
    const { runner, source } = await openRunner({ aheadLimit: 2 });
    await give(source, 1, 2, 3);
    await runner.getAvailable();
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(source.returns).toBe(1);
    expect((await runner.state()).progress).toEqual({ current: 2, estimatedEnd: 2 });
    expect((await runner.getAvailable({ start: 0 })).result).toEqual([1, 2]);
  });
});

describe("the number of items to come (#39)", () => {
  test("is known as soon as the background has ended, read or not", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1, 2);
    expect([(await runner.state()).progress, (await runner.state()).isBackgroundCompleted]).toEqual([
      { current: 2 },
      false,
    ]);
    source.end();
    await turns();
    expect([(await runner.state()).progress, (await runner.state()).isBackgroundCompleted]).toEqual([
      { current: 2, estimatedEnd: 2 },
      true,
    ]);
    expect((await runner.state()).status).toBe("progressed");
  });

  test("is known too when the source has failed", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1);
    source.fail(new Error("broken"));
    await turns();
    expect([(await runner.state()).progress, (await runner.state()).isBackgroundCompleted]).toEqual([
      { current: 1, estimatedEnd: 1 },
      true,
    ]);
  });

  test("is what was handed out when the runner is disposed before", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1, 2, 3);
    await runner.getAvailable({ advance: 1 });
    await runner[Symbol.asyncDispose]();
    expect([(await runner.state()).position, (await runner.state()).progress]).toEqual([
      1,
      { current: 1, estimatedEnd: 1 },
    ]);
    expect((await runner.state()).isBackgroundCompleted).toBe(true);
  });
});

test("a source that is closed by an abort from within a reader's look at an item is not asked again", async () => {
  const session = await openHost().get("user");
  const runners: Runner[] = [];
  const calls: string[] = [];
  const source = {
    [Symbol.asyncIterator]: () => ({
      next: async () => {
        calls.push("next");
        return { done: false as const, value: withCode({}, () => inside(runners[0]!).abortFor("stopped")) };
      },
      return: async () => {
        calls.push("return");
        return { done: true as const, value: undefined };
      },
    }),
  };
  const runner = await session.createSequenceRunner(source, { start: "on-first-read", aheadLimit: 2 });
  runners.push(runner);
  await readFrom(inside(runner), { min: 1, max: 1, json: anyJson });
  await runner.cleanup;
  await turns();
  expect(calls.lastIndexOf("next")).toBeLessThan(calls.indexOf("return"));
});

describe("a read whose signal has aborted before the call (#40)", () => {
  const signal = AbortSignal.abort("early");

  test("is refused if it had to wait, and then acknowledges and moves nothing", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1, 2, 3, 4, 5);
    const before = await inside(runner).logState();
    await expect(runner.getRequired({ start: 3, advance: 5, signal })).rejects.toBe("early");
    await expect(runner.getRequired({ advance: 6, signal })).rejects.toBe("early");
    expect(await inside(runner).logState()).toEqual(before);
  });

  test("is served if it need not wait", async () => {
    const { runner, source } = await openRunner();
    await give(source, 1, 2, 3);
    await runner.state(); // the latest answer of a log elsewhere
    expect((await runner.getRequired({ advance: 2, signal })).result).toEqual([1, 2]);
    source.end();
    await runner.cleanup;
    await runner.state();
    expect(await runner.getRequired({ advance: 9, signal })).toMatchObject({ result: [3], status: "completed" });
  });
});

describe("default advance (#21)", () => {
  test("0 means it for both methods; left out it is meant by getRequired only", async () => {
    const { runner, source } = await openRunner({ defaultAdvance: 2, retain: "all" });
    await give(source, 1, 2, 3, 4, 5);
    expect((await runner.getAvailable({ start: 0, advance: 0 })).result).toEqual([1, 2]);
    expect((await runner.getRequired({ start: 0, advance: 0 })).result).toEqual([1, 2]);
    expect((await runner.getRequired({ start: 0 })).result).toEqual([1, 2]);
    expect((await runner.getAvailable({ start: 0 })).result).toEqual([1, 2, 3, 4, 5]);
  });

  test("is 20 for a host and a runner that do not say", async () => {
    const { runner, source } = await openRunner();
    const waiting = runner.getRequired();
    await give(source, ...Array.from({ length: 19 }, (_, i) => i));
    expect(await isPending(waiting)).toBe(true);
    await give(source, 19, 20);
    expect((await waiting).result).toHaveLength(20);
  });
});

test("a read from the tail on that starts a runner over something synchronous gets all of it", async () => {
  const session = await openHost().get("ann");
  const runner = await session.createSequenceRunner([1, 2, 3], { start: "on-first-read" });
  const other = await session.createSequenceRunner(["others have the loop"]);
  await other.cleanup; // and leave most of their share of it
  const slice = await readFrom(inside(runner), { start: "tail", min: 3, max: 10 });
  expect(slice).toMatchObject({ start: 0, result: [1, 2, 3], closed: true });
});
