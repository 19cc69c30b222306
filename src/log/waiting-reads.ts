/**
 * The reads that wait at a log. A read waits in one of two states:
 *
 * - **unready**: fewer than `min` positions beyond its start exist. It can be cancelled by its signal and given up by its
 *   time-out; it becomes ready when the position it waits for is reached.
 * - **ready**: it has what it asked for and settles soon for a turn, in which the source may report its end (or more items). It
 *   cannot be cancelled any more.
 *
 * The log decides when; this file only keeps the set, the timers and the listeners, and sees to it that every read is
 * settled once and leaves nothing behind.
 */
import { noop, onAbort, startTimer } from "../base/async.js";
import type { ReadObserver, ReadRequest, Slice, Wait } from "./result-log.js";

/** Where very many producers keep the loop busy, a read that has what it needs waits no longer than this for its own. */
const mostTurns = 32;

/** One waiting read. */
export class WaitingRead<R> implements Wait {
  ready = false;
  /** At this progress its reader looks whether there is enough for it already. */
  probeAt = Number.POSITIVE_INFINITY;
  /** The progress at which it became ready. */
  readyAt = 0;
  /** Whether a whole turn has to pass before something is done for it. */
  awaitsTurn = false;
  /** Whether it was there, and as ready as it is, when the turn began that is waited for. */
  isWatched = false;
  /** For how many more turns it may wait for a source that has not had its own yet. */
  turnsLeft = mostTurns;
  #reads: WaitingReads<R> | undefined;
  #release: () => void = noop;

  constructor(
    readonly start: number,
    readonly request: ReadRequest,
    readonly observer: ReadObserver | undefined,
    readonly fulfil: (slice: Slice<R>) => void,
    readonly refuse: (reason: unknown) => void,
  ) {}

  /** The read is pending until this position exists. */
  get target(): number {
    return targetOf(this.start, this.request);
  }

  /** The end of what it may hand out. */
  get limit(): number {
    return this.start + this.request.max;
  }

  /** Whether it does not linger: it is eager, and has waited for a whole turn. */
  get isUrgent(): boolean {
    return this.request.eager === true && !this.awaitsTurn;
  }

  /** Whether it asked for the default position, which only one pending read may do. */
  get byDefault(): boolean {
    return this.request.start === undefined;
  }

  /** Lets the request's signal cancel and its time-out give up this read, and its reader do either. */
  arm(reads: WaitingReads<R>): void {
    this.#reads = reads;
    const { signal, timeout, onWait } = this.request;
    onWait?.(this);
    this.observer?.readWaits(this);
    if (signal !== undefined || timeout !== undefined) this.#listen(signal, timeout);
  }

  #listen(signal: AbortSignal | undefined, timeout: number | undefined): void {
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

  /** Hands out its slice; its reader's own code may run in here. */
  resolve(slice: Slice<R>): void {
    this.request.deliver?.(slice);
    this.fulfil(slice);
    this.observer?.readSettled(this.request);
  }

  reject(reason: unknown): void {
    this.refuse(reason);
    this.observer?.readSettled(this.request);
  }

  /** Takes off listener and timer: the read is ready, or settled. */
  disarm(): void {
    this.#reads = undefined;
    this.#release();
    this.#release = noop;
  }
}

/** A read from `start` on waits until this position exists. */
export function targetOf(start: number, { min }: ReadRequest): number {
  return min === undefined ? 0 : start + min;
}

/** What the reads ask of their log. */
export interface ReadsOwner<R> {
  /** Takes what a read gets, and forms its slice; throws if its reader can take none of it. */
  handOut(start: number, request: ReadRequest): Slice<R>;
  /** A read has been cancelled. */
  onCancelled(): void;
  /** The read shall not wait any longer for what it asked for. */
  onGivenUp(read: WaitingRead<R>): void;
}

/** The set of a log's waiting reads; made only when the first read has to wait. */
export class WaitingReads<R> {
  /** In order of arrival. There is mostly one: a set would take longer. */
  readonly #reads: WaitingRead<R>[] = [];
  /** What follows from them, as of the latest {@link measure}. */
  readonly demand: Demand = { ...noDemand };
  readonly #owner: ReadsOwner<R>;

  constructor(owner: ReadsOwner<R>) {
    this.#owner = owner;
  }

  /** As of the call, in order of arrival. */
  all(): WaitingRead<R>[] {
    return [...this.#reads];
  }

  has(read: WaitingRead<R>): boolean {
    return this.#reads.includes(read);
  }

  /** Adds an unready read. */
  add(read: WaitingRead<R>): void {
    if (read.request.signal?.aborted) {
      read.reject(read.request.signal.reason);
      return;
    }
    this.#reads.push(read);
    read.arm(this);
  }

  /** Rejects an unready read. */
  cancel(read: WaitingRead<R>, reason: unknown): void {
    this.remove(read);
    this.#owner.onCancelled();
    read.reject(reason);
  }

  /** Settles an unready read with what there is. */
  giveUp(read: WaitingRead<R>): void {
    this.#owner.onGivenUp(read);
  }

  /** Marks a read as ready: from now on it settles with a slice, whatever its signal does. */
  markReady(read: WaitingRead<R>): void {
    if (!this.has(read)) this.#reads.push(read);
    read.ready = true;
    read.disarm();
  }

  remove(read: WaitingRead<R>): void {
    const at = this.#reads.indexOf(read);
    if (at === this.#reads.length - 1)
      this.#reads.pop(); // mostly it is the only one
    else if (at >= 0) this.#reads.splice(at, 1);
    read.disarm();
  }

  /** Takes what a read gets and settles it, all in this step. The log must be consistent. */
  settle(read: WaitingRead<R>): void {
    this.remove(read);
    let slice: Slice<R>;
    try {
      slice = this.#owner.handOut(read.start, read.request);
    } catch (error) {
      read.reject(error);
      return;
    }
    read.resolve(slice);
  }

  /** Whether a read at the default position is pending. */
  get hasDefault(): boolean {
    return this.#reads.some((read) => read.byDefault);
  }

  /** Brings {@link demand} up to date. */
  measure(): void {
    let { wakeAt, lowestStart, furthestTarget } = noDemand;
    for (const read of this.#reads) {
      wakeAt = Math.min(wakeAt, read.ready ? read.limit + 1 : Math.min(read.target, read.probeAt));
      if (read.request.passive) continue;
      lowestStart = Math.min(lowestStart, read.start);
      if (!read.ready && read.request.raisesBound !== false) furthestTarget = Math.max(furthestTarget, read.target);
    }
    this.demand.wakeAt = wakeAt;
    this.demand.lowestStart = lowestStart;
    this.demand.furthestTarget = furthestTarget;
  }
}

/** What the waiting reads ask of their log. */
export interface Demand {
  /** At this progress one of them has to be looked at. */
  wakeAt: number;
  /** The lowest start of those whose items must stay (all but passive ones), or `Infinity`. */
  lowestStart: number;
  /** The furthest position that an unready one (not a passive one) waits for, or 0. */
  furthestTarget: number;
}

/** As long as nobody waits. */
export const noDemand: Readonly<Demand> = {
  wakeAt: Number.POSITIVE_INFINITY,
  lowestStart: Number.POSITIVE_INFINITY,
  furthestTarget: 0,
};
