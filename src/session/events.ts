/** Events of sessions and runners, for diagnostics channels and loggers. */

import { type Channel, channel } from "node:diagnostics_channel";
import { inspect } from "node:util";
import { noop } from "../base/async.js";
import type { CleanupSummary } from "../base/dispose.js";
import type { AbortReason, RunnerKind, RunnerProgress, RunnerStatus } from "../protocol/types.js";

/**
 * A logger with pino's call shape. Only `warn` is required; events of a level without a method are not logged. A method may be async.
 * Errors that it throws or rejects with are ignored.
 */
export interface Logger {
  /** A runner's work failed. */
  error?(details: object, message: string): void;
  /** A clean-up failed or timed out, a creation failed, a limit was reached, or application code threw where no caller waits. */
  warn(details: object, message: string): void;
  /** A runner completed or was aborted; the host is closing or closed. */
  info?(details: object, message: string): void;
  /** All other events. */
  debug?(details: object, message: string): void;
}

/** Payload common to events of a session. */
interface OfSession {
  /** The session's id. */
  readonly session: string;
  /** Distinguishes successive sessions with the same id; larger for later ones. */
  readonly generation: number;
}

/** Payload common to events of a runner. */
interface OfRunner {
  /** The runner's id as text, `session:generation#number`. */
  readonly runner: string;
  readonly kind: RunnerKind;
  /** The name of its definition, if it was created from one. */
  readonly definition?: string;
}

/**
 * The events and their payloads. Each is published to the `node:diagnostics_channel` named `active-session:` plus the event's name.
 * Payloads contain ids, numbers and errors, never an identity, an item or a value.
 * @example
 * import { subscribe } from "node:diagnostics_channel";
 * subscribe("active-session:runner.final", ({ runner, status }) => console.log(runner, status));
 */
export interface ActiveSessionEvents {
  /** A session was created. */
  "session.created": OfSession & { readonly suffix?: string };
  /** The session can no longer be found; its clean-up begins. `runners`: how many it had. */
  "session.ended": OfSession & { readonly reason: AbortReason; readonly runners: number };
  /** Everything the session held has been released. The summary leaves out its runners, which publish their own. */
  "session.cleaned-up": OfSession & CleanupSummary;
  /** The group of a client was created, at its first use. */
  "group.created": { readonly group: string };
  /** The group can no longer be found; its clean-up begins. */
  "group.ended": { readonly group: string };
  /** Everything the group held has been released. */
  "group.cleaned-up": { readonly group: string } & CleanupSummary;
  /** The runner can be found. */
  "runner.created": OfRunner;
  /** The creation of a runner was rejected with `error`. */
  "runner.creation-failed": OfSession & { readonly error: unknown };
  /** The work runs in the background. */
  "runner.started": OfRunner;
  /** The status is final: `completed`, `failed` or `aborted`. */
  "runner.final": OfRunner & {
    readonly status: RunnerStatus;
    /** Number of items (sequence) or reports (process) handed out. */
    readonly position: number;
    readonly progress: RunnerProgress;
    /** Only with the status `aborted`. */
    readonly reason?: AbortReason;
    /** Only with the status `failed`: the error that the work threw. */
    readonly error?: unknown;
  };
  /** The work has ended, the source is closed and the `holds` are released. */
  "runner.cleaned-up": OfRunner & CleanupSummary;
  /** The runner can no longer be found. */
  "runner.removed": OfRunner;
  /** A request was refused, or an unconfirmed session was ended, because of a limit. */
  "limit.reached": {
    /** The name of the limit in `LimitOptions`. */
    readonly limit: string;
    /** The `CLIENT_LIMIT_REACHED` or `SERVER_LIMIT_REACHED` error. */
    readonly error: unknown;
    /** The session's id; absent if the refused object is a session. */
    readonly session?: string;
  };
  /** `close` was called with this many sessions live or in clean-up. */
  "host.closing": { readonly sessions: number };
  /** The drain is over. `unfinished`: ids of sessions and groups that were not cleaned up in time. */
  "host.closed": { readonly sessions: number; readonly unfinished: readonly string[] };
  /** Application code threw where no caller could receive the error. The payload has further fields, such as `error`. */
  warning: { readonly message: string };
}

type EventName = keyof ActiveSessionEvents;
type Level = "error" | "warn" | "info" | "debug";
/** Derives the log level and message of an event from its payload. */
type Teller<Name extends EventName> = (payload: ActiveSessionEvents[Name]) => readonly [Level, string];

/** Level and message of each event. Also the list of event names that the channels are created from. */
const tellers: { readonly [Name in EventName]: Teller<Name> } = {
  "session.created": () => ["debug", "a session was created"],
  "session.ended": ({ reason }) => ["debug", `a session has ended: ${reason}`],
  "session.cleaned-up": tellOfCleanup("session"),
  "group.created": () => ["debug", "a group was created"],
  "group.ended": () => ["debug", "a group has ended"],
  "group.cleaned-up": tellOfCleanup("group"),
  "runner.created": () => ["debug", "a runner was created"],
  "runner.creation-failed": () => ["warn", "a runner could not be created"],
  "runner.started": () => ["debug", "a runner was started"],
  "runner.final": ({ status, reason }) => {
    if (status === "failed") return ["error", "a runner has failed"];
    return ["info", `a runner is ${status}${reason ? `: ${reason}` : ""}`];
  },
  "runner.cleaned-up": tellOfCleanup("runner"),
  "runner.removed": () => ["debug", "a runner was removed"],
  "limit.reached": ({ limit }) => ["warn", `the limit ${limit} is reached`],
  "host.closing": () => ["info", "the host is closing"],
  "host.closed": () => ["info", "the host is closed"],
  warning: ({ message }) => ["warn", message],
};

