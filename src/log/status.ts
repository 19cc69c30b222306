/**
 * Where a runner stands, the part that all logs share.
 *
 *     not started ──start──▶ running ──end──▶ ended ──the end has been read──▶ final: completed, failed
 *          └──────────────abort──┴──────────────┴──▶ final: aborted
 *
 * `outcome` says how the background ended, `final` that the status has become so. Whether there is anything left to read
 * is the log's knowledge; it names position and progress when it asks for a status.
 */

import type { ActiveSessionError } from "../base/error.js";
import type { FinalStatus, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import type { LogEvents, LogState, Slice } from "./result-log.js";

/** See the top of the file. */
export class LogStatus {
  readonly #events: LogEvents;
  #started = false;
  #ended = false;
  #failure: ActiveSessionError | undefined;
  #final: FinalStatus | undefined;
  #announced = false;

  constructor(events: LogEvents) {
    this.#events = events;
  }

  /** The background runs, or has run. */
  get started(): boolean {
    return this.#started;
  }

  /** Nothing will be produced any more. */
  get ended(): boolean {
    return this.#ended;
  }

  /** The final status, once it is reached. */
  get final(): FinalStatus | undefined {
    return this.#final;
  }

  /** How the background ended, as soon as it has. */
  get outcome(): FinalStatus | undefined {
    if (this.#final || !this.#ended) return this.#final;
    return this.#failure ? "failed" : "completed";
  }

  /** The background runs. Whoever says so again, or when it is over, is not heard. */
  start(): void {
    if (this.#started || this.#ended) return;
    this.#started = true;
    this.#events.onStarted?.();
  }

  /** The background has ended by itself. */
  end(failure?: ActiveSessionError): void {
    this.#ended = true;
    this.#failure = failure;
  }

  /** The end has been read: the outcome becomes the status. */
  finish(): void {
    this.#final = this.outcome;
  }

  abort(): void {
    this.#ended = true;
    this.#failure = undefined;
    this.#final = "aborted";
  }

  /** The status of whoever stands at `position` while the background stands at `progress`. */
  statusAt(position: number, progress: number): RunnerStatus {
    if (position < progress) return "progressed";
    return this.outcome ?? (this.#started ? "stalled" : "not-started");
  }

  /** The whole state, for somebody who reads nothing. */
  describe(position: number, progress: RunnerProgress, firstPosition: number): LogState {
    return {
      status: this.#final ?? this.statusAt(position, progress.current),
      position,
      progress,
      firstPosition,
      ended: this.#ended,
      ...(this.outcome && { outcome: this.outcome }),
      ...(this.#failure && { failure: this.#failure }),
    };
  }

  /** What has been taken from `start` to `position`, and what holds for it. */
  slice<R>(result: R, start: number, position: number, progress: RunnerProgress, firstPosition: number): Slice<R> {
    const status = this.statusAt(position, progress.current);
    const closed = this.#ended && position >= progress.current;
    const slice = { result, start, position, status, progress, firstPosition, closed };
    return status === "failed" ? { ...slice, error: this.#failure! } : slice;
  }

  /** Tells the runner of a final status, once; to be called when the log is consistent and its reads are settled. */
  announce(): void {
    if (!this.#final || this.#announced) return;
    this.#announced = true;
    this.#events.onFinal();
  }
}
