/**
 * The work behind a runner: it is started, told to stop, and cleaned up behind.
 *
 *     idle ──start──▶ starting ──▶ running ──▶ closed: the work has ended, its source is closed ──▶ released: the holds, too
 *      ▲                 │
 *      └─────fails───────┘
 *
 * - A start that fails rejects the reads that wait for it, and the next one tries again; a stop during a start wins.
 * - From `stop` on, closing may take `cleanupTimeout`; then it counts as timed out, and what it waits for is left alone.
 * - The holds are released once, after the work is closed, whether or not anybody has read its results.
 * - What the work throws after it was stopped is told with the clean-up; later than that, by itself.
 */
import { LazyPromise, settleWithin } from "../base/async.js";
import { type CleanupSummary, mergeSummaries, type Resource, runSteps, toSteps } from "../base/dispose.js";
import type { Wait } from "../log/result-log.js";
import { LazySignal } from "./lazy-signal.js";
import type { Producer, RunnerContext } from "./producer.js";

/** What the work needs of its runner. */
export interface ExecutionOwner {
  /** What the work is given when it starts. */
  makeContext(): RunnerContext;
  /** The work has failed when its clean-up was over. */
  onFailedLate(error: unknown): void;
  /** The work has ended, its source is closed, the holds are released. */
  onCleanedUp(summary: CleanupSummary): void;
}

/** See the top of the file. */
export class Execution {
  /** Resolves when the work is closed. */
  readonly closed = new LazyPromise<CleanupSummary>();
  /** Resolves when the holds are released, too, with how both went. */
  readonly released = new LazyPromise<CleanupSummary>();
  /** What the work listens to. */
  readonly signal = new LazySignal();
  readonly #owner: ExecutionOwner;
  readonly #producer: Producer;
  readonly #holds: readonly Resource[];
  readonly #cleanupTimeout: number;
  #starting: Promise<void> | undefined;
  /** Reads that a start under way rejects if it fails. */
  #waitingForStart: Wait[] | undefined;
  /** What the work has thrown since it was stopped. */
  #lateErrors: unknown[] | undefined;
  #isClosed = false;

  /** @param cleanupTimeout how long a clean-up step may take, ms */
  constructor(home: ExecutionOwner, producer: Producer, holds: readonly Resource[], cleanupTimeout: number) {
    this.#owner = home;
    this.#producer = producer;
    this.#holds = holds;
    this.#cleanupTimeout = cleanupTimeout;
    void producer.closed.then((summary) => {
      this.#isClosed = true;
      this.#close(summary);
    });
  }

  /** Whether a start is under way. */
  get isStarting(): boolean {
    return this.#starting !== undefined;
  }

  /** Whether the work has ended and its source is closed, in time or not. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Rejects with `RUNNER_START_FAILED` or `INVALID_SOURCE`; the next call tries again then. */
  start(): Promise<void> {
    this.#starting ??= this.#begin();
    return this.#starting;
  }

  async #begin(): Promise<void> {
    try {
      await this.#producer.start(this.#owner.makeContext());
      this.#endStart();
    } catch (error) {
      for (const wait of this.#endStart()) wait.cancel(error);
      throw error;
    }
  }

  /** The start is over; returns who has waited for it. */
  #endStart(): readonly Wait[] {
    const waiting = this.#waitingForStart;
    this.#starting = undefined;
    this.#waitingForStart = undefined;
    return waiting ?? [];
  }

  /** A read that waits is cancelled if the start that is under way fails. */
  readWaits(wait: Wait): void {
    if (!this.#starting) return;
    this.#waitingForStart ??= [];
    this.#waitingForStart.push(wait);
  }

  stop(): void {
    this.#producer.stop();
    this.limitCleanup();
  }

  /** From now on, closing may take `cleanupTimeout`. */
  limitCleanup(): void {
    if (this.closed.isResolved) return;
    void settleWithin(this.#producer.closed, this.#cleanupTimeout).then(({ timedOut }) => {
      if (timedOut) this.#close({ timedOut, errors: [] });
    });
  }

  onLateError(error: unknown): void {
    if (this.closed.isResolved) {
      this.#owner.onFailedLate(error);
      return;
    }
    this.#lateErrors ??= [];
    this.#lateErrors.push(error);
  }

  #close(closing: CleanupSummary): void {
    if (this.closed.isResolved) {
      for (const error of closing.errors) this.#owner.onFailedLate(error);
      return;
    }
    const late = this.#lateErrors;
    const summary = late ? mergeSummaries([{ timedOut: false, errors: late }, closing]) : closing;
    this.closed.resolve(summary);
    const releasing = runSteps(toSteps(this.#holds), this.#cleanupTimeout, (error) => this.#owner.onFailedLate(error));
    if (releasing instanceof Promise) void releasing.then((ofHolds) => this.#release(summary, ofHolds));
    else this.#release(summary, releasing);
  }

  #release(ofWork: CleanupSummary, ofHolds: CleanupSummary): void {
    const summary = mergeSummaries([ofWork, ofHolds]);
    this.#owner.onCleanedUp(summary);
    this.released.resolve(summary);
  }
}
