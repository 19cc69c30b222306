/**
 * Which cookies have been replaced at logins and logouts of the last moments. Of two logins that are sent at once with one cookie (a
 * double click) only the first sets a new one: the second would replace it by one that has nothing, and to give it the same cookie would
 * give a stranger who knows the former one (session fixation) the new one.
 */
import type { TaggedIdentity } from "./identity.js";

interface Rotation {
  /** Its place among all of them, from 1. */
  readonly number: number;
  /** By the monotonic clock, ms. */
  readonly at: number;
}

/** How long a rotation is remembered, ms. */
const remembered = 60_000;
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

  add(from: TaggedIdentity): void {
    const at = performance.now();
    for (const [former, rotation] of this.#latest) {
      if (this.#latest.size < most && at - rotation.at < remembered) break;
      this.#latest.delete(former);
    }
    this.#latest.delete(from); // the order is that of time
    this.#latest.set(from, { number: ++this.#count, at });
  }

  /** Whether the cookie was replaced since there had been so many rotations: when the request came, say. */
  hasBeenSince(from: TaggedIdentity, countBefore: number): boolean {
    return (this.#latest.get(from)?.number ?? 0) > countBefore;
  }
}
