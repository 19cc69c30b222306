/**
 * Idle time-outs for any number of objects with one timer for each distinct duration.
 *
 * All entries of a list share its duration, so a list in order of last use is also in order of expiry: using an entry moves
 * it to the tail, the head is always the next to expire. Moving touches four pointers and no timer; a timer that finds its
 * head used since then is set again for the new head.
 */
import { noop, startTimer } from "./async.js";

/** At most so many entries expire in one go; then the event loop gets its turn. */
const expiriesPerTurn = 1000;

/** What can stand in one {@link IdleList}. */
export abstract class IdleEntry {
  expiryPrevious: IdleEntry | null = null;
  expiryNext: IdleEntry | null = null;
  /** By the monotonic clock, ms; 0: it is in no list. */
  expiresAt = 0;
}

/** So much later than it should a timer comes where the process was frozen, or held for very long, ms. */
const frozenFrom = 1000;
/** How long the loop may then read what has arrived meanwhile, before anything ends, ms. */
const thawTime = 2000;

/**
 * One timer that rings at the earliest of the deadlines it was set for; it never keeps the process alive. After the process was frozen
 * (a virtual machine that was paused) it rings a moment later: what clients have sent meanwhile is read first.
 */
export class Alarm {
  readonly #ring: () => void;
  #at = Number.POSITIVE_INFINITY;
  #cancel: () => void = noop;

  constructor(ring: () => void) {
    this.#ring = ring;
  }

  /** Sees to it that the alarm rings at `deadline` (monotonic, ms) or before. */
  setFor(deadline: number): void {
    if (deadline >= this.#at) return;
    this.#cancel();
    this.#at = deadline;
    const rings = () => {
      this.#at = Number.POSITIVE_INFINITY;
      this.#ring();
    };
    const isDue = () => {
      if (performance.now() - deadline < frozenFrom) rings();
      else this.#cancel = startTimer(thawTime, rings, { unref: true });
    };
    this.#cancel = startTimer(deadline - performance.now(), isDue, { unref: true });
  }

  cancel(): void {
    this.#cancel();
    this.#at = Number.POSITIVE_INFINITY;
  }
}

/** See the top of the file. */
export class IdleList<E extends IdleEntry> {
  readonly #duration: number;
  readonly #expire: (entry: E) => void;
  readonly #alarm = new Alarm(() => this.#sweep());
  #head: IdleEntry | null = null;
  #tail: IdleEntry | null = null;

  /** @param expire is called once for each entry whose time is up, when it stands in no list any more; must not throw */
  constructor(duration: number, expire: (entry: E) => void) {
    this.#duration = duration;
    this.#expire = expire;
  }

  /**
   * The entry that was touched longest ago of those that fit. At most so many are looked at; if none of them fits although there are
   * more, it is the very first one: making room must not take longer, the more there is.
   */
  findOldest(fits: (entry: E) => boolean, looks = 64): E | undefined {
    let entry = this.#head as E | null;
    for (let left = looks; entry && !fits(entry); entry = entry.expiryNext as E | null) {
      if (--left === 0) return this.#head as E;
    }
    return entry ?? undefined;
  }

  /** Adds the entry, or starts its time anew. */
  touch(entry: E, now = performance.now()): void {
    if (this.#duration === Number.POSITIVE_INFINITY) return;
    const deadline = Math.ceil(now + this.#duration);
    if (entry.expiresAt === deadline && this.#tail === entry) return;
    this.remove(entry);
    entry.expiresAt = deadline;
    entry.expiryPrevious = this.#tail;
    if (this.#tail) this.#tail.expiryNext = entry;
    else this.#head = entry;
    this.#tail = entry;
    this.#alarm.setFor(this.#head!.expiresAt);
  }

  /** Takes the entry out: it does not expire until it is touched again. */
  remove(entry: E): void {
    if (entry.expiresAt === 0) return;
    const { expiryPrevious: previous, expiryNext: next } = entry;
    if (previous) previous.expiryNext = next;
    else this.#head = next;
    if (next) next.expiryPrevious = previous;
    else this.#tail = previous;
    entry.expiryPrevious = null;
    entry.expiryNext = null;
    entry.expiresAt = 0;
  }

  /** Stops the timer; to be called when the list is not used any more. */
  close(): void {
    this.#alarm.cancel();
  }

  #sweep(): void {
    const now = performance.now();
    for (let left = expiriesPerTurn; left > 0 && this.#head && this.#head.expiresAt <= now; left--) {
      const entry = this.#head as E;
      this.remove(entry);
      this.#expire(entry);
    }
    if (this.#head) this.#alarm.setFor(this.#head.expiresAt);
  }
}

/** Lists for any number of durations; one is there as long as somebody uses it. */
export class IdleLists<E extends IdleEntry> {
  readonly #expire: (entry: E) => void;
  readonly #lists = new Map<number, { readonly list: IdleList<E>; users: number }>();

  constructor(expire: (entry: E) => void) {
    this.#expire = expire;
  }

  /** The list for a duration, kept until {@link leave} has been called as often as this. */
  join(duration: number): IdleList<E> {
    const known = this.#lists.get(duration) ?? { list: new IdleList(duration, this.#expire), users: 0 };
    this.#lists.set(duration, known);
    known.users++;
    return known.list;
  }

  leave(duration: number): void {
    const known = this.#lists.get(duration);
    if (!known || --known.users > 0) return;
    known.list.close();
    this.#lists.delete(duration);
  }
}
