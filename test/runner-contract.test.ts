/**
 * What every runner must do, whatever fills its log: the same scenarios for sources and bodies, as functions, and for producers
 * that an application has written as classes. The work is steered by the test.
 */
import { describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import type { CleanupSummary } from "../src/base/dispose.js";
import {
  type ActiveSession,
  defineProcessRunner,
  defineSequenceRunner,
  type ProcessRunner,
  type ProcessSink,
  type Producer,
  type RunnerContext,
  type RunnerOptions,
  type SequenceRunner,
  type SequenceSink,
} from "../src/index.js";
import { isPending, openHost, PushSource, turns } from "./support/control.js";

/** How a test steers the work of a sequence. */
interface Steering {
  push(...items: number[]): void;
  end(): void;
  fail(error: unknown): void;
  /** What the work has been given, once it has started. */
  context(): RunnerContext | undefined;
}

/** A sequence's producer as a class: it holds what it is given until there is room. */
class Pushing implements Producer, Steering {
  readonly #sink: SequenceSink<number>;
  readonly #closed = createDeferred<CleanupSummary>();
  #context: RunnerContext | undefined;
  #work = Promise.resolve();
  #isOver = false;

  constructor(sink: SequenceSink<number>) {
    this.#sink = sink;
  }

  get closed() {
    return this.#closed.promise;
  }

  async start(context: RunnerContext): Promise<void> {
    this.#context = context;
    this.#sink.start();
  }

  stop(): void {
    this.#close();
  }

  push(...items: number[]): void {
    for (const item of items) {
      this.#then(async () => {
        if (this.#sink.isFull) await this.#sink.room();
        if (!this.#isOver) this.#sink.append(item);
      });
    }
  }

  end(): void {
    this.#then(() => this.#sink.end());
    this.#then(() => this.#close());
  }

  fail(error: unknown): void {
    this.#then(() => this.#sink.fail(error));
    this.#then(() => this.#close());
  }

  context(): RunnerContext | undefined {
    return this.#context;
  }

  #then(step: () => unknown): void {
    this.#work = this.#work.then(async () => {
      if (!this.#isOver) await step();
    });
  }

  #close(): void {
    this.#isOver = true;
    this.#closed.resolve({ timedOut: false, errors: [] });
  }
}

type OpenSequence = (session: ActiveSession, options?: RunnerOptions) => Promise<[SequenceRunner<number>, Steering]>;

const fromSource: OpenSequence = async (session, options) => {
  const source = new PushSource<number>();
  let context: RunnerContext | undefined;
  const definition = defineSequenceRunner({
    name: "source",
    run: (_input: undefined, given) => {
      context = given;
      return source;
    },
  });
  const runner = await session.createRunner(definition, undefined, options);
  const steering = { push: source.push.bind(source), end: () => source.end(), context: () => context };
  return [runner, { ...steering, fail: (error) => source.fail(error) }];
};

const fromClass: OpenSequence = async (session, options) => {
  let producer!: Pushing;
  const definition = defineSequenceRunner({
    name: "class",
    produce: (_input: undefined, sink: SequenceSink<number>) => {
      producer = new Pushing(sink);
      return producer;
    },
  });
  return [await session.createRunner(definition, undefined, options), producer];
};

