/** What a framework's adapter and the handler say to each other: a request and a response without any framework. */
import { ActiveSessionError, describe } from "../base/error.js";
import { headerNames } from "../protocol/headers.js";
import type { ActiveSession } from "../session/active-session.js";
import type { TaggedIdentity } from "../session/identity.js";

/** Why the signal of a request aborts. One for all: making one takes as long as many a response. */
export const requestIsOver = new DOMException("The request is over", "AbortError");

/** A request to `{mount}`, to a runner's URL, `{mount}/{key}`, or to a definition's, `{mount}/{name}`, or below one. */
export interface WireRequest {
  readonly method: string;
  /** The path segment that names the runner or the definition, as it came: not decoded. Empty: the mount itself. */
  readonly key: string;
  /** The path segment behind the key, or `undefined`. */
  readonly action: string | undefined;
  readonly query: URLSearchParams;
  /** Request headers, lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** The host that the client has asked, where the framework knows it from a proxy that it trusts. */
  readonly host?: string | undefined;
  /** Who asks; `undefined`: nobody known, who then has no runners. */
  readonly identity: TaggedIdentity | undefined;
  /** Aborts when the client has gone or the response is over. Looked at only by requests that wait. */
  readonly signal: AbortSignal;
  /** The client has brought back what it was given with this session, unless it was given that in this very request. */
  cameBackTo(session: ActiveSession): void;
  /** The live session of the client; `undefined` if there is none. */
  findSession(): ActiveSession | undefined;
  /** The session of the client, created if there is none; throws where there can be none. */
  openSession(): ActiveSession;
  /** Reads the whole body. Rejects with `PAYLOAD_TOO_LARGE` when it has more than `limit` bytes, and when the client goes. */
  readBody(limit: number): Promise<RequestBody>;
}

/** A request's body: as text, or as the value that a framework's parser has made of it already. */
export type RequestBody = { readonly text: string } | { readonly value: unknown };

/** Throws `UNSUPPORTED_MEDIA_TYPE` for a body that has been compressed: nobody here unpacks it. */
export function checkEncoding(contentEncoding = "identity"): void {
  if (contentEncoding === "identity") return;
  const message = `Cannot read the body: it must not be compressed, received ${describe(contentEncoding)}`;
  throw new ActiveSessionError("UNSUPPORTED_MEDIA_TYPE", message);
}

/** What a body of more than `limit` bytes is refused with. */
export function tooLarge(limit: number): ActiveSessionError {
  const message = `Cannot read the body: it must not have more than ${limit} bytes, received more`;
  return new ActiveSessionError("PAYLOAD_TOO_LARGE", message);
}

/** Headers of an answer that is being made. */
export type ResponseHeaders = Record<string, string>;

const exposedHeaders = ["ETag", "Location", "Retry-After", ...Object.values(headerNames)].join(", ");

/** Which headers a page of another origin may read. */
export const exposedName = "Access-Control-Expose-Headers";

/** Adds those that the application (its CORS middleware, say) exposes to those of an answer. `*` is kept beside the names. */
export function mergeExposed(headers: ResponseHeaders, given: unknown): void {
  if (given === undefined || given === null || given === "") return;
  const own = String(headers[exposedName] ?? "").split(", ");
  const others = String(given)
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "" && !own.some((known) => known.toLowerCase() === name.toLowerCase()));
  headers[exposedName] = [...own, ...others].join(", ");
}

/** What every answer has. */
export function commonHeaders(): ResponseHeaders {
  return {
    "Cache-Control": "private, no-cache, no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    [exposedName]: exposedHeaders,
  };
}

/** What every answer with a JSON body has. */
export function jsonHeaders(): ResponseHeaders {
  const headers = commonHeaders();
  headers["Content-Type"] = "application/json";
  return headers;
}

/** The answer that there is nothing to say. */
export function noContent(): WireResponse {
  return { status: 204, headers: commonHeaders() };
}

/** The answer. */
export interface WireResponse {
  readonly status: number;
  /** Nobody else's: who writes the answer may add to them. */
  readonly headers: ResponseHeaders;
  /** The whole body, or its parts as they come; `undefined`: no body. */
  readonly body?: string | AsyncIterable<string>;
  /**
   * With a body in parts: when it aborts, the response is to be ended without waiting for the client to drain it, and the
   * connection to be destroyed if it has not drained {@link drainTimeout} later.
   */
  readonly ended?: AbortSignal;
}

/** How long an ended response may take to drain, ms. */
export const drainTimeout = 5000;
