import type { CleanupSummary } from "../base/dispose.js";
import { Lease } from "../base/lease.js";
import type { LogFactory } from "../log/log-factory.js";
import type { ItemTally, LogState } from "../log/result-log.js";
import type { AbortReason, FinalStatus } from "../protocol/types.js";
import { LazySignal } from "../runner/lazy-signal.js";
import type { Runner } from "../runner/runner.js";
import type { RunnerCore } from "../runner/runner-core.js";
import { type CreatedRunners, RunnerCreations } from "./creations.js";
import { IdempotentCreations } from "./idempotency.js";
import type { Tally } from "./limits.js";
import type { RunnerChoices, RunnerOptions } from "./options.js";
import type { Recipe } from "./recipes.js";
import type { RunnerEntry } from "./runner-entry.js";
import { endOf, namesOf } from "./runner-events.js";
import { parseRunnerKey } from "./runner-key.js";
import { RunnerTable } from "./runner-table.js";
import type { RunnersHost, RunnersOwner } from "./runners-owner.js";
import { UnseenEnds } from "./unseen-ends.js";

/**
 * The runners of one session: finds them, keeps them from idling out while they are in use, counts them, and publishes their events. How
 * they are created: {@link RunnerCreations}.
 */
export class SessionRunners implements CreatedRunners {
  readonly #owner: RunnersOwner;
  readonly #host: RunnersHost;
  readonly #table: RunnerTable;
  readonly #creations: RunnerCreations;
  /** Signal for the present owner's reads and responses; created on demand. */
  #handover: LazySignal | undefined;
  /** Created on demand, which keeps sessions without idempotency keys small. */
  #once: IdempotentCreations | undefined;
  /** Open reads of this session, for its client's limit. The host's tally counts them for the whole process. */
  #openReads = 0;
  #working = 0;
  #running = 0;
  /** Created with the first end of work whose definition has `onUnseen`. */
  #unseen: UnseenEnds | undefined;
  #isFresh = true;

  /** @param owner the session */
  constructor(owner: RunnersOwner, host: RunnersHost) {
    this.#owner = owner;
    this.#host = host;
    this.#table = new RunnerTable(host.idleRunners, host.unusedRunners);
    this.#creations = new RunnerCreations(this, owner, host);
  }

  /** True until a runner has been created or found. */
  get isFresh(): boolean {
    return this.#isFresh;
  }

  /** Number of runners, finished ones included. */
  get size(): number {
    return this.#table.size;
  }

  /** Number of pending reads and open responses. */
  get openReads(): number {
    return this.#openReads;
  }

  /**
   * Aborts when the session is moved to another identity, at a login for example. Each owner gets its own signal, so that the new
   * owner's reads go on.
   */
  get handover(): LazySignal {
    this.#handover ??= new LazySignal();
    return this.#handover;
  }

  /** Aborts the former owner's {@link handover} signal with `reason`, which ends the reads and responses it has opened. */
  handOver(reason: unknown): void {
    const former = this.#handover;
    this.#handover = undefined;
    former?.abort(reason);
  }

  /** Creations under an idempotency key. */
  get once(): IdempotentCreations {
    this.#once ??= new IdempotentCreations();
    return this.#once;
  }

  /** A snapshot of the runners in order of creation. */
  all(): RunnerCore[] {
    return this.#table.all();
  }

  /** The runners with their uses, in order of creation. */
  entries(): IterableIterator<RunnerEntry> {
    return this.#table.entries();
  }

  /** True if this number has been taken, whether the runner still exists, was removed, or failed to be created. */
  hasIssued(number: number): boolean {
    return number < this.#creations.begun;
  }

  /** Returns the runner with this number without counting as a use. */
  peek(number: number): RunnerCore | undefined {
    return this.#table.get(number);
  }

  /** Number of runners whose work has not ended. */
  get working(): number {
    return this.#working;
  }

  /** Number of runners whose work has not stopped, removed ones included. */
  get running(): number {
    return this.#running;
  }

