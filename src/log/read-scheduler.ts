import { afterTurn, turnsPassed } from "../base/event-loop.js";
import type { ReadRequest, Slice } from "./result-log.js";
import { type Demand, type ReadsOwner, type WaitingRead, WaitingReads } from "./waiting-reads.js";

/** The log whose reads are scheduled. */
export interface ScheduledLog<R> {
  /** Number of positions produced. */
  readonly produced: number;
  /** True if the producer is running or has run. */
  readonly started: boolean;
  /** True if nothing more will be produced. */
  readonly ended: boolean;
  /** True while the producer waits for its share of the event loop. It may then still have something to report. */
  readonly isYielding: boolean;
  /** See {@link ReadsOwner.handOut}. */
  handOut(start: number, request: ReadRequest): Slice<R>;
  /**
   * Looks if the items available from `start` on fill the page that the read asks for. Runs code of the items.
   * @returns the progress at which to look again, or {@link enough}
   */
  probe(start: number, request: ReadRequest): number;
  /** The {@link ReadScheduler.demand} has changed. May change what is kept and how far the producer may go; runs no code of items. */
  onDemand(): void;
  /** Reads were settled after a turn, outside of any call of the log: the status may have become final. */
  onSettledLater(): void;
}

/** The result of a probe of items that are enough. */
export const enough = 0;

/**
 * True if a read can be settled now, because nothing that may still happen in this turn would change its slice: the log has ended, or
 * nothing is running, or there is more than the read may take.
 * @param isReady the read has what it asked for
 * @param limit the end of the range that it may be given
 */
export function isDue(log: ScheduledLog<unknown>, isReady: boolean, limit: number): boolean {
  return log.ended || (isReady && (!log.started || log.produced > limit));
}

/**
 * Decides when the waiting reads of a sequence are settled. A slice with the last item should also tell that it is the last: so a read
 * that has what it asked for waits until the source has had a turn of the event loop to report its end.
 *
 *     unready ──its target is reached, its page is full, its reader gives up──▶ ready ──▶ settled
 *        └───────────────────── cancelled ◀────────────────────────────────────┤     └ there is more than it may take,
 *                                                                              ┘       the end, or its turn has passed
 *
 * Invariants:
 *
 * 1. A read is settled or cancelled once. It is removed before code of its items runs.
 * 2. A ready read is settled after one whole turn, during which the source could act. A turn does not count while the source itself
 *    waits for its share of the loop; at most `mostTurns` turns are granted for that.
 * 3. A turn is whole for a read only if the read was there, as ready as it is, when the call-back was requested.
 * 4. At most one call-back is pending. It is requested for a read that awaits a turn.
 * 5. A following read that has waited for a whole turn is urgent: it is settled as soon as an item arrives.
 * 6. {@link demand} is that of the reads that are pending, whenever control leaves the scheduler.
 */
export class ReadScheduler<R> implements ReadsOwner<R> {
  readonly #log: ScheduledLog<R>;
  readonly #reads: WaitingReads<R> = new WaitingReads<R>(this);
  /** True while a call-back of {@link afterTurn} is pending. */
  #isWatching = false;
  /** Value of {@link turnsPassed} when that call-back was requested. */
  #watchesSince = 0;
  /** The call-back, created once. */
  readonly #onTurn = (): void => this.#turnIsOver();

  constructor(log: ScheduledLog<R>) {
    this.#log = log;
  }

  /** What the pending reads require. The same object at each access, changed in place. */
  get demand(): Readonly<Demand> {
    return this.#reads.demand;
  }

  /** True if a read without `start` is pending. */
  get hasDefault(): boolean {
    return this.#reads.hasDefault;
  }

  /** Adds a read that is not due. An unready read that follows starts counting its turn here. */
  add(read: WaitingRead<R>, isReady: boolean): void {
    this.#reads.add(read);
    if (isReady) this.#settleSoon(read);
    else if (read.follows) this.#watch(read);
    this.#changed();
  }

