/**
 * The runners of one session: how one comes to be, how it is found, what keeps it from idling out, and what is told of it.
 *
 * A creation takes its number first and never gives it back. What it was given it has taken over: if it fails, wherever, the
 * runner is disposed, or, where there was none yet, the source closed and the `holds` released. A runner is made only where there
 * may be one more, and is told of at once: nobody hears of a runner that was never created.
 */

import { abortable, LazyPromise } from "../base/async.js";
import { type CleanupSummary, mergeSummaries, type OnLate, type Resource, runSteps, toSteps } from "../base/dispose.js";
import type { IdleLists } from "../base/idle-list.js";
import type { RecencyList } from "../base/recency-list.js";
import type { ItemTally, LogState } from "../log/result-log.js";
import type { AbortReason, RunnerKind } from "../protocol/types.js";
import type { RunnerDefinition } from "../runner/definition.js";
import { LazySignal } from "../runner/lazy-signal.js";
import type { Runner, RunnerOwner } from "../runner/runner.js";
import type { SequenceSettings } from "../runner/sequence-runner.js";
import type { ActiveSessionEvents, Events } from "./events.js";
import { IdempotentCreations } from "./idempotency.js";
import type { Tally } from "./limits.js";
import {
  type HostSettings,
  type RunnerChoices,
  type RunnerOptions,
  resolveRunnerOptions,
  takeHolds,
} from "./options.js";
import { parseRunnerKey } from "./runner-key.js";
import { type RunnerEntry, RunnerTable } from "./runner-table.js";

/** What runners need of their host. */
export interface RunnersHost {
  readonly settings: HostSettings;
  /** The lists in which idle runners wait for their end. */
  readonly idleRunners: IdleLists<RunnerEntry>;
  /** Those of them that nobody is using, in order of their last use. */
  readonly unusedRunners: RecencyList<RunnerEntry>;
  /** Counts what all sessions hold. */
  readonly tally: Tally;
  readonly events: Events;
  /** Throws where the session may not have one more open read. */
  admitRead(session: unknown): void;
}

/** What runners need of their session. */
export interface RunnersOwner {
  readonly session: {
    readonly id: string;
    readonly generation: number;
    readonly services: unknown;
    readonly signal: AbortSignal;
    /** Keeps the session from idling out until `release` has been called as often. */
    hold(): void;
    release(): void;
    /** Where its runners' items are counted. */
    readonly items: ItemTally;
  };
  readonly host: RunnersHost;
  /** Throws when the session has ended. */
  checkAvailable(action: string): void;
  /** Throws where there may not be one more runner. */
  admitRunner(): void;
  /** Resolves when a client that is told of a runner can come back to it; rejects if it never can. */
  published(): Promise<void>;
  warn(message: string, error: unknown): void;
}

/** How a runner comes to be. */
export interface Recipe<R> {
  /** Checks what it is to be made from; throws, or rejects. */
  readonly check?: () => void | Promise<void>;
  /** Makes it, not started yet, from what its options came to. */
  readonly make: (owner: RunnerOwner, settings: SequenceSettings) => R;
  /** What it is made from, if that is defined. */
  readonly definition?: RunnerDefinition;
  /** A process waits for its next report by default: the host's default advance is meant for items. Default: `"sequence"`. */
  readonly kind?: RunnerKind;
  /** Closes what was given for it where it could not even be made, within so many ms. */
  readonly discard?: (timeout: number, onLate: OnLate) => Promise<CleanupSummary>;
}

const nothing: CleanupSummary = { timedOut: false, errors: [] };

/** See the top of the file. */
export class SessionRunners implements RunnerOwner {
  readonly #owner: RunnersOwner;
  readonly #table: RunnerTable;
  /** Those under way: how what they leave is cleaned up if they fail. */
  readonly #creations = new Set<LazyPromise<CleanupSummary>>();
  #handover: LazySignal | undefined;
  #once: IdempotentCreations | undefined;
  #nextNumber = 0;
  #openReads = 0;
  #isFresh = true;

  constructor(owner: RunnersOwner) {
    this.#owner = owner;
    this.#table = new RunnerTable(owner.host.idleRunners, owner.host.unusedRunners);
  }

  /** True until one has been created or found. */
  get isFresh(): boolean {
    return this.#isFresh;
  }

  get size(): number {
    return this.#table.size;
  }

  /** How many reads wait and responses are open. */
  get openReads(): number {
    return this.#openReads;
  }

