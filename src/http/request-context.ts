/** The request and the response that adapters and routes exchange, independent of any framework. */
import type { Ending } from "../base/async.js";
import { ActiveSessionError, describe } from "../base/error.js";
import { headerNames } from "../protocol/headers.js";
import type { TaggedIdentity } from "../session/identity.js";
import type { Session } from "../session/session.js";

/** The abort reason of request signals. Shared: a `DOMException` for each request costs as much as many a response. */
export const requestIsOver = new DOMException("The request is over", "AbortError");

/** A request to `{mount}`, `{mount}/{key}` or `{mount}/{name}`, or to an action below one of the latter two. */
export interface WireRequest {
  /** The HTTP method. */
  readonly method: string;
  /** The path segment that names the runner or the definition, not decoded. Empty for the mount itself. */
  readonly key: string;
  /** The path segment after the key; `undefined` if there is none. */
  readonly action: string | undefined;
  /** The query parameters, decoded. */
  readonly query: URLSearchParams;
  /** Request headers, lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The host that the client has requested, if the framework knows it from a trusted proxy. */
  readonly host?: string | undefined;
  /** The identity of the client; `undefined` if unknown: such a client has no runners. */
  readonly identity: TaggedIdentity | undefined;
  /** Ends when the client has disconnected or the response is over; with an `AbortError`. */
  readonly over: Ending;
  /** Confirms a session: the client has sent back the identity it was given. Ignored if this request created the session. */
  cameBackTo(session: Session): void;
  /** The live session of the client; `undefined` if there is none. Creates nothing. */
  findSession(): Session | undefined;
  /**
   * The session of the client, created if there is none.
   * @throws `OUT_OF_SCOPE`, `NO_IDENTITY`, `IDENTITY_TOO_LATE`, `HOST_CLOSED`, and the other errors of an adapter's session getter
   */
  openSession(): Session;
  /**
   * Reads the whole body. Rejects when the client disconnects.
   * @param limit maximum size, in bytes
   * @throws `PAYLOAD_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE`
   */
  readBody(limit: number): Promise<RequestBody>;
}

/** The body of a request: its text, or the value that a parser of the framework has made of it. */
export type RequestBody = { readonly text: string } | { readonly value: unknown };

/**
 * Refuses a compressed body, because the routes do not decompress.
 * @throws `UNSUPPORTED_MEDIA_TYPE` for every encoding but `identity`
 */
export function checkEncoding(contentEncoding = "identity"): void {
  if (contentEncoding === "identity") return;
  const message = `Cannot read the body: it must not be compressed, received ${describe(contentEncoding)}`;
  throw new ActiveSessionError("UNSUPPORTED_MEDIA_TYPE", message);
}

/** The error for a body of more than `limit` bytes: `PAYLOAD_TOO_LARGE`. */
export function tooLarge(limit: number): ActiveSessionError {
  const message = `Cannot read the body: it must not have more than ${limit} bytes, received more`;
  return new ActiveSessionError("PAYLOAD_TOO_LARGE", message);
}

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
