/** The host: all active sessions of this process, found by the identity of their client. */
import { createDeferred } from "../base/async.js";
import { ActiveSessionError } from "../base/error.js";
import { Alarm, IdleLists } from "../base/idle-list.js";
import { memoryLogs } from "../log/log-factory.js";
import type { ActiveSession } from "./active-session.js";
import {
  ActiveSessions,
  type ActiveSessionsStats,
  type CloseSummary,
  type DrainOptions,
  type Health,
} from "./active-sessions.js";
import { Admission } from "./admission.js";
import { type Directory, LocalDirectory } from "./directory.js";
import { Drain, type DrainTimes, endAll, resolveDrain } from "./drain.js";
import { Events } from "./events.js";
import { Groups } from "./groups.js";
import { checkSuffix, isOfUser, type TaggedIdentity, tagIdentity } from "./identity.js";
import { retryAfter } from "./limits.js";
import { type ActiveSessionsOptions, type HostSettings, resolveOptions } from "./options.js";
import { SessionRegistry } from "./registry.js";
import { Rotations } from "./rotations.js";
import { Session } from "./session.js";
import type { SessionCore } from "./session-core.js";
import type { SessionGroup } from "./session-group.js";
import type { SessionHost } from "./session-host.js";

/** How many sessions end by `maxLifetime` in one turn of the event loop, so that many at once do not block it. */
const sessionsExpiredPerTurn = 1000;

/** Shared by all copies of the package in a process: a bundler may include one in each of its bundles, which breaks `instanceof`. */
const brand: unique symbol = Symbol.for("active-session.host");

/** True if `value` is a host, also when it was created by another copy of the package. */
export function isHost(value: unknown): value is Host<unknown> {
  return typeof value === "object" && value !== null && brand in value;
}

/**
 * The host that {@link createActiveSessions} makes: what applications see of it, and what adapters use.
 *
 * - {@link SessionRegistry} has the live sessions, {@link Groups} their groups, {@link Admission} the counts and limits.
 * - One timer serves `maxLifetime` of all: the registry's first session is the next to reach it.
 * - A session leaves all tables before any of its application code runs. Code that then asks for the same client gets a new one.
 */
export class Host<Services = unknown> extends ActiveSessions<Services> {
  /** Marks the object for {@link isHost}. */
  readonly [brand] = true;
  /** Cookies replaced by recent logins and logouts. */
  readonly rotations = new Rotations();
  /** Finds the sessions and runners of a client. */
  readonly directory: Directory;
  readonly #settings: HostSettings;
  readonly #events: Events;
  readonly #registry = new SessionRegistry<Session>();
  readonly #groups: Groups;
  readonly #admission: Admission;
  /** Ended sessions whose clean-up is not finished; a drain waits for them. */
  readonly #ending = new Set<SessionCore>();
  /** Fires when the oldest session reaches `maxLifetime`. */
  readonly #lifetime = new Alarm(() => this.#endOldest());
  /** This object as sessions see it. */
  readonly #host: SessionHost<SessionCore>;
  /** The highest generation given out. Follows the clock, ms, so that it also grows across restarts without storage. */
  #lastGeneration: number;
  /** Set as soon as a drain starts. */
  #drain: Drain | undefined;
  /** The result of the drain. */
  #closed: Promise<CloseSummary> | undefined;
  /** True as soon as nothing new is created any more. */
  #isClosed = false;

