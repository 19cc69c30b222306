import { Readable } from "node:stream";
import { describe, expect, test, vi } from "vitest";
import { isPending, listenerCount, openHost, PushSource, turns } from "../../test/support/control.js";
import { createDeferred } from "../base/async.js";
import type { SequenceRunner } from "./sequence-runner.js";
import { checkSource, discardSource, openSource, type SequenceSource } from "./source.js";

const never = new Promise<never>(() => {});

async function create<T>(
  source: SequenceSource<T>,
  options: { aheadLimit?: number; start?: "now" | "on-first-read" } = {},
) {
  const session = await openHost({ cleanupTimeout: 1000, logger: { warn: () => {} } }).get("user");
  return session.createSequenceRunner<T>(source, options);
}

/** Reads to the end. */
async function drain<T>(runner: SequenceRunner<T>): Promise<T[]> {
  return (await runner.getRequired({ advance: Number.POSITIVE_INFINITY })).result;
}

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

/** A web stream that tells what was done to it. */
function pushStream<T>() {
  const cancel = vi.fn();
  let controller!: ReadableStreamDefaultController<T>;
  const stream = new ReadableStream<T>({
    start(given) {
      controller = given;
    },
    cancel,
  });
  return { stream, controller, cancel };
}

/** An iterable that counts how it is opened and closed. */
class Tracked implements AsyncIterable<number> {
  opened = 0;
  readonly closings: string[] = [];
  next: () => Promise<IteratorResult<number>> = () => never;

