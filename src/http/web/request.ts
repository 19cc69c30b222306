/** Shared by the adapters for frameworks that use `Request` and `Response`: attaching sessions to requests, serving runners. */
import type { ServerResponse } from "node:http";
import { type Ending, endingOf, isThenable, noop, onAbort } from "../../base/async.js";
import { isAnswerable } from "../../base/error.js";
import { LazySignal } from "../../runner/lazy-signal.js";
import type { ActiveSessions } from "../../session/active-sessions.js";
import { createInstaller, type IdentityOptions, installedFor } from "../middleware.js";
import { destroyUndrained, isOver, onResponseOver } from "../node/response.js";
import { addressOf } from "../path.js";
import type { FrameworkSession, RequestPort, RoutePort } from "../request-port.js";
import { checkEncoding, type RequestBody, requestIsOver, tooLarge } from "../request-port.js";
import type { RunnerHandler } from "../router.js";
import { unsharedCacheControl } from "../sharing.js";
import type { WireResponse } from "../wire-response.js";

/** The second argument that `@hono/node-server` passes to `fetch`, reduced to what is used here. */
interface NodeEnvironment {
  /** The request of `node:http`. */
  readonly incoming: { readonly httpVersionMajor?: number; readonly socket?: object };
  /** The response of `node:http` that the web response is written to. */
  readonly outgoing: ServerResponse;
}

/**
 * A web request while it is being answered. Headers of ours are collected here and added when the response is known, in
 * {@link finish}. Members are computed on access, because servers build the parts of a `Request` lazily: each property that is read
 * costs time.
 * @typeParam Request what the framework calls a request, or a context
 */
export class WebRequestPort<Request> implements RequestPort {
  readonly #request: Request;
  readonly #web: globalThis.Request;
  readonly #env: unknown;
  readonly #frameworkSession: (request: Request) => FrameworkSession | undefined;
  /** `Set-Cookie` headers for the response. */
  #cookies: string[] | undefined;
  /** True if the response must not be stored by shared caches. Set with every cookie. */
  #isUnshared = false;
  /** Callbacks of {@link onOver}. */
  #whenOver: (() => void)[] | undefined;
  /** Absent until {@link signal} is read. */
  #over: LazySignal | undefined;
  /** Removes the listener of the request's own signal. */
  #off = noop;
  /** True once there is a response, or none will come. */
  #isOver = false;

  /**
   * @param request the framework's request or context; the web request itself if there is no other
   * @param web the web request
   * @param env the server's second argument, of unknown shape; see {@link nodeResponse}
   * @param frameworkSession reads the framework's own session of a request
   */
  constructor(
    request: Request,
    web: globalThis.Request,
    env: unknown,
    frameworkSession: (request: Request) => FrameworkSession | undefined,
  ) {
    this.#request = request;
    this.#web = web;
    this.#env = env;
    this.#frameworkSession = frameworkSession;
  }

  /** See {@link RequestPort.path}. */
  get path(): string {
    return new URL(this.#web.url).pathname;
  }

  /** By the scheme of the URL. Behind a proxy that terminates TLS the application must set `cookie.secure`. */
  get isSecure(): boolean {
    return this.#web.url.startsWith("https:");
  }

  /** The header as `Headers` gives it, which joins several. */
  get cookies(): string | undefined {
    return this.#web.headers.get("cookie") ?? undefined;
  }

  /** The response of `node:http`, where the server passes it, as `@hono/node-server` does. */
  get nodeResponse(): ServerResponse | undefined {
    return this.#nodeEnvironment?.outgoing;
  }

  get #nodeEnvironment(): Partial<NodeEnvironment> | undefined {
    return this.#env as Partial<NodeEnvironment> | undefined;
  }

  /** See {@link RequestPort.headersSent}; here, true once the response has been returned. */
  get headersSent(): boolean {
    return this.#isOver;
  }

  /** Keeps the header for {@link finish}. */
  setCookie(header: string): void {
    this.#cookies ??= [];
    this.#cookies.push(header);
  }

  /** Takes effect in {@link finish}. */
  forbidSharing(): void {
    this.#isUnshared = true;
  }

