/** Limits on what one client, and all clients together, can make the process hold. */
import { checkInteger, checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";

/**
 * The host's option `limits`. Every number is an integer of at least 1; `Infinity` disables that limit.
 *
 * A request beyond a limit fails with `CLIENT_LIMIT_REACHED` (429) or `SERVER_LIMIT_REACHED` (503) and a `Retry-After` of five
 * seconds; or, with `whenReached: "end-idle"`, the least recently used session or runner makes room.
 */
export interface LimitOptions {
  /** Live sessions of the process. Default: no limit, since only the application knows how many users it has. */
  readonly sessions?: number | undefined;
  /** Runners of the process, ended ones included. Those make room, whatever `whenReached` says. Default: no limit. */
  readonly runners?: number | undefined;
  /**
   * Work of the process: that of runners that wait for their first read, too, and that of aborted and removed runners until it has stopped.
   * With `end-idle` aborted work does not count. Default: no limit.
   */
  readonly running?: number | undefined;
  /** Waiting reads, long-polls and SSE responses of the process. Default: no limit. */
  readonly openReads?: number | undefined;
  /** Items that all sequence runners keep. Checked when a runner is created; running ones continue. Default: no limit. */
  readonly retainedItems?: number | undefined;
  /** Live sessions of one client. It has more than one only with suffixes (scopes). Default: 20. */
  readonly sessionsPerClient?: number | undefined;
  /**
   * Runners of one client in all its sessions, ended ones included. Ended ones make room, whatever `whenReached` says: first those whose
   * end was seen, then others (a tenth of a second old, or used since their creation), in order of last use. Default: 200.
   */
  readonly runnersPerClient?: number | undefined;
  /** Work of one client's live sessions, counted as for `running`. Default: no other limit than `runnersPerClient`. */
  readonly runningPerClient?: number | undefined;
  /**
   * Waiting reads, long-polls and SSE responses of one client. Default: 256. A browser opens six per host over HTTP/1.1, about a
   * hundred over HTTP/2.
   */
  readonly openReadsPerClient?: number | undefined;
  /**
   * Items that one sequence runner keeps. A runner that would keep more, for example with `retain: "all"`, fails with
   * `RUNNER_TOO_LARGE`; its items stay readable. Default: 1,000,000.
   */
  readonly itemsPerRunner?: number | undefined;
  /**
   * Live unconfirmed sessions of the process: no later request has yet brought back their cookie or framework session. They end two
   * minutes after their last use. At the limit the least recently used one ends, whatever `whenReached` says. Default: 10,000.
   */
  readonly unconfirmedSessions?: number | undefined;
  /** Items that the runners of all unconfirmed sessions keep. Above it, the oldest of these sessions end. Default: 1,000,000. */
  readonly unconfirmedItems?: number | undefined;
  /** Runners of one unconfirmed session. Default: 20. */
  readonly unconfirmedRunners?: number | undefined;
  /**
   * Behaviour when a limit of sessions, runners or retained items is reached. `"refuse"`: the request fails. `"end-idle"`: the least
   * recently used session or runner that is not in use ends, work included; for a client's limit, only one of the same
   * client. Where the work that runs is limited, what was ended keeps its results. If there is none, the request fails. Open reads are always refused. So are sessions if `idleTimeout` is `Infinity`,
   * because confirmed ones are never idle then. Default: `"refuse"`.
   */
  readonly whenReached?: "refuse" | "end-idle" | undefined;
}

/** Resolved limits: all set, `Infinity` for no limit. */
export type Limits = { readonly [K in keyof LimitOptions]-?: Exclude<LimitOptions[K], undefined> };

/** Counters of the whole process that limits are compared with. */
export interface Tally {
  /** Runners of all sessions, ended ones included. */
  runners: number;
  /** Work that has not stopped, also of runners that were aborted or removed. */
  running: number;
  /** Runners whose work has not ended. */
  working: number;
  /** Those whose work has ended, and no one has seen it. */
  unseen: number;
  /** Waiting reads and open responses. */
  openReads: number;
}

const never = Number.POSITIVE_INFINITY;

const defaultLimits: Limits = {
  sessions: never,
  runners: never,
  running: never,
  openReads: never,
  retainedItems: never,
  sessionsPerClient: 20,
  runnersPerClient: 200,
  runningPerClient: never,
  openReadsPerClient: 256,
  itemsPerRunner: 1_000_000,
  unconfirmedSessions: 10_000,
  unconfirmedItems: 1_000_000,
  unconfirmedRunners: 20,
  whenReached: "refuse",
};

/** Validates the option and fills in defaults; `undefined` counts as left out. Throws `INVALID_OPTION`, naming `action`. */
export function resolveLimits(action: string, options: LimitOptions = {}): Limits {
  checkOptions(action, options, Object.keys(defaultLimits));
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  const { whenReached, ...numbers }: Limits = { ...defaultLimits, ...Object.fromEntries(given) };
  for (const [name, value] of Object.entries(numbers)) {
    checkInteger(action, `limits.${name}`, value, { min: 1, code: "INVALID_OPTION" });
  }
  if (whenReached === "refuse" || whenReached === "end-idle") return { whenReached, ...numbers };
  const requirement = 'limits.whenReached must be "refuse" or "end-idle"';
  throw new ActiveSessionError("INVALID_OPTION", `Cannot ${action}: ${requirement}, received ${describe(whenReached)}`);
}

/** Suggested delay before another attempt, in seconds: by then something may have ended, or another process may be there. */
export const retryAfter = 5;

/** The error of a refused action: `CLIENT_LIMIT_REACHED` if the client itself holds too much, else `SERVER_LIMIT_REACHED`. */
export function limitReached(action: string, name: keyof LimitOptions, limits: Limits): ActiveSessionError {
  const isOfClient = name.endsWith("PerClient") || name === "unconfirmedRunners";
  const requirement = `the limit ${name} (${limits[name]}) must not be reached`;
  return new ActiveSessionError(
    isOfClient ? "CLIENT_LIMIT_REACHED" : "SERVER_LIMIT_REACHED",
    `Cannot ${action}: ${requirement}, received one more`,
    { retryAfter },
  );
}
