/** The adapter for Koa 2.15 and 3. */
import type { Context, Middleware } from "koa";
import { sessionOfStore } from "./http/framework-session.js";
import { checkHost, givePrototypeProperty, type IdentityOptions } from "./http/middleware.js";
import { answerFor, sessionInstaller } from "./http/node/request.js";
import { streamOfParts } from "./http/node/stream.js";
import { below, mountOf } from "./http/path.js";
import type { FrameworkSession } from "./http/request-port.js";
import { createRunnerHandler, type RunnerRouterOptions as HandlerOptions } from "./http/router.js";
import { exposedName, mergeExposed } from "./http/wire-response.js";
import type { ActiveSession } from "./session/active-session.js";
import type { ActiveSessions } from "./session/active-sessions.js";

export * from "./http/adapter-exports.js";

/**
 * The property that `activeSession` adds to a context, for `new Koa<DefaultState, ActiveSessionContext>()`.
 * @typeParam Services type of `activeSession.services`
 */
export interface ActiveSessionContext<Services = unknown> {
  /**
   * The live session of the request's client, created at first access.
   * @throws `IDENTITY_TOO_LATE` if it needs a cookie and the headers have been sent, `HOST_CLOSED` while draining,
   *   `OUT_OF_SCOPE`, `NO_IDENTITY`, `IDENTITY_PENDING`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  readonly activeSession: ActiveSession<Services>;
}

/** Options of {@link activeSession}. Behind a proxy that terminates TLS, set `app.proxy` or `cookie.secure`. */
export interface ActiveSessionOptions extends IdentityOptions<Context> {}

/** Options of {@link runnerRouter}. */
export interface RunnerRouterOptions extends HandlerOptions {
  /** The path below which runners are served. Default: `/runners`. */
  readonly path?: string | undefined;
}

/**
 * The session of `koa-session`, identified by an id of ours among its data. The key of a store would not do: it survives the assignment of
 * new data (`ctx.session = {…}`) at a login. `null` once it was ended.
 */
function frameworkSession({ session }: Context & { session?: unknown }): FrameworkSession | undefined {
  if (typeof session !== "object" || session === null) return undefined;
  const data = session as Record<string, unknown>;
  return sessionOfStore(session, {
    read: (name) => data[name],
    write: (name, value) => {
      data[name] = value;
    },
  });
}

/**
 * Makes the middleware that attaches the client's session to each context as `ctx.activeSession`. The session is created at first
 * access, not for requests that do not use it; only then a cookie is set, or the session of `koa-session` written to. Use it behind
 * `koa-session` if there is one: the active session then belongs to that session.
 * @example
 * app.use(activeSession(sessions));
 * @throws `INVALID_OPTION`. The middleware throws errors of `identify`, and `INVALID_IDENTITY`.
 */
export function activeSession<Services>(
  sessions: ActiveSessions<Services>,
  options: ActiveSessionOptions = {},
): Middleware<object, ActiveSessionContext<Services>> {
  const install = sessionInstaller<Context>(sessions, options, {
    isSecure: ({ secure }) => secure,
    hostOf: ({ host }) => host || undefined,
    urlOf: ({ originalUrl }) => originalUrl,
    frameworkSession,
  });
  return (context, next) => {
    givePrototypeProperty(context);
    const pending = install(context as never, context.req, context.res);
    return pending === undefined ? next() : pending.then(() => next());
  };
}

/**
 * Makes the middleware that serves the client's runners: pages, long-poll, SSE, acknowledgement, state, abort, removal, and creation
 * of what is exposed. Reading never creates a session. Use it behind {@link activeSession}, with the same host.
 * @example
 * app.use(runnerRouter(sessions));
 * @throws `INVALID_OPTION`. A context that did not pass `activeSession` fails with `NOT_INSTALLED`.
 */
export function runnerRouter<Services>(
  sessions: ActiveSessions<Services>,
  { path = "/runners", ...options }: RunnerRouterOptions = {},
): Middleware {
  checkHost("serve runners", sessions);
  const mount = mountOf(path);
  const handle = createRunnerHandler(sessions, options);
  return async (context, next) => {
    const rest = below(mount, context.path);
    // A body parser keeps its result on Koa's request, and `answerFor` looks for it on Node's.
    const request = Object.assign(context.req, { body: (context.request as { body?: unknown }).body });
    const wire = rest && (await answerFor(handle, sessions, rest, context, request, context.res));
    if (!wire) return next();
    const { status, headers, body = null, ended } = wire;
    mergeExposed(headers, context.response.get(exposedName));
    context.set({ ...headers });
    context.status = status;
    if (typeof body === "object" && body) {
      context.body = streamOfParts(body, ended, context.res);
      ignoreDisconnects(context);
    } else context.body = body;
    context.status = status; // again: setting the body to null makes it 204
  };
}

/** Koa 3 reports a client that leaves an event stream as an error of the application: its pipeline has ended early. */
function ignoreDisconnects(context: Context): void {
  const { onerror } = context;
  context.onerror = (error) => {
    if ((error as NodeJS.ErrnoException | null)?.code !== "ERR_STREAM_PREMATURE_CLOSE") onerror.call(context, error);
  };
}