  [Symbol.asyncIterator](): AsyncIterator<number> {
    this.opened++;
    return {
      next: () => this.next(),
      return: async () => {
        this.closings.push("return");
        return { done: true, value: undefined };
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closings.push("dispose");
  }
}

describe("kinds of sources", () => {
  async function* generate() {
    yield 1;
    yield 2;
  }
  test.each<[string, () => SequenceSource<unknown>, unknown[]]>([
    ["an array", () => [1, 2], [1, 2]],
    ["the characters of a text", () => [..."ab"], ["a", "b"]],
    ["a set", () => new Set([1, 2]), [1, 2]],
    ["an async generator", () => generate(), [1, 2]],
    ["a web stream", () => streamOf([1, 2]), [1, 2]],
    ["a Node stream", () => Readable.from([1, 2]), [1, 2]],
    ["a function that returns an iterable", () => () => [1, 2], [1, 2]],
    ["an async function", () => async () => generate(), [1, 2]],
    ["a function that returns a stream", () => () => streamOf([1, 2]), [1, 2]],
    ["a generator function", () => generate, [1, 2]],
    ["an empty iterable", () => [], []],
    [
      "an object of both kinds is taken as asynchronous",
      () => ({ [Symbol.iterator]: () => [0][Symbol.iterator](), [Symbol.asyncIterator]: generate }),
      [1, 2],
    ],
  ])("%s", async (_, make, items) => {
    const runner = await create(make());
    expect(await drain(runner)).toEqual(items);
    expect((await runner.state()).status).toBe("completed");
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
  });

  test("a function gets signal, session and services", async () => {
    const host = openHost<{ db: string }>({ services: () => ({ db: "mine" }) });
    const session = await host.get("user");
    const runner = await session.createSequenceRunner(({ signal, session: own, services }) => [
      signal.aborted,
      own === session,
      services.db,
    ]);
    expect((await runner.getRequired({ advance: 3 })).result).toEqual([false, true, "mine"]);
  });

  test.each([5, null, undefined, {}, true, new Date()])("%s is none and is refused at creation", async (source) => {
    expect(() => checkSource(source)).toThrow(expect.objectContaining({ code: "INVALID_SOURCE" }));
    await expect(create(source as never)).rejects.toMatchObject({ code: "INVALID_SOURCE" });
  });

  test("a locked stream is refused", async () => {
    const { stream } = pushStream<number>();
    stream.getReader();
    await expect(create(stream)).rejects.toMatchObject({
      code: "INVALID_SOURCE",
      message: expect.stringContaining("unlocked"),
    });
  });

  test("a function that returns none fails the start with INVALID_SOURCE", async () => {
    await expect(create((() => 5) as never)).rejects.toMatchObject({ code: "INVALID_SOURCE" });
  });

  test("promises among the items of an iterable are awaited", async () => {
    const promise = Promise.resolve(1);
    const runner = await create<unknown>([promise]);
    const { result } = await runner.getRequired({ advance: 1 });
    expect(result).toEqual([await promise]);
  });

  test("checking opens nothing", () => {
    const source = new Tracked();
    checkSource(source);
    expect(source.opened).toBe(0);
  });

  test("a source is opened once", async () => {
    const source = new Tracked();
    source.next = async () => ({ done: true, value: undefined });
    const runner = await create(source);
    await drain(runner);
    expect(source.opened).toBe(1);
  });
});

describe("an asynchronous source (#51)", () => {
  test("is asked for the next item only when the one before lies in the log", async () => {
    const source = new PushSource<number>();
    await create(source);
    await turns();
    expect(source.pulls).toBe(1);
    source.push(1);
    await turns();
    expect(source.pulls).toBe(2);
  });
});

describe("closing, exactly once", () => {
  test("a source that ended by itself is disposed, its iterator is not closed again", async () => {
    const source = new Tracked();
    source.next = async () => ({ done: true, value: undefined });
    const runner = await create(source);
    await runner.cleanup;
    expect(source.closings).toEqual(["dispose"]);
  });

  test("a source that failed is disposed, its iterator is not closed", async () => {
    const source = new Tracked();
    source.next = async () => {
      throw new Error("broken");
    };
    const runner = await create(source);
    await runner.cleanup;
    expect(source.closings).toEqual(["dispose"]);
  });

  test("an aborted source is closed first and then disposed, although a step is pending (#51)", async () => {
    const source = new Tracked();
    const runner = await create(source);
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    await runner.abort();
    await runner[Symbol.asyncDispose]();
    expect(source.closings).toEqual(["return", "dispose"]);
  });

  test.each(["abort", "dispose"] as const)(
    "a source that was never started is released by %s, unopened (#49)",
    async (how) => {
      const source = new Tracked();
      const runner = await create(source, { start: "on-first-read" });
      if (how === "abort") await runner.abort();
      else await runner[Symbol.asyncDispose]();
      await runner.cleanup;
      expect(source.opened).toBe(0);
      expect(source.closings).toEqual(["dispose"]);
    },
  );

  test("the end of the session closes it too", async () => {
    const host = openHost();
    const session = await host.get("user");
    const source = new Tracked();
    await session.createSequenceRunner(source);
    expect(await session.terminate()).toEqual({ timedOut: false, errors: [] });
    expect(source.closings).toEqual(["return", "dispose"]);
  });

  test("the late item of a closed source is ignored (#52)", async () => {
    const source = new PushSource<number>();
    const runner = await create(source);
    const waiting = runner.getRequired({ advance: 1 });
    await runner.abort();
    expect(await waiting).toEqual({ result: [], status: "aborted", position: 0 });
    source.push(1);
    await turns();
    expect(source.pulls).toBe(1);
    expect((await runner.state()).progress).toEqual({ current: 0, estimatedEnd: 0 });
  });

  test("the late failure of a closed source changes nothing, and is told with the clean-up", async () => {
    const source = new PushSource<number>();
    const runner = await create(source);
    await runner.abort();
    source.fail(new Error("late"));
    await turns();
    expect((await runner.state()).status).toBe("aborted");
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [new Error("late")] });
  });

  test("the late failure of a closed source does not close it a second time", async () => {
    const source = new Tracked();
    const step = createDeferred<IteratorResult<number>>();
    source.next = () => step.promise;
    const runner = await create(source);
    await runner.abort();
    await runner.cleanup;
    step.reject(new Error("late"));
    await turns();
    expect(source.closings).toEqual(["return", "dispose"]);
  });

  test("a synchronous iterator is closed once, at an abort that comes between two items (#46)", async () => {
    vi.useFakeTimers(); // the slice does not end by the clock
    const returned = vi.fn();
    let given = 0;
    const source = {
      [Symbol.iterator]: () => ({
        next: () => ({ done: false, value: given++ }),
        return: () => {
          returned();
          return { done: true as const, value: undefined };
        },
      }),
    };
    const runner = await create<number>(source, { aheadLimit: 5 });
    await turns();
    expect((await runner.state()).progress.current).toBe(5);
    await runner.abort();
    await runner.cleanup;
    expect(returned).toHaveBeenCalledTimes(1);
    expect(given).toBe(6); // one was in the producer's hand, waiting for room
  });

  test("a synchronous iterable that aborts its own runner is closed after its step, not within (#48)", async () => {
    const calls: string[] = [];
    let runner: SequenceRunner<number> | undefined;
    const source = {
      [Symbol.iterator]: () => ({
        next: () => {
          calls.push("step begins");
          void runner?.abort();
          calls.push("step ends");
          return { done: false, value: 1 };
        },
        return: () => {
          calls.push("closed");
          return { done: true as const, value: undefined };
        },
      }),
    };
    runner = await create<number>(source, { start: "on-first-read" });
    expect(await runner.getRequired({ advance: 1 })).toMatchObject({ result: [], status: "aborted" });
    await runner.cleanup;
    expect(calls).toEqual(["step begins", "step ends", "closed"]);
  });

  test("a synchronous disposable is disposed when it ends by itself (#48; design §4)", async () => {
    const dispose = vi.fn();
    const source = { [Symbol.iterator]: () => [1][Symbol.iterator](), [Symbol.dispose]: dispose };
    const runner = await create<number>(source);
    await runner.cleanup;
    expect(dispose).toHaveBeenCalledTimes(1);
    expect(await drain(runner)).toEqual([1]); // clean-up does not wait for the readers
  });

  test("the generator's own finally block runs at an abort", async () => {
    const closed = vi.fn();
    const gate = new AbortController();
    async function* source() {
      try {
        yield 1;
        await new Promise<void>((resolve) => gate.signal.addEventListener("abort", () => resolve(), { once: true }));
        yield 2;
      } finally {
        closed();
      }
    }
    const runner = await create(source());
    await runner.getRequired({ advance: 1 });
    await runner.abort();
    expect(await isPending(runner.cleanup)).toBe(true); // return() is queued behind the pending step
    gate.abort();
    await runner.cleanup;
    expect(closed).toHaveBeenCalledTimes(1);
  });

  test("a generator that was never started runs none of its body", async () => {
    const ran = vi.fn();
    async function* source() {
      ran();
      yield 1;
    }
    const generator = source();
    const runner = await create(generator, { start: "on-first-read" });
    await runner.abort();
    await runner.cleanup;
    expect(await generator.next()).toEqual({ done: true, value: undefined });
    expect(ran).not.toHaveBeenCalled();
  });

  test("a source whose opening throws fails the creation and is disposed", async () => {
    const dispose = vi.fn();
    const cause = new Error("cannot open");
    const source = {
      [Symbol.asyncIterator]: () => {
        throw cause;
      },
      [Symbol.dispose]: dispose,
    };
    await expect(create(source as never)).rejects.toMatchObject({ code: "RUNNER_START_FAILED", cause });
    expect(dispose).toHaveBeenCalledTimes(1);
  });

  test("a source that a function made is disposed too when its opening throws", async () => {
    const dispose = vi.fn();
    const source = {
      [Symbol.asyncIterator]: () => {
        throw new Error("cannot open");
      },
      [Symbol.dispose]: dispose,
    };
    await expect(create((() => source) as never)).rejects.toMatchObject({ code: "RUNNER_START_FAILED" });
    await turns();
    expect(dispose).toHaveBeenCalledTimes(1);
  });
});

