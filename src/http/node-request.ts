/** What the adapters for `node:http`, and for the frameworks that stand on it, share: installing a session, serving runners. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { checkFunction, checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";
import { ActiveSessions } from "../session/active-sessions.js";
import { type CookieOptions, checkCookieOptions, SessionCookie } from "./cookie.js";
import type { RunnerHandler } from "./handler.js";
import { readBody } from "./node-body.js";
import { ConnectionSignal, writeResponse } from "./node-response.js";
import { type FrameworkSession, RequestSession } from "./request-session.js";
import { type Scope, scopeSelector } from "./scopes.js";

/** How an adapter finds out whose request it is. */
export interface IdentityOptions<Request> {
  /**
   * The application's own id of the user who makes the request, `undefined` or `null` for none; may be async. Without it, or
   * when it gives none, the session belongs to the framework's session, else to a cookie. Anything but a non-empty string is
   * refused with `INVALID_IDENTITY`.
   */
  readonly identify?: ((request: Request) => unknown) | undefined;
  /** How the session cookie is set. */
  readonly cookie?: CookieOptions | undefined;
  /**
   * Which requests have a session, and which one, if a client is to have several. Default: every request the same one. A request
   * that no scope accepts has none: using it throws `OUT_OF_SCOPE`.
   */
  readonly scopes?: readonly Scope<Request>[] | undefined;
}

/** What is particular to a framework's requests. */
export interface NodeFramework<Request extends IncomingMessage> {
  isSecure(request: Request): boolean;
  /** The whole address, wherever in the application the request is handled. */
  urlOf(request: Request): string;
  frameworkSession(request: Request): FrameworkSession | undefined;
}

const requestSessions = new WeakMap<IncomingMessage, RequestSession>();

/** Makes the function that gives a request its `activeSession`. Throws `INVALID_OPTION`. */
export function sessionInstaller<Request extends IncomingMessage, Services>(
  sessions: ActiveSessions<Services>,
  options: IdentityOptions<Request>,
  framework: NodeFramework<Request>,
): (request: Request, response: ServerResponse) => Promise<void> {
  const action = "install active sessions";
  checkHost(action, sessions);
  checkOptions(action, options, ["identify", "cookie", "scopes"]);
  checkFunction(action, "identify", options.identify);
  const { identify, cookie = {} } = options;
  checkCookieOptions(cookie);
  const select = scopeSelector(options.scopes);
  const warn = (message: string, details: object) => sessions.warn(message, details);
  return async (request, response) => {
    const user = await identify?.(request);
    const selection = await select(request, pathOf(framework.urlOf(request)), warn);
    const connection = new ConnectionSignal(response);
    const port = {
      cookie: new SessionCookie(cookie, framework.isSecure(request)),
      cookies: request.headers.cookie,
      get headersSent() {
        return response.headersSent;
      },
      setCookie: (header: string) => void response.appendHeader("Set-Cookie", header),
      get signal() {
        return connection.signal;
      },
      onOver: (callback: () => void) => {
        if (response.closed) callback();
        else response.once("close", callback);
      },
      get frameworkSession() {
        return framework.frameworkSession(request);
      },
    };
    const own = new RequestSession(sessions, port, user, selection);
    requestSessions.set(request, own);
    Object.defineProperty(request, "activeSession", { configurable: true, get: () => own.session });
  };
}

/**
 * Answers a request to a path below the place where runners are served.
 * @param path the rest of the path, from its slash on
 * @returns false if that is not a runner's address; then nothing has been done
 * @throws `NOT_INSTALLED`, and what is no fault of the request
 */
export async function serveRunner(
  handle: RunnerHandler,
  sessions: unknown,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const [, key = "", action, ...rest] = path.split("/");
  if (action === "" || rest.length > 0 || (key === "" && !isForList(request))) return false;
  const own = requestSessionOf(request, sessions);
  const connection = new ConnectionSignal(response);
  const wire = await handle({
    method: request.method ?? "GET",
    key,
    action,
    query: queryOf(request.url ?? ""),
    headers: request.headers,
    identity: own.identity,
    get signal() {
      return connection.signal;
    },
    findSession: () => own.find(),
    openSession: () => own.session,
    readBody: (limit) => readBody(request, limit),
  });
  if (wire.status === 413) response.shouldKeepAlive = false; // the rest of the body is not waited for
  await writeResponse(response, wire);
  return true;
}

/** Where runners are served at the root of the application, its home page is not theirs. */
function isForList(request: IncomingMessage & { readonly originalUrl?: string }): boolean {
  return request.method === "GET" && pathOf(request.originalUrl ?? request.url ?? "") !== "/";
}

function pathOf(url: string): string {
  return url.split("?", 1)[0]!;
}

/**
 * Lets `request.activeSession` give the client's next session if the one that the request has used has ended.
 * @returns whether it has ended; false also if the request has not used its session
 * @throws `NOT_INSTALLED`
 */
export function refreshSession(request: IncomingMessage): boolean {
  return installed(request, "refresh the session").refresh();
}

/**
 * A signal that aborts when the request is over: its answer has been sent, or its client has gone.
 * @throws `NOT_INSTALLED`
 */
export function requestSignal(request: IncomingMessage): AbortSignal {
  return installed(request, "watch the request").signal;
}

function installed(request: IncomingMessage, action: string): RequestSession {
  const own = requestSessions.get(request);
  if (own) return own;
  const requirement = "the request must have passed activeSession(sessions) before";
  throw new ActiveSessionError("NOT_INSTALLED", `Cannot ${action}: ${requirement}, received one that did not`);
}

/** The query as it came: a framework's own may have been through a parser that makes objects of it. */
function queryOf(url: string): URLSearchParams {
  const mark = url.indexOf("?");
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark));
}

function requestSessionOf(request: IncomingMessage, sessions: unknown): RequestSession {
  const own = requestSessions.get(request);
  if (own && own.sessions === sessions) return own;
  const requirement = "the request must have passed activeSession(sessions) before, with the same host";
  const received = own ? "one that passed it with another host" : "one that did not pass it";
  throw new ActiveSessionError("NOT_INSTALLED", `Cannot serve runners: ${requirement}, received ${received}`);
}

/** Throws `INVALID_OPTION` unless `sessions` is a host. */
export function checkHost(action: string, sessions: unknown): void {
  if (sessions instanceof ActiveSessions) return;
  throw new ActiveSessionError(
    "INVALID_OPTION",
    `Cannot ${action}: sessions must come from createActiveSessions, received ${describe(sessions)}`,
  );
}
