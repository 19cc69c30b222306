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
import { noop } from "../base/async.js";
import { type ActiveSessionError, runnerFailed } from "../base/error.js";
import { Lifecycle } from "./lifecycle.js";
import { PendingRead, PendingReads } from "./pending-reads.js";
import type { LogEvents, LogState, ReadRequest, ResultLog, RunnerProgress, Slice } from "./result-log.js";

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
export class ProcessLog<T> implements ResultLog<T | undefined>, ProcessSink<T> {
  readonly #life: Lifecycle;
  #value: T | undefined;
  #position = 0;
  #reported = 0;
  #estimatedEnd: number | undefined;
  #reads: PendingReads<T | undefined> | undefined;

  constructor(events: LogEvents) {
    this.#life = new Lifecycle(events);
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

  async state(): Promise<LogState> {
    return this.current;
  }

  // --- the reader's side -------------------------------------------------------------------------------------------

  read(request: ReadRequest): Promise<Slice<T | undefined>> {
    return new Promise((resolve, reject) => {
      const start = request.start === "tail" ? this.#reported : (request.start ?? this.#position);
      const read = new PendingRead<T | undefined>(start, request, resolve, reject);
      if (this.#life.ended || read.target <= this.#reported) {
        this.#settle(read);
        this.#life.announce();
        return;
      }
      this.#reads ??= new PendingReads(noop, (givenUp) => this.#settle(givenUp));
      this.#reads.add(read);
    });
  }

  /** Reading a process needs no acknowledgement; nothing changes. */
  async acknowledge(): Promise<void> {}

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
    for (const read of [...(this.#reads ?? [])]) if (read.target <= this.#reported) this.#settle(read);
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
    for (const read of [...(this.#reads ?? [])]) this.#settle(read);
  }

  /** Forms the slice of a read and settles it, all in this step. */
  #settle(read: PendingRead<T | undefined>): void {
    this.#reads?.remove(read);
    const position = this.#life.final === "aborted" ? this.#reported : Math.min(this.#reported, read.limit);
    try {
      if (position > read.start) read.request.accept?.([this.#value]);
    } catch (error) {
      read.reject(error);
      return;
    }
    const moves = position > read.start || read.request.start !== "tail";
    if (!this.#life.final && moves) {
      this.#position = Math.max(this.#position, position);
      if (this.#life.ended && position === this.#reported) this.#life.finish();
    }
    read.resolve(this.#slice(read.start, position));
  }

  #slice(start: number, position: number): Slice<T | undefined> {
    return {
      result: this.#value,
      start,
      position,
      ...this.#life.verdictAt(position, this.#reported),
      progress: this.#progress(),
      firstPosition: 0,
    };
  }

  #progress(): RunnerProgress {
    const current = this.#reported;
    const estimatedEnd = this.#life.ended ? current : this.#estimatedEnd;
    return estimatedEnd === undefined ? { current } : { current, estimatedEnd };
  }
}
