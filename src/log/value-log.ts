import { runnerFailed } from "../base/error.js";
import type { AbortReason, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import { type EncodedItems, JsonCodec, noItems } from "./codec.js";
import type { AbortResult, LogEvents, LogState, PendingRead, ReadRequest, ResultLog, Slice } from "./result-log.js";
import { cuts, LogStatus, type Positions } from "./status.js";
import { type ReadsOwner, targetOf, WaitingRead, WaitingReads } from "./waiting-reads.js";

/** The producer's side of a process log. Calls after the end are ignored. */
export interface ProcessSink<T> {
  /** True once the log has ended: nothing is recorded any more. */
  readonly ended: boolean;
  /** The body is about to run. */
  start(): void;
  /**
   * Sets a new value.
   * @param estimatedEnd expected number of reports, if known; without one the estimate is removed
   */
  report(value: T, estimatedEnd?: number): void;
  /**
   * The body has ended.
   * @param value its result; `undefined` keeps the last reported value
   */
  end(value: T | undefined): void;
  /**
   * The body has failed.
   * @param cause what it threw
   */
  fail(cause: unknown): void;
}

/**
 * The results of a process runner, in memory: one value that changes. A position is a number of reports. Only the
 * newest value is kept, so reading needs no acknowledgement and no position is ever gone.
 *
 *     not started ──start──▶ running ──end, fail──▶ ended ──a read reaches the end──▶ final: completed, failed
 *          └────────────────cut──┴───────────────────┴──▶ final: aborted
 *
 * - **running**: each report replaces the value and adds 1 to `progress`. A waiting read gets the value of the
 *   report that reached its target; a later read of an earlier position gets the newest value with the older
 *   position.
 * - **ended**: a normal end is one more position, a failure is not. All waiting reads get the newest value.
 * - **cut**: nothing is dropped; `position` becomes the progress, and all reads get the newest value.
 * - A final status never changes, and `position` does not move in it.
 */
export class ValueLog<T> implements ResultLog<T | undefined>, ReadsOwner<T | undefined>, ProcessSink<T>, Positions {
  readonly #life: LogStatus;
  #value: T | undefined;
  /** End of the furthest report handed out. */
  #position = 0;
  /** The progress: reports so far, including a normal end. */
  #reported = 0;
  #estimatedEnd: number | undefined;
  /** Created with the first read that has to wait; most logs never need it. */
  #reads: WaitingReads<T | undefined> | undefined;
  /** Created with the first read that wants JSON. */
  #codec: JsonCodec | undefined;

  /** @param events notifications to the runner */
  constructor(events: LogEvents) {
    this.#life = new LogStatus(events);
  }

  /** The exact state: a log in memory has no other. */
  get current(): LogState {
    return this.#life.describe(this);
  }

  /** End of the furthest report handed out. */
  get position(): number {
    return this.#position;
  }

  /** How many reports there have been. Once the work has ended, the estimate is exact. */
  get progress(): RunnerProgress {
    const current = this.#reported;
    const estimatedEnd = this.#life.ended ? current : this.#estimatedEnd;
    return estimatedEnd === undefined ? { current } : { current, estimatedEnd };
  }

  /** No position is ever gone. */
  get firstPosition(): number {
    return 0;
  }

  /** A process never waits for its readers. */
  get paused(): boolean {
    return false;
  }

  get ended(): boolean {
    return this.#life.ended;
  }

  /** Number of values kept: 1, or 0 before the first report. */
  get size(): number {
    return this.#reported > 0 ? 1 : 0;
  }

  /** Equal to the position, because a process needs no acknowledgement. */
  get acknowledged(): number {
    return this.#position;
  }

  /** The status of the runner. */
  get status(): RunnerStatus {
    return this.#life.final ?? this.#life.statusAt(this.#position, this.#reported);
  }

  /** Returns {@link current}. */
  async state(): Promise<LogState> {
    return this.current;
  }

  // --- the reader's side -------------------------------------------------------------------------------------------

  /**
   * Reads the value. Waits if `min` is given and `start + min` has not been reached; then it may start beyond the
   * progress.
   * @throws (or rejects with) the errors of the codec
   */
  read(request: ReadRequest): Slice<T | undefined> | PendingRead<T | undefined> {
    const start = request.start === "tail" ? this.#reported : (request.start ?? this.#position);
    if (this.#life.ended || targetOf(start, request) <= this.#reported) {
      const slice = this.handOut(start, request);
      this.#life.announce(this);
      return slice;
    }
    const read = new WaitingRead<T | undefined>(start, request);
    this.#reads ??= new WaitingReads<T | undefined>(this);
    this.#reads.add(read);
    return read;
  }

  /** Does nothing: a process needs no acknowledgement. */
  async acknowledge(): Promise<void> {}

  /** Does nothing: only items of sequences are counted. */
  countIn(): void {}

  /** Drops the value, and makes the outcome final. */
  discard(): void {
    this.#value = undefined;
    this.#life.finish();
    this.#life.announce(this);
  }

  /** See {@link ResultLog.abort}; a process has one value, and keeps it. */
  abort(reason: AbortReason): AbortResult {
    const hasEffect = cuts(reason) ? this.#cut(reason) : this.#end(() => this.#life.expire(reason));
    return this.#life.abortResult(hasEffect, this);
  }

  /** Makes `aborted` final at once. */
  #cut(reason: AbortReason): boolean {
    if (this.#life.final) return false;
    this.#life.cut(reason);
    this.#position = this.#reported;
    this.#settleAll();
    this.#life.announce(this);
    return true;
  }

  // --- the body's side ---------------------------------------------------------------------------------------------

  /** Marks the body as running. */
  start(): void {
    this.#life.start();
  }

  /** Sets a new value and settles the reads that waited for this report. */
  report(value: T, estimatedEnd?: number): void {
    if (this.#life.ended) return;
    this.#value = value;
    this.#reported++;
    this.#estimatedEnd = estimatedEnd;
    this.#settle((read) => read.target <= this.#reported);
  }

  /** Ends the log as completed. The end is one more position, even without a value. */
  end(value: T | undefined): void {
    if (this.#life.ended) return;
    if (value !== undefined) this.#value = value;
    this.#reported++;
    this.#end(() => this.#life.end());
  }

  /** Ends the log as failed. A failure is not a position. */
  fail(cause: unknown): void {
    this.#end(() => this.#life.end(runnerFailed(cause)));
  }

  /**
   * Settles all reads. If everything had been handed out before, no later read would reach the end: the status
   * becomes final at once.
   * @param end marks the work as ended
   * @returns false if it had ended before
   */
  #end(end: () => void): boolean {
    if (this.#life.ended) return false;
    end();
    this.#settleAll();
    if (this.#position === this.#reported) this.#life.finish();
    this.#life.announce(this);
    return true;
  }

  // --- settling ----------------------------------------------------------------------------------------------------

  #settleAll(): void {
    this.#settle(() => true);
  }

  /**
   * Settles the due reads in order of arrival. Code of the value (`toJSON`) runs in here. It may abort and thereby settle
   * reads later in the list, so each is checked again.
   */
  #settle(isDue: (read: WaitingRead<T | undefined>) => boolean): void {
    for (const read of this.#reads?.all() ?? []) if (isDue(read) && this.#reads!.has(read)) this.#reads!.settle(read);
  }

  /** Nothing depends on the set of waiting reads here. */
  onCancelled(): void {}

  /** Settles at once: unlike a sequence, a process does not give its source another turn. */
  onGivenUp(read: WaitingRead<T | undefined>): void {
    this.#reads!.settle(read);
  }

  /**
   * Forms the slice of a read and moves position and status. An empty read at the tail moves nothing, so it cannot
   * make the status final.
   */
  handOut(start: number, request: ReadRequest): Slice<T | undefined> {
    const limit = start + request.max;
    const position = this.#life.final === "aborted" ? this.#reported : Math.min(this.#reported, limit);
    const value = this.#value;
    const json = request.json && this.#encode(request, position > start);
    const moves = position > start || request.start !== "tail";
    if (!this.#life.final && moves) {
      this.#position = Math.max(this.#position, position);
      if (this.#life.ended && position === this.#reported) this.#life.finish();
    }
    return this.#life.slice(this, value, start, position, json);
  }

  /** The value as JSON, if it is new to the reader. */
  #encode(request: ReadRequest, isNew: boolean): EncodedItems {
    if (!isNew || !request.json) return noItems;
    this.#codec ??= new JsonCodec();
    return this.#codec.encode(request, [this.#value], request.json);
  }
}