  /** Aborts when the session gets another owner. */
  get handover(): LazySignal {
    this.#handover ??= new LazySignal();
    return this.#handover;
  }

  /** The session has another owner: what the former one has opened ends. */
  handOver(reason: unknown): void {
    const former = this.#handover;
    this.#handover = undefined;
    former?.abort(reason);
  }

  /** What has been asked for under an idempotency key. */
  get once(): IdempotentCreations {
    this.#once ??= new IdempotentCreations();
    return this.#once;
  }

  /** In order of creation, as of the call. */
  all(): Runner[] {
    return this.#table.all();
  }

  /** Whether a runner with this number has been created, and is there or is not any more. */
  hasIssued(number: number): boolean {
    return number < this.#nextNumber;
  }

  /** The runner with this number, without using it. */
  peek(number: number): Runner | undefined {
    return this.#table.get(number);
  }

  /** The least recently used of those that nobody is using. */
  idlest(): RunnerEntry | undefined {
    return this.#table.idlest();
  }

  // --- creating ----------------------------------------------------------------------------------------------------

  async create<R extends Runner>(
    action: string,
    options: RunnerOptions,
    { check, make, definition, kind, discard = async () => nothing }: Recipe<R>,
  ): Promise<R> {
    const { host, session } = this.#owner;
    const number = this.#nextNumber++;
    const taken: Resource[] = [];
    const over = new LazyPromise<CleanupSummary>();
    this.#creations.add(over);
    let summary = nothing;
    let runner: R | undefined;
    try {
      const holds = takeHolds(options, taken);
      this.#owner.checkAvailable(action);
      const choices = resolveRunnerOptions(action, options, holds, host.settings);
      const { data, aheadLimit, retain } = choices;
      const checking = check?.();
      if (checking instanceof Promise) await this.#pinned(checking);
      this.#owner.checkAvailable(action);
      this.#owner.admitRunner();
      const { itemsPerRunner: mostItems } = host.settings.limits;
      // One literal: reading from an object that was spread together is slow, and the runner reads from this one all its life.
      const settings = {
        number,
        defaultAdvance: kind === "process" ? (options.defaultAdvance ?? 1) : choices.defaultAdvance,
        holds: taken,
        data,
        definition,
        aheadLimit,
        retain,
        mostItems,
      };
      runner = make(this, settings);
      this.#add(runner, choices);
      this.#owner.checkAvailable(action); // making room for it, or making it, may have run code that ended the session
      await this.#launch(runner, choices);
      this.#owner.checkAvailable(action);
      this.#isFresh = false;
      return runner;
    } catch (error) {
      summary = runner ? await runner.dispose("stopped") : await this.#giveBack(discard, taken);
      const { id, generation } = session;
      host.events.emit("runner.creation-failed", () => ({ session: id, generation, error }));
      throw error;
    } finally {
      this.#creations.delete(over);
      over.resolve(summary);
    }
  }

