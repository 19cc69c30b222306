/** Requests to the routes of runners, and the errors that their responses turn into. */
import { noop } from "../base/async.js";
import { type ActiveSessionErrorOptions, CodedError } from "../base/coded-error.js";
import type { ErrorCode } from "../base/error-codes.js";
import type { ErrorBody } from "../protocol/headers.js";

/** Options of a client; they apply to all of its requests. */
export interface ClientOptions {
  /** Replaces `fetch`; relative URLs are passed to it as they are. Default: the global `fetch` at the time of the request. */
  readonly fetch?: typeof fetch | undefined;
  /**
   * Headers of every request, or a function that returns them or a promise of them. The function is called for each request, and a
   * second time after a 401, to replace an expired token. Default: none.
   */
  readonly headers?: RequestHeaders | (() => RequestHeaders | Promise<RequestHeaders>) | undefined;
  /** The `credentials` option of `fetch`. Default: that of `fetch`, `"same-origin"`, which sends cookies to the page's own origin. */
  readonly credentials?: RequestInit["credentials"] | undefined;
  /**
   * How many connections may stay open at once, in all tabs of the origin together. Runners beyond that are read by short requests,
   * one a second. `Infinity` disables the limit, 0 keeps no connection open. Default: 4 in a page that came over HTTP/1.1, where a
   * browser has six for each server (2 in each tab where Web Locks are missing), else `Infinity`.
   */
  readonly connections?: number | undefined;
}

/** The type of `RequestInit["headers"]`, in browsers and in Node; Node's types have no global name for it. */
type RequestHeaders = NonNullable<RequestInit["headers"]>;

/**
 * Creates an error that another attempt may overcome: the network failed, a proxy answered, the server is busy or restarting. Its
 * status is always 503, which {@link isTemporary} checks.
 * @param code Default: `SERVER_UNAVAILABLE`
 */
export function temporary(message: string, facts?: ActiveSessionErrorOptions, code?: ErrorCode | null): CodedError {
  return new CodedError(code ?? "SERVER_UNAVAILABLE", 503, message, facts);
}

/**
 * Checks a key, or the name of a definition, before it becomes part of a URL. A missing one would reach another address.
 * @throws `INVALID_ARGUMENT` unless it is a text and not empty
 */
export function checkText(what: string, value: unknown): void {
  if (typeof value === "string" && value) return;
  throw new CodedError("INVALID_ARGUMENT", 400, `Cannot send a request: ${what} must be a text, received ${value}`);
}

/** True if the error is {@link temporary}, so that a further attempt makes sense. */
export function isTemporary(error: unknown): error is CodedError {
  return (error as CodedError | undefined)?.status === 503;
}

/** The code of an error of ours; of any other value `undefined`, mostly. */
export function codeOf(error: unknown): ErrorCode | undefined {
  return (error as CodedError | undefined)?.code;
}

