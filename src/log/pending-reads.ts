/**
 * The reads that wait at a log. A read waits in one of two states:
 *
 * - **unripe**: fewer than `min` positions beyond its start exist. It can be cancelled by its signal and given up by its
 *   time-out; it ripens when the position it waits for is reached.
 * - **ripe**: it has what it asked for and lingers for a turn, in which the source may report its end (or more items). It
 *   cannot be cancelled any more.
 *
 * The log decides when; this file only keeps the set, the timers and the listeners, and sees to it that every read is
 * settled once and leaves nothing behind.
 */
import { noop, onAbort, startTimer } from "../base/async.js";
import type { ReadRequest, Slice, Wait } from "./result-log.js";

/** Where very many producers keep the loop busy, a read that has what it needs waits no longer than this for its own. */
const mostTurns = 32;

/** One waiting read. */
export class PendingRead<R> implements Wait {
  ripe = false;
  /** The progress at which it became ripe. */
  ripeAt = 0;
  /** For how many more turns it may wait for a source that has not had its own yet. */
  patience = mostTurns;
  /** What keeps it until its turn is over; a read that is settled before lets go of its slice at once. */
  ticket: { read: PendingRead<R> | undefined } | undefined;
  #reads: PendingReads<R> | undefined;
  #release: () => void = noop;

  constructor(
    readonly start: number,
    readonly request: ReadRequest,
    readonly fulfil: (slice: Slice<R>) => void,
    readonly reject: (reason: unknown) => void,
  ) {}

  /** The read is pending until this position exists. */
  get target(): number {
    const { min } = this.request;
    return min === undefined ? 0 : this.start + min;
  }

  /** The end of what it may hand out. */
  get limit(): number {
    return this.start + this.request.max;
  }

  /** Whether it asked for the default position, which only one pending read may do. */
  get byDefault(): boolean {
    return this.request.start === undefined;
  }

  /** Lets the request's signal cancel and its time-out give up this read, and its reader do either. */
  arm(reads: PendingReads<R>): void {
    this.#reads = reads;
    const { signal, timeout, onWait } = this.request;
    onWait?.(this);
    if (signal === undefined && timeout === undefined) return;
    const offAbort = onAbort(signal, () => this.cancel(signal?.reason));
    const offTimer = timeout === undefined ? noop : startTimer(timeout, () => this.giveUp());
    this.#release = () => {
      offAbort();
      offTimer();
    };
  }

  cancel(reason: unknown): void {
    this.#reads?.cancel(this, reason);
  }

  giveUp(): void {
    this.#reads?.giveUp(this);
  }

  /** Hands out its slice. The log must be consistent: code of the reader may run in here. */
  resolve(slice: Slice<R>): void {
    this.request.deliver?.(slice);
    this.fulfil(slice);
  }

  /** Takes off listener and timer: the read is ripe, or settled. */
  disarm(): void {
    this.#reads = undefined;
    this.#release();
    this.#release = noop;
  }
}

/** The set of a log's waiting reads; made only when the first read has to wait. */
export class PendingReads<R> implements Iterable<PendingRead<R>> {
  readonly #reads = new Set<PendingRead<R>>();
  readonly #changed: () => void;
  readonly #giveUp: (read: PendingRead<R>) => void;

  /**
   * @param changed is called when a read has been cancelled
   * @param giveUp is called with a read that shall not wait any longer
   */
  constructor(changed: () => void, giveUp: (read: PendingRead<R>) => void) {
    this.#changed = changed;
    this.#giveUp = giveUp;
  }

  [Symbol.iterator](): Iterator<PendingRead<R>> {
    return this.#reads.values();
  }

  has(read: PendingRead<R>): boolean {
    return this.#reads.has(read);
  }

  /** Adds an unripe read. */
  add(read: PendingRead<R>): void {
    if (read.request.signal?.aborted) {
      read.reject(read.request.signal.reason);
      return;
    }
    this.#reads.add(read);
    read.arm(this);
  }

  /** Rejects an unripe read. */
  cancel(read: PendingRead<R>, reason: unknown): void {
    this.remove(read);
    this.#changed();
    read.reject(reason);
  }

  /** Settles an unripe read with what there is. */
  giveUp(read: PendingRead<R>): void {
    this.#giveUp(read);
  }

  /** Marks a read as ripe: from now on it settles with a slice, whatever its signal does. */
  ripen(read: PendingRead<R>): void {
    this.#reads.add(read);
    read.ripe = true;
    read.disarm();
  }

  remove(read: PendingRead<R>): void {
    this.#reads.delete(read);
    read.disarm();
    if (read.ticket) read.ticket.read = undefined;
  }

  /** Whether a read at the default position is pending. */
  get hasDefault(): boolean {
    for (const read of this.#reads) if (read.byDefault) return true;
    return false;
  }

  /** What follows from them: see {@link Demand}. */
  get demand(): Demand {
    let wakeAt = Number.POSITIVE_INFINITY;
    let lowestStart = Number.POSITIVE_INFINITY;
    let furthestTarget = 0;
    for (const read of this.#reads) {
      wakeAt = Math.min(wakeAt, read.ripe ? read.limit + 1 : read.target);
      if (read.request.passive) continue;
      lowestStart = Math.min(lowestStart, read.start);
      if (!read.ripe) furthestTarget = Math.max(furthestTarget, read.target);
    }
    return { wakeAt, lowestStart, furthestTarget };
  }
}

/** What the waiting reads ask of their log. */
export interface Demand {
  /** At this progress one of them has to be looked at. */
  readonly wakeAt: number;
  /** The lowest start of those whose items must stay (all but passive ones), or `Infinity`. */
  readonly lowestStart: number;
  /** The furthest position that an unripe one (not a passive one) waits for, or 0. */
  readonly furthestTarget: number;
}

/** As long as nobody waits. */
export const noDemand: Demand = {
  wakeAt: Number.POSITIVE_INFINITY,
  lowestStart: Number.POSITIVE_INFINITY,
  furthestTarget: 0,
};