  /**
   * Creates a runner. See {@link RunnerCreations.create}.
   * @param options not validated yet
   */
  async create<R extends RunnerCore>(recipe: Recipe<R>, options?: RunnerOptions): Promise<R> {
    const runner = await this.#creations.create(recipe, options);
    this.#isFresh = false;
    return runner;
  }

  /** Enters a runner that has been made. */
  add(runner: RunnerCore, order: number, { idleTimeout, finishedTimeout }: RunnerChoices): void {
    this.#table.add(runner, order, idleTimeout, finishedTimeout);
    this.#counts.runners++;
    this.#counts.running++;
    this.#running++;
    this.#counts.working++;
    this.#working++;
    this.#tell("runner.created", runner);
  }

  // --- finding and keeping -----------------------------------------------------------------------------------------

  /**
   * Finds a runner by key or number, which counts as a use of runner and session.
   * @param fits a runner for which this returns false counts as not found, and not as used
   */
  find(key: string | number, fits: (runner: Runner) => boolean): RunnerCore | undefined {
    const runner = this.#table.get(typeof key === "number" ? key : this.#numberOf(key));
    if (!runner || !fits(runner)) return undefined;
    this.#isFresh = false;
    this.keep(runner);
    this.letGo(runner);
    return runner;
  }

  /** The key's number of the newest runner with a label; -1 without one, which no runner has. */
  newestWith(label: string): number {
    return this.all().reduce(
      (newest, runner) => (runner.label === label ? Math.max(newest, runner.number) : newest),
      -1,
    );
  }

