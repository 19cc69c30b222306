import type { CleanupSummary } from "../base/dispose.js";
import type { ActiveSessionError } from "../base/error.js";
import type { AbortReason, RunnerKind, RunnerPhase, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import type { RunnerDefinition } from "./definition.js";
import type { ReadOptions, RequiredReadOptions, RunnerId, RunnerResult, RunnerState } from "./types.js";

/**
 * A background operation and its results. Made by a session; see `createSequenceRunner` and its siblings.
 *
 *     created ──start──▶ running ──▶ background ended ──▶ final          (the log keeps this part)
 *        └──────── abort, or dispose = abort + removal ────┘
 *
 * - A runner starts when it is created, or with its first read other than `getAvailable`.
 * - Order of an abort: the log settles its reads and drops what was not handed out, the signals fire, the work is stopped, the
 *   clean-up runs in the background.
 * - A disposed runner refuses reads with `RUNNER_GONE`. Its `abort` still resolves.
 *
 * @example
 * const runner = await session.createSequenceRunner(search(text));
 * const first = await runner.getRequired({ advance: 20 });
 * const next = await runner.getRequired({ start: first.position, advance: 20 });
 * if (next.status === "progressed") await runner.abort();
 */
export interface Runner<R = unknown> extends AsyncDisposable {
  /** `sequence` or `process`. */
  readonly kind: RunnerKind;
  /** Arbitrary data of the application; the library does not read it. */
  data: unknown;
  /** Identifies the runner; for logs. */
  readonly id: RunnerId;
  /** The runner's external id, `{number}-{generation}-{sessionId}`, safe in a URL. Knowing it grants no access. */
  readonly key: string;
  /** The runner's number within its session: from 0, never reused. */
  readonly number: number;
  /** The definition that the runner was created from, if any. */
  readonly definition: RunnerDefinition | undefined;
  /** What the application knows the work by, see the option `label`. */
  readonly label: string | undefined;
  /** The last known status; {@link state} returns the exact one. */
  readonly status: RunnerStatus;
  /** How far the work itself is, also if its results have not been read: `starting`, `running`, or how it ended. */
  readonly phase: RunnerPhase;
  /** How many positions have been handed out so far: the end of the furthest item. */
  readonly position: number;
  /** How many positions have been produced so far, and the expected total if it is known. */
  readonly progress: RunnerProgress;
  /** True if the background has ended, even if its results have not been read. */
  readonly isBackgroundCompleted: boolean;
  /** Why the runner failed; only with the status `failed`. */
  readonly error: ActiveSessionError | undefined;
  /** Why the runner was aborted; only with the status `aborted`. */
  readonly abortReason: AbortReason | undefined;
  /**
   * Aborts as soon as the status is final, be it `completed`, `failed` or `aborted`. The reason is the error, or the text
   * `"completed"`. As always in Node, an error in a listener becomes an uncaught exception.
   */
  readonly signal: AbortSignal;
  /**
   * Resolves when the background has ended and its source is closed (or that has timed out), even if the results have not been read.
   * Never rejects: errors are in the summary.
   */
  readonly cleanup: Promise<CleanupSummary>;

  /** Returns the exact state. Not a read and not a use of the runner: nothing moves, idle timers included. */
  state(): Promise<RunnerState>;

  /**
   * Reads what is available, without waiting for more. Never starts the runner. If the result reaches the tail while the background
   * runs, the source gets one turn of the event loop to report its end first.
   * @throws `INVALID_ARGUMENT` for an option out of range, `POSITION_GONE` if `start` is no longer kept, `POSITION_AHEAD` if `start` of
   *   a sequence lies beyond its progress, `READ_CONFLICT` if another read at the default position is pending, `RUNNER_GONE` if the
   *   runner has been removed
   */
  getAvailable(options?: ReadOptions): Promise<RunnerResult<R>>;

  /**
   * Waits until the requested number of positions is available, or no more will come. Starts the runner if need be. If the runner
   * ends, fails or is aborted meanwhile, or `timeout` is up, the read resolves with what there is; check `status`.
   * @throws the errors of {@link getAvailable}, `RUNNER_START_FAILED` or `INVALID_SOURCE` if the start fails, `CLIENT_LIMIT_REACHED`
   *   or `SERVER_LIMIT_REACHED` if too many reads are open, or the reason of `signal`
   */
  getRequired(options?: RequiredReadOptions): Promise<RunnerResult<R>>;

  /**
   * Stops the work. Pending reads resolve with what they have. Items that have been handed out stay readable, the rest of a sequence
   * is dropped; a process keeps its newest value. No effect on a runner whose status is final. Does not wait for the clean-up.
   * @param reason becomes the `cause` of the error that the work's signal aborts with
   * @returns the status after the call: `aborted`, or the final status that the runner already had
   */
  abort(reason?: unknown): Promise<RunnerStatus>;

  /**
   * Aborts the runner if it is not final, removes it from its session, and resolves when the clean-up is over and the holds are
   * released.
   */
  [Symbol.asyncDispose](): Promise<void>;
}
