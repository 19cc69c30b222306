/** A runner whose results are an ordered sequence of items, and the ways to walk along it. */
import type { Resource } from "../base/dispose.js";
import { LazySignal } from "../base/lazy-signal.js";
import type { SequenceResultLog } from "../log/result-log.js";
import { SequenceLog, type SequenceLogOptions, type SequenceSink } from "../log/sequence-log.js";
import { CustomProducer, Produced } from "./custom-producer.js";
import type { RunnerDefinition } from "./definition.js";
import { abortError, Runner, type RunnerOwner, type RunnerParts } from "./runner.js";
import { SequenceProducer } from "./sequence-producer.js";
import type { SequenceSource } from "./source.js";

/** What every runner is made with, resolved. */
export interface RunnerSettings {
  readonly number: number;
  readonly defaultAdvance: number;
  readonly holds: readonly Resource[];
  readonly data: unknown;
  readonly definition?: RunnerDefinition;
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
  readonly #log: SequenceResultLog<T>;

  /** @internal */
  constructor(parts: RunnerParts<T[]> & { readonly log: SequenceResultLog<T> }, aheadLimit: number) {
    super(parts);
    this.aheadLimit = aheadLimit;
    this.#log = parts.log;
  }

  /** Iterates from the current position on. A failed runner throws its error after the last item, an aborted one
   * `RUNNER_ABORTED`; `READ_CONFLICT` if another read at the default position is pending. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined, undefined> {
    const left = new LazySignal();
    const done = { done: true, value: undefined } as const;
    return {
      next: async () => {
        const step = await this.#pull(left);
        return step ? { done: false, value: step.item } : done;
      },
      return: async () => {
        left.abort(undefined);
        return done;
      },
    };
  }

  /** The rest of the sequence as a web stream, with the rules of iteration. Cancelling it does not abort the runner. */
  toReadableStream(): ReadableStream<T> {
    const left = new LazySignal();
    return new ReadableStream<T>(
      {
        pull: async (controller) => {
          const step = await this.#pull(left);
          if (!step) {
            if (!left.aborted) controller.close();
          } else if (left.aborted) this.#log.giveBack(step.start);
          else controller.enqueue(step.item);
        },
        cancel: () => left.abort(undefined),
      },
      { highWaterMark: 0 },
    );
  }

  /** The next item and its position; nothing at the end, and nothing is lost when the walk is left meanwhile. */
  async #pull(left: LazySignal): Promise<{ item: T; start: number } | undefined> {
    if (left.aborted) return undefined;
    try {
      const { result, position, status, error } = await this.getRequired({ advance: 1, signal: left.signal });
      const start = position - 1;
      if (result.length > 0 && !left.aborted) return { item: result[0] as T, start };
      if (result.length > 0)
        this.#log.giveBack(start); // it was on its way when the walk was left
      else if (status === "failed" && error) throw error;
      else if (status === "aborted") throw abortError(this.abortReason);
    } catch (error) {
      if (!left.aborted) throw error; // a pull that waited when the walk was left has taken nothing
    }
    return undefined;
  }
}

/** Makes a sequence runner that is not started yet. Throws `RUNNER_START_FAILED` for a producer that cannot be made. */
export function createSequence<T>(
  owner: RunnerOwner,
  source: SequenceSource<T> | Produced<SequenceSink<T>>,
  settings: RunnerSettings & SequenceLogOptions,
): SequenceRunner<T> {
  let runner: SequenceRunner<T> | undefined;
  const events = { onStarted: () => runner?.onStarted(), onFinal: () => runner?.onFinal() };
  const log = new SequenceLog<T>(settings, events, owner.tally);
  try {
    const producer =
      source instanceof Produced
        ? new CustomProducer(() => source.produce(log))
        : new SequenceProducer(log, source, owner.cleanupTimeout);
    runner = new SequenceRunner<T>({ owner, log, producer, ...settings }, settings.aheadLimit);
    return runner;
  } catch (error) {
    log.abort(); // whoever was to fill it may have begun
    log.discard();
    throw error;
  }
}
