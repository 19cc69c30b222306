/**
 * The adapter for everything that answers a web `Request` with a `Response`: route handlers of Next.js and Remix, Bun, Deno, srvx,
 * h3. `activeSession` gives a request its client's session, `runnerRouter` serves the runners of that client.
 */

import { activeSessionProperty, checkHost, type IdentityOptions } from "./http/middleware.js";
import { below, mountOf } from "./http/path.js";
import { createRunnerHandler, type RunnerRouterOptions as HandlerOptions } from "./http/router.js";
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
export type { Scope } from "./http/scopes.js";

/** A request that knows its client's session. */
export type ActiveRequest<Web extends Request = Request, Services = unknown> = Web & {
  /**
   * The live session of the request's client, made at the first access.
   * Throws `IDENTITY_TOO_LATE` if it needs a cookie and the response has been given, `HOST_CLOSED` while draining.
   */
  readonly activeSession: ActiveSession<Services>;
};

/** Options of {@link activeSession}. Behind a proxy that ends TLS, set `cookie.secure`. */
export interface ActiveSessionOptions extends IdentityOptions<Request> {}

/** Options of {@link runnerRouter}. */
export interface RunnerRouterOptions extends HandlerOptions {
  /** The path below which runners are served. Default: `/runners`. */
  readonly path?: string | undefined;
}

/**
 * Makes a function that wraps handlers: a handler's request has its client's session, as `activeSession`. The session is made at the
 * first access, never for a request that does not ask for it; only then a cookie is set, in the response that the handler returns.
 * @example
 * const withSession = activeSession(sessions);
 * export const POST = withSession(async (request) => {
 *   const runner = await request.activeSession.createSequenceRunner(search());
 *   return Response.json(await runner.getRequired(), { status: 201 });
 * });
 * What the handler throws of the library's own errors becomes the response; everything else is passed on. A response that the handler
 * has at once is returned at once: servers are faster then; only an async `identify`, and scopes, make a promise of it.
 * @throws `INVALID_OPTION`. The handlers reject with what `identify` throws, and `INVALID_IDENTITY`.
 */
export function activeSession<Services>(
  sessions: ActiveSessions<Services>,
  options: ActiveSessionOptions = {},
): <Web extends Request, Rest extends unknown[]>(
  handler: (request: ActiveRequest<Web, Services>, ...rest: Rest) => Response | Promise<Response>,
) => (request: Web, ...rest: Rest) => Response | Promise<Response> {
  const install = webInstaller<Request>(sessions, options);
  return (handler) =>
    (request, ...rest) => {
      const { port, pending } = install(request, request, rest[0]);
      Object.defineProperty(request, "activeSession", activeSessionProperty);
      const answer = () => port.answer(() => handler(request as never, ...rest));
      return pending === undefined ? answer() : pending.then(answer);
    };
}

/**
 * Makes a function that answers requests to the client's runners: pages, long-poll, SSE, acknowledgement, state, abort, removal,
 * and creation of what is exposed. It resolves to `undefined` for every other request.
 * @throws `INVALID_OPTION`. The function rejects with `NOT_INSTALLED` for a request without {@link activeSession}.
 */
export function runnerRouter<Services>(
  sessions: ActiveSessions<Services>,
  { path = "/runners", ...options }: RunnerRouterOptions = {},
): (request: Request) => Promise<Response | undefined> {
  checkHost("serve runners", sessions);
  const mount = mountOf(path);
  const handle = createRunnerHandler(sessions, options);
  return async (request) => {
    const rest = below(mount, new URL(request.url).pathname);
    return rest === undefined ? undefined : webAnswerFor(handle, sessions, rest, request, request);
  };
}
