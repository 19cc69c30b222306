/** Requests and responses of the web platform: what the adapters for frameworks that speak them share. */
import type { ServerResponse } from "node:http";
import { isThenable, noop, onAbort } from "../../base/async.js";
import { ActiveSessionError } from "../../base/error.js";
import { LazySignal } from "../../runner/lazy-signal.js";
import type { ActiveSessions } from "../../session/host.js";
import type { FrameworkSession, RequestPort } from "../client-identity.js";
import { createInstaller, type IdentityOptions, installedFor } from "../middleware.js";
import { destroyUndrained, onResponseOver } from "../node/response.js";
import { addressOf } from "../path.js";
import { checkEncoding, type RequestBody, requestIsOver, tooLarge, type WireResponse } from "../request-context.js";
import type { RunnerHandler } from "../router.js";
import { unsharedCacheControl } from "../sharing.js";

/** What `@hono/node-server` gives besides a request, as far as it matters here. */
interface NodeEnvironment {
  readonly incoming: { readonly httpVersionMajor?: number; readonly socket?: object };
  readonly outgoing: ServerResponse;
}

/**
 * A request of the web platform while it is answered. Servers make the parts of such a request when they are asked for: so the less is
 * looked at, the better.
 */
export class WebRequestPort<Request> implements RequestPort {
  readonly #request: Request;
  readonly #web: globalThis.Request;
  readonly #env: unknown;
  readonly #frameworkSession: (request: Request) => FrameworkSession | undefined;
  #cookies: string[] | undefined;
  #isUnshared = false;
  #whenOver: (() => void)[] | undefined;
  #over: LazySignal | undefined;
  #off = noop;
  #isOver = false;

  /** @param env what the server gave besides the request */
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