  /** Serves the reads that the present progress concerns. To be called when it reaches `demand.wakeAt`. */
  wake(): void {
    const reads = this.#reads;
    for (const read of reads.all()) {
      if (!reads.has(read)) continue; // settled meanwhile
      const isReady = read.ready || this.#log.ended || this.#log.produced >= read.target || this.#hasEnough(read);
      if (!reads.has(read)) continue; // settled by code of the items
      if (isDue(this.#log, isReady, read.limit) || (isReady && read.isUrgent)) reads.settle(read);
      else if (isReady && !read.ready) this.#settleSoon(read);
    }
    this.#changed();
  }

  /** The pending reads. */
  all(): WaitingRead<R>[] {
    return this.#reads.all();
  }

  /** Removes and returns all pending reads. */
  takeAll(): WaitingRead<R>[] {
    const reads = this.#reads.all();
    for (const read of reads) this.#reads.remove(read);
    this.#reads.measure();
    return reads;
  }

  /** Settles a read of a log that has ended, unless it is over. The demand stays: it keeps the items of the next ones. */
  settle(read: WaitingRead<R>): void {
    if (this.#reads.has(read)) this.#reads.settle(read);
  }

  /** Rejects the pending reads that start before a position, each with an error of its own. Only reads that follow can. */
  rejectBefore(position: number, makeError: (start: number) => unknown): void {
    for (const read of this.#reads.all()) {
      if (read.start >= position) continue;
      this.#reads.remove(read);
      read.reject(makeError(read.start));
    }
  }

  /** See {@link ScheduledLog.handOut}. */
  handOut(start: number, request: ReadRequest): Slice<R> {
    return this.#log.handOut(start, request);
  }

  /** A cancelled read no longer holds back acknowledgements or raises the bound. */
  onCancelled(): void {
    this.#changed();
  }

  /** A read whose time is up also gives the source a turn to report its end. */
  onGivenUp(read: WaitingRead<R>): void {
    this.#settleSoon(read);
    this.#changed();
  }

  /** Probes again if the progress for that is reached. */
  #hasEnough(read: WaitingRead<R>): boolean {
    if (this.#log.produced < read.probeAt) return false;
    read.probeAt = this.#log.probe(read.start, read.request);
    return read.probeAt === enough;
  }

  /** Makes a read ready. */
  #settleSoon(read: WaitingRead<R>): void {
    read.ready = true;
    read.readyAt = this.#log.produced;
    this.#watch(read);
  }

  /**
   * Lets a whole turn begin for the read. If a call-back is already pending and a turn has passed since it was requested, it would come
   * too early: the read is then served by the next one.
   */
  #watch(read: WaitingRead<R>): void {
    read.awaitsTurn = true;
    this.#callAfterTurn();
    read.isWatched = turnsPassed() === this.#watchesSince;
  }

  /** Requests one call-back for all reads that await a turn. */
  #callAfterTurn(): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    this.#watchesSince = turnsPassed();
    afterTurn(this.#onTurn);
  }

  /** Settles the ready reads whose turn has passed, and marks those that follow as urgent. */
  #turnIsOver(): void {
    const reads = this.#reads;
    this.#isWatching = false;
    let hasMore = false;
    for (const read of reads.all()) {
      if (!read.awaitsTurn || !reads.has(read)) continue; // settled meanwhile, by code of another read's items
      if (read.isWatched && !this.#isAsleep(read)) {
        read.awaitsTurn = false;
        if (read.ready) reads.settle(read);
      } else {
        read.isWatched = true;
        hasMore = true;
      }
    }
    if (hasMore) this.#callAfterTurn();
    this.#changed();
    this.#log.onSettledLater();
  }

  /**
   * True if the turn does not count for the read: the source waits for its share of the loop and has not appended anything since the
   * read became ready. Bounded by the read's `turnsLeft`.
   */
  #isAsleep(read: WaitingRead<R>): boolean {
    return read.ready && this.#log.isYielding && read.readyAt === this.#log.produced && read.turnsLeft-- > 0;
  }

  /** The set of reads, or the state of one, has changed. */
  #changed(): void {
    this.#reads.measure();
    this.#log.onDemand();
  }
}
