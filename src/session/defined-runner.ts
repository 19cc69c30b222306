/** Creates runners from definitions. */
import { bodyOf, type RunnerDefinition, sourceOf } from "../runner/definition.js";
import { createProcess } from "../runner/process-runner.js";
import type { Runner, RunnerOwner } from "../runner/runner.js";
import { createSequence, type SequenceSettings } from "../runner/sequence-runner.js";
import type { RunnerOptions } from "./options.js";

/**
 * Merges the options of a creation with those of its definition; the creation takes precedence. An option set to `undefined` counts
 * as omitted. Neither argument is validated yet: invalid values pass through, and the checks that follow report them.
 */
export function withDefaults(options: RunnerOptions, definition: RunnerDefinition): RunnerOptions {
  const { options: byDefault }: Partial<RunnerDefinition> = Object(definition);
  if (!byDefault || typeof options !== "object" || options === null) return options;
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...byDefault, ...Object.fromEntries(given) };
}

/**
 * Creates a runner, not started yet, of the definition's kind.
 * @param input the input as returned by the definition's validator
 * @throws `RUNNER_START_FAILED` if the definition's `produce` throws or returns no producer
 */
export function createDefined(
  owner: RunnerOwner,
  definition: RunnerDefinition,
  input: unknown,
  settings: SequenceSettings,
): Runner {
  return definition.kind === "sequence"
    ? createSequence(owner, sourceOf(definition, input), settings)
    : createProcess(owner, bodyOf(definition, input), settings);
}
