/** The runners of one session with their idle times, and the clean-ups of those already removed. */
import type { CleanupSummary } from "../base/dispose.js";
import { IdleEntry, type IdleList, type IdleLists } from "../base/idle-list.js";
import type { RecencyList, Recent } from "../base/recency-list.js";
import type { Runner } from "../runner/runner.js";
import type { RunnerCore } from "../runner/runner-core.js";

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

  /**
   * @param idleTimeout in ms; `Infinity`: the runner never idles out
   * @param idle the shared list of this duration, joined by {@link RunnerTable.add} and left by {@link RunnerTable.remove}
   */
  constructor(
    readonly runner: RunnerCore,
    /** Its place among all runners of the process, in the order in which their creations began. */
    readonly order: number,
    readonly idleTimeout: number,
    readonly idle: IdleList<RunnerEntry>,
  ) {
    super();
  }
}

/**
 * The runners of one session, by number, with their idle times and pending clean-ups.
 *
 * Invariant: an entry is in its idle list and in the host's list of unused runners only while it has no holder.
 */
export class RunnerTable {
  /** The host's idle lists. Each entry joins the list of its duration, which it shares with runners of other sessions. */
  readonly #idle: IdleLists<RunnerEntry>;
  /** Unused runners of the whole host, in order of last use: the candidates when a limit makes room. */
  readonly #unused: RecencyList<RunnerEntry>;
  /** In the order in which they were made; a removed runner does not return. */
  readonly #entries = new Map<number, RunnerEntry>();
  /** Clean-ups in progress. A settled one is dropped, so that a session does not grow with the runners it has had. */
  readonly #disposals = new Set<Promise<CleanupSummary>>();

  /**
   * @param idle the host's idle lists, one for each duration
   * @param unused the host's unused runners
   */
  constructor(idle: IdleLists<RunnerEntry>, unused: RecencyList<RunnerEntry>) {
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
  add(runner: RunnerCore, order: number, idleTimeout: number): void {
    this.#entries.set(runner.number, new RunnerEntry(runner, order, idleTimeout, this.#idle.join(idleTimeout)));
  }

  /** Number of runners in the table. */
  get size(): number {
    return this.#entries.size;
  }

  /** The least recently used runner without a holder, or `undefined` if all are in use. */
  idlest(): RunnerEntry | undefined {
    let idlest: RunnerEntry | undefined;
    for (const entry of this.#entries.values()) {
      if (entry.holders === 0 && (!idlest || entry.usedAt < idlest.usedAt)) idlest = entry;
    }
    return idlest;
  }

  /**
   * Removes a runner from the table and from all lists.
   * @param disposal the runner's clean-up, which {@link disposed} waits for; must not reject
   * @returns false if the runner was not in the table
   */
  remove(runner: Runner, disposal: Promise<CleanupSummary>): boolean {
    const entry = this.#entries.get(runner.number);
    if (!entry) return false;
    this.#entries.delete(runner.number);
    entry.idle.remove(entry);
    this.#unused.remove(entry);
    this.#idle.leave(entry.idleTimeout);
    this.#disposals.add(disposal);
    void disposal.then(() => this.#disposals.delete(disposal));
    return true;
  }

  /** Waits for the clean-ups in progress at the time of the call. Clean-ups that finished earlier are not in the result. */
  disposed(): Promise<CleanupSummary[]> {
    return Promise.all(this.#disposals);
  }

  /** Keeps a runner from idling out until {@link release} has been called as often. Ignores a removed runner. */
  hold(runner: Runner): void {
    const entry = this.#entries.get(runner.number);
    if (!entry || entry.holders++ > 0) return;
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
    if (--entry.holders > 0) return;
    entry.idle.touch(entry, entry.usedAt);
    this.#unused.use(entry);
  }
}
