/**
 * The adapter for Express 5 (and 4.18): `activeSession` gives each request its client's session, `runnerRouter` serves the
 * runners of that client to whoever reads on.
 */
import type { Request, RequestHandler, Response } from "express";
import { checkFunction, checkOptions } from "./base/check.js";
import { ActiveSessionError, describe } from "./base/error.js";
import { type CookieOptions, checkCookieOptions, createCookieValue, SessionCookie } from "./http/cookie.js";
import { createRunnerHandler, type RunnerRouterOptions } from "./http/handler.js";
import { ConnectionSignal, writeResponse } from "./http/node-response.js";
import type { ActiveSession } from "./session/active-session.js";
import { ActiveSessions } from "./session/active-sessions.js";
import { type TaggedIdentity, tagIdentity } from "./session/identity.js";

export type { CookieOptions } from "./http/cookie.js";
export type { RunnerRouterOptions } from "./http/handler.js";

declare global {
  namespace Express {
    interface Request {
      /**
       * The live session of the request's client, made at the first access; installed by `activeSession`.
       * Throws `IDENTITY_TOO_LATE` if it needs a cookie and the headers have been sent, `HOST_CLOSED` while draining.
       */
      readonly activeSession: ActiveSession<ActiveSessionServices>;
    }

    /** What `activeSession.services` is, for an application that says so by adding to this interface. */
    interface ActiveSessionServices {}
  }
}

/** Options of {@link activeSession}. */
export interface ActiveSessionMiddlewareOptions {
  /**
   * The application's own id of the user who makes the request, `undefined` or `null` for none; may be async. Without it, or
   * when it gives none, the session belongs to a cookie. Anything but a non-empty string is refused with `INVALID_IDENTITY`.
   */
  readonly identify?: ((request: Request) => unknown) | undefined;
  /** How the session cookie is set. */
  readonly cookie?: CookieOptions | undefined;
}

/** What the middleware knows of a request. */
class RequestSession {
  readonly #sessions: ActiveSessions;
  readonly #request: Request;
  readonly #response: Response;
  readonly #cookie: SessionCookie;
  #identity: TaggedIdentity | undefined;
  #session: ActiveSession | undefined;

  constructor(sessions: ActiveSessions, request: Request, response: Response, user: unknown, cookie: CookieOptions) {
    this.#sessions = sessions;
    this.#request = request;
    this.#response = response;
    this.#cookie = new SessionCookie(cookie, request.secure);
    this.#identity = user === undefined || user === null ? this.#readCookie() : tagIdentity("user", user);
  }

  get sessions(): ActiveSessions {
    return this.#sessions;
  }

  /** Who makes the request, as far as is known. */
  get identity(): TaggedIdentity | undefined {
    return this.#identity;
  }

  /** The live session. One that was terminated stays this request's session: nothing is started anew behind a logout. */
  get session(): ActiveSession {
    if (this.#session?.endReason === "session-ended") return this.#session;
    this.#identity ??= this.#issueCookie();
    this.#session = this.#sessions.obtain(this.#identity, undefined);
    return this.#session;
  }

  #readCookie(): TaggedIdentity | undefined {
    const value = this.#cookie.read(this.#request.headers.cookie);
    return value === undefined ? undefined : tagIdentity("cookie", value);
  }

  #issueCookie(): TaggedIdentity {
    if (this.#response.headersSent) {
      throw new ActiveSessionError(
        "IDENTITY_TOO_LATE",
        "Cannot create a session: its cookie must be set before the headers are sent, received a response under way",
      );
    }
    const value = createCookieValue();
    this.#response.append("Set-Cookie", this.#cookie.serialize(value));
    return tagIdentity("cookie", value);
  }
}

const requestSessions = new WeakMap<Request, RequestSession>();

/**
 * Gives every request its client's session as `req.activeSession`. The session is made at the first access, never for a
 * request that does not ask for it; only then a cookie is set.
 * @example
 * const sessions = createActiveSessions();
 * app.use(activeSession(sessions));
 * @throws `INVALID_OPTION`. The middleware passes on what `identify` throws, and `INVALID_IDENTITY`.
 */
export function activeSession<Services>(
  sessions: ActiveSessions<Services>,
  options: ActiveSessionMiddlewareOptions = {},
): RequestHandler {
  checkHost("install active sessions", sessions);
  checkOptions("install active sessions", options, ["identify", "cookie"]);
  checkFunction("install active sessions", "identify", options.identify);
  const { identify, cookie = {} } = options;
  checkCookieOptions(cookie);
  const install = (request: Request, response: Response, user: unknown) => {
    const own = new RequestSession(sessions, request, response, user, cookie);
    requestSessions.set(request, own);
    Object.defineProperty(request, "activeSession", { configurable: true, get: () => own.session });
  };
  return (request, response, next) => {
    const installed = async () => install(request, response, await identify?.(request));
    installed().then(
      () => next(),
      (error: unknown) => next(toError(error)),
    );
  };
}

/**
 * Serves the runners of the request's client: pages, long-poll, SSE, acknowledgement, state, abort, removal. It finds runners
 * and never creates a session. Mount it behind {@link activeSession}: `app.use("/runners", runnerRouter(sessions))`.
 * @throws `INVALID_OPTION`. A request that did not pass `activeSession` is passed on with `NOT_INSTALLED`.
 */
export function runnerRouter<Services>(
  sessions: ActiveSessions<Services>,
  options: RunnerRouterOptions = {},
): RequestHandler {
  checkHost("serve runners", sessions);
  const handle = createRunnerHandler(sessions, options);
  return (request, response, next) => {
    const [, key, action, ...rest] = request.path.split("/");
    if (!key || action === "" || rest.length > 0) {
      next();
      return;
    }
    const serve = async () => {
      const connection = new ConnectionSignal(response);
      const wire = await handle({
        method: request.method,
        key,
        action,
        query: queryOf(request.url),
        headers: request.headers,
        identity: identityOf(request, sessions),
        get signal() {
          return connection.signal;
        },
      });
      await writeResponse(response, wire);
    };
    serve().catch((error: unknown) => next(toError(error))); // Express 4 does not look at promises
  };
}

/** The query as it came: Express's own has been through a parser that makes objects of it. */
function queryOf(url: string): URLSearchParams {
  const mark = url.indexOf("?");
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark));
}

/** Express takes nothing and some texts ("route") for no error at all. */
function toError(thrown: unknown): unknown {
  return typeof thrown === "object" && thrown !== null ? thrown : new Error("Something was thrown", { cause: thrown });
}

function identityOf(request: Request, sessions: ActiveSessions): TaggedIdentity | undefined {
  const own = requestSessions.get(request);
  if (own?.sessions === sessions) return own.identity;
  throw new ActiveSessionError(
    "NOT_INSTALLED",
    `Cannot serve runners: the request must have passed activeSession with the same host, received ${own ? "another host" : "none"}`,
  );
}

function checkHost(action: string, sessions: unknown): void {
  if (sessions instanceof ActiveSessions) return;
  throw new ActiveSessionError(
    "INVALID_OPTION",
    `Cannot ${action}: sessions must come from createActiveSessions, received ${describe(sessions)}`,
  );
}
