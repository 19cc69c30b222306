/**
 * Whose request it is, and that client's session: what every adapter gives its requests.
 *
 * The identity is looked for again at each access, in this order, because a login or logout within the request changes it:
 * what the application's `identify` gave; the framework's own session, where there is one; our cookie. Looking creates
 * nothing. Only the first use of the session does: then the client must be able to come back to it, so a cookie is set, or
 * the framework's session is marked and saved, and the next creation waits for that (a store may be slower than a client
 * that has its first page already).
 */
import type { ServerResponse } from "node:http";
import { isThenable, noop } from "../base/async.js";
import { ActiveSessionError } from "../base/error.js";
import type { ActiveSession } from "../session/active-session.js";
import type { ActiveSessions } from "../session/host.js";
import { type TaggedIdentity, tagIdentity } from "../session/identity.js";
import { createCookieValue, isIssued, type SessionCookie } from "./cookie.js";
import type { Selection } from "./scopes.js";

/** The framework's session of a request, as far as it matters here. */
export interface FrameworkSession {
  readonly id: string;
  /** Whether the session carries our mark, and so is known to be kept. */
  readonly isMarked: boolean;
  /** Writes the mark, which makes a new session one that is kept, and saves it. */
  markAndSave(): Promise<void>;
  /** Gives it another id, where that is not the framework's own to give. */
  renew?(): Promise<void>;
}

/** What holds for all requests that pass one adapter. */
export interface Installation<Services = unknown> {
  readonly sessions: ActiveSessions<Services>;
  /** What the application says of a request's user. */
  readonly identify: ((request: never) => unknown) | undefined;
  /** Whether a request without a user has a session of its own, known by the framework's session or a cookie. */
  readonly hasGuests: boolean;
  /** Our cookie, of requests by HTTP and of those by HTTPS. */
  readonly cookies: { readonly http: SessionCookie; readonly https: SessionCookie };
}

/** What an adapter knows of a request and its response. Most requests never ask for most of it, so nothing is made in advance. */
export interface RequestPort {
  /** The path of the whole address, wherever in the application the request is handled. */
  readonly path: string;
  /** Whether the request came by HTTPS. */
  readonly isSecure: boolean;
  /** The host that the client has asked, as the framework's proxy settings say. */
  readonly host?: string | undefined;
  /** The `Cookie` header. */
  readonly cookies: string | undefined;
  /** What lives as long as the client's connection, where that is known. */
  readonly connection: object | undefined;
  /** What the answer is written to, where a server of the web platform stands on `node:http` and says so. */
  readonly nodeResponse?: ServerResponse | undefined;
  /** Whether it is too late to set a cookie. */
  readonly headersSent: boolean;
  setCookie(header: string): void;
  /** The answer tells who its client is: no cache may give it to another one, unless the application forbids that in its own words. */
  forbidSharing(): void;
  /** Aborts when the request is over. */
  readonly signal: AbortSignal;
  /** Calls back when the request is over: its answer has been sent, or its client has gone. */
  onOver(callback: () => void): void;
  /** The framework's session as of now; `undefined` where there is none. */
  readonly frameworkSession: FrameworkSession | undefined;
}

const latestCookie = Symbol("latest cookie");

/** A connection, and who the latest `Cookie` header that came over it stands for. */
interface Connection {
  [latestCookie]?: {
    readonly header: string;
    readonly cookie: SessionCookie;
    readonly identity: TaggedIdentity | undefined;
  };
}

/** See the top of the file. */
export class RequestSession<Services = unknown> {
  readonly #installation: Installation<Services>;
  readonly #request: object;
  readonly #port: RequestPort;
  readonly #selection: Selection;
  #user: TaggedIdentity | undefined;
  /** `identify` gave nothing, perhaps because guards and hooks of the framework had not run yet: it is asked once more. */
  #mayAskAgain: boolean;
  /** As the client has sent it, or as it was issued; a request's cookies do not change. */
  #byCookie: TaggedIdentity | undefined;
  #session: ActiveSession<Services> | undefined;
  /** The cookie that the client has sent is not its own any more. */
  #ignoresCookie = false;
  /** How many clients had got another cookie when the request came. */
  readonly #rotationsBefore: number;

