/**
 * The results of a sequence runner, in memory.
 *
 * Four positions, always in this order:
 *
 *     first ≤ acknowledged ≤ position ≤ progress
 *       │          │            │          └ how far the producer has come
 *       │          │            └ the end of the furthest item handed out (or skipped over by a reader's own start)
 *       │          └ everything before it is known to have arrived
 *       └ the first item kept: `acknowledged`, or earlier by what `retain` keeps in addition
 *
 * States, and what leads from one to the next:
 *
 *     not started ──start──▶ running ──end──▶ ended ──a read reaches the end──▶ final: completed, failed
 *          └──────────────abort──┴──────────────┴──▶ final: aborted
 *
 * - **running**: `append` adds items. The status is `progressed` while items wait to be handed out, else `stalled`.
 * - **ended**: nothing is added any more. Whoever reads the last item (or finds that none is left) makes it final; if
 *   everything had been handed out before, it is final at once.
 * - **aborted**: the pending reads took what they could, the log was cut at `position`; what had been handed out stays.
 * - A final status never changes, and `position` does not move in it.
 *
 * The producer is asked to pause when `progress` reaches the bound: `acknowledged + aheadLimit`, or the furthest position
 * that a waiting read needs. A slice is formed in the step that settles its read; items, positions and status agree.
 */

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

/** Of a look at what there is: the reader waits no longer. */
const enough = 0;

/** How much a sequence log keeps and how far its producer may run ahead. */
export interface SequenceLogOptions {
  /** The producer pauses when so many items are not acknowledged; a positive integer. */
  readonly aheadLimit: number;
  /** Which acknowledged items are kept. */
  readonly retain: Retain;
  /** A runner that would keep more fails. Default: `Infinity`. */
  readonly mostItems?: number;
}

/** The producer's side of a sequence log. */
export interface SequenceSink<T> {
  /** The producer is running. */
  start(): void;
  /** Adds the next item. After an abort it is ignored. */
  append(item: T): void;
  /** The producer waits for its share of the event loop; while it does, it may yet have something to report. */
  isYielding: boolean;
  /** Whether the producer must await {@link room} before it appends. */
  readonly isFull: boolean;
  /** Resolves when there is room, or nothing more is wanted. */
  room(): Promise<void>;
  /** The source has ended by itself. */
  end(): void;
  /** The source has failed. */
  fail(cause: unknown): void;
}

/** See the top of the file. */
export class SequenceLog<T> implements ResultLog<T[]>, ReadsOwner<T[]>, SequenceSink<T> {
  readonly #options: SequenceLogOptions;
  readonly #events: LogEvents;
  readonly #life: LogStatus;
  readonly #window: RingBuffer<T>;
  #position = 0;
  /** The furthest position that a reader has named; `acknowledged` follows as soon as no pending read is in the way. */
  #received = 0;
  #acknowledged = 0;
  /** How far an aborted producer had come; a start up to here is no error of the reader. */
  #formerProgress = 0;
  #reads: WaitingReads<T[]> | undefined;
  /** What the pending reads ask for. */
  #demand: Readonly<Demand> = noDemand;
  /** Whether {@link afterTurn} will call back for those that are ready, and how many turns had passed when it was asked to. */
  #isWatching = false;
  #watchesSince = 0;
  #onTurn: (() => void) | undefined;
  /** At this progress the producer pauses. */
  #bound: number;
  /** At this progress the log is full, and takes no more. */
  #ceiling: number;
  #room: Deferred<void> | undefined;
  isYielding = false;

  constructor(options: SequenceLogOptions, events: LogEvents, tally?: ItemTally) {
    this.#options = options;
    this.#window = new RingBuffer(tally);
    this.#life = new LogStatus(events);
    this.#events = events;
    this.#ceiling = options.mostItems ?? Number.POSITIVE_INFINITY;
    this.#bound = this.#aheadBound;
  }

  get current(): LogState {
    return this.#life.describe(this.#position, this.#progress(), this.#window.first);
  }

  get size(): number {
    return this.#window.end - this.#window.first;
  }

  get acknowledged(): number {
    return this.#acknowledged;
  }

  get status(): RunnerStatus {
    return this.#life.final ?? this.#life.statusAt(this.#position, this.#window.end);
  }

  async state(): Promise<LogState> {
    return this.current;
  }

  // --- the reader's side -------------------------------------------------------------------------------------------