  /** The number in a key of this session and generation. Any other text gives -1, which no runner has. */
  #numberOf(text: string): number {
    const { id, generation } = this.#owner;
    const key = parseRunnerKey(text);
    return key && key.generation === generation && key.sessionId === id ? key.number : -1;
  }

  // --- ending ------------------------------------------------------------------------------------------------------

  /**
   * Aborts and removes all runners. Returns at once; {@link disposed} waits for the clean-ups. A creation that has no runner yet fails
   * at its next check of the session.
   */
  dispose(reason: AbortReason): void {
    for (const runner of this.all()) void runner.dispose(reason);
  }

  /**
   * Waits for all clean-ups in progress, including those of pending creations, which fail since the session has ended.
   * @returns one summary for each; never rejects
   */
  async disposed(): Promise<CleanupSummary[]> {
    const [disposed, failed] = await Promise.all([this.#table.disposed(), this.#creations.over()]);
    return [...new Set([...disposed, ...failed])]; // a failed creation that had made a runner shares its summary
  }

  // --- the owner's side of a runner: `RunnerOwner` ----------------------------------------------------------------

  /** For the context of a runner's work. */
  get session(): unknown {
    return this.#owner;
  }

  /** For the context of a runner's work; made at first use. Throws `SESSION_ENDED`, or errors of the factory. */
  get services(): unknown {
    return this.#owner.services;
  }

  /** Part of every runner's key. */
  get sessionId(): string {
    return this.#owner.id;
  }

  /** Part of every runner's key. */
  get generation(): number {
    return this.#owner.generation;
  }

  /** Limit for each step of a runner's clean-up, in ms. */
  get cleanupTimeout(): number {
    return this.#host.settings.cleanupTimeout;
  }

  /** Makes the logs of new runners. */
  get logs(): LogFactory {
    return this.#host.logs;
  }

  /** Counts the items that a new runner keeps. */
  get tally(): ItemTally {
    return this.#owner.items;
  }

  /** Counts of the whole process, which the limits are checked against. */
  get #counts(): Tally {
    return this.#host.tally;
  }

  /**
   * Keeps a runner and its session from idling out. The session is held even if the runner has been removed meanwhile, so that holds and
   * releases stay balanced.
   */
  hold(runner: Runner): Lease {
    this.keep(runner);
    return new RunnerLease(this, runner);
  }

  /** As {@link hold}, for those who call {@link letGo} themselves. */
  keep(runner: Runner): void {
    this.#table.hold(runner);
    this.#owner.hold();
  }

  /** Undoes one {@link hold}. Counts as a use of runner and session. */
  letGo(runner: Runner): void {
    const now = performance.now();
    this.#table.release(runner, now);
    this.#owner.release(now);
  }

  /**
   * A {@link hold} for a read that waits or a response that stays open, counted against the limits.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`; nothing is held then
   */
  openRead(runner: Runner): Lease {
    this.#owner.admitRead();
    this.#openReads++;
    this.#counts.openReads++;
    this.keep(runner);
    return new ReadLease(this, runner);
  }

  /** Undoes one {@link openRead}. */
  closeRead(runner: Runner): void {
    this.#openReads--;
    this.#counts.openReads--;
    this.letGo(runner);
  }

  /** Removes a runner that is being disposed. Idempotent: no effect if it is not in the table. */
  removed(runner: Runner, disposal: Promise<CleanupSummary>): void {
    const stage = this.#table.remove(runner, disposal);
    if (stage === undefined) return;
    this.#counts.runners--;
    if (stage === "working") this.#hasEnded();
    if (stage === "ended") this.#counts.unseen--;
    this.#unseen?.over(runner);
    this.#tell("runner.removed", runner);
    this.#host.settled();
    if (this.size === 0) this.#owner.runnersGone();
  }

  /** The idle time of ended work starts again, by another time-out. */
  workEnded(runner: Runner, outcome: FinalStatus): void {
    if (this.#table.advance(runner, "ended") !== "working") return;
    this.#hasEnded();
    this.#counts.unseen++;
    if (outcome === "aborted" || !runner.definition?.onUnseen) return;
    this.#unseen ??= new UnseenEnds((message, error) => this.#owner.warn(message, error));
    this.#unseen.ended(runner);
  }

  /** Where room is needed, runners whose end was seen go first. */
  endSeen(runner: Runner): void {
    const before = this.#table.advance(runner, "seen");
    if (before === "working") this.#hasEnded();
    if (before === "ended") this.#counts.unseen--;
    this.#unseen?.over(runner);
    this.#host.settled();
  }

  #hasEnded(): void {
    this.#counts.working--;
    this.#working--;
  }

  /** The work has stopped, and its source is closed. */
  workStopped(): void {
    this.#counts.running--;
    this.#running--;
  }

  /** While the host closes nothing begins again. */
  startFailed(runner: RunnerCore): void {
    this.#host.startFailed(runner);
  }

  /** Publishes `runner.started`. */
  started(runner: Runner): void {
    this.#tell("runner.started", runner);
  }

  /** Publishes `runner.final`; for a failure with the error that the work threw, not with the one that wraps it for clients. */
  ended(runner: Runner, state: LogState): void {
    this.#host.events.emit("runner.final", () => endOf(runner, state), state.status === "failed");
  }

  /** Publishes a warning: the work threw after its clean-up was over, too late for any summary. */
  failedLate(runner: Runner, error: unknown): void {
    const message = "a runner's work failed after it had been stopped";
    this.#host.events.emit("warning", () => ({ message, ...namesOf(runner), error }));
  }

  /** Publishes `runner.cleaned-up`. If the clean-up went well, a payload is built only for a subscriber or logger. */
  cleanedUp(runner: Runner, summary: CleanupSummary): void {
    const isTrouble = summary.timedOut || summary.errors.length > 0;
    this.#host.events.emit("runner.cleaned-up", () => ({ ...namesOf(runner), ...summary }), isTrouble);
  }

  /** Publishes an event whose payload is just the runner's names. */
  #tell(name: "runner.created" | "runner.started" | "runner.removed", runner: Runner): void {
    this.#host.events.emit(name, () => namesOf(runner));
  }
}

/**
 * A hold of a runner and its session. Has no function of its own: each page that is read has a lease, and optimised code that has a
 * session's function in it is thrown away with that session.
 */
class RunnerLease extends Lease {
  constructor(
    protected readonly runners: SessionRunners,
    protected readonly runner: Runner,
  ) {
    super();
  }

  protected end(): void {
    this.runners.letGo(this.runner);
  }
}

/** A hold that counts as an open read. */
class ReadLease extends RunnerLease {
  protected override end(): void {
    this.runners.closeRead(this.runner);
  }
}
