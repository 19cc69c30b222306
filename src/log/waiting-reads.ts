import { noop, onAbort, startTimer } from "../base/async.js";
import type { ReadObserver, ReadRequest, Slice, Wait } from "./result-log.js";

/**
 * Maximum number of turns that a ready read waits for a source that has not had its own turn yet. Reached only if
 * very many producers keep the loop busy.
 */
const mostTurns = 32;

/**
 * A read that waits at a log. It is in one of two states:
 *
 * - **unready**: fewer than `min` positions beyond its start exist. Its signal can cancel it and its time-out can
 *   give it up. It becomes ready when the position it waits for is reached.
 * - **ready**: it has what it asked for and waits for a turn, in which the source may report its end or more items.
 *   It can no longer be cancelled.
 *
 * The log decides on the transitions.
 */
export class WaitingRead<R> implements Wait {
  /** True in the state ready. */
  ready = false;
  /** Progress at which the reader's `probe` is called next; `Infinity` if never. */
  probeAt = Number.POSITIVE_INFINITY;
  /** Progress at which the read became ready. */
  readyAt = 0;
  /** True while a whole turn has to pass before the read is served. */
  awaitsTurn = false;
  /** True if the read was present, and as ready as now, when the turn in question began. */
  isWatched = false;
  /** Number of turns the read may still wait for a source that has not had its own. */
  turnsLeft = mostTurns;
  /**
   * The set to which an unready read belongs; unset when it is ready or settled, which disables {@link cancel} and
   * {@link giveUp}.
   */
  #reads: WaitingReads<R> | undefined;
  /** Removes listener and timer. */
  #release: () => void = noop;

  /**
   * @param start first position wanted, resolved to a number
   * @param request the parameters of the read
   * @param observer notified when the read begins to wait and when it is settled
   * @param fulfil resolves the reader's promise
   * @param refuse rejects the reader's promise
   */
  constructor(
    readonly start: number,
    readonly request: ReadRequest,
    readonly observer: ReadObserver | undefined,
    readonly fulfil: (slice: Slice<R>) => void,
    readonly refuse: (reason: unknown) => void,
  ) {}

  /** The read waits until this position exists. */
  get target(): number {
    return targetOf(this.start, this.request);
  }

  /** End of the range the read may be given. */
  get limit(): number {
    return this.start + this.request.max;
  }

  /** True if the read is served as soon as items arrive: it is eager and has waited for a whole turn. */
  get isUrgent(): boolean {
    return this.request.eager === true && !this.awaitsTurn;
  }

  /** True if the read has no `start`. Only one such read may be pending at a sequence. */
  get byDefault(): boolean {
    return this.request.start === undefined;
  }

  /**
   * Connects an unready read with the sources that can end its waiting: signal, time-out, the reader and the
   * observer.
   */
  arm(reads: WaitingReads<R>): void {
    this.#reads = reads;
    const { signal, timeout, onWait } = this.request;
    onWait?.(this);
    this.observer?.readWaits(this);
    if (signal !== undefined || timeout !== undefined) this.#listen(signal, timeout);
  }

  /** Separate from {@link arm}, so that reads without signal and time-out allocate no closures. */
  #listen(signal: AbortSignal | undefined, timeout: number | undefined): void {
    const offAbort = onAbort(signal, () => this.cancel(signal?.reason));
    const offTimer = timeout === undefined ? noop : startTimer(timeout, () => this.giveUp());
    this.#release = () => {
      offAbort();
      offTimer();
    };
  }

  /** Rejects the read if it is unready. */
  cancel(reason: unknown): void {
    this.#reads?.cancel(this, reason);
  }

  /** Settles the read with what is there, if it is unready. */
  giveUp(): void {
    this.#reads?.giveUp(this);
  }

  /** Resolves the read. Code of the reader runs in here. */
  resolve(slice: Slice<R>): void {
    this.request.deliver?.(slice);
    this.fulfil(slice);
    this.observer?.readSettled(this.request);
  }

  /** Rejects the read. */
  reject(reason: unknown): void {
    this.refuse(reason);
    this.observer?.readSettled(this.request);
  }

  /** Removes listener and timer. To be called when the read becomes ready or is settled. Idempotent. */
  disarm(): void {
    this.#reads = undefined;
    this.#release();
    this.#release = noop;
  }
}

