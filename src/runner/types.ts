/** Plain values that go into and come out of a runner. */
import type { ActiveSessionError } from "../base/error.js";
import type { RunnerStateBody, RunnerStatus } from "../protocol/types.js";

/** Identifies a runner among the runners of all sessions. */
export interface RunnerId {
  /** The id of the session that the runner belongs to. */
  readonly sessionId: string;
  /** The generation of that session: a later session of the same client has a larger one. */
  readonly generation: number;
  /** The number of the runner within its session, from 0. */
  readonly number: number;
  /** `session:generation#number`, for logs. */
  toString(): string;
}

/** The result of a read: the items (or the value) and the runner's state, both as of the moment at which the read settled. */
export interface RunnerResult<R> {
  /** The items of a sequence, possibly none; the newest value of a process, `undefined` before the first report. */
  readonly result: R;
  /** The status of this result: final only if it reaches the end. */
  readonly status: RunnerStatus;
  /** The position after this result: the `start` of the next read. */
  readonly position: number;
  /** Why the runner failed; only with the status `failed`. Safe to send: its JSON form is code and message. */
  readonly error?: ActiveSessionError;
}

/** Options of a read: how much to read, and from where. */
export interface ReadOptions {
  /**
   * How many positions to read; an integer from 0, or `Infinity`. Default: everything available (`getAvailable`),
   * `defaultAdvance` (`getRequired` of a sequence), 1 (of a process). 0: the default advance of a sequence; of a process
   * with a `start`, exactly that point.
   */
  readonly advance?: number | undefined;
  /**
   * The first position wanted. Naming it acknowledges every item of a sequence before it, as if they had been received.
   * Default: the runner's `position`.
   */
  readonly start?: number | undefined;
}

/** Options of a read that waits. */
export interface RequiredReadOptions extends ReadOptions {
  /**
   * Milliseconds after which the read resolves with what there is, possibly nothing. The start of the runner counts: a slow source must not
   * hold back the first page and the runner's key. Default: `Infinity`, without limit.
   */
  readonly timeout?: number | undefined;
  /** Cancels this read only: it rejects with the signal's reason and takes no items. */
  readonly signal?: AbortSignal | undefined;
}

/** The whole state of a runner; its JSON form, {@link RunnerStateBody}, is safe to send. */
export interface RunnerState extends Omit<RunnerStateBody, "error"> {
  /** Only with the status `failed`. */
  readonly error?: ActiveSessionError;
}
