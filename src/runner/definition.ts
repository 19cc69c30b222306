/** Named runners: what they are made of, apart from any session. */

import { ActiveSessionError, describe, type Issue } from "../base/error.js";
import type { Retain } from "../log/result-log.js";
import type { SequenceSink } from "../log/sequence-log.js";
import type { ProcessSink } from "../log/value-log.js";
import { Produced } from "./custom-producer.js";
import type { ProcessBody, ProcessContext } from "./process-producer.js";
import type { RunnerContext } from "./producer.js";
import type { SequenceSource } from "./source.js";

/**
 * A validator, in the form on which zod, valibot, arktype and others have agreed (Standard Schema, version 1). Asked for
 * no more than is needed.
 */
export interface StandardSchema<Given = unknown, Input = Given> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly validate: (value: unknown) => Validated<Input> | Promise<Validated<Input>>;
    readonly types?: { readonly input: Given; readonly output: Input } | undefined;
  };
}

type Validated<Input> =
  | { readonly value: Input; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] };

interface StandardIssue {
  readonly message: string;
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined;
}

/** What a definition's runners are like, unless their creation says otherwise. */
export interface DefinitionOptions {
  /** See `RunnerOptions`. */
  readonly aheadLimit?: number | undefined;
  readonly retain?: Retain | undefined;
  readonly defaultAdvance?: number | undefined;
  readonly idleTimeout?: number | undefined;
}

/** A named sequence runner, with items of type `T`, for inputs of type `Given`. Made by `defineSequenceRunner`. */
export interface SequenceDefinition<T, Given, Name extends string = string> extends Definition<Given, Name> {
  readonly kind: "sequence";
  readonly run: ((input: never, context: never) => unknown) | undefined;
  /** Only for the compiler. */
  readonly item?: T;
}

/** A named process runner, with a value of type `T`, for inputs of type `Given`. Made by `defineProcessRunner`. */
export interface ProcessDefinition<T, Given, Name extends string = string> extends Definition<Given, Name> {
  readonly kind: "process";
  readonly run: ((input: never, context: never) => unknown) | undefined;
  /** Only for the compiler. */
  readonly value?: T;
}

interface Definition<Given, Name> {
  /** What the application calls it. */
  readonly name: Name;
  readonly options: DefinitionOptions;
  /** Instead of `run`: makes a producer of the application's own. */
  readonly produce?: ((input: never, sink: never) => unknown) | undefined;
  readonly input: StandardSchema<unknown, unknown> | undefined;
  /** Only for the compiler. */
  readonly given?: (input: Given) => void;
}

/** Any definition. */
export type RunnerDefinition = SequenceDefinition<unknown, never> | ProcessDefinition<unknown, never>;

/** Makes a definition; throws `INVALID_OPTION`. */
export function define(kind: RunnerDefinition["kind"], parts: object): object {
  const { name, input, run, produce, options = {} } = Object(parts) as Record<string, unknown>;
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
  return Object.freeze({ kind, name, input, run, produce, options });
}

/** Whether the value is a definition. */
export function isDefinition(value: unknown): value is RunnerDefinition {
  const { kind, run, produce } = Object(value) as Partial<RunnerDefinition>;
  return (kind === "sequence" || kind === "process") && typeof (run ?? produce) === "function";
}

/** Throws `INVALID_ARGUMENT` unless the value is a definition. */
export function checkDefinition(value: unknown): asserts value is RunnerDefinition {
  if (isDefinition(value)) return;
  const requirement = "it must come from defineSequenceRunner or defineProcessRunner";
  throw new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot use a runner's definition: ${requirement}, received ${describe(value)}`,
  );
}

/** An input that is wrong in very many places, or at a very long name, is no reason for an answer that is longer than the input. */
const mostIssues = 20;
const mostSteps = 10;
const longestText = 200;

/** What the definition's validator makes of an input; throws `INVALID_INPUT` with its first issues. */
export async function validateInput({ name, input }: RunnerDefinition, given: unknown): Promise<unknown> {
  if (!input) return given;
  // Awaited whatever it is: a promise of another realm or library, taken for the answer, would let everything pass.
  const result = await input["~standard"].validate(given);
  if (!result.issues) return result.value;
  const issues = result.issues.slice(0, mostIssues).map(toIssue);
  const texts = issues.map(({ message, path }) => (path ? `${path.join(".")}: ${message}` : message));
  if (result.issues.length > mostIssues) texts.push(`and ${result.issues.length - mostIssues} more`);
  const message = `Cannot create ${describe(name)}: its input must be valid (${texts.join("; ")})`;
  throw new ActiveSessionError("INVALID_INPUT", message, { issues });
}

function toIssue({ message, path }: StandardIssue): Issue {
  if (!path || path.length === 0) return { message: cut(message) };
  const steps = path.slice(0, mostSteps);
  return { message: cut(message), path: steps.map((step) => cut(typeof step === "object" ? step.key : step)) };
}

function cut(given: unknown): string {
  const text = String(given);
  return text.length > longestText ? `${text.slice(0, longestText)}…` : text;
}

/** The source of a defined sequence. */
export function sourceOf(
  definition: RunnerDefinition,
  input: unknown,
): SequenceSource<unknown> | Produced<SequenceSink<unknown>> {
  const produce = definition.produce as ((input: unknown, sink: unknown) => unknown) | undefined;
  if (produce) return new Produced((sink) => produce(input, sink));
  const run = definition.run as (input: unknown, context: RunnerContext) => Iterable<unknown>;
  return (context) => run(input, context);
}

/** The body of a defined process. */
export function bodyOf(
  definition: RunnerDefinition,
  input: unknown,
): ProcessBody<unknown> | Produced<ProcessSink<unknown>> {
  const produce = definition.produce as ((input: unknown, sink: unknown) => unknown) | undefined;
  if (produce) return new Produced((sink) => produce(input, sink));
  const run = definition.run as (input: unknown, context: ProcessContext<unknown>) => Promise<unknown>;
  return (context) => run(input, context);
}
