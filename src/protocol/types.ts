/** The kind of a runner: a `sequence` produces ordered items, a `process` one value that changes. */
export type RunnerKind = "sequence" | "process";

/** The final statuses. They never change. */
export type FinalStatus = "completed" | "failed" | "aborted";

/**
 * The status of a runner, or of one result of it:
 *
 * - `not-started`: the work has not begun
 * - `stalled`: the result reaches the tail; more may follow
 * - `progressed`: more has been produced than the result contains
 * - `completed`, `failed`, `aborted`: the result reaches the end
 */
export type RunnerStatus = "not-started" | "stalled" | "progressed" | FinalStatus;

/**
 * How far the work is, in the words of a page:
 *
 * - `starting`: it has not begun
 * - `running`: more may come
 * - `completed`, `failed`, `aborted`: it has ended
 *
 * An update of a client has the phase of what it has received: final with the last data. A state has that of the work itself,
 * whatever has been read.
 */
export type RunnerPhase = "starting" | "running" | FinalStatus;

/**
 * Why a runner was aborted:
 *
 * - `stopped`: a call of `abort`, or a request to stop
 * - `idle`: its idle time-out
 * - `lifetime`: the maximum lifetime of its session
 * - `session-ended`: its session was terminated
 * - `shutdown`: the host was closed
 * - `signal`: the signal that the application passed
 */
export type AbortReason = "stopped" | "idle" | "lifetime" | "session-ended" | "shutdown" | "signal";

/** How far the work has come, in items (sequence) or reports (process). */
export interface RunnerProgress {
  /** Number of items (reports) produced so far. After an abort it does not count items that were dropped unread. */
  readonly current: number;
  /** Expected value of `current` at the end; absent while unknown. Exact once the work has ended. */
  readonly estimatedEnd?: number;
}

/** The whole state of a runner as JSON: the response of the state route, and the elements of lists. */
export interface RunnerStateBody {
  /** Key of the runner, its name in URLs: `{number}-{generation}-{sessionId}`. */
  readonly key: string;
  /** Name of its definition, if it was created from one. */
  readonly name?: string;
  /** What the application knows it by, if it was given a label. */
  readonly label?: string;
  /** Sequence or process. */
  readonly kind: RunnerKind;
  /** Status of the runner; final once its end has been read. */
  readonly status: RunnerStatus;
  /** How far the work itself is, also if its results have not been read. */
  readonly phase: RunnerPhase;
  /** True if the work waits until items are acknowledged; otherwise absent. */
  readonly paused?: true;
  /** Number of items (reports) handed out. */
  readonly position: number;
  /** How far the work has come. */
  readonly progress: RunnerProgress;
  /** True if the work has ended, even if its results have not been read. */
  readonly isBackgroundCompleted: boolean;
  /** Only with the status `failed`. */
  readonly error?: { readonly code: string; readonly message: string };
  /** Only with the status `aborted`. */
  readonly abortReason?: AbortReason;
}
