/**
 * How much one client, and all clients together, may make the process hold. Whoever asks for more is refused with a typed
 * error (429 for a client's own limit, 503 for one of the process), or, where the application prefers that, the least
 * recently used session or runner that nobody is using makes room.
 */
import { checkInteger, checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";

/** The option `limits`. Every number may be `Infinity`: no limit. */
export interface LimitOptions {
  /** Live sessions of the process. Default: none, since only the application knows how many its users may be. */
  readonly sessions?: number | undefined;
  /** Runners of the process, finished ones included until they idle out. Default: none. */
  readonly runners?: number | undefined;
  /** Waiting reads, long-polls and SSE responses of the process. Default: none. */
  readonly openReads?: number | undefined;
  /** Items that all sequence runners keep. Looked at when a runner is created; those that run go on. Default: none. */
  readonly retainedItems?: number | undefined;
  /** Live sessions of one client, which has several only by scopes. Default: 20, more than an application has parts. */
  readonly sessionsPerClient?: number | undefined;
  /**
   * Runners of one client in all its sessions. Default: 200: a user who starts one every second never has more than 120 that have
   * not idled out.
   */
  readonly runnersPerClient?: number | undefined;
  /**
   * Waiting reads, long-polls and SSE responses of one client. Default: 256: a browser opens six over HTTP/1.1 and about a
   * hundred over HTTP/2.
   */
  readonly openReadsPerClient?: number | undefined;
  /**
   * Items that one sequence runner keeps. One that would keep more, with `retain: "all"` say, fails with `RUNNER_TOO_LARGE`; what it has
   * stays readable. Default: 1,000,000.
   */
  readonly itemsPerRunner?: number | undefined;
  /**
   * Live sessions of clients that have not come back yet: whose cookie, or framework's session, no later request has brought. Such a
   * session ends two minutes after its last use. Where there are as many, the one that was not used for the longest time ends.
   * Default: 10,000.
   */
  readonly unconfirmedSessions?: number | undefined;
  /** Items that their runners keep together; where there are more, the oldest of these sessions end. Default: 1,000,000. */
  readonly unconfirmedItems?: number | undefined;
  /** Runners of one of these sessions. Default: 20. */
  readonly unconfirmedRunners?: number | undefined;
  /**
   * What happens when a limit of sessions, runners or items is reached: `"refuse"` whoever asks for more, or `"end-idle"`: end the
   * least recently used one that nobody is using, of the same client where the limit is the client's; if there is none, refuse.
   * Open reads are always refused, and sessions too where `idleTimeout` is `Infinity`: none is ever idle. Default: `"refuse"`.
   */
  readonly whenReached?: "refuse" | "end-idle" | undefined;
}

/** The limits, every one set. */
export type Limits = { readonly [K in keyof LimitOptions]-?: Exclude<LimitOptions[K], undefined> };

/** What the limits count, for the whole process. */
export interface Tally {
  runners: number;
  openReads: number;
}

const never = Number.POSITIVE_INFINITY;

const defaultLimits: Limits = {
  sessions: never,
  runners: never,
  openReads: never,
  retainedItems: never,
  sessionsPerClient: 20,
  runnersPerClient: 200,
  openReadsPerClient: 256,
  itemsPerRunner: 1_000_000,
  unconfirmedSessions: 10_000,
  unconfirmedItems: 1_000_000,
  unconfirmedRunners: 20,
  whenReached: "refuse",
};

/** Checks the option and fills in the defaults; throws `INVALID_OPTION`. */
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

/** In how many seconds another try may make sense: something may have ended, idled out or been read to its end by then. */
const retryAfter = 5;

/** The error for a limit that is reached. */
export function limitReached(action: string, name: keyof LimitOptions, limits: Limits): ActiveSessionError {
  const isOfClient = name.endsWith("PerClient") || name === "unconfirmedRunners";
  const requirement = `the limit ${name} (${limits[name]}) must not be reached`;
  return new ActiveSessionError(
    isOfClient ? "CLIENT_LIMIT_REACHED" : "SERVER_LIMIT_REACHED",
    `Cannot ${action}: ${requirement}, received one more`,
    { retryAfter },
  );
}