describe("web streams", () => {
  test("are unlocked after their end, and not cancelled", async () => {
    const { stream, controller, cancel } = pushStream<number>();
    const runner = await create(stream);
    controller.enqueue(1);
    controller.close();
    expect(await drain(runner)).toEqual([1]);
    await runner.cleanup;
    expect(stream.locked).toBe(false);
    expect(cancel).not.toHaveBeenCalled();
  });

  test("are cancelled once and unlocked at an abort, although a step is pending", async () => {
    const { stream, cancel } = pushStream<number>();
    const runner = await create(stream);
    await turns();
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(cancel).toHaveBeenCalledTimes(1);
    expect(stream.locked).toBe(false);
  });

  test("fail the runner when they fail, behind their items", async () => {
    const { stream, controller, cancel } = pushStream<number>();
    const cause = new Error("broken");
    const runner = await create(stream);
    controller.enqueue(1);
    await turns();
    controller.error(cause);
    const { result, status, error } = await runner.getRequired({ advance: 5 });
    expect({ result, status, cause: error?.cause }).toEqual({ result: [1], status: "failed", cause });
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(cancel).not.toHaveBeenCalled();
  });

  test("are cancelled when they were never started", async () => {
    const { stream, cancel } = pushStream<number>();
    const runner = await create(stream, { start: "on-first-read" });
    await runner.abort();
    await runner.cleanup;
    expect(cancel).toHaveBeenCalledTimes(1);
  });

  test("a failing cancel is collected", async () => {
    const error = new Error("cancel failed");
    const stream = new ReadableStream<number>({
      cancel() {
        throw error;
      },
    });
    const runner = await create(stream);
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [error] });
  });
});

