/** Objects in order of their last use: linked, so that using one, and finding the one that was not used for longest, takes a step each. */

/** What can stand in one {@link RecencyList}. */
export interface Recent<E> {
  moreRecent: E | undefined;
  lessRecent: E | undefined;
  isListed: boolean;
}

/** See the top of the file. */
export class RecencyList<E extends Recent<E>> {
  #oldest: E | undefined;
  #newest: E | undefined;

  /** Puts an entry behind all others. */
  use(entry: E): void {
    if (this.#newest === entry) return;
    this.remove(entry);
    entry.isListed = true;
    entry.lessRecent = this.#newest;
    if (this.#newest) this.#newest.moreRecent = entry;
    else this.#oldest = entry;
    this.#newest = entry;
  }

  /** Takes an entry out, if it is there. */
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

  /** The least recently used one that fits, of the first so many. */
  oldest(fits: (entry: E) => boolean, looks = 256): E | undefined {
    let entry = this.#oldest;
    for (let left = looks; entry && left > 0; left--) {
      if (fits(entry)) return entry;
      entry = entry.moreRecent;
    }
    return undefined;
  }
}