  constructor(options: ActiveSessionsOptions<ActiveSession, Services, SessionGroup<ActiveSession>>) {
    super();
    const settings = resolveOptions(options);
    const events = new Events(settings.logger);
    const admission = new Admission(settings, events, this.#registry);
    const groups = new Groups(settings, events, (identity) => this.#registry.of(identity));
    this.#settings = settings;
    this.#events = events;
    this.#admission = admission;
    this.#groups = groups;
    const firstGeneration = Date.now();
    this.#lastGeneration = firstGeneration - 1;
    this.directory = new LocalDirectory(this, this.#registry, groups);
    const { idle, items, unconfirmedItems, unusedRunners, tally } = admission;
    this.#host = {
      firstGeneration,
      logs: memoryLogs,
      settings,
      events,
      ...{ idle, items, unconfirmedItems, unusedRunners, tally },
      idleRunners: new IdleLists(({ runner, stage }) => {
        void (stage === "working" ? runner.abortIdle() : runner.dispose("idle"));
      }),
      confirmed: (session) => admission.noLongerUnconfirmed(session),
      admitRunner: (session) => {
        this.#checkOpen("create a runner");
        admission.admitRunner(session);
        this.#checkOpen("create a runner"); // making room may have run code that closes the host
      },
      settled: () => this.#drain?.check(),
      startFailed: (runner) => {
        if (this.#isClosed) void runner.dispose("shutdown");
      },
      admitRead: (session) => admission.admitRead(session),
      groupOf: (identity) => groups.of(identity),
      forget: (session) => this.#forget(session),
      cleanedUp: (session) => void this.#ending.delete(session),
    };
  }

  async get(identity: string, suffix?: string): Promise<ActiveSession<Services>> {
    return this.obtain(tagIdentity("user", identity), suffix);
  }

  async find(identity: string, suffix?: string): Promise<ActiveSession<Services> | undefined> {
    return this.lookUp(tagIdentity("user", identity), suffix);
  }

  sessions(): IterableIterator<ActiveSession<Services>> {
    return ([...this.#registry.all()] as Session<Services>[]).values();
  }

  stats(): ActiveSessionsStats {
    const { size: sessions, clients: groups } = this.#registry;
    const { runners, running, unseen, openReads } = this.#admission.tally;
    return { sessions, groups, runners, running, unseen, openReads, items: this.#admission.itemCount };
  }

  close(options?: DrainOptions): Promise<CloseSummary> {
    let times: DrainTimes;
    try {
      times = resolveDrain(options);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#drain) this.#drain.shorten(times);
    else {
      this.#drain = new Drain(times); // first: code that reacts to an end must not start a second one
      const closed = createDeferred<CloseSummary>();
      this.#closed = closed.promise;
      void this.#close(this.#drain).then(closed.resolve);
    }
    return this.#closed!;
  }

  /** The phases of {@link close}. One that has no time is passed without a wait. Never rejects. */
  async #close(drain: Drain): Promise<CloseSummary> {
    const { tally } = this.#admission;
    const isSettled = () => tally.working === 0 && tally.unseen === 0;
    if (!drain.isOver("grace", () => false)) await drain.wait("grace", () => false);
    drain.begin("finish");
    this.#isClosed = true;
    this.#events.emit("host.closing", () => ({ sessions: this.#registry.size + this.#ending.size }));
    if (!drain.isOver("finish", isSettled)) {
      this.#abortUnbegun();
      await drain.wait("finish", isSettled);
    }
    drain.begin("end");
    const interrupted = tally.working;
    const sessions = new Set([...this.#ending, ...this.#registry.all()]);
    const summary = await endAll(sessions, () => this.#groups.all(), drain);
    this.#lifetime.cancel();
    this.#admission.close();
    this.#events.emit("host.closed", () => ({ sessions: summary.sessions, unfinished: summary.unfinished }));
    return { ...summary, interrupted };
  }

  /** What waits for its first read begins no more. */
  #abortUnbegun(): void {
    for (const session of [...this.#registry.all()]) {
      for (const runner of session.allRunners()) if (runner.isUnbegun) void runner.dispose("shutdown");
    }
  }

  /** @throws `HOST_CLOSED` from the second phase of a drain on */
  #checkOpen(action: string): void {
    if (!this.#isClosed) return;
    const message = `Cannot ${action}: the host must be open, received closed`;
    throw new ActiveSessionError("HOST_CLOSED", message, { retryAfter });
  }

  async ready(): Promise<void> {}

  health(): Health {
    const draining = this.#drain !== undefined;
    return { ready: !draining, draining, engine: "memory" };
  }

  // --- for the adapters --------------------------------------------------------------------------------------------

  /** The key of the hash that forms session ids, and of cookie signatures. */
  get secret(): string | Uint8Array {
    return this.#settings.secret;
  }

  /** The highest generation that can have been given out: by the clock, also if this process has made no session yet. */
  get lastGeneration(): number {
    return Math.max(this.#lastGeneration, Date.now());
  }

  /** True if an identity has a live session, with or without a suffix. Does not reset idle timers. */
  hasLive(identity: TaggedIdentity): boolean {
    return this.#registry.hasAny(identity);
  }

  /**
   * Returns the live session of an identity, or creates one. Synchronous, so that an adapter can do it in a getter.
   * @throws as {@link get}
   */
  obtain(identity: TaggedIdentity, suffix: string | undefined): Session<Services> {
    return this.lookUp(identity, suffix) ?? this.#create(identity, suffix);
  }

  /**
   * Returns the live session of an identity. Restarts its idle timer.
   * @throws `INVALID_ARGUMENT` (a bad suffix)
   */
  lookUp(identity: TaggedIdentity, suffix: string | undefined): Session<Services> | undefined {
    checkSuffix(suffix);
    const session = this.#registry.get(identity, suffix);
    session?.touch();
    return session as Session<Services> | undefined;
  }

  /** Reports an error that no caller can receive, as a `warning` event. */
  warn(message: string, details: object): void {
    this.#events.emit("warning", () => ({ message, ...details }));
  }

  // --- lifetimes ---------------------------------------------------------------------------------------------------

  /**
   * Creates a session, within the limits. Making room ends other sessions, whose application code may run then and create this
   * very session: the table is looked at again afterwards.
   */
  #create(identity: TaggedIdentity, suffix: string | undefined): Session<Services> {
    this.#checkOpen("create a session");
    const isGuest = !isOfUser(identity);
    const latest = this.#lastGeneration;
    if (isGuest) this.#admission.checkUnconfirmed();
    this.#admission.admitSession(identity, suffix);
    if (isGuest) this.#admission.admitUnconfirmed();
    this.#checkOpen("create a session"); // as above
    if (this.#lastGeneration !== latest) {
      const made = this.#registry.get(identity, suffix);
      if (made) return made as Session<Services>;
    }
    if (isGuest) this.#admission.addUnconfirmed();
    this.#lastGeneration = Math.max(this.#lastGeneration + 1, Date.now());
    const session = new Session<Services>(this.#host, identity, suffix, this.#lastGeneration, !isGuest);
    this.#registry.enter(session as Session);
    this.#groups.welcome(session as Session, identity);
    session.touch();
    this.#tellOfCreation(session);
    this.#lifetime.setFor(session.createdAt + this.#settings.maxLifetime);
    return session;
  }

  /** Emits `session.created`. The payload is made only if there is a listener. */
  #tellOfCreation(session: Session<Services>): void {
    this.#events.emit("session.created", () => {
      const { id, generation, suffix } = session;
      return { session: id, generation, ...(suffix !== undefined && { suffix }) };
    });
  }

  /** Removes an ended session from the tables; its clean-up is tracked until it finishes. */
  #forget(session: SessionCore): void {
    this.#registry.leave(session as Session);
    if (!session.isConfirmed) this.#admission.noLongerUnconfirmed(session);
    this.#ending.add(session);
  }

  /** Ends the sessions that have reached `maxLifetime`, and sets the alarm for the next one. */
  #endOldest(): void {
    let left = sessionsExpiredPerTurn;
    for (const session of this.#registry.all()) {
      const deadline = session.createdAt + this.#settings.maxLifetime;
      if (deadline > performance.now() || left-- === 0) {
        this.#lifetime.setFor(deadline);
        return;
      }
      session.endFor("lifetime");
    }
  }
}

/**
 * Creates the host of all active sessions in this process. Pass it to an adapter, or use it directly as below.
 * @param options time-outs, limits, services and logger; all have defaults
 * @returns the host; call `close` before the process exits
 * @example
 * const sessions = createActiveSessions({ idleTimeout: 10 * 60_000 });
 * const session = await sessions.get("user-17");
 * const runner = await session.createSequenceRunner([1, 2, 3]);
 * const { result } = await runner.getRequired(); // [1, 2, 3]
 * await sessions.close();
 * @throws `INVALID_OPTION`
 */
export function createActiveSessions<Services = unknown>(
  options: ActiveSessionsOptions<ActiveSession, Services, SessionGroup<ActiveSession>> = {},
): ActiveSessions<Services> {
  return new Host(options);
}
