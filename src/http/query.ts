/** Query parameters of the wire, read strictly: every form that is not one of those documented is refused with 400. */
import { ActiveSessionError, describe } from "../base/error.js";
import { parseOffset } from "../protocol/offset.js";
import type { Runner } from "../runner/runner.js";
import { aheadLimitOf } from "../runner/sequence-runner.js";
import { parseEventId } from "./sse-form.js";

/** Where a read starts: a position, the beginning (`-1`), or the tail (`now`). */
export type WireOffset = number | "beginning" | "tail";

/** How a read waits. */
export type LiveMode = "page" | "long-poll" | "sse";

/** The parameters of a GET. */
export interface ReadQuery {
  readonly live: LiveMode;
  readonly offset: WireOffset;
  readonly minItems: number;
  readonly maxItems: number;
  /** How long a long-poll waits, ms. */
  readonly timeout: number;
  readonly cursor: number | undefined;
  /** Of an SSE client: that it acknowledges what it receives. */
  readonly acks: boolean;
}

/** What limits the parameters. */
export interface QueryLimits {
  /** Default and maximum of `max-items`. */
  readonly pageLimit: number;
  /** Default of `timeout`, seconds. */
  readonly longPollTimeout: number;
}

const maxMinItems = 10_000;

/** The longest `timeout` of a long-poll, seconds. */
export const maxLongPollTimeout = 60;

/** Reads the parameters of a GET; throws `INVALID_ARGUMENT`. */
export function parseReadQuery(query: URLSearchParams, { pageLimit, longPollTimeout }: QueryLimits): ReadQuery {
  const live = single(query, "live") ?? "page";
  if (live !== "page" && live !== "long-poll" && live !== "sse") throw invalid("live", '"long-poll" or "sse"', live);
  if (live === "page" && query.has("live")) throw invalid("live", '"long-poll" or "sse"', live);
  return {
    live,
    offset: parseStart(single(query, "offset"), live),
    minItems: live === "long-poll" ? integer(query, "min-items", 1, maxMinItems, 1) : 1,
    maxItems: integer(query, "max-items", 1, pageLimit, pageLimit),
    timeout: 1000 * (live === "long-poll" ? integer(query, "timeout", 0, maxLongPollTimeout, longPollTimeout) : 0),
    cursor: parseOffset(query.get("cursor") ?? ""),
    acks: parseAcks(single(query, "acks")),
  };
}

/**
 * Where a native event stream starts: behind the event that its client has seen last, else at the offset, else at the beginning;
 * `"end"`: it has seen all. Throws `INVALID_ARGUMENT`.
 */
export function parseEventsQuery(query: URLSearchParams, lastEventId: string | undefined): WireOffset | "end" {
  if (lastEventId === undefined || lastEventId === "") return parseStart(single(query, "offset"), "page");
  const position = parseEventId(lastEventId);
  if (position === undefined) throw refused("the header Last-Event-ID", "the id of an event", lastEventId);
  return position;
}

/** How a creation waits for its first page. */
export interface FirstPageQuery {
  /** `undefined`: as many as a read of the runner asks for by default. */
  readonly minItems: number | undefined;
  readonly maxItems: number;
  /** ms */
  readonly timeout: number;
}

/** Reads the parameters of a POST that creates; throws `INVALID_ARGUMENT`. */
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

function parseAcks(text: string | undefined): boolean {
  if (text === undefined || text === "true") return text !== undefined;
  throw invalid("acks", '"true"', text);
}

/** An acknowledgement. */
export interface Acknowledgement {
  /** Everything before it has arrived. */
  readonly position: number;
  /** The event stream on which it has; `undefined`: none is renewed. */
  readonly response: string | undefined;
}

/** Reads the parameters of an acknowledgement; throws `INVALID_ARGUMENT`. */
export function parseAcknowledgement(query: URLSearchParams): Acknowledgement {
  const text = single(query, "offset");
  const position = parseOffset(text ?? "");
  if (position === undefined) throw invalid("offset", "a position of up to 16 digits", text);
  return { position, response: single(query, "response") };
}

/**
 * How many items a client may make a read wait for. Of a sequence: no more than it takes, and than the producer makes ahead of what is
 * acknowledged; so that no request makes a runner hold more than its `aheadLimit`.
 */
export function boundedMinimum(runner: Runner, minItems: number, maxItems: number): number {
  const aheadLimit = aheadLimitOf(runner);
  return aheadLimit === undefined ? minItems : Math.min(minItems, maxItems, aheadLimit);
}

function parseStart(text: string | undefined, live: LiveMode): WireOffset {
  if (text === "-1" || (text === undefined && live === "page")) return "beginning";
  if (text === "now") return "tail";
  const position = parseOffset(text ?? "");
  if (position === undefined) throw invalid("offset", '-1, "now" or a position of up to 16 digits', text);
  return position;
}

function integer(query: URLSearchParams, name: string, min: number, max: number, byDefault: number): number {
  const text = single(query, name);
  if (text === undefined) return byDefault;
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw invalid(name, `an integer from ${min} to ${max}`, text);
}

function single(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name);
  if (values.length > 1) throw invalid(name, "given once", values);
  return values[0];
}

function invalid(parameter: string, requirement: string, value: unknown): ActiveSessionError {
  return refused(`the parameter ${parameter}`, requirement, value);
}

function refused(name: string, requirement: string, value: unknown): ActiveSessionError {
  const received = value === undefined ? "none" : describe(value);
  return new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot answer: ${name} must be ${requirement}, received ${received}`,
  );
}
