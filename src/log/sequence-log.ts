import { createDeferred, type Deferred } from "../base/async.js";
import { ActiveSessionError, runnerFailed } from "../base/error.js";
import { afterTurn, turnsPassed } from "../base/event-loop.js";
import type { RunnerProgress, RunnerStatus } from "../protocol/types.js";
import type {
  ItemTally,
  LogEvents,
  LogState,
  ReadObserver,
  ReadRequest,
  ResultLog,
  Retain,
  Slice,
} from "./result-log.js";
import { RingBuffer } from "./ring-buffer.js";
import { LogStatus } from "./status.js";
import { type Demand, noDemand, type ReadsOwner, targetOf, WaitingRead, WaitingReads } from "./waiting-reads.js";

/** Result of a probe: the reader waits no longer. */
const enough = 0;

/** How much a sequence log keeps and how far its producer may run ahead. */
export interface SequenceLogOptions {
  /** The producer pauses when this many items are not acknowledged. A positive integer. */
  readonly aheadLimit: number;
  /** Which acknowledged items to keep. */
  readonly retain: Retain;
  /**
   * Maximum number of items to keep. Where acknowledgements cannot make room, a runner that exceeds it fails with
   * `RUNNER_TOO_LARGE`. Default: `Infinity`, no limit.
   */
  readonly mostItems?: number;
}

/** The producer's side of a sequence log. */
export interface SequenceSink<T> {
  /** The producer is running. */
  start(): void;
  /** Adds the next item. Ignored after the end, so a producer that is late to stop does no harm. */
  append(item: T): void;
  /**
   * Sets the number of items expected at the end, which readers see as `progress.estimatedEnd`. May be called again. Once the source
   * has ended, the number of its items counts instead.
   * @param count `undefined`: not known (any more)
   */
  total(count: number | undefined): void;
  /**
   * Set by the producer while it waits for its share of the event loop. It may then still have something to report,
   * so reads that could be settled wait for it.
   */
  isYielding: boolean;
  /** True if the producer must await {@link room} before it appends. */
  readonly isFull: boolean;
  /** Resolves when there is room, or when nothing more is wanted. Never rejects. */
  room(): Promise<void>;
  /** The source has ended by itself. */
  end(): void;
  /**
   * The source has failed.
   * @param cause what it threw
   */
  fail(cause: unknown): void;
}

/**
 * The results of a sequence runner, in memory.
 *
 * Four positions, always in this order:
 *
 *     first ≤ acknowledged ≤ position ≤ progress
 *       │          │            │          └ how far the producer has come
 *       │          │            └ end of the furthest item handed out (or skipped by an explicit start)
 *       │          └ everything before it is known to have been received
 *       └ first item kept: `acknowledged`, or earlier by what `retain` keeps in addition
 *
 * States and transitions:
 *
 *     not started ──start──▶ running ──end──▶ ended ──a read reaches the end──▶ final: completed, failed
 *          └──────────────abort──┴──────────────┴──▶ final: aborted
 *
 * - **running**: `append` adds items. The status is `progressed` while there are items to hand out, else `stalled`.
 * - **ended**: nothing is added any more. The read that returns the last item, or finds none left, makes the status
 *   final. If everything had been handed out before, it is final at once.
 * - **aborted**: pending reads took what they could, then the log was cut at `position`. Items handed out before
 *   stay.
 * - A final status never changes, and `position` does not move in it.
 *
 * Back-pressure: the producer pauses when `progress` reaches the bound, which is `acknowledged + aheadLimit` or, if
 * that is further, the position that a waiting read needs.
 *
 * A slice is formed in the step that settles its read, so that items, positions and status agree. Code of the
 * application runs inside `accept`, `probe` and `deliver` (e.g. `toJSON` of an item) and may read, acknowledge or
 * abort: state is checked again after each of them.
 */
