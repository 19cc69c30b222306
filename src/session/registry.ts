import type { TaggedIdentity } from "./identity.js";

/** A session as the registry sees it. */
interface Registered {
  readonly identity: TaggedIdentity;
  readonly suffix: string | undefined;
}

/**
 * The live sessions of a process, by client and suffix.
 *
 * Invariant: they are in order of creation. A session enters once and leaves when it ends. The first one is therefore the next to reach
 * `maxLifetime`. One that changes hands leaves, and enters again as the youngest.
 */
export class SessionRegistry<Session extends Registered> {
  /** By {@link tableKey}, in order of creation. */
  readonly #sessions = new Map<string, Session>();
  /** The sessions with a suffix, by client. The one without a suffix is found in the table. */
  readonly #suffixed = new Map<TaggedIdentity, Set<Session>>();

  /** Number of sessions. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Number of clients with at least one session. */
  get clients(): number {
    let suffixed = 0;
    let onlySuffixed = 0;
    for (const [identity, { size }] of this.#suffixed) {
      suffixed += size;
      if (!this.has(identity, undefined)) onlySuffixed++;
    }
    return this.size - suffixed + onlySuffixed;
  }

  /** All sessions in order of creation; follows changes during the iteration. */
  all(): IterableIterator<Session> {
    return this.#sessions.values();
  }

  /** The session of a client with this suffix. */
  get(identity: TaggedIdentity, suffix: string | undefined): Session | undefined {
    return this.#sessions.get(tableKey(identity, suffix));
  }

  /** True if the client has a session with this suffix. */
  has(identity: TaggedIdentity, suffix: string | undefined): boolean {
    return this.#sessions.has(tableKey(identity, suffix));
  }

  /** True if the client has a session, with or without a suffix. */
  hasAny(identity: TaggedIdentity): boolean {
    return this.has(identity, undefined) || this.#suffixed.has(identity);
  }

  /** The sessions of a client as a new array: the one without a suffix first. */
  of(identity: TaggedIdentity): Session[] {
    const plain = this.get(identity, undefined);
    return [...(plain ? [plain] : []), ...(this.#suffixed.get(identity) ?? [])];
  }

  /**
   * Number of sessions of a client that has none with this suffix. Looks up as little as possible: it is asked for every new session.
   */
  countBeside(identity: TaggedIdentity, suffix: string | undefined): number {
    const hasPlain = suffix !== undefined && this.has(identity, undefined);
    return (hasPlain ? 1 : 0) + (this.#suffixed.get(identity)?.size ?? 0);
  }

  /** Adds a session, as the youngest. */
  enter(session: Session): void {
    const { identity, suffix } = session;
    this.#sessions.set(tableKey(identity, suffix), session);
    if (suffix === undefined) return;
    const siblings = this.#suffixed.get(identity) ?? new Set();
    this.#suffixed.set(identity, siblings.add(session));
  }

  /** Removes a session, under its current identity. Does nothing if it is not in the table. */
  leave(session: Session): void {
    const { identity, suffix } = session;
    const key = tableKey(identity, suffix);
    if (this.#sessions.get(key) === session) this.#sessions.delete(key);
    const siblings = suffix === undefined ? undefined : this.#suffixed.get(identity);
    siblings?.delete(session);
    if (siblings?.size === 0) this.#suffixed.delete(identity);
  }
}

/**
 * The key of a session in the table. Unambiguous: an identity starts with the name of its source, never with a dot, and a
 * suffix contains no colon.
 */
function tableKey(identity: TaggedIdentity, suffix: string | undefined): string {
  return suffix === undefined ? identity : `.${suffix}:${identity}`;
}
