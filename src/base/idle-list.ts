import { noop, startTimer } from "./async.js";

/** Maximum number of entries that expire in one go. The event loop gets a turn before the next ones. */
const expiriesPerTurn = 1000;

/**
 * Base of objects that can be in an {@link IdleList}. The links are part of the object, so that adding and moving
 * an entry allocates nothing. An object can be in one list at a time.
 */
export abstract class IdleEntry {
  /** The entry that expires before this one. Written by the list only. */
  expiryPrevious: IdleEntry | null = null;
  /** The entry that expires after this one. Written by the list only. */
  expiryNext: IdleEntry | null = null;
  /**
   * Time of expiry by the monotonic clock, ms. 0 if the entry is in no list, {@link withoutDeadline} in a {@link WaitingList}. Written by
   * the list only.
   */
  expiresAt = 0;
}

/** `expiresAt` of an entry that is in a {@link WaitingList}. */
export const withoutDeadline = -1;

/** Entries in the order in which they were added. */
abstract class EntryList<E extends IdleEntry> {
  protected head: IdleEntry | null = null;
  protected tail: IdleEntry | null = null;

  /**
   * Returns the entry that fits and was added first. The search is bounded, so that making room does not become
   * slower with the number of entries: if none of the first `looks` entries fits, the result is the head, although
   * it does not fit. `undefined` if the list is shorter and no entry fits.
   * @param looks maximum number of entries to check
   */
  findOldest(fits: (entry: E) => boolean, looks = 64): E | undefined {
    let entry = this.head as E | null;
    for (let left = looks; entry && !fits(entry); entry = entry.expiryNext as E | null) {
      if (--left === 0) return this.head as E;
    }
    return entry ?? undefined;
  }

  /** Adds an entry that is in no list. */
  protected append(entry: E, expiresAt: number): void {
    entry.expiresAt = expiresAt;
    entry.expiryPrevious = this.tail;
    if (this.tail) this.tail.expiryNext = entry;
    else this.head = entry;
    this.tail = entry;
  }

  /** Removes the entry. Does nothing if it is in no list; it must not be in another one. */
  remove(entry: E): void {
    if (entry.expiresAt === 0) return;
    const { expiryPrevious: previous, expiryNext: next } = entry;
    if (previous) previous.expiryNext = next;
    else this.head = next;
    if (next) next.expiryPrevious = previous;
    else this.tail = previous;
    entry.expiryPrevious = null;
    entry.expiryNext = null;
    entry.expiresAt = 0;
  }
}

/** Entries that wait for something else than a time. */
export class WaitingList<E extends IdleEntry> extends EntryList<E> {
  /** Adds an entry that is in no list. */
  add(entry: E): void {
    this.append(entry, withoutDeadline);
  }
}

/** A timer that is late by this much, ms, shows that the process was frozen or the loop blocked for very long. */
const frozenFrom = 1000;
/** Time for the loop to read the input that queued up while the process was frozen, before anything expires, ms. */
const leastGrace = 2000;

/**
 * One timer for any number of deadlines: it fires at the earliest one. It does not keep the process alive.
 *
 * After the process was frozen (a paused virtual machine), it fires later, by a grace period. Requests that arrived meanwhile
 * are answered first; otherwise sessions in use would expire.
 */
export class Alarm {
  readonly #ring: () => void;
  readonly #grace: number;
  /** The deadline the timer is set for; `Infinity` if none. */
  #at = Number.POSITIVE_INFINITY;
  #cancel: () => void = noop;

  /**
   * @param ring called at each deadline; the alarm is unset by then and can be set again
   * @param grace how much later it fires after a freeze, in ms; two seconds at least
   */
  constructor(ring: () => void, grace = leastGrace) {
    this.#ring = ring;
    this.#grace = Math.max(grace, leastGrace);
  }

