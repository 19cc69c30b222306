import type { ActiveSession } from "./active-session.js";

/** Counts of one process, as returned by {@link ActiveSessions.stats}. */
export interface ActiveSessionsStats {
  /** Live sessions. */
  readonly sessions: number;
  /** Clients with at least one live session. */
  readonly groups: number;
  /** Runners of live sessions, ended ones included. */
  readonly runners: number;
  /** Work that has not stopped, also of runners that were aborted or removed. */
  readonly running: number;
  /** Those whose work has ended, and no one has seen it. */
  readonly unseen: number;
  /** Waiting reads, long-polls and open SSE responses. */
  readonly openReads: number;
  /** Items that sequence runners keep in memory. */
  readonly items: number;
}

/** How long a drain may take, see {@link ActiveSessions.close}; in ms. */
export interface DrainOptions {
  /** Everything is served, but the host is not ready. Default: 0. */
  readonly grace?: number | undefined;
  /** Nothing new is created; work that runs may end. At most, `Infinity`: as long as it takes. Default: 0. */
  readonly finish?: number | undefined;
  /** All is ended and cleaned up. At most, `Infinity`: as long as it takes. Default: 10,000. */
  readonly timeout?: number | undefined;
}

/** What {@link ActiveSessions.health} tells. */
export interface Health {
  /** True if new clients may be sent here. */
  readonly ready: boolean;
  /** True from the call of `close` on. */
  readonly draining: boolean;
  /** Where sessions are kept. */
  readonly engine: "memory";
}

/** The result of a drain, as returned by {@link ActiveSessions.close}. */
export interface CloseSummary {
  /** Number of sessions that were live or still being cleaned up when all was ended. */
  readonly sessions: number;
  /** Number of runners whose work had not ended by then, and was aborted. */
  readonly interrupted: number;
  /** Ids of the sessions and groups whose clean-up did not finish in time. */
  readonly unfinished: readonly string[];
  /** Errors thrown in the clean-ups that finished. */
  readonly errors: readonly unknown[];
}

/**
 * The host of all active sessions in a process: finds, creates, expires and drains them. Create one per process with
 * {@link createActiveSessions}.
 *
 *     open ──close──▶ draining: see `close` ──all cleaned up, or time-out──▶ closed
 *
 * @typeParam Services the type of `session.services`, as returned by the option `services`
 */
export abstract class ActiveSessions<Services = unknown> implements AsyncDisposable {
  /**
   * Returns the live session of a user, or creates one. Restarts its idle timer.
   * @param identity the application's user id, a non-empty string: the same value that an adapter's `identify` returns
   * @param suffix distinguishes several sessions of one user; 1 to 64 letters, digits, `_` or `-`
   * @throws `INVALID_IDENTITY`, `INVALID_ARGUMENT` (a bad suffix), `HOST_CLOSED`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  abstract get(identity: string, suffix?: string): Promise<ActiveSession<Services>>;

  /**
   * Returns the live session of a user without creating one. Restarts its idle timer.
   * @param identity see {@link get}
   * @param suffix see {@link get}
   * @returns `undefined` if there is none
   * @throws `INVALID_IDENTITY`, `INVALID_ARGUMENT` (a bad suffix)
   */
  abstract find(identity: string, suffix?: string): Promise<ActiveSession<Services> | undefined>;

  /** The live sessions of this process in order of creation: a snapshot. Listing does not reset idle timers. */
  abstract sessions(): IterableIterator<ActiveSession<Services>>;

  /** Returns counts of live sessions and what they hold, for monitoring. Does not reset idle timers. */
  abstract stats(): ActiveSessionsStats;

  /**
   * Drains the host in phases, before the process exits:
   *
   * 1. for `grace`: everything is served, but {@link health} says that the host is not ready, so that a balancer turns elsewhere;
   * 2. for `finish` at most: nothing new is created (`HOST_CLOSED`, 503 with `Retry-After`). Work that runs may end by itself and is read
   *    on, until all of it has ended and its end was seen. What waits for its first read is aborted;
   * 3. for `timeout` at most: all sessions end, the rest of the work is aborted with `shutdown`, and the clean-ups are waited for.
   *
   * Further calls get the promise of the first one. They can only shorten it: what they allow counts from then on, where that is less.
   * @returns resolves when everything is cleaned up, or when the time is up; errors of clean-ups are in the summary
   * @throws `INVALID_OPTION`; nothing is closed then
   */
  abstract close(options?: DrainOptions): Promise<CloseSummary>;

  /** Resolves when sessions can be served; in one process, at once. */
  abstract ready(): Promise<void>;

  /** For readiness probes, never for liveness: a process that drains must not be restarted. */
  abstract health(): Health;

  /** Drains with the default time-out, for `await using`. See {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
