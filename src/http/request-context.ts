/** One request: its client's identity and session, over an adapter's {@link RequestPort}. */
import type { ServerResponse } from "node:http";
import { type Ending, isThenable, noop } from "../base/async.js";
import { ActiveSessionError } from "../base/error.js";
import type { Host } from "../session/host.js";
import { type TaggedIdentity, tagIdentity } from "../session/identity.js";
import type { Session } from "../session/session.js";
import { createCookieValue, isIssued, type SessionCookie } from "./cookie.js";
import type { Address } from "./path.js";
import type { FrameworkSession, RequestBody, RequestPort, RoutePort } from "./request-port.js";
import type { Selection } from "./scopes.js";

/** Settings that all requests of one adapter share, checked and with their defaults. */
export interface Installation<Services = unknown> {
  /** The host that creates and finds the sessions. */
  readonly sessions: Host<Services>;
  /** The application's option `identify`, see `IdentityOptions`. */
  readonly identify: ((request: never) => unknown) | undefined;
  /** True if a request without a user gets a session, identified by the framework's session or a cookie. */
  readonly hasGuests: boolean;
  /** Our cookie for requests over HTTP and over HTTPS: name and `Secure` differ. */
  readonly cookies: { readonly http: SessionCookie; readonly https: SessionCookie };
}

/** A request to `{mount}`, `{mount}/{key}` or `{mount}/{name}`, or to an action below one of the latter two. */
export interface RouteRequest extends Address, RoutePort {
  /** The host that the client addressed, where the framework's proxy settings vouch for it. */
  readonly host?: string | undefined;
  /** The identity of the client when the request arrived here; `undefined` if unknown: such a client has no runners. */
  readonly identity: TaggedIdentity | undefined;
  /** Confirms a session: the client has sent back the identity it was given. Ignored if this request created the session. */
  cameBackTo(session: Session): void;
  /** The live session of the client; `undefined` if there is none. Creates nothing. */
  find(): Session | undefined;
  /**
   * The session of the client, created if there is none.
   * @throws `OUT_OF_SCOPE`, `NO_IDENTITY`, `IDENTITY_TOO_LATE`, `HOST_CLOSED`, and the other errors of an adapter's session getter
   */
  readonly session: Session;
}

/** A request that has come to the routes: what the adapter has there, on behalf of the client that it had then. */
class RoutedRequest implements RouteRequest {
  readonly key: string;
  readonly action: string | undefined;
  readonly identity: TaggedIdentity | undefined;
  readonly #context: RequestContext;
  readonly #port: RoutePort;

  constructor(context: RequestContext, { key, action }: Address, port: RoutePort) {
    this.key = key;
    this.action = action;
    this.identity = context.identity;
    this.#context = context;
    this.#port = port;
  }

  get method(): string {
    return this.#port.method;
  }

  get query(): URLSearchParams {
    return this.#port.query;
  }

  get headers(): RoutePort["headers"] {
    return this.#port.headers;
  }

  get host(): string | undefined {
    return this.#context.host;
  }

  get over(): Ending {
    return this.#port.over;
  }

  get session(): Session {
    return this.#context.session;
  }

  readBody(limit: number): Promise<RequestBody> {
    return this.#port.readBody(limit);
  }

  cameBackTo(session: Session): void {
    this.#context.cameBackTo(session);
  }

  find(): Session | undefined {
    return this.#context.find();
  }
}

/**
 * A request: whose it is, and that client's session. The adapter's port tells what the framework knows.
 *
 * The identity is determined again at each access, because a login or logout within the request changes it. The first of these counts:
 *
 * 1. the user id that the application's `identify` returned,
 * 2. the framework's own session, where there is one,
 * 3. our cookie.
 *
 * Determining it creates nothing. Only {@link session} creates: it sets a cookie, or marks and saves the framework's session, so that
 * the client can come back. Runners created meanwhile wait for that save: otherwise a fast client could ask for its next page before
 * a slow store knows its session.
 */
