/** The options of the routes of runners. */
import { checkDuration, checkInteger, checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { RunnerDefinition } from "../runner/definition.js";
import type { PageLimits } from "./encode.js";
import { maxLongPollTimeout } from "./query.js";
import { type CreationSettings, exposedByName } from "./routes/create.js";

/** Options of the routes of runners. */
export interface RunnerRouterOptions {
  /** Items on a page: default and maximum of `max-items`. Default: 1000. */
  readonly pageLimit?: number | undefined;
  /**
   * JSON of a page, a long-poll or a creation, in bytes: it ends before the item that would exceed it, but has one item at least, and a
   * read that waits settles when it is full. Larger pages hold the event loop for longer. Default: 1,000,000.
   */
  readonly pageBytes?: number | undefined;
  /**
   * JSON of one item, or of a process's value, in bytes. A read that starts at a larger one is answered with 500 `ITEM_TOO_LARGE`; an
   * event stream ends there. Default: 8,000,000.
   */
  readonly maxItemBytes?: number | undefined;
  /** How long a long-poll waits that does not say, in seconds, 0 to 60. Default: 25. */
  readonly longPollTimeout?: number | undefined;
  /**
   * An SSE response ends so long after its last sign of life (its opening, or an acknowledgement), ms; clients reconnect.
   * Longer keeps abandoned connections, and with them the work, alive longer. `Infinity` disables. Default: 60,000.
   */
  readonly rotateAfter?: number | undefined;
  /**
   * An idle SSE response carries a comment so often, ms; `Infinity` disables. Our client takes a connection on which nothing has
   * come for 45 s as dead. Default: 15,000.
   */
  readonly heartbeat?: number | undefined;
  /**
   * Definitions that clients may create runners from, by `POST {mount}/{name}` with the input as JSON; whoever may use the
   * routes may create. A name is a letter and up to 63 letters, digits, `_` or `-`. Default: none.
   */
  readonly expose?: readonly RunnerDefinition[] | undefined;
  /** How long a creation waits for its first page if the request does not say, in seconds, 0 to 60. Default: 1. */
  readonly firstPageTimeout?: number | undefined;
  /** The largest body of a creation, in bytes; a parser in front of the routes has its own limit. Default: 100 kB. */
  readonly bodyLimit?: number | undefined;
  /** Origins (`https://app.example`) or hosts, besides the request's own, that may stop and remove runners. Default: none. */
  readonly allowedOrigins?: readonly string[] | undefined;
}

/** About so much text is written in one event: a slow client must get through one in time. */
const eventBytes = 65_536;
/** A text of V8 has no more characters than this, whatever they are. */
const largestText = 500_000_000;

type Choices = { [K in keyof RunnerRouterOptions]-?: Exclude<RunnerRouterOptions[K], undefined> };

/** The options, every one set, and what follows from them. */
export interface RouterSettings extends Choices, CreationSettings {
  readonly exposed: ReadonlyMap<string, RunnerDefinition>;
  /** Of an SSE event: about as much text as a slow client gets through in time. */
  readonly eventLimits: PageLimits;
  /** The same for the form that has each item by itself. */
  readonly itemEventLimits: PageLimits;
}

/** Checks the options and fills in the defaults; throws `INVALID_OPTION`. */
export function resolveRouterOptions(options: RunnerRouterOptions): RouterSettings {
  const action = "serve runners";
  const settings: Choices = {
    pageLimit: options?.pageLimit ?? 1000,
    pageBytes: options?.pageBytes ?? 1_000_000,
    maxItemBytes: options?.maxItemBytes ?? 8_000_000,
    longPollTimeout: options?.longPollTimeout ?? 25,
    rotateAfter: options?.rotateAfter ?? 60_000,
    heartbeat: options?.heartbeat ?? 15_000,
    expose: options?.expose ?? [],
    firstPageTimeout: options?.firstPageTimeout ?? 1,
    bodyLimit: options?.bodyLimit ?? 102_400,
    allowedOrigins: options?.allowedOrigins ?? [],
  };
  checkOptions(action, options, Object.keys(settings));
  checkInteger(action, "pageLimit", settings.pageLimit, { min: 1, max: 1_000_000, code: "INVALID_OPTION" });
  for (const name of ["longPollTimeout", "firstPageTimeout"] as const) {
    checkInteger(action, name, settings[name], { max: maxLongPollTimeout, code: "INVALID_OPTION" });
  }
  checkInteger(action, "bodyLimit", settings.bodyLimit, { code: "INVALID_OPTION" });
  for (const name of ["pageBytes", "maxItemBytes"] as const) {
    checkInteger(action, name, settings[name], { min: 1, max: largestText, code: "INVALID_OPTION" });
  }
  checkDuration(action, "rotateAfter", settings.rotateAfter);
  checkDuration(action, "heartbeat", settings.heartbeat);
  const { allowedOrigins } = settings;
  if (!Array.isArray(allowedOrigins) || !allowedOrigins.every((origin) => typeof origin === "string")) {
    throw new ActiveSessionError(
      "INVALID_OPTION",
      `Cannot ${action}: allowedOrigins must be an array of strings, received ${describe(allowedOrigins)}`,
    );
  }
  const { pageBytes, maxItemBytes: itemBytes } = settings;
  const pageLimits = { bytes: pageBytes, itemBytes };
  const eventLimits = { bytes: Math.min(eventBytes, pageBytes), itemBytes };
  const itemEventLimits = { ...eventLimits, keepsTexts: true };
  return { ...settings, pageLimits, eventLimits, itemEventLimits, exposed: exposedByName(action, settings.expose) };
}
