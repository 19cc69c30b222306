import type { ActiveSession } from "./active-session.js";

/** Counts of one process, as returned by {@link ActiveSessions.stats}. */
export interface ActiveSessionsStats {
  /** Live sessions. */
  readonly sessions: number;
  /** Clients with at least one live session. */
  readonly groups: number;
  /** Runners of live sessions, finished ones included. */
  readonly runners: number;
  /** Waiting reads, long-polls and open SSE responses. */
  readonly openReads: number;
  /** Items that sequence runners keep in memory. */
  readonly items: number;
}

/** The result of a drain, as returned by {@link ActiveSessions.close}. */
export interface CloseSummary {
  /** Number of sessions that were live or still being cleaned up when the drain started. */
  readonly sessions: number;
  /** Ids of the sessions and groups whose clean-up did not finish in time. */
  readonly unfinished: readonly string[];
  /** Errors thrown in the clean-ups that finished. */
  readonly errors: readonly unknown[];
}

/**
 * The host of all active sessions in a process: finds, creates, expires and drains them. Create one per process with
 * {@link createActiveSessions}.
 *
 *     open ──close──▶ closing: no new sessions, all live ones end ──all cleaned up, or time-out──▶ closed
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
   * Drains the host: refuses new sessions, ends all live ones and aborts their work, then waits for the clean-ups. Call it
   * before the process exits. Idempotent: further calls get the promise of the first, whose `timeout` applies.
   * @param options `timeout`: how long to wait, in milliseconds. Default: 10,000; `Infinity` waits without limit
   * @returns resolves when everything is cleaned up, or on time-out; errors of clean-ups are in the summary
   * @throws `INVALID_OPTION`; nothing is closed then
   */
  abstract close(options?: { readonly timeout?: number | undefined }): Promise<CloseSummary>;

  /** Drains with the default time-out, for `await using`. See {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