export class RequestContext<Services = unknown> {
  readonly #installation: Installation<Services>;
  readonly #request: object;
  readonly #port: RequestPort;
  readonly #selection: Selection;
  #user: TaggedIdentity | undefined;
  /** True while `identify` has returned no user: guards and hooks of the framework may not have run yet, so it is called once more. */
  #mayAskAgain: boolean;
  /** The identity of the cookie that was received or issued. Cached: the cookies of a request do not change. */
  #byCookie: TaggedIdentity | undefined;
  /** True once the cookie has been read, also if there is none. */
  #hasReadCookie = false;
  /** The session that this request has used last. */
  #session: Session<Services> | undefined;
  /** True once a concurrent rotation has replaced the cookie that this request carries. */
  #ignoresCookie = false;
  /** The host's count of rotations when the request arrived, to detect a concurrent one. */
  readonly #rotationsBefore: number;

  /**
   * @param request the framework's request or context, which `identify` is called with
   * @param user the settled result of `identify`; `undefined` or `null`: no user
   * @param selection the result of the scopes
   * @throws `INVALID_IDENTITY` if `user` is neither a non-empty string nor empty
   */
  constructor(
    installation: Installation<Services>,
    request: object,
    port: RequestPort,
    user: unknown,
    selection: Selection,
  ) {
    this.#installation = installation;
    this.#request = request;
    this.#port = port;
    this.#selection = selection;
    this.#user = tagUser(user);
    this.#mayAskAgain = this.#user === undefined && installation.identify !== undefined;
    this.#rotationsBefore = installation.sessions.rotations.count;
  }

