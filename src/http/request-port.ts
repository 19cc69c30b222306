/** What an adapter gives: a request and its response, independent of any framework. */
import type { ServerResponse } from "node:http";
import type { Ending } from "../base/async.js";
import { ActiveSessionError, describe } from "../base/error.js";

/** The abort reason of request signals. Shared: a `DOMException` for each request costs as much as many a response. */
export const requestIsOver = new DOMException("The request is over", "AbortError");

/** The framework's session of a request, reduced to what the library uses of it. */
export interface FrameworkSession {
  /** Identifies the session: the framework's own id, or an id of ours that is stored among the session's data. */
  readonly id: string;
  /** True if the session carries our mark, or was stored before the request: the client can come back to it. */
  readonly isMarked: boolean;
  /** Writes the mark, so that the framework stores a new session, and saves. Rejects with the store's error. */
  markAndSave(): Promise<void>;
  /** Writes another id of ours into the data. Absent where the framework's own id counts: then only the application can renew it. */
  renew?(): Promise<void>;
}

/**
 * A request and its response, as an adapter presents them. Implementations compute members on access: most requests read few of them.
 */
export interface RequestPort {
  /** The full path of the URL, not decoded, regardless of where in the application the request is handled. */
  readonly path: string;
  /** True if the request came over HTTPS, according to the framework's proxy settings. */
  readonly isSecure: boolean;
  /** The host that the client addressed, where the framework's proxy settings vouch for it. */
  readonly host?: string | undefined;
  /** The `Cookie` header; several are joined by `; `. */
  readonly cookies: string | undefined;
  /** The response of `node:http` below a web `Response`, where the server exposes it. */
  readonly nodeResponse?: ServerResponse | undefined;
  /** True once it is too late to set a cookie. */
  readonly headersSent: boolean;
  /** Adds a `Set-Cookie` header to the response. */
  setCookie(header: string): void;
  /**
   * Keeps shared caches from storing the response, because it sets a session cookie. A `Cache-Control` of the application that
   * forbids it already is left alone.
   */
  forbidSharing(): void;
  /** Aborts when the request is over: the response has been sent, or the client has disconnected. */
  readonly signal: AbortSignal;
  /** Calls back once when the request is over, at once if it is over already. */
  onOver(callback: () => void): void;
  /** The framework's session at the time of access; `undefined` where there is none, or no longer one. */
  readonly frameworkSession: FrameworkSession | undefined;
}

/**
 * What a route of runners is asked, as the adapter has it there: a middleware in between may have replaced request or response.
 */
export interface RoutePort {
  /** The HTTP method, in capitals. */
  readonly method: string;
  /** The query parameters, decoded. Parsed by us: a framework may make objects of them. */
  readonly query: URLSearchParams;
  /** Request headers, lower-case names. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Ends when the client has disconnected, or nothing that is sent would reach it any more; with an `AbortError`. */
  readonly over: Ending;
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
