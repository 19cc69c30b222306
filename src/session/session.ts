import { noop } from "../base/async.js";
import { checkOptions } from "../base/check.js";
import type { CleanupSummary, Resource } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import {
  checkDefinition,
  type ProcessDefinition,
  type RunnerDefinition,
  type SequenceDefinition,
} from "../runner/definition.js";
import type { ProcessBody, ProcessContext } from "../runner/process-producer.js";
import type { ProcessRunner } from "../runner/process-runner.js";
import type { Runner } from "../runner/runner.js";
import type { RunnerCore } from "../runner/runner-core.js";
import type { SequenceRunner } from "../runner/sequence-runner.js";
import type { SequenceContext, SequenceSource } from "../runner/source.js";
import type { Measurement, TimeSeries } from "../runner/time-series.js";
import type { ActiveSession } from "./active-session.js";
import type { Idempotency } from "./idempotency.js";
import { isLabel, labelRequirement, type RunnerOptions, withDefaults } from "./options.js";
import type { Ownership } from "./ownership.js";
import type { Properties } from "./properties.js";
import { checkedRecipe, definedRecipe, processRecipe, sequenceRecipe, timeSeriesRecipe } from "./recipes.js";
import { SessionCore } from "./session-core.js";
import { type LockOptions, type SessionLock, SessionLocks } from "./session-locks.js";

/**
 * The session that a host makes: what applications see of it, over what host and routes use, in one object. An idle session should cost
 * little memory.
 */
export class Session<Services = unknown> extends SessionCore<Services> implements ActiveSession<Services> {
  get properties(): Properties {
    return this.scope.properties;
  }

  createSequenceRunner<T>(
    source: SequenceSource<T, SequenceContext<ActiveSession<Services>, Services>>,
    options?: RunnerOptions,
  ): Promise<SequenceRunner<T>> {
    return this.ensureRunners().create(sequenceRecipe(source as SequenceSource<T>), options);
  }

  createTimeSeriesRunner<T>(series: TimeSeries<T>, options?: RunnerOptions): Promise<SequenceRunner<Measurement<T>>> {
    return this.ensureRunners().create(timeSeriesRecipe(series), options);
  }

  createProcessRunner<T>(
    // biome-ignore lint/suspicious/noExplicitAny: a T here would be inferred from what is reported, not from the result
    body: ProcessBody<T, ProcessContext<any, ActiveSession<Services>, Services>>,
    options?: RunnerOptions,
  ): Promise<ProcessRunner<T>> {
    return this.ensureRunners().create(processRecipe(body as ProcessBody<T>), options);
  }

  createRunner<T, Given>(
    definition: SequenceDefinition<T, Given>,
    input: Given,
    options?: RunnerOptions,
  ): Promise<SequenceRunner<T>>;
  createRunner<T, Given>(
    definition: ProcessDefinition<T, Given>,
    input: Given,
    options?: RunnerOptions,
  ): Promise<ProcessRunner<T>>;
  createRunner(definition: RunnerDefinition, input: unknown, options: RunnerOptions = {}): Promise<Runner> {
    return this.ensureRunners().create(definedRecipe(definition, input), withDefaults(options, definition));
  }

  /**
   * Creates a runner from a definition and an input that is already validated.
   * @param once makes the call idempotent: a repeated one gets the runner of the first
   * @throws as {@link createRunner}; with `once` also `IDEMPOTENCY_KEY_REUSED`, `RUNNER_GONE`, and `RUNNER_ABORTED` if the
   *   key was stopped before
   */
  createChecked(
    definition: RunnerDefinition,
    checked: unknown,
    once?: Idempotency,
    label?: string,
  ): Promise<RunnerCore> {
    const runners = this.ensureRunners();
    const options = withDefaults({ label }, definition);
    const create = (onMade: (runner: RunnerCore) => void) =>
      runners.create(checkedRecipe(definition, checked, onMade), options);
    if (!once) return create(noop);
    this.checkAvailable("create a runner");
    return runners.once.create(once, create);
  }

  /**
   * The runner created, or being created, under an idempotency key. Rejects like {@link createChecked}.
   * @returns `undefined` if the key is unknown or forgotten
   */
  findCreated(once: Idempotency): Promise<RunnerCore> | undefined {
    return this.runnersSoFar?.once.find(once);
  }

  /**
   * Stops the runner of an idempotency key. If its creation has not arrived yet, prevents it.
   * @returns the stopped runner, or `undefined` if there is none yet
   * @throws `RUNNER_GONE`, `SESSION_ENDED`
   */
  async stopCreated(key: string): Promise<RunnerCore | undefined> {
    this.checkAvailable("stop a runner");
    return this.ensureRunners().once.stop(key);
  }

  async findRunner(key: string | number): Promise<Runner | undefined>;
  async findRunner(by: { readonly label: string }): Promise<Runner | undefined>;
  async findRunner<T>(
    definition: SequenceDefinition<T, never>,
    key: string | number,
  ): Promise<SequenceRunner<T> | undefined>;
  async findRunner<T>(
    definition: ProcessDefinition<T, never>,
    key: string | number,
  ): Promise<ProcessRunner<T> | undefined>;
  async findRunner(
    first: RunnerDefinition | { readonly label: string } | string | number,
    second?: string | number,
  ): Promise<Runner | undefined> {
    if (typeof first === "object" && first !== null && "label" in first)
      return this.findLabelled(checkLabel(first.label));
    const definition = typeof first === "object" ? first : undefined;
    if (definition !== undefined) checkDefinition(definition);
    const key = typeof first === "object" ? second! : first;
    return this.find(key, (runner) => !definition || runner.definition === definition);
  }

  async findSequenceRunner<T>(key: string | number): Promise<SequenceRunner<T> | undefined> {
    return this.find(key, ({ kind }) => kind === "sequence") as SequenceRunner<T> | undefined;
  }

  async findProcessRunner<T>(key: string | number): Promise<ProcessRunner<T> | undefined> {
    return this.find(key, ({ kind }) => kind === "process") as ProcessRunner<T> | undefined;
  }

  async *runners(): AsyncGenerator<Runner, void, undefined> {
    yield* this.allRunners();
  }

  own(resource: Resource): Ownership {
    return this.scope.own(resource);
  }

  async lock(name: string, options: LockOptions = {}): Promise<SessionLock | undefined> {
    this.checkAvailable("acquire a lock");
    checkOptions("acquire a lock", options, ["timeout", "signal"]);
    const extras = this.ensureExtras();
    extras.locks ??= new SessionLocks();
    this.hold();
    try {
      return await extras.locks.acquire(name, options);
    } finally {
      this.release();
    }
  }

  terminate(): Promise<CleanupSummary> {
    return this.end("session-ended");
  }
}

/** @throws `INVALID_ARGUMENT` unless it may be a label */
function checkLabel(label: unknown): string {
  if (isLabel(label)) return label;
  throw new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot find a runner: ${labelRequirement}, received ${describe(label)}`,
  );
}
