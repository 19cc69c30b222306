/** The host: all active sessions of this process, found by the identity of their client. */
import { createDeferred, settleWithin } from "../base/async.js";
import { checkDuration, checkOptions } from "../base/check.js";
import type { CleanupSummary } from "../base/dispose.js";
import { ActiveSessionError } from "../base/error.js";
import { Alarm, IdleList, IdleLists } from "../base/idle-list.js";
import { RecencyList } from "../base/recency-list.js";
import { memoryLogs } from "../log/log-factory.js";
import { ItemTally } from "../log/result-log.js";
import type { Runner } from "../runner/runner.js";
import { ActiveSession, type SessionHost } from "./active-session.js";
import { Events } from "./events.js";
import { checkSuffix, isOfUser, sessionIdFor, type TaggedIdentity, tagIdentity } from "./identity.js";
import { type Limits, limitReached, type Tally } from "./limits.js";
import { type ActiveSessionsOptions, type HostSettings, resolveOptions } from "./options.js";
import { Rotations } from "./rotations.js";
import { parseRunnerKey } from "./runner-key.js";
import type { RunnerEntry } from "./runner-table.js";
import { type GroupHost, SessionGroup } from "./session-group.js";

/** Counts of one process, as returned by {@link ActiveSessions.stats}. */
export interface ActiveSessionsStats {
  /** Live sessions. */
  readonly sessions: number;
  /** Clients with at least one live session. */
  readonly groups: number;
  /** Runners of live sessions, finished ones included. */
  readonly runners: number;
  /** Waiting reads, long-polls and open SSE responses. */
  readonly openReads: number;
  /** Items that sequence runners keep in memory. */
  readonly items: number;
}

/** The result of a drain, as returned by {@link ActiveSessions.close}. */
export interface CloseSummary {
  /** Number of sessions that were live or still being cleaned up when the drain started. */
  readonly sessions: number;
  /** Ids of the sessions and groups whose clean-up did not finish in time. */
  readonly unfinished: readonly string[];
  /** Errors thrown in the clean-ups that finished. */
  readonly errors: readonly unknown[];
}

/**
 * The result of looking up a runner key for one identity:
 * the runner with its session; `"gone"` if the key was issued, or may have been, and the runner is removed; `"unknown"` if the
 * key cannot have been issued to this identity. A key of another client is always `"unknown"`, so that its existence stays secret.
 */
export type Located = { readonly runner: Runner; readonly session: ActiveSession } | "gone" | "unknown";

/** How many sessions end by `maxLifetime` in one turn of the event loop, so that many at once do not block it. */
const sessionsExpiredPerTurn = 1000;
/** How many sessions are examined in one turn of the event loop to make room for items. */
const sessionsLookedAtPerTurn = 100;
/** Idle time-out of unconfirmed sessions, ms; a shorter `idleTimeout` takes precedence. */
const unconfirmedTimeout = 120_000;

/** Shared by all copies of the package in a process: a bundler may include one in each of its bundles, which breaks `instanceof`. */
const brand: unique symbol = Symbol.for("active-session.host");

/** True if `value` is a host, also when it was created by another copy of the package. */
export function isHost(value: unknown): value is ActiveSessions {
  return typeof value === "object" && value !== null && brand in value;
}

/**
 * The host of all active sessions in a process: finds, creates, expires and drains them. Create one per process with
 * {@link createActiveSessions}.
 *
 *     open ──close──▶ closing: no new sessions, all live ones end ──all cleaned up, or time-out──▶ closed
 *
 * Invariants:
 * - The session table is in order of creation: a session enters it once and leaves it when it ends. Its first entry is
 *   therefore the next to reach `maxLifetime`, and one timer serves all. A session that changes hands enters again, as the
 *   youngest, with its lifetime restarted.
 * - Idle sessions and idle runners are in separate lists, in order of last use.
 * - A session leaves all tables before any of its application code runs. Code that then asks for the same client gets a new one.
 *
 * @typeParam Services the type of `session.services`, as returned by the option `services`
 */
