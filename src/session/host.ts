/**
 * The host: all active sessions of this process, found by the identity of their client.
 *
 *     open ──close──▶ closing: nothing new, all sessions end ──all cleaned up, or the time is up──▶ closed
 *
 * The table is in order of creation, because a session enters it once and leaves it when it ends; so its first entry is also
 * the next to reach `maxLifetime`. Idle sessions and runners stand in lists of their own, in order of last use.
 */
import { createDeferred, settleWithin } from "../base/async.js";
import { checkDuration, checkOptions } from "../base/check.js";
import type { CleanupSummary } from "../base/dispose.js";
import { ActiveSessionError } from "../base/error.js";
import { Alarm, IdleList, IdleLists } from "../base/idle-list.js";
import { RecencyList } from "../base/recency-list.js";
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

/** Figures of this process. */
export interface ActiveSessionsStats {
  /** Live sessions. */
  readonly sessions: number;
  /** Clients that have a live session. */
  readonly groups: number;
  /** Runners of live sessions, finished ones included. */
  readonly runners: number;
  /** Reads that wait, and responses that are open. */
  readonly openReads: number;
  /** Items that the sequences among these runners hold in memory. */
  readonly items: number;
}

/** What a drain has come to. */
export interface CloseSummary {
  /** How many sessions were live or still being cleaned up when it began. */
  readonly sessions: number;
  /** The ids of the sessions, and groups, whose clean-up had not finished in time. */
  readonly unfinished: readonly string[];
  /** What went wrong in the clean-ups that finished. */
  readonly errors: readonly unknown[];
}

/** Where a runner's key leads an identity. `gone`: it existed, or may have; `unknown`: it never did, for this identity. */
export type Located = { readonly runner: Runner; readonly session: ActiveSession } | "gone" | "unknown";

const sessionsExpiredPerTurn = 1000;
/** Of those that might make room for items, in a turn of the event loop. */
const sessionsLookedAtPerTurn = 100;
/** A session whose client has not come back yet ends so long after its last use, ms. */
const unconfirmedTimeout = 120_000;

/** Known to all copies of the package in a process: a bundler may make one for each of its bundles. */
const brand: unique symbol = Symbol.for("active-session.host");

/** Whether something is a host, of whichever copy of the package. */
export function isHost(value: unknown): value is ActiveSessions {
  return typeof value === "object" && value !== null && brand in value;
}

/** Finds, creates, expires and drains sessions; one for each process. See `createActiveSessions`. */
export class ActiveSessions<Services = unknown> implements AsyncDisposable {
  /** @internal */
  readonly [brand] = true;
  readonly #settings: HostSettings;
  readonly #sessions = new Map<string, ActiveSession<Services>>();
  readonly #ending = new Set<ActiveSession<Services>>();
  /** The live sessions with a suffix, by client; one without is found in the table. */
  readonly #suffixed = new Map<TaggedIdentity, Set<ActiveSession<Services>>>();
  readonly #groups = new Map<TaggedIdentity, SessionGroup<ActiveSession>>();
  readonly #endingGroups = new Set<SessionGroup<ActiveSession>>();
  readonly #idleSessions: IdleList<ActiveSession>;
  readonly #events: Events;
  readonly #lifetime = new Alarm(() => this.#endOldest());
  readonly #idleUnconfirmed: IdleList<ActiveSession>;
  /** Sessions whose client has not come back yet: how many there are, and, in order of their first work, those that have some. */
  #unconfirmed = 0;
  readonly #unconfirmedAtWork = new Set<ActiveSession>();
  readonly #unusedRunners = new RecencyList<RunnerEntry>();
  readonly #tally: Tally = { runners: 0, openReads: 0 };
  readonly #items = new ItemTally();
  readonly #unconfirmedItems: ItemTally;
  #isMakingRoom = false;
  readonly #host: SessionHost;
  readonly #groupHost: GroupHost<ActiveSession>;
  #lastGeneration: number;
  #closing: Promise<CloseSummary> | undefined;