  /**
   * @param user what `identify` gave
   * @param selection what the scopes have come to
   * @throws `INVALID_IDENTITY`
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

  get sessions(): ActiveSessions<Services> {
    return this.#installation.sessions;
  }

  /** Who makes the request, as far as is known. Throws `IDENTITY_PENDING`, `INVALID_IDENTITY`, and what `identify` throws. */
  get identity(): TaggedIdentity | undefined {
    const user = this.#userNow;
    return user || !this.#installation.hasGuests ? user : this.#identityOf(this.#port.frameworkSession);
  }

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

  /** Whether `identify` has to be asked once more, which {@link resolve} waits for. */
  get isPending(): boolean {
    return this.#mayAskAgain;
  }

  /** Asks `identify` once more, if it gave nothing before. Rejects with what it throws, and `INVALID_IDENTITY`. */
  async resolve(): Promise<void> {
    if (!this.#mayAskAgain) return;
    const user = tagUser(await this.#installation.identify!(this.#request as never));
    this.#mayAskAgain = false;
    this.#user = user;
  }

  #identityOf(framework: FrameworkSession | undefined): TaggedIdentity | undefined {
    if (framework) return tagIdentity("session", framework.id);
    if (!this.#ignoresCookie) this.#byCookie ??= this.#readCookie();
    return this.#byCookie;
  }

  /**
   * The client's live session, created if there is none. One that was terminated stays this request's session: nothing is
   * started anew behind a logout.
   * @throws `OUT_OF_SCOPE`, `IDENTITY_TOO_LATE`, `IDENTITY_PENDING`, `NO_IDENTITY`, `HOST_CLOSED`
   */
  get session(): ActiveSession<Services> {
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
    const isSame = identity === undefined || identity === former?.identity; // a logout may have taken the identity away
    if (former?.endReason === "session-ended" && isSame) return former;
    if (framework && !framework.isMarked) this.#checkInTime("the framework's session must be kept");
    const session = this.#obtain(identity, this.#selection.suffix);
    if (session !== former) this.#port.onOver(session.visit());
    if (framework && (!framework.isMarked || session.needsPublication)) {
      this.#port.forbidSharing();
      session.publish(framework.markAndSave());
    }
    this.#session = session;
    return session;
  }

  #obtain(identity: TaggedIdentity | undefined, suffix: string | undefined): ActiveSession<Services> {
    const found = identity && this.sessions.lookUp(identity, suffix);
    if (!found) return this.#create(identity, suffix);
    this.cameBackTo(found);
    return found;
  }

  /** The signature of a cookie is looked at only here, where no live session answers to it. */
  #create(identity: TaggedIdentity | undefined, suffix: string | undefined): ActiveSession<Services> {
    const isByCookie = identity !== undefined && identity === this.#byCookie;
    if (identity === undefined || (isByCookie && !this.#isIssued(identity))) return this.#obtainByCookie(suffix);
    const session = this.sessions.obtain(identity, suffix);
    // A cookie that was issued, and a framework's session that was kept, have been brought back with this request.
    if (isByCookie || this.#port.frameworkSession?.isMarked) session.confirm();
    return session;
  }

  #isIssued(byCookie: TaggedIdentity): boolean {
    return isIssued(cookieValueOf(byCookie), this.sessions.secret);
  }

  /** The client's live session, if there is one; looking creates nothing. */
  find(): ActiveSession<Services> | undefined {
    const { identity } = this;
    const found = identity && this.#selection && this.sessions.lookUp(identity, this.#selection.suffix);
    if (found) this.cameBackTo(found);
    return found;
  }

  /** What this very request has created, it does not bring back. */
  cameBackTo(session: ActiveSession): void {
    if (session !== this.#session) session.confirm();
  }

  /** Aborts when the request is over. */
  get signal(): AbortSignal {
    return this.#port.signal;
  }

  get host(): string | undefined {
    return this.#port.host;
  }

  get nodeResponse(): ServerResponse | undefined {
    return this.#port.nodeResponse;
  }

  /** Lets the next access give the client's next session if the one that was used here has ended; returns whether it has. */
  refresh(): boolean {
    if (!this.#session || this.#session.isAvailable) return false;
    this.#session = undefined;
    return true;
  }

  /**
   * The client gets another identity: `change` has been told to log it in or out, say; a cookie of ours is replaced. What the client
   * had is given to the new identity, or ended.
   * @throws what `change` and `identify` throw, `INVALID_IDENTITY`, `IDENTITY_TOO_LATE`
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
      this.sessions.endAll(from);
      this.#session = undefined;
    } else if (from !== to) this.sessions.move(from, to);
    if (this.find()) void this.session; // marks a new session of the framework
  }

  async #renew(former: TaggedIdentity): Promise<void> {
    const framework = this.#port.frameworkSession;
    if (!framework) {
      this.#checkInTime("its cookie must be set");
      const { rotations } = this.sessions;
      if (rotations.hasBeenSince(former, this.#rotationsBefore)) {
        // Sent twice at once, as by a double click: the cookie that the other answer sets is the one to keep.
        this.#byCookie = undefined;
        this.#ignoresCookie = true;
        return;
      }
      if (former === this.#byCookie) rotations.add(former);
      this.#setCookie(createCookieValue(this.sessions.secret));
    } else if (tagIdentity("session", framework.id) === former) await framework.renew?.();
  }

  get #cookie(): SessionCookie {
    const { http, https } = this.#installation.cookies;
    return this.#port.isSecure ? https : http;
  }

  /** Whoever keeps its connection sends the same header each time: that is read once. */
  #readCookie(): TaggedIdentity | undefined {
    const header = this.#port.cookies;
    if (header === undefined) return undefined;
    const cookie = this.#cookie;
    const connection = this.#port.connection as Connection | undefined;
    const latest = connection?.[latestCookie];
    if (latest?.header === header && latest.cookie === cookie) return latest.identity;
    const identity = this.#choose(cookie.read(header).map((value) => tagIdentity("cookie", value)));
    if (connection) connection[latestCookie] = { header, cookie, identity };
    return identity;
  }

  /** A browser may send several of one name, those of other paths or domains first: the one with a session, or one that was issued. */
  #choose(identities: readonly TaggedIdentity[]): TaggedIdentity | undefined {
    if (identities.length < 2) return identities[0];
    const isLive = (identity: TaggedIdentity) => this.sessions.hasLive(identity);
    return identities.find(isLive) ?? identities.find((identity) => this.#isIssued(identity)) ?? identities[0];
  }

  /** The cookie is set only when there is a session for it. */
  #obtainByCookie(suffix: string | undefined): ActiveSession<Services> {
    this.#checkInTime("its cookie must be set");
    const value = createCookieValue(this.sessions.secret);
    const session = this.sessions.obtain(tagIdentity("cookie", value), suffix);
    this.#setCookie(value);
    return session;
  }

  #setCookie(value: string): void {
    this.#port.setCookie(this.#cookie.serialize(value));
    this.#port.forbidSharing();
    this.#byCookie = tagIdentity("cookie", value);
  }

  #checkInTime(requirement: string): void {
    if (!this.#port.headersSent) return;
    throw new ActiveSessionError(
      "IDENTITY_TOO_LATE",
      `Cannot create a session: ${requirement} before the headers are sent, received a response under way; use the session earlier in the request`,
    );
  }
}

/** The cookie's value in an identity that was made of it. */
function cookieValueOf(byCookie: TaggedIdentity): string {
  return byCookie.slice("cookie:".length);
}

function tagUser(user: unknown): TaggedIdentity | undefined {
  return user === undefined || user === null ? undefined : tagIdentity("user", user);
}
