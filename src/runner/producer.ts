/** The contract between a runner and its producer. */
import type { CleanupSummary } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { RunnerId } from "./types.js";

/** The context that the work receives when it starts. `Session` and `Services` are the types of its owner. */
export interface RunnerContext<Session = unknown, Services = unknown> {
  /** Aborts when the work must stop: the runner was aborted, or its session has ended. */
  readonly signal: AbortSignal;
  /** The session that the runner belongs to. */
  readonly session: Session;
  /** The session's services; created at first use. */
  readonly services: Services;
  /** Identifies the runner; for logs. */
  readonly id: RunnerId;
}

/**
 * Checks an estimate of how much there will be in all.
 * @param action for the message: "report"
 * @throws `INVALID_ARGUMENT` unless it is `undefined` or a finite number of at least 0
 */
export function checkEstimate(action: string, what: string, estimate: unknown): void {
  if (estimate === undefined) return;
  if (typeof estimate === "number" && estimate >= 0 && estimate < Number.POSITIVE_INFINITY) return;
  throw new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot ${action}: ${what} must be a number of at least 0, received ${describe(estimate)}`,
  );
}

/** Events of a producer that do not go through its log. */
export interface ProducerEvents {
  /** The work has thrown after it was stopped, however late that is. An error that only reports the stop is ignored. */
  onErrorAfterStop(error: unknown): void;
  /** The start of the work has failed after the creation: the work has failed, and must be stopped. */
  onBroken(cause: unknown): void;
  /** A clean-up step of the work has failed after its time was up. */
  onLateError(error: unknown): void;
}

/** A producer of this library: may start in the step of the call, which saves several promises for each runner. */
export interface StartedProducer extends Omit<Producer, "start"> {
  /**
   * As {@link Producer.start}; `undefined` if the work has been started in this step. May also throw.
   * @param once there will be no other try: a failure after this step is that of the work, and the promise does not reject
   */
  start(context: RunnerContext, once: boolean): Promise<void> | undefined;
}

/**
 * Fills a log, which it receives at its creation.
 *
 *     idle ──start──▶ running ──the work ends──▶ closing ──▶ closed
 *       └──────────────stop──────┴───────────────┘
 *
 * A failed `start` leaves the producer idle and ready for another try. A stopped producer never touches its log again.
 *
 * @example
 * class Ticker implements Producer {
 *   readonly closed: Promise<CleanupSummary>;
 *   #timer: NodeJS.Timeout | undefined;
 *   #close!: (summary: CleanupSummary) => void;
 *
 *   constructor(readonly sink: SequenceSink<number>) {
 *     this.closed = new Promise((resolve) => {
 *       this.#close = resolve;
 *     });
 *   }
 *
 *   async start() {
 *     this.sink.start();
 *     this.#timer = setInterval(() => {
 *       if (!this.sink.isFull) this.sink.append(Date.now());
 *     }, 1000);
 *   }
 *
 *   stop() {
 *     clearInterval(this.#timer);
 *     this.#close({ timedOut: false, errors: [] });
 *   }
 * }
 */
export interface Producer {
  /**
   * Starts the work. Resolves when it runs in the background, or was stopped meanwhile.
   * @throws any error. Of a runner that starts with its first read the read fails with `RUNNER_START_FAILED`, and the next start calls this
   *   again; of any other one the work has failed, and `stop` is called
   */
  start(context: RunnerContext): Promise<void>;
  /** Ends the work and closes its resources, started or not. Idempotent. Must not throw. */
  stop(): void;
  /** Settles when the work has ended and its resources are closed, with how the closing went. Must not reject. */
  readonly closed: Promise<CleanupSummary>;
}