/** Returns the position that must exist before a read from `start` is served; 0 if the read does not wait. */
export function targetOf(start: number, { min }: ReadRequest): number {
  return min === undefined ? 0 : start + min;
}

/** The log that owns the reads. */
export interface ReadsOwner<R> {
  /**
   * Consumes what the read is given and forms its slice.
   * @throws what the reader's `accept` throws; then nothing has been consumed
   */
  handOut(start: number, request: ReadRequest): Slice<R>;
  /** An unready read has been cancelled and removed. */
  onCancelled(): void;
  /** An unready read stops waiting for its target. The owner has to settle it. */
  onGivenUp(read: WaitingRead<R>): void;
}

/**
 * The waiting reads of a log, with their timers and listeners. Each read is settled exactly once and leaves nothing
 * behind.
 */
export class WaitingReads<R> {
  /** In order of arrival. An array: there is mostly one element, for which a set would be slower. */
  readonly #reads: WaitingRead<R>[] = [];
  /** The requirements of the reads, as of the latest {@link measure}. Updated in place: the log keeps a reference. */
  readonly demand: Demand = { ...noDemand };
  readonly #owner: ReadsOwner<R>;

  /** @param owner the log */
  constructor(owner: ReadsOwner<R>) {
    this.#owner = owner;
  }

  /**
   * Returns a snapshot in order of arrival. Settling runs code of readers, which may change the set during a loop:
   * check {@link has} for each read.
   */
  all(): WaitingRead<R>[] {
    return [...this.#reads];
  }

  /** True if the read is still pending. */
  has(read: WaitingRead<R>): boolean {
    return this.#reads.includes(read);
  }

  /** Adds an unready read. Rejects it at once if its signal has aborted. */
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

  /** Makes the owner settle an unready read with what is there. */
  giveUp(read: WaitingRead<R>): void {
    this.#owner.onGivenUp(read);
  }

  /** Marks a read as ready, adding it if necessary. From now on its signal and its time-out have no effect. */
  markReady(read: WaitingRead<R>): void {
    if (!this.has(read)) this.#reads.push(read);
    read.ready = true;
    read.disarm();
  }

  /** Removes a read without settling it. */
  remove(read: WaitingRead<R>): void {
    const at = this.#reads.indexOf(read);
    if (at === this.#reads.length - 1)
      this.#reads.pop(); // mostly the only element
    else if (at >= 0) this.#reads.splice(at, 1);
    read.disarm();
  }

  /**
   * Removes a read and settles it with a slice, or with the error of its reader, in one step. The log must be
   * consistent.
   */
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

  /** True if a read without `start` is pending. */
  get hasDefault(): boolean {
    return this.#reads.some((read) => read.byDefault);
  }

  /**
   * Brings {@link demand} up to date. A log that uses the demand calls this after each change of the set or of the
   * state of a read. A ready read already has what it needs; it is looked at again only when there is more than it
   * may take.
   */
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

/** The requirements of the waiting reads, summarised so that appending an item costs one comparison. */
export interface Demand {
  /** Lowest progress at which one of the reads has to be looked at; `Infinity` if none. */
  wakeAt: number;
  /** Lowest start of the reads whose items must be kept, i.e. all but passive ones; `Infinity` if none. */
  lowestStart: number;
  /**
   * Furthest position that an unready read lets the producer reach beyond its limit; 0 if none. Passive reads and
   * those with `raisesBound: false` do not count.
   */
  furthestTarget: number;
}

/** The demand of no reads. */
export const noDemand: Readonly<Demand> = {
  wakeAt: Number.POSITIVE_INFINITY,
  lowestStart: Number.POSITIVE_INFINITY,
  furthestTarget: 0,
};
