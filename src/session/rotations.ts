import type { TaggedIdentity } from "./identity.js";

interface Rotation {
  /** Running number, from 1. */
  readonly number: number;
  /** Time of the rotation, in ms of the monotonic clock. */
  readonly at: number;
}

/** Minimum age at which a rotation may be forgotten, ms. */
const remembered = 60_000;
/** Upper bound of the table; the oldest rotations go first. */
const most = 1000;

/**
 * Remembers which cookies were replaced recently by a login or logout.
 *
 * A double click can send two logins with the same cookie. Only the first one may set a new cookie. A second new cookie would belong to
 * an empty session and overwrite the first. Answering both with the same new cookie is no option either: it would hand that cookie to an
 * attacker who planted the old one (session fixation).
 */
export class Rotations {
  /** In order of time, which the clean-up in {@link add} relies on. */
  readonly #latest = new Map<TaggedIdentity, Rotation>();
  #count = 0;

  /** Number of rotations so far. A request notes it on arrival and passes it to {@link hasBeenSince}. */
  get count(): number {
    return this.#count;
  }

  /** Records that the cookie `from` has been replaced. Forgets expired rotations on the way, so that no timer is needed. */
  add(from: TaggedIdentity): void {
    const at = performance.now();
    for (const [former, rotation] of this.#latest) {
      if (this.#latest.size < most && at - rotation.at < remembered) break;
      this.#latest.delete(former);
    }
    this.#latest.delete(from); // so that `set` appends it: a Map keeps the place of a known key
    this.#latest.set(from, { number: ++this.#count, at });
  }

  /** True if the cookie was replaced after {@link count} had the value `countBefore`. */
  hasBeenSince(from: TaggedIdentity, countBefore: number): boolean {
    return (this.#latest.get(from)?.number ?? 0) > countBefore;
  }
}
