/**
 * The adapter for Hono 4: `activeSession` gives each context its client's session as `c.var.activeSession`, `runnerRouter` serves
 * the runners of that client.
 */
import type { Context, MiddlewareHandler } from "hono";
import type { FrameworkSession } from "./http/client-identity.js";
import { sessionOfStore } from "./http/framework-session.js";
import { checkHost, type IdentityOptions, installed } from "./http/middleware.js";
import { below, mountOf } from "./http/path.js";
import { commonHeaders, exposedName, mergeExposed } from "./http/request-context.js";
import { createRunnerHandler, type RunnerRouterOptions } from "./http/router.js";
import { webAnswerFor, webInstaller } from "./http/web/request.js";
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

/** What `activeSession` adds to a context, for `new Hono<ActiveSessionEnv>()`. */
export interface ActiveSessionEnv<Services = unknown> {
  Variables: {
    /**
     * The live session of the request's client, made at the first access.
     * Throws `IDENTITY_TOO_LATE` if it needs a cookie and the response has been sent, `HOST_CLOSED` while draining.
     */
    readonly activeSession: ActiveSession<Services>;
  };
}

/** Options of {@link activeSession}. Behind a proxy that ends TLS, set `cookie.secure`. */
export interface ActiveSessionOptions extends IdentityOptions<Context> {}

/** The session that `hono-sessions` puts into a context; asked for no more than is needed. */
interface SessionStore {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
}

function frameworkSession(context: Context): FrameworkSession | undefined {
  const session = context.get("session") as Partial<SessionStore> | undefined;
  if (typeof session?.get !== "function" || typeof session.set !== "function") return undefined;
  const { get, set } = session as SessionStore;
  return sessionOfStore(session, {
    read: (name) => get.call(session, name),
    write: (...entry) => set.call(session, ...entry),
  });
}

/**
 * Gives every context its client's session as `c.var.activeSession`. The session is made at the first access, never for a request
 * that does not ask for it; only then a cookie is set, or the session of `hono-sessions` written to.
 * @example
 * const app = new Hono<ActiveSessionEnv>();
 * app.use(activeSession(sessions));
 * @throws `INVALID_OPTION`. The middleware throws what `identify` throws, and `INVALID_IDENTITY`.
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
        context.res = undefined; // or the headers of the former one would replace its own
        context.res = response;
      }
    } finally {
      port.end();
    }
  };
}

/** Marks a context whose answer is that of a runner. */
const isOfRunner = Symbol("answer of a runner");

/** Hono lets headers that were set before, by its `cors` say, replace those of a response: ours are exposed all the same. */
function exposeOwn(headers: Headers): void {
  const merged = commonHeaders();
  mergeExposed(merged, headers.get(exposedName));
  headers.set(exposedName, merged[exposedName]!);
}

/** Made out here: within the middleware, which is async, it would slow every use of a session down. */
function withSession<Get extends Context["get"]>(context: Context, get: Get): Get {
  return ((name: never) => (name === "activeSession" ? sessionOf(context) : get(name))) as Get;
}

/** A context's variables. Hono's own are values; this one is made when it is looked at. */
class SessionVariables {
  readonly #context: Context;

  constructor(context: Context) {
    this.#context = context;
  }

  get activeSession(): unknown {
    return sessionOf(this.#context);
  }
}

const lazyVariables: PropertyDescriptor & ThisType<Context> = {
  configurable: true,
  get() {
    return Object.assign(new SessionVariables(this), Reflect.get(Object.getPrototypeOf(this), "var", this));
  },
};

function sessionOf(context: object): unknown {
  return installed(context, "use the session").session;
}

/**
 * Serves the runners of the request's client: pages, long-poll, SSE, acknowledgement, state, abort, removal, and creation of what
 * is exposed. Mount it behind {@link activeSession}: `app.use("/runners/*", runnerRouter(sessions, { path: "/runners" }))`.
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
    const own = below(mount, new URL(context.req.url).pathname); // Hono's own path has been decoded
    const response =
      own && (await webAnswerFor(handle, sessions, own, context, context.req.raw, () => context.req.text()));
    if (!response) return next();
    Object.assign(context, { [isOfRunner]: true });
    return response;
  };
}
