/**
 * Which cookies have been replaced by which, at logins and logouts of the last moments. A login that is sent twice at once must not
 * leave its client with the cookie of a session that has nothing.
 *
 * A request learns of the successor only if it came before the rotation and ends soon after it. That is the least that a double click
 * needs; a request that comes with the former cookie later is a stranger.
 */
import type { TaggedIdentity } from "./identity.js";

interface Rotation {
  readonly to: TaggedIdentity;
  /** The how manieth it was, from 1. */
  readonly number: number;
  /** By the monotonic clock, ms. */
  readonly at: number;
}

/** How long a rotation is remembered, ms. */
const remembered = 5000;
/** And how many are, at most. */
const most = 1000;

/** See the top of the file. */
export class Rotations {
  readonly #latest = new Map<TaggedIdentity, Rotation>();
  #count = 0;

  /** How many there have been. */
  get count(): number {
    return this.#count;
  }

  add(from: TaggedIdentity, to: TaggedIdentity): void {
    const at = performance.now();
    for (const [former, rotation] of this.#latest) {
      if (this.#latest.size < most && at - rotation.at < remembered) break;
      this.#latest.delete(former);
    }
    this.#latest.delete(from); // the order is that of time
    this.#latest.set(from, { to, number: ++this.#count, at });
  }

  /** @param countBefore how many there had been when the request came */
  successorOf(from: TaggedIdentity, countBefore: number): TaggedIdentity | undefined {
    const rotation = this.#latest.get(from);
    const isConcurrent = rotation && rotation.number > countBefore && performance.now() - rotation.at < remembered;
    return isConcurrent ? rotation.to : undefined;
  }
}