  /**
   * Turns to the routes of runners. Asks for the identity: an error of it is not an answer of theirs.
   * @throws `INVALID_IDENTITY`, and errors of `identify`
   */
  async routeTo(address: Address, port: RoutePort): Promise<RouteRequest> {
    if (this.#mayAskAgain) await this.resolve(); // the routes await an async `identify` themselves
    return new RoutedRequest(this as RequestContext, address, port);
  }

  /** The host of the adapter that the request passed. */
  get sessions(): Host<Services> {
    return this.#installation.sessions;
  }

  /**
   * The identity of the request's client; `undefined` if it has none yet.
   * @throws `IDENTITY_PENDING`, `INVALID_IDENTITY`, and errors of `identify`
   */
  get identity(): TaggedIdentity | undefined {
    const user = this.#userNow;
    return user || !this.#installation.hasGuests ? user : this.#identityOf(this.#port.frameworkSession);
  }

  /** Calls `identify` a second time, synchronously, where the first call returned no user. */
  get #userNow(): TaggedIdentity | undefined {
    if (!this.#mayAskAgain) return this.#user;
    const user = this.#installation.identify!(this.#request as never);
    if (isThenable(user)) {
      Promise.resolve(user).catch(noop);
      const hint =
        "Call await resolveIdentity(request) before, behind the guards and hooks that find out who the user is";
      throw new ActiveSessionError("IDENTITY_PENDING", `Cannot use the session: identify is asynchronous. ${hint}`);
    }
    this.#mayAskAgain = false;
    this.#user = tagUser(user);
    return this.#user;
  }

  /**
   * Calls `identify` once more if it returned no user before, and awaits it.
   * @throws `INVALID_IDENTITY`, and errors of `identify`; then a later call tries again
   */
  async resolve(): Promise<void> {
    if (!this.#mayAskAgain) return;
    const user = tagUser(await this.#installation.identify!(this.#request as never));
    this.#mayAskAgain = false;
    this.#user = user;
  }

  /** The identity of a client without a user: that of the framework's session, else of the cookie. */
  #identityOf(framework: FrameworkSession | undefined): TaggedIdentity | undefined {
    if (framework) return tagIdentity("session", framework.id);
    if (!this.#ignoresCookie && !this.#hasReadCookie) {
      this.#hasReadCookie = true;
      this.#byCookie ??= this.#readCookie();
    }
    return this.#byCookie;
  }

  /**
   * The client's live session, created if there is none. A session that was terminated within the request is returned again: code that
   * runs after a logout must not start a new one by accident. See {@link refresh}.
   * @throws `OUT_OF_SCOPE` if no scope accepts the request
   * @throws `NO_IDENTITY` without a user where guests are not allowed
   * @throws `IDENTITY_TOO_LATE` if a cookie or a mark is needed after the headers were sent
   * @throws `IDENTITY_PENDING`, `INVALID_IDENTITY`, `HOST_CLOSED`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`, errors of `identify`
   */
  get session(): Session<Services> {
    if (!this.#selection) {
      const requirement = "the request must be in one of the scopes";
      throw new ActiveSessionError(
        "OUT_OF_SCOPE",
        `Cannot use a session: ${requirement}, received one that is in none`,
      );
    }
    const former = this.#session;
    const user = this.#userNow;
    if (!user && !this.#installation.hasGuests) {
      const message = 'Cannot use the session: with anonymous: "none" the request must have a user, received none';
      throw new ActiveSessionError("NO_IDENTITY", message);
    }
    const framework = user ? undefined : this.#port.frameworkSession;
    const identity = user ?? this.#identityOf(framework);
    const isSame = identity === undefined || identity === former?.identity; // undefined: a logout removed the identity
    if (former?.endReason === "session-ended" && isSame) return former;
    if (framework && !framework.isMarked) this.#checkInTime("the framework's session must be kept");
    const session = this.#obtain(identity, this.#selection.suffix);
    if (session !== former) {
      const visit = session.visit();
      this.#port.onOver(() => visit.release());
    }
    if (framework && (!framework.isMarked || session.needsPublication)) {
      this.#port.forbidSharing();
      session.publish(framework.markAndSave());
    }
    this.#session = session;
    return session;
  }

  /** Looks the session up, and creates it only if there is none. */
  #obtain(identity: TaggedIdentity | undefined, suffix: string | undefined): Session<Services> {
    const found = identity && this.sessions.lookUp(identity, suffix);
    if (!found) return this.#create(identity, suffix);
    this.cameBackTo(found);
    return found;
  }

  /**
   * Creates a session. Only here is the signature of a cookie verified: a value that finds a live session must have been issued. A value
   * with a wrong signature is replaced by a new cookie (session fixation).
   */
  #create(identity: TaggedIdentity | undefined, suffix: string | undefined): Session<Services> {
    const isByCookie = identity !== undefined && identity === this.#byCookie;
    if (identity === undefined || (isByCookie && !this.#isIssued(identity))) return this.#obtainByCookie(suffix);
    const session = this.sessions.obtain(identity, suffix);
    // A cookie with a valid signature, or a stored session of the framework, proves that the client keeps its identity.
    if (isByCookie || this.#port.frameworkSession?.isMarked) session.confirm();
    return session;
  }

  /** True if the cookie of an identity carries a valid signature. */
  #isIssued(byCookie: TaggedIdentity): boolean {
    return isIssued(cookieValueOf(byCookie), this.sessions.secret);
  }

  /**
   * The client's live session; `undefined` if there is none, or no scope accepts the request. Creates nothing.
   * @throws `IDENTITY_PENDING`, `INVALID_IDENTITY`, and errors of `identify`
   */
  find(): Session<Services> | undefined {
    const { identity } = this;
    const found = identity && this.#selection && this.sessions.lookUp(identity, this.#selection.suffix);
    if (found) this.cameBackTo(found);
    return found;
  }

  /** Confirms that the client came back to a session, unless it was this request that used or created it. */
  cameBackTo(session: Session): void {
    if (session !== this.#session) session.confirm();
  }

  // --- what the adapter knows --------------------------------------------------------------------------------------

  /** Aborts when the request is over; see {@link RequestPort.signal}. */
  get signal(): AbortSignal {
    return this.#port.signal;
  }

  /** See {@link RequestPort.host}. */
  get host(): string | undefined {
    return this.#port.host;
  }

  /** See {@link RequestPort.nodeResponse}. */
  get nodeResponse(): ServerResponse | undefined {
    return this.#port.nodeResponse;
  }

  /**
   * Drops the request's session if that has ended, so that the next access creates or finds another one.
   * @returns true if it had ended; false also if the request has used no session
   */
  refresh(): boolean {
    if (!this.#session || this.#session.isAvailable) return false;
    this.#session = undefined;
    return true;
  }

  /**
   * Changes the client's identity, as at a login or logout: runs `change` and calls `identify` again. If there is no user then, the
   * cookie, or an id of ours in the framework's session, is replaced. Sessions of the former identity move to the new one, or end.
   * @param change the application's own step, for example writing the user into its session; may be async
   * @param work `"keep"`: sessions move; `"end"`: they end
   * @throws `INVALID_IDENTITY`, `IDENTITY_TOO_LATE`, and errors of `change` and `identify`
   */
  async rotate(change: () => unknown, work: "keep" | "end"): Promise<void> {
    await this.resolve();
    const from = this.identity;
    await change();
    this.#user = tagUser(await this.#installation.identify?.(this.#request as never));
    if (!from) return;
    if (!this.#user && this.#installation.hasGuests) await this.#renew(from);
    const to = this.identity;
    if (work === "end" || to === undefined) {
      this.#session = undefined; // before the await: code that runs then may use the next one
      await this.sessions.directory.endAll(from);
    } else if (from !== to) await this.sessions.directory.move(from, to);
    if (this.find()) void this.session; // marks a new session of the framework
  }

  /**
   * Replaces the identity of a client without a user. An id that the framework gives is left to `change`: if it is another one by
   * now, the identity has been renewed.
   */
  async #renew(former: TaggedIdentity): Promise<void> {
    const framework = this.#port.frameworkSession;
    if (!framework) {
      this.#checkInTime("its cookie must be set");
      const { rotations } = this.sessions;
      if (rotations.hasBeenSince(former, this.#rotationsBefore)) {
        // A concurrent request with the same cookie, for example of a double click, has replaced it: that cookie stays valid.
        this.#byCookie = undefined;
        this.#ignoresCookie = true;
        return;
      }
      if (former === this.#byCookie) rotations.add(former);
      this.#setCookie(createCookieValue(this.sessions.secret));
    } else if (tagIdentity("session", framework.id) === former) await framework.renew?.();
  }

  /** Our cookie for the protocol of this request. */
  get #cookie(): SessionCookie {
    const { http, https } = this.#installation.cookies;
    return this.#port.isSecure ? https : http;
  }

  /** Reads the identity from the `Cookie` header. */
  #readCookie(): TaggedIdentity | undefined {
    const header = this.#port.cookies;
    if (header === undefined) return undefined;
    return this.#choose(this.#cookie.read(header).map((value) => tagIdentity("cookie", value)));
  }

  /**
   * Selects among several cookies of one name, which a browser sends if they differ in path or domain: one with a live session, else
   * one with a valid signature, else the first.
   */
  #choose(identities: readonly TaggedIdentity[]): TaggedIdentity | undefined {
    if (identities.length < 2) return identities[0];
    const isLive = (identity: TaggedIdentity) => this.sessions.hasLive(identity);
    return identities.find(isLive) ?? identities.find((identity) => this.#isIssued(identity)) ?? identities[0];
  }

  /** Creates a session under a new cookie. The cookie is set last: if a limit refuses the session, none is set. */
  #obtainByCookie(suffix: string | undefined): Session<Services> {
    this.#checkInTime("its cookie must be set");
    const value = createCookieValue(this.sessions.secret);
    const session = this.sessions.obtain(tagIdentity("cookie", value), suffix);
    this.#setCookie(value);
    return session;
  }

  /** Sets the cookie; from now on it is the identity of this request, too. */
  #setCookie(value: string): void {
    this.#port.setCookie(this.#cookie.serialize(value));
    this.#port.forbidSharing();
    this.#byCookie = tagIdentity("cookie", value);
  }

  /** Throws `IDENTITY_TOO_LATE` if the headers have been sent. */
  #checkInTime(requirement: string): void {
    if (!this.#port.headersSent) return;
    throw new ActiveSessionError(
      "IDENTITY_TOO_LATE",
      `Cannot create a session: ${requirement} before the headers are sent, received a response under way; use the session earlier in the request`,
    );
  }
}

/** The cookie's value, taken from the identity that was made of it. */
function cookieValueOf(byCookie: TaggedIdentity): string {
  return byCookie.slice("cookie:".length);
}

/** Tags the result of `identify`; `undefined` if that is empty. Throws `INVALID_IDENTITY`. */
function tagUser(user: unknown): TaggedIdentity | undefined {
  return user === undefined || user === null ? undefined : tagIdentity("user", user);
}
