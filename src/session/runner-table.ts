/** The runners of one session with their idle times, and the clean-ups of those already removed. */
import type { CleanupSummary } from "../base/dispose.js";
import type { IdleLists } from "../base/idle-list.js";
import type { Runner } from "../runner/runner.js";
import type { RunnerCore } from "../runner/runner-core.js";
import { RunnerEntry, type RunnerStage, stages } from "./runner-entry.js";
import type { UnusedRunners } from "./unused-runners.js";

/**
 * The runners of one session, by number, with their idle times and pending clean-ups.
 *
 * Invariant: an entry is in its idle list and in the host's list of unused runners only while it has no holder.
 */
export class RunnerTable {
  /** The host's idle lists. Each entry joins the list of its duration, which it shares with runners of other sessions. */
  readonly #idle: IdleLists<RunnerEntry>;
  /** Unused runners of the whole host: the candidates when a limit makes room. */
  readonly #unused: UnusedRunners;
  /** In the order in which they were made; a removed runner does not return. */
  readonly #entries = new Map<number, RunnerEntry>();
  /** Clean-ups in progress. A settled one is dropped, so that a session does not grow with the runners it has had. */
  readonly #disposals = new Set<Promise<CleanupSummary>>();

  /**
   * @param idle the host's idle lists, one for each duration
   * @param unused the host's unused runners
   */
  constructor(idle: IdleLists<RunnerEntry>, unused: UnusedRunners) {
    this.#idle = idle;
    this.#unused = unused;
  }

  /** A snapshot of the runners in order of creation. */
  all(): RunnerCore[] {
    return [...this.#entries.values()].map((entry) => entry.runner);
  }

  /** All entries in order of creation. */
  entries(): IterableIterator<RunnerEntry> {
    return this.#entries.values();
  }

  /** Returns the runner with this number without counting as a use. */
  get(number: number): RunnerCore | undefined {
    return this.#entries.get(number)?.runner;
  }

  /** Adds a runner. Its idle time starts when its first hold is released, not here. */
  add(runner: RunnerCore, order: number, idleTimeout: number, finishedTimeout: number): void {
    const idle = this.#idle.join(idleTimeout);
    this.#entries.set(runner.number, new RunnerEntry(runner, order, idleTimeout, finishedTimeout, idle));
  }

  /**
   * Moves a runner to a later stage. With the end of its work it gets its other time-out, and its idle time starts again.
   * @returns the stage that it was in; `undefined` if it is not in the table
   */
  advance(runner: Runner, stage: RunnerStage): RunnerStage | undefined {
    const entry = this.#entries.get(runner.number);
    const before = entry?.stage;
    if (!entry || stages.indexOf(stage) <= stages.indexOf(entry.stage)) return before;
    entry.idle.remove(entry);
    this.#unused.remove(entry);
    entry.stage = stage;
    if (before === "working") {
      this.#idle.leave(entry.timeout);
      entry.timeout = entry.finishedTimeout;
      entry.idle = this.#idle.join(entry.timeout);
    }
    if (entry.holders === 0) this.#wait(entry, performance.now());
    return before;
  }

  /** Nothing holds the runner from now on. */
  #wait(entry: RunnerEntry, now: number): void {
    entry.idle.touch(entry, now);
    this.#unused.use(entry);
  }

  /** Number of runners in the table. */
  get size(): number {
    return this.#entries.size;
  }

  /**
   * Removes a runner from the table and from all lists.
   * @param disposal the runner's clean-up, which {@link disposed} waits for; must not reject
   * @returns the stage that it was in; `undefined` if it was not in the table
   */
  remove(runner: Runner, disposal: Promise<CleanupSummary>): RunnerStage | undefined {
    const entry = this.#entries.get(runner.number);
    if (!entry) return undefined;
    this.#entries.delete(runner.number);
    entry.idle.remove(entry);
    this.#unused.remove(entry);
    this.#idle.leave(entry.timeout);
    this.#disposals.add(disposal);
    void disposal.then(() => this.#disposals.delete(disposal));
    return entry.stage;
  }

  /** Waits for the clean-ups in progress at the time of the call. Clean-ups that finished earlier are not in the result. */
  disposed(): Promise<CleanupSummary[]> {
    return Promise.all(this.#disposals);
  }

  /** Keeps a runner from idling out until {@link release} has been called as often. Ignores a removed runner. */
  hold(runner: Runner): void {
    const entry = this.#entries.get(runner.number);
    if (!entry) return;
    if (entry.isReleased) entry.isUnused = false;
    if (entry.holders++ > 0) return;
    entry.idle.remove(entry);
    this.#unused.remove(entry);
  }

  /**
   * Undoes one {@link hold}. The last release starts the idle time. Ignores a removed runner.
   * @param now monotonic clock, ms
   */
  release(runner: Runner, now: number): void {
    const entry = this.#entries.get(runner.number);
    if (!entry) return;
    entry.usedAt = now;
    entry.isReleased = true;
    if (--entry.holders === 0) this.#wait(entry, now);
  }
}
