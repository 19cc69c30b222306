/**
 * Links of an object in a {@link RecencyList}. They are part of the object, so that moving it allocates nothing.
 * All members are written by the list only.
 */
export interface Recent<E> {
  /** The neighbour that was used after this one. */
  moreRecent: E | undefined;
  /** The neighbour that was used before this one. */
  lessRecent: E | undefined;
  /** True while the object is in a list. An object can be in one list at a time. */
  isListed: boolean;
}

/**
 * Objects in order of their last use. A doubly linked list: recording a use, removing an entry and finding the
 * least recently used one take constant time.
 */
export class RecencyList<E extends Recent<E>> {
  #oldest: E | undefined;
  #newest: E | undefined;

  /** Makes the entry the most recently used one, adding it if necessary. */
  use(entry: E): void {
    if (this.#newest === entry) return;
    this.remove(entry);
    entry.isListed = true;
    entry.lessRecent = this.#newest;
    if (this.#newest) this.#newest.moreRecent = entry;
    else this.#oldest = entry;
    this.#newest = entry;
  }

  /** Removes the entry. Does nothing if it is not in the list. */
  remove(entry: E): void {
    if (!entry.isListed) return;
    const { lessRecent, moreRecent } = entry;
    if (lessRecent) lessRecent.moreRecent = moreRecent;
    else this.#oldest = moreRecent;
    if (moreRecent) moreRecent.lessRecent = lessRecent;
    else this.#newest = lessRecent;
    entry.lessRecent = undefined;
    entry.moreRecent = undefined;
    entry.isListed = false;
  }

  /**
   * Returns the least recently used entry that fits, or `undefined` if none of the first `looks` entries does. The
   * search is bounded, so that making room does not become slower with the number of entries.
   * @param looks maximum number of entries to check
   */
  oldest(fits: (entry: E) => boolean, looks = 256): E | undefined {
    let entry = this.#oldest;
    for (let left = looks; entry && left > 0; left--) {
      if (fits(entry)) return entry;
      entry = entry.moreRecent;
    }
    return undefined;
  }
}
