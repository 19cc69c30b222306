/**
 * Answers a request to the URL of a runner, without any framework. Reads follow the Durable Streams protocol (draft 1.0, JSON mode);
 * acknowledgement, stop, state, list and creation are ours. Adapters translate the request, write the response and watch the connection.
 *
 * The order of the checks reveals nothing to strangers: first method and action, then the key (the same 404 for every runner that does
 * not belong to the identity), then the origin of a changing request, then its parameters.
 */
import { ActiveSessionError, describe, runnerGone } from "../base/error.js";
import { headerNames } from "../protocol/headers.js";
import { formatOffset } from "../protocol/offset.js";
import type { RunnerDefinition } from "../runner/definition.js";
import type { ActiveSessions } from "../session/host.js";
import { checkOrigin } from "./origin.js";
import { jsonHeaders, type ResponseHeaders, type WireRequest, type WireResponse } from "./request-context.js";
import { type RouterSettings, type RunnerRouterOptions, resolveRouterOptions } from "./router-options.js";
import { abort, acknowledge, head, list, remove, state, stateOf } from "./routes/control.js";
import { create, stopCreation } from "./routes/create.js";
import { events, read, unlessGone } from "./routes/read.js";
import type { Answer, Target } from "./routes/route.js";

export type { RunnerRouterOptions } from "./router-options.js";

/** Answers one request. Rejects only with what is no fault of the request: then the framework's own error handling is due. */
export type RunnerHandler = (request: WireRequest) => Promise<WireResponse>;

/** Makes the handler for a host's runners. Throws `INVALID_OPTION`. */
export function createRunnerHandler(sessions: ActiveSessions, options: RunnerRouterOptions = {}): RunnerHandler {
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

/** The answer to a request that failed by a rule of ours; rethrows every other error. */
function errorResponse(error: unknown, isHead: boolean, more?: ResponseHeaders): WireResponse {
  if (!ActiveSessionError.is(error)) throw error;
  const headers = Object.assign(jsonHeaders(), { [headerNames.errorCode]: error.code }, error.headers, more);
  if (error.firstPosition !== undefined) headers[headerNames.firstOffset] = formatOffset(error.firstPosition);
  return isHead ? { status: error.status, headers } : { status: error.status, headers, body: JSON.stringify(error) };
}

/** What there is at an address: by action (none: the address itself), then by method. */
type Routes<Route> = Readonly<Record<string, Readonly<Record<string, Route>>>>;

/** `{mount}` */
const mountRoutes: Routes<(sessions: ActiveSessions, request: WireRequest) => Answer> = {
  "": { GET: list },
};

/** `{mount}/{name}` */
const definitionRoutes: Routes<
  (definition: RunnerDefinition, request: WireRequest, settings: RouterSettings) => Answer
> = {
  "": { POST: (...asked) => unlessGone(asked[1], () => create(...asked)) },
  abort: { POST: (definition, request) => stopCreation(definition, request, stateOf) },
};

/** `{mount}/{key}` */
const runnerRoutes: Routes<(target: Target, request: WireRequest, settings: RouterSettings) => Answer> = {
  "": { GET: read, HEAD: head, DELETE: remove },
  state: { GET: state },
  events: { GET: events },
  ack: { POST: acknowledge },
  abort: { POST: abort },
};

function answer(sessions: ActiveSessions, settings: RouterSettings, request: WireRequest): Answer {
  const { key } = request;
  if (key === "") return dispatch(mountRoutes, request, (route) => route(sessions, request));
  const definition = settings.exposed.get(key);
  if (!definition) {
    return dispatch(runnerRoutes, request, (route) => route(locate(sessions, request, settings), request, settings));
  }
  return dispatch(definitionRoutes, request, (route) => {
    checkOrigin(request.headers, settings.allowedOrigins, request.host);
    return route(definition, request, settings);
  });
}

function dispatch<Route>(
  routes: Routes<Route>,
  { action = "", method }: WireRequest,
  answerBy: (route: Route) => Answer,
): Answer {
  const methods = Object.hasOwn(routes, action) ? routes[action]! : undefined;
  if (!methods) throw notFound();
  return Object.hasOwn(methods, method) ? answerBy(methods[method]!) : methodNotAllowed(method, Object.keys(methods));
}

function locate(sessions: ActiveSessions, request: WireRequest, { allowedOrigins }: RouterSettings): Target {
  const { identity, key, method, headers } = request;
  const located = identity === undefined ? "unknown" : sessions.locate(identity, key);
  if (located === "unknown") throw notFound();
  if (located === "gone") throw runnerGone();
  request.cameBackTo(located.session);
  if (method === "POST" || method === "DELETE") checkOrigin(headers, allowedOrigins, request.host);
  return located;
}

function notFound(): ActiveSessionError {
  return new ActiveSessionError("RUNNER_NOT_FOUND", "There is no such runner");
}

function methodNotAllowed(method: string, allowed: readonly string[]): WireResponse {
  const message = `Cannot answer: the method must be one of ${allowed.join(", ")}, received ${describe(method)}`;
  const error = new ActiveSessionError("METHOD_NOT_ALLOWED", message);
  return errorResponse(error, method === "HEAD", { Allow: allowed.join(", ") });
}
