import { createDeferred, type Deferred } from "../base/async.js";
import { type EncodedItems, JsonCodec, type JsonLimits, noItems } from "./codec.js";
import { enough } from "./read-scheduler.js";
import type { ItemTally, ReadRequest } from "./result-log.js";
import { RingBuffer } from "./ring-buffer.js";
import type { SequenceLogOptions } from "./sequence-sink.js";
import type { Demand } from "./waiting-reads.js";

/** What a read is given. */
export interface GivenItems<T> {
  readonly items: T[];
  /** The items as JSON, if the read has asked for it. */
  readonly json: EncodedItems | undefined;
}

/**
 * The items that a sequence log keeps: what has been acknowledged is dropped, as far as `retain` allows, and makes room for the producer.
 *
 * - **Back-pressure**: the producer pauses at {@link isAtBound}. The bound is `acknowledged + aheadLimit` or, if that is further, the
 *   position that a waiting read needs.
 * - **Full**: at the ceiling, `mostItems` beyond the first item kept, nothing more is taken.
 *
 * It extends the ring, so that each runner has one object less.
 */
export class RetainedItems<T> extends RingBuffer<T> {
  readonly #options: SequenceLogOptions;
  /**
   * Furthest position named by a reader. `#acknowledged` follows as soon as no pending read needs the items before
   * it.
   */
  #received = 0;
  #acknowledged = 0;
  #bound: number;
  #ceiling: number;
  /** Set while the producer waits for room. */
  #room: Deferred<void> | undefined;
  /** Created with the first read that wants JSON. */
  #codec: JsonCodec | undefined;

  /** @param tally kept up to date with the number of items */
  constructor(options: SequenceLogOptions, tally: ItemTally | undefined) {
    super(tally);
    this.#options = options;
    this.#ceiling = options.mostItems ?? Number.POSITIVE_INFINITY;
    this.#bound = this.#aheadBound;
  }

  /** Everything before this position is known to have been received. */
  get acknowledged(): number {
    return this.#acknowledged;
  }

  /** Nothing more is taken, so that an append has one thing to look at. */
  close(): void {
    this.#ceiling = 0;
  }

  /** True if no further item is taken: there are as many as may be kept, or nothing more is wanted. */
  get isFull(): boolean {
    return this.end >= this.#ceiling;
  }

  /** True if the producer has to pause. */
  get isAtBound(): boolean {
    return this.end >= this.#bound;
  }

  /** A reader has received everything before `position`. */
  receive(position: number): void {
    this.#received = Math.max(this.#received, Math.min(position, this.end));
  }

  /**
   * Advances `acknowledged` and drops items, but not those that a pending read still needs: call it when reads or what has been
   * received change.
   * @returns true if anything has changed
   */
  dropReceived({ lowestStart }: Readonly<Demand>): boolean {
    const limit = Math.min(this.#received, lowestStart);
    if (limit <= this.#acknowledged) return false;
    this.#acknowledged = limit;
    const { retain } = this.#options;
    if (retain !== "all") this.#dropFront(limit - (retain === "unacknowledged" ? 0 : retain));
    return true;
  }

  /** Drops items from the front. The room they leave raises the ceiling. */
  #dropFront(position: number): void {
    const { first } = this;
    this.dropBefore(position);
    this.#ceiling += this.first - first;
  }

  /** Recomputes the bound. Call it when reads change, and after {@link dropReceived}. */
  moveBound({ furthestTarget }: Readonly<Demand>): void {
    this.#bound = Math.max(this.#aheadBound, furthestTarget);
  }

  /**
   * The bound without waiting reads. With `retain: "unacknowledged"` it is also limited by the ceiling:
   * acknowledgements make room again, so the producer of a full log waits instead of failing.
   */
  get #aheadBound(): number {
    const bound = this.#acknowledged + this.#options.aheadLimit;
    return this.#options.retain === "unacknowledged" ? Math.min(bound, this.#ceiling) : bound;
  }

  /** Resolves with the next {@link giveRoom}. */
  room(): Promise<void> {
    this.#room ??= createDeferred();
    return this.#room.promise;
  }

  /** Resumes a producer that waits for room. */
  giveRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }

  /**
   * Selects the items of a read: with JSON, as many as have been encoded, by code of the items.
   * @throws `RESULT_NOT_SERIALIZABLE` or `ITEM_TOO_LARGE` for the first item
   */
  select(start: number, request: ReadRequest): GivenItems<T> {
    const items = this.slice(start, Math.max(start, Math.min(start + request.max, this.end)));
    if (!request.json) return { items, json: undefined };
    if (items.length === 0) return { items, json: noItems };
    this.#codec ??= new JsonCodec();
    const json = this.#codec.encode(request, items, request.json);
    return { items: json.count < items.length ? items.slice(0, json.count) : items, json };
  }

  /**
   * Looks if the items from `start` on fill a page. Runs code of the items.
   * @returns the progress at which to look again, or {@link enough}
   */
  probe(start: number, { min, max }: Pick<ReadRequest, "min" | "max">, json: JsonLimits): number {
    const items = this.slice(start, Math.min(start + max, this.end));
    if (items.length === 0) return start + 1;
    this.#codec ??= new JsonCodec();
    const count = this.#codec.fullAt({ start, min }, items, json);
    return count === 0 ? enough : start + Math.max(count, items.length + 1);
  }
}
