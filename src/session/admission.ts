import { ItemTally } from "../log/result-log.js";
import type { Events } from "./events.js";
import type { TaggedIdentity } from "./identity.js";
import { IdleSessions } from "./idle-sessions.js";
import { type Limits, limitReached, type Tally } from "./limits.js";
import type { HostSettings } from "./options.js";
import type { SessionRegistry } from "./registry.js";
import type { RunnerEntry, RunnerStage } from "./runner-entry.js";
import type { SessionCore } from "./session-core.js";
import { UnusedRunners } from "./unused-runners.js";

/** How many sessions are examined in one turn of the event loop to make room for items. */
const sessionsLookedAtPerTurn = 100;

/**
 * Counts what the process holds, checks the limits for more, and makes room where that is allowed. What is used least is ended first:
 * idle sessions and unused runners are in order of last use. Ending runs code of the application, which may come back here.
 */
export class Admission {
  /** Sessions without a hold. */
  readonly idle: IdleSessions<SessionCore>;
  /** Runners of all sessions that nothing holds: candidates to remove when a limit is reached. */
  readonly unusedRunners = new UnusedRunners();
  /** Runners and open reads of all sessions. */
  readonly tally: Tally = { runners: 0, running: 0, working: 0, unseen: 0, openReads: 0 };
  /** Items kept by runners of confirmed sessions. */
  readonly items = new ItemTally();
  /** Items kept by runners of unconfirmed sessions; calls back above its limit. */
  readonly unconfirmedItems: ItemTally;
  readonly #limits: Limits;
  readonly #events: Events;
  readonly #registry: SessionRegistry<SessionCore>;
  /** Number of live unconfirmed sessions. */
  #unconfirmed = 0;
  /** Unconfirmed sessions that may have runners, in order of their first runner: the candidates for {@link #endHoarders}. */
  readonly #unconfirmedAtWork = new Set<SessionCore>();
  /** True from the first item above the limit until {@link #endHoarders} is finished, so that it runs once. */
  #isMakingRoom = false;

