/**
 * The adapter for Koa: `activeSession` gives each context its client's session as `ctx.activeSession`, `runnerRouter` serves the
 * runners of that client. Where `koa-session` stands before them, the session belongs to its session.
 */
import type { Context, Middleware } from "koa";
import type { FrameworkSession } from "./http/client-identity.js";
import { sessionOfStore } from "./http/framework-session.js";
import { checkHost, givePrototypeProperty, type IdentityOptions } from "./http/middleware.js";
import { answerFor, sessionInstaller } from "./http/node/request.js";
import { streamOfParts } from "./http/node/stream.js";
import { below, mountOf } from "./http/path.js";
import { exposedName, mergeExposed } from "./http/request-context.js";
import { createRunnerHandler, type RunnerRouterOptions as HandlerOptions } from "./http/router.js";
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
export type { Scope } from "./http/scopes.js";

/** What `activeSession` adds to a context, for `new Koa<DefaultState, ActiveSessionContext>()`. */
export interface ActiveSessionContext<Services = unknown> {
  /**
   * The live session of the request's client, made at the first access.
   * Throws `IDENTITY_TOO_LATE` if it needs a cookie and the headers have been sent, `HOST_CLOSED` while draining.
   */
  readonly activeSession: ActiveSession<Services>;
}

/** Options of {@link activeSession}. Behind a proxy that ends TLS, set `app.proxy` or `cookie.secure`. */
export interface ActiveSessionOptions extends IdentityOptions<Context> {}

/** Options of {@link runnerRouter}. */
export interface RunnerRouterOptions extends HandlerOptions {
  /** The path below which runners are served. Default: `/runners`. */
  readonly path?: string | undefined;
}

/** The session of `koa-session`: data that it keeps, and no id; `null` once it was ended. */
function frameworkSession({ session }: Context & { session?: unknown }): FrameworkSession | undefined {
  if (typeof session !== "object" || session === null) return undefined;
  const data = session as Record<string, unknown> & { readonly isNew?: boolean; readonly externalKey?: unknown };
  const { isNew, externalKey } = data; // with a store on the server
  const idOfKept = typeof externalKey === "string" && isNew === false ? externalKey : undefined;
  const store = {
    read: (name: string) => data[name],
    write: (name: string, value: string) => {
      data[name] = value;
    },
  };
  return sessionOfStore(session, store, idOfKept);
}

/**
 * Gives every context its client's session as `ctx.activeSession`. The session is made at the first access, never for a request that
 * does not ask for it; only then a cookie is set, or the session of `koa-session` written to.
 * @example
 * app.use(activeSession(sessions));
 * @throws `INVALID_OPTION`. The middleware throws what `identify` throws, and `INVALID_IDENTITY`.
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
 * Serves the runners of the context's client: pages, long-poll, SSE, acknowledgement, state, abort, removal, and creation of what is
 * exposed. Use it behind {@link activeSession}: `app.use(runnerRouter(sessions))`.
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
    const request = Object.assign(context.req, { body: (context.request as { body?: unknown }).body });
    const wire = rest && (await answerFor(handle, sessions, rest, context, request, context.res));
    if (!wire) return next();
    const { status, headers, body = null, ended } = wire;
    mergeExposed(headers, context.response.get(exposedName));
    context.set({ ...headers });
    context.status = status;
    context.body = typeof body === "object" && body ? streamOfParts(body, ended, context.res) : body;
    context.status = status; // a body that is null would make it 204
  };
}
