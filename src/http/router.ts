import { ActiveSessionError, describe, runnerGone } from "../base/error.js";
import { headerNames } from "../protocol/headers.js";
import { formatOffset } from "../protocol/offset.js";
import type { RunnerDefinition } from "../runner/definition.js";
import type { Located } from "../session/directory.js";
import type { Host } from "../session/host.js";
import { checkOrigin } from "./origin.js";
import type { RouteRequest } from "./request-context.js";
import { type RouterSettings, type RunnerRouterOptions, resolveRouterOptions } from "./router-options.js";
import { abort, acknowledge, head, list, remove, state, stateOf } from "./routes/control.js";
import { create, stopCreation } from "./routes/create.js";
import { events, read, unlessGone } from "./routes/read.js";
import type { Answer, Target } from "./routes/route.js";
import { jsonHeaders, type ResponseHeaders, type WireResponse } from "./wire-response.js";

export type { RunnerRouterOptions } from "./router-options.js";

/**
 * Answers one request. An error of this library becomes a response with its status and code. Every other error
 * rejects: the error handling of the framework is responsible for it.
 */
export type RunnerHandler = (request: RouteRequest) => Promise<WireResponse>;

/**
 * Creates the handler that serves the runners of a host over HTTP, independent of any framework. An adapter
 * translates the request, writes the response and watches the connection.
 *
 *     {mount}               GET                 list of the client's runners
 *     {mount}/{name}        POST                create a runner from an exposed definition
 *     {mount}/{name}/abort  POST                stop a creation by its `Idempotency-Key`
 *     {mount}/{key}         GET, HEAD, DELETE   read (page, long-poll, SSE), state in headers, remove
 *     {mount}/{key}/state   GET                 the whole state as JSON
 *     {mount}/{key}/events  GET                 event stream for `EventSource`
 *     {mount}/{key}/ack     POST                acknowledge
 *     {mount}/{key}/abort   POST                stop
 *
 * Reads follow the Durable Streams protocol (draft 1.0, JSON mode); the other routes are this library's own.
 *
 * The order of the checks reveals nothing about runners of other clients: method and action come first, then the key
 * (the same 404 for every runner that does not belong to the identity), then the origin of a POST or DELETE, then the
 * parameters.
 * @param sessions the host whose runners are served
 * @returns the handler; it finds sessions, and opens one only to create a runner or to stop a creation
 * @throws `INVALID_OPTION`
 * @example
 * const handle = createRunnerHandler(sessions, { pageLimit: 500 });
 * const { status, headers, body } = await handle(request);
 */
export function createRunnerHandler(sessions: Host, options: RunnerRouterOptions = {}): RunnerHandler {
  const settings = resolveRouterOptions(options);
  return async (request) => {
    try {
      const response = answer(sessions, settings, request);
      return response instanceof Promise ? await response : response;
    } catch (error) {
      return errorResponse(error, request.method === "HEAD");
    }
  };
}

/**
 * Turns an error of this library into a response, without a body for HEAD; rethrows every other error.
 * @param more headers to be added
 */
function errorResponse(error: unknown, isHead: boolean, more?: ResponseHeaders): WireResponse {
  if (!ActiveSessionError.is(error)) throw error;
  const headers = Object.assign(jsonHeaders(), { [headerNames.errorCode]: error.code }, error.headers, more);
  if (error.firstPosition !== undefined) headers[headerNames.firstOffset] = formatOffset(error.firstPosition);
  return isHead ? { status: error.status, headers } : { status: error.status, headers, body: JSON.stringify(error) };
}

/** A routing table: by action (empty: the address itself), then by method. */
type Routes<Route> = Readonly<Record<string, Readonly<Record<string, Route>>>>;

/** Routes of `{mount}`. */
const mountRoutes: Routes<(sessions: Host, request: RouteRequest) => Answer> = {
  "": { GET: list },
};

/** Routes of `{mount}/{name}`, where `name` is that of an exposed definition. */
const definitionRoutes: Routes<
  (definition: RunnerDefinition, request: RouteRequest, settings: RouterSettings) => Answer
> = {
  "": { POST: (...asked) => unlessGone(asked[1], () => create(...asked)) },
  abort: { POST: (definition, request) => stopCreation(definition, request, stateOf) },
};

/** Routes of `{mount}/{key}`. */
const runnerRoutes: Routes<(target: Target, request: RouteRequest, settings: RouterSettings) => Answer> = {
  "": { GET: read, HEAD: head, DELETE: remove },
  state: { GET: state },
  events: { GET: events },
  ack: { POST: acknowledge },
  abort: { POST: abort },
};

