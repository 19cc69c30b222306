/**
 * A producer that the application has written: held to the contract, so that its mistakes stay its own. What `start` throws is a
 * failed start, which may be tried again; what `stop` throws, and a `closed` that rejects, are errors of the clean-up; what is told
 * to the log after `stop` is not heard.
 */
import { createDeferred } from "../base/async.js";
import { type CleanupSummary, mergeSummaries } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { Producer, RunnerContext } from "./producer.js";
import { startFailed } from "./start-failed.js";

/** How to make a producer of the application's own for a log. */
export class Produced<Sink> {
  constructor(readonly produce: (sink: Sink) => unknown) {}
}

/** See the top of the file. */
export class CustomProducer implements Producer {
  readonly closed: Promise<CleanupSummary>;
  readonly #producer: Producer;
  readonly #errors: unknown[] = [];
  readonly #stopping = createDeferred();
  #isStopped = false;

  /** @throws `RUNNER_START_FAILED` if what `make` gives is no producer, or it throws */
  constructor(make: () => unknown) {
    try {
      this.#producer = checkProducer(make());
    } catch (cause) {
      throw startFailed(cause);
    }
    this.closed = Promise.resolve(this.#producer.closed).then(
      (summary) => mergeSummaries([isSummary(summary) ? summary : nothing, { timedOut: false, errors: this.#errors }]),
      (error: unknown) => ({ timedOut: false, errors: [...this.#errors, error] }),
    );
  }

  async start(context: RunnerContext): Promise<void> {
    try {
      await Promise.race([this.#producer.start(context), this.#stopping.promise]);
    } catch (cause) {
      if (!this.#isStopped) throw startFailed(cause);
      this.#errors.push(cause);
    }
  }

  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#stopping.resolve();
    try {
      this.#producer.stop();
    } catch (error) {
      this.#errors.push(error);
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
