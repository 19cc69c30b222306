/**
 * What happens to sessions and runners, for whoever wants to know: each event goes to the `node:diagnostics_channel` of its name,
 * and to the application's logger at the event's level. Payloads are plain facts; of a runner's results they have only the
 * numbers. Where nobody listens, an event costs a look at its channel.
 */

import { type Channel, channel } from "node:diagnostics_channel";
import { inspect } from "node:util";
import { noop } from "../base/async.js";
import type { CleanupSummary } from "../base/dispose.js";
import type { AbortReason, RunnerKind, RunnerProgress, RunnerStatus } from "../protocol/types.js";

/** A logger in the shape that pino and most others have. What it cannot do is not asked of it. */
export interface Logger {
  /** A runner's work has failed. */
  error?(details: object, message: string): void;
  /** A clean-up failed or took too long, a creation failed, or code of the application threw where nobody could be told. */
  warn(details: object, message: string): void;
  /** A runner has come to its end, a host drains. */
  info?(details: object, message: string): void;
  /** Every other step. */
  debug?(details: object, message: string): void;
}

interface OfSession {
  /** The session's id. */
  readonly session: string;
  readonly generation: number;
}

interface OfRunner {
  /** The runner's id as text, `session:generation#number`. */
  readonly runner: string;
  readonly kind: RunnerKind;
  /** The name of the definition that it was made from, if it was. */
  readonly definition?: string;
}

/** Every event and what it tells. The name of the channel is `active-session:` and the event's name. */
export interface ActiveSessionEvents {
  "session.created": OfSession & { readonly suffix?: string };
  /** The session is not to be found any more; its clean-up begins. */
  "session.ended": OfSession & { readonly reason: AbortReason; readonly runners: number };
  "session.cleaned-up": OfSession & CleanupSummary;
  "group.created": { readonly group: string };
  "group.ended": { readonly group: string };
  "group.cleaned-up": { readonly group: string } & CleanupSummary;
  "runner.created": OfRunner;
  "runner.creation-failed": OfSession & { readonly error: unknown };
  /** The background runs. */
  "runner.started": OfRunner;
  /** The status has become final. */
  "runner.final": OfRunner & {
    readonly status: RunnerStatus;
    readonly position: number;
    readonly progress: RunnerProgress;
    /** With the status `aborted`. */
    readonly reason?: AbortReason;
    /** With the status `failed`: what the work threw. */
    readonly error?: unknown;
  };
  /** The work has ended, its source is closed, its `holds` are released. */
  "runner.cleaned-up": OfRunner & CleanupSummary;
  /** The runner is not to be found any more. */
  "runner.removed": OfRunner;
  /** Somebody was refused because of a limit. */
  "limit.reached": {
    readonly limit: string;
    readonly error: unknown;
    /** Whose it is, unless it would have been a new one. */
    readonly session?: string;
  };
  "host.closing": { readonly sessions: number };
  "host.closed": { readonly sessions: number; readonly unfinished: readonly string[] };
  /** Something of the application's own code went wrong where nobody could be told. */
  warning: { readonly message: string };
}

type EventName = keyof ActiveSessionEvents;
type Level = "error" | "warn" | "info" | "debug";
type Teller<Name extends EventName> = (payload: ActiveSessionEvents[Name]) => readonly [Level, string];

/** What the logger is told of each event, and how loudly. */
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

function tellOfCleanup(what: string): (summary: CleanupSummary) => readonly [Level, string] {
  return ({ timedOut, errors }) => {
    if (errors.length > 0) return ["warn", `the clean-up of a ${what} failed`];
    return timedOut ? ["warn", `the clean-up of a ${what} took too long`] : ["debug", `a ${what} was cleaned up`];
  };
}

/** Of these a process without a logger is warned, if they went wrong: nobody else may have been told. */
const untold: readonly EventName[] = [
  ...(["session.cleaned-up", "group.cleaned-up", "runner.cleaned-up", "runner.final", "warning"] as const),
];

const channels = Object.fromEntries(
  Object.keys(tellers).map((name) => [name, channel(`active-session:${name}`)]),
) as Record<EventName, Channel>;

/** See the top of the file; one for each host. */
export class Events {
  readonly #logger: Logger | undefined;

  constructor(logger: Logger | undefined) {
    this.#logger = logger;
  }

  /**
   * Tells of an event. Whatever listeners and logger throw, it does not come back here.
   * @param isTrouble whether somebody has to be told although nobody listens
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
      else if (untold.includes(name)) warnProcess(level, message, told);
    } catch {
      // A logger that throws must not break what it was told of, and there is nobody else to tell.
    }
  }
}

/** A logger that writes somewhere else may fail later, too. */
function ignoreRejection(result: unknown): void {
  if (typeof Object(result).then === "function") Promise.resolve(result).catch(noop);
}

/** Without a logger, so many warnings a minute have their details, for the whole process; of the rest only the number is told. */
const warningsPerMinute = 10;
const minute = 60_000;
let minuteEnd = 0;
let warningsOfMinute = 0;

function warnProcess(level: Level, message: string, details: object): void {
  if (level !== "warn" && level !== "error") return;
  const now = performance.now();
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

function isPowerOfTen(count: number): boolean {
  return /^10+$/.test(String(count));
}

function describeDetails(details: object): string {
  const lines = Object.entries(details).filter(([name]) => name !== "message");
  return lines.map(([name, value]) => `${name}: ${describeDetail(value)}`).join("\n");
}

function describeDetail(value: unknown): string {
  if (Array.isArray(value)) return value.map(describeDetail).join(", ");
  if (value instanceof Error) return value.stack ?? value.message;
  return typeof value === "object" && value !== null ? inspect(value) : String(value);
}
