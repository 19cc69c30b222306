/** Code of the application that does what it should not: it is told of, neither hidden nor shouted, and breaks nothing of ours. */
import { describe, expect, test, vi } from "vitest";
import { createDeferred, type Deferred } from "../src/base/async.js";
import type { Runner } from "../src/runner/runner.js";
import type { ActiveSession } from "../src/session/active-session.js";
import { createActiveSessions } from "../src/session/host.js";
import type { RunnerOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { isPending, openHost, promised, turns } from "./support/control.js";

/** Everything that would be written to stderr, be it by a warning of the process or directly. */
function catchStderr(): string[] {
  const written: string[] = [];
  const onWarning = (warning: Error & { readonly detail?: string }) => {
    written.push(`${warning.name}: ${warning.message}\n${warning.detail ?? ""}`);
  };
  process.on("warning", onWarning);
  const write = vi.spyOn(process.stderr, "write").mockImplementation((text) => written.push(String(text)) > 0);
  const log = vi.spyOn(console, "error").mockImplementation((...all) => void written.push(all.map(String).join(" ")));
  atEnd(() => {
    process.off("warning", onWarning);
    write.mockRestore();
    log.mockRestore();
  });
  return written;
}

/** Rejections that nothing handles; here the test takes them. */
function catchUnhandled(): unknown[] {
  const caught: unknown[] = [];
  const usual = process.rawListeners("unhandledRejection") as NodeJS.UnhandledRejectionListener[];
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", (error) => caught.push(error));
  atEnd(() => {
    process.removeAllListeners("unhandledRejection");
    for (const listener of usual) process.on("unhandledRejection", listener);
  });
  return caught;
}

// First of all: what it counts may be of the process.
test("a thousand failures that no logger is told of write ten stacks a minute at most, and their number", async () => {
  vi.useFakeTimers();
  const written = catchStderr();
  const host = openHost();
  const session = await host.get("ann");
  const fail = async (n: number) => {
    const runner = await session.createProcessRunner(async () => {
      throw new Error(`failure number ${n}`);
    });
    await runner.cleanup;
    await runner.getRequired();
    await runner[Symbol.asyncDispose]();
  };
  const stacks = () => written.flatMap((text) => text.match(/failure number \d+\n\s+at /g) ?? []).length;
  for (let n = 1; n <= 1000; n++) await fail(n);
  await turns(3);
  expect(stacks()).toBeGreaterThan(0);
  expect(stacks()).toBeLessThanOrEqual(10);
  const untold = 1000 - stacks();
  await vi.advanceTimersByTimeAsync(61_000);
  await fail(1001); // the next minute may tell of the one before only when there is something to tell
  await turns(3);
  expect(stacks()).toBeLessThanOrEqual(11);
  expect(written.join("\n")).toMatch(new RegExp(`\\b(${untold}|1000|1,000)\\b`));
  expect(written.length).toBeLessThan(20);
  await vi.advanceTimersByTimeAsync(120_000);
});

describe("what stopped work throws when its clean-up time is over is still told", () => {
  const cleanupTimeout = 1000;
  const late = new Error("too late");

  /** A session whose logger keeps what it is told, and a gate in front of what the work throws. */
  async function open() {
    vi.useFakeTimers();
    const told: unknown[] = [];
    const note = (details: object) => void told.push(details);
    const host = openHost({ cleanupTimeout, logger: { warn: note, error: note } });
    const session = await host.get("ann");
    return { host, session, told, gate: createDeferred() };
  }

  type Work = (session: ActiveSession, gate: Deferred<void>) => Promise<Runner>;

  const works: [what: string, start: Work][] = [
    [
      "by the body of a process",
      (session, gate) =>
        session.createProcessRunner(async () => {
          await gate.promise;
          throw late;
        }),
    ],
    [
      "by a step of a process that is a generator",
      (session, gate) =>
        session.createProcessRunner(async function* () {
          yield 1;
          await gate.promise;
          throw late;
        }),
    ],
    [
      "by the clean-up of a process that is a generator",
      (session, gate) =>
        session.createProcessRunner(async function* ({ signal }) {
          try {
            yield 1;
            await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
          } finally {
            await gate.promise;
            // biome-ignore lint/correctness/noUnsafeFinally: that is what this is about
            throw late;
          }
        }),
    ],
    [
      "by a step of a sequence that is a generator",
      (session, gate) =>
        session.createSequenceRunner(async function* () {
          yield 1;
          await gate.promise;
          throw late;
        }),
    ],
    [
      "by the clean-up of a sequence that is a generator",
      (session, gate) =>
        session.createSequenceRunner(async function* ({ signal }) {
          try {
            yield 1;
            await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
          } finally {
            await gate.promise;
            // biome-ignore lint/correctness/noUnsafeFinally: that is what this is about
            throw late;
          }
        }),
    ],
    [
      "by return() of an iterator",
      (session, gate) =>
        session.createSequenceRunner({
          [Symbol.asyncIterator]: () => ({
            next: () => new Promise<IteratorResult<number>>(() => {}),
            return: async () => {
              await gate.promise;
              throw late;
            },
          }),
        }),
    ],
  ];

  /** Whether a logger was told of the error, wherever in the details. */
  function hasHeard(told: readonly unknown[]): boolean {
    return told.some((details) => {
      const { error, errors = [] } = details as { error?: unknown; errors?: unknown[] };
      return [error, ...errors].includes(late);
    });
  }

  test.each(works)("%s", async (_what, start) => {
    const { session, told, gate } = await open();
    const runner = await start(session, gate);
    await turns(3); // it has come to where it waits
    await runner.abort();
    await vi.advanceTimersByTimeAsync(cleanupTimeout);
    await runner.cleanup;
    expect(told).toContainEqual(expect.objectContaining({ timedOut: true }));
    expect(hasHeard(told)).toBe(false);
    gate.resolve();
    await turns(5);
    expect(hasHeard(told)).toBe(true);
  });
});

describe("a signal whose removeEventListener throws leaves nothing behind", () => {
  /** Such a signal, as far as a runner looks at it. */
  function faultySignal(): AbortSignal {
    const removeEventListener = () => {
      throw new Error("There is no such listener");
    };
    return { aborted: false, reason: undefined, addEventListener() {}, removeEventListener } as never;
  }

  type Make = (session: ActiveSession, options: RunnerOptions) => Promise<Runner>;
  const makers: [what: string, make: Make][] = [
    ["a sequence that comes to its end", (session, options) => session.createSequenceRunner([1, 2], options)],
    ["a process that comes to its end", (session, options) => session.createProcessRunner(async () => 1, options)],
    [
      "a process that fails",
      (session, options) => session.createProcessRunner(() => Promise.reject(new Error("failed")), options),
    ],
    [
      "a sequence that goes on",
      (session, options) => session.createSequenceRunner(new ReadableStream<number>(), options),
    ],
  ];
  const ends: [how: string, end: (runner: Runner, session: ActiveSession) => Promise<unknown>][] = [
    ["is removed", (runner) => runner[Symbol.asyncDispose]()],
    ["is aborted and removed", (runner) => runner.abort().then(() => runner[Symbol.asyncDispose]())],
    ["ends with its session", (_runner, session) => session.terminate()],
  ];

  describe.each(makers)("of %s", (_what, make) => {
    test.each(ends)("that %s", async (_how, end) => {
      const unhandled = catchUnhandled();
      const host = createActiveSessions({ logger: { warn: () => {} } });
      atEnd(() => host.close({ timeout: 1 }));
      const session = await host.get("ann");
      const thrown: unknown[] = [];
      const attempt = (act: () => Promise<unknown>) => promised(act).catch((error) => thrown.push(error));
      let runner: Runner | undefined;
      await attempt(async () => {
        runner = await make(session, { signal: faultySignal() });
        await turns(3);
        if (runner.isBackgroundCompleted) await runner.getAvailable();
      });
      const ending = attempt(async () => runner && end(runner, session));
      const isEnding = await isPending(ending);
      expect(unhandled).toEqual([]);
      expect(thrown).toEqual([]);
      expect(isEnding).toBe(false);
      expect(host.stats().runners).toBe(0);
      expect(runner!.signal.aborted).toBe(true);
    });
  });
});