  read(request: ReadRequest, observer?: ReadObserver): Slice<T[]> | Promise<Slice<T[]>> {
    const start = this.#locate(request);
    const target = targetOf(start, request);
    const probeAt = this.#isReady(target) ? Number.POSITIVE_INFINITY : this.#probe(start, request);
    if (start < this.#window.first) throw this.#gone(start); // the items' own code ran, and may have acknowledged them
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

  async acknowledge(position: number): Promise<void> {
    if (position > this.#position && !this.#isCutOff(position)) {
      throw new ActiveSessionError(
        "POSITION_AHEAD",
        `Cannot acknowledge: the position must have been handed out (${this.#position}), received ${position}`,
      );
    }
    this.#acknowledge(position);
  }

  countIn(tally: ItemTally): void {
    this.#window.countIn(tally);
  }

  discard(): void {
    this.#window.dropBefore(this.#window.end);
  }

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

  start(): void {
    this.#life.start();
  }

  append(item: T): void {
    if (this.#life.ended) return;
    if (this.#window.end < this.#ceiling) {
      this.#window.push(item);
      if (this.#window.end >= this.#demand.wakeAt) this.#wake(this.#reads!);
    } else this.#overflow();
  }

  /** What has been kept so far stays readable. */
  #overflow(): void {
    const { mostItems } = this.#options;
    const message = `Cannot keep more items: limits.itemsPerRunner is ${mostItems}. Retain fewer, or read and acknowledge them`;
    const error = new ActiveSessionError("RUNNER_TOO_LARGE", message);
    this.#end(error);
    this.#events.onOverflow?.(error);
  }

  get isFull(): boolean {
    return this.#window.end >= this.#bound && !this.#life.ended;
  }

  room(): Promise<void> {
    if (!this.isFull) return Promise.resolve();
    this.#room ??= createDeferred();
    return this.#room.promise;
  }

  end(): void {
    this.#end(undefined);
  }

  fail(cause: unknown): void {
    this.#end(runnerFailed(cause));
  }

  // --- admission and acknowledgement -------------------------------------------------------------------------------

  /** Finds where a read starts; throws if it cannot be accepted. */
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

  #gone(start: number): ActiveSessionError {
    const firstPosition = this.#window.first;
    return new ActiveSessionError(
      "POSITION_GONE",
      `Cannot read: the start must not lie before the first item kept (${firstPosition}), received ${start}`,
      { firstPosition },
    );
  }

  /** Whether the position existed until an abort cut it off. */
  #isCutOff(position: number): boolean {
    return this.#life.final === "aborted" && position <= this.#formerProgress;
  }

  /** Whoever names a position has everything before it. */
  #acknowledge(position: number): void {
    if (!this.#life.final) this.#position = Math.max(this.#position, position);
    this.#received = Math.max(this.#received, Math.min(position, this.#window.end));
    this.#dropAcknowledged();
  }

  /** Drops what has been received, but not what another read still waits for. */
  #dropAcknowledged(): void {
    const limit = Math.min(this.#received, this.#demand.lowestStart);
    if (limit <= this.#acknowledged) return;
    this.#acknowledged = limit;
    const { retain } = this.#options;
    if (retain !== "all") this.#dropBefore(limit - (retain === "unacknowledged" ? 0 : retain));
    if (this.#reads) this.#rejectOvertaken(this.#reads);
    this.#moveBound();
  }

  #dropBefore(position: number): void {
    const { first } = this.#window;
    this.#window.dropBefore(position);
    this.#ceiling += this.#window.first - first;
  }

  /** A passive reader's next item may have been acknowledged away by another reader: a gap, which it has to learn of. */
  #rejectOvertaken(reads: WaitingReads<T[]>): void {
    for (const read of reads.all()) {
      if (read.start >= this.#window.first) continue;
      reads.remove(read);
      read.reject(this.#gone(read.start));
    }
  }

  // --- waiting -----------------------------------------------------------------------------------------------------

  /** Whether a read that waits for this position can have what it asked for. */
  #isReady(target: number): boolean {
    return this.#life.ended || this.#window.end >= target;
  }

  /** Lets the reader look at what there is for it; gives the progress at which it looks again, or {@link enough}. */
  #probe(start: number, { probe, max }: ReadRequest): number {
    if (!probe) return Number.POSITIVE_INFINITY;
    const items = this.#window.slice(start, Math.min(start + max, this.#window.end));
    if (items.length === 0) return start + 1;
    const count = probe(items);
    return count === 0 ? enough : start + Math.max(count, items.length + 1);
  }

  #hasEnough(read: WaitingRead<T[]>): boolean {
    if (this.#window.end < read.probeAt) return false;
    read.probeAt = this.#probe(read.start, read.request);
    return read.probeAt === enough;
  }

  /** Whether nothing that could still happen would change what a read gets. */
  #isDue(isReady: boolean, limit: number): boolean {
    return this.#life.ended || (isReady && (!this.#life.started || this.#window.end > limit));
  }

