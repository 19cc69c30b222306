import { createDeferred, type Deferred } from "../base/async.js";
import { ActiveSessionError, runnerFailed } from "../base/error.js";
import type { AbortReason, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import { type EncodedItems, JsonCodec, noItems } from "./codec.js";
import { enough, isDue, ReadScheduler, type ScheduledLog } from "./read-scheduler.js";
import type {
  AbortResult,
  ItemTally,
  LogEvents,
  LogState,
  PendingRead,
  ReadRequest,
  ResultLog,
  Slice,
} from "./result-log.js";
import { RingBuffer } from "./ring-buffer.js";
import type { SequenceLogOptions, SequenceSink } from "./sequence-sink.js";
import { cuts, LogStatus, type Positions } from "./status.js";
import { type DefaultPosition, type Demand, noDemand, targetOf, WaitingRead } from "./waiting-reads.js";

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
 *     not started ──start──▶ running ──end, expire──▶ ended ──a read reaches the end──▶ final: completed, failed, aborted
 *          └───────────────cut──┴──────────────────────┴──▶ final: aborted
 *
 * - **running**: `append` adds items. The status is `progressed` while there are items to hand out, else `stalled`.
 * - **ended**: nothing is added any more. The read that returns the last item, or finds none left, makes the status
 *   final. If everything had been handed out before, it is final at once.
 * - **expired**: work that is aborted without a request for it (idle, lifetime, shutdown) has ended; nothing is dropped.
 * - **cut**: work that is stopped: pending reads took what they could, then the log was cut at `position`. Items handed out before
 *   stay.
 * - A final status never changes, and `position` does not move in it.
 *
 * Back-pressure: the producer pauses when `progress` reaches the bound, which is `acknowledged + aheadLimit` or, if
 * that is further, the position that a waiting read needs.
 *
 * A slice is formed in the step that settles its read, so that items, positions and status agree. Where items are
 * encoded, code of the application runs (`toJSON`) and may read, acknowledge or abort: state is checked again after it.
 */
export class SequenceLog<T>
  implements ResultLog<T[]>, ScheduledLog<T[]>, DefaultPosition<T[]>, SequenceSink<T>, Positions
{
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
  #scheduler: ReadScheduler<T[]> | undefined;
  /** Requirements of the pending reads: the live object of the scheduler. */
  #demand: Readonly<Demand> = noDemand;
  /** Progress at which the producer pauses. */
  #bound: number;
  /** Progress at which the log is full: `mostItems` beyond the first item kept. */
  #ceiling: number;
  /** True while reads get their items before a cut. */
  #isCutting = false;
  /** Set while the producer waits for room. */
  #room: Deferred<void> | undefined;
  /** Number of items that the producer expects in all. */
  #expected: number | undefined;
  /** The read at the default position that is settled and not yet taken. */
  #untaken: PendingRead<T[]> | undefined;
  /** What the position would be without the latest read at the default position. */
  #positionOfOthers = 0;
  /** Created with the first read that wants JSON. */
  #codec: JsonCodec | undefined;
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
    return this.#life.describe(this);
  }

  /** Number of items kept. */
  get size(): number {
    return this.#window.end - this.#window.first;
  }

  /** End of the furthest item handed out. */
  get position(): number {
    return this.#position;
  }

  /** How far the producer has come. Once the work has ended, the estimated end is exact. */
  get progress(): RunnerProgress {
    const current = this.#window.end;
    const estimatedEnd = this.#life.ended ? current : this.#expected;
    return estimatedEnd === undefined ? { current } : { current, estimatedEnd };
  }

  /** First item kept. */
  get firstPosition(): number {
    return this.#window.first;
  }

  /** The furthest acknowledged position. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** True while the producer waits for acknowledgements. */
  get paused(): boolean {
    return this.isFull;
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
   * @throws (or rejects with) `POSITION_GONE`, `POSITION_AHEAD`, `READ_CONFLICT`, and the errors of the codec
   */
  read(request: ReadRequest): Slice<T[]> | PendingRead<T[]> {
    let start = this.#locate(request);
    const target = targetOf(start, request);
    const probeAt = this.#isReady(target) ? Number.POSITIVE_INFINITY : this.probe(start, request);
    // The probe ran code of the items, which may have acknowledged or aborted.
    if (start < this.#window.first) throw this.#gone(start);
    start = Math.min(start, this.#window.end);
    const isReady = probeAt === enough || this.#isReady(target);
    if (request.start !== "tail" && request.acknowledge !== false) this.#acknowledge(start);
    if (!isDue(this, isReady, start + request.max)) {
      const read = new WaitingRead<T[]>(start, request, this);
      read.probeAt = probeAt;
      this.#wait(read, isReady);
      return read;
    }
    const slice = this.handOut(start, request);
    this.#life.announce(this);
    return slice;
  }

  /** See {@link DefaultPosition.keep}. */
  keep(read: PendingRead<T[]>): void {
    this.#untaken = read;
  }

  /** See {@link DefaultPosition.free}. */
  free(read: PendingRead<T[]>): void {
    if (this.#untaken === read) this.#untaken = undefined;
  }

  /** See {@link DefaultPosition.giveBack}. */
  giveBack(read: PendingRead<T[]>): boolean {
    if (this.#life.final || this.#untaken !== read) return false;
    this.#position = this.#positionOfOthers;
    return true;
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

  /** Drops all items, and makes the outcome final. */
  discard(): void {
    this.#window.dropBefore(this.#window.end);
    this.#life.finish();
    this.#life.announce(this);
  }

  /** See {@link ResultLog.abort}. */
  abort(reason: AbortReason): AbortResult {
    const hasEffect = cuts(reason) ? this.#cut(reason) : this.#settleEnd(() => this.#life.expire(reason));
    return this.#life.abortResult(hasEffect, this);
  }

  /**
   * Cuts the log, including one that has ended but was not read to its end. The order matters: pending reads get their
   * items while those exist, and keep them from being dropped meanwhile; then the log is cut, and the reads are resolved.
   * @returns false if the status was final already, or if the log is being cut
   */
  #cut(reason: AbortReason): boolean {
    if (this.#life.final || this.#isCutting) return false;
    this.#isCutting = true; // code of the items may abort again
    const given = new Map<WaitingRead<T[]>, GivenItems<T>>();
    for (const read of this.#scheduler?.all() ?? []) {
      const items = this.#tryItemsFor(read);
      if (items) given.set(read, items);
    }
    this.#isCutting = false;
    if (this.#life.final) {
      this.#settleRest(); // code of the items has discarded the ended log
      return true;
    }
    const reads = this.#releaseScheduler()?.takeAll() ?? []; // without those that were cancelled meanwhile
    const ends = reads.map((read) => {
      const length = given.get(read)?.items.length ?? 0;
      return length > 0 ? read.start + length : 0;
    });
    const end = Math.max(this.#position, ...ends);
    this.#formerProgress = this.#window.end;
    this.#window.cutAt(end);
    this.#position = end;
    this.#life.cut(reason);
    for (const read of reads) {
      const items = given.get(read);
      const start = Math.min(read.start, end);
      try {
        read.resolve(items ? this.#slice(start, items) : this.handOut(start, read.request)); // begun meanwhile, by code of the items
      } catch (error) {
        read.reject(error);
      }
    }
    this.#dropAcknowledged();
    this.#releaseProducer();
    this.#life.announce(this);
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
      if (this.#window.end >= this.#demand.wakeAt) this.#scheduler!.wake();
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
    this.#settleEnd(() => this.#life.end(error));
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
    this.#settleEnd(() => this.#life.end());
  }

  /** Ends the log as failed. */
  fail(cause: unknown): void {
    this.#settleEnd(() => this.#life.end(runnerFailed(cause)));
  }

  // --- admission and acknowledgement -------------------------------------------------------------------------------

  /**
   * Resolves the start of a read to a position.
   * @throws `READ_CONFLICT`, `POSITION_AHEAD`, `POSITION_GONE` if the read cannot be admitted
   */
  #locate(request: ReadRequest): number {
    if (request.start === "tail") return this.#window.end;
    const isUntaken = this.#untaken !== undefined && !this.#life.final; // a final log has nothing to give back
    if (request.start === undefined && (isUntaken || this.#scheduler?.hasDefault)) {
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
    if (!this.#life.final) this.#moveTo(position);
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
    // A passive read has lost its next item to another reader's acknowledgement: to skip it would be a silent gap.
    this.#scheduler?.rejectBefore(this.#window.first, (start) => this.#gone(start));
    this.#moveBound();
  }

  /** Drops items from the front. The room they leave raises the ceiling. */
  #dropBefore(position: number): void {
    const { first } = this.#window;
    this.#window.dropBefore(position);
    this.#ceiling += this.#window.first - first;
  }

  // --- waiting -----------------------------------------------------------------------------------------------------

  /** True if a read that waits for this position can be served. */
  #isReady(target: number): boolean {
    return this.#life.ended || this.#window.end >= target;
  }

  /** See {@link ScheduledLog.produced}. */
  get produced(): number {
    return this.#window.end;
  }

  /** See {@link ScheduledLog.started}. */
  get started(): boolean {
    return this.#life.started;
  }

  /** See {@link ScheduledLog.ended}. */
  get ended(): boolean {
    return this.#life.ended;
  }

  /** See {@link ScheduledLog.probe}. */
  probe(start: number, { min, max, json }: ReadRequest): number {
    // A read of one item is ready with it, whatever its size.
    if (!json || min === undefined || min < 2) return Number.POSITIVE_INFINITY;
    const items = this.#window.slice(start, Math.min(start + max, this.#window.end));
    if (items.length === 0) return start + 1;
    this.#codec ??= new JsonCodec();
    const count = this.#codec.fullAt({ start, min }, items, json);
    return count === 0 ? enough : start + Math.max(count, items.length + 1);
  }

  /** Registers a read that cannot be settled now. */
  #wait(read: WaitingRead<T[]>, isReady: boolean): void {
    if (!this.#scheduler) {
      this.#scheduler = new ReadScheduler<T[]>(this);
      this.#demand = this.#scheduler.demand;
    }
    this.#scheduler.add(read, isReady);
  }

  /** See {@link ScheduledLog.onDemand}. */
  onDemand(): void {
    this.#dropAcknowledged();
    this.#moveBound();
  }

  /** See {@link ScheduledLog.onSettledLater}. */
  onSettledLater(): void {
    this.#life.announce(this);
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
    const given = this.#itemsFor(start, request);
    const { length } = given.items;
    if (!this.#life.final && (length > 0 || request.start !== "tail")) {
      const end = start + length;
      if (request.start === undefined) {
        this.#positionOfOthers = this.#position;
        this.#position = Math.max(this.#position, end);
      } else this.#moveTo(end);
      if (this.#life.ended && end === this.#window.end) this.#life.finish();
    }
    return this.#slice(start, given);
  }

  /** Moves the position forward, for a read with a start or an acknowledgement. */
  #moveTo(position: number): void {
    this.#position = Math.max(this.#position, position);
    if (this.#untaken) this.#positionOfOthers = Math.max(this.#positionOfOthers, position);
  }

  /** Selects the items of a read: with JSON, as many as have been encoded. */
  #itemsFor(start: number, request: ReadRequest): GivenItems<T> {
    const { final } = this.#life;
    if (start < this.#window.first) throw this.#gone(start); // they have been dropped meanwhile
    const items = this.#window.slice(start, Math.max(start, Math.min(start + request.max, this.#window.end)));
    if (!request.json) return { items, json: undefined };
    if (items.length === 0) return { items, json: noItems };
    this.#codec ??= new JsonCodec();
    const json = this.#codec.encode(request, items, request.json);
    // Code of the items may have aborted the work: select again from the log as it was cut.
    if (this.#life.final !== final) return this.#itemsFor(start, request);
    return { items: json.count < items.length ? items.slice(0, json.count) : items, json };
  }

  /** Like {@link #itemsFor}, but rejects the read and returns `undefined` if there is an error, or if it is over. */
  #tryItemsFor(read: WaitingRead<T[]>): GivenItems<T> | undefined {
    if (!read.reads) return undefined; // cancelled meanwhile
    try {
      return this.#itemsFor(read.start, read.request);
    } catch (error) {
      read.cancel(error);
      return undefined;
    }
  }

  /** Forms a slice with the present state. */
  #slice(start: number, { items, json }: GivenItems<T>): Slice<T[]> {
    return this.#life.slice(this, items, start, start + items.length, json);
  }

  /**
   * Ends the log and settles all reads. If everything had been handed out before, no later read would reach the
   * end: the status becomes final at once.
   * @param end marks the work as ended
   * @returns false if it had ended before
   */
  #settleEnd(end: () => void): boolean {
    if (this.#life.ended) return false;
    end();
    this.#settleRest();
    this.#dropAcknowledged();
    if (this.#position === this.#window.end) this.#life.finish();
    this.#releaseProducer();
    this.#life.announce(this);
    return true;
  }

  /** Settles all pending reads of a log that has ended. Until its turn each keeps its items, and the default position. */
  #settleRest(): void {
    for (const read of this.#scheduler?.all() ?? []) this.#scheduler?.settle(read);
    this.#releaseScheduler();
  }

  /** Gives up the scheduler, for good: reads of a log that has ended do not wait. */
  #releaseScheduler(): ReadScheduler<T[]> | undefined {
    const scheduler = this.#scheduler;
    this.#scheduler = undefined;
    this.#demand = noDemand;
    return scheduler;
  }
}

/** What a read is given. */
interface GivenItems<T> {
  readonly items: T[];
  /** The items as JSON, if the read has asked for it. */
  readonly json: EncodedItems | undefined;
}
