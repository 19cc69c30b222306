import type { ActiveSessionError } from "../base/error.js";
import type { AbortReason, FinalStatus, RunnerStatus } from "../protocol/types.js";
import type { EncodedItems } from "./codec.js";
import type { AbortResult, LogEvents, LogState, Slice } from "./result-log.js";

/** True for an abort that was asked for: it drops what has not been handed out. */
export function cuts(reason: AbortReason): boolean {
  return reason === "stopped" || reason === "signal" || reason === "session-ended";
}

/** What a log knows beside the status. */
export type Positions = Pick<LogState, "position" | "progress" | "firstPosition" | "acknowledged" | "paused">;

/**
 * The status of a runner, as far as it is the same in all logs.
 *
 *     not started ──start──▶ running ──end, expire──▶ ended ──the end has been read──▶ final: completed, failed, aborted
 *          └───────────────cut──┴──────────────────────┴──▶ final: aborted
 *
 * `outcome` is how the background work ended; `final` is set once that has become the status. The log knows if
 * anything is left to read; the methods that derive a status ask it for position and progress.
 */
export class LogStatus {
  readonly #events: LogEvents;
  /** Stays true after the end. */
  #started = false;
  #outcome: FinalStatus | undefined;
  /** Of the first abort. */
  #abortReason: AbortReason | undefined;
  /** Error of ended work. Dropped by an abort. */
  #failure: ActiveSessionError | undefined;
  /** Irreversible once set. Until then an abort can still replace the outcome of ended work. */
  #final: FinalStatus | undefined;
  /** What the runner has been notified of. */
  #announced: "nothing" | "end" | "final" = "nothing";

  /** @param events notifications to the runner */
  constructor(events: LogEvents) {
    this.#events = events;
  }

  /** True if the background work is running or has run. */
  get started(): boolean {
    return this.#started;
  }

  /** True if nothing more will be produced. */
  get ended(): boolean {
    return this.#outcome !== undefined;
  }

  /** The final status; `undefined` until it is reached. */
  get final(): FinalStatus | undefined {
    return this.#final;
  }

  /** How the background work ended; `undefined` while it has not. */
  get outcome(): FinalStatus | undefined {
    return this.#outcome;
  }

  /** Marks the background work as running. Idempotent; ignored after the end. */
  start(): void {
    if (this.#started || this.ended) return;
    this.#started = true;
    this.#events.onStarted?.();
  }

  /**
   * Marks the background work as ended by itself.
   * @param failure its error; without one it has completed
   */
  end(failure?: ActiveSessionError): void {
    this.#outcome = failure ? "failed" : "completed";
    this.#failure = failure;
  }

  /** Ends the work as aborted. What has been produced can still be read; then the status is final. */
  expire(reason: AbortReason): void {
    this.#outcome = "aborted";
    this.#abortReason = reason;
  }

  /** Makes the outcome final. To be called when the end has been read, or will never be. */
  finish(): void {
    this.#final = this.#outcome;
  }

  /** Ends the work and makes `aborted` final. A failure that has not been read is dropped; an earlier reason stays. */
  cut(reason: AbortReason): void {
    this.#failure = undefined;
    this.#abortReason ??= reason;
    this.#outcome = this.#final = "aborted";
  }

  /** Returns the status for a reader at `position` while the producer is at `progress`. */
  statusAt(position: number, progress: number): RunnerStatus {
    if (position < progress) return "progressed";
    return this.outcome ?? (this.#started ? "stalled" : "not-started");
  }

  /** Returns the whole state without results. */
  describe({ position, progress, firstPosition, acknowledged, paused }: Positions): LogState {
    const [outcome, abortReason, failure] = [this.#outcome, this.#abortReason, this.#failure];
    const ended = outcome !== undefined;
    const status = this.#final ?? this.statusAt(position, progress.current);
    const started = this.#started || ended;
    // biome-ignore format: one literal, which is faster than a spread
    return { status, position, progress, firstPosition, acknowledged, started, paused, ended, outcome, abortReason, failure };
  }

  /** What an abort has come to. */
  abortResult(hasEffect: boolean, log: Positions): AbortResult {
    return { hasEffect, state: this.describe(log) };
  }

  /**
   * Forms the slice from `start` to `end`. Its status, and `closed`, apply to this slice, not to the runner.
   * @param json the items as JSON, if the read has asked for it
   */
  slice<R>(log: Positions, result: R, start: number, end: number, json: EncodedItems | undefined): Slice<R> {
    const { progress, firstPosition, acknowledged, paused } = log;
    const status = this.statusAt(end, progress.current);
    const outcome = this.#outcome;
    const closed = outcome !== undefined && end >= progress.current;
    const abortReason = this.#abortReason;
    // biome-ignore format: one literal, which is faster than a spread
    const slice = { result, start, position: end, status, progress, firstPosition, acknowledged, paused, closed, outcome, abortReason, json };
    return status === "failed" ? { ...slice, error: this.#failure! } : slice;
  }

  /**
   * Notifies the runner of the end and of the final status, once each. Separate from the methods that set them: the call-back runs code
   * of the application, so the log must be consistent and its reads settled.
   */
  announce(log: Positions): void {
    if (this.#outcome === undefined || this.#announced === "final") return;
    if (this.#announced === "nothing") {
      this.#announced = "end";
      this.#events.onEnded?.(this.#outcome);
    }
    if (!this.#final || this.#announced !== "end") return;
    this.#announced = "final";
    this.#events.onFinal(this.describe(log));
  }
}
