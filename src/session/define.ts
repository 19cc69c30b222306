/** Defining runners: named, typed and reusable, apart from any session. */

import type { SequenceSink } from "../log/sequence-log.js";
import type { ProcessSink } from "../log/value-log.js";
import {
  type DefinitionOptions,
  define,
  type ProcessDefinition,
  type SequenceDefinition,
  type StandardSchema,
} from "../runner/definition.js";
import type { ProcessContext } from "../runner/process-producer.js";
import type { Producer, RunnerContext } from "../runner/producer.js";
import type { Source } from "../runner/source.js";
import type { ActiveSession } from "./active-session.js";
import { checkDefinitionOptions } from "./options.js";

/** What every definition has. */
interface Common<Name> {
  readonly name: Name;
  /** What its runners are like, where their creation does not say otherwise. */
  readonly options?: DefinitionOptions | undefined;
}

type Made<T> = Source<T> | Promise<Source<T>>;
type Result<T> = Promise<T | undefined | void> | AsyncGenerator<T, T | undefined | void, undefined>;

/**
 * Defines a sequence runner: `session.createRunner(definition, input)` makes one, `session.findRunner(definition, key)` finds it.
 * @param parts `name`: what the application calls it; `input`: any Standard Schema, which checks (and may change) the input;
 *   `run`: makes the source; or, instead of it, `produce`: makes a producer of your own (a class with its own `start` and
 *   `stop`, say) for the log that it is to fill; `options`: what its runners are like
 * @example
 * const search = defineSequenceRunner({
 *   name: "search",
 *   input: z.object({ word: z.string().min(1) }),
 *   run: ({ word }, { signal }) => findMatches(word, signal),
 * });
 * const runner = await session.createRunner(search, { word: "needle" });
 * @throws `INVALID_OPTION`
 */
export function defineSequenceRunner<T, Given, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly input: StandardSchema<Given, Input>;
    readonly run: (input: Input, context: RunnerContext<ActiveSession>) => Made<T>;
  },
): SequenceDefinition<T, Given, Name>;
export function defineSequenceRunner<T, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly run: (input: Input, context: RunnerContext<ActiveSession>) => Made<T>;
  },
): SequenceDefinition<T, Input, Name>;
export function defineSequenceRunner<T, Given, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly input: StandardSchema<Given, Input>;
    readonly produce: (input: Input, sink: SequenceSink<T>) => Producer;
  },
): SequenceDefinition<T, Given, Name>;
export function defineSequenceRunner<T, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly produce: (input: Input, sink: SequenceSink<T>) => Producer;
  },
): SequenceDefinition<T, Input, Name>;
export function defineSequenceRunner<T, Given>(parts: object): SequenceDefinition<T, Given> {
  checkDefinitionOptions((Object(parts) as Common<string>).options);
  return define("sequence", parts) as SequenceDefinition<T, Given>;
}

/**
 * Defines a process runner: `session.createRunner(definition, input)` makes one, `session.findRunner(definition, key)` finds it.
 * @param parts as for `defineSequenceRunner`; `run` is the body
 * @throws `INVALID_OPTION`
 */
export function defineProcessRunner<T, Given, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly input: StandardSchema<Given, Input>;
    // biome-ignore lint/suspicious/noExplicitAny: a T here would be inferred from what is reported, not from the result
    readonly run: (input: Input, context: ProcessContext<any, ActiveSession>) => Result<T>;
  },
): ProcessDefinition<T, Given, Name>;
export function defineProcessRunner<T, Input, const Name extends string = string>(
  parts: Common<Name> & {
    // biome-ignore lint/suspicious/noExplicitAny: a T here would be inferred from what is reported, not from the result
    readonly run: (input: Input, context: ProcessContext<any, ActiveSession>) => Result<T>;
  },
): ProcessDefinition<T, Input, Name>;
export function defineProcessRunner<T, Given, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly input: StandardSchema<Given, Input>;
    readonly produce: (input: Input, sink: ProcessSink<T>) => Producer;
  },
): ProcessDefinition<T, Given, Name>;
export function defineProcessRunner<T, Input, const Name extends string = string>(
  parts: Common<Name> & {
    readonly produce: (input: Input, sink: ProcessSink<T>) => Producer;
  },
): ProcessDefinition<T, Input, Name>;
export function defineProcessRunner<T, Given>(parts: object): ProcessDefinition<T, Given> {
  checkDefinitionOptions((Object(parts) as Common<string>).options);
  return define("process", parts) as ProcessDefinition<T, Given>;
}
