/** A runner whose results are an ordered sequence of items, and the ways to walk along it. */

import type { ReadRequest } from "../log/result-log.js";
import { SequenceLog, type SequenceLogOptions, type SequenceSink } from "../log/sequence-log.js";
import { CustomProducer, Produced } from "./custom-producer.js";
import { LazySignal } from "./lazy-signal.js";
import { abortError, Runner, RunnerLink, type RunnerOwner, type RunnerParts, type RunnerSettings } from "./runner.js";
import { SequenceProducer } from "./sequence-producer.js";
import type { SequenceSource } from "./source.js";

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
  constructor(parts: RunnerParts<T[]>, aheadLimit: number) {
    super(parts);
    this.aheadLimit = aheadLimit;
  }

  /** Iterates from the current position on. A failed runner throws its error after the last item, an aborted one
   * `RUNNER_ABORTED`; `READ_CONFLICT` if another read at the default position is pending. */
  [Symbol.asyncIterator](): AsyncIterator<T, undefined, undefined> {
    const left = new LazySignal();
    const request = nextItem(left);
    const done = { done: true, value: undefined } as const;
    return {
      next: async () => {
        const items = await this.#pull(left, request);
        return items ? { done: false, value: items[0] as T } : done;
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
    let controller!: ReadableStreamDefaultController<T>;
    // Not when the read is heard of: the stream may be cancelled by then, and somebody else have read on.
    const request = nextItem(left, ({ result }) => {
      for (const item of result as T[]) controller.enqueue(item);
    });
    return new ReadableStream<T>(
      {
        start: (given) => {
          controller = given;
        },
        pull: async () => {
          const items = await this.#pull(left, request);
          if (!items && !left.aborted) controller.close();
        },
        cancel: () => left.abort(undefined),
      },
      { highWaterMark: 0 },
    );
  }

  /** What the log has handed out goes to whoever has pulled, also if the walk is left meanwhile; nothing at the end. */
  async #pull(left: LazySignal, request: ReadRequest): Promise<T[] | undefined> {
    if (left.aborted) return undefined;
    try {
      const { result, status, error } = await this.read(request);
      if (result.length > 0) return result;
      if (status === "failed" && error) throw error;
      if (status === "aborted") throw abortError(this.abortReason);
    } catch (error) {
      if (!left.aborted) throw error; // a pull that waited when the walk was left has taken nothing
    }
    return undefined;
  }
}

/** What every pull of a walk asks for: an item, as long as the walk has not been left when the log is about to hand it out. */
function nextItem(left: LazySignal, deliver?: ReadRequest["deliver"]): ReadRequest {
  const accept = (items: readonly unknown[]) => {
    if (left.aborted) throw left.signal.reason;
    return items.length;
  };
  return { min: 1, max: 1, signal: left.signal, accept, deliver };
}

/** How far the producer of a sequence may run ahead; `undefined` for a process. The runner may be that of another copy of the package. */
export function aheadLimitOf(runner: Runner): number | undefined {
  return runner.kind === "sequence" ? (runner as Runner & Pick<SequenceRunner, "aheadLimit">).aheadLimit : undefined;
}

/** What a sequence runner is made with. */
export interface SequenceSettings extends RunnerSettings, SequenceLogOptions {}

/** Makes a sequence runner that is not started yet. Throws `RUNNER_START_FAILED` for a producer that cannot be made. */
export function createSequence<T>(
  owner: RunnerOwner,
  source: SequenceSource<T> | Produced<SequenceSink<T>>,
  settings: SequenceSettings,
): SequenceRunner<T> {
  const link = new RunnerLink();
  const log = new SequenceLog<T>(settings, link, owner.tally);
  try {
    const producer =
      source instanceof Produced
        ? new CustomProducer(log, source, link)
        : new SequenceProducer(log, source, owner.cleanupTimeout, link);
    return new SequenceRunner<T>({ owner, log, producer, settings, link }, settings.aheadLimit);
  } catch (error) {
    log.abort(); // whoever was to fill it may have begun
    log.discard();
    throw error;
  }
}
