/** What the adapters for `node:http`, and for the frameworks that stand on it, share: installing a session, serving runners. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ActiveSessions } from "../session/active-sessions.js";
import { addressOf } from "./address.js";
import type { WireResponse } from "./exchange.js";
import type { RunnerHandler } from "./handler.js";
import { createInstaller, type IdentityOptions, installedFor, pathOf, queryOf } from "./install.js";
import { readBody } from "./node-body.js";
import { ConnectionSignal, writeResponse } from "./node-response.js";
import type { FrameworkSession } from "./request-session.js";

/** What is particular to a framework's requests. */
export interface NodeFramework<Request> {
  isSecure(request: Request): boolean;
  /** The whole address, wherever in the application the request is handled. */
  urlOf(request: Request): string;
  frameworkSession(request: Request): FrameworkSession | undefined;
}

/**
 * Makes the function that gives a framework's request its `activeSession`; the other two are what it stands on.
 * Throws `INVALID_OPTION`.
 */
export function sessionInstaller<Request extends object, Services>(
  sessions: ActiveSessions<Services>,
  options: IdentityOptions<Request>,
  framework: NodeFramework<Request>,
): (request: Request, raw: IncomingMessage, response: ServerResponse) => Promise<void> {
  const install = createInstaller(sessions, options);
  return async (request, raw, response) => {
    const connection = new ConnectionSignal(response);
    const port = {
      cookies: raw.headers.cookie,
      get headersSent() {
        return response.headersSent;
      },
      setCookie: (header: string) => void response.appendHeader("Set-Cookie", header),
      get signal() {
        return connection.signal;
      },
      onOver: (callback: () => void) => {
        // That of HTTP/2 has no `closed`.
        if (response.closed || response.writableFinished) callback();
        else response.once("close", callback);
      },
      get frameworkSession() {
        return framework.frameworkSession(request);
      },
    };
    const path = pathOf(framework.urlOf(request));
    const own = await install(request, { path, isSecure: framework.isSecure(request), port });
    Object.defineProperty(request, "activeSession", { configurable: true, get: () => own.session });
  };
}

/**
 * Answers a request to a path below the place where runners are served.
 * @param path the rest of the path, from its slash on
 * @returns the answer, not yet written; `undefined` if that is not a runner's address: then nothing has been done
 * @throws `NOT_INSTALLED`, and what is no fault of the request
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
  const address = addressOf(path, method, pathOf(raw.originalUrl ?? raw.url ?? "") === "/");
  if (!address) return undefined;
  const own = installedFor(request, sessions);
  const connection = new ConnectionSignal(response);
  const wire = await handle({
    ...{ method, ...address },
    query: queryOf(raw.url ?? ""),
    headers: raw.headers,
    identity: own.identity,
    get signal() {
      return connection.signal;
    },
    findSession: () => own.find(),
    openSession: () => own.session,
    readBody: (limit) => readBody(raw, limit),
  });
  if (wire.status === 413) response.shouldKeepAlive = false; // the rest of the body is not waited for
  return wire;
}

/** As {@link answerFor}, and writes the answer; returns whether there was one. */
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