export class SequenceLog<T> implements ResultLog<T[]>, ReadsOwner<T[]>, SequenceSink<T> {
  readonly #options: SequenceLogOptions;
  readonly #events: LogEvents;
  readonly #life: LogStatus;
  /** The items kept. Its ends are the positions `first` and `progress`. */
  readonly #window: RingBuffer<T>;
  /** End of the furthest item handed out or skipped. */
  #position = 0;
  /**
   * Furthest position named by a reader. `#acknowledged` follows as soon as no pending read needs the items before
   * it.
   */
  #received = 0;
  /** Everything before this position is known to have been received. */
  #acknowledged = 0;
  /**
   * Progress of the producer before an abort. A start between the end and this position is valid and reads as the
   * end.
   */
  #formerProgress = 0;
  /** Created with the first read that has to wait; reads that are served at once do not need it. */
  #reads: WaitingReads<T[]> | undefined;
  /** Requirements of the pending reads. Refers to the live object of `#reads`, which {@link #readsChanged} updates. */
  #demand: Readonly<Demand> = noDemand;
  /** True while a call-back of {@link afterTurn} is pending. */
  #isWatching = false;
  /** Value of {@link turnsPassed} when that call-back was requested. */
  #watchesSince = 0;
  /** The call-back, created once. */
  #onTurn: (() => void) | undefined;
  /** Progress at which the producer pauses. */
  #bound: number;
  /** Progress at which the log is full: `mostItems` beyond the first item kept. */
  #ceiling: number;
  /** Set while the producer waits for room. */
  #room: Deferred<void> | undefined;
  /** Number of items that the producer expects in all. */
  #expected: number | undefined;
  isYielding = false;

  /**
   * @param options limits
   * @param events notifications to the runner
   * @param tally counts the items kept by several logs. Default: none is shared
   */
  constructor(options: SequenceLogOptions, events: LogEvents, tally?: ItemTally) {
    this.#options = options;
    this.#window = new RingBuffer(tally);
    this.#life = new LogStatus(events);
    this.#events = events;
    this.#ceiling = options.mostItems ?? Number.POSITIVE_INFINITY;
    this.#bound = this.#aheadBound;
  }

  /** The exact state: a log in memory has no other. */
  get current(): LogState {
    return this.#life.describe(this.#position, this.#progress(), this.#window.first, this.isFull);
  }

  /** Number of items kept. */
  get size(): number {
    return this.#window.end - this.#window.first;
  }

  /** The furthest acknowledged position. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** The status of the runner. */
  get status(): RunnerStatus {
    return this.#life.final ?? this.#life.statusAt(this.#position, this.#window.end);
  }

  /** Returns {@link current}. */
  async state(): Promise<LogState> {
    return this.current;
  }

  // --- the reader's side -------------------------------------------------------------------------------------------

