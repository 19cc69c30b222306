/** The adapter for handlers that answer a web `Request` with a `Response`: Next.js, Remix, Bun, Deno, srvx, h3. */

import { activeSessionProperty, checkHost, type IdentityOptions } from "./http/middleware.js";
import { below, mountOf } from "./http/path.js";
import { createRunnerHandler, type RunnerRouterOptions as HandlerOptions } from "./http/router.js";
import { webAnswerFor, webInstaller } from "./http/web/request.js";
import type { ActiveSession } from "./session/active-session.js";
import type { ActiveSessions } from "./session/active-sessions.js";

export * from "./http/adapter-exports.js";

/**
 * A request with its client's session.
 * @typeParam Web the framework's own type of request
 * @typeParam Services type of `activeSession.services`
 */
export type ActiveRequest<Web extends Request = Request, Services = unknown> = Web & {
  /**
   * The live session of the request's client, created at first access.
   * @throws `IDENTITY_TOO_LATE` if it needs a cookie and the response has been returned, `HOST_CLOSED` while draining,
   *   `OUT_OF_SCOPE`, `NO_IDENTITY`, `IDENTITY_PENDING`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  readonly activeSession: ActiveSession<Services>;
};

/** Options of {@link activeSession}. Behind a proxy that terminates TLS, set `cookie.secure`. */
export interface ActiveSessionOptions extends IdentityOptions<Request> {}

/** Options of {@link runnerRouter}. */
export interface RunnerRouterOptions extends HandlerOptions {
  /** The path below which runners are served. Default: `/runners`. */
  readonly path?: string | undefined;
}

/**
 * Makes a function that wraps handlers: the handler's request has the client's session as `activeSession`. The session is created at
 * first access, not for requests that do not use it; only then a cookie is set, in the response that the handler returns.
 *
 * Errors of this library that the handler throws become the response; other errors are passed on. The wrapped handler is synchronous if
 * the handler is, since servers answer that faster; only an async `identify`, or scopes, make it return a promise.
 * @example
 * const withSession = activeSession(sessions);
 * export const POST = withSession(async (request) => {
 *   const runner = await request.activeSession.createSequenceRunner(search());
 *   return Response.json(await runner.getRequired(), { status: 201 });
 * });
 * @throws `INVALID_OPTION`. The wrapped handlers reject with errors of `identify`, and `INVALID_IDENTITY`.
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
 * and creation of what is exposed. Reading never creates a session. Give it the handler's own request, not a clone: the session is
 * attached to that object.
 * @example
 * const serveRunners = runnerRouter(sessions);
 * const handle = withSession(async (request) => (await serveRunners(request)) ?? new Response("Not found", { status: 404 }));
 * @returns a function that resolves to the response; to `undefined` for any other request
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