  #add(runner: Runner, { idleTimeout }: RunnerChoices): void {
    this.#table.add(runner, idleTimeout);
    this.#owner.host.tally.runners++;
    this.#tell("runner.created", runner);
  }

  /** Starts a new runner if it is to start now, and waits until its client can come back; it cannot idle out meanwhile. */
  async #launch(runner: Runner, { start, signal }: RunnerChoices): Promise<void> {
    this.hold(runner);
    try {
      runner.follow(signal);
      if (start === "now") await runner.start();
      await this.#owner.published();
    } finally {
      this.release(runner);
    }
  }

  /** The session does not idle out while a creation waits for the application's code, which waits no longer than it lives. */
  async #pinned<R>(promise: Promise<R>): Promise<R> {
    this.#owner.session.hold();
    try {
      return await abortable(promise, this.#owner.session.signal);
    } finally {
      this.#owner.session.release();
    }
  }

  async #giveBack(
    discard: Exclude<Recipe<Runner>["discard"], undefined>,
    resources: readonly Resource[],
  ): Promise<CleanupSummary> {
    const { cleanupTimeout } = this.#owner.host.settings;
    const onLate = (error: unknown) => this.#owner.warn("a clean-up failed when its time was up", error);
    const discarded = await discard(cleanupTimeout, onLate);
    const summary = mergeSummaries([discarded, await runSteps(toSteps(resources), cleanupTimeout, onLate)]);
    for (const error of summary.errors) this.#owner.warn("the clean-up of a failed creation failed", error);
    if (summary.timedOut) this.#owner.warn("the clean-up of a failed creation took too long", undefined);
    return summary;
  }

  // --- finding and keeping -----------------------------------------------------------------------------------------

  /** Finds a runner by key or number, and uses it. One that does not fit counts as not found, and is not used. */
  find(key: string | number, fits: (runner: Runner) => boolean): Runner | undefined {
    const runner = this.#table.get(typeof key === "number" ? key : this.#numberOf(key));
    if (!runner || !fits(runner)) return undefined;
    this.#isFresh = false;
    this.hold(runner);
    this.release(runner);
    return runner;
  }

  /** The number in a key of this session's generation; -1, which no runner has, for every other text. */
  #numberOf(text: string): number {
    const { id, generation } = this.#owner.session;
    const key = parseRunnerKey(text);
    return key && key.generation === generation && key.sessionId === id ? key.number : -1;
  }

  // --- ending ------------------------------------------------------------------------------------------------------

  /** Aborts and disposes all of them. Their clean-ups go on until {@link disposed} resolves. */
  dispose(reason: AbortReason): void {
    for (const runner of this.all()) void runner.dispose(reason);
  }

  /** Resolves when all clean-ups are over, with how they went, those of creations under way too: they fail now. */
  async disposed(): Promise<CleanupSummary[]> {
    const creations = [...this.#creations].map(({ promise }) => promise);
    const [disposed, ...failed] = await Promise.all([this.#table.disposed(), ...creations]);
    return [...new Set([...disposed, ...failed])]; // a creation that has come to a runner tells of the same clean-up as that
  }

  // --- what runners need, and what is told of them -----------------------------------------------------------------

  get session(): unknown {
    return this.#owner.session;
  }

  get services(): unknown {
    return this.#owner.session.services;
  }

  get sessionId(): string {
    return this.#owner.session.id;
  }

  get generation(): number {
    return this.#owner.session.generation;
  }

  get cleanupTimeout(): number {
    return this.#owner.host.settings.cleanupTimeout;
  }

  get tally(): ItemTally {
    return this.#owner.session.items;
  }

  get #counts(): Tally {
    return this.#owner.host.tally;
  }

  /** Keeps a runner, and with it the session, from idling out. Taking and releasing are a use of both. */
  hold(runner: Runner): void {
    this.#table.hold(runner);
    this.#owner.session.hold();
  }

  release(runner: Runner): void {
    this.#table.release(runner);
    this.#owner.session.release();
  }

  openRead(runner: Runner): void {
    this.#owner.host.admitRead(this.#owner.session);
    this.#openReads++;
    this.#counts.openReads++;
    this.hold(runner);
  }

  closeRead(runner: Runner): void {
    this.#openReads--;
    this.#counts.openReads--;
    this.release(runner);
  }

  remove(runner: Runner, disposal: Promise<CleanupSummary>): void {
    if (!this.#table.remove(runner, disposal)) return;
    this.#counts.runners--;
    this.#tell("runner.removed", runner);
  }

  started(runner: Runner): void {
    this.#tell("runner.started", runner);
  }

  ended(runner: Runner, { status, position, progress, failure }: LogState): void {
    const { abortReason: reason } = runner;
    const outcome = { status, position, progress, ...(reason && { reason }) };
    const hasFailed = status === "failed";
    const error = hasFailed ? { error: failure?.cause ?? failure } : {};
    this.#owner.host.events.emit("runner.final", () => ({ ...namesOf(runner), ...outcome, ...error }), hasFailed);
  }

  failedLate(runner: Runner, error: unknown): void {
    const message = "a runner's work failed after it had been stopped";
    this.#owner.host.events.emit("warning", () => ({ message, ...namesOf(runner), error }));
  }

  cleanedUp(runner: Runner, summary: CleanupSummary): void {
    const isTrouble = summary.timedOut || summary.errors.length > 0;
    this.#owner.host.events.emit("runner.cleaned-up", () => ({ ...namesOf(runner), ...summary }), isTrouble);
  }

  #tell(name: "runner.created" | "runner.started" | "runner.removed", runner: Runner): void {
    this.#owner.host.events.emit(name, () => namesOf(runner));
  }
}

function namesOf({ id, kind, definition }: Runner): ActiveSessionEvents["runner.created"] {
  return { runner: String(id), kind, ...(definition && { definition: definition.name }) };
}
