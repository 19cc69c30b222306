import { type IdleEntry, IdleList, WaitingList, withoutDeadline } from "../base/idle-list.js";

/** Idle time-out of unconfirmed sessions, ms; a shorter `idleTimeout` takes precedence. */
const unconfirmedTimeout = 120_000;

/** A session as its idle time sees it. */
export interface IdleSession extends IdleEntry {
  readonly isConfirmed: boolean;
  readonly runnerCount: number;
  endFor(reason: "idle"): void;
}

/**
 * The sessions that nothing holds, in order of last use.
 *
 *     held ◀──hold, last release──▶ idle ──its time is up──▶ ended
 *                                     │ confirmed, and it has runners                  ▲
 *                                     └──────────────▶ overdue ──the last one is gone──┘
 *
 * - A confirmed session does not end before its runners: what its work has found waits for the user. An overdue session that is used is
 *   idle again, with all of its time.
 * - An unconfirmed session ends when its time is up, work and all.
 * - With an `idleTimeout` of `Infinity` confirmed sessions are in no list.
 */
export class IdleSessions<Session extends IdleSession> {
  readonly #confirmed: IdleList<Session>;
  readonly #unconfirmed: IdleList<Session>;
  readonly #overdue = new WaitingList<Session>();

  /** @param idleTimeout in ms, of confirmed sessions */
  constructor(idleTimeout: number) {
    this.#confirmed = new IdleList(idleTimeout, (session) => {
      if (session.runnerCount > 0) this.#overdue.add(session);
      else session.endFor("idle");
    });
    this.#unconfirmed = new IdleList(Math.min(idleTimeout, unconfirmedTimeout), (session) => session.endFor("idle"));
  }

  /**
   * Restarts the idle time of a session without a hold.
   * @param now monotonic clock, ms
   */
  touch(session: Session, now: number): void {
    if (session.expiresAt === withoutDeadline) this.#overdue.remove(session);
    this.#listOf(session).touch(session, now);
  }

  /** The session is held, is about to be confirmed, or has ended. */
  remove(session: Session): void {
    if (session.expiresAt === withoutDeadline) this.#overdue.remove(session);
    else this.#listOf(session).remove(session);
  }

  /** The last runner of a session is gone: ends it if that was what it has waited for. */
  hasNoRunners(session: Session): void {
    if (session.expiresAt === withoutDeadline) session.endFor("idle");
  }

  /** The least recently used session that fits, unconfirmed ones first. See {@link IdleList.findOldest}. */
  findOldest(fits: (session: Session) => boolean): Session | undefined {
    return this.findUnconfirmed(fits) ?? this.#overdue.findOldest(fits) ?? this.#confirmed.findOldest(fits);
  }

  /** As {@link findOldest}, among unconfirmed sessions. */
  findUnconfirmed(fits: (session: Session) => boolean): Session | undefined {
    return this.#unconfirmed.findOldest(fits);
  }

  /** Stops the timers. */
  close(): void {
    this.#confirmed.close();
    this.#unconfirmed.close();
  }

  #listOf(session: Session): IdleList<Session> {
    return session.isConfirmed ? this.#confirmed : this.#unconfirmed;
  }
}
