/** The part of every adapter that comes first: resolves the identity and the scope of a request and attaches them to it. */
import { isThenable, noop } from "../base/async.js";
import { checkFunction, checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { ActiveSessions } from "../session/active-sessions.js";
import { type Host, isHost } from "../session/host.js";
import { type CookieOptions, checkCookieOptions, SessionCookie } from "./cookie.js";
import { RequestContext } from "./request-context.js";
import type { RequestPort } from "./request-port.js";
import { everything, type Scope, type Selection, scopeSelector } from "./scopes.js";

/** Options of every adapter's `activeSession`: whose session a request uses. */
export interface IdentityOptions<Request> {
  /**
   * Returns the application's id of the request's user; `undefined` or `null` if there is none. May be async. Without a user, the
   * session belongs to the framework's session, else to a cookie. Any other value than a non-empty string is rejected with
   * `INVALID_IDENTITY`. Default: no request has a user.
   *
   * Called when the request arrives and, if it returned no user, once more at the first use of the session, because guards and hooks
   * of a framework run later. If it is async, call `await resolveIdentity(request)` before that use.
   */
  readonly identify?: ((request: Request) => unknown) | undefined;
  /**
   * How requests without a user are treated. `"cookie"`: they have a session, identified by the framework's session or a cookie.
   * `"none"`: they have none; using it throws `NO_IDENTITY` (401), as a creation is answered; runners are not found (404). Default: `"cookie"`.
   */
  readonly anonymous?: "cookie" | "none" | undefined;
  /** Name and attributes of the session cookie. Default: see {@link CookieOptions}. */
  readonly cookie?: CookieOptions | undefined;
  /**
   * Selects the requests that have a session, and which one, where a client has several. A request that no scope accepts has none:
   * using it throws `OUT_OF_SCOPE`. Default: all requests of a client share one session.
   */
  readonly scopes?: readonly Scope<Request>[] | undefined;
}

/**
 * Resolves the identity and scope of a request and attaches them to it. Synchronous unless `identify` is async or there are scopes.
 * Never throws: rejects with errors of `identify`, and `INVALID_IDENTITY`.
 */
export type Installer<Request> = (request: Request, port: RequestPort) => RequestContext | Promise<RequestContext>;

/**
 * Property under which a {@link RequestContext} is stored: on the request or, where the framework makes writing to requests slow, on
 * its array `rawHeaders`. Not a `WeakMap`: its entries cost more in garbage collection than the rest of the work per request. A
 * registered symbol, so that a second copy of the package reads it, too.
 */
const key = Symbol.for("active-session.request");

/** An object that can carry a {@link RequestContext}. */
type Holder = object & { [key]?: RequestContext };

/** Looks in both places: one request may pass adapters that use different ones. */
function held(request: Holder & { readonly rawHeaders?: Holder }): RequestContext | undefined {
  return request[key] ?? request.rawHeaders?.[key];
}

/**
 * The property `activeSession` of requests. All share this accessor: one per request would give each its own hidden class in V8, and
 * make every access to requests slower.
 */
export const activeSessionProperty: PropertyDescriptor & ThisType<object> = {
  configurable: true,
  get() {
    return installed(this, "use the session").session;
  },
};

/**
 * Defines `activeSession` on the prototype that a framework makes per application, once instead of for each request. A request that
 * has not passed the adapter throws `NOT_INSTALLED` on access.
 */
export function givePrototypeProperty(request: object): void {
  if (!("activeSession" in request)) {
    Object.defineProperty(Object.getPrototypeOf(request), "activeSession", activeSessionProperty);
  }
}

/**
 * Checks the options and makes the installer of an adapter.
 * @param holderOf selects the object that carries the result: the request (default), or its `rawHeaders`; see {@link key}
 * @throws `INVALID_OPTION` if `sessions` is not a host, or an option is wrong or unknown
 */
export function createInstaller<Request extends object>(
  sessions: ActiveSessions<unknown>,
  options: IdentityOptions<Request>,
  holderOf: (request: Request) => object = (request) => request,
): Installer<Request> {
  const action = "install active sessions";
  checkHost(action, sessions);
  checkOptions(action, options, ["identify", "anonymous", "cookie", "scopes"]);
  checkFunction(action, "identify", options.identify);
  const { identify, anonymous = "cookie", cookie = {}, scopes } = options;
  if (anonymous !== "cookie" && anonymous !== "none") {
    const message = `Cannot ${action}: anonymous must be "cookie" or "none", received ${describe(anonymous)}`;
    throw new ActiveSessionError("INVALID_OPTION", message);
  }
  checkCookieOptions(cookie);
  const select = scopeSelector(scopes);
  const cookies = { http: new SessionCookie(cookie, false), https: new SessionCookie(cookie, true) };
  const installation = { sessions, identify, hasGuests: anonymous === "cookie", cookies };
  const warn = (message: string, details: object) => sessions.warn(message, details);
  const settle = (request: Request, port: RequestPort, user: unknown, selection: Selection) => {
    const own = new RequestContext(installation, request, port, user, selection);
    const holder = key in request ? request : holderOf(request); // with several adapters, the last one wins
    (holder as Holder)[key] = own;
    return own;
  };
  const settleLater = async (request: Request, port: RequestPort, user: unknown) => {
    const known = await user;
    return settle(request, port, known, await select(request, port.path, warn));
  };
  return (request, port) => {
    try {
      const user = identify?.(request);
      const isKnown = !scopes && !isThenable(user);
      return isKnown ? settle(request, port, user, everything) : settleLater(request, port, user);
    } catch (error) {
      return Promise.reject(error);
    }
  };
}

/** The {@link RequestContext} of a request. Throws `NOT_INSTALLED`, with `action` in its message. */
export function installed(request: object, action: string): RequestContext {
  const own = held(request);
  if (own) return own;
  const requirement = "the request must have passed activeSession(sessions) before";
  throw new ActiveSessionError(
    "NOT_INSTALLED",
    `Cannot ${action}: ${requirement}, received one that did not. ${installHint}`,
  );
}

const installHint = "Install the adapter's middleware or plugin, activeSession(sessions), in front of what uses it";

/** As {@link installed}, for the routes of runners: throws `NOT_INSTALLED` also if the request belongs to another host. */
export function installedFor(request: object, sessions: unknown): RequestContext {
  const own = held(request);
  if (own && own.sessions === sessions) return own;
  const requirement = "the request must have passed activeSession(sessions) before, with the same host";
  const received = own ? "one that passed it with another host" : "one that did not pass it";
  throw new ActiveSessionError(
    "NOT_INSTALLED",
    `Cannot serve runners: ${requirement}, received ${received}. ${installHint}`,
  );
}

/**
 * Drops the request's session if that has ended, so that `request.activeSession` gives the client's next one. Without this call a
 * request keeps a session that it has terminated.
 * @param request the framework's request or context
 * @returns true if the session had ended; false also if the request has not used its session
 * @throws `NOT_INSTALLED` if the request has not passed `activeSession`
 */
export function refreshSession(request: object): boolean {
  return installed(request, "refresh the session").refresh();
}

/**
 * Calls `identify` once more and awaits it, if it returned no user when the request arrived. Needed where `identify` is async and a
 * guard or hook authenticates the user later: call this after it. A synchronous `identify` is called again automatically.
 * @param request the framework's request or context
 * @example
 * app.use(authenticate, async (req, res, next) => {
 *   await resolveIdentity(req);
 *   next();
 * });
 * @throws `NOT_INSTALLED`, `INVALID_IDENTITY`, errors of `identify`
 */
export async function resolveIdentity(request: object): Promise<void> {
  await installed(request, "resolve the identity").resolve();
}

/** Options of {@link rotateSession}. */
export interface RotateOptions {
  /** `"keep"`: the client's sessions move to its new identity; `"end"`: they end, with all work. Default: `"keep"`. */
  readonly work?: "keep" | "end" | undefined;
}

/**
 * Changes the identity of a client at a login or logout, and prevents session fixation: a cookie known from before gives no access to
 * its sessions afterwards. Runs `change` and calls `identify` again. If there is no user then, a cookie of ours is replaced.
 *
 * The client's sessions move to the new identity with their runners and properties, and their lifetime starts again. Where the new
 * identity has a session already, that one stays and the client's former one ends. Event streams and waiting reads that were opened
 * under the former identity end.
 *
 * Call it as the last step before the answer. If the framework's session has an id of its own, `change` must renew it.
 * @param request the framework's request or context
 * @param change the application's own step: writes the user to its session, regenerates the framework's session; may be async
 * @example
 * app.post("/login", async (req, res) => {
 *   const user = await authenticate(req.body);
 *   await rotateSession(req, () => logIn(req, user));
 *   res.sendStatus(204);
 * });
 * @throws `NOT_INSTALLED`, `INVALID_OPTION`, `INVALID_IDENTITY`, errors of `change` and `identify`
 * @throws `IDENTITY_TOO_LATE` if a cookie must be set and the headers have been sent
 */
export async function rotateSession(
  request: object,
  change: () => unknown = noop,
  options: RotateOptions = {},
): Promise<void> {
  const action = "rotate the session";
  const own = installed(request, action);
  checkFunction(action, "change", change);
  checkOptions(action, options, ["work"]);
  const { work = "keep" } = options;
  if (work !== "keep" && work !== "end") {
    const message = `Cannot ${action}: work must be "keep" or "end", received ${describe(work)}`;
    throw new ActiveSessionError("INVALID_OPTION", message);
  }
  await own.rotate(change, work);
}

/**
 * A signal that aborts when the request is over: its response has been sent, or its client has disconnected.
 * @param request the framework's request or context
 * @throws `NOT_INSTALLED` if the request has not passed `activeSession`
 */
export function requestSignal(request: object): AbortSignal {
  return installed(request, "watch the request").signal;
}

/** Throws `INVALID_OPTION` unless `sessions` comes from `createActiveSessions`, of whatever copy of the package. */
export function checkHost(action: string, sessions: unknown): asserts sessions is Host<unknown> {
  if (isHost(sessions)) return;
  throw new ActiveSessionError(
    "INVALID_OPTION",
    `Cannot ${action}: sessions must come from createActiveSessions, received ${describe(sessions)}`,
  );
}

/** The path of a request's URL, which may lack scheme and host. By hand: `new URL` is slow, and normalizes the path. */
export function pathOf(url: string): string {
  const mark = url.indexOf("?");
  return mark < 0 ? url : url.slice(0, mark);
}

/** The query of a request's URL. Not taken from the framework: its parser may make objects of the parameters. */
export function queryOf(url: string): URLSearchParams {
  const mark = url.indexOf("?");
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark));
}
