/** What every adapter does first: find out whose request it is and which session is meant, and keep that with the request. */
import { isThenable, noop } from "../base/async.js";
import { checkFunction, checkOptions } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";
import { type ActiveSessions, isHost } from "../session/host.js";
import { type RequestPort, RequestSession } from "./client-identity.js";
import { type CookieOptions, checkCookieOptions, SessionCookie } from "./cookie.js";
import { everything, type Scope, type Selection, scopeSelector } from "./scopes.js";

/** How an adapter finds out whose request it is. */
export interface IdentityOptions<Request> {
  /**
   * The application's own id of the user who makes the request, `undefined` or `null` for none; may be async. Without it, or
   * when it gives none, the session belongs to the framework's session, else to a cookie. Anything but a non-empty string is
   * refused with `INVALID_IDENTITY`. It is asked when the request arrives, and once more at the first use of the session if it gave
   * nothing then: guards and hooks of a framework run later. If it is asynchronous, `await resolveIdentity(request)` before that use.
   */
  readonly identify?: ((request: Request) => unknown) | undefined;
  /**
   * What becomes of a request without a user. `"cookie"`: it has a session all the same, known by the framework's session or a cookie.
   * `"none"`: it has none; using it throws `NO_IDENTITY` (401), and the routes of runners answer 404. Default: `"cookie"`.
   */
  readonly anonymous?: "cookie" | "none" | undefined;
  /** How the session cookie is set. */
  readonly cookie?: CookieOptions | undefined;
  /**
   * Which requests have a session, and which one, if a client is to have several. Default: every request the same one. A request
   * that no scope accepts has none: using it throws `OUT_OF_SCOPE`.
   */
  readonly scopes?: readonly Scope<Request>[] | undefined;
}

/**
 * Finds out whose request it is, at once where nothing of the application has to be asked. Rejects with what `identify` throws, and
 * `INVALID_IDENTITY`.
 */
export type Installer<Request> = (request: Request, port: RequestPort) => RequestSession | Promise<RequestSession>;

/**
 * Where what was found out is kept: with the request, or, in a framework that has made its requests slow to write to, with the list of
 * their headers as they came, which nobody passes on. A table beside the requests would cost every collection of garbage more than all
 * the rest costs a request.
 */
const key = Symbol.for("active-session.request");

type Holder = object & { [key]?: RequestSession };

function held(request: Holder & { readonly rawHeaders?: Holder }): RequestSession | undefined {
  return request[key] ?? request.rawHeaders?.[key];
}

/**
 * The property `activeSession` of every request that has passed. One and the same for all of them: an accessor of its own would make
 * each request an object of another kind.
 */
export const activeSessionProperty: PropertyDescriptor & ThisType<object> = {
  configurable: true,
  get() {
    return installed(this, "use the session").session;
  },
};

/**
 * Gives all requests of an application that property, where the framework makes a prototype for them: once, not for each. One that
 * has not passed says so when it is asked.
 */
export function givePrototypeProperty(request: object): void {
  if (!("activeSession" in request)) {
    Object.defineProperty(Object.getPrototypeOf(request), "activeSession", activeSessionProperty);
  }
}

/**
 * Makes the installer for a host.
 * @param holderOf the request, or its `rawHeaders`: see {@link key}
 * @throws `INVALID_OPTION`
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
    const own = new RequestSession(installation, request, port, user, selection);
    const holder = key in request ? request : holderOf(request); // the latest of several adapters on one request counts
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

/** What was found out of a request; throws `NOT_INSTALLED`. */
export function installed(request: object, action: string): RequestSession {
  const own = held(request);
  if (own) return own;
  const requirement = "the request must have passed activeSession(sessions) before";
  throw new ActiveSessionError("NOT_INSTALLED", `Cannot ${action}: ${requirement}, received one that did not`);
}

/** What was found out of a request for this host; throws `NOT_INSTALLED`. */
export function installedFor(request: object, sessions: unknown): RequestSession {
  const own = held(request);
  if (own && own.sessions === sessions) return own;
  const requirement = "the request must have passed activeSession(sessions) before, with the same host";
  const received = own ? "one that passed it with another host" : "one that did not pass it";
  throw new ActiveSessionError("NOT_INSTALLED", `Cannot serve runners: ${requirement}, received ${received}`);
}

/**
 * Lets `request.activeSession` give the client's next session if the one that the request has used has ended.
 * @returns whether it has ended; false also if the request has not used its session
 * @throws `NOT_INSTALLED`
 */
export function refreshSession(request: object): boolean {
  return installed(request, "refresh the session").refresh();
}

/**
 * Asks `identify` once more, and waits for it, if it gave no user when the request arrived: behind the guards and hooks that find out
 * who the user is, where `identify` is asynchronous. A synchronous one is asked by itself.
 * @example
 * app.use(authenticate, async (req, res, next) => {
 *   await resolveIdentity(req);
 *   next();
 * });
 * @throws `NOT_INSTALLED`, `INVALID_IDENTITY`, what `identify` throws
 */
export async function resolveIdentity(request: object): Promise<void> {
  await installed(request, "resolve the identity").resolve();
}

/** How {@link rotateSession} goes about it. */
export interface RotateOptions {
  /** What becomes of the client's work: it stays with the client (`"keep"`, the default), or is ended (`"end"`). */
  readonly work?: "keep" | "end" | undefined;
}

/**
 * Logs a client in or out without leaving its session to whoever knew its identity before (session fixation): runs `change`, asks
 * `identify` again, replaces a cookie of ours by a new one. The sessions that the client had go with it, runners, properties and all,
 * and begin their lifetime anew; where the new identity has one already, that one stays and the client's former one ends.
 * @param change what the application does: writes the user to its session, lets the framework make a new one; may be async
 * @example
 * app.post("/login", async (req, res) => {
 *   const user = await authenticate(req.body);
 *   await rotateSession(req, () => logIn(req, user));
 *   res.sendStatus(204);
 * });
 * @throws `NOT_INSTALLED`, `INVALID_OPTION`, `IDENTITY_TOO_LATE` if the headers have been sent, `INVALID_IDENTITY`, what `change` and
 *   `identify` throw
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
 * A signal that aborts when the request is over: its answer has been sent, or its client has gone.
 * @throws `NOT_INSTALLED`
 */
export function requestSignal(request: object): AbortSignal {
  return installed(request, "watch the request").signal;
}

/** Throws `INVALID_OPTION` unless `sessions` is a host. */
export function checkHost(action: string, sessions: unknown): void {
  if (isHost(sessions)) return;
  throw new ActiveSessionError(
    "INVALID_OPTION",
    `Cannot ${action}: sessions must come from createActiveSessions, received ${describe(sessions)}`,
  );
}

/** The path of an address. */
export function pathOf(url: string): string {
  const mark = url.indexOf("?");
  return mark < 0 ? url : url.slice(0, mark);
}

/** The query of an address, as it came: a framework's own may have been through a parser that makes objects of it. */
export function queryOf(url: string): URLSearchParams {
  const mark = url.indexOf("?");
  return new URLSearchParams(mark < 0 ? "" : url.slice(mark));
}
