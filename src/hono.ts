/** The adapter for Hono 4. */
import type { Context, MiddlewareHandler } from "hono";
import { sessionOfStore } from "./http/framework-session.js";
import { checkHost, type IdentityOptions, installed } from "./http/middleware.js";
import { below, mountOf } from "./http/path.js";
import type { FrameworkSession } from "./http/request-port.js";
import { createRunnerHandler, type RunnerRouterOptions } from "./http/router.js";
import { webAnswerFor, webInstaller } from "./http/web/request.js";
import { commonHeaders, exposedName, mergeExposed } from "./http/wire-response.js";
import type { ActiveSession } from "./session/active-session.js";
import type { ActiveSessions } from "./session/active-sessions.js";

export * from "./http/adapter-exports.js";
export type { RunnerRouterOptions } from "./http/router.js";

/**
 * The variables that `activeSession` adds to a context, for `new Hono<ActiveSessionEnv>()`.
 * @typeParam Services type of `activeSession.services`
 */
export interface ActiveSessionEnv<Services = unknown> {
  /** Read as `c.var.activeSession` or `c.get("activeSession")`. */
  Variables: {
    /**
     * The live session of the request's client, created at first access.
     * @throws `IDENTITY_TOO_LATE` if it needs a cookie and the response has been sent, `HOST_CLOSED` while draining,
     *   `OUT_OF_SCOPE`, `NO_IDENTITY`, `IDENTITY_PENDING`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
     */
    readonly activeSession: ActiveSession<Services>;
  };
}

/** Options of {@link activeSession}. Behind a proxy that terminates TLS, set `cookie.secure`. */
export interface ActiveSessionOptions extends IdentityOptions<Context> {}

/** The session that `hono-sessions` puts into a context, reduced to what is used here. */
interface SessionStore {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
}

/** The session of `hono-sessions`. It has no id to rely on, so one of ours is stored among its data. */
function frameworkSession(context: Context): FrameworkSession | undefined {
  const session = context.get("session") as Partial<SessionStore> | undefined;
  if (typeof session?.get !== "function" || typeof session.set !== "function") return undefined;
  // Called on the session below: `hono-sessions` gives an instance of a class.
  const { get, set } = session as SessionStore;
  return sessionOfStore(session, {
    read: (name) => get.call(session, name),
    write: (...entry) => set.call(session, ...entry),
  });
}

/**
 * Makes the middleware that attaches the client's session to each context as `c.var.activeSession`. The session is created at first
 * access, not for requests that do not use it; only then a cookie is set, or the session of `hono-sessions` written to. Use it behind
 * `hono-sessions` if there is one: the active session then belongs to that session.
 * @example
 * const app = new Hono<ActiveSessionEnv>();
 * app.use(activeSession(sessions));
 * @throws `INVALID_OPTION`. The middleware throws errors of `identify`, and `INVALID_IDENTITY`.
 */
export function activeSession<Services>(
  sessions: ActiveSessions<Services>,
  options: ActiveSessionOptions = {},
): MiddlewareHandler<ActiveSessionEnv<Services>> {
  const install = webInstaller<Context>(sessions, options, frameworkSession);
  return async (context, next) => {
    const { port, pending } = install(context, context.req.raw, context.env);
    if (pending !== undefined) await pending;
    Object.defineProperty(context, "var", lazyVariables);
    context.get = withSession(context, context.get);
    try {
      await next();
      const { res } = context;
      if (isOfRunner in context) exposeOwn(res.headers);
      const response = port.finish(res);
      if (response !== res) {
        context.res = undefined; // otherwise Hono copies headers of the former response over
        context.res = response;
      }
    } finally {
      // Also if a handler failed: the request's signal aborts, and the session is not counted as in use any more.
      port.end();
    }
  };
}

/** Marks contexts whose response comes from {@link runnerRouter}; on the context, because `c.res` may be replaced by middleware. */
const isOfRunner = Symbol("answer of a runner");

/**
 * Adds our headers to `Access-Control-Expose-Headers`: Hono lets headers that were set before, for example by its `cors`, replace those
 * of a response, and a page of another origin could not read the protocol's headers then.
 */
function exposeOwn(headers: Headers): void {
  const merged = commonHeaders();
  mergeExposed(merged, headers.get(exposedName));
  headers.set(exposedName, merged[exposedName]!);
}

/**
 * Wraps `context.get`, so that `get("activeSession")` is lazy. Defined outside of the async middleware: a closure made in there would
 * slow every use of a session down.
 */
function withSession<Get extends Context["get"]>(context: Context, get: Get): Get {
  return ((name: never) => (name === "activeSession" ? sessionOf(context) : get(name))) as Get;
}

/** Object behind `c.var`. Hono copies variables as plain values; `activeSession` must stay a getter, since access creates a session. */
class SessionVariables {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  get activeSession(): unknown {
    return sessionOf(this.#context);
  }
}

/** Replaces `c.var` of a context: our getter on the prototype, Hono's own variables as properties. */
const lazyVariables: PropertyDescriptor & ThisType<Context> = {
  configurable: true,
  get() {
    return Object.assign(new SessionVariables(this), Reflect.get(Object.getPrototypeOf(this), "var", this));
  },
};

/**
 * The session of a context, created if there is none.
 * @throws `NOT_INSTALLED`, and the errors of {@link ActiveSessionEnv}'s `activeSession`
 */
function sessionOf(context: object): unknown {
  return installed(context, "use the session").session;
}

/**
 * Makes the middleware that serves the client's runners: pages, long-poll, SSE, acknowledgement, state, abort, removal, and creation
 * of what is exposed. Reading never creates a session. Mount it behind {@link activeSession}, with the same host.
 * @example
 * app.use("/runners/*", runnerRouter(sessions, { path: "/runners" }));
 * @param options `path` is the full path below which runners are served, including a `basePath`. Default: `/runners`
 * @throws `INVALID_OPTION`. A request that did not pass `activeSession` fails with `NOT_INSTALLED`.
 */
export function runnerRouter<Services>(
  sessions: ActiveSessions<Services>,
  options: RunnerRouterOptions & { readonly path?: string | undefined } = {},
): MiddlewareHandler {
  checkHost("serve runners", sessions);
  const { path = "/runners", ...rest } = options;
  const mount = mountOf(path);
  const handle = createRunnerHandler(sessions, rest);
  return async (context, next) => {
    const own = below(mount, new URL(context.req.url).pathname); // `context.req.path` is decoded
    const response =
      own && (await webAnswerFor(handle, sessions, own, context, context.req.raw, () => context.req.text()));
    if (!response) return next();
    Object.assign(context, { [isOfRunner]: true });
    return response;
  };
}
