/** What can be set, for the host and for each runner: checked when given, resolved once into full objects. */
import { randomBytes } from "node:crypto";
import { checkDuration, checkFunction, checkInteger, checkOptions } from "../base/check.js";
import { handOver, isResource, type Resource } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { Retain } from "../log/result-log.js";
import type { Logger } from "./events.js";
import { type LimitOptions, type Limits, resolveLimits } from "./limits.js";

/** Options of `createActiveSessions`. All times are in milliseconds; `Infinity` disables a time-out. */
export interface ActiveSessionsOptions<Session = never, Services = unknown, Group = unknown> {
  /** A session that has not been used for so long ends. Default: 20 minutes. */
  readonly idleTimeout?: number | undefined;
  /** A session ends so long after its creation, used or not. Default: 2 hours. */
  readonly maxLifetime?: number | undefined;
  /** A runner that nobody has used for so long is aborted and removed. Default: 2 minutes. */
  readonly runnerIdleTimeout?: number | undefined;
  /** How many items a read returns that does not say. Default: 20. */
  readonly defaultAdvance?: number | undefined;
  /**
   * A producer pauses when so many of its items are not acknowledged, which bounds what a runner holds in memory for a
   * reader that stays behind. Default: 1000. A smaller number costs speed when items come fast.
   */
  readonly aheadLimit?: number | undefined;
  /**
   * Which acknowledged items are kept: none (`"unacknowledged"`, for one follower), the last n, or `"all"` (for reloads and
   * several followers; memory grows with the sequence). Default: `"unacknowledged"`.
   */
  readonly retain?: Retain | undefined;
  /** How long each step of a clean-up may take before nobody waits for it any more. Default: 10 seconds. */
  readonly cleanupTimeout?: number | undefined;
  /**
   * Keys the hash that makes session ids out of identities. Default: random for each process. Set it when keys should stay
   * the same over a restart.
   */
  readonly secret?: string | Uint8Array | undefined;
  /** Makes the services of a session, at their first use; disposed, if disposable, when the session has ended. */
  readonly services?: ((session: Session) => Services) | undefined;
  /** As `services`, for the group of all sessions of a client. */
  readonly groupServices?: ((group: Group) => unknown) | undefined;
  /** How much one client, and all together, may hold. */
  readonly limits?: LimitOptions | undefined;
  /**
   * Is told what happens, each kind of event at its level; see `ActiveSessionEvents`. Default: what goes wrong is a warning of
   * the process.
   */
  readonly logger?: Logger | undefined;
}

/** Options of every runner. */
export interface RunnerOptions {
  /** When the work begins: at once, or with the first `getRequired` or read over the wire. Default: `"now"`. */
  readonly start?: "now" | "on-first-read" | undefined;
  /** Default: the host's. A process has none. */
  readonly aheadLimit?: number | undefined;
  /** Default: the host's. A process always keeps its newest value. */
  readonly retain?: Retain | undefined;
  /** How many positions a read asks for that does not say. Default: the host's; 1 for a process. */
  readonly defaultAdvance?: number | undefined;
  /** The runner is aborted and removed when nobody has used it for so many ms. Default: the host's `runnerIdleTimeout`. */
  readonly idleTimeout?: number | undefined;
  /** Aborts the runner when it aborts. */
  readonly signal?: AbortSignal | undefined;
  /** Released in reverse order after the runner's clean-up, also when its creation fails. */
  readonly holds?: Iterable<Resource> | undefined;
  /** The application's own; see `runner.data`. */
  readonly data?: unknown | undefined;
}

/** The host's options, every one set. */
export interface HostSettings {
  readonly idleTimeout: number;
  readonly maxLifetime: number;
  readonly runnerIdleTimeout: number;
  readonly defaultAdvance: number;
  readonly aheadLimit: number;
  readonly retain: Retain;
  readonly cleanupTimeout: number;
  readonly secret: string | Uint8Array;
  readonly services: ((session: never) => unknown) | undefined;
  readonly groupServices: ((group: never) => unknown) | undefined;
  readonly logger: Logger | undefined;
  readonly limits: Limits;
}

const minute = 60_000;

const defaultSettings = {
  idleTimeout: 20 * minute,
  maxLifetime: 120 * minute,
  runnerIdleTimeout: 2 * minute,
  defaultAdvance: 20,
  aheadLimit: 1000,
  retain: "unacknowledged",
  cleanupTimeout: 10_000,
  secret: "",
  services: undefined,
  groupServices: undefined,
  logger: undefined,
} as const satisfies Omit<HostSettings, "limits">;

/** Checks the host's options and fills in the defaults; throws `INVALID_OPTION`. */
export function resolveOptions(options: ActiveSessionsOptions<never, unknown, never> = {}): HostSettings {
  const action = "create active sessions";
  checkOptions(action, options, [...Object.keys(defaultSettings), "limits"]);
  const limits = resolveLimits(action, options.limits);
  const settings: HostSettings = { ...defaultSettings, ...withoutUndefined(options), limits };
  for (const name of ["idleTimeout", "maxLifetime", "runnerIdleTimeout", "cleanupTimeout"] as const) {
    checkDuration(action, name, settings[name]);
  }
  checkReading(action, settings);
  checkFunction(action, "services", settings.services);
  checkFunction(action, "groupServices", settings.groupServices);
  checkSecret(action, options.secret);
  if (settings.logger !== undefined) checkLogger(action, settings.logger);
  const { secret = randomBytes(32) } = options;
  return { ...settings, secret: typeof secret === "string" ? secret : Uint8Array.prototype.slice.call(secret) };
}

