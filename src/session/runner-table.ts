/** The runners of one session: by number, with their idle times, and with the clean-ups that are still going on. */
import type { CleanupSummary } from "../base/dispose.js";
import type { Runner } from "../runner/runner.js";
import { Expirable, type ExpiryList, type ExpiryLists } from "./expiry.js";

/** A runner and what keeps it. */
export class RunnerEntry extends Expirable {
  /** How many reads and responses keep the runner from idling out. */
  holders = 0;

  constructor(
    readonly runner: Runner,
    readonly idleTimeout: number,
    readonly idle: ExpiryList<RunnerEntry>,
  ) {
    super();
  }
}

/** See the top of the file. */
export class RunnerTable {
  readonly #idle: ExpiryLists<RunnerEntry>;
  readonly #entries = new Map<number, RunnerEntry>();
  readonly #disposals = new Set<Promise<CleanupSummary>>();

  constructor(idle: ExpiryLists<RunnerEntry>) {
    this.#idle = idle;
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

  /** Takes a runner out; its clean-up is waited for by {@link disposed}. */
  remove(runner: Runner, disposal: Promise<CleanupSummary>): void {
    const entry = this.#entries.get(runner.number);
    if (!entry) return;
    this.#entries.delete(runner.number);
    entry.idle.remove(entry);
    this.#idle.leave(entry.idleTimeout);
    this.#disposals.add(disposal);
    void disposal.then(() => this.#disposals.delete(disposal));
  }

  /** Resolves when the clean-ups of all runners taken out so far are over. */
  disposed(): Promise<CleanupSummary[]> {
    return Promise.all(this.#disposals);
  }

  /** Keeps a runner from idling out until the returned function is called, which may happen once. */
  hold(runner: Runner): () => void {
    const entry = this.#entries.get(runner.number);
    if (!entry) return () => {};
    if (entry.holders++ === 0) entry.idle.remove(entry);
    return () => {
      const isThere = this.#entries.get(runner.number) === entry;
      if (--entry.holders === 0 && isThere) entry.idle.touch(entry);
    };
  }
}
