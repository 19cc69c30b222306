/**
 * The items a sequence log keeps: a stretch of consecutive positions that grows at the end and is dropped from the front.
 *
 * An array with a moving head: `slice` stays one native copy (a ring would need two), and the dead part in front is cut
 * off when it outweighs the living one, so that every operation is constant on average.
 */
import type { ItemTally } from "./result-log.js";

/** See the top of the file. */
export class Window<T> {
  readonly #tally: ItemTally;
  #items: T[] = [];
  #head = 0;
  #first = 0;
  #end = 0;

  /** @param tally is kept up to date with how many items are kept */
  constructor(tally: ItemTally = { items: 0 }) {
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
    this.#items.push(item);
    this.#tally.items++;
    this.#end++;
  }

  /** The items at positions `from` to `to`, `to` excluded; both must lie within the window. */
  slice(from: number, to: number): T[] {
    const offset = this.#head - this.#first;
    return this.#items.slice(from + offset, to + offset);
  }

  /** Drops everything before `position`. */
  dropBefore(position: number): void {
    const count = Math.min(position, this.#end) - this.#first;
    if (count <= 0) return;
    this.#tally.items -= count;
    if (this.#first + count === this.#end) this.#items = [];
    else this.#items.fill(undefined as T, this.#head, this.#head + count); // lets the items go before the array is cut
    this.#head = this.#items.length === 0 ? 0 : this.#head + count;
    this.#first += count;
    if (this.#head > 32 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Drops everything from `position` on; a position before the window leaves it empty where it starts. */
  cutAt(position: number): void {
    if (position >= this.#end) return;
    const end = Math.max(position, this.#first);
    this.#tally.items -= this.#end - end;
    this.#end = end;
    this.#items.length = this.#head + this.#end - this.#first;
  }
}
