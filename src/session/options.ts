/** Options of the host and of runners: validated on entry, resolved once into objects with every field set. */
import { randomBytes } from "node:crypto";
import { checkDuration, checkFunction, checkInteger, checkOptions } from "../base/check.js";
import { handOver, isResource, type Resource } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { Retain } from "../log/result-log.js";
import type { RunnerDefinition } from "../runner/definition.js";
import type { Logger } from "./events.js";
import { isWellFormed } from "./identity.js";
import { type LimitOptions, type Limits, resolveLimits } from "./limits.js";

/**
 * Options of `createActiveSessions`. All times are in milliseconds; `Infinity` disables a time-out. An option set to `undefined`
 * counts as omitted.
 */
export interface ActiveSessionsOptions<Session = never, Services = unknown, Group = unknown> {
  /**
   * A session ends when it was not used for this long and has no runner left. Default: 20 minutes. Clients that have not come back yet: at
   * most 2 minutes, work and all (see `limits.unconfirmedSessions`).
   */
  readonly idleTimeout?: number | undefined;
  /** A session ends this long after its creation, used or not. Default: 2 hours. */
  readonly maxLifetime?: number | undefined;
  /** A runner's work is aborted when the runner was not used for this long. Default: 2 minutes. */
  readonly runnerIdleTimeout?: number | undefined;
  /**
   * A runner whose work has ended, by itself or aborted, is removed when it was not used for this long: so long its results wait for the user.
   * Default: 20 minutes.
   */
  readonly finishedTimeout?: number | undefined;
  /** Number of items that a read of a sequence asks for if it does not specify one; at least 1. Default: 20. */
  readonly defaultAdvance?: number | undefined;
  /**
   * Back-pressure: a producer pauses when this many of its items are unacknowledged. Bounds the memory that a runner takes for a
   * slow reader; a small limit costs throughput. At least 1; `Infinity`: bounded only by `limits.itemsPerRunner`. Default: 1000.
   */
  readonly aheadLimit?: number | undefined;
  /**
   * Acknowledged items to keep: none (`"unacknowledged"`, enough for one reader), the last n, or `"all"` (for reloads and several
   * readers; memory grows with the sequence, up to `limits.itemsPerRunner`). Default: `"unacknowledged"`.
   */
  readonly retain?: Retain | undefined;
  /** Time limit for each step of a clean-up. A step that exceeds it is reported and no longer waited for. Default: 10 seconds. */
  readonly cleanupTimeout?: number | undefined;
  /**
   * Key of the hash that derives session ids from identities and signs the library's cookies; must not be empty. Bytes are copied.
   * Default: random for each process. Set it if session ids and cookies should survive a restart.
   */
  readonly secret?: string | Uint8Array | undefined;
  /** Creates the services of a session at their first use. A disposable object is disposed at the end of the session. */
  readonly services?: ((session: Session) => Services) | undefined;
  /** Like `services`, for the group of all sessions of one client. */
  readonly groupServices?: ((group: Group) => unknown) | undefined;
  /** Limits for each client and for the whole process; see `LimitOptions` for the defaults. */
  readonly limits?: LimitOptions | undefined;
  /**
   * Receives events at the level of their kind; see `ActiveSessionEvents`. Default: failures are emitted as process warnings, at
   * most ten a minute in detail.
   */
  readonly logger?: Logger | undefined;
}

/** Options of a runner. Defaults come from its definition, if it has one, and then from the host. */
export interface RunnerOptions {
  /** Start of the work: at creation, or with the first `getRequired` or HTTP read. Default: `"now"`. */
  readonly start?: "now" | "on-first-read" | undefined;
  /** Back-pressure of a sequence, in items; see {@link ActiveSessionsOptions.aheadLimit}. A process ignores it. Default: the host's. */
  readonly aheadLimit?: number | undefined;
  /**
   * Acknowledged items to keep; see {@link ActiveSessionsOptions.retain}. A process ignores it and keeps its newest value. Default:
   * the host's.
   */
  readonly retain?: Retain | undefined;
  /** Number of positions that a read asks for if it does not specify one; at least 1. Default: the host's; 1 for a process. */
  readonly defaultAdvance?: number | undefined;
  /** The work is aborted when the runner was not used for this many ms; `Infinity`: never. Default: the host's `runnerIdleTimeout`. */
  readonly idleTimeout?: number | undefined;
  /** The runner is removed when it was not used for this many ms since its work has ended. Default: the host's. */
  readonly finishedTimeout?: number | undefined;
  /** Aborts the runner when it fires. The runner's `abortReason` is `"signal"` then. */
  readonly signal?: AbortSignal | undefined;
  /**
   * Resources that the runner takes over: disposables or functions, such as a lock. They are released in reverse order after the
   * runner's clean-up, also if the creation fails.
   */
  readonly holds?: Iterable<Resource> | undefined;
  /**
   * What the application knows the work by, such as the id of a chat: a text of 1 to 128 characters (UTF-16 code units). It is in the runner's state, in
   * lists and in their filter, and `findRunner({ label })` finds the newest runner with it. Several may have the same. Default: none.
   */
  readonly label?: string | undefined;
  /** Any value of the application's; becomes `runner.data`. The library does not use it. */
  readonly data?: unknown | undefined;
}