describe("Node streams", () => {
  test("are destroyed at an abort, although a step is pending", async () => {
    const destroy = vi.fn((error: Error | null, done: (error?: Error | null) => void) => done(error));
    const stream = new Readable({ objectMode: true, read() {}, destroy });
    const runner = await create<number>(stream);
    stream.push(1);
    expect((await runner.getRequired({ advance: 1 })).result).toEqual([1]);
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(stream.destroyed).toBe(true);
    expect(destroy).toHaveBeenCalledTimes(1);
  });

  test("are destroyed when they were never started", async () => {
    const stream = new Readable({ objectMode: true, read() {} });
    const runner = await create<number>(stream, { start: "on-first-read" });
    await runner.abort();
    await runner.cleanup;
    expect(stream.destroyed).toBe(true);
  });

  test("fail the runner when they fail", async () => {
    const stream = new Readable({ objectMode: true, read() {} });
    const runner = await create<number>(stream);
    const waiting = runner.getRequired({ advance: 1 });
    await turns();
    stream.destroy(new Error("broken pipe"));
    const { status, error } = await waiting;
    expect([status, error?.cause]).toEqual(["failed", new Error("broken pipe")]);
  });
});

describe("trouble while closing", () => {
  test("errors of return() and of the disposal are both collected", async () => {
    const source = {
      [Symbol.asyncIterator]: () => ({
        next: () => never,
        return: async () => {
          throw new Error("return");
        },
      }),
      async [Symbol.asyncDispose]() {
        throw new Error("dispose");
      },
    };
    const runner = await create<number>(source);
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [new Error("return"), new Error("dispose")] });
  });

  test("a return() that throws at once, of a synchronous iterator, is collected", async () => {
    vi.useFakeTimers();
    const source = {
      [Symbol.iterator]: () => ({
        next: () => ({ done: false, value: 1 }),
        return: () => {
          throw new Error("return");
        },
      }),
    };
    const runner = await create<number>(source, { aheadLimit: 1 });
    await turns();
    await runner.abort();
    expect((await runner.cleanup).errors).toEqual([new Error("return")]);
  });

  test("a hanging return() is waited for no longer than cleanupTimeout (#53)", async () => {
    vi.useFakeTimers();
    const source = new PushSource<number>();
    source.onReturn = () => never;
    const runner = await create(source);
    await runner.abort();
    vi.advanceTimersByTime(999);
    expect(await isPending(runner.cleanup)).toBe(true);
    vi.advanceTimersByTime(1);
    expect(await runner.cleanup).toEqual({ timedOut: true, errors: [] });
    expect(source.returns).toBe(1);
  });

  test("a source whose return() hangs is disposed all the same, after cleanupTimeout (#53)", async () => {
    vi.useFakeTimers();
    const dispose = vi.fn();
    const source = {
      [Symbol.asyncIterator]: () => ({ next: () => never, return: () => never }),
      [Symbol.dispose]: dispose,
    };
    const runner = await create<number>(source);
    await runner.abort();
    vi.advanceTimersByTime(1000);
    expect((await runner.cleanup).timedOut).toBe(true);
    await turns();
    expect(dispose).toHaveBeenCalledTimes(1);
  });

  test("so is one whose return() hangs although no step was pending (#53)", async () => {
    vi.useFakeTimers();
    const dispose = vi.fn();
    const source = {
      [Symbol.asyncIterator]: () => ({ next: async () => ({ done: false, value: 1 }), return: () => never }),
      [Symbol.dispose]: dispose,
    };
    const runner = await create<number>(source, { aheadLimit: 1 });
    await turns();
    await runner.abort();
    vi.advanceTimersByTime(1000);
    expect((await runner.cleanup).timedOut).toBe(true);
    await turns();
    expect(dispose).toHaveBeenCalledTimes(1);
  });

  test("an iterator without return() is no trouble", async () => {
    const runner = await create<number>({ [Symbol.asyncIterator]: () => ({ next: () => never }) });
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
  });
});

