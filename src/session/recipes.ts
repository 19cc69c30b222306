/** The steps that differ between the kinds of runners; see {@link SessionRunners.create}. */
import type { CleanupSummary, OnLate } from "../base/dispose.js";
import type { RunnerKind } from "../protocol/types.js";
import { bodyOf, checkDefinition, type RunnerDefinition, sourceOf, validateInput } from "../runner/definition.js";
import { checkBody, type ProcessBody } from "../runner/process-producer.js";
import { createProcess, type ProcessRunner } from "../runner/process-runner.js";
import type { RunnerCore } from "../runner/runner-core.js";
import type { RunnerOwner } from "../runner/runner-owner.js";
import { createSequence, type SequenceRunner, type SequenceSettings } from "../runner/sequence-runner.js";
import { checkSource, discardSource, type SequenceContext, type SequenceSource } from "../runner/source.js";
import { checkTimeSeries, type Measurement, measure, type TimeSeries } from "../runner/time-series.js";

/** How to make one kind of runner. */
export interface Recipe<R> {
  /** For error messages: "Cannot {action}: …". */
  readonly action: string;
  /** Validates the source, body or input. May throw or reject. */
  readonly check?: () => void | Promise<void>;
  /** Constructs the runner, not started yet, with the resolved options. */
  readonly make: (owner: RunnerOwner, settings: SequenceSettings) => R;
  /** The definition that the runner is created from, if any. */
  readonly definition?: RunnerDefinition;
  /** A process ignores the host's `defaultAdvance`, which counts items: it waits for its next report. Default: `"sequence"`. */
  readonly kind?: RunnerKind;
  /** Closes the given source if the runner could not be constructed. Each step may take `timeout` ms. */
  readonly discard?: (timeout: number, onLate: OnLate) => Promise<CleanupSummary>;
}

/** A runner as its creator sees it, of its kind. */
type Core<Kind> = RunnerCore & Kind;

/** For `createSequenceRunner`. */
export function sequenceRecipe<T>(source: SequenceSource<T>): Recipe<Core<SequenceRunner<T>>> {
  return {
    action: "create a sequence runner",
    check: () => checkSource(source),
    make: (owner, settings) => createSequence(owner, source, settings),
    discard: (timeout, onLate) => discardSource(source, timeout, onLate),
  };
}

/** For `createTimeSeriesRunner`. */
export function timeSeriesRecipe<T>(series: TimeSeries<T>): Recipe<Core<SequenceRunner<Measurement<T>>>> {
  const source = ({ signal, total }: SequenceContext) => {
    if (series.count !== undefined && series.count < Number.POSITIVE_INFINITY) total(series.count);
    return measure(series, signal);
  };
  return {
    action: "create a time-series runner",
    check: () => checkTimeSeries(series),
    make: (owner, settings) => createSequence(owner, source, settings),
  };
}

/** For `createProcessRunner`. */
export function processRecipe<T>(body: ProcessBody<T>): Recipe<Core<ProcessRunner<T>>> {
  return {
    action: "create a process runner",
    check: () => checkBody(body),
    make: (owner, settings) => createProcess(owner, body, settings),
    kind: "process",
  };
}

/** For `createRunner`: validates the input first. */
export function definedRecipe(definition: RunnerDefinition, input: unknown): Recipe<RunnerCore> {
  let checked: unknown;
  return {
    action: "create a runner",
    check: async () => {
      checkDefinition(definition);
      checked = await validateInput(definition, input);
    },
    make: (owner, settings) => createDefined(owner, definition, checked, settings),
    definition,
    kind: Object(definition).kind,
  };
}

/**
 * As {@link definedRecipe}, for an input that has been validated.
 * @param onMade called as soon as the runner exists, before it starts
 */
export function checkedRecipe(
  definition: RunnerDefinition,
  checked: unknown,
  onMade: (runner: RunnerCore) => void,
): Recipe<RunnerCore> {
  return {
    action: "create a runner",
    make: (owner, settings) => {
      const runner = createDefined(owner, definition, checked, settings);
      onMade(runner);
      return runner;
    },
    definition,
    kind: definition.kind,
  };
}

/**
 * Creates a runner, not started yet, of the definition's kind.
 * @param input the input as returned by the definition's validator
 * @throws `RUNNER_START_FAILED` if the definition's `produce` throws or returns no producer
 */
function createDefined(
  owner: RunnerOwner,
  definition: RunnerDefinition,
  input: unknown,
  settings: SequenceSettings,
): RunnerCore {
  return definition.kind === "sequence"
    ? createSequence(owner, sourceOf(definition, input), settings)
    : createProcess(owner, bodyOf(definition, input), settings);
}