describe.each([
  ["a source", fromSource],
  ["a class", fromClass],
])("a sequence from %s", (_what, open) => {
  const openOne = async (options?: RunnerOptions) => {
    const session = await openHost().get("user");
    const [runner, steering] = await open(session, options);
    return { session, runner, steering };
  };

  test("hands out its items in order and completes with the last of them", async () => {
    const { runner, steering } = await openOne();
    steering.push(1, 2, 3);
    expect(await runner.getRequired({ advance: 2 })).toEqual({ result: [1, 2], status: "progressed", position: 2 });
    const rest = runner.getRequired({ advance: 5 });
    steering.end();
    expect(await rest).toEqual({ result: [3], status: "completed", position: 3 });
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
  });

  test("hands out what there was before it fails", async () => {
    const { runner, steering } = await openOne();
    steering.push(1);
    steering.fail(new Error("broken"));
    const result = await runner.getRequired({ advance: 5 });
    expect(result).toMatchObject({ result: [1], status: "failed", error: { code: "RUNNER_FAILED" } });
    expect((result.error as Error).cause).toEqual(new Error("broken"));
  });

  test("stops when it is aborted: a waiting read gets what there is, the signal fires, nothing is added any more", async () => {
    const { runner, steering } = await openOne();
    steering.push(1);
    const waiting = runner.getRequired({ advance: 5 });
    await turns();
    const { signal } = steering.context()!;
    expect(await runner.abort()).toBe("aborted");
    expect(await waiting).toEqual({ result: [1], status: "aborted", position: 1 });
    expect(signal.aborted).toBe(true);
    steering.push(2);
    await turns();
    expect(runner.progress.current).toBe(1);
    expect((await runner.cleanup).timedOut).toBe(false);
  });

  test("pauses at the ahead limit, and goes on when its items are acknowledged", async () => {
    const { runner, steering } = await openOne({ aheadLimit: 2 });
    steering.push(1, 2, 3, 4);
    await turns();
    expect(runner.progress.current).toBe(2);
    await runner.getAvailable();
    await runner.getAvailable({ start: 2 });
    await turns();
    expect(runner.progress.current).toBe(4);
  });

  test("starts with the first read if it is told so, with session, services, signal and id", async () => {
    const { session, runner, steering } = await openOne({ start: "on-first-read" });
    expect([runner.status, steering.context()]).toEqual(["not-started", undefined]);
    const first = runner.getRequired({ advance: 1 });
    await turns();
    steering.push(1);
    expect((await first).result).toEqual([1]);
    expect(steering.context()).toMatchObject({ id: { number: runner.number } });
    expect(steering.context()!.session).toBe(session);
    expect(steering.context()!.signal.aborted).toBe(false);
  });

  test("ends with its session, which waits for its clean-up, and releases what it holds after that", async () => {
    const released = vi.fn();
    const opened = await openOne({
      holds: [
        async () => {
          await opened.runner.cleanup; // which does not wait for this one
          released();
        },
      ],
    });
    const { session, runner } = opened;
    expect(await session.terminate()).toEqual({ timedOut: false, errors: [] });
    expect(released).toHaveBeenCalledTimes(1);
    expect(runner.abortReason).toBe("session-ended");
  });
});

/** How a test steers the work of a process. */
interface ProcessSteering {
  report(value: string, estimatedEnd?: number): void;
  end(value: string): void;
  fail(error: unknown): void;
}

type OpenProcess = (session: ActiveSession) => Promise<[ProcessRunner<string>, ProcessSteering]>;

const fromBody: OpenProcess = async (session) => {
  const done = createDeferred<string>();
  let report!: ProcessSteering["report"];
  const definition = defineProcessRunner<string, undefined>({
    name: "body",
    run: (_input, context) => {
      report = context.report;
      context.signal.addEventListener("abort", () => done.reject(context.signal.reason));
      return done.promise;
    },
  });
  const runner = await session.createRunner(definition, undefined);
  return [runner, { report, end: done.resolve, fail: done.reject }];
};

const fromProcessClass: OpenProcess = async (session) => {
  let steering!: ProcessSteering;
  const produce = (_input: undefined, sink: ProcessSink<string>): Producer => {
    const closed = createDeferred<CleanupSummary>();
    const close = () => closed.resolve({ timedOut: false, errors: [] });
    steering = {
      report: (value, estimatedEnd) => sink.report(value, estimatedEnd),
      end: (value) => {
        sink.end(value);
        close();
      },
      fail: (error) => {
        sink.fail(error);
        close();
      },
    };
    return { closed: closed.promise, start: async () => sink.start(), stop: close };
  };
  return [await session.createRunner(defineProcessRunner({ name: "class", produce }), undefined), steering];
};

describe.each([
  ["a body", fromBody],
  ["a class", fromProcessClass],
])("a process from %s", (_what, open) => {
  test("gives the newest value, waits for points, and completes with one more", async () => {
    const [runner, steering] = await open(await openHost().get("user"));
    steering.report("one", 3);
    expect(await runner.getAvailable()).toEqual({ result: "one", status: "stalled", position: 1 });
    expect(runner.progress).toEqual({ current: 1, estimatedEnd: 3 });
    const third = runner.getRequired({ start: 0, advance: 3 });
    steering.report("two");
    expect(await isPending(third)).toBe(true);
    steering.end("three");
    expect(await third).toEqual({ result: "three", status: "completed", position: 3 });
  });

  test("keeps its value when it fails or is aborted", async () => {
    const [failing, one] = await open(await openHost().get("user"));
    one.report("half");
    one.fail(new Error("broken"));
    expect(await failing.getRequired({ advance: 5 })).toMatchObject({ result: "half", status: "failed", position: 1 });
    const [stopped, two] = await open(await openHost().get("user"));
    two.report("half");
    const waiting = stopped.getRequired({ advance: 5 });
    await stopped.abort();
    expect(await waiting).toEqual({ result: "half", status: "aborted", position: 1 });
    expect((await stopped.cleanup).timedOut).toBe(false);
  });
});

