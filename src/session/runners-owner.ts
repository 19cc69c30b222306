/** What the runners of a session need of it, and of its host. */
import type { IdleLists } from "../base/idle-list.js";
import type { LogFactory } from "../log/log-factory.js";
import type { ItemTally } from "../log/result-log.js";
import type { RunnerCore } from "../runner/runner-core.js";
import type { Events } from "./events.js";
import type { Tally } from "./limits.js";
import type { HostSettings } from "./options.js";
import type { RunnerEntry } from "./runner-entry.js";
import type { UnusedRunners } from "./unused-runners.js";

/** The part of the host that {@link SessionRunners} uses. */
export interface RunnersHost {
  /** Makes the logs of new runners. */
  readonly logs: LogFactory;
  /** Defaults of the runners' options, limits and the clean-up time-out. */
  readonly settings: HostSettings;
  /** Idle runners in order of expiry, one list for each duration. */
  readonly idleRunners: IdleLists<RunnerEntry>;
  /** Runners of all sessions without a holder. */
  readonly unusedRunners: UnusedRunners;
  /** Counts the runners and open reads of all sessions. */
  readonly tally: Tally;
  /** A start has failed, and may be tried again, unless the host closes. */
  startFailed(runner: RunnerCore): void;
  /** A runner has been removed, or its end was seen: a drain may be over. */
  settled(): void;
  /** Publishes events of runners and failed creations. */
  readonly events: Events;
}

/** The session, as {@link SessionRunners} uses it. The work of a runner gets it as `context.session`. */
export interface RunnersOwner {
  /** The public id, part of every runner's key. */
  readonly id: string;
  /** Distinguishes successive sessions with the same id. */
  readonly generation: number;
  /** Made at first use, so read only when a runner's work asks for it. */
  readonly services: unknown;
  /** Aborts when the session ends. */
  readonly signal: AbortSignal;
  /** Counts the items of the session's runners; changes when the client is confirmed. */
  readonly items: ItemTally;
  /** Keeps the session from idling out until `release` has been called as often. */
  hold(): void;
  /** Undoes one `hold`, at this moment of the monotonic clock, ms. */
  release(now: number): void;
  /** Throws `SESSION_ENDED` if the session has ended. */
  checkAvailable(action: string): void;
  /**
   * Throws `CLIENT_LIMIT_REACHED` or `SERVER_LIMIT_REACHED` if one more runner would exceed a limit. May first end idle runners, which
   * runs application code.
   */
  admitRunner(): void;
  /** Throws `CLIENT_LIMIT_REACHED` or `SERVER_LIMIT_REACHED` if one more open read would exceed a limit. */
  admitRead(): void;
  /** The last runner has been removed. */
  runnersGone(): void;
  /**
   * Resolves when the client's identity is saved, so that it can find a new runner again; rejects if saving has failed. `undefined` if
   * there is nothing to wait for.
   */
  published(): Promise<void> | undefined;
  /** Reports an error that cannot reach any caller. */
  warn(message: string, error: unknown): void;
}
