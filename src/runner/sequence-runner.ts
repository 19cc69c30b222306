import { isPending, type Slice } from "../log/result-log.js";
import type { SequenceLogOptions, SequenceSink } from "../log/sequence-sink.js";
import { CustomProducer, isProduced, type Produced } from "./custom-producer.js";
import { LazySignal } from "./lazy-signal.js";
import type { Runner } from "./runner.js";
import { RunnerCore } from "./runner-core.js";
import { RunnerLink, type RunnerParts } from "./runner-link.js";
import type { RunnerOwner, RunnerSettings } from "./runner-owner.js";
import { abortError } from "./runner-state.js";
import { SequenceProducer } from "./sequence-producer.js";
import type { SequenceSource } from "./source.js";

/**
 * A runner whose results are an ordered sequence of items.
 *
 * Iteration hands out one item at a time, without reading ahead; the next pull acknowledges the item before. Leaving the loop neither
 * aborts the runner nor loses an item.
 *
 * @example
 * const runner = await session.createSequenceRunner(["a", "b", "c"]);
 * const { result } = await runner.getRequired({ advance: 1 }); // ["a"]
 * for await (const item of runner) console.log(item); // "b", then "c"
 */
export interface SequenceRunner<T = unknown> extends Runner<T[]>, AsyncIterable<T> {
  readonly kind: "sequence";
  /** The producer pauses at this number of unacknowledged items. A waiting read may raise the bound while it waits. */
  readonly aheadLimit: number;

  /**
   * Iterates from the current position. Each pull is a read at the default position, and starts the runner if need be.
   * @throws (from `next`) the runner's error after the last item if it failed, `RUNNER_ABORTED` if it was aborted, `READ_CONFLICT`
   *   while another read at the default position is pending, and the errors of `getRequired`
   */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined, undefined>;

  /**
   * Returns the rest of the sequence as a web stream. It pulls and fails as iteration does. Cancelling it does not abort the runner.
   *
   * @example
   * return new Response(runner.toReadableStream().pipeThrough(new TextEncoderStream())); // for a sequence of strings
   */
  toReadableStream(): ReadableStream<T>;
}

/** The sequence runner with the members that applications do not see. */
class SequenceCore<T> extends RunnerCore<T[]> implements SequenceRunner<T> {
  readonly kind = "sequence";
  readonly aheadLimit: number;

  constructor(parts: RunnerParts<T[]>, aheadLimit: number) {
    super(parts);
    this.aheadLimit = aheadLimit;
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined, undefined> {
    const left = new LazySignal();
    const done = { done: true, value: undefined } as const;
    return {
      next: async () => {
        let next: IteratorResult<T, undefined> = done;
        await this.#pull(left, (value) => {
          next = { done: false, value };
        });
        return next;
      },
      return: async () => {
        left.abort(undefined);
        return done;
      },
    };
  }

  toReadableStream(): ReadableStream<T> {
    const left = new LazySignal();
    return new ReadableStream<T>(
      {
        pull: async (controller) => {
          const isOver = await this.#pull(left, (item) => controller.enqueue(item));
          if (isOver && !left.aborted) controller.close();
        },
        cancel: () => left.abort(undefined),
      },
      { highWaterMark: 0 }, // no read-ahead: an item is handed out only when the consumer asks for one
    );
  }

  /**
   * One pull of an iteration.
   * @param left aborts when the iteration is left
   * @param pass passes an item on, in the step in which it is taken: after an await a stream may be cancelled, and the item lost
   * @returns true if there was no item: at the end, and after the iteration was left
   */
  async #pull(left: LazySignal, pass: (item: T) => void): Promise<boolean> {
    if (left.aborted) return true;
    try {
      const read = this.read(nextItem);
      if (!isPending(read)) return this.#pass(read, pass);
      const off = left.onAbort(() => read.cancel(left.reason));
      try {
        const slice = await read.settled;
        read.take();
        return this.#pass(slice, pass);
      } finally {
        off();
      }
    } catch (error) {
      if (!left.aborted) throw error; // cancelled while waiting: no item was taken
      return true;
    }
  }

  /**
   * Passes the item of a slice on.
   * @returns true if there is none, because the sequence has ended
   * @throws the error of a sequence that failed or was aborted
   */
  #pass({ result, status, error, abortReason, closed }: Slice<T[]>, pass: (item: T) => void): boolean {
    if (closed) this.endSeen();
    if (result.length === 0) {
      if (status === "failed" && error) throw error;
      if (status === "aborted") throw abortError(abortReason);
      return true;
    }
    pass(result[0] as T);
    return false;
  }
}

/** The request of every pull of an iteration. */
const nextItem = { min: 1, max: 1 } as const;

/**
 * The `aheadLimit` of a sequence runner; `undefined` for a process. Checks `kind` and not the class: the runner may come from another
 * copy of the package.
 */
export function aheadLimitOf(runner: Runner): number | undefined {
  return runner.kind === "sequence" ? (runner as Runner & Pick<SequenceRunner, "aheadLimit">).aheadLimit : undefined;
}

/** Resolved options of a sequence runner and its log. */
export interface SequenceSettings extends RunnerSettings, SequenceLogOptions {}

/**
 * Makes a sequence runner that is not started yet.
 * @param source the source, or a factory of a custom producer
 * @throws `RUNNER_START_FAILED` or `INVALID_SOURCE` if a custom producer cannot be made
 */
export function createSequence<T>(
  owner: RunnerOwner,
  source: SequenceSource<T> | Produced<SequenceSink<T>>,
  settings: SequenceSettings,
): RunnerCore<T[]> & SequenceRunner<T> {
  const link = new RunnerLink();
  const { log, sink } = owner.logs.sequence<T>(settings, link, owner.tally);
  try {
    const producer = isProduced(source)
      ? new CustomProducer(sink, source, link)
      : new SequenceProducer(sink, source, owner.cleanupTimeout, link);
    return new SequenceCore<T>({ owner, log, producer, settings, link }, settings.aheadLimit);
  } catch (error) {
    void log.abort("stopped"); // a failed factory may have appended items already, or go on to do so
    log.discard();
    throw error;
  }
}
