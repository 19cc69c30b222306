import { checkDuration, checkInteger, checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { JsonLimits } from "../log/codec.js";
import type { RunnerDefinition } from "../runner/definition.js";
import { maxLongPollTimeout } from "./query.js";
import { type CreationSettings, exposedByName } from "./routes/create.js";

/**
 * Options of the routes of runners.
 * @example
 * app.use("/runners", runnerRouter(sessions, { pageLimit: 500, longPollTimeout: 20, expose: [search] }));
 */
export interface RunnerRouterOptions {
  /** Default and maximum of the query parameter `max-items`; an integer from 1 to 1,000,000. Default: 1000. */
  readonly pageLimit?: number | undefined;
  /**
   * Maximum JSON of a page, a long-poll or the first page of a creation, in bytes; an integer from 1 to 500,000,000. A page ends before
   * the item that would exceed it, but has at least one item. A read that waits settles when the page is full. Larger pages block the
   * event loop for longer. Default: 1,000,000.
   */
  readonly pageBytes?: number | undefined;
  /**
   * Maximum JSON of one item, or of a process's value, in bytes; an integer from 1 to 500,000,000. A read that starts at a larger item is
   * answered with 500 `ITEM_TOO_LARGE`; an event stream ends there. Default: 8,000,000.
   */
  readonly maxItemBytes?: number | undefined;
  /** Time-out of a long-poll without the query parameter `timeout`, in seconds; an integer from 0 to 60. Default: 25. */
  readonly longPollTimeout?: number | undefined;
  /**
   * Time from the last sign of life of an SSE response (its opening, or an acknowledgement that names it) to its end, in ms; the client
   * reconnects. A longer time keeps abandoned connections, and with them the work, alive for longer. `Infinity` disables. Default:
   * 60,000.
   */
  readonly rotateAfter?: number | undefined;
  /**
   * Interval of the comments on an idle SSE response, in ms. Our client treats a connection without data for 45 s as dead. `Infinity`
   * disables. Default: 15,000.
   */
  readonly heartbeat?: number | undefined;
  /**
   * Definitions that clients may create runners from, by `POST {mount}/{name}` with the input as JSON. Every client that may use the
   * routes may create. A name is a letter and up to 63 letters, digits, `_` or `-`; names must differ. Default: none.
   */
  readonly expose?: readonly RunnerDefinition[] | undefined;
  /** Time that a creation waits for its first page if the query has no `timeout`, in seconds; an integer from 0 to 60. Default: 1. */
  readonly firstPageTimeout?: number | undefined;
  /**
   * Maximum body of a creation, in bytes; `Infinity` disables. A parser in front of the routes has its own limit. Default: 102,400 (100
   * kB).
   */
  readonly bodyLimit?: number | undefined;
  /**
   * Origins (`https://app.example`) or hosts (`app.example`), besides the request's own, whose pages may send POST and DELETE. A request
   * that the browser marks as cross-site is refused nevertheless. Default: none.
   */
  readonly allowedOrigins?: readonly string[] | undefined;
}

/** Approximate JSON of one SSE event, in bytes: a slow client must receive a whole event before the response rotates. */
const eventBytes = 65_536;
/** Upper bound of the options in bytes. The longest string of V8 has about 536 million characters. */
const largestText = 500_000_000;

/** The options with their defaults applied. */
type Choices = { [K in keyof RunnerRouterOptions]-?: Exclude<RunnerRouterOptions[K], undefined> };

/** The resolved options of a router, and the values derived from them. */
export interface RouterSettings extends Choices, CreationSettings {
  /** The definitions of `expose` by name. */
  readonly exposed: ReadonlyMap<string, RunnerDefinition>;
  /** Limits of one SSE event in the form of the protocol. */
  readonly eventLimits: JsonLimits;
  /** The same limits for the `EventSource` form, which needs the text of each item. */
  readonly itemEventLimits: JsonLimits;
}

/**
 * Checks the options and fills in the defaults.
 * @throws `INVALID_OPTION`, also for an unknown option
 */
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