  #wait(read: WaitingRead<T[]>, isReady: boolean): void {
    this.#reads ??= this.#makeReads();
    if (isReady) this.#settleSoon(this.#reads, read);
    else this.#reads.add(read);
    if (!isReady && read.request.eager) this.#watch(this.#reads, read);
    this.#readsChanged(this.#reads);
  }

  #makeReads(): WaitingReads<T[]> {
    const reads = new WaitingReads<T[]>(this);
    this.#demand = reads.demand;
    return reads;
  }

  onCancelled(): void {
    this.#readsChanged(this.#reads!);
  }

  onGivenUp(read: WaitingRead<T[]>): void {
    this.#settleSoon(this.#reads!, read);
    this.#readsChanged(this.#reads!);
  }

  /** The read has what it needs; the source gets one turn to report its end first. */
  #settleSoon(reads: WaitingReads<T[]>, read: WaitingRead<T[]>): void {
    reads.markReady(read);
    read.readyAt = this.#window.end;
    this.#watch(reads, read);
  }

  /** A whole turn begins for the read: now, or with the next call where one is going on. */
  #watch(reads: WaitingReads<T[]>, read: WaitingRead<T[]>): void {
    read.awaitsTurn = true;
    this.#callAfterTurn(reads);
    read.isWatched = turnsPassed() === this.#watchesSince;
  }

  #callAfterTurn(reads: WaitingReads<T[]>): void {
    if (this.#isWatching) return;
    this.#isWatching = true;
    this.#watchesSince = turnsPassed();
    this.#onTurn ??= () => this.#turnIsOver(reads);
    afterTurn(this.#onTurn);
  }

  #turnIsOver(reads: WaitingReads<T[]>): void {
    this.#isWatching = false;
    let hasMore = false;
    for (const read of reads.all()) {
      if (!read.awaitsTurn || !reads.has(read)) continue; // settled meanwhile, by an abort from another one's `accept`
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

  /** A turn does not count while the source waits for its share of the loop and has not made a step since. */
  #isAsleep(read: WaitingRead<T[]>): boolean {
    return read.ready && this.isYielding && read.readyAt === this.#window.end && read.turnsLeft-- > 0;
  }

  /** The progress has reached a point that some read waits for. */
  #wake(reads: WaitingReads<T[]>): void {
    for (const read of reads.all()) {
      if (!reads.has(read)) continue; // as above
      const isReady = read.ready || this.#isReady(read.target) || this.#hasEnough(read);
      if (!reads.has(read)) continue; // its reader's own code ran
      if (this.#isDue(isReady, read.limit) || (isReady && read.isUrgent)) reads.settle(read);
      else if (isReady && !read.ready) this.#settleSoon(reads, read);
    }
    this.#readsChanged(reads);
  }

  /** Recomputes what follows from the set of pending reads: when to wake them and how far the producer may go. */
  #readsChanged(reads: WaitingReads<T[]>): void {
    reads.measure();
    this.#dropAcknowledged();
    this.#moveBound();
  }

  #moveBound(): void {
    this.#bound = Math.max(this.#aheadBound, this.#demand.furthestTarget);
    if (!this.isFull) this.#releaseProducer();
  }

  /** Where only what is not acknowledged is kept, a log that is full has room again after an acknowledgement: its producer waits. */
  get #aheadBound(): number {
    const bound = this.#acknowledged + this.#options.aheadLimit;
    return this.#options.retain === "unacknowledged" ? Math.min(bound, this.#ceiling) : bound;
  }

  #releaseProducer(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  // --- settling ----------------------------------------------------------------------------------------------------

  handOut(start: number, request: ReadRequest): Slice<T[]> {
    const items = this.#itemsFor(start, request);
    const end = start + items.length;
    if (!this.#life.final && (items.length > 0 || request.start !== "tail")) {
      this.#position = Math.max(this.#position, end);
      if (this.#life.ended && end === this.#window.end) this.#life.finish();
    }
    return this.#slice(start, items);
  }

  #itemsFor(start: number, request: ReadRequest): T[] {
    const { final } = this.#life;
    const items = this.#window.slice(start, Math.max(start, Math.min(start + request.max, this.#window.end)));
    if (!request.accept) return items;
    const count = request.accept(items);
    // The items' own code ran in there, and may have aborted this very runner: then the log ends where it was cut.
    if (this.#life.final !== final) return this.#itemsFor(start, request);
    return count < items.length ? items.slice(0, count) : items;
  }

  /** As {@link #itemsFor}; a read whose reader can take none of them is rejected. */
  #tryItemsFor(read: WaitingRead<T[]>): T[] | undefined {
    try {
      return this.#itemsFor(read.start, read.request);
    } catch (error) {
      read.reject(error);
      return undefined;
    }
  }

  #slice(start: number, items: T[]): Slice<T[]> {
    return this.#life.slice(items, start, start + items.length, this.#progress(), this.#window.first);
  }

  #end(failure: ActiveSessionError | undefined): void {
    if (this.#life.ended) return;
    this.#life.end(failure);
    for (const read of this.#takeReads()) this.#reads!.settle(read);
    this.#dropAcknowledged();
    if (this.#position === this.#window.end) this.#life.finish();
    this.#releaseProducer();
    this.#life.announce();
  }

  #takeReads(): WaitingRead<T[]>[] {
    if (!this.#reads) return [];
    const reads = this.#reads.all();
    for (const read of reads) this.#reads.remove(read);
    this.#reads.measure();
    return reads;
  }

  #progress(): RunnerProgress {
    const current = this.#window.end;
    return this.#life.ended ? { current, estimatedEnd: current } : { current };
  }
}
