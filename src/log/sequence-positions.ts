import type { RunnerProgress, RunnerStatus } from "../protocol/types.js";
import { ReadPosition } from "./read-position.js";
import type { ItemTally, LogEvents, LogState } from "./result-log.js";
import { RetainedItems } from "./retained-items.js";
import type { SequenceLogOptions } from "./sequence-sink.js";
import { LogStatus, type Positions } from "./status.js";

/**
 * What a sequence in memory has, and how it is told.
 *
 * Four positions, always in this order:
 *
 *     first ≤ acknowledged ≤ position ≤ progress
 *       │          │            │          └ how far the producer has come
 *       │          │            └ end of the furthest item handed out (or skipped by an explicit start)
 *       │          └ everything before it is known to have been received
 *       └ first item kept: `acknowledged`, or earlier by what `retain` keeps in addition
 */
export abstract class SequencePositions<T> implements Positions {
  /** How far the work is. */
  protected readonly life: LogStatus;
  /** The items kept. Its ends are the positions `first` and `progress`. */
  protected readonly kept: RetainedItems<T>;
  /** Its end is the position. */
  protected readonly handedOut = new ReadPosition<T[]>();
  /** Number of items that the producer expects in all. */
  protected expected: number | undefined;

  constructor(options: SequenceLogOptions, events: LogEvents, tally: ItemTally | undefined) {
    this.kept = new RetainedItems(options, tally);
    this.life = new LogStatus(events);
  }

  /** True if the producer has to pause. False after the end, so that a stopped producer does not hang. */
  get isFull(): boolean {
    return this.kept.isAtBound && !this.life.ended;
  }

  /** The exact state: a log in memory has no other. */
  get current(): LogState {
    return this.life.describe(this);
  }

  /** Number of items kept. */
  get size(): number {
    return this.kept.end - this.kept.first;
  }

  /** End of the furthest item handed out. */
  get position(): number {
    return this.handedOut.end;
  }

  /** How far the producer has come. Once the work has ended, the estimated end is exact. */
  get progress(): RunnerProgress {
    const current = this.kept.end;
    const estimatedEnd = this.life.ended ? current : this.expected;
    return estimatedEnd === undefined ? { current } : { current, estimatedEnd };
  }

  /** First item kept. */
  get firstPosition(): number {
    return this.kept.first;
  }

  /** The furthest acknowledged position. */
  get acknowledged(): number {
    return this.kept.acknowledged;
  }

  /** True while the producer waits for acknowledgements. */
  get paused(): boolean {
    return this.isFull;
  }

  /** The status of the runner. */
  get status(): RunnerStatus {
    return this.life.final ?? this.life.statusAt(this.position, this.kept.end);
  }

  /** Returns {@link current}. */
  async state(): Promise<LogState> {
    return this.current;
  }
}
