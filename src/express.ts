/** The adapter for Express 4.18 and 5. */
import type { Request, RequestHandler } from "express";
import { isBroughtBack } from "./http/framework-session.js";
import { checkHost, givePrototypeProperty, type IdentityOptions } from "./http/middleware.js";
import { serveRunner, sessionInstaller, toError } from "./http/node/request.js";
import type { FrameworkSession } from "./http/request-port.js";
import { createRunnerHandler, type RunnerRouterOptions } from "./http/router.js";
import type { ActiveSession } from "./session/active-session.js";
import type { ActiveSessions } from "./session/active-sessions.js";

export * from "./http/adapter-exports.js";
export type { RunnerRouterOptions } from "./http/router.js";

declare global {
  namespace Express {
    interface Request {
      /**
       * The live session of the request's client, created at first access; defined by the middleware `activeSession`.
       * @throws `IDENTITY_TOO_LATE` if it needs a cookie and the headers have been sent, `HOST_CLOSED` while draining,
       *   `NOT_INSTALLED`, `OUT_OF_SCOPE`, `NO_IDENTITY`, `IDENTITY_PENDING`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
       */
      readonly activeSession: ActiveSession<ActiveSessionServices>;
    }

    /** Type of `activeSession.services`. Applications add their members by declaration merging. */
    interface ActiveSessionServices {}
  }
}

/**
 * Options of {@link activeSession}. Behind a proxy that terminates TLS, set Express's `trust proxy` or `cookie.secure`: otherwise the
 * cookie is not `Secure`.
 */
export interface ActiveSessionMiddlewareOptions extends IdentityOptions<Request> {}

/** A request with the properties that `express-session` adds, reduced to what is used here. */
interface SessionedRequest {
  readonly headers: { readonly cookie?: string | undefined };
  readonly sessionID?: unknown;
  readonly session?: { save?: (callback: (error?: unknown) => void) => void; activeSession?: unknown } | null;
}

/** Written into new sessions: with `saveUninitialized: false`, a session without data is not stored. */
const mark = true;

/**
 * The session of `express-session`, identified by its own id. One that was stored before is not written to: a slow request would
 * overwrite a concurrent one.
 */
function frameworkSession({ headers, sessionID, session }: SessionedRequest): FrameworkSession | undefined {
  if (typeof sessionID !== "string" || typeof session?.save !== "function") return undefined;
  const wasKept = isBroughtBack(sessionID, headers.cookie);
  return {
    id: sessionID,
    isMarked: session.activeSession === mark || wasKept,
    // Without `renew`: the id is the framework's, so the application regenerates it within `rotateSession`.
    markAndSave: async () => {
      if (wasKept) return;
      session.activeSession = mark;
      await new Promise<void>((resolve, reject) => session.save?.((error) => (error ? reject(error) : resolve())));
    },
  };
}

/**
 * The host of `X-Forwarded-Host`, if the application trusts the proxy. Read here, since Express 4 offers it without its port only.
 */
function forwardedHost(request: Request): string | undefined {
  const forwarded = request.get("X-Forwarded-Host")?.split(",")[0]?.trim();
  const trusts = request.app.get("trust proxy fn") as
    | ((address: string | undefined, hop: number) => boolean)
    | undefined;
  return forwarded && trusts?.(request.socket.remoteAddress, 0) ? forwarded : undefined;
}

/**
 * Makes the middleware that attaches the client's session to each request as `req.activeSession`. The session is created at first
 * access, not for requests that do not use it; only then a cookie is set, or the session of `express-session` marked and saved.
 *
 * Use it in front of the routes, and behind `express-session` if there is one: the active session then belongs to that session, by
 * `req.sessionID`, and no cookie of ours is set.
 * @example
 * const sessions = createActiveSessions();
 * app.use(activeSession(sessions));
 * @throws `INVALID_OPTION`. The middleware passes errors of `identify`, and `INVALID_IDENTITY`, to the error handler.
 */
export function activeSession<Services>(
  sessions: ActiveSessions<Services>,
  options: ActiveSessionMiddlewareOptions = {},
): RequestHandler {
  const install = sessionInstaller<Request>(sessions, options, {
    isSecure: (request) => request.secure,
    hostOf: forwardedHost,
    urlOf: (request) => request.originalUrl,
    frameworkSession,
    holderOf: ({ rawHeaders }) => rawHeaders, // Express changes the prototype of requests, which makes writing to them slow
  });
  return (request, response, next) => {
    givePrototypeProperty(request);
    const pending = install(request, request, response);
    if (pending === undefined) return next();
    pending.then(
      () => next(),
      (error: unknown) => next(toError(error)), // Express 4 ignores returned promises
    );
  };
}

/**
 * Makes the middleware that serves the client's runners: pages, long-poll, SSE, acknowledgement, state, abort, removal, and creation
 * of what is exposed. Reading never creates a session. Mount it behind {@link activeSession}, with the same host.
 * @example
 * app.use("/runners", runnerRouter(sessions));
 * @param sessions the host that {@link activeSession} was given
 * @throws `INVALID_OPTION`. For a request that did not pass `activeSession`, `NOT_INSTALLED` goes to the error handler.
 */
export function runnerRouter<Services>(
  sessions: ActiveSessions<Services>,
  options: RunnerRouterOptions = {},
): RequestHandler {
  checkHost("serve runners", sessions);
  const handle = createRunnerHandler(sessions, options);
  return (request, response, next) => {
    serveRunner(handle, sessions, request.path, request, response).then(
      (isServed) => isServed || next(), // other paths below the mount belong to the application
      (error: unknown) => next(toError(error)),
    );
  };
}