test("one class may stand behind several definitions, each with its own input and result (parity 205, 207)", async () => {
  class Once<T> implements Producer {
    readonly closed = Promise.resolve({ timedOut: false, errors: [] });
    constructor(
      readonly value: T,
      readonly sink: SequenceSink<T>,
    ) {}
    async start(): Promise<void> {
      this.sink.start();
      this.sink.append(this.value);
      this.sink.end();
    }
    stop(): void {}
  }
  const produce = <T>(input: T, sink: SequenceSink<T>) => new Once(input, sink);
  const ofText = defineSequenceRunner<string, string>({ name: "text", produce });
  const ofNumber = defineSequenceRunner<number, number>({ name: "number", produce });
  const session = await openHost().get("user");
  const [text, number] = [await session.createRunner(ofText, "a"), await session.createRunner(ofNumber, 1)];
  expect([(await text.getRequired()).result, (await number.getRequired()).result]).toEqual([["a"], [1]]);
  expect(await session.findRunner(ofText, number.key)).toBeUndefined();
});

describe("a producer that does not keep to the contract", () => {
  const closed = Promise.resolve({ timedOut: false, errors: [] });
  const create = async (produce: () => unknown, options?: RunnerOptions) => {
    const session = await openHost({ logger: { warn: () => {} } }).get("user");
    const definition = defineSequenceRunner({ name: "bad", produce: produce as never });
    return { session, creating: session.createRunner(definition, undefined, options) };
  };

  test.each([
    ["is none", () => 5],
    ["has no stop", () => ({ start: async () => {}, closed })],
    ["has no closed", () => ({ start: async () => {}, stop: () => {} })],
  ])("because it %s is refused, and leaves nothing behind (parity 206, 208)", async (_what, produce) => {
    const released = vi.fn();
    const { session, creating } = await create(produce, { holds: [released] });
    await expect(creating).rejects.toMatchObject({ code: "INVALID_SOURCE" });
    expect(released).toHaveBeenCalledTimes(1);
    for await (const runner of session.runners()) expect.unreachable(runner.key);
  });

  test("because its making throws is a failed start", async () => {
    const { creating } = await create(() => {
      throw new Error("no");
    });
    await expect(creating).rejects.toMatchObject({ code: "RUNNER_START_FAILED", cause: new Error("no") });
  });

  test("because its making throws after it has begun leaves no items behind", async () => {
    const session = await openHost({ logger: { warn: () => {} } }).get("user");
    const definition = defineSequenceRunner({
      name: "bad",
      produce: (_input: undefined, sink: SequenceSink<number>): Producer => {
        sink.start();
        for (let i = 0; i < 4; i++) sink.append(i);
        throw new Error("no");
      },
    });
    const host = openHost({ logger: { warn: () => {} } });
    const other = await host.get("user");
    const cause = new Error("no");
    await expect(other.createRunner(definition, undefined)).rejects.toMatchObject({
      code: "RUNNER_START_FAILED",
      cause,
    });
    expect(host.stats()).toMatchObject({ runners: 0, items: 0 });
    await session.terminate();
  });

  test("because its start never ends does not keep a creation, or the end of its session, or its abort", async () => {
    const produce = () => ({ start: () => new Promise(() => {}), stop: () => {}, closed });
    const first = await create(produce);
    const runner = await first.creating;
    await first.session.terminate();
    expect(await runner.state()).toMatchObject({ phase: "aborted", abortReason: "session-ended" });
    const controller = new AbortController();
    const second = await create(produce, { signal: controller.signal });
    await turns();
    controller.abort();
    expect((await second.creating).status).toBe("aborted");
  });

  test("because its start throws is a failed start; the next read tries again", async () => {
    let attempts = 0;
    const { creating } = await create(
      () => ({
        ...{ stop: () => {}, closed },
        start: () => {
          attempts++;
          throw new Error("not yet");
        },
      }),
      { start: "on-first-read" },
    );
    const runner = await creating;
    for (const n of [1, 2]) {
      await expect(runner.getRequired()).rejects.toMatchObject({ code: "RUNNER_START_FAILED" });
      expect(attempts).toBe(n);
    }
  });

  test("because its stop throws and its closed rejects has these in its clean-up, and the abort stands", async () => {
    const ended = createDeferred();
    const { creating } = await create(() => ({
      start: async () => {},
      stop: () => {
        ended.reject(new Error("closed"));
        throw new Error("stop");
      },
      closed: ended.promise,
    }));
    const runner = await creating;
    expect(await runner.abort()).toBe("aborted");
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [new Error("stop"), new Error("closed")] });
  });
});
