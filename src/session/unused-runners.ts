import { RecencyList } from "../base/recency-list.js";
import type { RunnerEntry } from "./runner-entry.js";

/** The runners of a process that nothing holds, by stage, each in order of last use: what goes first when room is made. */
export class UnusedRunners {
  readonly working = new RecencyList<RunnerEntry>();
  readonly ended = new RecencyList<RunnerEntry>();
  readonly seen = new RecencyList<RunnerEntry>();

  /** Adds a runner, or makes it the most recently used one of its stage. */
  use(entry: RunnerEntry): void {
    this[entry.stage].use(entry);
  }

  /** Removes a runner. To be called before its stage changes. No effect if it is not listed. */
  remove(entry: RunnerEntry): void {
    this[entry.stage].remove(entry);
  }

  /** The least recently used ended runner that fits; one whose end was seen goes first. */
  oldestEnded(fits: (entry: RunnerEntry) => boolean): RunnerEntry | undefined {
    return this.seen.oldest(fits) ?? this.ended.oldest(fits);
  }
}
