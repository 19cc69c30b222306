/**
 * The contract between a runner's results and their readers. Readers must not assume that items are in memory: a
 * log may live outside the process, and then always returns promises.
 */
import { noop } from "../base/async.js";
import type { ActiveSessionError } from "../base/error.js";
import type { AbortReason, FinalStatus, RunnerProgress, RunnerStatus } from "../protocol/types.js";

/** Acknowledged items to keep: none (`"unacknowledged"`), the last n, or all. */
export type Retain = "unacknowledged" | number | "all";

/** The parameters of a read. */
export interface ReadRequest {
  /** First position wanted. Default: the log's position at the time of the call. `"tail"`: the current end. */
  readonly start?: number | "tail" | undefined;
  /**
   * The read waits until this many positions beyond `start` exist; 0 waits for `start` itself, which may lie beyond
   * the progress of a process. Default: it does not wait.
   */
  readonly min?: number | undefined;
  /** Maximum number of positions to hand out. */
  readonly max: number;
  /** Cancels the read while it waits: it rejects with the signal's reason and has consumed nothing. */
  readonly signal?: AbortSignal | undefined;
  /** Time to wait, ms; then the read settles with what is there. Default: no limit. */
  readonly timeout?: number | undefined;
  /** Called synchronously when the read begins to wait, with a handle that can end the waiting. */
  readonly onWait?: ((wait: Wait) => void) | undefined;
  /**
   * Inspects the items about to be handed out and returns how many of them to take: at least 1 if there are any.
   * Default: all. Called in the step that forms the slice, and once more if the first call has led to an abort. An
   * error rejects the read, which then has consumed nothing. A process passes its value as the only item, if it is
   * new.
   */
  readonly accept?: ((items: readonly unknown[]) => number) | undefined;
  /**
   * Sequences only: lets a read that waits for several items settle with fewer, e.g. when they fill a page in
   * bytes. Inspects the items available and returns the number of items at which to be called again, or 0 if they
   * are enough. Must not throw.
   */
  readonly probe?: ((items: readonly unknown[]) => number) | undefined;
  /**
   * Receives the slice in the step that settles the read, after position and status have moved, for readers that
   * may be gone before a promise continuation runs. It may read or abort; it must not throw.
   */
  readonly deliver?: ((slice: Slice<unknown>) => void) | undefined;
  /**
   * True if the read, once admitted, acknowledges everything before a numeric or defaulted `start`. Default: true.
   * A read from the tail never acknowledges.
   */
  readonly acknowledge?: boolean;
  /**
   * True if the waiting read lets the producer run beyond `aheadLimit`, up to the position it waits for. Default:
   * true.
   */
  readonly raisesBound?: boolean;
  /**
   * For readers that only follow what is there: the waiting read neither lets the producer go on nor keeps items
   * from being dropped by acknowledgements of others. Default: false.
   */
  readonly passive?: boolean;
  /**
   * For readers that prefer early items to an exact status: a read that has waited for a whole turn of the event
   * loop settles as soon as items arrive. Default: false, the source gets a turn to report its end first.
   */
  readonly eager?: boolean;
}

/**
 * A handle on a waiting read, for readers with a cheaper mechanism than a signal and a timer per read. Both methods
 * have no effect once the read has what it waits for.
 */
export interface Wait {
  /** Rejects the read with `reason`. It has consumed nothing. */
  cancel(reason: unknown): void;
  /** Settles the read with what is there. */
  giveUp(): void;
}

/** Notified about reads that return a promise. */
export interface ReadObserver {
  /**
   * The read begins to wait. Not called for a read that has what it needs and only gives the source a turn: that
   * one can no longer be cancelled.
   */
  readWaits(wait: Wait): void;
  /** The read has resolved or rejected. */
  readSettled(request: ReadRequest): void;
}

