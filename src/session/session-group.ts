import { createDeferred } from "../base/async.js";
import type { CleanupSummary, Resource } from "../base/dispose.js";
import { ActiveSessionError } from "../base/error.js";
import { Lease } from "../base/lease.js";
import { sessionIdFor, type TaggedIdentity } from "./identity.js";
import type { HostSettings } from "./options.js";
import type { Ownership } from "./ownership.js";
import type { Properties } from "./properties.js";
import { type ScopeOwner, SessionScope } from "./scope.js";

/** The part of the host that groups use. */
export interface GroupHost<Session> {
  /** The host's options, resolved. */
  readonly settings: HostSettings;
  /** The live sessions of a client, as a new array. */
  sessionsOf(identity: TaggedIdentity): Session[];
  /** Reports an error that no caller can receive. */
  warn(message: string, details: object): void;
  /** Called when the group ends: removes it from the table, so that it is no longer found. */
  forgetGroup(group: GroupCore<Session>): void;
  /** Called when the clean-up of the group is finished. */
  groupCleanedUp(group: GroupCore<Session>, summary: CleanupSummary): void;
}

/**
 * A group: all active sessions of one client, which differ by suffix, and what they share. See `session.group`.
 *
 *     live ──the last session is cleaned up and the last request is over──▶ ending ──▶ cleaned up
 *
 * It is created on first use. Every session of the client holds it until that session is cleaned up, so that clean-up code
 * can still use it; every request that uses a session holds it as well. When the group ends, it leaves the host's table
 * first: the client's next session gets a new group. Then its signal fires, owned resources are released in reverse order,
 * and services are disposed. Errors are collected in the summary of `cleanup`.
 *
 * @typeParam Session the type of its sessions
 * @example
 * session.group.properties.set("theme", "dark"); // for all sessions of the client
 */
export interface SessionGroup<Session = unknown> {
  /** The public id of the client, equal to the id of its session without a suffix. Stays the same when the group changes hands. */
  readonly id: string;
  /** True while the group is live; false as soon as it starts to end. */
  readonly isAvailable: boolean;
  /** Properties shared by all sessions of the client. Read-only once the group has ended. */
  readonly properties: Properties;
  /**
   * The services of the group, created by the host's option `groupServices` on first use; `undefined` without that option.
   * @throws the error of that option, or `SESSION_ENDED` if they were not created before the end
   */
  readonly services: unknown;
  /** Aborts when the group ends, before its resources are released. The reason is an error with the code `SESSION_ENDED`. */
  readonly signal: AbortSignal;
  /** Resolves when the group has ended and everything it held has been released. Never rejects. */
  readonly cleanup: Promise<CleanupSummary>;

  /** The client's live sessions: a snapshot. Listing does not reset idle timers. */
  sessions(): IterableIterator<Session>;

  /**
   * Takes over a resource, like `session.own`, and releases it when the group ends.
   * @param resource a disposable, or a function to call
   * @returns a handle; disposing it releases the resource earlier
   * @throws `INVALID_ARGUMENT`, `SESSION_ENDED`; the resource is then left untouched
   */
  own(resource: Resource): Ownership;
}

/** The group with the members that applications do not see. */
export class GroupCore<Session = unknown> implements SessionGroup<Session>, ScopeOwner {
  /** The identity of the client; changes when a login or logout moves the group. */
  identity: TaggedIdentity;
  readonly id: string;
  readonly #host: GroupHost<Session>;
  readonly #cleanup = createDeferred<CleanupSummary>();
  /** Properties, services, owned resources and the end signal. */
  readonly #belongings: SessionScope<unknown>;
  /** Number of holds; the group ends when it drops to 0. */
  #holders = 0;
  #hasEnded = false;

  /** Created by the host only, which enters it into its table. */
  constructor(host: GroupHost<Session>, identity: TaggedIdentity) {
    this.#host = host;
    this.identity = identity;
    this.id = sessionIdFor(host.settings.secret, identity, undefined);
    this.#belongings = new SessionScope(this);
  }

  get isAvailable(): boolean {
    return !this.#hasEnded;
  }

  get properties(): Properties {
    return this.#belongings.properties;
  }

  get services(): unknown {
    return this.#belongings.services;
  }

  get signal(): AbortSignal {
    return this.#belongings.end.signal;
  }

  get cleanup(): Promise<CleanupSummary> {
    return this.#cleanup.promise;
  }

  sessions(): IterableIterator<Session> {
    return this.#host.sessionsOf(this.identity).values();
  }

  own(resource: Resource): Ownership {
    return this.#belongings.own(resource);
  }

  /**
   * Keeps the group live.
   * @returns the last release ends the group
   */
  hold(): Lease {
    this.#holders++;
    return Lease.of(() => {
      if (--this.#holders === 0) void this.end();
    });
  }

  /** Ends the group, held or not, and returns the promise of {@link cleanup}. Idempotent. */
  end(): Promise<CleanupSummary> {
    if (!this.#hasEnded) void this.#end();
    return this.cleanup;
  }

  async #end(): Promise<void> {
    this.#hasEnded = true;
    this.#host.forgetGroup(this);
    this.#belongings.close(groupEnded("go on"));
    const summary = await this.#belongings.release(this.#host.settings.cleanupTimeout);
    this.#host.groupCleanedUp(this, summary);
    this.#cleanup.resolve(summary);
  }

  // --- what its scope asks for ---------------------------------------------------------------------------------------

  makeServices(): unknown {
    return (this.#host.settings.groupServices as ((group: this) => unknown) | undefined)?.(this);
  }

  checkAvailable(action: string): void {
    if (this.#hasEnded) throw groupEnded(action);
  }

  warn(message: string, error: unknown): void {
    this.#host.warn(message, { group: this.id, error });
  }
}

/** The error of an action on a group that has ended; also the reason its `signal` aborts with. */
function groupEnded(action: string): ActiveSessionError {
  return new ActiveSessionError("SESSION_ENDED", `Cannot ${action}: the group must be live, received ended`);
}
