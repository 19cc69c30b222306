/** Runners from definitions: what a definition says of them, and what a creation says above that. */
import { bodyOf, type RunnerDefinition, sourceOf } from "../runner/definition.js";
import { createProcess } from "../runner/process-runner.js";
import type { Runner, RunnerOwner } from "../runner/runner.js";
import { createSequence, type SequenceSettings } from "../runner/sequence-runner.js";
import type { RunnerOptions } from "./options.js";

/** What the definition says, and above it what the creation says. */
export function withDefaults(options: RunnerOptions, definition: RunnerDefinition): RunnerOptions {
  const byDefault = (Object(definition) as Partial<RunnerDefinition>).options;
  if (!byDefault || typeof options !== "object" || options === null) return options;
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return { ...byDefault, ...Object.fromEntries(given) };
}

/** Makes a runner, not started yet, from a definition and a checked input. */
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
