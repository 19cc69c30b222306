/** The adapter for plain `node:http`. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { TLSSocket } from "node:tls";
import { activeSessionProperty, checkHost, type IdentityOptions, pathOf } from "./http/middleware.js";
import { serveRunner, sessionInstaller } from "./http/node/request.js";
import { below, mountOf } from "./http/path.js";
import { createRunnerHandler, type RunnerRouterOptions as HandlerOptions } from "./http/router.js";
import type { ActiveSession } from "./session/active-session.js";
import type { ActiveSessions } from "./session/active-sessions.js";

export * from "./http/adapter-exports.js";

/**
 * A request with its client's session.
 * @typeParam Services type of `activeSession.services`
 */
export interface ActiveRequest<Services = unknown> extends IncomingMessage {
  /**
   * The live session of the request's client, created at first access.
   * @throws `IDENTITY_TOO_LATE` if it needs a cookie and the headers have been sent, `HOST_CLOSED` while draining,
   *   `OUT_OF_SCOPE`, `NO_IDENTITY`, `IDENTITY_PENDING`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  readonly activeSession: ActiveSession<Services>;
}

/** Options of {@link activeSession}. Behind a proxy that terminates TLS, set `cookie.secure`. */
export interface ActiveSessionOptions extends IdentityOptions<IncomingMessage> {}

/** Options of {@link runnerRouter}. */
export interface RunnerRouterOptions extends HandlerOptions {
  /** The path below which runners are served. Default: `/runners`. */
  readonly path?: string | undefined;
}

/**
 * Makes a function that attaches the client's session to a request as `activeSession`. The session is created at first access, not for
 * requests that do not use it; only then a cookie is set.
 * @example
 * const withSession = activeSession(sessions);
 * createServer(async (req, res) => {
 *   const { activeSession } = await withSession(req, res);
 * });
 * @returns a function that returns the request itself; a promise of it if `identify` is async or there are scopes
 * @throws `INVALID_OPTION`. The function rejects with errors of `identify`, and `INVALID_IDENTITY`.
 */
export function activeSession<Services>(
  sessions: ActiveSessions<Services>,
  options: ActiveSessionOptions = {},
): (request: IncomingMessage, response: ServerResponse) => ActiveRequest<Services> | Promise<ActiveRequest<Services>> {
  const install = sessionInstaller<IncomingMessage>(sessions, options, {
    urlOf: ({ url }) => url ?? "",
    isSecure: ({ socket }) => (socket as Partial<TLSSocket>).encrypted === true,
    frameworkSession: () => undefined,
  });
  return (request, response) => {
    Object.defineProperty(request, "activeSession", activeSessionProperty);
    const pending = install(request, request, response);
    const active = request as ActiveRequest<Services>;
    return pending === undefined ? active : pending.then(() => active);
  };
}

/**
 * Makes a function that answers requests to the client's runners: pages, long-poll, SSE, acknowledgement, state, abort, removal, and
 * creation of what is exposed. Reading never creates a session.
 * @example
 * const serveRunners = runnerRouter(sessions);
 * createServer(async (req, res) => {
 *   if (!(await serveRunners(await withSession(req, res), res))) res.writeHead(404).end();
 * });
 * @param sessions the host that {@link activeSession} was given
 * @returns a function that resolves, when the answer is over, to true; to false for any other request, which is left untouched
 * @throws `INVALID_OPTION`. The function rejects with `NOT_INSTALLED` for a request without {@link activeSession}.
 */
export function runnerRouter<Services>(
  sessions: ActiveSessions<Services>,
  { path = "/runners", ...options }: RunnerRouterOptions = {},
): (request: IncomingMessage, response: ServerResponse) => Promise<boolean> {
  checkHost("serve runners", sessions);
  const mount = mountOf(path);
  const handle = createRunnerHandler(sessions, options);
  return async (request, response) => {
    const rest = below(mount, pathOf(request.url ?? ""));
    return rest !== undefined && serveRunner(handle, sessions, rest, request, response);
  };
}
