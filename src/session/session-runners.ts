import { abortable, LazyPromise } from "../base/async.js";
import {
  type CleanupSummary,
  mergeSummaries,
  nothingToReport,
  type Resource,
  runSteps,
  toSteps,
} from "../base/dispose.js";
import { ActiveSessionError } from "../base/error.js";
import { Lease } from "../base/lease.js";
import type { LogFactory } from "../log/log-factory.js";
import type { ItemTally, LogState } from "../log/result-log.js";
import type { AbortReason } from "../protocol/types.js";
import { LazySignal } from "../runner/lazy-signal.js";
import type { Runner } from "../runner/runner.js";
import type { RunnerCore } from "../runner/runner-core.js";
import type { RunnerOwner } from "../runner/runner-owner.js";
import { IdempotentCreations } from "./idempotency.js";
import type { Tally } from "./limits.js";
import { type RunnerChoices, type RunnerOptions, resolveRunnerOptions, takeHolds } from "./options.js";
import type { Recipe } from "./recipes.js";
import { endOf, namesOf } from "./runner-events.js";
import { parseRunnerKey } from "./runner-key.js";
import { type RunnerEntry, RunnerTable } from "./runner-table.js";
import type { RunnersHost, RunnersOwner } from "./runners-owner.js";

/**
 * The runners of one session: creates and finds them, keeps them from idling out while they are in use, and publishes their events.
 *
 *     number ──▶ holds taken over ──▶ source checked ──▶ limits checked ──▶ made, `runner.created`
 *            ──▶ started, unless that waits for the first read ──▶ client's identity saved
 *
 * Invariants of a creation:
 *
 * - It takes its number first; numbers are never reused, not even after a failure.
 * - It owns what it was given. If it fails at any point, the runner is disposed with its source and holds, or, if there is none yet,
 *   the source is closed and the holds are released.
 * - Limits are checked before the runner is made, and `runner.created` is published right after: no event names a runner that was
 *   never created.
 * - Application code may end the session at any step, so the session is checked again after `check`, after `make` and after the start.
 * - The end of the session waits for the clean-up of creations in progress.
 */
export class SessionRunners implements RunnerOwner {
  readonly #owner: RunnersOwner;
  readonly #host: RunnersHost;
  readonly #table: RunnerTable;
  /** Creations in progress. Each resolves with the clean-up of a failed creation, which the end of the session waits for. */
  readonly #creations = new Set<LazyPromise<CleanupSummary>>();
  /** Signal for the present owner's reads and responses; created on demand. */
  #handover: LazySignal | undefined;
  /** Created on demand, which keeps sessions without idempotency keys small. */
  #once: IdempotentCreations | undefined;
  /** Only grows, so that a key never leads to another runner than the one it was issued for. */
  #nextNumber = 0;
  /** Open reads of this session, for its client's limit. The host's tally counts them for the whole process. */
  #openReads = 0;
  #isFresh = true;

  /** @param owner the session */
  constructor(owner: RunnersOwner, host: RunnersHost) {
    this.#owner = owner;
    this.#host = host;
    this.#table = new RunnerTable(host.idleRunners, host.unusedRunners);
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
    return number < this.#nextNumber;
  }

  /** Returns the runner with this number without counting as a use. */
  peek(number: number): RunnerCore | undefined {
    return this.#table.get(number);
  }

  /** The least recently used runner without a holder, or `undefined` if all are in use. */
  idlest(): RunnerEntry | undefined {
    return this.#table.idlest();
  }

  // --- creating ----------------------------------------------------------------------------------------------------

