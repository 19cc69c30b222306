import type { ActiveSession } from "./active-session.js";
import type { Events } from "./events.js";
import type { TaggedIdentity } from "./identity.js";
import type { HostSettings } from "./options.js";
import { GroupCore, type GroupHost } from "./session-group.js";

/** A session as its client's group sees it. */
export interface GroupMember extends ActiveSession {
  readonly group: GroupCore<ActiveSession>;
  /** Joins the group and holds it; no effect if the session is in one. */
  join(group: GroupCore<ActiveSession>): void;
  /** Leaves its present group, if any, and joins this one. */
  joinInstead(group: GroupCore<ActiveSession>): void;
}

/** The groups of a process, one for each client that uses it. */
export class Groups {
  readonly #live = new Map<TaggedIdentity, GroupCore<ActiveSession>>();
  /** Ended groups whose clean-up is not finished; a drain waits for them. */
  readonly #ending = new Set<GroupCore<ActiveSession>>();
  readonly #sessionsOf: (identity: TaggedIdentity) => GroupMember[];
  readonly #events: Events;
  /** This object as groups see it. */
  readonly #host: GroupHost<ActiveSession>;

  /** @param sessionsOf the live sessions of a client, as a new array */
  constructor(settings: HostSettings, events: Events, sessionsOf: (identity: TaggedIdentity) => GroupMember[]) {
    this.#sessionsOf = sessionsOf;
    this.#events = events;
    this.#host = {
      settings,
      sessionsOf,
      warn: (message, details) => events.emit("warning", () => ({ message, ...details })),
      forgetGroup: (group) => {
        this.#live.delete(group.identity);
        this.#ending.add(group);
        events.emit("group.ended", () => ({ group: group.id }));
      },
      groupCleanedUp: (group, summary) => {
        this.#ending.delete(group);
        events.emit("group.cleaned-up", () => ({ group: group.id, ...summary }));
      },
    };
  }

  /** The group of a client, created if there is none; all its live sessions join it then. */
  of(identity: TaggedIdentity): GroupCore<ActiveSession> {
    let group = this.#live.get(identity);
    if (!group) {
      group = new GroupCore<ActiveSession>(this.#host, identity);
      this.#live.set(identity, group);
      for (const session of this.#sessionsOf(identity)) session.join(group);
      const { id } = group;
      this.#events.emit("group.created", () => ({ group: id }));
    }
    return group;
  }

  /** Lets a new session join the group of its client, if there is one. */
  welcome(session: GroupMember, identity: TaggedIdentity): void {
    const group = this.#live.get(identity);
    if (group) session.join(group);
  }

  /**
   * Moves the group along with the sessions, which are registered under `to` already. If the new owner has a group, moved sessions
   * change to that one, and the former group ends when the last of its holders releases it. Otherwise the group itself changes hands.
   */
  move(from: TaggedIdentity, to: TaggedIdentity): void {
    const group = this.#live.get(from);
    const other = this.#live.get(to);
    if (!group) {
      if (other) for (const session of this.#sessionsOf(to)) session.join(other);
      return;
    }
    if (other) {
      for (const session of this.#sessionsOf(to)) if (session.group === group) session.joinInstead(other);
      return;
    }
    this.#live.delete(from);
    group.identity = to;
    this.#live.set(to, group);
    for (const session of this.#sessionsOf(to)) session.join(group);
  }

  /** Groups that are live, or whose clean-up is not finished. */
  all(): GroupCore<ActiveSession>[] {
    return [...this.#ending, ...this.#live.values()];
  }
}