/** A range of results together with the state that applies to it, as of the moment the read was settled. */
export interface Slice<R> {
  /** The items from `start` on (sequence), or the newest value (process). */
  readonly result: R;
  /** First position of the slice. */
  readonly start: number;
  /** End of the slice, and the `start` of the next read. */
  readonly position: number;
  /** Status of the slice; final only if it reaches the end. */
  readonly status: RunnerStatus;
  /** Failure of the runner; only with the status `failed`. */
  readonly error?: ActiveSessionError;
  /** How far the producer has come. */
  readonly progress: RunnerProgress;
  /** First position that is still kept. */
  readonly firstPosition: number;
  /** True if the producer waits until items are acknowledged. */
  readonly paused: boolean;
  /** True if the slice reaches the end and nothing will follow. */
  readonly closed: boolean;
}

/** The state of a log without results. Taking it is not a read and moves nothing. */
export interface LogState {
  /** Status of the runner; final once the end has been read. */
  readonly status: RunnerStatus;
  /** End of the furthest item handed out. */
  readonly position: number;
  /** How far the producer has come. */
  readonly progress: RunnerProgress;
  /** First position that is still kept. */
  readonly firstPosition: number;
  /** True if the background work has started, or has ended. */
  readonly started: boolean;
  /** True if the producer waits until items are acknowledged. */
  readonly paused: boolean;
  /** True if the background work has ended: nothing more will be produced. */
  readonly ended: boolean;
  /** How the background work ended, as soon as it has. The status follows when the results have been read. */
  readonly outcome?: FinalStatus;
  /** With the outcome `aborted`: why, as the first abort has it. */
  readonly abortReason?: AbortReason;
  /** Error of the background work; becomes the runner's `error` with the status `failed`. */
  readonly failure?: ActiveSessionError;
}

/**
 * The reader's side of a log: positions 0, 1, 2…, how far they have been produced, handed out and acknowledged, and
 * the reads that wait. A log forms each {@link Slice} in the step that settles its read, so that result, position
 * and status agree.
 */
export interface ResultLog<R> {
  /** The last known state. {@link state} returns the exact one. */
  readonly current: LogState;
  /** The status in {@link current}. */
  readonly status: RunnerStatus;
  /** Number of items kept. */
  readonly size: number;
  /** Returns the exact state. */
  state(): Promise<LogState>;
  /**
   * Reads a slice: returned directly if it is at hand, otherwise as a promise. A read that fails has consumed
   * nothing; one that is not admitted has not acknowledged anything either.
   * @param observer notified about the read if it returns a promise
   * @throws (or rejects with) `POSITION_GONE`, `POSITION_AHEAD`, `READ_CONFLICT`, or the reason of the request's
   * signal
   */
  read(request: ReadRequest, observer?: ReadObserver): Slice<R> | Promise<Slice<R>>;
  /**
   * Acknowledges everything before `position`. Idempotent.
   * @throws (rejects with) `POSITION_AHEAD` if the position has not been handed out
   */
  acknowledge(position: number): Promise<void>;
  /** The furthest acknowledged position. */
  readonly acknowledged: number;
  /** Moves the count of the items kept, now and later, to another tally. */
  countIn(tally: ItemTally): void;
  /** Drops all items and makes the outcome of the ended work final. To be called when the log will not be read any more. */
  discard(): void;
  /**
   * Aborts the log: pending reads settle with what they have.
   *
   * - `stopped`, `signal`, `session-ended`: what has not been handed out is dropped, and the status is final at once.
   * - Any other reason: nothing is dropped, and the status becomes final when the end is read. No effect on work that
   *   has ended before.
   * @returns false if it has had no effect
   */
  abort(reason: AbortReason): boolean;
}

/** Counts the items kept by many logs together. */
export class ItemTally {
  /** The current number of items. */
  items = 0;

  /**
   * @param most limit; `Infinity` disables it
   * @param onMore called for each item added beyond the limit, but not when counts are moved here. Must not throw
   * and must not change a log synchronously: it runs while a log adds an item.
   */
  constructor(
    readonly most = Number.POSITIVE_INFINITY,
    readonly onMore: () => void = noop,
  ) {}
}

/** Notifications of a log to its runner, sent when the log's own state is consistent. */
export interface LogEvents {
  /** The background work is running. */
  onStarted?(): void;
  /** The log is full and has ended as failed. The runner must stop the work. */
  onOverflow?(error: ActiveSessionError): void;
  /** The status has become final. Called once. */
  onFinal(): void;
}
