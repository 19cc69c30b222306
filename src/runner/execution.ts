import { LazyPromise, settleWithin } from "../base/async.js";
import { type CleanupSummary, mergeSummaries, type Resource, runSteps, toSteps } from "../base/dispose.js";
import type { PendingRead } from "../log/result-log.js";
import { LazySignal } from "./lazy-signal.js";
import type { RunnerContext, StartedProducer } from "./producer.js";

/** A read that waits, of whatever items. */
type Cancellable = Pick<PendingRead<unknown>, "cancel">;

/** The runner as its {@link Execution} sees it. */
export interface ExecutionOwner {
  /** Makes the context that the work receives when it starts. Called for every try. */
  makeContext(): RunnerContext;
  /** The work has stopped and its source is closed, however late. Called once. */
  onStopped(): void;
  /** A start has failed; the next one may succeed. */
  onStartFailed(): void;
  /** The work or a clean-up step has failed after the clean-up was over. Called for each error. */
  onFailedLate(error: unknown): void;
  /** The work has ended (or its closing timed out), and the holds are released. Called once. */
  onCleanedUp(summary: CleanupSummary): void;
}

/**
 * The work of a runner: starts it, stops it and cleans up after it.
 *
 *     idle ──start──▶ starting ──▶ running ──▶ closed: the work has ended, its source is closed ──▶ released: the holds, too
 *      ▲ │               │           ▲
 *      │ └─────begin─────│───────────┘
 *      └─────fails───────┘
 *
 * - A failed start rejects the reads that wait for it, and the next start tries again. A stop during a start wins.
 * - After `stop`, closing may take `cleanupTimeout`. Then it counts as timed out and is no longer awaited.
 * - The holds are released once, after the work is closed, even if its results have not been read.
 * - Errors that the work throws after it was stopped belong to the clean-up's summary; those after the clean-up are reported one by
 *   one.
 */
export class Execution {
  /** Resolves when the work is closed, or its closing has timed out. */
  readonly closed = new LazyPromise<CleanupSummary>();
  /** Resolves when the holds are released too, with the summary of both. */
  readonly released = new LazyPromise<CleanupSummary>();
  /** The signal in the work's context. */
  readonly signal = new LazySignal();
  readonly #owner: ExecutionOwner;
  readonly #producer: StartedProducer;
  readonly #holds: readonly Resource[];
  readonly #cleanupTimeout: number;
  /** The pending start, shared by all callers. */
  #starting: Promise<void> | undefined;
  /** Reads to reject if the pending start fails. */
  #waitingForStart: Cancellable[] | undefined;
  /** True once the work has been started, or stopped. */
  #isBegun = false;
  /** Errors since the stop, until the work is closed. */
  #lateErrors: unknown[] | undefined;
  /** Set by the producer's own `closed` only. */
  #isClosed = false;

  /**
   * @param holds resources to release after the work, in reverse order
   * @param cleanupTimeout ms for each clean-up step; `Infinity`: no limit
   */
  constructor(home: ExecutionOwner, producer: StartedProducer, holds: readonly Resource[], cleanupTimeout: number) {
    this.#owner = home;
    this.#producer = producer;
    this.#holds = holds;
    this.#cleanupTimeout = cleanupTimeout;
    void producer.closed.then((summary) => {
      this.#isClosed = true;
      this.#owner.onStopped();
      this.#close(summary);
    });
  }

  /** True until the work has been started or stopped, also while a start is pending. */
  get needsStart(): boolean {
    return this.#starting !== undefined || !this.#isBegun;
  }

  /** True while a start is pending. */
  get isStarting(): boolean {
    return this.#starting !== undefined;
  }

  /** True if the work has ended and its source is closed. Unlike {@link closed}, not set by a time-out. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /**
   * Starts the work. Calls share a pending start; after a failure the next call tries again.
   * @returns `undefined` if it has been started in this step
   * @throws (rejects with) `RUNNER_START_FAILED`, `INVALID_SOURCE`
   */
  start(): Promise<void> | undefined {
    if (this.#starting !== undefined) return this.#starting;
    let starting: Promise<void> | undefined;
    try {
      starting = this.#producer.start(this.#owner.makeContext(), false);
    } catch (error) {
      starting = Promise.reject(error);
    }
    if (starting !== undefined) this.#starting = this.#endOf(starting);
    else this.#isBegun = true;
    return this.#starting;
  }

  /**
   * Starts the work, without another try: where that takes its time, a failure is that of the work.
   * @throws `RUNNER_START_FAILED`, `INVALID_SOURCE` for what fails in this step
   */
  begin(): void {
    void this.#producer.start(this.#owner.makeContext(), true);
    this.#isBegun = true;
  }

  /** Waits for one try to start. */
  async #endOf(starting: Promise<void>): Promise<void> {
    try {
      await starting;
      this.#isBegun = true;
      this.#endStart();
    } catch (error) {
      for (const read of this.#endStart()) read.cancel(error);
      this.#owner.onStartFailed();
      throw error;
    }
  }

  /** Marks the start as over, before any read is rejected: its reader may try again at once. @returns the waiting reads */
  #endStart(): readonly Cancellable[] {
    const waiting = this.#waitingForStart;
    this.#starting = undefined;
    this.#waitingForStart = undefined;
    return waiting ?? [];
  }

  /** Makes a waiting read depend on the pending start: a failure cancels it. No effect while no start is pending. */
  readWaits(read: Cancellable): void {
    if (!this.#starting) return;
    this.#waitingForStart ??= [];
    this.#waitingForStart.push(read);
  }

  /** Stops the work and limits the time for its closing. Idempotent. */
  stop(): void {
    this.#isBegun = true;
    this.#producer.stop();
    this.limitCleanup();
  }

  /** Limits the time for closing to `cleanupTimeout` from now on. */
  limitCleanup(): void {
    if (this.closed.isResolved) return;
    void settleWithin(this.#producer.closed, this.#cleanupTimeout).then(({ timedOut }) => {
      if (timedOut) this.#close({ timedOut, errors: [] });
    });
  }

  /** Collects an error that the work threw after the stop, or reports it if the work is closed already. */
  onLateError(error: unknown): void {
    if (this.closed.isResolved) {
      this.#owner.onFailedLate(error);
      return;
    }
    this.#lateErrors ??= [];
    this.#lateErrors.push(error);
  }

  /** Called by the closing and by its time-out. Only the first call counts; errors of a later one are reported one by one. */
  #close(closing: CleanupSummary): void {
    if (this.closed.isResolved) {
      for (const error of closing.errors) this.#owner.onFailedLate(error);
      return;
    }
    const late = this.#lateErrors;
    const summary = late ? mergeSummaries([{ timedOut: false, errors: late }, closing]) : closing;
    this.closed.resolve(summary);
    // Synchronous where it can be: without holds there is nothing to await.
    const releasing = runSteps(toSteps(this.#holds), this.#cleanupTimeout, (error) => this.#owner.onFailedLate(error));
    if (releasing instanceof Promise) void releasing.then((ofHolds) => this.#release(summary, ofHolds));
    else this.#release(summary, releasing);
  }

  /** The last step: reports the summary before anything that awaits {@link released} continues. */
  #release(ofWork: CleanupSummary, ofHolds: CleanupSummary): void {
    const summary = mergeSummaries([ofWork, ofHolds]);
    this.#owner.onCleanedUp(summary);
    this.released.resolve(summary);
  }
}
