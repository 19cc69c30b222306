/** Shared by the adapters for `node:http` and for frameworks built on it: attaching sessions to requests, serving runners. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Ending } from "../../base/async.js";
import type { ActiveSessions } from "../../session/active-sessions.js";
import { createInstaller, type IdentityOptions, installedFor, pathOf, queryOf } from "../middleware.js";
import { addressOf } from "../path.js";
import type { FrameworkSession, RequestBody, RequestPort, RoutePort } from "../request-port.js";
import type { RunnerHandler } from "../router.js";
import { forbidSharing } from "../sharing.js";
import type { WireResponse } from "../wire-response.js";
import { readBody } from "./body.js";
import { isOver, onResponseOver, ResponseEnding, writeResponse } from "./response.js";

/**
 * Reads the requests of one framework.
 * @typeParam Request what the framework calls a request, or a context
 */
export interface NodeFramework<Request> {
  /** True if the request came over HTTPS, according to the framework's proxy settings. */
  isSecure(request: Request): boolean;
  /** The host that the client addressed, where the framework may know it from a trusted proxy. */
  hostOf?(request: Request): string | undefined;
  /** The full URL, as received, regardless of where in the application the request is handled. */
  urlOf(request: Request): string;
  /** The framework's own session, if the request has one. */
  frameworkSession(request: Request): FrameworkSession | undefined;
  /** The object that carries the library's data of a request. Default: the request; another one if that is slow to write to. */
  holderOf?(request: Request): object;
}

/**
 * Presents a request of `node:http`, and the framework's view of it. All members are computed on access: a request that does not use
 * its session then costs little more than this object.
 */
class NodePort<Request> implements RequestPort {
  readonly #framework: NodeFramework<Request>;
  readonly #request: Request;
  readonly #raw: IncomingMessage;
  readonly #response: ServerResponse;
  /** Made at first access: most requests never ask for it. */
  #over: ResponseEnding | undefined;
  /** True once {@link forbidSharing} has wrapped the response; to wrap it twice would only cost time. */
  #isUnshared = false;

  /** @param raw the request of `node:http` below that of the framework */
  constructor(framework: NodeFramework<Request>, request: Request, raw: IncomingMessage, response: ServerResponse) {
    this.#framework = framework;
    this.#request = request;
    this.#raw = raw;
    this.#response = response;
  }

