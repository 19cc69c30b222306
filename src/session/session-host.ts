import type { ItemTally } from "../log/result-log.js";
import type { ActiveSession } from "./active-session.js";
import type { TaggedIdentity } from "./identity.js";
import type { IdleSession, IdleSessions } from "./idle-sessions.js";
import type { RunnersHost } from "./runners-owner.js";
import type { GroupCore } from "./session-group.js";

/** The part of the host that sessions use: settings, shared lists and counters, limit checks and notifications. */
export interface SessionHost<Session extends IdleSession> extends RunnersHost {
  /** The lowest generation of this host. Sessions store theirs relative to it. */
  readonly firstGeneration: number;
  /** Sessions that nothing holds, in order of last use. */
  readonly idle: IdleSessions<Session>;
  /** Counts the items kept by the runners of confirmed sessions. */
  readonly items: ItemTally;
  /** Counts the items kept by the runners of unconfirmed sessions. */
  readonly unconfirmedItems: ItemTally;
  /** Called once, when an unconfirmed session becomes confirmed. */
  confirmed(session: Session): void;
  /** Returns the client's group. Creates it if there is none; every live session of the client then joins it. */
  groupOf(identity: TaggedIdentity): GroupCore<ActiveSession>;
  /**
   * Checks the limits for one more runner; may remove unused ones to make room.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  admitRunner(session: Session): void;
  /**
   * Checks the limits for one more open read.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  admitRead(session: Session): void;
  /** Called when a session ends: removes it from the tables, so that it is no longer found. */
  forget(session: Session): void;
  /** Called when the clean-up of an ended session is finished. */
  cleanedUp(session: Session): void;
}
