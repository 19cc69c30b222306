/**
 * The results of a process runner, in memory: one value that changes. A position is a number of reports; only the newest
 * value is kept, so reading acknowledges nothing and no position is ever gone.
 *
 * States, and what leads from one to the next:
 *
 *     not started ──start──▶ running ──end, fail──▶ ended ──a read reaches the end──▶ final: completed, failed
 *          └───────────────abort──┴───────────────────┴──▶ final: aborted
 *
 * - **running**: each report replaces the value and adds 1 to `progress`. A waiting read gets the value of the very report
 *   that reached its target; whoever asks later for an earlier point gets the newest value with the older position.
 * - **ended**: a normal end is one more position, a failure is not. All waiting reads get the newest value.
 * - **aborted**: nothing is dropped; `position` becomes the progress, and all reads get the newest value.
 * - A final status never changes, and `position` does not move in it.
 */

import { type ActiveSessionError, runnerFailed } from "../base/error.js";
import type { RunnerProgress, RunnerStatus } from "../protocol/types.js";
import type { LogEvents, LogState, ReadObserver, ReadRequest, ResultLog, Slice } from "./result-log.js";
import { LogStatus } from "./status.js";
import { type ReadsOwner, targetOf, WaitingRead, WaitingReads } from "./waiting-reads.js";

/** The body's side of a process log. */
export interface ProcessSink<T> {
  /** The body is about to run. */
  start(): void;
  /** A new value, and how many reports there will be, if known. Ignored after the end. */
  report(value: T, estimatedEnd?: number): void;
  /** The body has ended; `undefined` leaves the last reported value. */
  end(value: T | undefined): void;
  /** The body has failed. */
  fail(cause: unknown): void;
}

/** See the top of the file. */
export class ValueLog<T> implements ResultLog<T | undefined>, ReadsOwner<T | undefined>, ProcessSink<T> {
  readonly #life: LogStatus;
  #value: T | undefined;
  #position = 0;
  #reported = 0;
  #estimatedEnd: number | undefined;
  #reads: WaitingReads<T | undefined> | undefined;

  constructor(events: LogEvents) {
    this.#life = new LogStatus(events);
  }

  get current(): LogState {
    return this.#life.describe(this.#position, this.#progress(), 0);
  }

  /** A process keeps one value, or none yet. */
  get size(): number {
    return this.#reported > 0 ? 1 : 0;
  }

  get acknowledged(): number {
    return this.#position;
  }

  get status(): RunnerStatus {
    return this.#life.final ?? this.#life.statusAt(this.#position, this.#reported);
  }

  async state(): Promise<LogState> {
    return this.current;
  }

  // --- the reader's side -------------------------------------------------------------------------------------------

  read(request: ReadRequest, observer?: ReadObserver): Slice<T | undefined> | Promise<Slice<T | undefined>> {
    const start = request.start === "tail" ? this.#reported : (request.start ?? this.#position);
    if (this.#life.ended || targetOf(start, request) <= this.#reported) {
      const slice = this.handOut(start, request);
      request.deliver?.(slice);
      this.#life.announce();
      return slice;
    }
    return new Promise((resolve, reject) => {
      this.#reads ??= new WaitingReads<T | undefined>(this);
      this.#reads.add(new WaitingRead(start, request, observer, resolve, reject));
    });
  }

  /** Reading a process needs no acknowledgement; nothing changes. */
  async acknowledge(): Promise<void> {}

  /** One value is not counted. */
  countIn(): void {}

  discard(): void {
    this.#value = undefined;
  }

  abort(): boolean {
    if (this.#life.final) return false;
    this.#life.abort();
    this.#position = this.#reported;
    this.#settleAll();
    this.#life.announce();
    return true;
  }

  // --- the body's side ---------------------------------------------------------------------------------------------

  start(): void {
    this.#life.start();
  }

  report(value: T, estimatedEnd?: number): void {
    if (this.#life.ended) return;
    this.#value = value;
    this.#reported++;
    this.#estimatedEnd = estimatedEnd;
    this.#settle((read) => read.target <= this.#reported);
  }

  end(value: T | undefined): void {
    if (this.#life.ended) return;
    if (value !== undefined) this.#value = value;
    this.#reported++;
    this.#end(undefined);
  }

  fail(cause: unknown): void {
    if (!this.#life.ended) this.#end(runnerFailed(cause));
  }

  #end(failure: ActiveSessionError | undefined): void {
    this.#life.end(failure);
    this.#settleAll();
    if (this.#position === this.#reported) this.#life.finish();
    this.#life.announce();
  }

  // --- settling ----------------------------------------------------------------------------------------------------

  #settleAll(): void {
    this.#settle(() => true);
  }

  /** A reader's own code runs in here: an abort or a report from there may have settled those that come after it. */
  #settle(isDue: (read: WaitingRead<T | undefined>) => boolean): void {
    for (const read of this.#reads?.all() ?? []) if (isDue(read) && this.#reads!.has(read)) this.#reads!.settle(read);
  }

  onCancelled(): void {}

  onGivenUp(read: WaitingRead<T | undefined>): void {
    this.#reads!.settle(read);
  }

  handOut(start: number, request: ReadRequest): Slice<T | undefined> {
    const limit = start + request.max;
    const position = this.#life.final === "aborted" ? this.#reported : Math.min(this.#reported, limit);
    if (position > start) request.accept?.([this.#value]);
    const moves = position > start || request.start !== "tail";
    if (!this.#life.final && moves) {
      this.#position = Math.max(this.#position, position);
      if (this.#life.ended && position === this.#reported) this.#life.finish();
    }
    return this.#life.slice(this.#value, start, position, this.#progress(), 0);
  }

  #progress(): RunnerProgress {
    const current = this.#reported;
    const estimatedEnd = this.#life.ended ? current : this.#estimatedEnd;
    return estimatedEnd === undefined ? { current } : { current, estimatedEnd };
  }
}