  /** @internal */
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
   * The live session of a user, created if there is none. It is a use of the session.
   * @param identity the application's own user id, a non-empty string: what an adapter's `identify` returns
   * @param suffix tells apart several sessions of one user; 1 to 64 letters, digits, `_` or `-`
   * @throws `INVALID_IDENTITY`, `INVALID_ARGUMENT`, `HOST_CLOSED`
   */
  async get(identity: string, suffix?: string): Promise<ActiveSession<Services>> {
    return this.obtain(tagIdentity("user", identity), suffix);
  }

  /** The live session of a user, or `undefined`. It is a use of the session. Throws like {@link get}, but when closed. */
  async find(identity: string, suffix?: string): Promise<ActiveSession<Services> | undefined> {
    return this.lookUp(tagIdentity("user", identity), suffix);
  }

  /** The live sessions of this process, in order of creation, as of the call. */
  sessions(): IterableIterator<ActiveSession<Services>> {
    return [...this.#sessions.values()].values();
  }

  /** Figures of this process. */
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
   * Drains: no new sessions, all live ones end, their work is aborted. Resolves when everything is cleaned up, or after
   * `timeout` ms (default 10,000; `Infinity` waits as long as it takes). Further calls get the same promise.
   * @throws `INVALID_OPTION`
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
      this.#closing = closed.promise; // before anything ends: who is told of an end must not begin anew
      void this.#drain(timeout).then(closed.resolve);
    }
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // --- for the adapters --------------------------------------------------------------------------------------------

  /** What names sessions and signs cookies. @internal */
  get secret(): string | Uint8Array {
    return this.#settings.secret;
  }

  /** Whether an identity has a live session, with a suffix or without. Looking is no use of it. @internal */
  hasLive(identity: TaggedIdentity): boolean {
    return this.#sessions.has(tableKey(identity, undefined)) || this.#suffixed.has(identity);
  }

  /** Which cookies have just been replaced. @internal */
  readonly rotations = new Rotations();

  /** The live session of an identity, created if there is none. @internal */
  obtain(identity: TaggedIdentity, suffix: string | undefined): ActiveSession<Services> {
    return this.lookUp(identity, suffix) ?? this.#create(identity, suffix);
  }

  #create(identity: TaggedIdentity, suffix: string | undefined): ActiveSession<Services> {
    if (this.#closing !== undefined) {
      throw new ActiveSessionError("HOST_CLOSED", "Cannot create a session: the host must be open, received closed");
    }
    this.#admitSession(identity, suffix);
    if (!isOfUser(identity)) this.#makeRoomForUnconfirmed();
    const made = this.#sessions.get(tableKey(identity, suffix));
    if (made) return made; // by code of the application that ran when another session made room
    if (!isOfUser(identity)) this.#unconfirmed++;
    this.#lastGeneration = Math.max(this.#lastGeneration + 1, Date.now());
    const session = new ActiveSession<Services>(this.#host, identity, suffix, this.#lastGeneration);
    this.#enter(session);
    const group = this.#groups.get(identity);
    if (group) session.join(group);
    session.touch();
    this.#tellOfCreation(session);
    this.#lifetime.setFor(session.createdAt + this.#settings.maxLifetime);
    return session;
  }

