/** What a runner needs of its session, and tells it. */
import type { CleanupSummary, Resource } from "../base/dispose.js";
import type { Lease } from "../base/lease.js";
import type { LogFactory } from "../log/log-factory.js";
import type { ItemTally, LogState } from "../log/result-log.js";
import type { FinalStatus } from "../protocol/types.js";
import type { RunnerDefinition } from "./definition.js";
import type { Runner } from "./runner.js";

/** Receives what happens to runners. */
export interface RunnerObserver {
  /** The background has started. */
  started(runner: Runner): void;
  /** The work has ended, by itself or aborted; its results can be read. Only the first call counts. */
  workEnded(runner: Runner, outcome: FinalStatus): void;
  /** The work has ended by itself, or has stopped and its source is closed, however late. Called once. */
  workStopped(): void;
  /** A start has failed, and may be tried again. */
  startFailed(runner: Runner): void;
  /** The user has seen the end: it was in the answer to a read, was acknowledged, or was asked for. Idempotent. */
  endSeen(runner: Runner): void;
  /** The work has been aborted, or its status has become final. Called once; `state.status` is how it has ended. */
  ended(runner: Runner, state: LogState): void;
  /** The runner has been disposed and must not be found any more. Its clean-up goes on until `disposal` resolves. */
  removed(runner: Runner, disposal: Promise<CleanupSummary>): void;
  /** The work has ended (or its closing timed out), and the holds are released. */
  cleanedUp(runner: Runner, summary: CleanupSummary): void;
  /** The work or a clean-up step has failed after the clean-up was over. */
  failedLate(runner: Runner, error: unknown): void;
}

/** The owner of runners: provides their surroundings, counts their uses, and observes them. In practice, a session. */
export interface RunnerOwner extends RunnerObserver {
  /** The session, for the work's context. */
  readonly session: unknown;
  /** The session's services, for the work's context; created at first use. */
  readonly services: unknown;
  /** Part of the runner's key. */
  readonly sessionId: string;
  /** The session's generation; part of the runner's key. */
  readonly generation: number;
  /** Time limit of each clean-up step, in ms. */
  readonly cleanupTimeout: number;
  /** Makes the logs of new runners. */
  readonly logs: LogFactory;
  /** Counts the items that the runners of many sessions keep. */
  readonly tally: ItemTally;
  /** Suspends the idle time-outs of the runner and of its session. Taking and releasing it both count as a use. */
  hold(runner: Runner): Lease;
  /**
   * As `hold`, for a waiting read or an open response.
   * @throws `CLIENT_LIMIT_REACHED` or `SERVER_LIMIT_REACHED`; nothing is held then
   */
  openRead(runner: Runner): Lease;
}

/** Resolved options of a runner of either kind. */
export interface RunnerSettings {
  /** The runner's number within its session. */
  readonly number: number;
  /** How many positions a read asks for by default. */
  readonly defaultAdvance: number;
  /** Resources to release, in reverse order, after the runner's clean-up. */
  readonly holds: readonly Resource[];
  /** The initial value of `data`. */
  readonly data: unknown;
  /** The definition that the runner is made from, if any. */
  readonly definition: RunnerDefinition | undefined;
  /** What the application knows the work by, if it has said so. */
  readonly label: string | undefined;
}