export class ActiveSessions<Services = unknown> implements AsyncDisposable {
  /** Marks the object for {@link isHost}. @internal */
  readonly [brand] = true;
  readonly #settings: HostSettings;
  /** The live sessions by {@link tableKey}, in order of creation. */
  readonly #sessions = new Map<string, ActiveSession<Services>>();
  /** Ended sessions whose clean-up is not finished; a drain waits for them. */
  readonly #ending = new Set<ActiveSession<Services>>();
  /** The live sessions with a suffix, by client. The one without a suffix is found in the table. */
  readonly #suffixed = new Map<TaggedIdentity, Set<ActiveSession<Services>>>();
  /** The live groups by client. */
  readonly #groups = new Map<TaggedIdentity, SessionGroup<ActiveSession>>();
  /** Ended groups whose clean-up is not finished; a drain waits for them. */
  readonly #endingGroups = new Set<SessionGroup<ActiveSession>>();
  /** Confirmed sessions without a hold. */
  readonly #idleSessions: IdleList<ActiveSession>;
  readonly #events: Events;
  /** Fires when the oldest session reaches `maxLifetime`. */
  readonly #lifetime = new Alarm(() => this.#endOldest());
  /** Unconfirmed sessions without a hold. */
  readonly #idleUnconfirmed: IdleList<ActiveSession>;
  /** Number of live unconfirmed sessions. */
  #unconfirmed = 0;
  /** Unconfirmed sessions that may have runners, in order of their first runner: the candidates for {@link #endHoarders}. */
  readonly #unconfirmedAtWork = new Set<ActiveSession>();
  /** Runners of all sessions that nothing holds, in order of last use: candidates to remove when a limit is reached. */
  readonly #unusedRunners = new RecencyList<RunnerEntry>();
  /** Runners and open reads of all sessions. */
  readonly #tally: Tally = { runners: 0, openReads: 0 };
  /** Items kept by runners of confirmed sessions. */
  readonly #items = new ItemTally();
  /** Items kept by runners of unconfirmed sessions; calls back above its limit. */
  readonly #unconfirmedItems: ItemTally;
  /** True from the first item above the limit until {@link #endHoarders} is finished, so that it runs once. */
  #isMakingRoom = false;
  /** This object as sessions see it: members that the public class should not have. */
  readonly #host: SessionHost;
  /** The same for groups. */
  readonly #groupHost: GroupHost<ActiveSession>;
  /** The highest generation given out. Follows the clock, ms, so that it also grows across restarts without storage. */
  #lastGeneration: number;
  /** Set as soon as a drain starts. */
  #closing: Promise<CloseSummary> | undefined;