  constructor({ idleTimeout, limits }: HostSettings, events: Events, registry: SessionRegistry<SessionCore>) {
    this.#limits = limits;
    this.#events = events;
    this.#registry = registry;
    this.idle = new IdleSessions(idleTimeout);
    this.unconfirmedItems = new ItemTally(limits.unconfirmedItems, () => this.#makeRoomForItems());
  }

  /** Stops the timers of the idle lists. */
  close(): void {
    this.idle.close();
  }

  /**
   * Checks the limits for one more session; makes room where that is allowed.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  admitSession(identity: TaggedIdentity, suffix: string | undefined): void {
    const { sessions, sessionsPerClient } = this.#limits;
    const ofClient = this.#registry.countBeside(identity, suffix);
    if (ofClient < sessionsPerClient && this.#registry.size < sessions) return; // fast path
    this.#makeRoomForSession(identity);
  }

  /**
   * The slow path of {@link admitSession}. For the limit of the process, unconfirmed sessions go first. Sessions that a request uses
   * are passed over.
   */
  #makeRoomForSession(identity: TaggedIdentity): void {
    const admit = this.#admission("create a session", undefined);
    const ofClient = () => this.#registry.of(identity);
    admit(
      "sessionsPerClient",
      () => ofClient().length,
      () => endIdlest(ofClient()),
    );
    const endIdle = () => {
      const idle = this.idle.findOldest(({ isVisited }) => !isVisited);
      idle?.endFor("idle");
      return idle !== undefined;
    };
    admit("sessions", () => this.#registry.size, endIdle);
  }

  /**
   * Ends the longest unused unconfirmed sessions until there is room for one more, regardless of `whenReached`: otherwise a flood of
   * clients without cookies would lock out real ones.
   * @throws `SERVER_LIMIT_REACHED` if all of them are in use
   */
  admitUnconfirmed(): void {
    const limits = this.#limits;
    while (this.#unconfirmed >= limits.unconfirmedSessions) {
      const oldest = this.idle.findUnconfirmed(({ isVisited }) => !isVisited);
      if (!oldest) this.#refuse("create a session", "unconfirmedSessions", undefined);
      oldest?.endFor("idle");
    }
  }

  /**
   * Comes before anything is ended for a new unconfirmed session.
   * @throws `SERVER_LIMIT_REACHED` if {@link admitUnconfirmed} would
   */
  checkUnconfirmed(): void {
    if (this.#unconfirmed < this.#limits.unconfirmedSessions) return;
    if (this.idle.findUnconfirmed(({ isVisited }) => !isVisited)) return;
    this.#refuse("create a session", "unconfirmedSessions", undefined);
  }

  /** Counts a new unconfirmed session. */
  addUnconfirmed(): void {
    this.#unconfirmed++;
  }

  /** Stops counting a session as unconfirmed: it was confirmed, or has ended. */
  noLongerUnconfirmed(session: SessionCore): void {
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
      if (this.unconfirmedItems.items <= this.unconfirmedItems.most || left-- === 0) break;
      atWork.delete(session);
      if (!session.isAvailable || session.isConfirmed) continue;
      if (session.retained === 0) atWork.add(session);
      else this.#endHoarder(session);
    }
    const isOver = this.unconfirmedItems.items <= this.unconfirmedItems.most || atWork.size === 0;
    if (isOver) this.#isMakingRoom = false;
    else setImmediate(() => this.#endHoarders());
  }

  /** Ends one session of {@link #endHoarders} and reports the limit as an event: there is no caller to throw at. */
  #endHoarder(session: SessionCore): void {
    const error = limitReached("keep more items", "unconfirmedItems", this.#limits);
    this.#events.emit("limit.reached", () => ({ limit: "unconfirmedItems", error, session: session.id }));
    session.endFor("idle");
  }

  /**
   * Checks the limits for one more runner: of the client, of the process, and of retained items. Ended runners make room; others where
   * that is allowed.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  admitRunner(session: SessionCore): void {
    const { runners, runnersPerClient, running, runningPerClient, retainedItems } = this.#limits;
    // Fast path: one client cannot have more runners than the process, so below both limits there is nothing to count.
    const areFew = this.tally.runners < Math.min(runners, runnersPerClient);
    const workIsLittle = this.tally.running < Math.min(running, runningPerClient);
    const rooms: Room[] = session.isConfirmed ? [] : [this.#roomOfUnconfirmed(session)];
    if (!areFew || !workIsLittle || this.itemCount >= retainedItems) rooms.push(...this.#roomsFor(session));
    const full = rooms.filter((room) => this.#isFull(room));
    // First of all: nothing is removed for a runner that there will not be.
    for (const room of full) if (!this.#candidateIn(room)) this.#refuse("create a runner", room.name, session);
    for (const room of full) this.#makeRoomIn(room, session);
    // Making room may have run application code that ended the session.
    if (!session.isConfirmed && session.isAvailable) this.#unconfirmedAtWork.add(session);
  }

  /** The stricter limit of an unconfirmed session, which can only remove runners of its own. */
  #roomOfUnconfirmed(session: SessionCore): Room {
    return {
      name: "unconfirmedRunners",
      count: () => session.runnerCount,
      ended: () => idlestEndedOf([session]),
      idle: () => idlestOf([session], "working"),
      free: remove,
    };
  }

  /** The limits of the client, then those of the process. */
  #roomsFor(session: SessionCore): Room[] {
    const ofClient = () => this.#registry.of(session.identity);
    const total = (count: (one: SessionCore) => number) => ofClient().reduce((sum, one) => sum + count(one), 0);
    const { unusedRunners: unused, tally } = this;
    const holdsItems = (entry: RunnerEntry) =>
      entry.isExpendable && entry.runner.kind === "sequence" && entry.runner.retained > 0;
    // Work that is aborted to make room counts no more, although it may take a moment to stop.
    const counted = this.#limits.whenReached === "end-idle" ? "working" : "running";
    return [
      {
        name: "runningPerClient",
        count: () => total((one) => one.countWork(counted)),
        idle: () => idlestOf(ofClient(), "working"),
        free: abortWork,
      },
      {
        name: "runnersPerClient",
        count: () => total(({ runnerCount }) => runnerCount),
        ended: () => idlestEndedOf(ofClient()),
        idle: () => idlestOf(ofClient(), "working"),
        free: remove,
      },
      {
        name: "retainedItems",
        count: () => this.itemCount,
        idle: () => unused.oldestEnded(holdsItems) ?? unused.working.oldest(holdsItems),
        free: remove,
      },
      {
        name: "running",
        count: () => tally[counted],
        idle: () => unused.working.oldest(expendable),
        free: abortWork,
      },
      {
        name: "runners",
        count: () => tally.runners,
        ended: () => unused.oldestEnded(expendable),
        idle: () => unused.working.oldest(expendable),
        free: remove,
      },
    ];
  }

