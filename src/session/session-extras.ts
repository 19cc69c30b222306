import { abortable } from "../base/async.js";
import { ActiveSessionError } from "../base/error.js";
import type { Lease } from "../base/lease.js";
import { PendingSave } from "./pending-save.js";
import type { SessionScope } from "./scope.js";
import type { GroupCore } from "./session-group.js";
import type { SessionLocks } from "./session-locks.js";

/**
 * The parts that most sessions never have, in an object of their own: each field of an idle session counts. All are created on first
 * use.
 */
export class SessionExtras<Services, Session> {
  /** See {@link ActiveSession.suffix}. */
  suffix: string | undefined;
  /** Properties, services, owned resources and the end signal. */
  scope: SessionScope<Services> | undefined;
  locks: SessionLocks | undefined;
  #group: GroupCore<Session> | undefined;
  /** Keeps the group live. */
  #membership: Lease | undefined;
  /** The saving of the framework's session, if the client is identified by one. */
  #pendingSave: PendingSave | undefined;

  /** The client's group, once the session has joined it. */
  get group(): GroupCore<Session> | undefined {
    return this.#group;
  }

  /** Joins a group, and holds it. Has no effect if the session is in one. */
  join(group: GroupCore<Session>): void {
    if (!this.#group) this.joinInstead(group);
  }

  /** Leaves the present group, if any, and joins another. */
  joinInstead(group: GroupCore<Session>): void {
    const former = this.#membership;
    this.#group = group;
    this.#membership = group.hold();
    former?.release();
  }

  /** Ends the hold on the group; it stays to be seen. Idempotent. */
  leaveGroup(): void {
    this.#membership?.release();
  }

  /** Adds an attempt to save the framework's session. */
  addSave(attempt: Promise<void>): void {
    this.#pendingSave ??= new PendingSave();
    this.#pendingSave.add(attempt);
  }

  /** True if all attempts to save have failed. */
  get needsSave(): boolean {
    return this.#pendingSave?.isNeeded ?? false;
  }

  /**
   * Waits until the framework's session is saved: a client must be able to come back to a runner it learns of. `undefined` if there is
   * nothing to wait for.
   * @param session its signal ends the wait; not asked for where nothing is to be waited for
   * @param check throws, after a failure, if the session has ended meanwhile
   * @throws (rejects with) `IDENTITY_NOT_SAVED` (`cause`: the error of the store), errors of `check`
   */
  saved(session: { readonly signal: AbortSignal }, check: () => void): Promise<void> | undefined {
    const pending = this.#pendingSave?.pending;
    return pending && savedBy(pending, session.signal, check);
  }
}

async function savedBy(pending: Promise<void>, signal: AbortSignal, check: () => void): Promise<void> {
  try {
    await abortable(pending, signal);
  } catch (cause) {
    check();
    const message = "Cannot create a runner: the framework's session could not be saved";
    throw new ActiveSessionError("IDENTITY_NOT_SAVED", message, { cause });
  }
}