  /** Use {@link createActiveSessions}. @internal */
  constructor(options: ActiveSessionsOptions<ActiveSession, Services, SessionGroup<ActiveSession>>) {
    this.#settings = resolveOptions(options);
    this.#events = new Events(this.#settings.logger);
    const { idleTimeout, limits } = this.#settings;
    const expire = (session: ActiveSession) => session.endFor("idle");
    this.#idleSessions = new IdleList(idleTimeout, expire);
    this.#idleUnconfirmed = new IdleList(Math.min(idleTimeout, unconfirmedTimeout), expire);
    this.#unconfirmedItems = new ItemTally(limits.unconfirmedItems, () => this.#makeRoomForItems());
    const firstGeneration = Date.now();
    this.#lastGeneration = firstGeneration - 1;
    this.#host = {
      firstGeneration,
      logs: memoryLogs,
      settings: this.#settings,
      idleSessions: this.#idleSessions,
      idleUnconfirmed: this.#idleUnconfirmed,
      items: this.#items,
      unconfirmedItems: this.#unconfirmedItems,
      confirmed: (session) => this.#noLongerUnconfirmed(session),
      unusedRunners: this.#unusedRunners,
      idleRunners: new IdleLists(({ runner }) => void runner.dispose("idle")),
      tally: this.#tally,
      admitRunner: (session) => this.#admitRunner(session),
      admitRead: (session) => this.#admitRead(session),
      groupOf: (identity) => this.#groupOf(identity),
      forget: (session) => this.#forget(session as ActiveSession<Services>),
      cleanedUp: (session) => void this.#ending.delete(session as ActiveSession<Services>),
      events: this.#events,
    };
    this.#groupHost = {
      settings: this.#settings,
      sessionsOf: (identity) => this.#sessionsOf(identity) as ActiveSession[],
      warn: (message, details) => this.warn(message, details),
      forgetGroup: (group) => {
        this.#groups.delete(group.identity);
        this.#endingGroups.add(group);
        this.#events.emit("group.ended", () => ({ group: group.id }));
      },
      groupCleanedUp: (group, summary) => {
        this.#endingGroups.delete(group);
        this.#events.emit("group.cleaned-up", () => ({ group: group.id, ...summary }));
      },
    };
  }

  /**
   * Returns the live session of a user, or creates one. Restarts its idle timer.
   * @param identity the application's user id, a non-empty string: the same value that an adapter's `identify` returns
   * @param suffix distinguishes several sessions of one user; 1 to 64 letters, digits, `_` or `-`
   * @throws `INVALID_IDENTITY`, `INVALID_ARGUMENT` (a bad suffix), `HOST_CLOSED`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  async get(identity: string, suffix?: string): Promise<ActiveSession<Services>> {
    return this.obtain(tagIdentity("user", identity), suffix);
  }

  /**
   * Returns the live session of a user without creating one. Restarts its idle timer.
   * @param identity see {@link get}
   * @param suffix see {@link get}
   * @returns `undefined` if there is none
   * @throws `INVALID_IDENTITY`, `INVALID_ARGUMENT` (a bad suffix)
   */
  async find(identity: string, suffix?: string): Promise<ActiveSession<Services> | undefined> {
    return this.lookUp(tagIdentity("user", identity), suffix);
  }

  /** The live sessions of this process in order of creation: a snapshot. Listing does not reset idle timers. */
  sessions(): IterableIterator<ActiveSession<Services>> {
    return [...this.#sessions.values()].values();
  }

  /** Returns counts of live sessions and what they hold, for monitoring. Does not reset idle timers. */
  stats(): ActiveSessionsStats {
    let suffixed = 0;
    let onlySuffixed = 0;
    for (const [identity, { size }] of this.#suffixed) {
      suffixed += size;
      if (!this.#sessions.has(tableKey(identity, undefined))) onlySuffixed++;
    }
    const sessions = this.#sessions.size;
    return { sessions, groups: sessions - suffixed + onlySuffixed, ...this.#tally, items: this.#itemCount };
  }

  /**
   * Drains the host: refuses new sessions, ends all live ones and aborts their work, then waits for the clean-ups. Call it
   * before the process exits. Idempotent: further calls get the promise of the first, whose `timeout` applies.
   * @param options `timeout`: how long to wait, in milliseconds. Default: 10,000; `Infinity` waits without limit
   * @returns resolves when everything is cleaned up, or on time-out; errors of clean-ups are in the summary
   * @throws `INVALID_OPTION`; nothing is closed then
   */
  close(options: { readonly timeout?: number | undefined } = {}): Promise<CloseSummary> {
    const { timeout = 10_000 } = Object(options);
    try {
      checkOptions("close active sessions", options, ["timeout"]);
      checkDuration("close active sessions", "timeout", timeout);
    } catch (error) {
      return Promise.reject(error);
    }
    if (this.#closing === undefined) {
      const closed = createDeferred<CloseSummary>();
      // Set before any session ends: code that reacts to an end must not create a session or start a second drain.
      this.#closing = closed.promise;
      void this.#drain(timeout).then(closed.resolve);
    }
    return this.#closing;
  }

  /** Drains with the default time-out, for `await using`. See {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // --- for the adapters --------------------------------------------------------------------------------------------

  /** The key of the hash that forms session ids, and of cookie signatures. @internal */
  get secret(): string | Uint8Array {
    return this.#settings.secret;
  }

  /** True if an identity has a live session, with or without a suffix. Does not reset idle timers. @internal */
  hasLive(identity: TaggedIdentity): boolean {
    return this.#sessions.has(tableKey(identity, undefined)) || this.#suffixed.has(identity);
  }

  /** Cookies replaced by recent logins and logouts. @internal */
  readonly rotations = new Rotations();

  /**
   * Returns the live session of an identity, or creates one. Synchronous, so that an adapter can do it in a getter.
   * @throws as {@link get}
   * @internal
   */
  obtain(identity: TaggedIdentity, suffix: string | undefined): ActiveSession<Services> {
    return this.lookUp(identity, suffix) ?? this.#create(identity, suffix);
  }

  /**
   * Creates a session, within the limits. Making room ends other sessions, whose application code may run then and create this
   * very session: the table is looked at again afterwards.
   */
  #create(identity: TaggedIdentity, suffix: string | undefined): ActiveSession<Services> {
    if (this.#closing !== undefined) {
      throw new ActiveSessionError("HOST_CLOSED", "Cannot create a session: the host must be open, received closed");
    }
    const isGuest = !isOfUser(identity);
    const latest = this.#lastGeneration;
    this.#admitSession(identity, suffix);
    if (isGuest) this.#makeRoomForUnconfirmed();
    if (this.#lastGeneration !== latest) {
      const made = this.#sessions.get(tableKey(identity, suffix));
      if (made) return made;
    }
    if (isGuest) this.#unconfirmed++;
    this.#lastGeneration = Math.max(this.#lastGeneration + 1, Date.now());
    const session = new ActiveSession<Services>(this.#host, identity, suffix, this.#lastGeneration, !isGuest);
    this.#enter(session);
    const group = this.#groups.get(identity);
    if (group) session.join(group);
    session.touch();
    this.#tellOfCreation(session);
    this.#lifetime.setFor(session.createdAt + this.#settings.maxLifetime);
    return session;
  }

  /** Emits `session.created`. The payload is made only if there is a listener. */
  #tellOfCreation(session: ActiveSession<Services>): void {
    this.#events.emit("session.created", () => {
      const { id, generation, suffix } = session;
      return { session: id, generation, ...(suffix !== undefined && { suffix }) };
    });
  }

  /**
   * Moves all sessions of one identity to another one, at login or logout. The other identity keeps what it has: where both have
   * a session with the same suffix, the moved one ends. Limits are not checked, since the total does not grow.
   * @internal
   */
  move(from: TaggedIdentity, to: TaggedIdentity): void {
    const moved: ActiveSession[] = [];
    for (const session of this.#sessionsOf(from)) {
      if (this.#sessions.has(tableKey(to, session.suffix))) void session.terminate();
      else {
        this.#leave(session);
        session.moveTo(to);
        this.#enter(session); // last in the table: its lifetime has restarted
        moved.push(session);
      }
    }
    this.#moveGroup(from, to);
    for (const session of moved) session.endFormerOpenings();
  }

  /** Terminates all sessions of an identity. @internal */
  endAll(identity: TaggedIdentity): void {
    for (const session of this.#sessionsOf(identity)) void session.terminate();
  }

  /** Reports an error that no caller can receive, as a `warning` event. @internal */
  warn(message: string, details: object): void {
    this.#events.emit("warning", () => ({ message, ...details }));
  }

  /**
   * Returns the live session of an identity. Restarts its idle timer.
   * @throws `INVALID_ARGUMENT` (a bad suffix)
   * @internal
   */
  lookUp(identity: TaggedIdentity, suffix: string | undefined): ActiveSession<Services> | undefined {
    checkSuffix(suffix);
    const session = this.#sessions.get(tableKey(identity, suffix));
    session?.touch();
    return session;
  }

  /**
   * Looks up a runner key for an identity. Does not reset idle timers. Needs no memory of removed runners: the session id in the key
   * shows whether it belongs to the identity, its generation and number whether it can have been issued.
   * @param text the key as received; may be anything
   * @internal
   */
  locate(identity: TaggedIdentity, text: string): Located {
    const key = parseRunnerKey(text);
    if (!key) return "unknown";
    const session = this.#sessions.get(tableKey(identity, key.suffix));
    const ownId = session?.id ?? sessionIdFor(this.#settings.secret, identity, key.suffix);
    if (ownId !== key.sessionId || key.generation > Math.max(this.#lastGeneration, Date.now())) return "unknown";
    if (session?.generation !== key.generation) return "gone";
    if (!session.hasIssued(key.number)) return "unknown";
    const runner = session.peek(key.number);
    return runner ? { runner, session: session as ActiveSession } : "gone";
  }

  /** The runners of all live sessions of an identity. Does not reset idle timers. @internal */
  runnersOf(identity: TaggedIdentity): Runner[] {
    return this.#sessionsOf(identity).flatMap((session) => session.allRunners());
  }

  // --- limits ------------------------------------------------------------------------------------------------------

  /**
   * Checks the limits for one more session; makes room where that is allowed.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  #admitSession(identity: TaggedIdentity, suffix: string | undefined): void {
    const { sessions, sessionsPerClient } = this.#settings.limits;
    // Without a suffix it is the default session itself that is to be created: there is none yet.
    const hasPlain = suffix !== undefined && this.#sessions.has(tableKey(identity, undefined));
    const ofThis = (hasPlain ? 1 : 0) + (this.#suffixed.get(identity)?.size ?? 0);
    if (ofThis < sessionsPerClient && this.#sessions.size < sessions) return; // fast path
    this.#makeRoomForSession(identity);
  }

  /**
   * The slow path of {@link #admitSession}. For the limit of the process, unconfirmed sessions go first. Sessions that a request uses
   * are passed over.
   */
  #makeRoomForSession(identity: TaggedIdentity): void {
    const admit = this.#admission("create a session", undefined);
    const ofClient = () => this.#sessionsOf(identity);
    admit(
      "sessionsPerClient",
      () => ofClient().length,
      () => endIdlest(ofClient()),
    );
    const endIdle = () => {
      const isUnvisited = ({ isVisited }: ActiveSession) => !isVisited;
      const idle = this.#idleUnconfirmed.findOldest(isUnvisited) ?? this.#idleSessions.findOldest(isUnvisited);
      idle?.endFor("idle");
      return idle !== undefined;
    };
    admit("sessions", () => this.#sessions.size, endIdle);
  }

  /**
   * Ends the longest unused unconfirmed sessions until there is room for one more, regardless of `whenReached`: otherwise a flood of
   * clients without cookies would lock out real ones.
   * @throws `SERVER_LIMIT_REACHED` if all of them are in use
   */
  #makeRoomForUnconfirmed(): void {
    const { limits } = this.#settings;
    while (this.#unconfirmed >= limits.unconfirmedSessions) {
      const oldest = this.#idleUnconfirmed.findOldest(({ isVisited }) => !isVisited);
      if (!oldest) this.#refuse("create a session", "unconfirmedSessions", undefined);
      oldest?.endFor("idle");
    }
  }

  /** Stops counting a session as unconfirmed: it was confirmed, or has ended. */
  #noLongerUnconfirmed(session: ActiveSession): void {
    this.#unconfirmed--;
    this.#unconfirmedAtWork.delete(session);
  }

  /** Called in the middle of an append. Deferred to a microtask, because the append must not end the session it belongs to. */
  #makeRoomForItems(): void {
    if (this.#isMakingRoom) return;
    this.#isMakingRoom = true;
    queueMicrotask(() => this.#endHoarders());
  }

  /**
   * Ends unconfirmed sessions that keep items, oldest first, until the limit `unconfirmedItems` is met. Works in batches to keep the
   * event loop responsive. Sessions without items are skipped and moved to the end of the queue.
   */
  #endHoarders(): void {
    const atWork = this.#unconfirmedAtWork;
    let left = Math.min(sessionsLookedAtPerTurn, atWork.size);
    for (const session of atWork) {
      if (this.#unconfirmedItems.items <= this.#unconfirmedItems.most || left-- === 0) break;
      atWork.delete(session);
      if (!session.isAvailable || session.isConfirmed) continue;
      if (session.retained === 0) atWork.add(session);
      else this.#endHoarder(session);
    }
    const isOver = this.#unconfirmedItems.items <= this.#unconfirmedItems.most || atWork.size === 0;
    if (isOver) this.#isMakingRoom = false;
    else setImmediate(() => this.#endHoarders());
  }

  /** Ends one session of {@link #endHoarders} and reports the limit as an event: there is no caller to throw at. */
  #endHoarder(session: ActiveSession): void {
    const error = limitReached("keep more items", "unconfirmedItems", this.#settings.limits);
    this.#events.emit("limit.reached", () => ({ limit: "unconfirmedItems", error, session: session.id }));
    session.endFor("idle");
  }

  /**
   * Checks the limits for one more runner: of the client, of the process, and of retained items. Removes unused runners where
   * that is allowed.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  #admitRunner(session: ActiveSession): void {
    const { runners, runnersPerClient, retainedItems } = this.#settings.limits;
    if (!session.isConfirmed) this.#admitUnconfirmedRunner(session);
    // Fast path: one client cannot have more runners than the process, so below both limits there is nothing to count.
    if (this.#tally.runners < Math.min(runners, runnersPerClient) && this.#itemCount < retainedItems) return;
    const admit = this.#admission("create a runner", session);
    const ofClient = () => this.#sessionsOf(session.identity);
    const runnersOfClient = () => ofClient().reduce((sum, { runnerCount }) => sum + runnerCount, 0);
    admit("runnersPerClient", runnersOfClient, () => removeIdlest(ofClient()));
    admit(
      "runners",
      () => this.#tally.runners,
      () => this.#removeUnused(() => true),
    );
    const holdsItems = ({ runner: { kind, retained } }: RunnerEntry) => kind === "sequence" && retained > 0;
    admit(
      "retainedItems",
      () => this.#itemCount,
      () => this.#removeUnused(holdsItems),
    );
  }

  /** The stricter limit of an unconfirmed session, which can only remove runners of its own. */
  #admitUnconfirmedRunner(session: ActiveSession): void {
    const admit = this.#admission("create a runner", session);
    admit(
      "unconfirmedRunners",
      () => session.runnerCount,
      () => removeIdlest([session]),
    );
    // Making room may have run application code that ended the session.
    if (session.isAvailable) this.#unconfirmedAtWork.add(session);
  }

  /**
   * Removes the least recently used runner without a hold; its work is aborted.
   * @returns false if there is none
   */
  #removeUnused(fits: (entry: RunnerEntry) => boolean): boolean {
    const entry = this.#unusedRunners.oldest(fits);
    if (entry) void entry.runner.dispose("idle");
    return entry !== undefined;
  }

  /** Items kept by all sequence runners. */
  get #itemCount(): number {
    return this.#items.items + this.#unconfirmedItems.items;
  }

  /**
   * Checks the limits for one more waiting read or open response. Never makes room: an open read is in use by definition.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  #admitRead(session: ActiveSession): void {
    const { openReads, openReadsPerClient } = this.#settings.limits;
    // Fast path, as in #admitRunner: reads are frequent.
    if (this.#tally.openReads < Math.min(openReads, openReadsPerClient)) return;
    const admit = this.#admission("read", session);
    const ofClient = () => this.#sessionsOf(session.identity);
    admit("openReadsPerClient", () => ofClient().reduce((sum, { openReadCount }) => sum + openReadCount, 0));
    admit("openReads", () => this.#tally.openReads);
  }

  /**
   * Returns a function that checks one limit for an action. It throws if the limit is reached and no room can be made.
   * @param action names the action in the error message
   * @param session the session that asks, for the event; `undefined` if it is yet to be created
   * @returns takes the name of the limit, a function that counts, and one that ends something unused and returns false if there
   *   is nothing; without the latter the limit always refuses
   */
  #admission(action: string, session: ActiveSession | undefined) {
    const { limits } = this.#settings;
    return (name: keyof Omit<Limits, "whenReached">, count: () => number, makeRoom = () => false): void => {
      if (limits[name] === Number.POSITIVE_INFINITY) return;
      for (let before = count(); before >= limits[name]; before = count()) {
        // Without progress, refuse: the request may come from code that runs while the candidate ends, and would otherwise
        // loop forever.
        if (limits.whenReached === "end-idle" && makeRoom() && count() < before) continue;
        this.#refuse(action, name, session);
      }
    };
  }

  /** Emits `limit.reached` and throws its error. */
  #refuse(action: string, name: keyof Omit<Limits, "whenReached">, session: ActiveSession | undefined): never {
    const error = limitReached(action, name, this.#settings.limits);
    const whose = session && { session: session.id };
    this.#events.emit("limit.reached", () => ({ limit: name, error, ...whose }));
    throw error;
  }

  // --- groups ------------------------------------------------------------------------------------------------------

  /** The live sessions of one client: the one without a suffix first. */
  #sessionsOf(identity: TaggedIdentity): ActiveSession<Services>[] {
    const plain = this.#sessions.get(tableKey(identity, undefined));
    return [...(plain ? [plain] : []), ...(this.#suffixed.get(identity) ?? [])];
  }

  /** Returns the group of a client, or creates it and lets all its live sessions join. */
  #groupOf(identity: TaggedIdentity): SessionGroup<ActiveSession> {
    let group = this.#groups.get(identity);
    if (!group) {
      group = new SessionGroup<ActiveSession>(this.#groupHost, identity);
      this.#groups.set(identity, group);
      for (const session of this.#sessionsOf(identity)) session.join(group);
      const { id } = group;
      this.#events.emit("group.created", () => ({ group: id }));
    }
    return group;
  }

  /**
   * Moves the group along with the sessions, which are in the table under `to` already. If the new owner has a group, moved sessions
   * change to that one, and the former group ends when the last of its holders releases it. Otherwise the group itself changes hands.
   */
  #moveGroup(from: TaggedIdentity, to: TaggedIdentity): void {
    const group = this.#groups.get(from);
    const other = this.#groups.get(to);
    if (!group) {
      if (other) for (const session of this.#sessionsOf(to)) session.join(other);
      return;
    }
    if (other) {
      for (const session of this.#sessionsOf(to)) if (session.group === group) session.joinInstead(other);
      return;
    }
    this.#groups.delete(from);
    group.identity = to;
    this.#groups.set(to, group);
    for (const session of this.#sessionsOf(to)) session.join(group);
  }

  // --- lifetimes ---------------------------------------------------------------------------------------------------

  /** Removes an ended session from the tables; its clean-up is tracked until it finishes. */
  #forget(session: ActiveSession<Services>): void {
    this.#leave(session);
    if (!session.isConfirmed) this.#noLongerUnconfirmed(session as ActiveSession);
    this.#ending.add(session);
  }

  /** Adds a session to the tables, as the youngest. */
  #enter(session: ActiveSession<Services>): void {
    const { identity, suffix } = session;
    this.#sessions.set(tableKey(identity, suffix), session);
    if (suffix === undefined) return;
    const siblings = this.#suffixed.get(identity) ?? new Set();
    this.#suffixed.set(identity, siblings.add(session));
  }

  /** Removes a session from the tables, under its current identity. */
  #leave(session: ActiveSession<Services>): void {
    const { identity, suffix } = session;
    const key = tableKey(identity, suffix);
    if (this.#sessions.get(key) === session) this.#sessions.delete(key);
    const siblings = suffix === undefined ? undefined : this.#suffixed.get(identity);
    siblings?.delete(session);
    if (siblings?.size === 0) this.#suffixed.delete(identity);
  }

  /** Ends the sessions that have reached `maxLifetime`, and sets the alarm for the next one. */
  #endOldest(): void {
    let left = sessionsExpiredPerTurn;
    for (const session of this.#sessions.values()) {
      const deadline = session.createdAt + this.#settings.maxLifetime;
      if (deadline > performance.now() || left-- === 0) {
        this.#lifetime.setFor(deadline);
        return;
      }
      session.endFor("lifetime");
    }
  }

  /**
   * Ends all sessions, then the groups: a group lasts as long as a session or a request holds it, and requests are not waited for.
   * Never rejects.
   */
  async #drain(timeout: number): Promise<CloseSummary> {
    const live = [...this.#sessions.values()];
    const errors: unknown[] = [];
    const unfinished = new Set<{ readonly id: string }>([...this.#ending, ...live]);
    const sessions = unfinished.size;
    this.#events.emit("host.closing", () => ({ sessions }));
    const waitFor = async (one: { readonly id: string }, cleanup: Promise<CleanupSummary>) => {
      const summary = await cleanup;
      errors.push(...summary.errors);
      if (!summary.timedOut) unfinished.delete(one);
    };
    const drain = async () => {
      await Promise.all([...this.#ending, ...live].map((session) => waitFor(session, session.end("shutdown"))));
      const groups = [...this.#endingGroups, ...this.#groups.values()];
      for (const group of groups) unfinished.add(group);
      await Promise.all(groups.map((group) => waitFor(group, group.end())));
    };
    await settleWithin(drain(), timeout);
    this.#lifetime.cancel();
    this.#idleSessions.close();
    this.#idleUnconfirmed.close();
    const summary = { sessions, unfinished: [...unfinished].map(({ id }) => id), errors: [...errors] };
    this.#events.emit("host.closed", () => ({ sessions, unfinished: summary.unfinished }));
    return summary;
  }
}

/**
 * Ends the least recently used session that neither a hold nor a request uses. `expiresAt` is 0 while something holds a session.
 * Linear, which is fine for the few sessions of one client.
 * @returns false if there is none
 */
function endIdlest(sessions: Iterable<ActiveSession>): boolean {
  const idlest = leastOf(sessions, ({ expiresAt, isVisited }) => (expiresAt > 0 && !isVisited ? expiresAt : undefined));
  idlest?.endFor("idle");
  return idlest !== undefined;
}

/**
 * Removes the least recently used runner without a hold from one client's sessions; its work is aborted.
 * @returns false if there is none
 */
function removeIdlest(sessions: readonly ActiveSession[]): boolean {
  const candidates = sessions.flatMap((session) => session.idlestRunner() ?? []);
  const idlest = leastOf(candidates, ({ usedAt }) => usedAt);
  if (idlest) void idlest.runner.dispose("idle");
  return idlest !== undefined;
}

/** The element with the lowest rank; elements ranked `undefined` are excluded. */
function leastOf<T>(all: Iterable<T>, rank: (one: T) => number | undefined): T | undefined {
  let [least, lowest]: [T | undefined, number] = [undefined, Number.POSITIVE_INFINITY];
  for (const one of all) {
    const value = rank(one) ?? Number.POSITIVE_INFINITY;
    if (value < lowest) [least, lowest] = [one, value];
  }
  return least;
}

/**
 * The key of a session in the table. Unambiguous: an identity starts with the name of its source, never with a dot, and a
 * suffix contains no colon.
 */
function tableKey(identity: TaggedIdentity, suffix: string | undefined): string {
  return suffix === undefined ? identity : `.${suffix}:${identity}`;
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
  return new ActiveSessions(options);
}
