/** The runners of one session: by number, with their idle times, and with the clean-ups that are still going on. */
import type { CleanupSummary } from "../base/dispose.js";
import { IdleEntry, type IdleList, type IdleLists } from "../base/idle-list.js";
import type { RecencyList, Recent } from "../base/recency-list.js";
import type { Runner } from "../runner/runner.js";

/** A runner and what keeps it. */
export class RunnerEntry extends IdleEntry implements Recent<RunnerEntry> {
  moreRecent: RunnerEntry | undefined;
  lessRecent: RunnerEntry | undefined;
  isListed = false;
  /** How many reads and responses keep the runner from idling out. */
  holders = 0;
  /** When it was used last, by the monotonic clock, ms. */
  usedAt = performance.now();

  constructor(
    readonly runner: Runner,
    readonly idleTimeout: number,
    readonly idle: IdleList<RunnerEntry>,
  ) {
    super();
  }
}

/** See the top of the file. */
export class RunnerTable {
  readonly #idle: IdleLists<RunnerEntry>;
  /** Those of the whole host that nobody is using. */
  readonly #unused: RecencyList<RunnerEntry>;
  readonly #entries = new Map<number, RunnerEntry>();
  readonly #disposals = new Set<Promise<CleanupSummary>>();

  constructor(idle: IdleLists<RunnerEntry>, unused: RecencyList<RunnerEntry>) {
    this.#idle = idle;
    this.#unused = unused;
  }

  /** The runners in order of creation, as of the call. */
  all(): Runner[] {
    return [...this.#entries.values()].map((entry) => entry.runner);
  }

  get(number: number): Runner | undefined {
    return this.#entries.get(number)?.runner;
  }

  /** Adds a runner; its idle time begins with the end of its first hold. */
  add(runner: Runner, idleTimeout: number): void {
    this.#entries.set(runner.number, new RunnerEntry(runner, idleTimeout, this.#idle.join(idleTimeout)));
  }

  get size(): number {
    return this.#entries.size;
  }

  /** The runner that was not used for the longest time, of those that nobody is using. */
  idlest(): RunnerEntry | undefined {
    let idlest: RunnerEntry | undefined;
    for (const entry of this.#entries.values()) {
      if (entry.holders === 0 && (!idlest || entry.usedAt < idlest.usedAt)) idlest = entry;
    }
    return idlest;
  }

  /** Takes a runner out; its clean-up is waited for by {@link disposed}. Returns whether it was there. */
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

  /** Resolves when the clean-ups of all runners taken out so far are over. */
  disposed(): Promise<CleanupSummary[]> {
    return Promise.all(this.#disposals);
  }

  /** Keeps a runner from idling out until {@link release} has been called as often. */
  hold(runner: Runner): void {
    const entry = this.#entries.get(runner.number);
    if (!entry || entry.holders++ > 0) return;
    entry.idle.remove(entry);
    this.#unused.remove(entry);
  }

  release(runner: Runner): void {
    const entry = this.#entries.get(runner.number);
    if (!entry) return;
    entry.usedAt = performance.now();
    if (--entry.holders > 0) return;
    entry.idle.touch(entry, entry.usedAt);
    this.#unused.use(entry);
  }
}
