import { IdleEntry, type IdleList } from "../base/idle-list.js";
import type { Recent } from "../base/recency-list.js";
import type { RunnerCore } from "../runner/runner-core.js";

/**
 * How far a runner is:
 *
 *     working ──the work has ended──▶ ended ──its user has seen that──▶ seen
 *
 * Work that has not started counts as working. Seen is an end that was in the answer to a read, that was acknowledged, or that was asked for.
 */
export type RunnerStage = "working" | "ended" | "seen";

/** In order. */
export const stages: readonly RunnerStage[] = ["working", "ended", "seen"];

/** So long a new runner is not made to make room, unless it was used, ms: its creator is about to read it. */
const newFor = 100;

/** A runner with its place in the idle list and in the host's list of unused runners. */
export class RunnerEntry extends IdleEntry implements Recent<RunnerEntry> {
  /** Link maintained by {@link RecencyList}. */
  moreRecent: RunnerEntry | undefined;
  /** Link maintained by {@link RecencyList}. */
  lessRecent: RunnerEntry | undefined;
  /** True while the entry is in a {@link RecencyList}. */
  isListed = false;
  /** Number of reads, open responses and other holds that keep the runner from idling out. */
  holders = 0;
  /** Time of the last use, in ms of the monotonic clock. */
  usedAt = performance.now();
  /** Written by {@link RunnerTable.advance}. */
  stage: RunnerStage = "working";
  /** True from the end of the creation on, which holds it. */
  isReleased = false;
  /** True until it is used for the first time after its creation. */
  isUnused = true;

  /**
   * @param timeout present idle time-out, in ms; `Infinity`: none
   * @param finishedTimeout its idle time-out from the end of the work on
   * @param idle the shared list of the present duration
   */
  constructor(
    readonly runner: RunnerCore,
    /** Its place among all runners of the process, in the order in which their creations began. */
    readonly order: number,
    public timeout: number,
    readonly finishedTimeout: number,
    public idle: IdleList<RunnerEntry>,
  ) {
    super();
  }

  /** True if it may be removed or aborted to make room: a new runner is left to its creator for a moment. */
  get isExpendable(): boolean {
    return this.holders === 0 && !(this.isUnused && performance.now() - this.usedAt < newFor);
  }
}
