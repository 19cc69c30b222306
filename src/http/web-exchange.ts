/** Requests and responses of the web platform: what the adapters for frameworks that speak them share. */
import { noop, onAbort } from "../base/async.js";
import { ActiveSessionError } from "../base/error.js";
import { LazySignal } from "../base/lazy-signal.js";
import type { ActiveSessions } from "../session/active-sessions.js";
import { addressOf } from "./address.js";
import { checkEncoding, type RequestBody, type WireResponse } from "./exchange.js";
import type { RunnerHandler } from "./handler.js";
import { createInstaller, type IdentityOptions, installedFor } from "./install.js";
import type { FrameworkSession, RequestSession } from "./request-session.js";

/** A request that is being answered. */
export interface WebArrival {
  readonly own: RequestSession;
  /** Puts a cookie that was set meanwhile into the response; from then on it is too late for another one. */
  finish(response: Response): Response;
  /** The request has failed: nothing will be answered here. */
  fail(): void;
}

/** Makes the function that finds out whose request it is. Throws `INVALID_OPTION`. */
export function webInstaller<Request extends object>(
  sessions: ActiveSessions<unknown>,
  options: IdentityOptions<Request>,
  frameworkSession: (request: Request) => FrameworkSession | undefined = () => undefined,
): (request: Request, web: globalThis.Request) => Promise<WebArrival> {
  const install = createInstaller(sessions, options);
  return async (request, web) => {
    const { pathname, protocol } = new URL(web.url);
    const over = new LazySignal();
    let off = noop;
    /** Most requests never ask. */
    const watched = () => {
      if (off === noop) off = onAbort(web.signal, () => over.abort(web.signal.reason));
      if (web.signal.aborted) over.abort(web.signal.reason);
      return over.signal;
    };
    const cookies: string[] = [];
    let headersSent = false;
    const port = {
      cookies: web.headers.get("cookie") ?? undefined,
      get headersSent() {
        return headersSent;
      },
      setCookie: (header: string) => void cookies.push(header),
      get signal() {
        return watched();
      },
      onOver: (callback: () => void) => {
        if (watched().aborted) callback();
        else onAbort(over.signal, callback);
      },
      get frameworkSession() {
        return frameworkSession(request);
      },
    };
    const own = await install(request, { path: pathname, isSecure: protocol === "https:", port });
    const end = () => {
      headersSent = true;
      off();
      over.abort(new ActiveSessionError("SESSION_ENDED", "The request is over"));
    };
    const finish = (response: Response) => {
      end();
      return withCookies(response, cookies);
    };
    return { own, finish, fail: end };
  };
}

/** The headers of a response that came from elsewhere (`fetch`, `Response.redirect`) cannot be changed. */
function withCookies(response: Response, cookies: readonly string[]): Response {
  if (cookies.length === 0) return response;
  const own = new Response(response.body, response);
  for (const cookie of cookies) own.headers.append("Set-Cookie", cookie);
  return own;
}

/**
 * Answers a request to a path below the place where runners are served; `undefined` if that is not a runner's address.
 * @throws `NOT_INSTALLED`, and what is no fault of the request
 */
export async function webAnswerFor(
  handle: RunnerHandler,
  sessions: unknown,
  path: string,
  request: object,
  web: Request,
): Promise<Response | undefined> {
  const { pathname, searchParams, host } = new URL(web.url);
  const address = addressOf(path, web.method, pathname === "/");
  if (!address) return undefined;
  const own = installedFor(request, sessions);
  const wire = await handle({
    ...{ method: web.method, ...address, query: searchParams, identity: own.identity },
    headers: { host, ...Object.fromEntries(web.headers) }, // where the version of HTTP has no such header, the address has it
    signal: web.signal,
    findSession: () => own.find(),
    openSession: () => own.session,
    readBody: (limit) => readWebBody(web, limit),
  });
  return toResponse(wire);
}

async function readWebBody(web: Request, limit: number): Promise<RequestBody> {
  if (web.body === null) return { text: "" };
  checkEncoding(web.headers.get("content-encoding") ?? undefined);
  const reader = web.body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  try {
    for (let step = await reader.read(); !step.done; step = await reader.read()) {
      size += step.value.length;
      if (size > limit) {
        const message = `Cannot read the body: it must not have more than ${limit} bytes, received more`;
        throw new ActiveSessionError("PAYLOAD_TOO_LARGE", message);
      }
      text += decoder.decode(step.value, { stream: true });
    }
    return { text: text + decoder.decode() };
  } finally {
    reader.cancel().catch(noop); // what is left of it nobody reads
  }
}

/** Statuses that may not have a body, not even an empty one. */
const bodiless = [204, 304];

function toResponse({ status, headers, body, ended }: WireResponse): Response {
  if (typeof body !== "object")
    return new Response(bodiless.includes(status) ? null : (body ?? null), { status, headers });
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
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        off = onAbort(ended, () => {
          void parts.return?.();
          controller.close();
        });
      },
      async pull(controller) {
        const { done, value } = await parts.next();
        if (ended?.aborted && done) return;
        if (!done) controller.enqueue(encoder.encode(value));
        else {
          off();
          controller.close();
        }
      },
      async cancel() {
        off();
        await parts.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
