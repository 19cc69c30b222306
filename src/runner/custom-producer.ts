/**
 * A producer that the application has written: held to the contract, so that its mistakes stay its own. What `start` throws is a
 * failed start, which may be tried again; one that returns has started, whether or not the log was told. What `stop` throws, or
 * `start` after it, and a `closed` that rejects, are errors of the clean-up; what is told to the log after `stop` is not heard.
 */
import { createDeferred, isAbort } from "../base/async.js";
import type { CleanupSummary } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { Producer, ProducerEvents, RunnerContext } from "./producer.js";
import { startFailed } from "./start-failed.js";

/** How to make a producer of the application's own for a log. */
export class Produced<Sink> {
  constructor(readonly produce: (sink: Sink) => unknown) {}
}

/** See the top of the file. */
export class CustomProducer<Sink extends { start(): void }> implements Producer {
  readonly closed: Promise<CleanupSummary>;
  readonly #sink: Sink;
  readonly #producer: Producer;
  readonly #events: ProducerEvents;
  readonly #stopping = createDeferred();
  #isStopped = false;

  /**
   * @throws `RUNNER_START_FAILED` if what `produce` gives is no producer, or it throws
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
      (summary) => (isSummary(summary) ? summary : nothing),
      (error: unknown) => ({ timedOut: false, errors: [error] }),
    );
  }

  async start(context: RunnerContext): Promise<void> {
    await Promise.race([this.#start(context), this.#stopping.promise]);
  }

  /** Goes on after a stop, for which nobody waits. */
  async #start(context: RunnerContext): Promise<void> {
    try {
      await this.#producer.start(context);
      this.#sink.start(); // for one that has not said so, which every read would start again
    } catch (cause) {
      if (!this.#isStopped) throw startFailed(cause);
      if (!isAbort(cause, context.signal)) this.#events.onLateError(cause);
    }
  }

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

const nothing: CleanupSummary = { timedOut: false, errors: [] };

function isSummary(value: unknown): value is CleanupSummary {
  return Array.isArray((Object(value) as Partial<CleanupSummary>).errors);
}

function checkProducer(value: unknown): Producer {
  const { start, stop, closed } = Object(value) as Partial<Producer>;
  if (typeof start === "function" && typeof stop === "function" && typeof Object(closed).then === "function") {
    return value as Producer;
  }
  throw new ActiveSessionError(
    "INVALID_SOURCE",
    `Cannot create a runner: produce must return a producer (start, stop, closed), received ${describe(value)}`,
  );
}