/**
 * Chooses the routing table by the first segment of the path. The name of a definition begins with a letter and the
 * key of a runner with a digit, so that the two never collide.
 */
function answer(sessions: Host, settings: RouterSettings, request: RouteRequest): Answer {
  const { key } = request;
  if (key === "") return dispatch(mountRoutes, request, (route) => route(sessions, request));
  const definition = settings.exposed.get(key);
  if (!definition) {
    if (request.method === "POST" && !request.action && /^[a-z]/i.test(key)) throw unknownDefinition(key, settings);
    return dispatch(runnerRoutes, request, (route) => {
      const target = locate(sessions, request, settings);
      if (!(target instanceof Promise)) return route(target, request, settings);
      return target.then((located) => route(located, request, settings));
    });
  }
  return dispatch(definitionRoutes, request, (route) => {
    checkOrigin(request.headers, settings.allowedOrigins, request.host);
    return route(definition, request, settings);
  });
}

/** Hosts that have been warned of requests without cookies. */
const warned = new WeakSet<Host>();

/** Warns once, outside production: a page of another origin sends cookies only if it says so, and gets a 404 that does not tell. */
function hintAtCookies(sessions: Host, { headers }: RouteRequest): void {
  if (headers.cookie !== undefined || headers.authorization !== undefined) return;
  if (warned.has(sessions) || process.env.NODE_ENV === "production") return;
  warned.add(sessions);
  const hint = 'From another origin, create the client with credentials: "include", and let CORS allow credentials';
  sessions.warn(`a runner was requested without a cookie. ${hint}`, {});
}

/** Outside production the message lists the names that are exposed; in production that would tell strangers. */
function unknownDefinition(name: string, { exposed }: RouterSettings): ActiveSessionError {
  const known = [...exposed.keys()].join(", ") || "none";
  const hint = process.env.NODE_ENV === "production" ? "" : `. Exposed are: ${known}. See the router's option expose`;
  const message = `Cannot create a runner: the definition must be exposed, received ${describe(name)}${hint}`;
  return new ActiveSessionError("UNKNOWN_DEFINITION", message);
}

/**
 * Looks up action and method, and calls `answerBy` only if both exist. `Object.hasOwn`, because both come from the
 * client: `constructor` must not be found.
 * @throws `RUNNER_NOT_FOUND` for an unknown action
 */
function dispatch<Route>(
  routes: Routes<Route>,
  { action = "", method }: RouteRequest,
  answerBy: (route: Route) => Answer,
): Answer {
  const methods = Object.hasOwn(routes, action) ? routes[action]! : undefined;
  if (!methods) throw notFound();
  return Object.hasOwn(methods, method) ? answerBy(methods[method]!) : methodNotAllowed(method, Object.keys(methods));
}

/**
 * Finds the runner that the key names, and confirms its session: the client has brought its identity back.
 * @throws `RUNNER_NOT_FOUND` if the key is malformed, was never issued, or belongs to another identity; `RUNNER_GONE`
 *   if the runner has been removed; `CROSS_SITE_REQUEST`
 */
function locate(sessions: Host, request: RouteRequest, settings: RouterSettings): Target | Promise<Target> {
  const { identity, key } = request;
  const located = identity === undefined ? "unknown" : sessions.directory.locate(identity, key);
  if (!(located instanceof Promise)) return targetOf(located, sessions, request, settings);
  return located.then((late) => targetOf(late, sessions, request, settings));
}

/** The target that the directory has found, or the error that tells why there is none. */
function targetOf(located: Located, sessions: Host, request: RouteRequest, { allowedOrigins }: RouterSettings): Target {
  const { method, headers } = request;
  if (located === "unknown") {
    hintAtCookies(sessions, request);
    throw notFound();
  }
  if (located === "gone") throw runnerGone();
  request.cameBackTo(located.session);
  if (method === "POST" || method === "DELETE") checkOrigin(headers, allowedOrigins, request.host);
  return located;
}

/** The same error for every reason, so that it does not tell whether a foreign key exists. */
function notFound(): ActiveSessionError {
  return new ActiveSessionError("RUNNER_NOT_FOUND", "There is no such runner");
}

/** The response 405, with the `Allow` header that RFC 9110, section 15.5.6, demands. */
function methodNotAllowed(method: string, allowed: readonly string[]): WireResponse {
  const message = `Cannot answer: the method must be one of ${allowed.join(", ")}, received ${describe(method)}`;
  const error = new ActiveSessionError("METHOD_NOT_ALLOWED", message);
  return errorResponse(error, method === "HEAD", { Allow: allowed.join(", ") });
}
