/** The responses of the routes, independent of any framework. */
import type { Ending } from "../base/async.js";
import { headerNames } from "../protocol/headers.js";

/** Response headers; may be added to until the response is written. */
export type ResponseHeaders = Record<string, string>;

/** The response headers that a page of another origin may read. */
const exposedHeaders = ["ETag", "Location", "Retry-After", ...Object.values(headerNames)].join(", ");

/** Name of the header that lists them (Fetch standard, CORS protocol). */
export const exposedName = "Access-Control-Expose-Headers";

/**
 * Adds the names that the application exposes (by its CORS middleware, for example) to those of a response. `*` is kept beside the names,
 * because it does not count for requests with credentials.
 * @param given the application's value of the header, if any
 */
export function mergeExposed(headers: ResponseHeaders, given: unknown): void {
  if (given === undefined || given === null || given === "") return;
  const own = String(headers[exposedName] ?? "").split(", ");
  const others = String(given)
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "" && !own.some((known) => known.toLowerCase() === name.toLowerCase()));
  headers[exposedName] = [...own, ...others].join(", ");
}

/** The headers of every response. Returns a new object. */
export function commonHeaders(): ResponseHeaders {
  return {
    "Cache-Control": "private, no-cache, no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    [exposedName]: exposedHeaders,
  };
}

/** The headers of every response with a JSON body. Returns a new object. */
export function jsonHeaders(): ResponseHeaders {
  const headers = commonHeaders();
  headers["Content-Type"] = "application/json";
  return headers;
}

/** The response 204. */
export function noContent(): WireResponse {
  return { status: 204, headers: commonHeaders() };
}

/** The response of a route. */
export interface WireResponse {
  /** The HTTP status. */
  readonly status: number;
  /** Used by this response only: an adapter may add to them. */
  readonly headers: ResponseHeaders;
  /** The whole body, or its parts as they become available; `undefined` for no body. */
  readonly body?: string | AsyncIterable<string>;
  /**
   * With a body in parts: aborts when the response ends. The adapter must then end it without waiting for the client to drain, and
   * destroy the connection if it has not drained within {@link drainTimeout}.
   */
  readonly ended?: Ending;
}

/** Time that an ended response may take to drain, in ms. */
export const drainTimeout = 5000;
