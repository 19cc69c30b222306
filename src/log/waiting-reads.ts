import type { PendingRead, ReadRequest, Slice } from "./result-log.js";

/**
 * Maximum number of turns that a ready read waits for a source that has not had its own turn yet. Reached only if
 * very many producers keep the loop busy.
 */
const mostTurns = 32;

/** The default position of a log. */
export interface DefaultPosition<R> {
  /** A read at the default position has been settled: it keeps the position until it is taken. */
  keep(read: PendingRead<R>): void;
  /** The read has been taken. */
  free(read: PendingRead<R>): void;
  /**
   * The read is cancelled before it is taken.
   * @returns false if it cannot be undone any more
   */
  giveBack(read: PendingRead<R>): boolean;
}

/**
 * A read that waits at a log. While it is pending it is in one of two states:
 *
 * - **unready**: fewer than `min` positions beyond its start exist. It becomes ready when the position it waits for is
 *   reached, or when its reader gives up.
 * - **ready**: it has what it asked for and waits for a turn, in which the source may report its end or more items.
 *
 * The log decides on the transitions. See {@link PendingRead} for what follows.
 */
export class WaitingRead<R> implements PendingRead<R> {
  /** See {@link PendingRead.settled}. */
  readonly settled: Promise<Slice<R>>;
  /** True in the state ready. */
  ready = false;
  /** Progress at which the items are encoded next to see if they fill a page; `Infinity` if never. */
  probeAt = Number.POSITIVE_INFINITY;
  /** Progress at which the read became ready. */
  readyAt = 0;
  /** True while a whole turn has to pass before the read is served. */
  awaitsTurn = false;
  /** True if the read was present, and as ready as now, when the turn in question began. */
  isWatched = false;
  /** Number of turns the read may still wait for a source that has not had its own. */
  turnsLeft = mostTurns;
  /** The set to which the read belongs while it is pending. */
  reads: WaitingReads<R> | undefined;
  #refuse!: (reason: unknown) => void;
  #fulfil!: (slice: Slice<R>) => void;
  /** Of a read without `start`. */
  readonly #position: DefaultPosition<R> | undefined;
  /** True for a read without `start` between being settled and being taken. */
  #isUntaken = false;
  /** True once it is resolved or rejected. */
  #isSettled = false;
  /** Set if it was cancelled while it got its items, by their code, or after it had been settled. */
  #cancelled: { readonly reason: unknown } | undefined;

  /**
   * @param start first position wanted, resolved to a number
   * @param request the parameters of the read
   * @param position the default position, if the log has one
   */
  constructor(
    readonly start: number,
    readonly request: ReadRequest,
    position?: DefaultPosition<R>,
  ) {
    if (request.start === undefined) this.#position = position;
    this.settled = new Promise((resolve, reject) => {
      this.#fulfil = resolve;
      this.#refuse = reject;
    });
  }

  /** The read waits until this position exists. */
  get target(): number {
    return targetOf(this.start, this.request);
  }

  /** End of the range the read may be given. */
  get limit(): number {
    return this.start + this.request.max;
  }

  /** True if the read is served as soon as items arrive: it follows, and has waited for a whole turn. */
  get isUrgent(): boolean {
    return this.follows && !this.awaitsTurn;
  }

  /** True if the read only follows what is there. */
  get follows(): boolean {
    return this.request.mode === "follow";
  }

  /** True if the read has no `start`. Only one such read may be pending at a sequence. */
  get byDefault(): boolean {
    return this.request.start === undefined;
  }