  /**
   * Creates a runner, and starts it unless it is to start with its first read.
   * @param options not validated yet
   * @returns the runner, when its client can come back to it
   * @throws `INVALID_OPTION`, `SESSION_ENDED`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`, `RUNNER_START_FAILED`,
   *   `IDENTITY_NOT_SAVED`; errors of `check` and `make`. By then everything it was given is released, or its time is up.
   */
  async create<R extends RunnerCore>(
    { action, check, make, definition, kind, discard = async () => nothingToReport }: Recipe<R>,
    options: RunnerOptions = {},
  ): Promise<R> {
    const number = this.#nextNumber++;
    const order = begun++;
    const taken: Resource[] = [];
    const over = new LazyPromise<CleanupSummary>();
    this.#creations.add(over);
    let summary = nothingToReport;
    let runner: R | undefined;
    try {
      const holds = takeHolds(options, taken); // first: from here on a failure releases them
      this.#owner.checkAvailable(action);
      const choices = resolveRunnerOptions(action, options, holds, this.#host.settings);
      const { data, label, aheadLimit, retain } = choices;
      // Awaited only if it is asynchronous: otherwise the runner is made before the call returns.
      const checking = check?.();
      if (checking instanceof Promise) await this.#pinned(checking);
      this.#owner.checkAvailable(action);
      this.#owner.admitRunner();
      const { itemsPerRunner: mostItems } = this.#host.settings.limits;
      // One literal, no spread: V8 gives a literal a fast shape, and the runner reads these settings all its life.
      const settings = {
        number,
        defaultAdvance: kind === "process" ? (options.defaultAdvance ?? 1) : choices.defaultAdvance,
        holds: taken,
        data,
        definition,
        label,
        aheadLimit,
        retain,
        mostItems,
      };
      runner = make(this, settings);
      this.#add(runner, order, choices);
      this.#owner.checkAvailable(action); // making room, `make` or a listener may have ended the session
      await this.#launch(runner, choices);
      this.#owner.checkAvailable(action);
      this.#isFresh = false;
      return runner;
    } catch (error) {
      // Before the rejection: a caller that tries again finds the holds, such as a lock, released.
      summary = runner ? await runner.dispose("stopped") : await this.#giveBack(discard, taken);
      const { id, generation } = this.#owner;
      // The cause stays on the server, so without a logger it is reported as a warning.
      const isTrouble = ActiveSessionError.is(error) && error.code === "RUNNER_START_FAILED";
      this.#host.events.emit("runner.creation-failed", () => ({ session: id, generation, error }), isTrouble);
      throw error;
    } finally {
      this.#creations.delete(over);
      over.resolve(summary);
    }
  }

  /** Must follow `make` without an `await`, so that the limits just checked still hold. */
  #add(runner: RunnerCore, order: number, { idleTimeout }: RunnerChoices): void {
    this.#table.add(runner, order, idleTimeout);
    this.#host.tally.runners++;
    this.#tell("runner.created", runner);
  }

  /**
   * Starts the runner if it is to start now, and waits until the client's identity is saved. Held meanwhile, for a turn of the microtasks
   * at least: it must neither idle out nor make room for another one before its creator has it. The release starts its idle time.
   */
  async #launch(runner: RunnerCore, { start, signal }: RunnerChoices): Promise<void> {
    this.#hold(runner);
    try {
      runner.follow(signal);
      await (start === "now" ? runner.start() : undefined);
      const saving = this.#owner.published();
      if (saving !== undefined) await saving;
    } finally {
      this.#release(runner);
    }
  }

  /** Waits for application code, at most until the session ends. The session does not idle out meanwhile. */
  async #pinned<R>(promise: Promise<R>): Promise<R> {
    this.#owner.hold();
    try {
      return await abortable(promise, this.#owner.signal);
    } finally {
      this.#owner.release(performance.now());
    }
  }

  /** Cleans up after a creation that failed before there was a runner. Never rejects; problems are reported as warnings. */
  async #giveBack(
    discard: Exclude<Recipe<RunnerCore>["discard"], undefined>,
    resources: readonly Resource[],
  ): Promise<CleanupSummary> {
    const { cleanupTimeout } = this.#host.settings;
    const onLate = (error: unknown) => this.#owner.warn("a clean-up failed when its time was up", error);
    const discarded = await discard(cleanupTimeout, onLate);
    const summary = mergeSummaries([discarded, await runSteps(toSteps(resources), cleanupTimeout, onLate)]);
    for (const error of summary.errors) this.#owner.warn("the clean-up of a failed creation failed", error);
    if (summary.timedOut) this.#owner.warn("the clean-up of a failed creation took too long", undefined);
    return summary;
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
    this.#hold(runner);
    this.#release(runner);
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
    const creations = [...this.#creations].map(({ promise }) => promise);
    const [disposed, ...failed] = await Promise.all([this.#table.disposed(), ...creations]);
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
    this.#hold(runner);
    return new RunnerLease(this, runner);
  }

  #hold(runner: Runner): void {
    this.#table.hold(runner);
    this.#owner.hold();
  }

  /** Counts as a use of runner and session. */
  #release(runner: Runner): void {
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
    this.#hold(runner);
    return new ReadLease(this, runner);
  }

  /** Undoes one {@link hold}. Counts as a use of runner and session. */
  letGo(runner: Runner): void {
    this.#release(runner);
  }

  /** Undoes one {@link openRead}. */
  closeRead(runner: Runner): void {
    this.#openReads--;
    this.#counts.openReads--;
    this.#release(runner);
  }

  /** Removes a runner that is being disposed. Idempotent: no effect if it is not in the table. */
  removed(runner: Runner, disposal: Promise<CleanupSummary>): void {
    if (!this.#table.remove(runner, disposal)) return;
    this.#counts.runners--;
    this.#tell("runner.removed", runner);
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

/** Number of creations begun in this process. */
let begun = 0;

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
