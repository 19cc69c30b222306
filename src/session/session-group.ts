/**
 * A group: all active sessions of one client, which differ by suffix.
 *
 *     live ──the last session and the last request that held it have gone──▶ ending ──▶ cleaned up
 *
 * It is made when somebody first asks for it, and held by every session of the client until that is cleaned up. When it
 * ends, it is out of the host's table first: the client's next session makes another one. Then its signal fires, its owned
 * resources are given back in reverse order, its services disposed; what goes wrong is collected and reported.
 */
import { createDeferred } from "../base/async.js";
import type { CleanupSummary, Resource } from "../base/dispose.js";
import { ActiveSessionError } from "../base/error.js";
import { sessionIdFor, type TaggedIdentity } from "./identity.js";
import type { HostSettings } from "./options.js";
import type { Ownership } from "./ownership.js";
import type { Properties } from "./properties.js";
import { SessionScope } from "./scope.js";

/** What a group needs of its host. */
export interface GroupHost<Session> {
  readonly settings: HostSettings;
  /** The live sessions of a client. */
  sessionsOf(identity: TaggedIdentity): Session[];
  warn(message: string, details: object): void;
  /** The group has ended and must not be found any more. */
  forgetGroup(group: SessionGroup<Session>): void;
  /** The clean-up of a group is over. */
  groupCleanedUp(group: SessionGroup<Session>, summary: CleanupSummary): void;
}

/** See the top of the file. `Session` is the kind of its sessions. */
export class SessionGroup<Session = unknown> {
  /** @internal */
  identity: TaggedIdentity;
  /** The public id of the client: that of its session without a suffix. */
  readonly id: string;
  readonly #host: GroupHost<Session>;
  readonly #cleanup = createDeferred<CleanupSummary>();
  readonly #belongings: SessionScope<unknown>;
  #holders = 0;
  #hasEnded = false;

  /** @internal */
  constructor(host: GroupHost<Session>, identity: TaggedIdentity) {
    this.#host = host;
    this.identity = identity;
    this.id = sessionIdFor(host.settings.secret, identity, undefined);
    this.#belongings = new SessionScope({
      makeServices: () => (host.settings.groupServices as ((group: this) => unknown) | undefined)?.(this),
      checkAvailable: (action) => this.#checkAvailable(action),
      warn: (message, error) => host.warn(message, { group: this.id, error }),
    });
  }

  /** False from the moment the group ends. */
  get isAvailable(): boolean {
    return !this.#hasEnded;
  }

  /** Properties shared by all sessions of the client. */
  get properties(): Properties {
    return this.#belongings.properties;
  }

  /** What the host's `groupServices` makes for this group, at first use. Throws what that throws, or `SESSION_ENDED`. */
  get services(): unknown {
    return this.#belongings.services;
  }

  /** Aborts when the group ends, before anything of it is given back. */
  get signal(): AbortSignal {
    return this.#belongings.end.signal;
  }

  /** Resolves when the group has ended and everything it held has been released. */
  get cleanup(): Promise<CleanupSummary> {
    return this.#cleanup.promise;
  }

  /** The client's live sessions, as of the call. */
  sessions(): IterableIterator<Session> {
    return this.#host.sessionsOf(this.identity).values();
  }

  /** As `session.own`, but with the end of the group. Throws `INVALID_ARGUMENT`, or `SESSION_ENDED`. */
  own(resource: Resource): Ownership {
    return this.#belongings.own(resource);
  }

  /** Keeps the group until the returned function is called. @internal */
  hold(): () => void {
    this.#holders++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      if (--this.#holders === 0) void this.end();
    };
  }

  /** Ends the group, whoever holds it. @internal */
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

  #checkAvailable(action: string): void {
    if (this.#hasEnded) throw groupEnded(action);
  }
}

function groupEnded(action: string): ActiveSessionError {
  return new ActiveSessionError("SESSION_ENDED", `Cannot ${action}: the group must be live, received ended`);
}
