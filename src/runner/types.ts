/** The plain values that go in and out of a runner. */
import type { ActiveSessionError } from "../base/error.js";
import type { AbortReason, RunnerKind, RunnerProgress, RunnerStatus } from "../protocol/types.js";

/** Which runner this is, among all of all sessions. */
export interface RunnerId {
  readonly sessionId: string;
  readonly generation: number;
  readonly number: number;
  /** `session:generation#number`, for logs. */
  toString(): string;
}

/** What a read of a runner gives: results, and what holds for them at the moment they were taken. */
export interface RunnerResult<R> {
  /** The items of a sequence, possibly none; the newest value of a process, `undefined` before the first report. */
  readonly result: R;
  /** The status of this result: final only if it reaches the end. */
  readonly status: RunnerStatus;
  /** The position after this result: the `start` of the next read. */
  readonly position: number;
  /** Why the runner failed; only with the status `failed`. Safe to be sent: its JSON form is code and message. */
  readonly error?: ActiveSessionError;
}

/** What to read. */
export interface ReadOptions {
  /**
   * How many positions to read; an integer from 0, or `Infinity`. Default: everything there is (`getAvailable`),
   * `defaultAdvance` (`getRequired` of a sequence), 1 (of a process). 0: the default advance of a sequence; of a process
   * with a `start`, exactly that point.
   */
  readonly advance?: number | undefined;
  /** The first position wanted; whoever names one has received everything before it. Default: `position`. */
  readonly start?: number | undefined;
}

/** What to read and how long to wait. */
export interface RequiredReadOptions extends ReadOptions {
  /** Cancels this read, and only it: it rejects with the signal's reason and has taken nothing. */
  readonly signal?: AbortSignal | undefined;
}

/** The whole state of a runner; its JSON form is safe to be sent. */
export interface RunnerState {
  readonly key: string;
  /** The name of the definition that it was made from, if it is a defined one. */
  readonly name?: string;
  readonly kind: RunnerKind;
  readonly status: RunnerStatus;
  readonly position: number;
  readonly progress: RunnerProgress;
  readonly isBackgroundCompleted: boolean;
  /** Only with the status `failed`. */
  readonly error?: ActiveSessionError;
  /** Only with the status `aborted`. */
  readonly abortReason?: AbortReason;
}
