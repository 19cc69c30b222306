import { runnerFailed } from "../base/error.js";
import type { AbortReason } from "../protocol/types.js";
import { CutReads } from "./cut-reads.js";
import { acknowledgedAhead, positionGone, readConflict, startAhead, tooManyItems } from "./read-errors.js";
import { enough, isDue, ReadScheduler, type ScheduledLog } from "./read-scheduler.js";
import type { AbortResult, ItemTally, LogEvents, PendingRead, ReadRequest, ResultLog, Slice } from "./result-log.js";
import type { GivenItems } from "./retained-items.js";
import { SequencePositions } from "./sequence-positions.js";
import type { SequenceLogOptions, SequenceSink } from "./sequence-sink.js";
import { cuts } from "./status.js";
import { type Demand, noDemand, targetOf, WaitingRead } from "./waiting-reads.js";

/**
 * The results of a sequence runner, in memory.
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
 * {@link RetainedItems} says what is kept, and when the producer pauses; {@link ReadPosition} where reads without a start go on.
 *
 * A slice is formed in the step that settles its read, so that items, positions and status agree. Where items are
 * encoded, code of the application runs (`toJSON`) and may read, acknowledge or abort: state is checked again after it.
 */
export class SequenceLog<T> extends SequencePositions<T> implements ResultLog<T[]>, ScheduledLog<T[]>, SequenceSink<T> {
  readonly #options: SequenceLogOptions;
  readonly #events: LogEvents;
  /**
   * Progress of the producer before an abort. A start between the end and this position is valid and reads as the
   * end.
   */
  #formerProgress = 0;
  /** Created with the first read that has to wait; reads that are served at once do not need it. */
  #scheduler: ReadScheduler<T[]> | undefined;
  /** Requirements of the pending reads: the live object of the scheduler. */
  #demand: Readonly<Demand> = noDemand;
  /** True while reads get their items before a cut. */
  #isCutting = false;
  isYielding = false;

  /**
   * @param options limits
   * @param events notifications to the runner
   * @param tally counts the items kept by several logs. Default: none is shared
   */
  constructor(options: SequenceLogOptions, events: LogEvents, tally?: ItemTally) {
    super(options, events, tally);
    this.#options = options;
    this.#events = events;
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
    if (start < this.kept.first) throw positionGone(this.kept.first, start);
    start = Math.min(start, this.kept.end);
    const isReady = probeAt === enough || this.#isReady(target);
    if (request.start !== "tail" && request.acknowledge !== false) this.#acknowledge(start);
    if (!isDue(this, isReady, start + request.max)) {
      const read = new WaitingRead<T[]>(start, request, this.handedOut);
      read.probeAt = probeAt;
      this.#wait(read, isReady);
      return read;
    }
    const slice = this.handOut(start, request);
    this.life.announce(this);
    return slice;
  }

