/** Requests to the routes of runners, and what their answers mean for whoever asked. */
import { CodedError } from "../base/coded-error.js";
import type { ErrorCode } from "../base/error-codes.js";
import type { ErrorBody } from "../wire/names.js";

/** How a client makes its requests. */
export interface ClientOptions {
  /** Default: the global `fetch`. */
  readonly fetch?: typeof fetch | undefined;
  /** Headers for every request, or a function that gives them for each one. */
  readonly headers?: RequestHeaders | (() => RequestHeaders) | undefined;
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
export class TemporaryError extends CodedError {
  /** @param retryAfter what the server asks to wait, s */
  constructor(message: string, cause?: unknown, retryAfter?: number, code: ErrorCode = "SERVER_UNAVAILABLE") {
    super(code, 503, message, { cause, ...(retryAfter !== undefined && { retryAfter }) });
  }
}

/**
 * Makes a request and returns its answer if that is a success.
 * @param init its headers replace those of the client; their names must be in lower case, for one and the same not to be sent twice
 * @throws `RUNNER_GONE` (404 and 410), the code of the server's error, `UNEXPECTED_RESPONSE`; a {@link TemporaryError},
 *   where another try makes sense; the reason of `init.signal`
 */
export async function request(
  url: string,
  { credentials, fetch: send = fetch, headers }: ClientOptions,
  init: RequestInit = {},
): Promise<Response> {
  const given = new Headers(typeof headers === "function" ? headers() : headers);
  const all = {
    ...init,
    ...(credentials && { credentials }),
    headers: { ...Object.fromEntries(given), ...init.headers },
  };
  const response = await receive(() => send(url, all), init.signal);
  if (response.ok) return response;
  const text = await receive(() => response.text(), init.signal);
  throw errorOf(response, text);
}

function errorOf({ status, headers }: Response, text: string): CodedError {
  const code = headers.get("Runner-Error-Code") as ErrorCode | null;
  if ((status === 404 || status === 410) && code !== "POSITION_GONE") {
    return new CodedError("RUNNER_GONE", 410, "The runner is not available any more");
  }
  const { message, issues }: ErrorBody = code ? parseJson(text) : { message: `The server answered ${status}` };
  // What one of our own says with 500 is for good.
  if (status > 500 || (status === 500 && !code) || status === 408 || status === 425 || status === 429) {
    return new TemporaryError(message, undefined, retryAfter(headers), code ?? undefined);
  }
  const firstOffset = headers.get("Runner-First-Offset");
  return new CodedError(code ?? "UNEXPECTED_RESPONSE", code ? status : 502, message, {
    ...(issues && { issues }),
    ...(firstOffset && { firstPosition: Number(firstOffset) }),
  });
}

/** Waits for the network; what goes wrong there is temporary. */
export async function receive<R>(read: () => Promise<R>, signal?: AbortSignal | null): Promise<R> {
  try {
    return await read();
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw new TemporaryError("The connection failed", cause);
  }
}

/** Makes a request and reads its answer, JSON that the server itself has written. */
export async function requestJson<R>(url: string, options: ClientOptions, init: RequestInit = {}): Promise<R> {
  return readJson(await request(url, options, init), init.signal);
}

export async function readJson<R>(response: Response, signal: AbortSignal | null | undefined): Promise<R> {
  return parseJson(await receive(() => response.text(), signal));
}

/** Throws `UNEXPECTED_RESPONSE` if it is none. */
export function parseJson<R>(text: string): R {
  try {
    return JSON.parse(text) as R;
  } catch {
    throw notOfARunner();
  }
}

export function notOfARunner(): CodedError {
  return new CodedError("UNEXPECTED_RESPONSE", 502, "The answer is none of a runner");
}

/** What is `undefined` is left out. */
export function queryOf(parameters: Record<string, string | number | boolean | undefined>): string {
  const given = Object.entries(parameters).filter(([, value]) => value !== undefined);
  return given.length > 0 ? `?${new URLSearchParams(given as [string, string][])}` : "";
}

/** Given in seconds or as a date. */
function retryAfter(headers: Headers): number | undefined {
  const value = headers.get("Retry-After");
  const delay = Number(value) || (Date.parse(String(value)) - Date.now()) / 1000;
  return delay > 0 ? delay : undefined;
}