describe("openSource and discardSource by themselves", () => {
  test("tell apart what is synchronous", () => {
    expect(openSource([1]).isAsync).toBe(false);
    expect(openSource(new Tracked()).isAsync).toBe(true);
    expect(openSource(streamOf([1])).isAsync).toBe(true);
  });

  test("discarding what is no source does nothing", async () => {
    for (const value of [undefined, null, 5, "text", [1], {}]) {
      expect(await discardSource(value, 1000)).toEqual({ timedOut: false, errors: [] });
    }
  });

  test("discarding a foreign iterator closes it once", async () => {
    const source = new Tracked();
    const end = vi.fn();
    await discardSource(Object.assign(source, { return: end }), 1000);
    expect(end).toHaveBeenCalledTimes(1);
    expect(source.closings).toEqual(["dispose"]);
  });

  test("discarding collects errors", async () => {
    const source = {
      [Symbol.dispose]: () => {
        throw new Error("dispose");
      },
    };
    expect(await discardSource(source, 1000)).toEqual({ timedOut: false, errors: [new Error("dispose")] });
  });
});

test("a source's signal has no listener of ours while it runs and after its end", async () => {
  let given: AbortSignal | undefined;
  const runner = await create(({ signal }) => {
    given = signal;
    return [1];
  });
  await drain(runner);
  expect(given && listenerCount(given)).toBe(0);
  expect(given?.aborted).toBe(false); // the work ended by itself
});

test.each<[string, () => unknown]>([
  ["nothing", () => undefined],
  ["a number", () => 5],
])("a function that returns %s is no source", async (_, source) => {
  const session = await openHost().get("user");
  await expect(session.createSequenceRunner(source as never)).rejects.toMatchObject({ code: "INVALID_SOURCE" });
  expect(await collectRunners(session)).toEqual([]); // a failed creation leaves nothing behind
});

test.each<[string, () => unknown]>([
  ["nothing, as an async function that is no generator does", async () => undefined],
  ["an object", async () => ({})],
])("a function that returns a promise of %s is no source: the work fails", async (_, source) => {
  const session = await openHost().get("user");
  const runner = await session.createSequenceRunner(source as never);
  const { status, error } = await runner.getRequired();
  expect([status, error?.cause]).toEqual(["failed", expect.objectContaining({ code: "INVALID_SOURCE" })]);
});

async function collectRunners(session: { runners(): AsyncIterable<unknown> }): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const runner of session.runners()) all.push(runner);
  return all;
}