  /**
   * Acknowledges everything before `position`. A position that an abort cut off is valid, too: the client may have
   * learnt it before. Idempotent.
   * @throws (rejects with) `POSITION_AHEAD` if the position has not been handed out
   */
  async acknowledge(position: number): Promise<void> {
    if (position > this.position && !this.#isCutOff(position)) throw acknowledgedAhead(this.position, position);
    this.#acknowledge(position);
  }

  /** Moves the count of the items kept to another tally. */
  countIn(tally: ItemTally): void {
    this.kept.countIn(tally);
  }

  /** Drops all items, and makes the outcome final. */
  discard(): void {
    this.kept.dropBefore(this.kept.end);
    this.#finish();
    this.life.announce(this);
  }

  /** See {@link ResultLog.abort}. */
  abort(reason: AbortReason): AbortResult {
    const hasEffect = cuts(reason) ? this.#cut(reason) : this.#settleEnd(() => this.life.expire(reason));
    return this.life.abortResult(hasEffect, this);
  }

  /**
   * Cuts the log, including one that has ended but was not read to its end. The order matters: pending reads get their
   * items while those exist, and keep them from being dropped meanwhile; then the log is cut, and the reads are resolved.
   * @returns false if the status was final already, or if the log is being cut
   */
  #cut(reason: AbortReason): boolean {
    if (this.life.final || this.#isCutting) return false;
    this.#isCutting = true; // code of the items may abort again
    const cut = new CutReads<T>(this.#scheduler?.all() ?? [], (start, request) => this.#itemsFor(start, request));
    this.#isCutting = false;
    if (this.life.final) {
      this.#settleRest(); // code of the items has discarded the ended log
      return true;
    }
    const reads = this.#releaseScheduler()?.takeAll() ?? []; // without those that were cancelled meanwhile
    const end = Math.max(this.position, cut.endOf(reads));
    this.#formerProgress = this.kept.end;
    this.kept.cutAt(end);
    this.handedOut.end = end;
    this.handedOut.isFinal = true;
    this.life.cut(reason);
    this.kept.close();
    for (const read of reads) {
      const start = Math.min(read.start, end);
      const items = cut.given(read);
      // A read without items has begun meanwhile, by code of the items.
      read.settleBy(() => (items ? this.#slice(start, items) : this.handOut(start, read.request)));
    }
    this.#dropReceived();
    this.kept.giveRoom();
    this.life.announce(this);
    return true;
  }

  // --- the producer's side -----------------------------------------------------------------------------------------

  /** Marks the producer as running. */
  start(): void {
    this.life.start();
  }

  /** Adds an item and wakes the reads that wait for it. */
  append(item: T): boolean {
    const items = this.kept;
    if (items.isFull) {
      if (!this.life.ended) this.#overflow();
      return false;
    }
    items.push(item);
    if (items.end >= this.#demand.wakeAt) {
      this.#scheduler!.wake();
      return !this.life.ended; // code of the items may have aborted the work
    }
    return true;
  }

  /** Sets the number of items expected at the end. */
  total(count: number | undefined): void {
    this.expected = count;
  }

  /** Ends the log as failed and has the work stopped. Items kept so far stay readable. */
  #overflow(): void {
    const error = tooManyItems(this.#options.mostItems);
    this.#settleEnd(() => this.life.end(error));
    this.#events.onOverflow?.(error);
  }

  /** Resolves when the producer may append. */
  room(): Promise<void> {
    return this.isFull ? this.kept.room() : Promise.resolve();
  }

  /** Ends the log as completed. */
  end(): void {
    this.#settleEnd(() => this.life.end());
  }

  /** Ends the log as failed. */
  fail(cause: unknown): void {
    this.#settleEnd(() => this.life.end(runnerFailed(cause)));
  }

  // --- admission and acknowledgement -------------------------------------------------------------------------------

  /**
   * Resolves the start of a read to a position.
   * @throws `READ_CONFLICT`, `POSITION_AHEAD`, `POSITION_GONE` if the read cannot be admitted
   */
  #locate(request: ReadRequest): number {
    if (request.start === "tail") return this.kept.end;
    const isTaken = this.handedOut.isKept || this.#scheduler?.hasDefault;
    if (request.start === undefined && isTaken) throw readConflict();
    const start = request.start ?? this.position;
    if (start > this.kept.end) {
      if (this.#isCutOff(start)) return this.kept.end;
      throw startAhead(this.kept.end, start);
    }
    if (start < this.kept.first) throw positionGone(this.kept.first, start);
    return start;
  }

  /** True if the position existed until an abort cut it off. */
  #isCutOff(position: number): boolean {
    return this.life.final === "aborted" && position <= this.#formerProgress;
  }

  /**
   * A reader that names a position has received everything before it. Explicit starts also move the position
   * forward.
   */
  #acknowledge(position: number): void {
    if (!this.life.final) this.handedOut.moveTo(position);
    this.kept.receive(position);
    this.#dropReceived();
  }

  /**
   * Drops what has been received and is not needed. Reads hold that back, so it has to be called when they change.
   */
  #dropReceived(): void {
    if (!this.kept.dropReceived(this.#demand)) return;
    // A passive read has lost its next item to another reader's acknowledgement: to skip it would be a silent gap.
    const { first } = this.kept;
    this.#scheduler?.rejectBefore(first, (start) => positionGone(first, start));
    this.#moveBound();
  }

  // --- waiting -----------------------------------------------------------------------------------------------------

  /** True if a read that waits for this position can be served. */
  #isReady(target: number): boolean {
    return this.life.ended || this.kept.end >= target;
  }

  /** See {@link ScheduledLog.produced}. */
  get produced(): number {
    return this.kept.end;
  }

  /** See {@link ScheduledLog.started}. */
  get started(): boolean {
    return this.life.started;
  }

  /** See {@link ScheduledLog.ended}. */
  get ended(): boolean {
    return this.life.ended;
  }

  /** See {@link ScheduledLog.probe}. */
  probe(start: number, { min, max, json }: ReadRequest): number {
    // A read of one item is ready with it, whatever its size.
    if (!json || min === undefined || min < 2) return Number.POSITIVE_INFINITY;
    return this.kept.probe(start, { min, max }, json);
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
    this.#dropReceived();
    this.#moveBound();
  }

  /** See {@link ScheduledLog.onSettledLater}. */
  onSettledLater(): void {
    this.life.announce(this);
  }

  /** Recomputes the bound and resumes the producer if it has room. */
  #moveBound(): void {
    this.kept.moveBound(this.#demand);
    if (!this.isFull) this.kept.giveRoom();
  }

  // --- settling ----------------------------------------------------------------------------------------------------

  /**
   * Forms the slice of a read and moves position and status. An empty read at the tail moves nothing, so it cannot
   * make the status final.
   */
  handOut(start: number, request: ReadRequest): Slice<T[]> {
    const given = this.#itemsFor(start, request);
    const { length } = given.items;
    if (!this.life.final && (length > 0 || request.start !== "tail")) {
      const end = start + length;
      if (request.start === undefined) this.handedOut.moveByDefault(end);
      else this.handedOut.moveTo(end);
      if (this.life.ended && end === this.kept.end) this.#finish();
    }
    return this.#slice(start, given);
  }

  /** The end has been read, or will never be. */
  #finish(): void {
    this.life.finish();
    this.handedOut.isFinal = this.life.final !== undefined;
  }

  /** Selects the items of a read: with JSON, as many as have been encoded. */
  #itemsFor(start: number, request: ReadRequest): GivenItems<T> {
    const { final } = this.life;
    if (start < this.kept.first) throw positionGone(this.kept.first, start); // they have been dropped meanwhile
    const given = this.kept.select(start, request);
    // Code of the items may have aborted the work: select again from the log as it was cut.
    return this.life.final === final ? given : this.#itemsFor(start, request);
  }

  /** Forms a slice with the present state. */
  #slice(start: number, { items, json }: GivenItems<T>): Slice<T[]> {
    return this.life.slice(this, items, start, start + items.length, json);
  }

  /**
   * Ends the log and settles all reads. If everything had been handed out before, no later read would reach the
   * end: the status becomes final at once.
   * @param end marks the work as ended
   * @returns false if it had ended before
   */
  #settleEnd(end: () => void): boolean {
    if (this.life.ended) return false;
    end();
    this.kept.close();
    this.#settleRest();
    this.#dropReceived();
    if (this.position === this.kept.end) this.#finish();
    this.kept.giveRoom();
    this.life.announce(this);
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
