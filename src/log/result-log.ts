/**
 * The contract between a runner's results and everything that reads them. A log keeps positions 0, 1, 2…, knows how far
 * they have been produced, handed out and acknowledged, and holds the reads that wait. Whoever reads gets a
 * {@link Slice}: result, position and status, formed by the log in the very step that settles the read.
 *
 * A read gives its slice at once where the log has it at hand, else a promise: a log that lives outside this process always
 * does, and nothing above may assume that items are in memory.
 */

import { noop } from "../base/async.js";
import type { ActiveSessionError } from "../base/error.js";
import type { FinalStatus, RunnerProgress, RunnerStatus } from "../protocol/types.js";

/** How many acknowledged items a log keeps: none, the last n, or all. */
export type Retain = "unacknowledged" | number | "all";

/** What a reader asks for. */
export interface ReadRequest {
  /** First position wanted. Default: the position at the moment of the call. `"tail"`: whatever comes next. */
  readonly start?: number | "tail" | undefined;
  /** The read waits until this many positions beyond `start` exist. Default: it does not wait. */
  readonly min?: number | undefined;
  /** At most this many positions are handed out. */
  readonly max: number;
  /** Cancels this read: it rejects with the signal's reason and has taken nothing. */
  readonly signal?: AbortSignal | undefined;
  /** After so many ms the read settles with what is there. Default: never. */
  readonly timeout?: number | undefined;
  /** Is called in the step in which the read begins to wait, with what else can end its waiting. */
  readonly onWait?: ((wait: Wait) => void) | undefined;
  /**
   * Looks at the items that are about to be handed out and tells how many of them the reader takes: 1 at least, if there is
   * one. Called in the step that forms the slice, again if the first call has led to an abort. What it throws rejects the read,
   * which then has taken nothing. A process gives its value as the only item, if it is new. Default: all.
   */
  readonly accept?: ((items: readonly unknown[]) => number) | undefined;
  /**
   * For a sequence's read that waits for several items: looks at those there are, and tells at how many of them to look again, or 0:
   * they are enough, however few. Must not throw.
   */
  readonly probe?: ((items: readonly unknown[]) => number) | undefined;
  /**
   * Gets the slice in the very step that settles the read, when position and status have moved: for a reader who may be gone
   * when a promise is heard. It may run code that reads or aborts; it must not throw.
   */
  readonly deliver?: ((slice: Slice<unknown>) => void) | undefined;
  /** Whether the read, once accepted, acknowledges everything before a numeric or defaulted `start`. Default: true. */
  readonly acknowledge?: boolean;
  /** Whether its waiting lets the producer run further ahead than `aheadLimit`, as far as it waits for. Default: true. */
  readonly raisesBound?: boolean;
  /**
   * For a reader that only follows what there is: its waiting neither makes the producer go on nor keeps items from being
   * acknowledged away. Default: false.
   */
  readonly passive?: boolean;
  /**
   * For a reader to whom the next items matter more than whether they are the last ones: a read that has waited for a whole turn
   * of the event loop gets what comes at once. Default: false, the source is given a turn to report its end.
   */
  readonly eager?: boolean;
}

/** A read that waits, for a reader who has something better than a signal and a timer for each. Both do nothing once it has what it waits for. */
export interface Wait {
  /** Rejects the read with `reason`; it has taken nothing. */
  cancel(reason: unknown): void;
  /** Settles the read with what is there. */
  giveUp(): void;
}

/** Who is told of a read that has to wait. */
export interface ReadObserver {
  /** It begins to wait. A read that only settles soon until its source has had a turn is not told of: nothing can end that. */
  readWaits(wait: Wait): void;
  /** It is settled, in whichever way. */
  readSettled(request: ReadRequest): void;
}

/** A stretch of results and what holds for it, as of the moment at which its read was settled. */
export interface Slice<R> {
  /** The items from `start` on (sequence), or the newest value (process). */
  readonly result: R;
  /** The first position of the slice. */
  readonly start: number;
  /** The end of the slice: the `start` of the next read. */
  readonly position: number;
  /** The status of this slice: final only if it reaches the end. */
  readonly status: RunnerStatus;
  /** Why the runner failed; only with the status `failed`. */
  readonly error?: ActiveSessionError;
  readonly progress: RunnerProgress;
  /** The first position that is still kept. */
  readonly firstPosition: number;
  /** Whether the slice reaches the end and nothing will follow. */
  readonly closed: boolean;
}

/** A log's state without any results. Taking it is no read: nothing moves. */
export interface LogState {
  readonly status: RunnerStatus;
  readonly position: number;
  readonly progress: RunnerProgress;
  readonly firstPosition: number;
  /** Whether the background has ended: what has been produced is all there will be. */
  readonly ended: boolean;
  /** How the background ended, if it did; the runner's own status follows when the results have been read. */
  readonly outcome?: FinalStatus;
  /** Why the background failed; it is the runner's `error` once the status is `failed`. */
  readonly failure?: ActiveSessionError;
}

/** The reader's side of a log. */
export interface ResultLog<R> {
  /** The last known state; {@link state} gives the exact one. */
  readonly current: LogState;
  /** The status in {@link current}. */
  readonly status: RunnerStatus;
  /** How many items are kept. */
  readonly size: number;
  state(): Promise<LogState>;
  /**
   * Reads a slice. Throws, or rejects with, `POSITION_GONE`, `POSITION_AHEAD`, `READ_CONFLICT`, or the reason of its signal; it
   * has taken nothing then. A read that is refused acknowledges nothing either.
   * @param observer is told if the read gives a promise
   */
  read(request: ReadRequest, observer?: ReadObserver): Slice<R> | Promise<Slice<R>>;
  /** Acknowledges everything before `position`; `POSITION_AHEAD` if that has not been handed out. */
  acknowledge(position: number): Promise<void>;
  /** The furthest acknowledged position. */
  readonly acknowledged: number;
  /** From now on what is kept is counted here. */
  countIn(tally: ItemTally): void;
  /** Nothing will be read any more: lets go of what is kept. */
  discard(): void;
  /** Ends everything: pending reads settle with what they have. False when the status was final already. */
  abort(): boolean;
}

/** Counts the items that many logs keep together. */
export class ItemTally {
  items = 0;

  /**
   * @param most more than so many are told of, as often as one more is kept
   * @param onMore must not throw, and must not change a log in this step
   */
  constructor(
    readonly most = Number.POSITIVE_INFINITY,
    readonly onMore: () => void = noop,
  ) {}
}

/** What a log tells its runner, after its own state is consistent. */
export interface LogEvents {
  /** The background runs. */
  onStarted?(): void;
  /** The log takes no more and has ended the runner by itself: its work must stop. */
  onOverflow?(error: ActiveSessionError): void;
  /** The status has become final. */
  onFinal(): void;
}