  /**
   * Aborts when the client has disconnected, or the response has been returned. A body may still be streaming then: the end of that is
   * known to the server only.
   */
  get signal(): AbortSignal {
    if (!this.#over) {
      const over = new LazySignal();
      this.#over = over;
      // The request's signal reports a disconnect; `end` adds the end of the response.
      const signal = clientSignal(this.#web, this.nodeResponse);
      if (signal.aborted) over.abort(signal.reason);
      else if (this.#isOver) over.abort(requestIsOver);
      else this.#off = onAbort(signal, () => over.abort(signal.reason));
    }
    return this.#over.signal;
  }

  /** See {@link RequestPort.onOver}. */
  onOver(callback: () => void): void {
    this.#whenOver ??= [];
    if (this.#isOver) callback();
    else this.#whenOver.push(callback);
  }

  /** Read again at each access: a login may replace the framework's session within the request. */
  get frameworkSession(): FrameworkSession | undefined {
    return this.#frameworkSession(this.#request);
  }

  /**
   * Ends the request and adds its cookies to the response. Afterwards it is too late to set another one.
   * @returns the response itself if there is nothing to add, else a copy
   */
  finish(response: Response): Response {
    this.end();
    return this.#isUnshared ? unshared(response, this.#cookies ?? []) : response;
  }

  /**
   * Calls a handler and finishes its response; synchronous if the handler is, since servers answer that faster. Errors of this library
   * become the response.
   * @throws other errors of the handler, unchanged
   */
  answer(make: () => Response | Promise<Response>): Response | Promise<Response> {
    try {
      const response = make();
      if (!isThenable(response)) return this.finish(response);
      return response.then(
        (made) => this.finish(made),
        (error: unknown) => this.#fail(error),
      );
    } catch (error) {
      return this.#fail(error);
    }
  }

  /** The response to an error of this library, with the cookies that were set before it; rethrows other errors. */
  #fail(error: unknown): Response {
    if (isAnswerable(error)) return this.finish(error.getResponse());
    this.end();
    throw error;
  }

  /** Marks the request as over, with a response or without: aborts the signal, calls back. Idempotent. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#off();
    this.#over?.abort(requestIsOver);
    if (this.#whenOver) for (const callback of this.#whenOver) callback();
  }
}

/**
 * Attaches a session to a request. `pending` is `undefined` if that is done; it is a promise where `identify` is async or there are
 * scopes, and rejects with errors of `identify`, and `INVALID_IDENTITY`.
 */
export type WebInstaller<Request> = (
  request: Request,
  web: globalThis.Request,
  env: unknown,
) => { readonly port: WebRequestPort<Request>; readonly pending: Promise<unknown> | undefined };

/**
 * Makes the function that attaches a session to requests, for an adapter's `activeSession`.
 * @param options given by the application, not checked yet
 * @param frameworkSession reads the framework's own session of a request. Default: there are none
 * @throws `INVALID_OPTION`
 */
export function webInstaller<Request extends object>(
  sessions: ActiveSessions<unknown>,
  options: IdentityOptions<Request>,
  frameworkSession: (request: Request) => FrameworkSession | undefined = () => undefined,
): WebInstaller<Request> {
  const install = createInstaller(sessions, options);
  return (request, web, env) => {
    const port = new WebRequestPort(request, web, env, frameworkSession);
    const own = install(request, port);
    // A synchronous result is attached to the request; the adapter needs no more of it.
    return { port, pending: own instanceof Promise ? own : undefined };
  };
}

/**
 * A signal that aborts when the client has disconnected. That of the request is not enough for a pipelined request which waits for the
 * response before it: Node reports the disconnect on the socket only.
 */
function clientSignal({ signal }: globalThis.Request, response: ServerResponse | undefined): AbortSignal {
  if (!response || response.socket || signal.aborted) return signal;
  if (isOver(response)) return AbortSignal.abort(requestIsOver);
  const over = new AbortController();
  onAbort(signal, () => over.abort(signal.reason));
  onResponseOver(response, () => over.abort(requestIsOver));
  return over.signal;
}

/**
 * Adds cookies and `Cache-Control` to a copy of the response: the headers of one that came from `fetch` are immutable. The body is
 * passed on, not copied.
 */
function unshared(response: Response, cookies: readonly string[]): Response {
  const own = new Response(response.body, response);
  own.headers.set("Cache-Control", unsharedCacheControl(own.headers.get("Cache-Control")));
  // Appended one by one: the application's own cookies stay.
  for (const cookie of cookies) own.headers.append("Set-Cookie", cookie);
  return own;
}

/**
 * Answers a request below the mount of the routes of runners.
 * @param handle made by `createRunnerHandler`
 * @param sessions the host that the routes belong to
 * @param path the part of the path below the mount, with its leading slash
 * @param request the framework's request or context, which passed `activeSession`
 * @param web the web request
 * @param readText reads the body again from the framework's copy, where a middleware has consumed it before
 * @returns the response; `undefined` if the path is no route of runners: nothing has been done then
 * @throws `NOT_INSTALLED`, and errors that are no fault of the request
 */
export async function webAnswerFor(
  handle: RunnerHandler,
  sessions: unknown,
  path: string,
  request: object,
  web: Request,
  readText?: () => Promise<string>,
): Promise<Response | undefined> {
  // The framework's path may be relative to a router, or decoded: the URL is not.
  const url = new URL(web.url);
  const address = addressOf(path, web.method, url.pathname === "/");
  if (!address) return undefined;
  const context = installedFor(request, sessions);
  const port: RoutePort = {
    ...{ method: web.method, query: url.searchParams },
    headers: { host: url.host, ...Object.fromEntries(web.headers) }, // HTTP/2 has no `Host` header; the URL has the host
    over: endingOf(clientSignal(web, context.nodeResponse)),
    readBody: (limit) => (web.bodyUsed && readText ? textWithin(limit, readText) : readWebBody(web, limit)),
  };
  return toResponse(await handle(await context.routeTo(address, port)), context.nodeResponse);
}

/**
 * A body that the framework has in memory, under the same limit in bytes.
 * @throws `PAYLOAD_TOO_LARGE`
 */
async function textWithin(limit: number, readText: () => Promise<string>): Promise<RequestBody> {
  const text = await readText();
  if (Buffer.byteLength(text) > limit) throw tooLarge(limit);
  return { text };
}

/**
 * Reads the body as UTF-8. Stops at the limit: no more than that is kept in memory, whatever `Content-Length` says.
 * @throws `PAYLOAD_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE` for a compressed body, a plain `Error` if the body has been read before
 */
async function readWebBody(web: Request, limit: number): Promise<RequestBody> {
  if (web.body === null) return { text: "" };
  // A body can be read only once, and a `Request` keeps no copy.
  if (web.bodyUsed) {
    throw new Error("Cannot read the body: something has read it before. Give the handler of runners request.clone()");
  }
  checkEncoding(web.headers.get("content-encoding") ?? undefined);
  if (Number(web.headers.get("content-length")) > limit) throw tooLarge(limit);
  const reader = web.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  try {
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      size += step.value.length;
      if (size > limit) throw tooLarge(limit);
      text += decoder.decode(step.value, { stream: true });
    }
    return { text: text + decoder.decode() };
  } finally {
    reader.cancel().catch(noop); // frees the rest, and does nothing at the end of the body
  }
}

/** Statuses for which `Response` accepts no body, not even an empty one (Fetch standard, null body status). */
const bodiless = [204, 304];

/**
 * Turns an answer into a `Response`. Where the server is built on `node:http`, a client that does not drain the body in time is
 * disconnected; see {@link destroyUndrained}.
 */
function toResponse(
  { status, headers, body, ended }: WireResponse,
  nodeResponse: ServerResponse | undefined,
): Response {
  if (typeof body !== "object")
    return new Response(bodiless.includes(status) ? null : (body ?? null), { status, headers });
  if (ended && nodeResponse) destroyUndrained(nodeResponse, ended);
  return new Response(streamOf(body, ended), { status, headers });
}

/**
 * A web stream over the parts of a body. It pulls a part only when the server asks for one, so that a slow client suspends the
 * producer.
 * @param ended when it aborts, the stream closes at once, even if the client has not drained it; the connection is the server's
 */
function streamOf(body: AsyncIterable<string>, ended: Ending | undefined): ReadableStream<Uint8Array> {
  const parts = body[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  let off = noop;
  let isPulling = false; // `next` is pending
  let isCancelled = false; // after that, `enqueue` and `close` would throw
  // `return` is not awaited: the stream must close at once.
  const close = (controller: ReadableStreamDefaultController) => {
    off();
    void parts.return?.();
    if (!isCancelled) controller.close();
  };
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        // A part that exhausts the client's allowance aborts `ended` while it is produced. It must still be sent, so `pull` closes then.
        if (ended) off = ended.onAbort(() => isPulling || close(controller));
      },
      async pull(controller) {
        isPulling = true;
        const { done, value } = await parts.next();
        isPulling = false;
        if (!done && !isCancelled) controller.enqueue(encoder.encode(value));
        // Also at `ended`: it may have aborted while this part was produced.
        if (done || ended?.aborted) close(controller);
      },
      // The client has disconnected.
      async cancel() {
        isCancelled = true;
        off();
        await parts.return?.();
      },
    },
    { highWaterMark: 0 }, // no read-ahead: a part is produced when it can be sent
  );
}
