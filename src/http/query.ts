/** Query parameters of the wire. Parsing is strict: an undocumented form of a known parameter is refused with 400. */
import { ActiveSessionError, describe } from "../base/error.js";
import { parseOffset } from "../protocol/offset.js";
import type { RunnerCore } from "../runner/runner-core.js";
import { aheadLimitOf } from "../runner/sequence-runner.js";
import { parseEventId } from "./sse-form.js";

/** Start of a read: a position, the beginning (`-1`), or the tail (`now`). */
export type WireOffset = number | "beginning" | "tail";

/** How a read waits: not at all, once, or as an event stream. `page` stands for a request without `live`. */
export type LiveMode = "page" | "long-poll" | "sse";

/** The parsed parameters of a GET. */
export interface ReadQuery {
  /** How the read waits (`live`). */
  readonly live: LiveMode;
  /** Where the read starts (`offset`). Default for a page: the beginning; the live modes require it. */
  readonly offset: WireOffset;
  /** Number of items that a long-poll waits for (`min-items`). Default, and in the other modes: 1. */
  readonly minItems: number;
  /** Maximum number of items in the response or in one event (`max-items`). */
  readonly maxItems: number;
  /** Time-out of a long-poll, in ms; the parameter is in seconds. 0 in the other modes. */
  readonly timeout: number;
  /** The cursor that the client echoes; `undefined` without one, or for one that this server cannot have made. */
  readonly cursor: number | undefined;
  /** True if the client of an event stream acknowledges what it receives (`acks=true`). */
  readonly acks: boolean;
}

/** Defaults and limits of the parameters of a GET. */
export interface QueryLimits {
  /** Default and maximum of `max-items`. */
  readonly pageLimit: number;
  /** Default of `timeout`, in seconds. */
  readonly longPollTimeout: number;
}

/** Maximum of `min-items`. */
const maxMinItems = 10_000;

/** Maximum of `timeout`, in seconds. */
export const maxLongPollTimeout = 60;

/**
 * Parses the parameters of a GET. Unknown parameters are ignored.
 * @throws `INVALID_ARGUMENT` for a parameter that is malformed, repeated, out of range or missing
 */
export function parseReadQuery(query: URLSearchParams, { pageLimit, longPollTimeout }: QueryLimits): ReadQuery {
  const live = single(query, "live") ?? "page";
  if (live !== "page" && live !== "long-poll" && live !== "sse") throw invalid("live", '"long-poll" or "sse"', live);
  // `page` is an internal name: on the wire it is invalid.
  if (live === "page" && query.has("live")) throw invalid("live", '"long-poll" or "sse"', live);
  return {
    live,
    offset: parseStart(single(query, "offset"), live),
    minItems: live === "long-poll" ? integer(query, "min-items", 1, maxMinItems, 1) : 1,
    maxItems: integer(query, "max-items", 1, pageLimit, pageLimit),
    timeout: 1000 * (live === "long-poll" ? integer(query, "timeout", 0, maxLongPollTimeout, longPollTimeout) : 0),
    cursor: parseOffset(query.get("cursor") ?? ""),
    acks: parseFlag(query, "acks"),
  };
}

/**
 * Finds the start of an `EventSource` stream. `Last-Event-ID`, which a browser sends when it reconnects, takes
 * precedence over `offset`. Default: the beginning.
 * @returns the start; `"end"` if the client has seen the last event
 * @throws `INVALID_ARGUMENT`
 */
export function parseEventsQuery(query: URLSearchParams, lastEventId: string | undefined): WireOffset | "end" {
  if (lastEventId === undefined || lastEventId === "") return parseStart(single(query, "offset"), "page");
  const position = parseEventId(lastEventId);
  if (position === undefined) throw refused("the header Last-Event-ID", "the id of an event", lastEventId);
  return position;
}

/** The parsed parameters of a creation. */
export interface FirstPageQuery {
  /** Number of items to wait for. `undefined`: the runner's `defaultAdvance`. */
  readonly minItems: number | undefined;
  /** Maximum number of items on the page. */
  readonly maxItems: number;
  /** Time-out of the wait for the page, in ms; the parameter is in seconds. */
  readonly timeout: number;
}

/**
 * Parses the parameters of a creation.
 * @throws `INVALID_ARGUMENT`
 */