  get path(): string {
    return new URL(this.#web.url).pathname;
  }

  get isSecure(): boolean {
    return this.#web.url.startsWith("https:");
  }

  get cookies(): string | undefined {
    return this.#web.headers.get("cookie") ?? undefined;
  }

  /** Known where the server stands on `node:http` and gives what it made the request from, as `@hono/node-server` does. */
  get connection(): object | undefined {
    const incoming = (this.#env as Partial<NodeEnvironment> | undefined)?.incoming;
    return incoming?.httpVersionMajor === 1 ? incoming.socket : undefined;
  }

  get nodeResponse(): ServerResponse | undefined {
    return (this.#env as Partial<NodeEnvironment> | undefined)?.outgoing;
  }

  get headersSent(): boolean {
    return this.#isOver;
  }

  setCookie(header: string): void {
    this.#cookies ??= [];
    this.#cookies.push(header);
  }

  forbidSharing(): void {
    this.#isUnshared = true;
  }

  /** Aborts when the client has gone, or the response has been made. */
  get signal(): AbortSignal {
    if (!this.#over) {
      const over = new LazySignal();
      this.#over = over;
      const signal = clientSignal(this.#web, this.nodeResponse);
      if (signal.aborted) over.abort(signal.reason);
      else if (this.#isOver) over.abort(requestIsOver);
      else this.#off = onAbort(signal, () => over.abort(signal.reason));
    }
    return this.#over.signal;
  }

  onOver(callback: () => void): void {
    this.#whenOver ??= [];
    if (this.#isOver) callback();
    else this.#whenOver.push(callback);
  }

  get frameworkSession(): FrameworkSession | undefined {
    return this.#frameworkSession(this.#request);
  }

  /** Puts a cookie that was set meanwhile into the response; from then on it is too late for another one. */
  finish(response: Response): Response {
    this.end();
    return this.#isUnshared ? unshared(response, this.#cookies ?? []) : response;
  }

  /** Makes the response, at once if it can be had so. Of what is thrown, the library's own errors become it. */
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

  #fail(error: unknown): Response {
    if (ActiveSessionError.is(error)) return this.finish(error.getResponse());
    this.end();
    throw error;
  }

  /** The request is over, with a response or without. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#off();
    this.#over?.abort(requestIsOver);
    if (this.#whenOver) for (const callback of this.#whenOver) callback();
  }
}

/** What an adapter asks about a request that is new to it; the promise is only there where the application has to be asked. */
export type WebInstaller<Request> = (
  request: Request,
  web: globalThis.Request,
  env: unknown,
) => { readonly port: WebRequestPort<Request>; readonly pending: Promise<unknown> | undefined };

/** Makes the function that finds out whose request it is. Throws `INVALID_OPTION`. */
export function webInstaller<Request extends object>(
  sessions: ActiveSessions<unknown>,
  options: IdentityOptions<Request>,
  frameworkSession: (request: Request) => FrameworkSession | undefined = () => undefined,
): WebInstaller<Request> {
  const install = createInstaller(sessions, options);
  return (request, web, env) => {
    const port = new WebRequestPort(request, web, env, frameworkSession);
    const own = install(request, port);
    return { port, pending: own instanceof Promise ? own : undefined };
  };
}

/** Aborts when the client has gone, also where the request waits on its connection for the answer before it. */
function clientSignal({ signal }: globalThis.Request, response: ServerResponse | undefined): AbortSignal {
  if (!response || response.socket || signal.aborted) return signal;
  const over = new AbortController();
  onAbort(signal, () => over.abort(signal.reason));
  onResponseOver(response, () => over.abort(requestIsOver));
  return over.signal;
}

/** With its cookies, for no other client. The headers of a response that came from elsewhere (`fetch`) cannot be changed. */
function unshared(response: Response, cookies: readonly string[]): Response {
  const own = new Response(response.body, response);
  own.headers.set("Cache-Control", unsharedCacheControl(own.headers.get("Cache-Control")));
  for (const cookie of cookies) own.headers.append("Set-Cookie", cookie);
  return own;
}

/**
 * Answers a request to a path below the place where runners are served; `undefined` if that is not a runner's address.
 * @param readText gives the body again where a middleware has read it before, and the framework keeps it
 * @throws `NOT_INSTALLED`, and what is no fault of the request
 */
export async function webAnswerFor(
  handle: RunnerHandler,
  sessions: unknown,
  path: string,
  request: object,
  web: Request,
  readText?: () => Promise<string>,
): Promise<Response | undefined> {
  const { pathname, searchParams, host } = new URL(web.url);
  const address = addressOf(path, web.method, pathname === "/");
  if (!address) return undefined;
  const own = installedFor(request, sessions);
  if (own.isPending) await own.resolve();
  const wire = await handle({
    ...{ method: web.method, ...address, query: searchParams, identity: own.identity },
    headers: { host, ...Object.fromEntries(web.headers) }, // where the version of HTTP has no such header, the address has it
    signal: clientSignal(web, own.nodeResponse),
    cameBackTo: (session) => own.cameBackTo(session),
    findSession: () => own.find(),
    openSession: () => own.session,
    readBody: (limit) => (web.bodyUsed && readText ? textWithin(limit, readText) : readWebBody(web, limit)),
  });
  return toResponse(wire, own.nodeResponse);
}

async function textWithin(limit: number, readText: () => Promise<string>): Promise<RequestBody> {
  const text = await readText();
  if (Buffer.byteLength(text) > limit) throw tooLarge(limit);
  return { text };
}

async function readWebBody(web: Request, limit: number): Promise<RequestBody> {
  if (web.body === null) return { text: "" };
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
    reader.cancel().catch(noop); // what is left of it nobody reads
  }
}

/** Statuses that may not have a body, not even an empty one. */
const bodiless = [204, 304];

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
 * A body in parts as a stream that is pulled from. When the response is to be ended it is closed at once, whether or not the client
 * has drained what was handed out; the connection belongs to the server.
 */
function streamOf(body: AsyncIterable<string>, ended: AbortSignal | undefined): ReadableStream<Uint8Array> {
  const parts = body[Symbol.asyncIterator]();
  const encoder = new TextEncoder();
  let off = noop;
  let isPulling = false;
  let isCancelled = false;
  const close = (controller: ReadableStreamDefaultController) => {
    off();
    void parts.return?.();
    if (!isCancelled) controller.close();
  };
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        // A part that uses up the client's allowance ends the response before it has been handed out itself.
        off = onAbort(ended, () => isPulling || close(controller));
      },
      async pull(controller) {
        isPulling = true;
        const { done, value } = await parts.next();
        isPulling = false;
        if (!done && !isCancelled) controller.enqueue(encoder.encode(value));
        if (done || ended?.aborted) close(controller);
      },
      async cancel() {
        isCancelled = true;
        off();
        await parts.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
