import { createDeferred } from "../base/async.js";
import { type CleanupSummary, nothingToReport } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { Producer, ProducerEvents, RunnerContext, StartedProducer } from "./producer.js";
import { startFailed } from "./start-failed.js";

/** A factory of a custom producer. A class, which distinguishes it from a source function or a process body. */
export class Produced<Sink> {
  /**
   * @param produce receives the log to fill; must return a {@link Producer}, which is checked at run time
   */
  constructor(readonly produce: (sink: Sink) => unknown) {}
}

/** True for a factory of a custom producer, false for a source or a body. */
export function isProduced<Source, Sink>(value: Source | Produced<Sink>): value is Produced<Sink> {
  return value instanceof Produced;
}

/**
 * Adapts a producer written by the application, and keeps its mistakes away from the runner:
 *
 * - An error of `start` is a failed start, which may be tried again; where it may not, a late one has failed the work. A `start` that returns has started, even if it never called
 *   `start` of its log.
 * - Errors of `stop`, of a `start` that is still pending when `stop` is called, and of `closed` are errors of the clean-up.
 * - Log calls after `stop` have no effect: the log has ended by then.
 */
export class CustomProducer<Sink extends CustomSink> implements StartedProducer {
  /** Never rejects: a rejection of the application's `closed` becomes an error of the summary. */
  readonly closed: Promise<CleanupSummary>;
  /** The log, which has to know that the work has started, or could not be. */
  readonly #sink: Sink;
  readonly #producer: Producer;
  /** Receives errors after the stop. */
  readonly #events: ProducerEvents;
  /** Resolves at `stop`, so that a pending `start` does not hold up its caller. */
  readonly #stopping = createDeferred();
  /** Distinguishes a failed start from a late error. */
  #isStopped = false;

  /**
   * Calls `produce` at once.
   * @throws `RUNNER_START_FAILED` if `produce` throws, `INVALID_SOURCE` if it does not return a producer
   */
  constructor(sink: Sink, { produce }: Produced<Sink>, events: ProducerEvents) {
    this.#sink = sink;
    this.#events = events;
    try {
      this.#producer = checkProducer(produce(sink));
    } catch (cause) {
      throw startFailed(cause);
    }
    this.closed = Promise.resolve(this.#producer.closed).then(
      (summary) => (isSummary(summary) ? summary : nothingToReport),
      (error: unknown) => ({ timedOut: false, errors: [error] }),
    );
  }

  /** Starts the application's producer. @throws (or rejects with) `RUNNER_START_FAILED`, `INVALID_SOURCE` */
  start(context: RunnerContext, once: boolean): Promise<void> {
    let starting: unknown;
    try {
      starting = this.#producer.start(context);
    } catch (cause) {
      throw startFailed(cause);
    }
    if (once) this.#sink.start(); // it runs from here on, however long its start takes
    return Promise.race([this.#started(starting, once), this.#stopping.promise]);
  }

  /** Continues after a stop without being awaited; an error is then a late one, unless it only reports the abort. */
  async #started(starting: unknown, once: boolean): Promise<void> {
    try {
      await starting;
      this.#sink.start(); // idempotent; a producer that never called it would be started again by every read
    } catch (cause) {
      if (this.#isStopped) this.#events.onErrorAfterStop(cause);
      else if (!once) throw startFailed(cause);
      else if (this.#sink.ended) this.#events.onLateError(cause);
      else {
        this.#sink.fail(cause);
        this.#events.onBroken(cause);
      }
    }
  }

  /** Stops the application's producer, once; an error of its `stop` is a late error. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#stopping.resolve();
    try {
      this.#producer.stop();
    } catch (error) {
      this.#events.onLateError(error);
    }
  }
}

/** What of a log is used here. */
interface CustomSink {
  readonly ended: boolean;
  start(): void;
  fail(cause: unknown): void;
}

/** A rough check, enough for merging: `timedOut` is read as a truth value. */
function isSummary(value: unknown): value is CleanupSummary {
  return Array.isArray(Object(value).errors);
}

/**
 * Checks the shape of a producer: a JavaScript caller is not held to the types.
 * @throws `INVALID_SOURCE`
 */
function checkProducer(value: unknown): Producer {
  const producer: Producer = Object(value);
  const { start, stop, closed } = producer;
  if (typeof start === "function" && typeof stop === "function" && typeof Object(closed).then === "function") {
    return producer;
  }
  throw new ActiveSessionError(
    "INVALID_SOURCE",
    `Cannot create a runner: produce must return a producer (start, stop, closed), received ${describe(value)}`,
  );
}
