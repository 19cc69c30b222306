/** What an application writes with the hooks must compile, and what is wrong must not; `npm run types` is what fails otherwise. */
import * as v from "valibot";
import { expectTypeOf, test } from "vitest";
import { createClient, type RunnerState } from "../src/client.js";
import { defineProcessRunner, defineSequenceRunner } from "../src/index.js";
import { createRunnerHooks, type RunnerHandle } from "../src/react.js";

const search = defineSequenceRunner({
  name: "search",
  input: v.object({ word: v.string(), limit: v.optional(v.number()) }),
  *run({ word }) {
    yield { line: word.length, at: new Date() };
  },
});
const random = defineSequenceRunner({ name: "random", run: (count: number | undefined) => [count ?? 1] });
const checksum = defineProcessRunner({ name: "checksum", run: async (file: string) => ({ file, sum: 1 }) });
const tick = defineProcessRunner({ name: "tick", run: async () => "tock" });
const definitions = [search, random, checksum, tick] as const;

const { useRunner, useRunners } = createRunnerHooks(createClient<typeof definitions>("http://server.test/runners"));

/** Is compiled, and never called: hooks work in components only. */
function compile(_component: () => void): void {}

test("what is created has the input and the results of its definition", () => {
  compile(() => {
    const found = useRunner({ create: "search", input: { word: "a" } });
    expectTypeOf(found.items).toEqualTypeOf<readonly { line: number; at: string }[]>();
    expectTypeOf(found.latest).toEqualTypeOf<{ line: number; at: string } | undefined>();
    expectTypeOf(found.start).parameter(0).toEqualTypeOf<{ word: string; limit?: number | undefined } | undefined>();
    const sum = useRunner({ create: "checksum", input: "file" });
    expectTypeOf(sum.latest).toEqualTypeOf<{ file: string; sum: number } | undefined>();
    useRunner({ create: "search", input: { word: "a", limit: 1 }, start: "now" }, { keep: 10, suspense: true });
  });
});

test("an input that is wrong, or is missing, does not compile", () => {
  compile(() => {
    // @ts-expect-error no such name
    useRunner({ create: "find", input: { word: "a" } });
    // @ts-expect-error the word is a text
    useRunner({ create: "search", input: { word: 1 } });
    // @ts-expect-error there is no such property
    useRunner({ create: "search", input: { word: "a", place: 1 } });
    // @ts-expect-error the input of another definition
    useRunner({ create: "checksum", input: { word: "a" } });
    // @ts-expect-error it cannot do without
    useRunner({ create: "search" });
    // @ts-expect-error it cannot do without
    useRunner({ create: "checksum", start: "now" });
    // @ts-expect-error nor can a start that is to be called
    useRunner({ create: "search", input: { word: 1 }, start: "manual" });
    // @ts-expect-error when else
    useRunner({ create: "tick", start: "later" });
  });
});

test("an input may be left out where the definition can do without, and where start is given it", () => {
  compile(() => {
    useRunner({ create: "tick" });
    useRunner({ create: "random" });
    useRunner({ create: "random", input: undefined });
    const { start } = useRunner({ create: "search", start: "manual" });
    start({ word: "a" });
    start();
    // @ts-expect-error the word is a text
    start({ word: 1 });
    // @ts-expect-error the word is missing
    start({});
    const isManual = Boolean(definitions.length);
    useRunner({ create: "search", input: { word: "a" }, start: isManual ? "manual" : "now" });
  });
});

test("what is followed has the type that the application names, and start takes nothing", () => {
  compile(() => {
    const key = definitions[0].name as string | null | undefined;
    const followed = useRunner<{ readonly line: number }>(key, { offset: "now", whenHidden: "pause" });
    expectTypeOf(followed).toEqualTypeOf<RunnerHandle<{ readonly line: number }>>();
    expectTypeOf(followed.items).toEqualTypeOf<readonly { readonly line: number }[]>();
    expectTypeOf(followed.start).parameter(0).toEqualTypeOf<undefined>();
    followed.start();
    // @ts-expect-error it has been created with its input
    followed.start({ word: "a" });
    // @ts-expect-error a key is a text
    useRunner(1);
    // @ts-expect-error an offset is a number
    useRunner("1", { offset: "0" });
    expectTypeOf(useRunner("1").items).toEqualTypeOf<readonly unknown[]>();
    // @ts-expect-error what has arrived is not the component's to change
    followed.items.push({ line: 1 });
  });
});

test("what is known of the server may be nothing", () => {
  const untyped = createRunnerHooks(createClient("http://server.test/runners"));
  compile(() => {
    const runner = untyped.useRunner({ create: "anything", input: { of: "any", kind: 1 } });
    untyped.useRunner({ create: "anything" });
    runner.start(1);
    expectTypeOf(runner.status).toEqualTypeOf<RunnerState["status"] | undefined>();
  });
});

test("the list is one of states, and may be looked at now", () => {
  compile(() => {
    const { runners, refresh } = useRunners({ interval: Number.POSITIVE_INFINITY });
    expectTypeOf(runners).toEqualTypeOf<readonly RunnerState[] | undefined>();
    expectTypeOf(refresh).toEqualTypeOf<() => Promise<void>>();
    useRunners();
    // @ts-expect-error an interval is a number of ms
    useRunners({ interval: "5 s" });
  });
});
