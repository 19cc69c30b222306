/**
 * The items a sequence log keeps: a stretch of consecutive positions that grows at the end and is dropped from the front.
 *
 * A ring that doubles when it is full: an item is written once and never moved again while the ring is large enough. Places that
 * hold nothing hold `undefined`, so that an item which was dropped can go.
 */
import { ItemTally } from "./result-log.js";

/** What the first item is put into; a power of two in length, as every ring. One with holes would give slices with holes. */
const firstRing: readonly undefined[] = Array.from({ length: 16 }, () => undefined);
/** A larger one is given up when it is empty: a runner that waits for its reader holds little. */
const largestKept = 2048;

/** See the top of the file. */
export class RingBuffer<T> {
  #tally: ItemTally;
  /** The item at a position is at that position modulo the length. */
  #ring: (T | undefined)[] = [];
  #first = 0;
  #end = 0;

  /** @param tally is kept up to date with how many items are kept */
  constructor(tally = new ItemTally()) {
    this.#tally = tally;
  }

  /** The first position kept. */
  get first(): number {
    return this.#first;
  }

  /** The position after the last one kept. */
  get end(): number {
    return this.#end;
  }

  push(item: T): void {
    if (this.#end - this.#first === this.#ring.length) this.#grow();
    this.#ring[this.#end++ & (this.#ring.length - 1)] = item;
    const tally = this.#tally;
    if (++tally.items > tally.most) tally.onMore();
  }

  /** From now on the items are counted in another tally. */
  countIn(tally: ItemTally): void {
    const kept = this.#end - this.#first;
    this.#tally.items -= kept;
    tally.items += kept;
    this.#tally = tally;
  }

  /** The items at positions `from` to `to`, `to` excluded; both must lie within the window. */
  slice(from: number, to: number): T[] {
    const { length } = this.#ring;
    const begin = from & (length - 1);
    const end = begin + to - from;
    if (end <= length) return this.#ring.slice(begin, end) as T[];
    return [...this.#ring.slice(begin), ...this.#ring.slice(0, end - length)] as T[];
  }

  /** Drops everything before `position`. */
  dropBefore(position: number): void {
    const to = Math.min(position, this.#end);
    if (to <= this.#first) return;
    this.#release(this.#first, to);
    this.#first = to;
    if (to === this.#end && this.#ring.length > largestKept) this.#ring = [];
  }

  /** Drops everything from `position` on; a position before the window leaves it empty where it starts. */
  cutAt(position: number): void {
    if (position >= this.#end) return;
    const end = Math.max(position, this.#first);
    this.#release(end, this.#end);
    this.#end = end;
  }

  /** Lets go of the items at these positions. */
  #release(from: number, to: number): void {
    this.#tally.items -= to - from;
    clear(this.#ring, from, to);
  }

  /** Twice as large: in a ring behind a copy of itself every item is at its new place, too, and nothing but the window may stay. */
  #grow(): void {
    const { length } = this.#ring;
    if (length === 0) {
      this.#ring = firstRing.slice();
      return;
    }
    this.#ring = this.#ring.concat(this.#ring);
    clear(this.#ring, this.#end, this.#first + 2 * length);
  }
}

/** Empties the places of these positions. */
function clear(ring: unknown[], from: number, to: number): void {
  const { length } = ring;
  const begin = from & (length - 1);
  const end = begin + to - from;
  ring.fill(undefined, begin, end);
  if (end > length) ring.fill(undefined, 0, end - length);
}
