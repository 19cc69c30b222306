/** Definitions: named, typed and reusable descriptions of runners, independent of any session. */

import { ActiveSessionError, describe, type Issue } from "../base/error.js";
import type { Retain } from "../log/result-log.js";
import type { SequenceSink } from "../log/sequence-sink.js";
import type { ProcessSink } from "../log/value-log.js";
import { Produced } from "./custom-producer.js";
import type { ProcessBody, ProcessContext } from "./process-producer.js";
import type { SequenceContext, SequenceSource } from "./source.js";

/**
 * A validator in the form of Standard Schema, version 1 (https://standardschema.dev), which zod, valibot, arktype and others
 * implement. Only the members that are used here are required.
 */
export interface StandardSchema<Given = unknown, Input = Given> {
  /** The interface of the specification, under the key that it reserves. */
  readonly "~standard": {
    /** The version of the specification. */
    readonly version: 1;
    /** The name of the validator's library. */
    readonly vendor: string;
    /** Checks a value: returns the value to use, which may be a transformed one, or the issues. */
    readonly validate: (value: unknown) => Validated<Input> | Promise<Validated<Input>>;
    /** Carries the types only; not used at run time. */
    readonly types?: { readonly input: Given; readonly output: Input } | undefined;
  };
}

/** The result of a validation: a result without issues is a success. */
type Validated<Input> =
  | { readonly value: Input; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

/** An issue of a validation. */
interface StandardIssue {
  readonly message: string;
  /** The property path to the wrong value; a segment is a key or an object with one. */
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** Defaults for the runners of a definition. The options of a creation override them; see `RunnerOptions`. */
export interface DefinitionOptions {
  /** The producer pauses at this number of unacknowledged items; an integer from 1. Default: the host's (1000). Sequences only. */
  readonly aheadLimit?: number | undefined;
  /** Which acknowledged items are kept. Default: the host's (`"unacknowledged"`). Sequences only. */
  readonly retain?: Retain | undefined;
  /** How many positions a read asks for by default; an integer from 1. Default: the host's (20); 1 for a process. */
  readonly defaultAdvance?: number | undefined;
  /**
   * The work is aborted after this time without a use, in ms; `Infinity` lets it run to its end. Default: the host's
   * `runnerIdleTimeout` (2 minutes).
   */
  readonly idleTimeout?: number | undefined;
  /** When its work has ended, the runner is removed after this time without a use, in ms. Default: the host's (20 minutes). */
  readonly finishedTimeout?: number | undefined;
}

/** A named sequence runner, with items of type `T`, for inputs of type `Given`. Made by `defineSequenceRunner`. */
export interface SequenceDefinition<T, Given, Name extends string = string> extends Definition<Given, Name> {
  /** Discriminates the two kinds of definitions. */
  readonly kind: "sequence";
  /** Makes the source from the validated input. `undefined` if the definition has `produce`. */
  readonly run: ((input: never, context: never) => unknown) | undefined;
  /** Carries the type of the items; never set. */
  readonly item?: T;
}

/** A named process runner, with a value of type `T`, for inputs of type `Given`. Made by `defineProcessRunner`. */
export interface ProcessDefinition<T, Given, Name extends string = string> extends Definition<Given, Name> {
  /** Discriminates the two kinds of definitions. */
  readonly kind: "process";
  /** The body, called with the validated input. `undefined` if the definition has `produce`. */
  readonly run: ((input: never, context: never) => unknown) | undefined;
  /** Carries the type of the value; never set. */
  readonly value?: T;
}

/** The members that both kinds share. */
interface Definition<Given, Name> {
  /** The name that the application gave it; not empty. */
  readonly name: Name;
  /** Defaults for its runners. */
  readonly options: DefinitionOptions;
  /** Makes a custom producer for the given log; instead of `run`. */
  readonly produce?: ((input: never, sink: never) => unknown) | undefined;
  /** Called when no one has seen the end for {@link unseenAfter}. */
  readonly onUnseen?: ((runner: never) => unknown) | undefined;
  /** In ms. */
  readonly unseenAfter?: number | undefined;
  /** Validates, and may transform, the input. `undefined`: every input is accepted. */
  readonly input: StandardSchema<unknown, unknown> | undefined;
  /** Carries the type of the input; never set. */
  readonly given?: (input: Given) => void;
}

/** A definition of either kind, with any input. */
export type RunnerDefinition = SequenceDefinition<unknown, never> | ProcessDefinition<unknown, never>;

/**
 * Makes a frozen definition. The types are ensured by `defineSequenceRunner` and `defineProcessRunner`.
 * @param parts `name`, either `run` or `produce`, and optionally `input` and `options`
 * @throws `INVALID_OPTION` if a part is missing or has a wrong type
 */
export function define(kind: RunnerDefinition["kind"], parts: object): object {
  const { name, input, run, produce, options = {}, ...unseen }: Record<string, unknown> = Object(parts);
  const fail = (requirement: string, value: unknown): never => {
    throw new ActiveSessionError(
      "INVALID_OPTION",
      `Cannot define a runner: ${requirement}, received ${describe(value)}`,
    );
  };
  if (typeof name !== "string" || name === "") fail("name must be a non-empty string", name);
  if (run !== undefined && produce !== undefined) fail("it must have either run or produce", "both");
  if (typeof (run ?? produce) !== "function") fail("run (or produce) must be a function", run ?? produce);
  if (input !== undefined && typeof Object(input)["~standard"]?.validate !== "function") {
    fail("input must be a Standard Schema", input);
  }
  return Object.freeze({ kind, name, input, run, produce, options, ...unseen });
}

/** True if the value has the shape of a definition, also one made by another copy of the package. */
export function isDefinition(value: unknown): value is RunnerDefinition {
  const { kind, run, produce }: Partial<RunnerDefinition> = Object(value);
  return (kind === "sequence" || kind === "process") && typeof (run ?? produce) === "function";
}

/** @throws `INVALID_ARGUMENT` unless the value is a definition */
export function checkDefinition(value: unknown): asserts value is RunnerDefinition {
  if (isDefinition(value)) return;
  const requirement = "it must come from defineSequenceRunner or defineProcessRunner";
  throw new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot use a runner's definition: ${requirement}, received ${describe(value)}`,
  );
}

/** Bounds of the error for an invalid input: without them, a client could provoke an answer that is longer than its input. */
const mostIssues = 20;
const mostSteps = 10;
const longestText = 200;

/**
 * Validates an input.
 * @returns the input as the validator gives it back, or unchanged if the definition has no validator
 * @throws `INVALID_INPUT` with the first issues; an error of the validator itself
 */
export async function validateInput({ name, input }: RunnerDefinition, given: unknown): Promise<unknown> {
  if (!input) return given;
  // Always await: a promise of another realm taken for the result has no issues, and every input would pass.
  const result = await input["~standard"].validate(given);
  if (!result.issues) return result.value;
  const issues = result.issues.slice(0, mostIssues).map(toIssue);
  const texts = issues.map(({ message, path }) => (path ? `${path.join(".")}: ${message}` : message));
  if (result.issues.length > mostIssues) texts.push(`and ${result.issues.length - mostIssues} more`);
  const message = `Cannot create ${describe(name)}: its input must be valid (${texts.join("; ")})`;
  throw new ActiveSessionError("INVALID_INPUT", message, { issues });
}

/** Converts an issue of the validator, with its path and texts cut to the bounds. */
function toIssue({ message, path }: StandardIssue): Issue {
  if (!path || path.length === 0) return { message: cut(message) };
  const steps = path.slice(0, mostSteps);
  return { message: cut(message), path: steps.map((step) => cut(typeof step === "object" ? step.key : step)) };
}

function cut(given: unknown): string {
  const text = String(given);
  return text.length > longestText ? `${text.slice(0, longestText)}…` : text;
}

/** Binds the input to the `run` or `produce` of a sequence definition. The caller must have validated the input. */
export function sourceOf(
  definition: RunnerDefinition,
  input: unknown,
): SequenceSource<unknown> | Produced<SequenceSink<unknown>> {
  const produce = definition.produce as ((input: unknown, sink: unknown) => unknown) | undefined;
  if (produce) return new Produced((sink) => produce(input, sink));
  const run = definition.run as (input: unknown, context: SequenceContext) => Iterable<unknown>;
  return (context) => run(input, context);
}

/** Binds the input to the `run` or `produce` of a process definition. The caller must have validated the input. */
export function bodyOf(
  definition: RunnerDefinition,
  input: unknown,
): ProcessBody<unknown> | Produced<ProcessSink<unknown>> {
  const produce = definition.produce as ((input: unknown, sink: unknown) => unknown) | undefined;
  if (produce) return new Produced((sink) => produce(input, sink));
  const run = definition.run as (input: unknown, context: ProcessContext<unknown>) => Promise<unknown>;
  return (context) => run(input, context);
}
