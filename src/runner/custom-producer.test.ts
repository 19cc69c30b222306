import { describe, expect, test, vi } from "vitest";
import { isPending, openHost, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { createDeferred } from "../base/async.js";
import type { CleanupSummary } from "../base/dispose.js";
import type { SequenceSink } from "../log/sequence-sink.js";
import type { ProcessSink } from "../log/value-log.js";
import { defineProcessRunner, defineSequenceRunner } from "../session/define.js";
import type { RunnerOptions } from "../session/options.js";
import type { Producer, RunnerContext } from "./producer.js";
import type { Runner } from "./runner.js";

type Sink = SequenceSink<number> | ProcessSink<number>;
type Open = (produce: (sink: Sink) => Producer, options?: RunnerOptions) => Promise<Opened>;
type Mock = ReturnType<typeof vi.fn>;
type Opened = { readonly runner: Runner; readonly warn: Mock; readonly debug: Mock };

async function openSession() {
  const [warn, debug] = [vi.fn(), vi.fn()];
  const session = await openHost({ cleanupTimeout: 100, logger: { warn, debug } }).get("user");
  return { session, warn, debug };
}

const sequence: Open = async (make, options) => {
  const { session, ...logger } = await openSession();
  const produce = (_input: undefined, sink: SequenceSink<number>) => make(sink);
  const definition = defineSequenceRunner({ name: "by hand", produce });
  return { runner: await session.createRunner(definition, undefined, options), ...logger };
};

const process: Open = async (make, options) => {
  const { session, ...logger } = await openSession();
  const produce = (_input: undefined, sink: ProcessSink<number>) => make(sink);
  const definition = defineProcessRunner({ name: "by hand", produce });
  return { runner: await session.createRunner(definition, undefined, options), ...logger };
};

const clean: CleanupSummary = { timedOut: false, errors: [] };
const closed = Promise.resolve(clean);
const step = (sink: Sink) => ("append" in sink ? sink.append(1) : sink.report(1));

describe.each([
  ["a sequence", sequence],
  ["a process", process],
])("a producer of %s", (_kind, open) => {
  test("whose start throws refuses the creation", async () => {
    const start = () => {
      throw new Error("no");
    };
    const creation = open(() => ({ closed, start, stop: () => {} }));
    await expect(creation).rejects.toMatchObject({ code: "RUNNER_START_FAILED", cause: { message: "no" } });
  });

  test("whose start rejects later has failed the work, is stopped, and gives back its holds in time", async () => {
    vi.useFakeTimers();
    const [released, stop] = [vi.fn(), vi.fn()];
    const started = createDeferred();
    let signal: AbortSignal | undefined;
    const start = (context: RunnerContext) => {
      signal = context.signal;
      return started.promise;
    };
    const { runner } = await open(() => ({ closed: new Promise(() => {}), start, stop }), { holds: [released] });
    const read = runner.getRequired();
    const cause = new Error("no");
    started.reject(cause);
    expect(await read).toMatchObject({ status: "failed", error: { code: "RUNNER_FAILED", cause } });
    expect([stop.mock.calls.length, signal?.reason]).toEqual([1, cause]);
    await vi.advanceTimersByTimeAsync(100);
    expect([await runner.cleanup, released.mock.calls.length]).toEqual([{ timedOut: true, errors: [] }, 1]);
  });

  test("whose start rejects after it has ended its log keeps its result, and is warned of or in the clean-up", async () => {
    const started = createDeferred();
    const over = createDeferred<CleanupSummary>();
    const { runner } = await open((sink) => {
      const start = () => {
        step(sink);
        if ("append" in sink) sink.end();
        else sink.end(1);
        return started.promise;
      };
      return { closed: over.promise, start, stop: () => {} };
    });
    const error = new Error("afterwards");
    started.reject(error);
    await turns();
    over.resolve(clean);
    expect((await runner.getRequired({ advance: 9 })).status).toBe("completed");
    expect((await runner.cleanup).errors).toEqual([error]);
  });

  test("runs from its creation on, however long its start takes", async () => {
    const started = createDeferred();
    const { runner } = await open((sink) => {
      const start = () => {
        step(sink);
        return started.promise;
      };
      return { closed, start, stop: () => {} };
    });
    expect((await runner.state()).phase).toBe("running");
    expect((await runner.getRequired({ advance: 1 })).status).toBe("stalled");
    started.resolve();
  });

  test("whose stop throws and which is never closed has its error beside the time-out", async () => {
    vi.useFakeTimers();
    const error = new Error("stop");
    const { runner, warn } = await open((sink) => ({
      closed: new Promise(() => {}),
      start: async () => sink.start(),
      stop: () => {
        throw error;
      },
    }));
    const disposal = inside(runner).dispose("stopped");
    await turns();
    await vi.advanceTimersByTimeAsync(100);
    expect(await runner.cleanup).toEqual({ timedOut: true, errors: [error] });
    expect(await disposal).toEqual({ timedOut: true, errors: [error] });
    expect(warn).toHaveBeenCalledTimes(1); // for the clean-up
  });

  describe("that does not say that it has started", () => {
    test("is started once, by the first read, and counts as started when its start is over", async () => {
      const start = vi.fn(async () => {});
      let sink!: Sink;
      const { runner } = await open(
        (given) => {
          sink = given;
          return { closed, start, stop: () => {} };
        },
        { start: "on-first-read" },
      );
      const reads = [runner.getRequired({ start: 0, advance: 1 }), runner.getRequired({ start: 0, advance: 1 })];
      await turns();
      expect((await runner.state()).status).toBe("stalled");
      reads.push(runner.getRequired({ start: 0, advance: 1 }));
      await turns();
      step(sink);
      expect((await Promise.all(reads)).map(({ position }) => position)).toEqual([1, 1, 1]);
      expect(start).toHaveBeenCalledTimes(1);
    });

    test("is not started any more when it has ended within its start", async () => {
      const start = vi.fn();
      const { runner } = await open((sink) => ({
        closed,
        start: async () => {
          start();
          step(sink);
          "append" in sink ? sink.end() : sink.end(2);
        },
        stop: () => {},
      }));
      await runner.getRequired({ start: 0, advance: 5 });
      expect([(await runner.state()).status, start.mock.calls.length]).toEqual(["completed", 1]);
    });

    test("is not started by a start that is over after the abort", async () => {
      const started = createDeferred();
      const { runner } = await open(() => ({ closed, start: () => started.promise, stop: () => {} }), {
        signal: AbortSignal.abort(),
      });
      started.resolve();
      await turns();
      expect((await runner.state()).status).toBe("aborted");
    });
  });

  test("that says twice that it has started, or after its end, is told of once", async () => {
    let sink!: Sink;
    const { runner, debug } = await open((given) => {
      sink = given;
      return { closed, start: async () => given.start(), stop: () => {} };
    });
    sink.start();
    await runner.abort();
    sink.start();
    expect(debug.mock.calls.filter(([, message]) => message.includes("started"))).toHaveLength(1);
    expect((await runner.state()).status).toBe("aborted");
  });

  describe("whose start rejects when it has been stopped", () => {
    const openStarting = async (closed: Promise<CleanupSummary>) => {
      const started = createDeferred();
      let context!: RunnerContext;
      const controller = new AbortController();
      const opening = open(
        () => ({
          closed,
          start: (given) => {
            context = given;
            return started.promise;
          },
          stop: () => {},
        }),
        { signal: controller.signal },
      );
      await turns();
      controller.abort();
      return { ...(await opening), started, context };
    };

    test("has its error in the clean-up, as long as that lasts", async () => {
      const closed = createDeferred<CleanupSummary>();
      const { runner, warn, started } = await openStarting(closed.promise);
      await turns(); // it has been stopped, by a log elsewhere too
      started.reject(new Error("late"));
      await turns();
      expect(await isPending(runner.cleanup)).toBe(true);
      closed.resolve({ timedOut: false, errors: [new Error("closing")] });
      expect(await runner.cleanup).toEqual({ timedOut: false, errors: [new Error("late"), new Error("closing")] });
      expect((await runner.state()).status).toBe("aborted");
      await turns();
      expect(warn).toHaveBeenCalledTimes(1); // for the clean-up
    });

    test("is warned of if it is even later", async () => {
      const { runner, warn, started } = await openStarting(closed);
      expect(await runner.cleanup).toEqual(clean);
      const error = new Error("late");
      started.reject(error);
      await turns();
      expect(warn.mock.calls).toEqual([[expect.objectContaining({ error }), expect.stringContaining("stopped")]]);
    });

    test("is not told of if it only says so", async () => {
      for (const how of ["its signal's reason", "an abort"] as const) {
        const { runner, warn, started, context } = await openStarting(closed);
        await turns(); // it has been stopped, by a log elsewhere too
        started.reject(how === "an abort" ? new DOMException("stopped", "AbortError") : context.signal.reason);
        await turns();
        expect(await runner.cleanup).toEqual(clean);
        expect(warn).not.toHaveBeenCalled();
      }
    });
  });
});