export function parseFirstPageQuery(
  query: URLSearchParams,
  { pageLimit, firstPageTimeout }: { readonly pageLimit: number; readonly firstPageTimeout: number },
): FirstPageQuery {
  return {
    minItems: query.has("min-items") ? integer(query, "min-items", 1, maxMinItems, 1) : undefined,
    maxItems: integer(query, "max-items", 1, pageLimit, pageLimit),
    timeout: 1000 * integer(query, "timeout", 0, maxLongPollTimeout, firstPageTimeout),
  };
}

/** True for `name=true`, false without the parameter; no other form is accepted. */
function parseFlag(query: URLSearchParams, name: string): boolean {
  const text = single(query, name);
  if (text === undefined || text === "true") return text !== undefined;
  throw invalid(name, '"true"', text);
}

/** The parsed parameters of a list: which runners, and how many. */
export interface ListQuery {
  /** Only those with this label. */
  readonly label: string | undefined;
  /** Only those of the definition with this name. */
  readonly name: string | undefined;
  /** Only those with this status. */
  readonly status: string | undefined;
  /** Only those created before the runner with this key. */
  readonly before: string | undefined;
  /** At most so many. */
  readonly limit: number;
}

/** Default and maximum of `limit`. */
const longestList = 1000;
const statuses = ["not-started", "stalled", "progressed", "completed", "failed", "aborted"];

/**
 * Parses the parameters of a list.
 * @throws `INVALID_ARGUMENT`
 */
export function parseListQuery(query: URLSearchParams): ListQuery {
  const status = single(query, "status");
  if (status !== undefined && !statuses.includes(status)) throw invalid("status", "a status of runners", status);
  return {
    ...{ label: single(query, "label"), name: single(query, "name"), status, before: single(query, "before") },
    limit: integer(query, "limit", 1, longestList, longestList),
  };
}

/** The parsed parameters of an acknowledgement. */
export interface Acknowledgement {
  /** The client has received everything before this position. */
  readonly position: number;
  /** Id of the event stream on which it was received, which is renewed; `undefined` renews none. */
  readonly response: string | undefined;
  /** The client has seen that the work has ended there. */
  readonly closed: boolean;
}

/**
 * Parses the parameters of an acknowledgement. Here `offset` must be a position: not `-1`, and not `now`.
 * @throws `INVALID_ARGUMENT`
 */
export function parseAcknowledgement(query: URLSearchParams): Acknowledgement {
  const text = single(query, "offset");
  const position = parseOffset(text ?? "");
  if (position === undefined) throw invalid("offset", "a position of up to 16 digits", text);
  return { position, response: single(query, "response"), closed: parseFlag(query, "closed") };
}

/**
 * Bounds the number of items that a client may make a read wait for, so that no request makes a sequence runner hold
 * more than its `aheadLimit`. A process is not bounded: it keeps one value only.
 * @returns `minItems`; for a sequence at most `maxItems` and the `aheadLimit`
 */
export function boundedMinimum(runner: RunnerCore, minItems: number, maxItems: number): number {
  const aheadLimit = aheadLimitOf(runner);
  return aheadLimit === undefined ? minItems : Math.min(minItems, maxItems, aheadLimit);
}

/** The start of a read; only a page has a default. */
function parseStart(text: string | undefined, live: LiveMode): WireOffset {
  if (text === "-1" || (text === undefined && live === "page")) return "beginning";
  if (text === "now") return "tail";
  const position = parseOffset(text ?? "");
  if (position === undefined) throw invalid("offset", '-1, "now" or a position of up to 16 digits', text);
  return position;
}

/** An integer of plain decimal digits within its range; no sign, no exponent, no spaces. */
function integer(query: URLSearchParams, name: string, min: number, max: number, byDefault: number): number {
  const text = single(query, name);
  if (text === undefined) return byDefault;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw invalid(name, `an integer from ${min} to ${max}`, text);
}

/** The value of a parameter that may be given once only. */
function single(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name);
  if (values.length > 1) throw invalid(name, "given once", values);
  return values[0];
}

/** An `INVALID_ARGUMENT` for a query parameter. */
function invalid(parameter: string, requirement: string, value: unknown): ActiveSessionError {
  return refused(`the parameter ${parameter}`, requirement, value);
}

/** An `INVALID_ARGUMENT` that names what was required and what was received. */
function refused(name: string, requirement: string, value: unknown): ActiveSessionError {
  const received = value === undefined ? "none" : describe(value);
  return new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot answer: ${name} must be ${requirement}, received ${received}`,
  );
}