  #isFull({ name, count }: Room): boolean {
    return count() >= this.#limits[name];
  }

  /** What may make room: an ended runner, else an idle one where that is allowed. */
  #candidateIn({ ended, idle }: Room): RunnerEntry | undefined {
    return ended?.() ?? (this.#limits.whenReached === "end-idle" ? idle() : undefined);
  }

  /** Makes room, one by one. Without progress, refuses: the request may come from code that runs while the candidate ends. */
  #makeRoomIn(room: Room, session: SessionCore): void {
    for (let before = room.count(); this.#isFull(room); before = room.count()) {
      const candidate = this.#candidateIn(room);
      if (candidate) room.free(candidate);
      if (!candidate || room.count() >= before) this.#refuse("create a runner", room.name, session);
    }
  }

  /** Items kept by all sequence runners. */
  get itemCount(): number {
    return this.items.items + this.unconfirmedItems.items;
  }

  /**
   * Checks the limits for one more waiting read or open response. Never makes room: an open read is in use by definition.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  admitRead(session: SessionCore): void {
    const { openReads, openReadsPerClient } = this.#limits;
    // Fast path, as in `admitRunner`: reads are frequent.
    if (this.tally.openReads < Math.min(openReads, openReadsPerClient)) return;
    const admit = this.#admission("read", session);
    const ofClient = () => this.#registry.of(session.identity);
    admit("openReadsPerClient", () => ofClient().reduce((sum, { openReadCount }) => sum + openReadCount, 0));
    admit("openReads", () => this.tally.openReads);
  }

  /**
   * Returns a function that checks one limit for an action. It throws if the limit is reached and no room can be made.
   * @param action names the action in the error message
   * @param session the session that asks, for the event; `undefined` if it is yet to be created
   * @returns takes the name of the limit, a function that counts, and one that ends something unused and returns false if there
   *   is nothing; without the latter the limit always refuses
   */
  #admission(action: string, session: SessionCore | undefined) {
    const limits = this.#limits;
    return (name: LimitName, count: () => number, makeRoom = () => false): void => {
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
  #refuse(action: string, name: LimitName, session: SessionCore | undefined): never {
    const error = limitReached(action, name, this.#limits);
    const whose = session && { session: session.id };
    this.#events.emit("limit.reached", () => ({ limit: name, error, ...whose }));
    throw error;
  }
}

/**
 * Ends the least recently used session that neither a hold nor a request uses. `expiresAt` is 0 while something holds a session, and lower
 * than any time where its idle time is over.
 * Linear, which is fine for the few sessions of one client.
 * @returns false if there is none
 */
function endIdlest(sessions: Iterable<SessionCore>): boolean {
  const idlest = leastOf(sessions, ({ expiresAt, isVisited }) =>
    expiresAt !== 0 && !isVisited ? expiresAt : undefined,
  );
  idlest?.endFor("idle");
  return idlest !== undefined;
}

/** A limit with a number. */
type LimitName = keyof Omit<Limits, "whenReached">;

const expendable = ({ isExpendable }: RunnerEntry) => isExpendable;

/**
 * The least recently used runner without a hold of some sessions, among those in this stage. Linear, which is fine for the runners of one client.
 */
function idlestOf(sessions: readonly SessionCore[], wanted: RunnerStage): RunnerEntry | undefined {
  const entries = sessions.flatMap((session) => [...session.runnerEntries()]);
  return leastOf(entries, ({ isExpendable, stage, usedAt }) => (isExpendable && stage === wanted ? usedAt : undefined));
}

/** The ended runner of some sessions that goes first: one whose end was seen, else another. */
function idlestEndedOf(sessions: readonly SessionCore[]): RunnerEntry | undefined {
  return idlestOf(sessions, "seen") ?? idlestOf(sessions, "ended");
}

/** A limit of runners, and how room is made below it. */
interface Room {
  readonly name: LimitName;
  readonly count: () => number;
  /** The ended runner that goes first, whatever `whenReached` says. */
  readonly ended?: () => RunnerEntry | undefined;
  /** The idle runner that goes first with `end-idle`. */
  readonly idle: () => RunnerEntry | undefined;
  readonly free: (entry: RunnerEntry) => void;
}

/** Removes a runner; its work is aborted. */
function remove({ runner }: RunnerEntry): void {
  void runner.dispose("idle");
}

/** Aborts a runner's work, and keeps what it has found. */
function abortWork({ runner }: RunnerEntry): void {
  void runner.abortIdle();
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
