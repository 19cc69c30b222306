/**
 * The contract between a runner's results and their readers. Readers must not assume that items are in memory: a
 * log may live outside the process, and then always returns promises.
 */
import { noop } from "../base/async.js";
import type { ActiveSessionError } from "../base/error.js";
import type { AbortReason, FinalStatus, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import type { EncodedItems, JsonLimits } from "./codec.js";

/** Acknowledged items to keep: none (`"unacknowledged"`), the last n, or all. */
export type Retain = "unacknowledged" | number | "all";

/** The parameters of a read. Data only, so that a log elsewhere can be sent them. */
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
  /**
   * What the waiting read asks of the producer and of the items. Default: `read`.
   *
   * - `read`: keeps its items from being dropped by acknowledgements of others, and lets the producer run beyond
   *   `aheadLimit`, up to the position that it waits for.
   * - `bounded`: as `read`, but does not raise the bound. For numbers that a client has chosen.
   * - `follow`: neither. It prefers early items to an exact status: once it has waited for a whole turn of the event
   *   loop it settles as soon as items arrive. The other modes give the source a turn to report its end first.
   */
  readonly mode?: "read" | "bounded" | "follow" | undefined;
  /**
   * True if the read, once admitted, acknowledges everything before a numeric or defaulted `start`. Default: true.
   * A read from the tail never acknowledges.
   */
  readonly acknowledge?: boolean | undefined;
  /**
   * Wants the items as JSON, too: the slice has as many of them as fit into these limits, and a read that waits for
   * several items settles as soon as they fill a page. An item without a JSON form ends the slice before it. Default:
   * no JSON is made.
   */
  readonly json?: JsonLimits | undefined;
}

/**
 * A read that the log answers later.
 *
 *     pending ──▶ settled ──take──▶ taken
 *        └──cancel──┴───cancel (*)──▶ cancelled: it has consumed nothing
 *
 * Between the step that settles it and the one in which its reader goes on, other code may run, that of another reader
 * or of one that leaves. So a read of a sequence without `start` keeps the default position until it is taken.
 *
 * (*) Only a read of a sequence without `start` can be undone, and only until the log's status is final: else the reader
 * takes what it has been given.
 */
export interface PendingRead<R> {
  /** The slice. Rejects with the errors of {@link ResultLog.read}, or with the reason of {@link cancel}. */
  readonly settled: Promise<Slice<R>>;
  /**
   * The reader has the slice. To be called in the step in which it is passed on.
   * @throws the reason of {@link cancel} if the read was undone: then the slice must not be used
   */
  take(): void;
  /**
   * Rejects the read with `reason`; a settled one is undone (*): the next read without `start` begins where this one did,
   * behind what others have read or acknowledged since. No effect once it is taken.
   */
  cancel(reason: unknown): void;
  /** Makes the read settle with what is there, as at a time-out. No effect once it has what it waits for. */
  giveUp(): void;
}

/** True for a read that has not been settled. */
export function isPending<R>(read: Slice<R> | PendingRead<R>): read is PendingRead<R> {
  return read.settled !== undefined;
}

/** A range of results together with the state that applies to it, as of the moment the read was settled. */
export interface Slice<R> {
  /** Tells a slice from a {@link PendingRead}. */
  readonly settled?: undefined;
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
  /** Everything before it has been acknowledged. */
  readonly acknowledged: number;
  /** True if the slice reaches the end and nothing will follow. */
  readonly closed: boolean;
  /** How the background work ended; `undefined` while it has not. */
  readonly outcome: FinalStatus | undefined;
  /** With the outcome `aborted`: why, as the first abort has it. */
  readonly abortReason: AbortReason | undefined;
  /** The items as JSON; only if the request asks for it. */
  readonly json: EncodedItems | undefined;
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
  /** Everything before it has been acknowledged. */
  readonly acknowledged: number;
  /** True if the background work has started, or has ended. */
  readonly started: boolean;
  /** True if the producer waits until items are acknowledged. */
  readonly paused: boolean;
  /** True if the background work has ended: nothing more will be produced. */
  readonly ended: boolean;
  /** How the background work ended, as soon as it has. The status follows when the results have been read. */
  readonly outcome?: FinalStatus | undefined;
  /** With the outcome `aborted`: why, as the first abort has it. */
  readonly abortReason?: AbortReason | undefined;
  /** Error of the background work; becomes the runner's `error` with the status `failed`. */
  readonly failure?: ActiveSessionError | undefined;
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
   * Reads a slice: returned directly if it is at hand. A read that fails has consumed nothing; one that is not
   * admitted has not acknowledged anything either.
   * @throws (or rejects with) `POSITION_GONE`, `POSITION_AHEAD`, `READ_CONFLICT`, and with `json` in the request
   *   `RESULT_NOT_SERIALIZABLE` or `ITEM_TOO_LARGE` for the first item
   */
  read(request: ReadRequest): Slice<R> | PendingRead<R>;
  /**
   * Acknowledges everything before `position`. Idempotent.
   * @throws (rejects with) `POSITION_AHEAD` if the position has not been handed out
   */
  acknowledge(position: number): Promise<void>;
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
   * @returns the outcome: directly where the log decides it by itself
   */
  abort(reason: AbortReason): AbortResult | Promise<AbortResult>;
}

/** What an abort has come to. */
export interface AbortResult {
  /** False if the work had ended before, so that the abort has had no effect. */
  readonly hasEffect: boolean;
  /** The state after the abort. */
  readonly state: LogState;
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
  /** The background work has ended. Called once, before {@link onFinal}, with how it has ended. */
  onEnded?(outcome: FinalStatus): void;
  /** The status has become final. Called once, with the state at that moment. */
  onFinal(state: LogState): void;
}