  #tellOfCreation(session: ActiveSession<Services>): void {
    this.#events.emit("session.created", () => {
      const { id, generation, suffix } = session;
      return { session: id, generation, ...(suffix !== undefined && { suffix }) };
    });
  }

  /**
   * Gives what one client has to another identity, which keeps what it has itself: of two sessions with the same suffix, that of
   * the former ends. Limits are not asked: nothing is added.
   * @internal
   */
  move(from: TaggedIdentity, to: TaggedIdentity): void {
    const moved: ActiveSession[] = [];
    for (const session of this.#sessionsOf(from)) {
      if (this.#sessions.has(tableKey(to, session.suffix))) void session.terminate();
      else {
        this.#leave(session);
        session.moveTo(to);
        this.#enter(session); // as the youngest, which it is by its lifetime
        moved.push(session);
      }
    }
    this.#moveGroup(from, to);
    for (const session of moved) session.endFormerOpenings();
  }

  /** Ends what one client has. @internal */
  endAll(identity: TaggedIdentity): void {
    for (const session of this.#sessionsOf(identity)) void session.terminate();
  }

  /** Tells the logger of something that went wrong where nobody else could be told. @internal */
  warn(message: string, details: object): void {
    this.#events.emit("warning", () => ({ message, ...details }));
  }

  /** The live session of an identity. @internal */
  lookUp(identity: TaggedIdentity, suffix: string | undefined): ActiveSession<Services> | undefined {
    checkSuffix(suffix);
    const session = this.#sessions.get(tableKey(identity, suffix));
    session?.touch();
    return session;
  }

  /** Finds the runner of a key without using it; tells only this identity's own runners apart from the rest. @internal */
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

  /** The runners of all live sessions of an identity, without using them. @internal */
  runnersOf(identity: TaggedIdentity): Runner[] {
    return this.#sessionsOf(identity).flatMap((session) => session.allRunners());
  }

  // --- limits ------------------------------------------------------------------------------------------------------

  #admitSession(identity: TaggedIdentity, suffix: string | undefined): void {
    const { sessions, sessionsPerClient } = this.#settings.limits;
    const hasPlain = suffix !== undefined && this.#sessions.has(tableKey(identity, undefined)); // else it is this one
    const ofThis = (hasPlain ? 1 : 0) + (this.#suffixed.get(identity)?.size ?? 0);
    if (ofThis < sessionsPerClient && this.#sessions.size < sessions) return; // the limits are seldom near
    this.#makeRoomForSession(identity);
  }

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

  /** For one more session of an unknown client: the oldest such one ends, whatever `whenReached` says. */
  #makeRoomForUnconfirmed(): void {
    const { limits } = this.#settings;
    while (this.#unconfirmed >= limits.unconfirmedSessions) {
      const oldest = this.#idleUnconfirmed.findOldest(({ isVisited }) => !isVisited);
      if (!oldest) this.#refuse("create a session", "unconfirmedSessions", undefined);
      oldest?.endFor("idle");
    }
  }

  #noLongerUnconfirmed(session: ActiveSession): void {
    this.#unconfirmed--;
    this.#unconfirmedAtWork.delete(session);
  }

  /** In a step of its own: an append, which is under way, must not end the session that it belongs to. */
  #makeRoomForItems(): void {
    if (this.#isMakingRoom) return;
    this.#isMakingRoom = true;
    queueMicrotask(() => this.#endHoarders());
  }

  /**
   * Ends unconfirmed sessions that keep items, the oldest first, until the rest keeps few enough. Some at a time; those that keep none
   * are passed over, and go to the end of the line.
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

  #endHoarder(session: ActiveSession): void {
    const error = limitReached("keep more items", "unconfirmedItems", this.#settings.limits);
    this.#events.emit("limit.reached", () => ({ limit: "unconfirmedItems", error, session: session.id }));
    session.endFor("idle");
  }

  #admitRunner(session: ActiveSession): void {
    const { runners, runnersPerClient, retainedItems } = this.#settings.limits;
    if (!session.isConfirmed) this.#admitUnconfirmedRunner(session);
    // One client cannot have more than all together, and the limits are seldom near.
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

  #admitUnconfirmedRunner(session: ActiveSession): void {
    const admit = this.#admission("create a runner", session);
    admit(
      "unconfirmedRunners",
      () => session.runnerCount,
      () => removeIdlest([session]),
    );
    if (session.isAvailable) this.#unconfirmedAtWork.add(session); // making room may have run code that ended it
  }

  /** Removes the least recently used runner that nobody is using; returns whether there was one. */
  #removeUnused(fits: (entry: RunnerEntry) => boolean): boolean {
    const entry = this.#unusedRunners.oldest(fits);
    if (entry) void entry.runner.dispose("idle");
    return entry !== undefined;
  }

  get #itemCount(): number {
    return this.#items.items + this.#unconfirmedItems.items;
  }

  #admitRead(session: ActiveSession): void {
    const { openReads, openReadsPerClient } = this.#settings.limits;
    // One client cannot have more than all together: reads are many, and the limits seldom near.
    if (this.#tally.openReads < Math.min(openReads, openReadsPerClient)) return;
    const admit = this.#admission("read", session);
    const ofClient = () => this.#sessionsOf(session.identity);
    admit("openReadsPerClient", () => ofClient().reduce((sum, { openReadCount }) => sum + openReadCount, 0));
    admit("openReads", () => this.#tally.openReads);
  }

  /**
   * Checks limits for one action. The check throws where the limit is reached and no room can be made; `makeRoom` ends something
   * that nobody is using, and returns whether there was something.
   */
  #admission(action: string, session: ActiveSession | undefined) {
    const { limits } = this.#settings;
    return (name: keyof Omit<Limits, "whenReached">, count: () => number, makeRoom = () => false): void => {
      if (limits[name] === Number.POSITIVE_INFINITY) return;
      for (let before = count(); before >= limits[name]; before = count()) {
        // What is being ended already makes no further room: its own code may be what asks here.
        if (limits.whenReached === "end-idle" && makeRoom() && count() < before) continue;
        this.#refuse(action, name, session);
      }
    };
  }

  #refuse(action: string, name: keyof Omit<Limits, "whenReached">, session: ActiveSession | undefined): never {
    const error = limitReached(action, name, this.#settings.limits);
    const whose = session && { session: session.id };
    this.#events.emit("limit.reached", () => ({ limit: name, error, ...whose }));
    throw error;
  }

  // --- groups ------------------------------------------------------------------------------------------------------

  #sessionsOf(identity: TaggedIdentity): ActiveSession<Services>[] {
    const plain = this.#sessions.get(tableKey(identity, undefined));
    return [...(plain ? [plain] : []), ...(this.#suffixed.get(identity) ?? [])];
  }

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

  #forget(session: ActiveSession<Services>): void {
    this.#leave(session);
    if (!session.isConfirmed) this.#noLongerUnconfirmed(session as ActiveSession);
    this.#ending.add(session);
  }

  #enter(session: ActiveSession<Services>): void {
    const { identity, suffix } = session;
    this.#sessions.set(tableKey(identity, suffix), session);
    if (suffix === undefined) return;
    const siblings = this.#suffixed.get(identity) ?? new Set();
    this.#suffixed.set(identity, siblings.add(session));
  }

  #leave(session: ActiveSession<Services>): void {
    const { identity, suffix } = session;
    const key = tableKey(identity, suffix);
    if (this.#sessions.get(key) === session) this.#sessions.delete(key);
    const siblings = suffix === undefined ? undefined : this.#suffixed.get(identity);
    siblings?.delete(session);
    if (siblings?.size === 0) this.#suffixed.delete(identity);
  }

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
      const groups = [...this.#endingGroups, ...this.#groups.values()]; // a request may hold one, but not for longer
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

/** Ends the least recently used of the sessions that nobody is using; returns whether there was one. */
function endIdlest(sessions: Iterable<ActiveSession>): boolean {
  const idlest = leastOf(sessions, ({ expiresAt, isVisited }) => (expiresAt > 0 && !isVisited ? expiresAt : undefined));
  idlest?.endFor("idle");
  return idlest !== undefined;
}

/** Removes the least recently used of one client's runners that nobody is using; returns whether there was one. */
function removeIdlest(sessions: readonly ActiveSession[]): boolean {
  const candidates = sessions.flatMap((session) => session.idlestRunner() ?? []);
  const idlest = leastOf(candidates, ({ usedAt }) => usedAt);
  if (idlest) void idlest.runner.dispose("idle");
  return idlest !== undefined;
}

function leastOf<T>(all: Iterable<T>, rank: (one: T) => number | undefined): T | undefined {
  let [least, lowest]: [T | undefined, number] = [undefined, Number.POSITIVE_INFINITY];
  for (const one of all) {
    const value = rank(one) ?? Number.POSITIVE_INFINITY;
    if (value < lowest) [least, lowest] = [one, value];
  }
  return least;
}

/** No tag of an identity begins with a dot and no suffix has a colon, so no two pairs share a text. */
function tableKey(identity: TaggedIdentity, suffix: string | undefined): string {
  return suffix === undefined ? identity : `.${suffix}:${identity}`;
}

/**
 * Creates the host object of this process.
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
