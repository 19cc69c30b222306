import type { ReadRequest } from "./result-log.js";
import type { GivenItems } from "./retained-items.js";
import type { WaitingRead } from "./waiting-reads.js";

/**
 * What the waiting reads of a log get when it is cut: their items are collected while those exist. Code of the items may cancel reads,
 * begin others, and abort again.
 */
export class CutReads<T> {
  readonly #given = new Map<WaitingRead<T[]>, GivenItems<T>>();

  /**
   * @param reads the waiting reads
   * @param itemsFor selects the items of a read; an error rejects it
   */
  constructor(reads: readonly WaitingRead<T[]>[], itemsFor: (start: number, request: ReadRequest) => GivenItems<T>) {
    for (const read of reads) {
      if (!read.reads) continue; // cancelled meanwhile
      try {
        this.#given.set(read, itemsFor(read.start, read.request));
      } catch (error) {
        read.cancel(error);
      }
    }
  }

  /** The items of a read; `undefined` if it has begun meanwhile. */
  given(read: WaitingRead<T[]>): GivenItems<T> | undefined {
    return this.#given.get(read);
  }

  /** The end of the furthest item that one of these reads gets; 0 if none. */
  endOf(reads: readonly WaitingRead<T[]>[]): number {
    const ends = reads.map((read) => {
      const length = this.given(read)?.items.length ?? 0;
      return length > 0 ? read.start + length : 0;
    });
    return Math.max(0, ...ends);
  }
}