  /**
   * Reads items. All checks come before the acknowledgement, so that a refused read changes nothing.
   * @throws (or rejects with) `POSITION_GONE`, `POSITION_AHEAD`, `READ_CONFLICT`, what `request.accept` throws, or
   * the reason of `request.signal`
   */
  read(request: ReadRequest, observer?: ReadObserver): Slice<T[]> | Promise<Slice<T[]>> {
    const start = this.#locate(request);
    const target = targetOf(start, request);
    const probeAt = this.#isReady(target) ? Number.POSITIVE_INFINITY : this.#probe(start, request);
    if (start < this.#window.first) throw this.#gone(start); // the probe ran application code, which may have acknowledged
    const isReady = probeAt === enough || this.#isReady(target);
    if (request.signal?.aborted && !isReady) throw request.signal.reason;
    if (request.start !== "tail" && request.acknowledge !== false) this.#acknowledge(start);
    if (!this.#isDue(isReady, start + request.max)) {
      return new Promise((resolve, reject) => {
        const read = new WaitingRead(start, request, observer, resolve, reject);
        read.probeAt = probeAt;
        this.#wait(read, isReady);
      });
    }
    const slice = this.handOut(start, request);
    request.deliver?.(slice);
    this.#life.announce();
    return slice;
  }

  /**
   * Acknowledges everything before `position`. A position that an abort cut off is valid, too: the client may have
   * learnt it before. Idempotent.
   * @throws (rejects with) `POSITION_AHEAD` if the position has not been handed out
   */
  async acknowledge(position: number): Promise<void> {
    if (position > this.#position && !this.#isCutOff(position)) {
      throw new ActiveSessionError(
        "POSITION_AHEAD",
        `Cannot acknowledge: the position must have been handed out (${this.#position}), received ${position}`,
      );
    }
    this.#acknowledge(position);
  }

  /** Moves the count of the items kept to another tally. */
  countIn(tally: ItemTally): void {
    this.#window.countIn(tally);
  }

  /** Drops all items. */
  discard(): void {
    this.#window.dropBefore(this.#window.end);
  }

  /**
   * Aborts the log, including one that has ended but was not read to its end. The order matters: pending reads take
   * their items while those exist, the log is cut and made consistent, and only then are the reads resolved, which
   * runs code of their readers.
   * @returns false if the status was final already
   */
  abort(): boolean {
    if (this.#life.final) return false;
    const taken = this.#takeReads().flatMap((read) => {
      const items = this.#tryItemsFor(read);
      return items ? [{ read, items }] : [];
    });
    const ends = taken.map(({ read, items }) => (items.length > 0 ? read.start + items.length : 0));
    const end = Math.max(this.#position, ...ends);
    this.#formerProgress = this.#window.end;
    this.#window.cutAt(end);
    this.#position = end;
    this.#life.abort();
    for (const { read, items } of taken) read.resolve(this.#slice(Math.min(read.start, end), items));
    this.#dropAcknowledged();
    this.#releaseProducer();
    this.#life.announce();
    return true;
  }

  // --- the producer's side -----------------------------------------------------------------------------------------

  /** Marks the producer as running. */
  start(): void {
    this.#life.start();
  }

  /** Adds an item and wakes the reads that wait for it. */
  append(item: T): void {
    if (this.#life.ended) return;
    if (this.#window.end < this.#ceiling) {
      this.#window.push(item);
      if (this.#window.end >= this.#demand.wakeAt) this.#wake(this.#reads!);
    } else this.#overflow();
  }

  /** Sets the number of items expected at the end. */
  total(count: number | undefined): void {
    this.#expected = count;
  }

  /** Ends the log as failed and has the work stopped. Items kept so far stay readable. */
  #overflow(): void {
    const { mostItems } = this.#options;
    const message = `Cannot keep more items: limits.itemsPerRunner is ${mostItems}. Retain fewer, or read and acknowledge them`;
    const error = new ActiveSessionError("RUNNER_TOO_LARGE", message);
    this.#end(error);
    this.#events.onOverflow?.(error);
  }

  /** True if the producer has to pause. False after the end, so that a stopped producer does not hang. */
  get isFull(): boolean {
    return this.#window.end >= this.#bound && !this.#life.ended;
  }

  /** Resolves when the producer may append. */
  room(): Promise<void> {
    if (!this.isFull) return Promise.resolve();
    this.#room ??= createDeferred();
    return this.#room.promise;
  }

  /** Ends the log as completed. */
  end(): void {
    this.#end(undefined);
  }

  /** Ends the log as failed. */
  fail(cause: unknown): void {
    this.#end(runnerFailed(cause));
  }

  // --- admission and acknowledgement -------------------------------------------------------------------------------

  /**
   * Resolves the start of a read to a position.
   * @throws `READ_CONFLICT`, `POSITION_AHEAD`, `POSITION_GONE` if the read cannot be admitted
   */
  #locate(request: ReadRequest): number {
    if (request.start === "tail") return this.#window.end;
    if (request.start === undefined && this.#reads?.hasDefault) {
      throw new ActiveSessionError(
        "READ_CONFLICT",
        "Cannot read: only one read at the default position may be pending, received another one without a start",
      );
    }
    const start = request.start ?? this.#position;
    if (start > this.#window.end) {
      if (this.#isCutOff(start)) return this.#window.end;
      throw new ActiveSessionError(
        "POSITION_AHEAD",
        `Cannot read: the start must not lie beyond the progress (${this.#window.end}), received ${start}`,
      );
    }
    if (start < this.#window.first) throw this.#gone(start);
    return start;
  }

  /** Returns the error for a start before the window, with the first position that can be read. */
  #gone(start: number): ActiveSessionError {
    const firstPosition = this.#window.first;
    return new ActiveSessionError(
      "POSITION_GONE",
      `Cannot read: the start must not lie before the first item kept (${firstPosition}), received ${start}`,
      { firstPosition },
    );
  }

  /** True if the position existed until an abort cut it off. */
  #isCutOff(position: number): boolean {
    return this.#life.final === "aborted" && position <= this.#formerProgress;
  }

  /**
   * A reader that names a position has received everything before it. Explicit starts also move the position
   * forward.
   */
  #acknowledge(position: number): void {
    if (!this.#life.final) this.#position = Math.max(this.#position, position);
    this.#received = Math.max(this.#received, Math.min(position, this.#window.end));
    this.#dropAcknowledged();
  }

  /**
   * Advances `#acknowledged` and drops items, but not those that a pending read still needs. Reads hold it back
   * through `lowestStart`, so it has to be called when they change.
   */
  #dropAcknowledged(): void {
    const limit = Math.min(this.#received, this.#demand.lowestStart);
    if (limit <= this.#acknowledged) return;
    this.#acknowledged = limit;
    const { retain } = this.#options;
    if (retain !== "all") this.#dropBefore(limit - (retain === "unacknowledged" ? 0 : retain));
    if (this.#reads) this.#rejectOvertaken(this.#reads);
    this.#moveBound();
  }

  /** Drops items from the front. The room they leave raises the ceiling. */
  #dropBefore(position: number): void {
    const { first } = this.#window;
    this.#window.dropBefore(position);
    this.#ceiling += this.#window.first - first;
  }

  /**
   * Rejects passive reads that lost their next item to another reader's acknowledgement. Skipping it would be a
   * silent gap.
   */
  #rejectOvertaken(reads: WaitingReads<T[]>): void {
    for (const read of reads.all()) {
      if (read.start >= this.#window.first) continue;
      reads.remove(read);
      read.reject(this.#gone(read.start));
    }
  }

  // --- waiting -----------------------------------------------------------------------------------------------------

  /** True if a read that waits for this position can be served. */
  #isReady(target: number): boolean {
    return this.#life.ended || this.#window.end >= target;
  }

  /**
   * Asks the reader if the available items are enough.
   * @returns the progress at which to ask again, or {@link enough}
   */
  #probe(start: number, { probe, max }: ReadRequest): number {
    if (!probe) return Number.POSITIVE_INFINITY;
    const items = this.#window.slice(start, Math.min(start + max, this.#window.end));
    if (items.length === 0) return start + 1;
    const count = probe(items);
    return count === 0 ? enough : start + Math.max(count, items.length + 1);
  }

  /** Probes again if the progress at which the reader wants to be asked is reached. */
  #hasEnough(read: WaitingRead<T[]>): boolean {
    if (this.#window.end < read.probeAt) return false;
    read.probeAt = this.#probe(read.start, read.request);
    return read.probeAt === enough;
  }

  /**
   * True if a read can be settled now, because nothing that may still happen in this turn would change its slice:
   * the log has ended, or nothing is running, or there is more than the read may take.
   */
  #isDue(isReady: boolean, limit: number): boolean {
    return this.#life.ended || (isReady && (!this.#life.started || this.#window.end > limit));
  }

  /** Registers a read that cannot be settled now. An eager unready read starts counting its turn here. */
  #wait(read: WaitingRead<T[]>, isReady: boolean): void {
    this.#reads ??= this.#makeReads();
    if (isReady) this.#settleSoon(this.#reads, read);
    else this.#reads.add(read);
    if (!isReady && read.request.eager) this.#watch(this.#reads, read);
    this.#readsChanged(this.#reads);
  }

