import type { RunnerCore } from "../runner/runner-core.js";
import type { Groups } from "./groups.js";
import { sessionIdFor, type TaggedIdentity } from "./identity.js";
import type { SessionRegistry } from "./registry.js";
import { parseRunnerKey } from "./runner-key.js";
import type { Session } from "./session.js";

/**
 * The result of looking up a runner key for one identity:
 * the runner with its session; `"gone"` if the key was issued, or may have been, and the runner is removed; `"unknown"` if the
 * key cannot have been issued to this identity. A key of another client is always `"unknown"`, so that its existence stays secret.
 */
export type Located = { readonly runner: RunnerCore; readonly session: Session } | "gone" | "unknown";

/**
 * Where the sessions of a client and their runners are. Answers may be promises, since another host may have to be asked. No answer
 * resets an idle timer.
 */
export interface Directory {
  /**
   * Looks up a runner key for an identity.
   * @param text the key as received; may be anything
   */
  locate(identity: TaggedIdentity, text: string): Located | Promise<Located>;
  /** The runners of all live sessions of an identity, the newest first. */
  runnersOf(identity: TaggedIdentity): readonly RunnerCore[] | Promise<readonly RunnerCore[]>;
  /**
   * Moves all sessions of one identity to another one, at login or logout. The other identity keeps what it has: where both have
   * a session with the same suffix, the moved one ends. Limits are not checked, since the total does not grow. When it is done, reads
   * and responses that the former owner had opened have ended.
   */
  move(from: TaggedIdentity, to: TaggedIdentity): void | Promise<void>;
  /** Terminates all sessions of an identity. Does not wait for their clean-up. */
  endAll(identity: TaggedIdentity): void | Promise<void>;
}

/** What the {@link LocalDirectory} asks of its host. */
export interface DirectoryHost {
  readonly secret: string | Uint8Array;
  /** The highest generation that can have been given out. */
  readonly lastGeneration: number;
}

/** The directory of one process: answers at once, from its tables. */
export class LocalDirectory implements Directory {
  readonly #host: DirectoryHost;
  readonly #registry: SessionRegistry<Session>;
  readonly #groups: Groups;

  constructor(host: DirectoryHost, registry: SessionRegistry<Session>, groups: Groups) {
    this.#host = host;
    this.#registry = registry;
    this.#groups = groups;
  }

  /**
   * See {@link Directory.locate}. Needs no memory of removed runners: the session id in the key shows whether it belongs to the identity,
   * its generation and number whether it can have been issued.
   */
  locate(identity: TaggedIdentity, text: string): Located {
    const key = parseRunnerKey(text);
    if (!key) return "unknown";
    const session = this.#registry.get(identity, key.suffix);
    const ownId = session?.id ?? sessionIdFor(this.#host.secret, identity, key.suffix);
    if (ownId !== key.sessionId || key.generation > this.#host.lastGeneration) return "unknown";
    if (session?.generation !== key.generation) return "gone";
    if (!session.hasIssued(key.number)) return "unknown";
    const runner = session.peek(key.number);
    return runner ? { runner, session } : "gone";
  }

  runnersOf(identity: TaggedIdentity): RunnerCore[] {
    const entries = this.#registry.of(identity).flatMap((session) => [...session.runnerEntries()]);
    return entries.sort((one, other) => other.order - one.order).map(({ runner }) => runner);
  }

  move(from: TaggedIdentity, to: TaggedIdentity): void {
    const moved: Session[] = [];
    for (const session of this.#registry.of(from)) {
      if (this.#registry.has(to, session.suffix)) void session.terminate();
      else {
        this.#registry.leave(session);
        session.moveTo(to);
        this.#registry.enter(session); // as the youngest: its lifetime has restarted
        moved.push(session);
      }
    }
    this.#groups.move(from, to);
    for (const session of moved) session.endFormerOpenings();
  }

  endAll(identity: TaggedIdentity): void {
    for (const session of this.#registry.of(identity)) void session.terminate();
  }
}
