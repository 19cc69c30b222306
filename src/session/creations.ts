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
import type { Runner } from "../runner/runner.js";
import type { RunnerCore } from "../runner/runner-core.js";
import type { RunnerOwner } from "../runner/runner-owner.js";
import { type RunnerChoices, type RunnerOptions, resolveRunnerOptions, takeHolds } from "./options.js";
import type { Recipe } from "./recipes.js";
import type { RunnersHost, RunnersOwner } from "./runners-owner.js";

/** The runners of a session, as their creation sees them. */
export interface CreatedRunners extends RunnerOwner {
  /** Enters a runner, publishes `runner.created`. */
  add(runner: RunnerCore, order: number, choices: RunnerChoices): void;
  /** Keeps runner and session from idling out until `letGo` has been called as often. */
  keep(runner: Runner): void;
  letGo(runner: Runner): void;
}

/**
 * Creates the runners of one session.
 *
 *     number ──▶ holds taken over ──▶ source checked ──▶ limits checked ──▶ made, `runner.created`
 *            ──▶ started, unless that waits for the first read ──▶ client's identity saved
 *
 * Invariants:
 *
 * - A creation takes its number first; numbers are never reused, not even after a failure.
 * - It owns what it was given. If it fails at any point, the runner is disposed with its source and holds, or, if there is none yet,
 *   the source is closed and the holds are released.
 * - Limits are checked before the runner is made, and `runner.created` is published right after: no event names a runner that was
 *   never created.
 * - Application code may end the session at any step, so the session is checked again after `check`, after `make` and after the start.
 * - The end of the session waits for the clean-up of creations in progress.
 */
export class RunnerCreations {
  readonly #runners: CreatedRunners;
  readonly #owner: RunnersOwner;
  readonly #host: RunnersHost;
  /** In progress. Each resolves with the clean-up of a failed creation. */
  readonly #pending = new Set<LazyPromise<CleanupSummary>>();
  #begun = 0;

  /** @param owner the session */
  constructor(runners: CreatedRunners, owner: RunnersOwner, host: RunnersHost) {
    this.#runners = runners;
    this.#owner = owner;
    this.#host = host;
  }

  /** Number of creations begun. Only grows, so that a key never leads to another runner than the one it was issued for. */
  get begun(): number {
    return this.#begun;
  }

  /** Waits for those in progress. @returns the clean-ups of those that fail; never rejects */
  over(): Promise<CleanupSummary[]> {
    return Promise.all([...this.#pending].map(({ promise }) => promise));
  }

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
    const number = this.#begun++;
    const order = begunInAll++;
    const taken: Resource[] = [];
    const over = new LazyPromise<CleanupSummary>();
    this.#pending.add(over);
    let summary = nothingToReport;
    let runner: R | undefined;
    this.#owner.hold(); // a creation is a use; what makes room for it must not end its session
    try {
      const holds = takeHolds(options, taken); // first: from here on a failure releases them
      this.#owner.checkAvailable(action);
      const choices = resolveRunnerOptions(action, options, holds, this.#host.settings);
      const { data, label, aheadLimit, retain } = choices;
      // Awaited only if it is asynchronous: otherwise the runner is made before the call returns.
      const checking = check?.();
      if (checking instanceof Promise) await abortable(checking, this.#owner.signal);
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
      runner = make(this.#runners, settings);
      // Without an `await` since `admitRunner`: the limits just checked still hold.
      this.#runners.add(runner, order, choices);
      runner.catchUp(); // a custom producer may have ended at once
      this.#owner.checkAvailable(action); // making room, `make` or a listener may have ended the session
      await this.#launch(runner, choices);
      this.#owner.checkAvailable(action);
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
      this.#owner.release(performance.now());
      this.#pending.delete(over);
      over.resolve(summary);
    }
  }

  /**
   * Starts the runner if it is to start now, and waits until the client's identity is saved. Held meanwhile, for a turn of the microtasks
   * at least: it must neither idle out nor make room for another one before its creator has it. The release starts its idle time.
   */
  async #launch(runner: RunnerCore, { start, signal }: RunnerChoices): Promise<void> {
    this.#runners.keep(runner);
    try {
      runner.follow(signal);
      if (start === "now") runner.begin();
      await undefined;
      const saving = this.#owner.published();
      if (saving !== undefined) await saving;
    } finally {
      this.#runners.letGo(runner);
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
}

/** Number of creations begun in this process. */
let begunInAll = 0;
