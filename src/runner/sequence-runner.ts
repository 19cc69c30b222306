/** A runner whose results are an ordered sequence of items, and the ways to walk along it. */
import type { Resource } from "../base/dispose.js";
import { LazySignal } from "../base/lazy-signal.js";
import { SequenceLog, type SequenceLogOptions } from "../log/sequence-log.js";
import { abortError, Runner, type RunnerOwner } from "./runner.js";
import { SequenceProducer } from "./sequence-producer.js";
import type { SequenceSource } from "./source.js";

/** What every runner is made with, resolved. */
export interface RunnerSettings {
  readonly number: number;
  readonly defaultAdvance: number;
  readonly holds: readonly Resource[];
  readonly data: unknown;
}

/**
 * A runner whose results are an ordered sequence of items.
 *
 * Iterating it hands out one item at a time, without reading ahead; the next pull acknowledges the item before. Leaving the
 * loop neither aborts the runner nor loses anything.
 */
export class SequenceRunner<T = unknown> extends Runner<T[]> implements AsyncIterable<T> {
  readonly kind = "sequence";
  /** The producer pauses when so many items are not acknowledged. */
  readonly aheadLimit: number;

  /** @internal */
  constructor(parts: ConstructorParameters<typeof Runner<T[]>>[0], aheadLimit: number) {
    super(parts);
    this.aheadLimit = aheadLimit;
  }

  /** Iterates from the current position on. A failed runner throws its error after the last item, an aborted one
   * `RUNNER_ABORTED`; `READ_CONFLICT` if another read at the default position is pending. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined, undefined> {
    const left = new LazySignal();
    const done = { done: true, value: undefined } as const;
    return {
      next: async () => {
        if (left.aborted) return done;
        try {
          return await this.#next(left.signal);
        } catch (error) {
          if (left.aborted) return done; // a pull that waited when the loop was left has taken nothing
          throw error;
        }
      },
      return: async () => {
        left.abort(undefined);
        return done;
      },
    };
  }

  async #next(signal: AbortSignal): Promise<IteratorResult<T, undefined>> {
    const { result, status, error } = await this.getRequired({ advance: 1, signal });
    if (result.length > 0) return { done: false, value: result[0] as T };
    if (status === "failed" && error) throw error;
    if (status === "aborted") throw abortError(this.abortReason);
    return { done: true, value: undefined };
  }

  /** The rest of the sequence as a web stream, with the rules of iteration. Cancelling it does not abort the runner. */
  toReadableStream(): ReadableStream<T> {
    const iterator = this[Symbol.asyncIterator]();
    let isCancelled = false;
    return new ReadableStream<T>(
      {
        async pull(controller) {
          const step = await iterator.next();
          if (isCancelled) return;
          if (step.done) controller.close();
          else controller.enqueue(step.value);
        },
        async cancel() {
          isCancelled = true;
          await iterator.return?.();
        },
      },
      { highWaterMark: 0 },
    );
  }
}

/** Makes a sequence runner that is not started yet. */
export function createSequence<T>(
  owner: RunnerOwner,
  source: SequenceSource<T>,
  settings: RunnerSettings & SequenceLogOptions,
): SequenceRunner<T> {
  const log = new SequenceLog<T>(settings, { onFinal: () => runner.onFinal() });
  const producer = new SequenceProducer(log, source);
  const runner = new SequenceRunner<T>({ owner, log, producer, ...settings }, settings.aheadLimit);
  return runner;
}
