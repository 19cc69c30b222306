/** Definitions of runners: named, typed and reusable, independent of any session. */

import type { SequenceSink } from "../log/sequence-sink.js";
import type { ProcessSink } from "../log/value-log.js";
import {
  type DefinitionOptions,
  define,
  type ProcessDefinition,
  type SequenceDefinition,
  type StandardSchema,
} from "../runner/definition.js";
import type { ProcessContext } from "../runner/process-producer.js";
import type { Producer } from "../runner/producer.js";
import type { Runner } from "../runner/runner.js";
import type { SequenceContext, Source } from "../runner/source.js";
import type { ActiveSession } from "./active-session.js";
import { checkDefinitionFields, checkDefinitionOptions } from "./options.js";

/** Parts common to all definitions. */
interface Common<Name> {
  /** Name of the definition, a non-empty string. Clients use it in requests; events and logs carry it. */
  readonly name: Name;
  /** Default options of its runners. Options given to `createRunner` take precedence. */
  readonly options?: DefinitionOptions | undefined;
  /**
   * Called when the work has completed or failed by itself, and no one has seen its end for `unseenAfter`: the place for a mail or a push
   * message. At most once for a runner; not for a runner that is removed before. Seen is an end that was in an answered page, long-poll
   * or read, or that was acknowledged, as this library's client does. What it throws becomes a warning.
   */
  readonly onUnseen?: ((runner: Runner) => unknown) | undefined;
  /** See `onUnseen`, in ms. Default: 30 seconds. */
  readonly unseenAfter?: number | undefined;
}

/** A source, at once or later. */
type Made<T> = Source<T> | Promise<Source<T>>;
/** The result of a process body: an async function, or an async generator that yields intermediate values. */
type Result<T> = Promise<T | undefined | void> | AsyncGenerator<T, T | undefined | void, undefined>;

/**
 * Defines a sequence runner. `session.createRunner(definition, input)` creates a runner, `session.findRunner(definition, key)`
 * finds it with the right types.
 * @param parts
 *   - `name`: a non-empty string
 *   - `input`: optional validator in Standard Schema form (zod, valibot, arktype); may transform the input
 *   - `run`: returns the source of the items; it is called when the runner starts, with the validated input and the runner's context
 *   - `produce`: instead of `run`, creates a custom {@link Producer} for the given sink
 *   - `options`: default options of its runners
 *   - `onUnseen`, `unseenAfter`: what to do when no one is there to see its end
 * @example
 * const search = defineSequenceRunner({
 *   name: "search",
 *   input: z.object({ word: z.string().min(1) }),
 *   run: ({ word }, { signal }) => findMatches(word, signal),
 * });
 * const runner = await session.createRunner(search, { word: "needle" });
 * @throws `INVALID_OPTION` for a missing or wrong part, both or neither of `run` and `produce`, or an invalid option
 */
export function defineSequenceRunner<T, Given, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly input: StandardSchema<Given, Input>;
    readonly run: (input: Input, context: SequenceContext<ActiveSession>) => Made<T>;
  },
): SequenceDefinition<T, Given, Name>;
/** Without a validator: `run` receives the input as it was given. */
export function defineSequenceRunner<T, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly run: (input: Input, context: SequenceContext<ActiveSession>) => Made<T>;
  },
): SequenceDefinition<T, Input, Name>;
/** With a custom producer, and a validator. */
export function defineSequenceRunner<T, Given, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly input: StandardSchema<Given, Input>;
    readonly produce: (input: Input, sink: SequenceSink<T>) => Producer;
  },
): SequenceDefinition<T, Given, Name>;
/** With a custom producer; `produce` receives the input as it was given. */
export function defineSequenceRunner<T, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly produce: (input: Input, sink: SequenceSink<T>) => Producer;
  },
): SequenceDefinition<T, Input, Name>;
export function defineSequenceRunner<T, Given>(parts: object): SequenceDefinition<T, Given> {
  checkDefinitionFields(parts);
  checkDefinitionOptions(Object(parts).options);
  return define("sequence", parts) as SequenceDefinition<T, Given>;
}

/**
 * Defines a process runner: work towards one value, with optional intermediate values. It is created and found as one defined by
 * {@link defineSequenceRunner}.
 * @param parts as for {@link defineSequenceRunner}, except that `run` is the body: its return value is the result
 * @example
 * const digits = defineProcessRunner({
 *   name: "digits",
 *   run: async (count: number, { report, signal }) => {
 *     report("3."); // an intermediate value
 *     return await computePi(count, signal);
 *   },
 * });
 * const runner = await session.createRunner(digits, 1000);
 * @throws `INVALID_OPTION` for a missing or wrong part, both or neither of `run` and `produce`, or an invalid option
 */
export function defineProcessRunner<T, Given, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly input: StandardSchema<Given, Input>;
    // biome-ignore lint/suspicious/noExplicitAny: a T here would be inferred from what is reported, not from the result
    readonly run: (input: Input, context: ProcessContext<any, ActiveSession>) => Result<T>;
  },
): ProcessDefinition<T, Given, Name>;
/** Without a validator: `run` receives the input as it was given. */
export function defineProcessRunner<T, Input, const Name extends string = string>(
  parts: Common<Name> & {
    // biome-ignore lint/suspicious/noExplicitAny: a T here would be inferred from what is reported, not from the result
    readonly run: (input: Input, context: ProcessContext<any, ActiveSession>) => Result<T>;
  },
): ProcessDefinition<T, Input, Name>;
/** With a custom producer, and a validator. */
export function defineProcessRunner<T, Given, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly input: StandardSchema<Given, Input>;
    readonly produce: (input: Input, sink: ProcessSink<T>) => Producer;
  },
): ProcessDefinition<T, Given, Name>;
/** With a custom producer; `produce` receives the input as it was given. */
export function defineProcessRunner<T, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly produce: (input: Input, sink: ProcessSink<T>) => Producer;
  },
): ProcessDefinition<T, Input, Name>;
export function defineProcessRunner<T, Given>(parts: object): ProcessDefinition<T, Given> {
  checkDefinitionFields(parts);
  checkDefinitionOptions(Object(parts).options);
  return define("process", parts) as ProcessDefinition<T, Given>;
}