/** A runner's options, every one set. */
export interface RunnerChoices {
  readonly start: "now" | "on-first-read";
  readonly aheadLimit: number;
  readonly retain: Retain;
  readonly defaultAdvance: number;
  readonly idleTimeout: number;
  readonly signal: AbortSignal | undefined;
  readonly data: unknown;
}

const runnerOptionNames = [
  ...["start", "aheadLimit", "retain", "defaultAdvance", "idleTimeout", "signal", "holds", "data"],
] as const;

/** Checks a runner's options and fills in the defaults; throws `INVALID_OPTION`. */
export function resolveRunnerOptions(
  action: string,
  options: RunnerOptions,
  { isInvalid, isReleased }: Holds,
  defaults: HostSettings,
): RunnerChoices {
  checkOptions(action, options, runnerOptionNames);
  const { start = "now", signal, data, idleTimeout = defaults.runnerIdleTimeout } = options;
  const { aheadLimit = defaults.aheadLimit, retain = defaults.retain } = options;
  const { defaultAdvance = defaults.defaultAdvance } = options;
  if (start !== "now" && start !== "on-first-read") {
    throw invalid(action, 'start must be "now" or "on-first-read"', start);
  }
  if (signal !== undefined && typeof Object(signal).addEventListener !== "function") {
    throw invalid(action, "signal must be an AbortSignal", signal);
  }
  if (isInvalid) throw invalid(action, "holds must be disposables or functions", options.holds);
  if (isReleased) throw invalid(action, "holds must not have been released", "a lock that was, with its request say");
  checkDuration(action, "idleTimeout", idleTimeout);
  checkReading(action, { aheadLimit, retain, defaultAdvance });
  return { start, aheadLimit, retain, defaultAdvance, idleTimeout, signal, data };
}

/** Checks what a definition says of its runners; throws `INVALID_OPTION`. */
export function checkDefinitionOptions(options: RunnerOptions = {}): void {
  const action = "define a runner";
  checkOptions(action, options, ["aheadLimit", "retain", "defaultAdvance", "idleTimeout"]);
  const { aheadLimit = 1, retain = "all", defaultAdvance = 1, idleTimeout = 1 } = options;
  checkDuration(action, "idleTimeout", idleTimeout);
  checkReading(action, { aheadLimit, retain, defaultAdvance });
}

/** What is wrong with the `holds` that a creation takes over before anything of it can fail. */
export interface Holds {
  /** Whether `holds` was something else than resources only. */
  readonly isInvalid: boolean;
  /** Whether one of them, bound to a request that is over, has been given back already: it protects nothing any more. */
  readonly isReleased: boolean;
}

/** Takes over the resources in `holds`, one by one, into `taken`; throws what its iteration throws. */
export function takeHolds(options: RunnerOptions, taken: Resource[]): Holds {
  const holds: unknown = Object(options).holds;
  if (holds === undefined) return { isInvalid: false, isReleased: false };
  const isIterable = typeof holds === "object" && holds !== null && Symbol.iterator in holds;
  let isInvalid = !isIterable;
  let isReleased = false;
  for (const resource of isIterable ? (holds as Iterable<unknown>) : []) {
    if (!isResource(resource)) isInvalid = true;
    else {
      taken.push(resource);
      if ((resource as { [handOver]?: () => boolean })[handOver]?.() === false) isReleased = true;
    }
  }
  return { isInvalid, isReleased };
}

function checkReading(
  action: string,
  { aheadLimit, retain, defaultAdvance }: Pick<HostSettings, "aheadLimit" | "retain" | "defaultAdvance">,
): void {
  checkInteger(action, "aheadLimit", aheadLimit, { min: 1, code: "INVALID_OPTION" });
  checkInteger(action, "defaultAdvance", defaultAdvance, { min: 1, code: "INVALID_OPTION" });
  if (retain === "unacknowledged" || retain === "all") return;
  if (typeof retain === "number") checkInteger(action, "retain", retain, { code: "INVALID_OPTION" });
  else throw invalid(action, 'retain must be "unacknowledged", "all" or an integer of at least 0', retain);
}

function checkLogger(action: string, logger: unknown): void {
  const methods = Object(logger) as Record<string, unknown>;
  checkFunction(action, "logger.warn", methods.warn ?? null);
  for (const level of ["error", "info", "debug"]) checkFunction(action, `logger.${level}`, methods[level]);
}

function checkSecret(action: string, secret: unknown): void {
  const fits = typeof secret === "string" || secret instanceof Uint8Array;
  if (secret === undefined || (fits && secret.length > 0)) return;
  throw new ActiveSessionError(
    "INVALID_OPTION",
    `Cannot ${action}: secret must be a non-empty string or Uint8Array, received ${fits ? "an empty one" : typeof secret}`,
  );
}

function invalid(action: string, requirement: string, value: unknown): ActiveSessionError {
  return new ActiveSessionError("INVALID_OPTION", `Cannot ${action}: ${requirement}, received ${describe(value)}`);
}

/** An option given as `undefined` counts as left out. */
function withoutUndefined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(Object(options)).filter(([, value]) => value !== undefined)) as never;
}