  /** Resolves the read. */
  resolve(slice: Slice<R>): void {
    this.#isSettled = true;
    if (this.#position) {
      this.#isUntaken = true;
      this.#position.keep(this);
      if (this.#cancelled) this.#undo(this.#cancelled.reason); // by code of its own items
    }
    this.#fulfil(slice);
  }

  /** Resolves the read with the slice that `form` returns, or rejects it with the error that it throws. */
  settleBy(form: () => Slice<R>): void {
    let slice: Slice<R>;
    try {
      slice = form();
    } catch (error) {
      this.reject(error);
      return;
    }
    this.resolve(slice);
  }

  /** Rejects the read; with the reason of its cancellation if there is one. */
  reject(reason: unknown): void {
    this.#isSettled = true;
    this.#refuse(this.#cancelled ? this.#cancelled.reason : reason);
  }

  /** See {@link PendingRead.take}. */
  take(): void {
    if (this.#isUntaken) this.#free();
    else if (this.#cancelled && this.#position) throw this.#cancelled.reason;
  }

  /** See {@link PendingRead.cancel}. */
  cancel(reason: unknown): void {
    if (this.reads) this.reads.cancel(this, reason);
    else if (this.#isUntaken) this.#undo(reason);
    else if (!this.#isSettled) this.#cancelled ??= { reason };
  }

  #undo(reason: unknown): void {
    if (!this.#position?.giveBack(this)) {
      this.#cancelled = undefined;
      return;
    }
    this.#cancelled = { reason };
    this.#free();
  }

  #free(): void {
    this.#isUntaken = false;
    this.#position?.free(this);
  }

  /** See {@link PendingRead.giveUp}. */
  giveUp(): void {
    if (!this.ready) this.reads?.giveUp(this);
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
   * @throws if the first item has no JSON form that the read may have; then nothing has been consumed
   */
  handOut(start: number, request: ReadRequest): Slice<R>;
  /** A read has been cancelled and removed. */
  onCancelled(): void;
  /** An unready read stops waiting for its target. The owner has to settle it. */
  onGivenUp(read: WaitingRead<R>): void;
}

/** The waiting reads of a log. Each is settled exactly once. */
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
   * Returns a snapshot in order of arrival. Settling runs code of the application, which may change the set during a
   * loop: check {@link has} for each read.
   */
  all(): WaitingRead<R>[] {
    return [...this.#reads];
  }

  /** True if the read is still pending. */
  has(read: WaitingRead<R>): boolean {
    return this.#reads.includes(read);
  }

  /** Adds a read. */
  add(read: WaitingRead<R>): void {
    this.#reads.push(read);
    read.reads = this;
  }

  /** Rejects a read. */
  cancel(read: WaitingRead<R>, reason: unknown): void {
    this.remove(read);
    this.#owner.onCancelled();
    read.reject(reason);
  }

  /** Makes the owner settle an unready read with what is there. */
  giveUp(read: WaitingRead<R>): void {
    this.#owner.onGivenUp(read);
  }

  /** Removes a read without settling it. */
  remove(read: WaitingRead<R>): void {
    const at = this.#reads.indexOf(read);
    if (at === this.#reads.length - 1)
      this.#reads.pop(); // mostly the only element
    else if (at >= 0) this.#reads.splice(at, 1);
    read.reads = undefined;
  }

  /**
   * Removes a read and settles it with a slice, or with the error of its first item, in one step. The log must be
   * consistent.
   */
  settle(read: WaitingRead<R>): void {
    this.remove(read);
    read.settleBy(() => this.#owner.handOut(read.start, read.request));
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
      const { mode = "read" } = read.request;
      if (mode === "follow") continue;
      lowestStart = Math.min(lowestStart, read.start);
      if (!read.ready && mode === "read") furthestTarget = Math.max(furthestTarget, read.target);
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
  /** Lowest start of the reads whose items must be kept, i.e. all that do not only follow; `Infinity` if none. */
  lowestStart: number;
  /**
   * Furthest position that an unready read lets the producer reach beyond its limit; 0 if none. Only reads of the mode
   * `read` count.
   */
  furthestTarget: number;
}

/** The demand of no reads. */
export const noDemand: Readonly<Demand> = {
  wakeAt: Number.POSITIVE_INFINITY,
  lowestStart: Number.POSITIVE_INFINITY,
  furthestTarget: 0,
};