/** Warns of a clean-up with errors or a time-out; one that went well is a debug message. */
function tellOfCleanup(what: string): (summary: CleanupSummary) => readonly [Level, string] {
  return ({ timedOut, errors }) => {
    if (errors.length > 0) return ["warn", `the clean-up of a ${what} failed`];
    return timedOut ? ["warn", `the clean-up of a ${what} took too long`] : ["debug", `a ${what} was cleaned up`];
  };
}

/** Events that become process warnings if they are failures and there is no logger: no caller may have received the error. */
const untold: readonly EventName[] = [
  ...(["session.cleaned-up", "group.cleaned-up", "runner.cleaned-up", "runner.final", "warning"] as const),
];

/** Looked up once: a channel object answers `hasSubscribers` without a search by name. */
const channels = Object.fromEntries(
  Object.keys(tellers).map((name) => [name, channel(`active-session:${name}`)]),
) as Record<EventName, Channel>;

/**
 * Publishes the events of one host to the diagnostics channels and to the application's logger. Without a logger, failures become
 * process warnings. An event without subscriber and logger costs one check: its payload is not built.
 */
export class Events {
  readonly #logger: Logger | undefined;

  /** @param logger receives all events at their level; `undefined`: failures become process warnings */
  constructor(logger: Logger | undefined) {
    this.#logger = logger;
  }

  /**
   * Publishes an event. Never throws because of a subscriber or logger: Node rethrows a subscriber's error as an uncaught exception,
   * a logger's error is ignored.
   * @param payload called only if the event is delivered anywhere
   * @param isTrouble true if the event must reach a process warning when there is neither subscriber nor logger
   */
  emit<Name extends EventName>(
    name: Name,
    payload: () => ActiveSessionEvents[Name],
    isTrouble = untold.includes(name),
  ): void {
    const to = channels[name];
    if (!to.hasSubscribers && !this.#logger && !isTrouble) return;
    const told = payload();
    if (to.hasSubscribers) to.publish(told);
    try {
      const [level, message] = tellers[name](told);
      if (this.#logger) ignoreRejection(this.#logger[level]?.(told, `active-session: ${message}`));
      else if (isTrouble) warnProcess(level, message, told);
    } catch {
      // A failing logger must not break the operation that it logs, and there is no other place to report it.
    }
  }
}

/** An async logger may fail later; without a handler that would be an unhandled rejection. */
function ignoreRejection(result: unknown): void {
  if (typeof Object(result).then === "function") Promise.resolve(result).catch(noop);
}

/** Detailed warnings per minute, for the whole process, when there is no logger. Further ones are only counted. */
const warningsPerMinute = 10;
const minute = 60_000;
/** End of the current minute, in ms of the monotonic clock. */
let minuteEnd = 0;
let warningsOfMinute = 0;

/**
 * Emits a process warning, rate-limited: a failure in a loop must not flood stderr. Beyond the limit, only the warnings number 100, 1000
 * and so on are emitted, without details; the next minute starts with the number of those left out.
 */
function warnProcess(level: Level, message: string, details: object): void {
  if (level !== "warn" && level !== "error") return;
  const now = performance.now();
  // The second condition only holds if the clock went back, as fake timers can make it.
  if (now >= minuteEnd || now < minuteEnd - minute) {
    const suppressed = warningsOfMinute - warningsPerMinute;
    if (suppressed > 0) emit(`${suppressed} warnings have not been told of in their minute; a logger is told of all`);
    minuteEnd = now + minute;
    warningsOfMinute = 0;
  }
  warningsOfMinute++;
  if (warningsOfMinute <= warningsPerMinute) emit(message, describeDetails(details));
  else if (isPowerOfTen(warningsOfMinute)) emit(`${warningsOfMinute} warnings within a minute; the latest: ${message}`);
}

function emit(message: string, detail?: string): void {
  process.emitWarning(message, { type: "ActiveSessionWarning", ...(detail && { detail }) });
}

/** True for 10, 100, 1000 and so on. */
function isPowerOfTen(count: number): boolean {
  return /^10+$/.test(String(count));
}

/** The payload as text, one field a line, without `message`, which is the warning itself. */
function describeDetails(details: object): string {
  const lines = Object.entries(details).filter(([name]) => name !== "message");
  return lines.map(([name, value]) => `${name}: ${describeDetail(value)}`).join("\n");
}

/** Uses `inspect` for objects, since `JSON.stringify` would throw on a cycle or a bigint. */
function describeDetail(value: unknown): string {
  if (Array.isArray(value)) return value.map(describeDetail).join(", ");
  if (value instanceof Error && value.cause === undefined) return value.stack ?? value.message;
  return typeof value === "object" && value !== null ? inspect(value) : String(value);
}