/** Options of one request, besides those of the client. */
export interface RequestDetails extends Omit<RequestInit, "signal" | "headers"> {
  /** Replace headers of the client with the same name. Names must be in lower case: otherwise both would be sent. */
  readonly headers?: Record<string, string>;
  /** Aborts the request; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sends a request and returns its response if that is a success. After a 401 it is sent once more if the client's headers come from
 * a function.
 * @throws `RUNNER_GONE`; the error code of the server; `UNAUTHORIZED` for a 401 of the application; `UNEXPECTED_RESPONSE` for other
 *   responses; a {@link temporary} error, recognizable by its status 503; the reason of `signal`; a `TypeError` for a relative URL
 *   outside of a page
 */
export async function request(
  url: string,
  { credentials, fetch: given, headers }: ClientOptions,
  details: RequestDetails,
): Promise<Response> {
  const { signal } = details;
  // Resolve the URL here. `fetch` would reject a relative one outside of a page with a `TypeError`, like a network failure, and the
  // client would try again for ever.
  const target = given ? url : new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
  const ask = async () => {
    const always = new Headers(typeof headers === "function" ? await headers() : headers);
    // `always` has its names in lower case, so those of `details` replace them.
    const init = {
      ...(credentials && { credentials }),
      ...(details as RequestInit),
      headers: { ...Object.fromEntries(always), ...details.headers },
    };
    return receive(() => (given ?? fetch)(target, init), signal);
  };
  let response: Response;
  try {
    response = await ask();
  } catch (error) {
    throw (!given && isTemporary(error) && (await unreadable(target as URL, error, signal))) || error;
  }
  if (!given) readable.add((target as URL).origin);
  if (response.status === 401 && typeof headers === "function") response = await ask();
  if (response.ok) return response;
  throw errorOf(response, await receive(() => response.text(), signal), target);
}

/** Origins that have given a response which this page may read. */
const readable = new Set<string>();

/**
 * Finds out why a request to another origin has failed, if none has succeeded before. `fetch` hides whether the network failed or
 * the server's CORS headers are missing. A request whose response may stay hidden (`no-cors`) succeeds only in the second case; it
 * goes to the root, because the routes of runners refuse it (`Cross-Origin-Resource-Policy`).
 * @returns `UNEXPECTED_RESPONSE` if the server answers; else the temporary error, which mentions CORS; `undefined` for a known origin
 * @throws the reason of `signal`
 */
async function unreadable(
  target: URL,
  cause: unknown,
  signal: AbortSignal | undefined,
): Promise<CodedError | undefined> {
  const { origin } = globalThis.location ?? {};
  if (!origin || origin === target.origin || readable.has(target.origin)) return undefined;
  const probe = { method: "HEAD", mode: "no-cors", signal: signal ?? null } as const;
  const isThere = await receive(() => fetch(new URL("/", target), probe), signal).then(Boolean, noop);
  signal?.throwIfAborted();
  const message = `CORS headers may be missing: ${origin} can read no response from`;
  return isThere ? unexpected(message, target) : temporary(`${message} ${target}`, { cause });
}

/**
 * The error for a response that is no success. `Runner-Error-Code` tells the server's own errors from those of a framework or a
 * proxy: only its own 404 and 410 mean that a runner is gone.
 * @param text the body: {@link ErrorBody} as JSON if the error is the server's own
 */
function errorOf({ status, headers }: Response, text: string, url: string | URL): CodedError {
  const code = headers.get("Runner-Error-Code") as ErrorCode | null;
  if (code && (status === 404 || status === 410) && code !== "POSITION_GONE" && code !== "UNKNOWN_DEFINITION") {
    return new CodedError("RUNNER_GONE", 410, "The runner is gone");
  }
  const { message, issues }: ErrorBody = (code && decode<ErrorBody>(text, url)) || {
    message: `Status ${status} from ${url}`,
  };
  // A 500 with an error code is final. Without a code any 5xx may come from a proxy or a server that restarts.
  if (status > (code ? 500 : 499) || status === 408 || status === 425 || status === 429) {
    return temporary(message, retryAfter(headers), code);
  }
  if (!code)
    return status === 401 ? new CodedError("UNAUTHORIZED", 401, message) : unexpected(`Status ${status} from`, url);
  const firstOffset = headers.get("Runner-First-Offset");
  return new CodedError(code, status, message, {
    ...(issues && { issues }),
    ...(firstOffset && { firstPosition: Number(firstOffset) }),
  });
}

/**
 * Awaits a step of `fetch`: the response, its body or a chunk. Network errors become {@link temporary} errors with the original one
 * as `cause`.
 * @throws a {@link temporary} error; the reason of `signal`
 */
export async function receive<R>(read: () => Promise<R>, signal?: AbortSignal): Promise<R> {
  try {
    return await read();
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw temporary("Connection failed", { cause });
  }
}

/**
 * Sends a request and parses the body as JSON.
 * @throws what {@link request} throws; `UNEXPECTED_RESPONSE` for a body that is not JSON
 */
export async function requestJson<R>(url: string, options: ClientOptions, details: RequestDetails): Promise<R> {
  const response = await request(url, options, details);
  return decode(await receive(() => response.text(), details.signal), url);
}

/**
 * Decodes text as JSON, or by another function.
 * @param by Default: `JSON.parse`
 * @throws `UNEXPECTED_RESPONSE` if `by` throws
 */
export function decode<R>(text: string, url: string | URL, by: (text: string) => R = JSON.parse): R {
  try {
    return by(text);
  } catch {
    throw notOfARunner(url);
  }
}

/**
 * Creates the error for a response that is not one of the protocol's: of a captive portal or a single-page application's fallback,
 * for example.
 */
export function notOfARunner(url: string | URL): CodedError {
  return unexpected("No runner at", url);
}

/** The error names the URL: mostly the router is mounted at another one. */
function unexpected(problem: string, url: string | URL): CodedError {
  return new CodedError("UNEXPECTED_RESPONSE", 502, `${problem} ${url}`);
}

/**
 * Formats a query string with its `?`. Parameters that are `undefined` are left out: the way through JSON drops them, where
 * `URLSearchParams` would write the word.
 */
export function queryOf(parameters: Record<string, string | number | boolean | undefined>): string {
  return `?${new URLSearchParams(JSON.parse(JSON.stringify(parameters)))}`;
}

/**
 * The delay of `Retry-After`, seconds: RFC 9110, section 10.2.3, allows a number or a date. Empty if the header is absent,
 * malformed or in the past.
 */
function retryAfter(headers: Headers): { retryAfter?: number } {
  const value = headers.get("Retry-After");
  const delay = Number(value) || (Date.parse(value as string) - Date.now()) / 1000;
  return delay > 0 ? { retryAfter: delay } : {};
}
