/** What server and client both say of a runner: declared here once, for both ends. */

/** What a runner makes: an ordered sequence of items, or one value that changes. */
export type RunnerKind = "sequence" | "process";

/** The statuses that are final: they never change. */
export type FinalStatus = "completed" | "failed" | "aborted";

/**
 * The status of a runner, or of one result of it:
 *
 * - `not-started`: the work has not begun
 * - `stalled`: the result reaches the tail; more may come
 * - `progressed`: there is more behind the result
 * - `completed`, `failed`, `aborted`: the result reaches the end
 */
export type RunnerStatus = "not-started" | "stalled" | "progressed" | FinalStatus;

/**
 * Why a runner was aborted:
 *
 * - `stopped`: by a call of `abort` or a request to stop
 * - `idle`: by its idle time-out
 * - `lifetime`: by its session's maximum lifetime
 * - `session-ended`: its session was terminated
 * - `shutdown`: the host was closed
 * - `signal`: by the application's own signal
 */
export type AbortReason = "stopped" | "idle" | "lifetime" | "session-ended" | "shutdown" | "signal";

/** How far the work has come, in items (sequence) or reports (process). */
export interface RunnerProgress {
  /** Items or reports made so far. After an abort never more than can still be read. */
  readonly current: number;
  /** What `current` will be at the end; absent while unknown. */
  readonly estimatedEnd?: number;
}

/** The whole state of a runner, as JSON. */
export interface RunnerStateBody {
  readonly key: string;
  /** The name of its definition, if it was created from one. */
  readonly name?: string;
  readonly kind: RunnerKind;
  readonly status: RunnerStatus;
  /** How many items (reports) have been handed out. */
  readonly position: number;
  readonly progress: RunnerProgress;
  /** Whether the work has ended, whether or not its results have been read. */
  readonly isBackgroundCompleted: boolean;
  /** Only with the status `failed`. */
  readonly error?: { readonly code: string; readonly message: string };
  /** Only with the status `aborted`. */
  readonly abortReason?: AbortReason;
}