  /** See {@link RequestPort.path}. */
  get path(): string {
    return pathOf(this.#framework.urlOf(this.#request));
  }

  /** See {@link NodeFramework.isSecure}. */
  get isSecure(): boolean {
    return this.#framework.isSecure(this.#request);
  }

  get host(): string | undefined {
    return this.#framework.hostOf?.(this.#request);
  }

  /** Scanned at each access; the result is cached by its only reader. */
  get cookies(): string | undefined {
    return cookiesOf(this.#raw.rawHeaders);
  }

  /** See {@link RequestPort.headersSent}. */
  get headersSent(): boolean {
    return this.#response.headersSent;
  }

  /** Appends: other `Set-Cookie` headers of the application stay. */
  setCookie(header: string): void {
    this.#response.appendHeader("Set-Cookie", header);
  }

  /** See {@link RequestPort.forbidSharing}. */
  forbidSharing(): void {
    if (this.#isUnshared || this.#response.headersSent) return;
    this.#isUnshared = true;
    forbidSharing(this.#response);
  }

  /** See {@link RequestPort.signal}. */
  get signal(): AbortSignal {
    this.#over ??= new ResponseEnding(this.#response);
    return this.#over.signal;
  }

  /** Also where the response waits behind another on its connection; see {@link onResponseOver}. */
  onOver(callback: () => void): void {
    if (isOver(this.#response)) callback();
    else onResponseOver(this.#response, callback);
  }

  /** Read again at each access: a login may replace the framework's session within the request. */
  get frameworkSession(): FrameworkSession | undefined {
    return this.#framework.frameworkSession(this.#request);
  }
}

/**
 * Joins all `Cookie` headers; HTTP/2 may split them (RFC 9113, 8.2.3). Reads the raw list: `request.headers` would build an object
 * of all headers for this one.
 */
function cookiesOf(headers: readonly string[]): string | undefined {
  let cookies: string | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!;
    if (name.length !== 6 || name.toLowerCase() !== "cookie") continue;
    cookies = cookies === undefined ? headers[i + 1] : `${cookies}; ${headers[i + 1]}`;
  }
  return cookies;
}

/**
 * Makes the function that attaches a session to requests, for an adapter's `activeSession`. It is called with the framework's request
 * and the request and response of `node:http` below it. It returns `undefined` if it is done, or a promise where `identify` is async
 * or there are scopes; that rejects with errors of `identify`, and `INVALID_IDENTITY`. A middleware must pass these on, and call the
 * next handler only afterwards.
 * @param options given by the application, not checked yet
 * @throws `INVALID_OPTION`
 */
export function sessionInstaller<Request extends object>(
  sessions: ActiveSessions<unknown>,
  options: IdentityOptions<Request>,
  framework: NodeFramework<Request>,
): (request: Request, raw: IncomingMessage, response: ServerResponse) => Promise<unknown> | undefined {
  const install = createInstaller(sessions, options, framework.holderOf);
  return (request, raw, response) => {
    // A synchronous result is attached to the request already:
    // the adapter needs a promise to wait for, or nothing.
    const own = install(request, new NodePort(framework, request, raw, response));
    return own instanceof Promise ? own : undefined;
  };
}

/** What a route is asked. Members that few routes need are computed on access. */
class NodeRoute implements RoutePort {
  readonly #raw: IncomingMessage;
  readonly over: Ending;

  constructor(raw: IncomingMessage, response: ServerResponse) {
    this.#raw = raw;
    this.over = new ResponseEnding(response);
  }

  get method(): string {
    return this.#raw.method ?? "GET";
  }

  get query(): URLSearchParams {
    return queryOf(this.#raw.url ?? "");
  }

  /** Parsed by Node at first access. */
  get headers(): RoutePort["headers"] {
    return this.#raw.headers;
  }

  /** See {@link readBody}. */
  readBody(limit: number): Promise<RequestBody> {
    return readBody(this.#raw, limit);
  }
}

/**
 * Answers a request below the mount of the routes of runners, for frameworks that write responses themselves.
 * @param handle made by `createRunnerHandler`
 * @param sessions the host that the routes belong to
 * @param path the part of the path below the mount, with its leading slash
 * @param request the framework's request or context, which passed `activeSession`
 * @returns the answer, not yet written; `undefined` if the path is no route of runners: nothing has been done then
 * @throws `NOT_INSTALLED`, and errors that are no fault of the request
 */
export async function answerFor(
  handle: RunnerHandler,
  sessions: unknown,
  path: string,
  request: object,
  raw: IncomingMessage & { readonly originalUrl?: string },
  response: ServerResponse,
): Promise<WireResponse | undefined> {
  const method = raw.method ?? "GET";
  // Express strips the mount from `url`; the original tells whether this is the application's home page.
  const address = addressOf(path, method, pathOf(raw.originalUrl ?? raw.url ?? "") === "/");
  if (!address) return undefined;
  const wire = await handle(await installedFor(request, sessions).routeTo(address, new NodeRoute(raw, response)));
  if (wire.status === 413) response.shouldKeepAlive = false; // do not read the rest of the body for the sake of the connection
  return wire;
}

/**
 * As {@link answerFor}, and writes the answer, for frameworks whose middleware writes to the response of `node:http`.
 * @returns true if the request was answered, after the response is over; false if the path is no route of runners
 */
export async function serveRunner(
  handle: RunnerHandler,
  sessions: unknown,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const wire = await answerFor(handle, sessions, path, request, request, response);
  if (!wire) return false;
  await writeResponse(response, wire);
  return true;
}

/** Wraps thrown values that Express would not treat as errors: nothing, and strings such as `"route"`. */
export function toError(thrown: unknown): unknown {
  return typeof thrown === "object" && thrown !== null ? thrown : new Error("Something was thrown", { cause: thrown });
}
