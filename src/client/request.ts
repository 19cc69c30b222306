/** Requests to the routes of runners, and what their answers mean for whoever asked. */
import { ActiveSessionError, type ErrorCode, isErrorCode } from "../base/error.js";
import { type ErrorBody, headerNames } from "../wire/names.js";

/** How a client makes its requests. */
export interface ClientOptions {
  /** Default: the global `fetch`. */
  readonly fetch?: typeof fetch | undefined;
  /** Headers for every request, or a function that gives them for each one. */
  readonly headers?: (RequestHeaders | (() => RequestHeaders)) | undefined;
  /** As for `fetch`. Default: that of `fetch`, which sends cookies to the page's own origin. */
  readonly credentials?: RequestInit["credentials"] | undefined;
}

/** What `fetch` takes for headers, in a page and in Node; Node's types have no global name for it. */
type RequestHeaders = NonNullable<RequestInit["headers"]>;

/** Something that another try may mend: the network, a proxy, a server that is busy or restarting. */
export class TemporaryError extends ActiveSessionError {
  /** @param retryAfter what the server asks to wait, s */
  constructor(message: string, cause: unknown, retryAfter?: number) {
    super("SERVER_UNAVAILABLE", message, { cause, ...(retryAfter !== undefined && { retryAfter }) });
  }
}

/**
 * Makes a request and returns its answer if that is a success.
 * @throws `RUNNER_GONE` (404 and 410), the code of the server's error, `UNEXPECTED_RESPONSE`; a {@link TemporaryError},
 *   `SERVER_UNAVAILABLE`, where another try makes sense; the reason of `init.signal`
 */
export async function request(url: string, init: RequestInit, options: ClientOptions): Promise<Response> {
  const { credentials, fetch: send = fetch } = options;
  const headers = (typeof options.headers === "function" ? options.headers() : options.headers) ?? {};
  let response: Response;
  try {
    response = await send(url, { ...init, ...(credentials && { credentials }), headers });
  } catch (cause) {
    if (init.signal?.aborted) throw init.signal.reason;
    throw new TemporaryError("The server cannot be reached", cause);
  }
  if (response.ok) return response;
  throw await errorOf(response, await bodyOf(response, init.signal));
}

/** Codes of the server for which another try is no use although their status says 5xx. */
const lasting = ["RESULT_NOT_SERIALIZABLE", "RUNNER_START_FAILED", "INVALID_SOURCE"];

function errorOf(response: Response, { code, message = "" }: Partial<ErrorBody>): Error {
  const { status } = response;
  const isOurs = isErrorCode(code);
  if ((status === 404 || status === 410) && code !== "POSITION_GONE") {
    return failure("RUNNER_GONE", "The runner is not available any more", code);
  }
  const isTemporary = status >= 500 || status === 408 || status === 425 || status === 429;
  if (isOurs && (!isTemporary || lasting.includes(code))) {
    const firstOffset = response.headers.get(headerNames.firstOffset);
    return failure(code, message, code, firstOffset === null ? undefined : Number(firstOffset));
  }
  if (isTemporary) {
    return new TemporaryError(`The server answered ${status}`, code, retryAfter(response));
  }
  return failure("UNEXPECTED_RESPONSE", `The server answered ${status}`, code);
}

/** What an error's body says; nothing, if it is not one of ours but some proxy's page. */
async function bodyOf(response: Response, signal: AbortSignal | null | undefined): Promise<Partial<ErrorBody>> {
  const text = await receive(() => response.text(), signal);
  try {
    return Object(JSON.parse(text)) as Partial<ErrorBody>;
  } catch {
    return {};
  }
}

/** Reads from a body; a cut in the middle of it is temporary. */
export async function receive<R>(read: () => Promise<R>, signal?: AbortSignal | null): Promise<R> {
  try {
    return await read();
  } catch (cause) {
    if (signal?.aborted) throw signal.reason;
    throw new TemporaryError("The connection was cut", cause);
  }
}

/** Reads JSON that the server itself has written; throws `UNEXPECTED_RESPONSE` if it is none. */
export function parseJson<R>(text: string): R {
  try {
    return JSON.parse(text) as R;
  } catch (cause) {
    throw failure("UNEXPECTED_RESPONSE", "The answer is not one of a runner: it is no JSON", cause);
  }
}

function failure(code: ErrorCode, message: string, cause: unknown, firstPosition?: number): ActiveSessionError {
  return new ActiveSessionError(code, message, { cause, ...(firstPosition !== undefined && { firstPosition }) });
}

function retryAfter(response: Response): number | undefined {
  const value = response.headers.get("Retry-After");
  if (!value) return undefined;
  const delay = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return delay >= 0 ? delay : undefined;
}