  /** Creates the set of waiting reads and connects its demand. */
  #makeReads(): WaitingReads<T[]> {
    const reads = new WaitingReads<T[]>(this);
    this.#demand = reads.demand;
    return reads;
  }

  /** A cancelled read no longer holds back acknowledgements or raises the bound. */
  onCancelled(): void {
    this.#readsChanged(this.#reads!);
  }

  /** A read whose time is up also gives the source a turn to report its end. */
  onGivenUp(read: WaitingRead<T[]>): void {
    this.#settleSoon(this.#reads!, read);
    this.#readsChanged(this.#reads!);
  }

  /**
   * The read has what it needs. The source gets one turn to report its end, so that the slice can carry the final
   * status and no extra empty read is needed.
   */
  #settleSoon(reads: WaitingReads<T[]>, read: WaitingRead<T[]>): void {
    reads.markReady(read);
    read.readyAt = this.#window.end;
    this.#watch(reads, read);
  }

  /**
   * Lets a whole turn begin for the read. If a call-back is already pending and a turn has passed since it was
   * requested, it would come too early: the read is then served by the next one.
   */
  #watch(reads: WaitingReads<T[]>, read: WaitingRead<T[]>): void {
    read.awaitsTurn = true;
    this.#callAfterTurn(reads);
    read.isWatched = turnsPassed() === this.#watchesSince;
  }

  /** Requests one call-back for all reads that await a turn. */
  #callAfterTurn(reads: WaitingReads<T[]>): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    this.#watchesSince = turnsPassed();
    this.#onTurn ??= () => this.#turnIsOver(reads);
    afterTurn(this.#onTurn);
  }

  /** Settles the ready reads whose turn has passed, and marks eager ones as urgent. */
  #turnIsOver(reads: WaitingReads<T[]>): void {
    this.#isWatching = false;
    let hasMore = false;
    for (const read of reads.all()) {
      if (!read.awaitsTurn || !reads.has(read)) continue; // settled meanwhile, by an abort in another read's `accept`
      if (read.isWatched && !this.#isAsleep(read)) {
        read.awaitsTurn = false;
        if (read.ready) reads.settle(read);
      } else {
        read.isWatched = true;
        hasMore = true;
      }
    }
    if (hasMore) this.#callAfterTurn(reads);
    this.#readsChanged(reads);
    this.#life.announce();
  }

  /**
   * True if the turn does not count for the read: the source waits for its share of the loop and has not appended
   * anything since the read became ready. Bounded by the read's `turnsLeft`.
   */
  #isAsleep(read: WaitingRead<T[]>): boolean {
    return read.ready && this.isYielding && read.readyAt === this.#window.end && read.turnsLeft-- > 0;
  }

  /** Serves the reads that the present progress concerns. Called when the progress reaches `demand.wakeAt`. */
  #wake(reads: WaitingReads<T[]>): void {
    for (const read of reads.all()) {
      if (!reads.has(read)) continue; // settled meanwhile
      const isReady = read.ready || this.#isReady(read.target) || this.#hasEnough(read);
      if (!reads.has(read)) continue; // settled by the reader's probe
      if (this.#isDue(isReady, read.limit) || (isReady && read.isUrgent)) reads.settle(read);
      else if (isReady && !read.ready) this.#settleSoon(reads, read);
    }
    this.#readsChanged(reads);
  }

  /**
   * Recomputes what depends on the set of pending reads: when to wake them, what may be dropped, and how far the
   * producer may go. To be called after each change.
   */
  #readsChanged(reads: WaitingReads<T[]>): void {
    reads.measure();
    this.#dropAcknowledged();
    this.#moveBound();
  }

  /** Recomputes the bound and resumes the producer if it has room. */
  #moveBound(): void {
    this.#bound = Math.max(this.#aheadBound, this.#demand.furthestTarget);
    if (!this.isFull) this.#releaseProducer();
  }

  /**
   * The bound without waiting reads. With `retain: "unacknowledged"` it is also limited by the ceiling:
   * acknowledgements make room again, so the producer of a full log waits instead of failing.
   */
  get #aheadBound(): number {
    const bound = this.#acknowledged + this.#options.aheadLimit;
    return this.#options.retain === "unacknowledged" ? Math.min(bound, this.#ceiling) : bound;
  }

  /** Resumes a paused producer. */
  #releaseProducer(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  // --- settling ----------------------------------------------------------------------------------------------------

  /**
   * Forms the slice of a read and moves position and status. An empty read at the tail moves nothing, so it cannot
   * make the status final.
   */
  handOut(start: number, request: ReadRequest): Slice<T[]> {
    const items = this.#itemsFor(start, request);
    const end = start + items.length;
    if (!this.#life.final && (items.length > 0 || request.start !== "tail")) {
      this.#position = Math.max(this.#position, end);
      if (this.#life.ended && end === this.#window.end) this.#life.finish();
    }
    return this.#slice(start, items);
  }

  /** Selects the items of a read, at most as many as its reader accepts. */
  #itemsFor(start: number, request: ReadRequest): T[] {
    const { final } = this.#life;
    const items = this.#window.slice(start, Math.max(start, Math.min(start + request.max, this.#window.end)));
    if (!request.accept) return items;
    const count = request.accept(items);
    // `accept` runs application code, which may have aborted this runner: select again from the log as it was cut.
    if (this.#life.final !== final) return this.#itemsFor(start, request);
    return count < items.length ? items.slice(0, count) : items;
  }

  /** Like {@link #itemsFor}, but rejects the read and returns `undefined` if its reader throws. */
  #tryItemsFor(read: WaitingRead<T[]>): T[] | undefined {
    try {
      return this.#itemsFor(read.start, read.request);
    } catch (error) {
      read.reject(error);
      return undefined;
    }
  }

  /** Forms a slice with the present state. */
  #slice(start: number, items: T[]): Slice<T[]> {
    const end = start + items.length;
    return this.#life.slice(items, start, end, this.#progress(), this.#window.first, this.isFull);
  }

  /**
   * Ends the log and settles all reads. If everything had been handed out before, no later read would reach the
   * end: the status becomes final at once.
   */
  #end(failure: ActiveSessionError | undefined): void {
    if (this.#life.ended) return;
    this.#life.end(failure);
    for (const read of this.#takeReads()) this.#reads!.settle(read);
    this.#dropAcknowledged();
    if (this.#position === this.#window.end) this.#life.finish();
    this.#releaseProducer();
    this.#life.announce();
  }

  /**
   * Removes and returns all pending reads, so that code run while they are settled cannot settle them a second
   * time.
   */
  #takeReads(): WaitingRead<T[]>[] {
    if (!this.#reads) return [];
    const reads = this.#reads.all();
    for (const read of reads) this.#reads.remove(read);
    this.#reads.measure();
    return reads;
  }

  /** Once the work has ended, the estimated end is exact. */
  #progress(): RunnerProgress {
    const current = this.#window.end;
    const estimatedEnd = this.#life.ended ? current : this.#expected;
    return estimatedEnd === undefined ? { current } : { current, estimatedEnd };
  }
}
