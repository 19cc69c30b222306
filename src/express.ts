/**
 * The adapter for Express 5 (and 4.18): `activeSession` gives each request its client's session, `runnerRouter` serves the
 * runners of that client to whoever reads on. Where `express-session` stands before them, the session belongs to its session.
 */
import type { Request, RequestHandler } from "express";
import type { FrameworkSession } from "./http/client-identity.js";
import { noteKept, wasKept } from "./http/framework-session.js";
import { checkHost, givePrototypeProperty, type IdentityOptions } from "./http/middleware.js";
import { serveRunner, sessionInstaller } from "./http/node/request.js";
import { createRunnerHandler, type RunnerRouterOptions } from "./http/router.js";
import type { ActiveSession } from "./session/active-session.js";
import type { ActiveSessions } from "./session/host.js";

export type { CookieOptions } from "./http/cookie.js";
export {
  type RotateOptions,
  refreshSession,
  requestSignal,
  resolveIdentity,
  rotateSession,
} from "./http/middleware.js";
export type { RunnerRouterOptions } from "./http/router.js";
export type { Scope } from "./http/scopes.js";

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
export interface ActiveSessionMiddlewareOptions extends IdentityOptions<Request> {}

/** What `express-session` adds to a request; asked for no more than is needed. */
interface SessionedRequest {
  readonly sessionID?: unknown;
  readonly session?: { save?: (callback: (error?: unknown) => void) => void; activeSession?: unknown } | null;
}

/** The mark: a new session that nobody has written to is not kept (`saveUninitialized: false`). */
const mark = true;

function frameworkSession({ sessionID, session }: SessionedRequest): FrameworkSession | undefined {
  if (typeof sessionID !== "string" || typeof session?.save !== "function") return undefined;
  return {
    id: sessionID,
    isMarked: session.activeSession === mark || wasKept(session),
    markAndSave: async () => {
      if (wasKept(session)) return;
      session.activeSession = mark;
      await new Promise<void>((resolve, reject) => session.save?.((error) => (error ? reject(error) : resolve())));
    },
  };
}

/** Express 4 gives the name without its port, so what it trusts is asked here. */
function forwardedHost(request: Request): string | undefined {
  const forwarded = request.get("X-Forwarded-Host")?.split(",")[0]?.trim();
  const trusts = request.app.get("trust proxy fn") as
    | ((address: string | undefined, hop: number) => boolean)
    | undefined;
  return forwarded && trusts?.(request.socket.remoteAddress, 0) ? forwarded : undefined;
}

/**
 * Gives every request its client's session as `req.activeSession`. The session is made at the first access, never for a
 * request that does not ask for it; only then a cookie is set, or the session of `express-session` marked and saved.
 * @example
 * const sessions = createActiveSessions();
 * app.use(activeSession(sessions));
 * @throws `INVALID_OPTION`. The middleware passes on what `identify` throws, and `INVALID_IDENTITY`.
 */
export function activeSession<Services>(
  sessions: ActiveSessions<Services>,
  options: ActiveSessionMiddlewareOptions = {},
): RequestHandler {
  const install = sessionInstaller<Request>(sessions, options, {
    isSecure: (request) => request.secure,
    hostOf: forwardedHost,
    urlOf: (request) => request.originalUrl,
    frameworkSession: (request) => frameworkSession(request as SessionedRequest),
    holderOf: ({ rawHeaders }) => rawHeaders, // Express gives each request and response another prototype
  });
  return (request, response, next) => {
    givePrototypeProperty(request);
    noteKept((request as SessionedRequest).session);
    const pending = install(request, request, response);
    if (pending === undefined) return next();
    pending.then(
      () => next(),
      (error: unknown) => next(toError(error)), // Express 4 does not look at promises
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
    serveRunner(handle, sessions, request.path, request, response).then(
      (isServed) => isServed || next(),
      (error: unknown) => next(toError(error)),
    );
  };
}

/** Express takes nothing and some texts ("route") for no error at all. */
function toError(thrown: unknown): unknown {
  return typeof thrown === "object" && thrown !== null ? thrown : new Error("Something was thrown", { cause: thrown });
}