  /**
   * Makes the alarm fire at `deadline` or earlier. A later deadline than the one set is ignored, so the owner has
   * to check what is due and set the alarm again.
   * @param deadline monotonic clock, ms
   */
  setFor(deadline: number): void {
    if (deadline >= this.#at) return;
    this.#cancel();
    this.#at = deadline;
    const rings = () => {
      this.#at = Number.POSITIVE_INFINITY;
      this.#ring();
    };
    // A deadline that has passed already is no sign of a freeze: the entries that one sweep has left are due at once.
    const due = Math.max(deadline, performance.now());
    const isDue = () => {
      if (performance.now() - due < frozenFrom) rings();
      else this.#cancel = startTimer(this.#grace, rings, { unref: true });
    };
    this.#cancel = startTimer(due - performance.now(), isDue, { unref: true });
  }

  /** Unsets the alarm. */
  cancel(): void {
    this.#cancel();
    this.#at = Number.POSITIVE_INFINITY;
  }
}

/**
 * Idle time-outs for any number of objects that share a duration, with a single timer.
 *
 * All entries have the same duration, so the order of last use is also the order of expiry: a touched entry moves
 * to the tail, and the head is always the next to expire. Touching changes a few links and no timer. A timer that
 * fires and finds the head used since then is set again for the new head.
 *
 * Expiry is exact, not the result of a periodic sweep. Only after the process was frozen it is later: the end of a freeze counts as a use
 * of every entry, since a backlog of requests may take long to be answered.
 */
export class IdleList<E extends IdleEntry> extends EntryList<E> {
  /** Idle time of every entry, ms. `Infinity`: entries are not stored at all. */
  readonly #duration: number;
  readonly #expire: (entry: E) => void;
  /** Set for the head, or for an entry that was the head earlier. */
  readonly #alarm: Alarm;

  /**
   * @param duration milliseconds; `Infinity` disables the time-out
   * @param expire called once for each expired entry, after it has left the list; must not throw
   */
  constructor(duration: number, expire: (entry: E) => void) {
    super();
    this.#duration = duration;
    this.#expire = expire;
    this.#alarm = new Alarm(() => this.#sweep(), duration);
  }

  /**
   * Adds the entry or restarts its idle time. Does nothing if the duration is `Infinity`.
   * @param now monotonic clock, ms
   */
  touch(entry: E, now = performance.now()): void {
    if (this.#duration === Number.POSITIVE_INFINITY) return;
    const deadline = Math.ceil(now + this.#duration);
    if (entry.expiresAt === deadline && this.tail === entry) return;
    this.remove(entry);
    this.append(entry, deadline);
    this.#alarm.setFor(this.head!.expiresAt);
  }

  /** Stops the timer. To be called when the list is no longer used. */
  close(): void {
    this.#alarm.cancel();
  }

  /** Expires the entries that are due. Reads the head in every step, because `expire` may add or remove entries. */
  #sweep(): void {
    const now = performance.now();
    for (let left = expiriesPerTurn; left > 0 && this.head && this.head.expiresAt <= now; left--) {
      const entry = this.head as E;
      this.remove(entry);
      this.#expire(entry);
    }
    if (this.head) this.#alarm.setFor(this.head.expiresAt);
  }
}

/** Shares one {@link IdleList} per distinct duration among its users. A list exists while its duration is in use. */
export class IdleLists<E extends IdleEntry> {
  readonly #expire: (entry: E) => void;
  /** The lists by duration, with the number of their users. */
  readonly #lists = new Map<number, { readonly list: IdleList<E>; users: number }>();

  /** @param expire called once for each expired entry; must not throw */
  constructor(expire: (entry: E) => void) {
    this.#expire = expire;
  }

  /** Returns the list for a duration, creating it if necessary. Each call must be paired with one of {@link leave}. */
  join(duration: number): IdleList<E> {
    const known = this.#lists.get(duration) ?? { list: new IdleList(duration, this.#expire), users: 0 };
    this.#lists.set(duration, known);
    known.users++;
    return known.list;
  }

  /** Ends one use of a duration. The list is closed with its last use; its entries must have been removed by then. */
  leave(duration: number): void {
    const known = this.#lists.get(duration);
    if (!known || --known.users > 0) return;
    known.list.close();
    this.#lists.delete(duration);
  }
}
