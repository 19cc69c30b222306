/** Requests to the routes of runners, and what their answers mean for whoever asked. */
import { type ActiveSessionErrorOptions, CodedError } from "../base/coded-error.js";
import type { ErrorCode } from "../base/error-codes.js";
import type { ErrorBody } from "../protocol/headers.js";

/** How a client makes its requests. */
export interface ClientOptions {
  /** Default: the global `fetch`. */
  readonly fetch?: typeof fetch | undefined;
  /**
   * Headers for every request, or a function that gives them, which may be async: it is called for each request, and once more after a
   * 401, for a token that has expired.
   */
  readonly headers?: RequestHeaders | (() => RequestHeaders | Promise<RequestHeaders>) | undefined;
  /** As for `fetch`. Default: that of `fetch`, which sends cookies to the page's own origin. */
  readonly credentials?: RequestInit["credentials"] | undefined;
  /**
   * How many connections may stand open at once, in all tabs of the origin together. Runners beyond that are read by short
   * requests, every second. Default: 4 in a page that came over HTTP/1.1, where a browser has six for each server, else `Infinity`.
   */
  readonly connections?: number | undefined;
}

/** What `fetch` takes for headers, in a page and in Node; Node's types have no global name for it. */
type RequestHeaders = NonNullable<RequestInit["headers"]>;

/** Something that another try may mend: the network, a proxy, a server that is busy or restarting. */
export function temporary(message: string, facts?: ActiveSessionErrorOptions, code?: ErrorCode | null): CodedError {
  return new CodedError(code ?? "SERVER_UNAVAILABLE", 503, message, facts);
}

export function isTemporary(error: unknown): error is CodedError {
  return (error as CodedError | undefined)?.status === 503;
}

/** What is particular to one request. */
export interface RequestDetails extends Omit<RequestInit, "signal" | "headers"> {
  /** They replace those of the client; in lower case, for one and the same not to be sent twice. */
  readonly headers?: Record<string, string>;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Makes a request and returns its answer if that is a success.
 * @throws `RUNNER_GONE` (404 and 410), the code of the server's error, `UNEXPECTED_RESPONSE`; with the status 503
 *   what is {@link temporary}; the reason of `signal`
 */
export async function request(
  url: string,
  { credentials, fetch: given, headers }: ClientOptions,
  details: RequestDetails,
): Promise<Response> {
  const { signal } = details;
  // A relative URL outside of a page, `fetch` could not tell from a network that fails: this throws a TypeError.
  const target = given ? url : new URL(url, globalThis.document?.baseURI ?? globalThis.location?.href);
  const ask = async () => {
    const always = new Headers(typeof headers === "function" ? await headers() : headers);
    const init = {
      ...(credentials && { credentials }),
      ...(details as RequestInit),
      headers: { ...Object.fromEntries(always), ...details.headers },
    };
    return receive(() => (given ?? fetch)(target, init), signal);
  };
  let response = await ask();
  if (response.status === 401 && typeof headers === "function") response = await ask();
  if (response.ok) return response;
  throw errorOf(response, await receive(() => response.text(), signal));
}

function errorOf({ status, headers }: Response, text: string): CodedError {
  const code = headers.get("Runner-Error-Code") as ErrorCode | null;
  if ((status === 404 || status === 410) && code !== "POSITION_GONE") {
    return new CodedError("RUNNER_GONE", 410, "The runner is gone");
  }
  const { message, issues }: ErrorBody = (code && decode<ErrorBody>(text)) || {
    message: `Status ${status}`,
  };
  // What one of our own says with 500 is for good.
  if (status > (code ? 500 : 499) || status === 408 || status === 425 || status === 429) {
    return temporary(message, retryAfter(headers), code);
  }
  const firstOffset = headers.get("Runner-First-Offset");
  return new CodedError(code ?? "UNEXPECTED_RESPONSE", code ? status : 502, message, {
    ...(issues && { issues }),
    ...(firstOffset && { firstPosition: Number(firstOffset) }),
  });
}

/** Waits for the network; what goes wrong there is temporary. */
export async function receive<R>(read: () => Promise<R>, signal?: AbortSignal): Promise<R> {
  try {
    return await read();
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw temporary("Connection failed", { cause });
  }
}

/** Makes a request and reads its answer, JSON that the server itself has written. */
export async function requestJson<R>(url: string, options: ClientOptions, details: RequestDetails): Promise<R> {
  const response = await request(url, options, details);
  return decode(await receive(() => response.text(), details.signal));
}

/** Reads JSON, or another form of text; throws `UNEXPECTED_RESPONSE` for what is none. */
export function decode<R>(text: string, by: (text: string) => R = JSON.parse): R {
  try {
    return by(text);
  } catch {
    throw notOfARunner();
  }
}

export function notOfARunner(): CodedError {
  return new CodedError("UNEXPECTED_RESPONSE", 502, "No runner answered");
}

/** What is `undefined` is left out, as in JSON. */
export function queryOf(parameters: Record<string, string | number | boolean | undefined>): string {
  return `?${new URLSearchParams(JSON.parse(JSON.stringify(parameters)))}`;
}

/** Given in seconds or as a date. */
function retryAfter(headers: Headers): { retryAfter?: number } {
  const value = headers.get("Retry-After");
  const delay = Number(value) || (Date.parse(value as string) - Date.now()) / 1000;
  return delay > 0 ? { retryAfter: delay } : {};
}
