import { ItemTally } from "./result-log.js";

/**
 * The first ring. Lengths of rings are powers of two, so that a place is found by a bit mask. The array is packed,
 * because slices of an array with holes would have holes, too.
 */
const firstRing: readonly undefined[] = Array.from({ length: 16 }, () => undefined);
/**
 * A ring larger than this is released when it becomes empty; otherwise a runner that waits for its reader would
 * hold the memory of its peak.
 */
const largestKept = 2048;

/**
 * The items kept by a sequence log: consecutive positions that grow at the end and are dropped from the front.
 *
 * The ring doubles when it is full. An item is written once and not moved while the ring is large enough. Unused
 * places hold `undefined`, so that dropped items can be collected.
 */
export class RingBuffer<T> {
  #tally: ItemTally;
  /** The item at a position is stored at that position modulo the length. */
  #ring: (T | undefined)[] = [];
  #first = 0;
  #end = 0;

  /** @param tally kept up to date with the number of items */
  constructor(tally = new ItemTally()) {
    this.#tally = tally;
  }

  /** First position kept. */
  get first(): number {
    return this.#first;
  }

  /** Position after the last one kept. */
  get end(): number {
    return this.#end;
  }

  /** Appends an item at {@link end}. Notifies the tally once its limit is exceeded. */
  push(item: T): void {
    if (this.#end - this.#first === this.#ring.length) this.#grow();
    this.#ring[this.#end++ & (this.#ring.length - 1)] = item;
    const tally = this.#tally;
    if (++tally.items > tally.most) tally.onMore();
  }

  /** Moves the count of the items to another tally, without checking its limit. */
  countIn(tally: ItemTally): void {
    const kept = this.#end - this.#first;
    this.#tally.items -= kept;
    tally.items += kept;
    this.#tally = tally;
  }

  /**
   * Returns a copy of the items from `from` to `to`, exclusive. Both must lie within the window, which is not
   * checked.
   */
  slice(from: number, to: number): T[] {
    const { length } = this.#ring;
    const begin = from & (length - 1);
    const end = begin + to - from;
    if (end <= length) return this.#ring.slice(begin, end) as T[];
    return [...this.#ring.slice(begin), ...this.#ring.slice(0, end - length)] as T[];
  }

  /** Drops everything before `position`; a position beyond the end drops all. */
  dropBefore(position: number): void {
    const to = Math.min(position, this.#end);
    if (to <= this.#first) return;
    this.#release(this.#first, to);
    this.#first = to;
    if (to === this.#end && this.#ring.length > largestKept) this.#ring = [];
  }

  /** Drops everything from `position` on. A position before the window leaves it empty at its start. */
  cutAt(position: number): void {
    if (position >= this.#end) return;
    const end = Math.max(position, this.#first);
    this.#release(end, this.#end);
    this.#end = end;
  }

  /** Clears a range of positions and takes it off the tally. */
  #release(from: number, to: number): void {
    this.#tally.items -= to - from;
    clear(this.#ring, from, to);
  }

  /**
   * Doubles the ring. In a ring followed by a copy of itself, every item is already at its new place; only the
   * places outside the window have to be cleared.
   */
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

/** Clears the places of a range of positions, which may wrap around the end of the ring. */
function clear(ring: unknown[], from: number, to: number): void {
  const { length } = ring;
  const begin = from & (length - 1);
  const end = begin + to - from;
  ring.fill(undefined, begin, end);
  if (end > length) ring.fill(undefined, 0, end - length);
}