/** The resolved {@link ActiveSessionsOptions}. */
export interface HostSettings {
  readonly idleTimeout: number;
  readonly maxLifetime: number;
  readonly runnerIdleTimeout: number;
  readonly finishedTimeout: number;
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

/** Also the list of known option names. `secret` is a placeholder: each host generates its own default. */
const defaultSettings = {
  idleTimeout: 20 * minute,
  maxLifetime: 120 * minute,
  runnerIdleTimeout: 2 * minute,
  finishedTimeout: 20 * minute,
  defaultAdvance: 20,
  aheadLimit: 1000,
  retain: "unacknowledged",
  cleanupTimeout: 10_000,
  secret: "",
  services: undefined,
  groupServices: undefined,
  logger: undefined,
} as const satisfies Omit<HostSettings, "limits">;

/**
 * Validates the host's options and fills in the defaults.
 * @throws `INVALID_OPTION` for an unknown option or an invalid value
 */
export function resolveOptions(options: ActiveSessionsOptions<never, unknown, never> = {}): HostSettings {
  const action = "create active sessions";
  checkOptions(action, options, [...Object.keys(defaultSettings), "limits"]);
  const limits = resolveLimits(action, options.limits);
  const settings: HostSettings = { ...defaultSettings, ...withoutUndefined(options), limits };
  for (const name of [
    "idleTimeout",
    "maxLifetime",
    "runnerIdleTimeout",
    "finishedTimeout",
    "cleanupTimeout",
  ] as const) {
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

/** The resolved {@link RunnerOptions}, without `holds`, which {@link takeHolds} takes over first. */
export interface RunnerChoices {
  readonly start: "now" | "on-first-read";
  readonly aheadLimit: number;
  readonly retain: Retain;
  readonly defaultAdvance: number;
  readonly idleTimeout: number;
  readonly finishedTimeout: number;
  readonly signal: AbortSignal | undefined;
  readonly data: unknown;
  readonly label: string | undefined;
}

const runnerOptionNames = [
  ...[
    "start",
    "aheadLimit",
    "retain",
    "defaultAdvance",
    "idleTimeout",
    "finishedTimeout",
    "signal",
    "holds",
    "data",
    "label",
  ],
] as const;

/**
 * Validates a runner's options and fills in the defaults.
 * @param action for error messages: "Cannot {action}: …"
 * @param holds the result of {@link takeHolds}; its problems are reported here, when the resources can already be released
 * @param defaults the host's settings
 * @throws `INVALID_OPTION` for an unknown option, an invalid value, or a hold that is invalid or already released
 */
export function resolveRunnerOptions(
  action: string,
  options: RunnerOptions,
  { isInvalid, isReleased }: Holds,
  defaults: HostSettings,
): RunnerChoices {
  checkOptions(action, options, runnerOptionNames);
  const { start = "now", signal, data, label, idleTimeout = defaults.runnerIdleTimeout } = options;
  const { aheadLimit = defaults.aheadLimit, retain = defaults.retain } = options;
  const { finishedTimeout = defaults.finishedTimeout } = options;
  const { defaultAdvance = defaults.defaultAdvance } = options;
  if (start !== "now" && start !== "on-first-read") {
    throw invalid(action, 'start must be "now" or "on-first-read"', start);
  }
  if (signal !== undefined && typeof Object(signal).addEventListener !== "function") {
    throw invalid(action, "signal must be an AbortSignal", signal);
  }
  if (isInvalid) throw invalid(action, "holds must be disposables or functions", options.holds);
  if (isReleased) throw invalid(action, "holds must not have been released", "a lock that was, with its request say");
  if (label !== undefined && !isLabel(label)) throw invalid(action, labelRequirement, label);
  checkDuration(action, "idleTimeout", idleTimeout);
  checkDuration(action, "finishedTimeout", finishedTimeout);
  checkReading(action, { aheadLimit, retain, defaultAdvance });
  return { start, aheadLimit, retain, defaultAdvance, idleTimeout, finishedTimeout, signal, data, label };
}

/** Maximum length of a label, in UTF-16 code units. */
const longestLabel = 128;

/** For error messages. */
export const labelRequirement = `a label must be a text of 1 to ${longestLabel} characters`;

/** True for a text that may be a label. */
export function isLabel(value: unknown): value is string {
  return typeof value === "string" && value.length > 0 && value.length <= longestLabel && isWellFormed(value);
}

/**
 * Validates the options of a definition. `start`, `signal`, `holds`, `data` and `label` belong to a single runner and are refused.
 * @throws `INVALID_OPTION` for an unknown option or an invalid value
 */
export function checkDefinitionOptions(options: RunnerOptions = {}): void {
  const action = "define a runner";
  checkOptions(action, options, optionsOfDefinition);
  // Any valid values for the checks: omitted options stay omitted and get the host's defaults at creation.
  const { aheadLimit = 1, retain = "all", defaultAdvance = 1, idleTimeout = 1, finishedTimeout = 1 } = options;
  checkDuration(action, "idleTimeout", idleTimeout);
  checkDuration(action, "finishedTimeout", finishedTimeout);
  checkReading(action, { aheadLimit, retain, defaultAdvance });
}

const optionsOfDefinition = ["aheadLimit", "retain", "defaultAdvance", "idleTimeout", "finishedTimeout"];

/**
 * Checks the fields of a definition by name: an option beside `run` would be ignored.
 * @throws `INVALID_OPTION` for an unknown field
 */
export function checkDefinitionFields(parts: object): void {
  const action = "define a runner";
  const { onUnseen, unseenAfter = 1 }: { onUnseen?: unknown; unseenAfter?: unknown } = Object(parts);
  const misplaced = optionsOfDefinition.find((name) => name in Object(parts));
  if (misplaced) {
    const message = `Cannot ${action}: ${misplaced} must be in options, received it beside them. Write options: { ${misplaced} }`;
    throw new ActiveSessionError("INVALID_OPTION", message);
  }
  checkOptions(action, parts, ["name", "input", "run", "produce", "options", "onUnseen", "unseenAfter"]);
  checkFunction(action, "onUnseen", onUnseen);
  checkDuration(action, "unseenAfter", unseenAfter);
}

/** Problems with the option `holds`, found while taking it over. */
export interface Holds {
  /** True if `holds` is not iterable or contains a value that cannot be released. */
  readonly isInvalid: boolean;
  /** True if a resource was already released, such as a lock whose request is over: it protects nothing any more. */
  readonly isReleased: boolean;
}

/**
 * Takes over the resources in `holds`. Must be the first step of a creation: whatever fails afterwards, the caller can release
 * everything in `taken`. For the same reason problems are returned, not thrown.
 * @param taken receives each resource as soon as the iteration yields it, so that none is lost if the iteration throws
 * @throws errors of the iteration
 */
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
      // A lock that is bound to its request stays held from here on; false: the request has already released it.
      if ((resource as { [handOver]?: () => boolean })[handOver]?.() === false) isReleased = true;
    }
  }
  return { isInvalid, isReleased };
}

/** Checks of the options that hosts, definitions and runners have in common. */
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

/** Only `warn` is required. `null` stands for a missing `warn`, since `checkFunction` accepts `undefined`. */
function checkLogger(action: string, logger: unknown): void {
  const methods: Record<string, unknown> = Object(logger);
  checkFunction(action, "logger.warn", methods.warn ?? null);
  for (const level of ["error", "info", "debug"]) checkFunction(action, `logger.${level}`, methods[level]);
}

/** The error message must never contain the secret itself, hence no `describe` here. */
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

/** Drops options set to `undefined`, which would override a default in a spread. */
function withoutUndefined<T extends object>(options: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(Object(options)).filter(([, value]) => value !== undefined)) as never;
}

/**
 * Merges the options of a creation with those of its definition; the creation takes precedence. An option set to `undefined` counts
 * as omitted. Neither argument is validated yet: invalid values pass through, and the checks that follow report them.
 */
export function withDefaults(options: RunnerOptions, definition: RunnerDefinition): RunnerOptions {
  const { options: byDefault }: Partial<RunnerDefinition> = Object(definition);
  if (!byDefault || typeof options !== "object" || options === null) return options;
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...byDefault, ...Object.fromEntries(given) };
}
