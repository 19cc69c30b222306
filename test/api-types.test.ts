/** What an application writes must compile, with the types it expects; `npm run types` is what fails if it does not. */
import type { Request } from "express";
import * as v from "valibot";
import { expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { createClient } from "../src/client.js";
import { type ActiveSessionMiddlewareOptions, requestSignal } from "../src/express.js";
import {
  type ActiveSession,
  createActiveSessions,
  defineProcessRunner,
  defineProperty,
  defineSequenceRunner,
  type ProcessRunner,
  type RunnerOptions,
  type SequenceRunner,
  type SessionGroup,
  type SessionLock,
} from "../src/index.js";
import type { ActiveSessionOptions } from "../src/node.js";
import { atEnd } from "./support/cleanup.js";

declare global {
  namespace Express {
    interface ActiveSessionServices {
      readonly db: string;
    }
  }
}

function open() {
  const sessions = createActiveSessions({ services: (session) => ({ db: session.id }) });
  atEnd(() => sessions.close());
  return sessions.get("user");
}

test("items of a sequence have the type of what the source yields, with and without a context", async () => {
  const session = await open();
  const plain = await session.createSequenceRunner([1, 2]);
  const generator = await session.createSequenceRunner(async function* () {
    yield "text";
  });
  const withContext = await session.createSequenceRunner(async function* ({ signal, services }) {
    if (!signal.aborted) yield services.db;
  });
  const stream = await session.createSequenceRunner(() => new ReadableStream<Date>({ start: (c) => c.close() }));
  const later = await session.createSequenceRunner(async () => new Set([true]));
  expectTypeOf(plain).toEqualTypeOf<SequenceRunner<number>>();
  expectTypeOf(generator).toEqualTypeOf<SequenceRunner<string>>();
  expectTypeOf(withContext).toEqualTypeOf<SequenceRunner<string>>();
  expectTypeOf(stream).toEqualTypeOf<SequenceRunner<Date>>();
  expectTypeOf(later).toEqualTypeOf<SequenceRunner<boolean>>();
  expectTypeOf((await plain.getRequired()).result).toEqualTypeOf<number[]>();
});

test("the value of a process has the type of what the body returns or yields", async () => {
  const session = await open();
  const returns = await session.createProcessRunner(async (context) => {
    context.report(1, 2);
    return context.services.db.length;
  });
  const yields = await session.createProcessRunner(async function* (context) {
    if (!context.signal.aborted) yield 1;
    return 2;
  });
  const reportsOnly = await session.createProcessRunner<number>(async ({ report }) => {
    report(1);
  });
  expectTypeOf(returns).toEqualTypeOf<ProcessRunner<number>>();
  expectTypeOf((await yields.getRequired()).result).toEqualTypeOf<number | undefined>();
  expectTypeOf(reportsOnly).toEqualTypeOf<ProcessRunner<number>>();
});

test("options may be given as undefined, and a session knows its services", async () => {
  const session = await open();
  const signal = undefined as AbortSignal | undefined;
  const options: RunnerOptions = { signal, retain: undefined, holds: undefined };
  const runner = await session.createTimeSeriesRunner({ gauge: async () => 1, interval: 5, count: 1 }, options);
  await runner.getRequired({ advance: undefined, signal });
  expectTypeOf(session.services.db).toEqualTypeOf<string>();
  expectTypeOf<Request["activeSession"]["services"]["db"]>().toEqualTypeOf<string>();
  expectTypeOf(await session.findSequenceRunner<Date>(0)).toEqualTypeOf<SequenceRunner<Date> | undefined>();
});

test("a client's items have the type that it names", () => {
  const follower = createClient("http://localhost/runners").follow<{ line: number }>("0-1-x");
  expectTypeOf(follower[Symbol.asyncIterator]).returns.toExtend<AsyncIterator<{ line: number }>>();
});

test("a definition's runners have the type of what it makes, when they are created and when they are found", async () => {
  const session = await open();
  const plain = defineSequenceRunner({ name: "plain", run: (to: number) => Array.from({ length: to }, String) });
  const generator = defineSequenceRunner({
    name: "generator",
    async *run(from: Date, { signal }) {
      if (!signal.aborted) yield from;
    },
  });
  const later = defineSequenceRunner({ name: "later", run: async (_input: null) => new Set([true]) });
  const stream = defineSequenceRunner({
    name: "stream",
    run: (_input: null) => new ReadableStream<number>({ start: (c) => c.close() }),
  });
  const process = defineProcessRunner({ name: "process", run: async (word: string) => word.length });
  const yields = defineProcessRunner({
    name: "yields",
    async *run(_input: null) {
      yield "text";
      return "end";
    },
  });
  const runner = await session.createRunner(plain, 2);
  expectTypeOf(runner).toEqualTypeOf<SequenceRunner<string>>();
  expectTypeOf(await session.createRunner(generator, new Date())).toEqualTypeOf<SequenceRunner<Date>>();
  expectTypeOf(await session.createRunner(later, null)).toEqualTypeOf<SequenceRunner<boolean>>();
  expectTypeOf(await session.createRunner(stream, null)).toEqualTypeOf<SequenceRunner<number>>();
  expectTypeOf(await session.createRunner(process, "word")).toEqualTypeOf<ProcessRunner<number>>();
  expectTypeOf(await session.createRunner(yields, null)).toEqualTypeOf<ProcessRunner<string>>();
  expectTypeOf(await session.findRunner(plain, runner.key)).toEqualTypeOf<SequenceRunner<string> | undefined>();
  expectTypeOf(await session.findRunner(process, 4)).toEqualTypeOf<ProcessRunner<number> | undefined>();
  expectTypeOf((await runner.getRequired()).result).toEqualTypeOf<string[]>();
});

test("the input of a definition without a validator is of the type that its run takes; another does not compile", async () => {
  const session = await open();
  const repeat = defineSequenceRunner({ name: "repeat", run: (input: { word: string }) => [input.word] });
  const length = defineProcessRunner({ name: "length", run: async (word: string) => word.length });
  await session.createRunner(repeat, { word: "tea" });
  // @ts-expect-error a number is no text
  await session.createRunner(repeat, { word: 5 });
  // @ts-expect-error the word is missing
  await session.createRunner(repeat, {});
  // @ts-expect-error there is no input
  await session.createRunner(repeat).catch(() => {});
  // @ts-expect-error a number is no text
  await session.createRunner(length, 5);
  // @ts-expect-error a session is asked for runners of definitions
  await session.createRunner({ name: "repeat" }, { word: "tea" }).catch(() => {});
});

test("with zod, what is given has the schema's input type, and what run gets its output type", async () => {
  const session = await open();
  const input = z.object({ word: z.string(), limit: z.string().transform(Number).optional() });
  const search = defineSequenceRunner({
    name: "search",
    input,
    async *run(checked, { signal, session: own }) {
      expectTypeOf(checked).toEqualTypeOf<{ word: string; limit?: number | undefined }>();
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
      expectTypeOf(own).toEqualTypeOf<ActiveSession>();
      yield checked.word;
    },
  });
  const count = defineProcessRunner({ name: "count", input, run: async ({ limit }) => limit });
  expectTypeOf(await session.createRunner(search, { word: "tea", limit: "5" })).toEqualTypeOf<SequenceRunner<string>>();
  expectTypeOf(await session.createRunner(count, { word: "tea" })).toEqualTypeOf<ProcessRunner<number>>();
  const refused = expect.objectContaining({ code: "INVALID_INPUT" });
  // @ts-expect-error what is given is text; run gets the number
  await expect(session.createRunner(search, { word: "tea", limit: 5 })).rejects.toEqual(refused);
  // @ts-expect-error the word is missing
  await expect(session.createRunner(count, {})).rejects.toEqual(refused);
});

test("with valibot, what is given has the schema's input type, and what run gets its output type", async () => {
  const session = await open();
  const input = v.object({ word: v.string(), limit: v.optional(v.pipe(v.string(), v.transform(Number))) });
  const search = defineSequenceRunner({
    name: "search",
    input,
    run: (checked) => {
      expectTypeOf(checked).toEqualTypeOf<{ word: string; limit?: number | undefined }>();
      return [checked.limit ?? 0];
    },
  });
  const count = defineProcessRunner({ name: "count", input, run: async ({ word }) => word });
  expectTypeOf(await session.createRunner(search, { word: "tea", limit: "5" })).toEqualTypeOf<SequenceRunner<number>>();
  expectTypeOf(await session.createRunner(count, { word: "tea" })).toEqualTypeOf<ProcessRunner<string>>();
  const refused = expect.objectContaining({ code: "INVALID_INPUT" });
  // @ts-expect-error what is given is text; run gets the number
  await expect(session.createRunner(search, { word: "tea", limit: 5 })).rejects.toEqual(refused);
  // @ts-expect-error the word is missing
  await expect(session.createRunner(count, {})).rejects.toEqual(refused);
});

test("a run that does not take what the validator gives does not compile", () => {
  const input = z.object({ word: z.string() });
  // @ts-expect-error the input has a word and no number
  defineSequenceRunner({ name: "wrong", input, run: ({ number }: { number: number }) => [number] });
  // @ts-expect-error a number is no source
  defineSequenceRunner({ name: "wrong", run: (to: number) => to });
  // @ts-expect-error a body is asynchronous
  defineProcessRunner({ name: "wrong", run: (to: number) => to });
});

test("a property has the type that its definition names", async () => {
  const { properties, group } = await open();
  const cart = defineProperty<string[]>("cart");
  expectTypeOf(properties.get(cart)).toEqualTypeOf<string[] | undefined>();
  expectTypeOf(properties.get("cart")).toEqualTypeOf<unknown>();
  expectTypeOf(await properties.getOrCreate(cart, async () => [])).toEqualTypeOf<string[]>();
  expectTypeOf(await properties.getOrCreate("name", () => new Date())).toEqualTypeOf<Date>();
  expectTypeOf([...group.properties]).toEqualTypeOf<[string, unknown][]>();
  properties.set(cart, ["tea"]);
  // @ts-expect-error a number is no list of texts
  properties.set(cart, 5);
  // @ts-expect-error a number is no list of texts
  await properties.getOrCreate(cart, () => 5);
});

test("locks and groups are typed; a lock can be handed to a runner", async () => {
  const session = await open();
  expectTypeOf(session.group).toEqualTypeOf<SessionGroup<ActiveSession>>();
  expectTypeOf(session.group.services).toEqualTypeOf<unknown>();
  const lock = await session.lock("db", { timeout: undefined, signal: undefined });
  expectTypeOf(lock).toEqualTypeOf<SessionLock | undefined>();
  if (lock) await session.createSequenceRunner([1], { holds: [lock] });
});

test("scopes know the request of their adapter", () => {
  const ofExpress: ActiveSessionMiddlewareOptions = {
    scopes: [{ when: (request) => request.get("x-tab") }, { when: /x/, suffix: undefined }, { when: "/", suffix: "" }],
  };
  const ofNode: ActiveSessionOptions = { scopes: [{ when: async ({ headers }) => headers["x-tab"] === "1" }] };
  // @ts-expect-error a plain request has no get
  const wrong: ActiveSessionOptions = { scopes: [{ when: (request) => request.get("x-tab") }] };
  expectTypeOf(requestSignal).returns.toEqualTypeOf<AbortSignal>();
  expect([ofExpress, ofNode, wrong].map(({ scopes }) => scopes?.length)).toEqual([3, 1, 1]);
});
