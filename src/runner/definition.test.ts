import * as v from "valibot";
import { describe, expect, it, vi } from "vitest";
import { z } from "zod";
import { isPending, openHost, PushSource, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { createDeferred } from "../base/async.js";
import type { ActiveSessionError, Issue } from "../base/error.js";
import type { ActiveSession } from "../session/active-session.js";
import { defineProcessRunner, defineSequenceRunner } from "../session/define.js";
import type { ProcessDefinition, StandardSchema } from "./definition.js";
import type { ProcessContext } from "./process-producer.js";
import type { RunnerContext } from "./producer.js";

type Validated<Input> = Awaited<ReturnType<StandardSchema<unknown, Input>["~standard"]["validate"]>>;

/** A validator made by hand. */
function schema<Input>(
  validate: (value: unknown) => Validated<Input> | Promise<Validated<Input>>,
): StandardSchema<unknown, Input> {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

/** A definition whose inputs the test lets through, or refuses, when it likes. */
function openGate() {
  const gate = createDeferred<Validated<number>>();
  const run = vi.fn(async (input: number) => input);
  const definition = defineProcessRunner({ name: "gated", input: schema(() => gate.promise), run });
  return { gate, run, definition };
}

const open = () => openHost().get("ann");
const count = defineSequenceRunner({
  name: "count",
  *run(to: number) {
    for (let i = 1; i <= to; i++) yield i;
  },
});
const double = defineProcessRunner({ name: "double", run: async (n: number) => 2 * n });

describe("a definition", () => {
  it("makes runners of its kind, each with its own input (parity 204, 211)", async () => {
    const session = await open();
    const sequence = await session.createRunner(count, 3);
    const process = await session.createRunner(double, 4);
    expect([sequence.kind, process.kind]).toEqual(["sequence", "process"]);
    expect((await sequence.getRequired()).result).toEqual([1, 2, 3]);
    expect(await process.getRequired()).toMatchObject({ result: 8, status: "completed" });
  });

  it("gives parallel creations in several sessions each their own input and session (parity 209)", async () => {
    const host = openHost();
    const seen: [string, number][] = [];
    const definition = defineProcessRunner({
      name: "who",
      input: schema<number>(async (value) => ({ value: value as number })),
      run: async (input: number, { session }) => {
        seen.push([session.id, input]);
        return input;
      },
    });
    const sessions = await Promise.all(["ann", "bob", "cleo"].map((user) => host.get(user)));
    const runners = await Promise.all(sessions.map((session, i) => session.createRunner(definition, i)));
    expect(seen.sort(([, a], [, b]) => a - b)).toEqual(sessions.map(({ id }, i) => [id, i]));
    const results = await Promise.all(runners.map((runner) => runner.getRequired()));
    expect(results.map(({ result }) => result)).toEqual([0, 1, 2]);
  });

  it("gives the work its session, services, signal and id (parity 125, 204, 207)", async () => {
    const session = await openHost({ services: () => "services" }).get("ann", "tab");
    const contexts: RunnerContext[] = [];
    const sequence = defineSequenceRunner({
      name: "sequence",
      run: (_input: null, context) => {
        contexts.push(context);
        return [1];
      },
    });
    const process = defineProcessRunner({
      name: "process",
      run: async (_input: null, context) => void contexts.push(context),
    });
    const runners = [await session.createRunner(sequence, null), await session.createRunner(process, null)];
    expect(contexts.map((context) => [context.session, context.services, String(context.id)])).toEqual(
      runners.map(({ id }) => [session, "services", String(id)]),
    );
    expect(contexts.map(({ signal }) => signal.aborted)).toEqual([false, false]);
  });

  it("gives the work a signal that fires when it must stop (parity 125)", async () => {
    const session = await open();
    const aborted = vi.fn();
    const work = defineProcessRunner({
      name: "work",
      run: (_input: null, { signal }) =>
        new Promise<void>((resolve) => {
          signal.addEventListener("abort", () => {
            aborted();
            resolve();
          });
        }),
    });
    const runner = await session.createRunner(work, null);
    await runner.abort();
    expect(aborted).toHaveBeenCalledTimes(1);
  });

  it("of a process may report, or yield, on the way", async () => {
    const session = await open();
    const reports = defineProcessRunner({
      name: "reports",
      run: async (to: number, { report }: ProcessContext<number>) => {
        for (let i = 1; i <= to; i++) report(i, to);
        return -1;
      },
    });
    const yields = defineProcessRunner({
      name: "yields",
      async *run(to: number) {
        for (let i = 1; i <= to; i++) yield i;
        return -1;
      },
    });
    for (const runner of [await session.createRunner(reports, 3), await session.createRunner(yields, 3)]) {
      await runner.cleanup;
      expect(await runner.getAvailable()).toMatchObject({ result: -1, position: 4, status: "completed" });
    }
  });

  it("may promise its source: its creation does not wait for that, its readers do", async () => {
    const session = await open();
    const gate = createDeferred<string[]>();
    const later = defineSequenceRunner({ name: "later", run: (_input: null) => gate.promise });
    const runner = await session.createRunner(later, null);
    const read = runner.getRequired();
    expect(await isPending(read)).toBe(true);
    gate.resolve(["a", "b"]);
    expect((await read).result).toEqual(["a", "b"]);
  });

  it("whose source cannot be made fails the creation: RUNNER_START_FAILED, and nothing is left (parity 128, 208)", async () => {
    const host = openHost();
    const session = await host.get("ann");
    const cause = new Error("no index");
    const definition = defineSequenceRunner({
      name: "broken",
      run: (_: null): string[] => {
        throw cause;
      },
    });
    await expect(session.createRunner(definition, null)).rejects.toMatchObject({ code: "RUNNER_START_FAILED", cause });
    const nothing = defineSequenceRunner({ name: "nothing", run: ((_input: null) => undefined) as never });
    await expect(session.createRunner(nothing, null as never)).rejects.toMatchObject({ code: "INVALID_SOURCE" });
    expect(host.stats().runners).toBe(0);
  });

  it("that starts on the first read is called then, with the input that was checked at the creation", async () => {
    const session = await open();
    const validate = vi.fn((value: unknown) => ({ value: Number(value) }));
    const run = vi.fn((to: number) => [to]);
    const definition = defineSequenceRunner({ name: "lazy", input: schema(validate), run });
    const body = vi.fn(async (n: number) => n + 1);
    const process = defineProcessRunner({ name: "lazy", input: schema(validate), run: body });
    const [one, two] = [
      await session.createRunner(definition, "5", { start: "on-first-read" }),
      await session.createRunner(process, "5", { start: "on-first-read" }),
    ];
    await Promise.all([one.getAvailable(), two.getAvailable()]);
    expect([one.status, two.status, validate.mock.calls.length]).toEqual(["not-started", "not-started", 2]);
    expect([run, body].map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
    expect((await one.getRequired()).result).toEqual([5]);
    expect((await two.getRequired()).result).toBe(6);
    expect([run, body, validate].map(({ mock }) => mock.calls.length)).toEqual([1, 1, 2]);
  });

  it("takes the same options as every runner", async () => {
    const session = await open();
    const runner = await session.createRunner(count, 5, { defaultAdvance: 2, data: "mine", retain: "all" });
    expect([(await runner.getRequired()).result, runner.data]).toEqual([[1, 2], "mine"]);
    const process = await session.createRunner(double, 5, { signal: AbortSignal.abort() });
    expect((await process.state()).abortReason).toBe("signal");
    await expect(session.createRunner(count, 5, { aheadLimit: 0 })).rejects.toMatchObject({ code: "INVALID_OPTION" });
  });

  it("is frozen, and knows its name and kind", () => {
    expect(count).toMatchObject({ name: "count", kind: "sequence", input: undefined });
    expect([double.kind, Object.isFrozen(count), Object.isFrozen(double)]).toEqual(["process", true, true]);
  });

  it.each([
    ["parts", undefined],
    ["parts", "search"],
    ["name", { run: () => [] }],
    ["name", { name: "", run: () => [] }],
    ["name", { name: 5, run: () => [] }],
    ["run", { name: "search" }],
    ["run", { name: "search", run: [1, 2] }],
    ["input", { name: "search", run: () => [], input: {} }],
    ["input", { name: "search", run: () => [], input: null }],
    ["input", { name: "search", run: () => [], input: { "~standard": {} } }],
    ["input", { name: "search", run: () => [], input: (value: unknown) => value }],
  ])("is refused where it is made when its %s is wrong: INVALID_OPTION (parity 206)", (_part, parts) => {
    const error = expect.objectContaining({ code: "INVALID_OPTION" });
    expect(() => defineSequenceRunner(parts as never)).toThrow(error);
    expect(() => defineProcessRunner(parts as never)).toThrow(error);
  });

  it.each([undefined, null, "count", {}, { kind: "sequence" }, { kind: "other", run: () => [] }])(
    "cannot be %j: INVALID_ARGUMENT",
    async (definition) => {
      const session = await open();
      const error = { code: "INVALID_ARGUMENT" };
      await expect(session.createRunner(definition as never, null as never)).rejects.toMatchObject(error);
    },
  );
});

describe("an input", () => {
  const evenNumber = schema<number>((value) =>
    typeof value === "number" && value % 2 === 0
      ? { value }
      : {
          issues: [
            { message: "must be even", path: ["half", { key: 0 }, Symbol.for("s")] },
            { message: "sorry", path: [] },
          ],
        },
  );

  it("is what the validator makes of it, at once or later", async () => {
    const session = await open();
    const run = async (input: { readonly words: readonly string[] }) => input;
    const split = (value: unknown) => ({ value: { words: String(value).split(" ") } });
    for (const validate of [split, async (value: unknown) => split(value)]) {
      const definition = defineProcessRunner({ name: "words", input: schema(validate), run });
      const runner = await session.createRunner(definition, "a b");
      expect((await runner.getRequired()).result).toEqual({ words: ["a", "b"] });
    }
  });

  it("is passed on as it is where there is no validator", async () => {
    const session = await open();
    const run = vi.fn(async (_input: object) => 1);
    const input = { deep: { deeper: [1] } };
    await session.createRunner(defineProcessRunner({ name: "any", run }), input);
    expect(run.mock.calls[0]?.[0]).toBe(input);
  });

  it.each([
    ["at once", evenNumber],
    ["later", schema<number>(async (value) => evenNumber["~standard"].validate(value))],
  ])("that is refused %s is INVALID_INPUT with the issues and their paths, and runs nothing", async (_when, input) => {
    const host = openHost();
    const session = await host.get("ann");
    const run = vi.fn(async () => 1);
    const definition = defineProcessRunner({ name: "halves", input, run });
    const error: unknown = await session.createRunner(definition, 3).catch((reason: unknown) => reason);
    const issues: Issue[] = [{ message: "must be even", path: ["half", "0", "Symbol(s)"] }, { message: "sorry" }];
    const message = 'Cannot create "halves": its input must be valid (half.0.Symbol(s): must be even; sorry)';
    expect(error).toMatchObject({ code: "INVALID_INPUT", status: 422, expose: true, issues, message });
    expect(JSON.parse(JSON.stringify(error))).toEqual({ code: "INVALID_INPUT", message, issues });
    expect([run.mock.calls.length, host.stats().runners, session.isFresh]).toEqual([0, 0, true]);
  });

  it("that is refused in very many places, or at very long names, is told of the first of them, and briefly", async () => {
    const session = await open();
    const issues = Array.from({ length: 50_000 }, (_, i) => ({
      message: "m".repeat(1000),
      path: Array.from({ length: 30 }, (_, step) => `${i}.${step}.${"k".repeat(1000)}`),
    }));
    const definition = defineProcessRunner({ name: "deep", input: schema(() => ({ issues })), run: async () => 1 });
    const error = (await session.createRunner(definition, {}).catch((reason: unknown) => reason)) as ActiveSessionError;
    expect(error.issues).toHaveLength(20);
    const path = Array.from({ length: 10 }, (_, step) => `3.${step}.${"k".repeat(196)}…`);
    expect(error.issues?.[3]).toEqual({ message: `${"m".repeat(200)}…`, path });
    expect(error.message).toMatch(/; and 49980 more\)$/);
    expect(JSON.stringify(error).length).toBeLessThan(100_000);
  });

  it("that is refused burns its number and gives back the holds, the last one first (parity 128, 160)", async () => {
    const session = await open();
    const definition = defineProcessRunner({ name: "halves", input: evenNumber, run: async () => 1 });
    const released: number[] = [];
    const holds = [1, 2].map((n) => () => released.push(n));
    const lock = (await session.lock("db"))!;
    await expect(session.createRunner(definition, 3, { holds: [...holds, lock] })).rejects.toMatchObject({
      code: "INVALID_INPUT",
    });
    expect([released, lock.isReleased]).toEqual([[2, 1], true]);
    expect(await session.findRunner(0)).toBeUndefined();
    expect((await session.createRunner(definition, 2)).number).toBe(1);
  });

  const error = new Error("no database");
  it.each([
    [
      "throws",
      () => {
        throw error;
      },
    ],
    ["rejects", () => Promise.reject(error)],
  ])(
    "whose validator %s fails the creation with that error; the holds are given back (parity 128, 160)",
    async (_how, validate) => {
      const session = await open();
      const definition = defineProcessRunner({ name: "broken", input: schema<number>(validate), run: async () => 1 });
      const release = vi.fn();
      await expect(session.createRunner(definition, 1, { holds: [release] })).rejects.toBe(error);
      expect(release).toHaveBeenCalledTimes(1);
      expect((await session.createRunner(double, 1)).number).toBe(1);
    },
  );

  it("is never taken unchecked, also when the validator promises its answer with a promise of another kind", async () => {
    const session = await open();
    const run = vi.fn(async (input: number) => input);
    const answers = [{ value: 4 }, { issues: [{ message: "odd" }] }];
    // biome-ignore lint/suspicious/noThenProperty: a promise of another library or realm is one of these
    const validate = () => ({ then: (resolve: (answer: unknown) => void) => resolve(answers.shift()) });
    const definition = defineProcessRunner({ name: "foreign", input: schema<number>(validate as never), run });
    expect((await (await session.createRunner(definition, 1)).getRequired()).result).toBe(4);
    await expect(session.createRunner(definition, 1)).rejects.toMatchObject({ code: "INVALID_INPUT" });
    expect(run).toHaveBeenCalledTimes(1);
  });

  it("that is checked slowly keeps the session, does not hold up others, and takes its number first (parity 127)", async () => {
    vi.useFakeTimers();
    const session = await openHost({ idleTimeout: 100, runnerIdleTimeout: 50 }).get("ann");
    const { gate, definition } = openGate();
    const creation = session.createRunner(definition, 1);
    expect((await session.createRunner(double, 1)).number).toBe(1);
    await vi.advanceTimersByTimeAsync(1000);
    expect(session.isAvailable).toBe(true);
    gate.resolve({ value: 1 });
    expect((await creation).number).toBe(0);
  });

  it.each([
    ["turns out valid", { value: 1 }],
    ["turns out not valid", { issues: [{ message: "no" }] }],
    ["is never answered", undefined],
  ])(
    "whose session ends while it is checked runs nothing, whether it %s; the holds are given back (parity 128, 160)",
    async (_how, answer) => {
      const host = openHost();
      const session = await host.get("ann");
      const { gate, run, definition } = openGate();
      const release = vi.fn();
      const creation = session.createRunner(definition, 1, { holds: [release] });
      const rejected = expect(creation).rejects.toMatchObject({ code: "SESSION_ENDED" });
      await turns();
      await session.terminate();
      await rejected;
      if (answer) gate.resolve(answer);
      await turns();
      expect([run.mock.calls.length, release.mock.calls.length, host.stats().runners]).toEqual([0, 1, 0]);
    },
  );
});

describe("finding by definition", () => {
  it("finds its own runners, by key and by number, not those of a namesake (parity 130, 151, 210)", async () => {
    const session = await open();
    const twin = defineProcessRunner({ name: "double", run: async (n: number) => n + n });
    const runner = await session.createRunner(double, 1);
    const plain = await session.createProcessRunner(async () => 1);
    expect(await session.findRunner(double, runner.key)).toBe(runner);
    expect(await session.findRunner(double, runner.number)).toBe(runner);
    expect(await session.findRunner(runner.key)).toBe(runner);
    for (const other of [twin, count as unknown as ProcessDefinition<number, number>]) {
      expect(await session.findRunner(other, runner.key)).toBeUndefined();
    }
    expect(await session.findRunner(double, plain.key)).toBeUndefined();
    expect(await session.findRunner(double, 99)).toBeUndefined();
    expect(await session.findRunner(double, "x")).toBeUndefined();
  });

  it("finds nothing in another session, or generation (parity 189)", async () => {
    const host = openHost();
    const session = await host.get("ann");
    const { key } = await session.createRunner(double, 1);
    const tab = await host.get("ann", "tab");
    await tab.createRunner(double, 1);
    expect(await tab.findRunner(double, key)).toBeUndefined();
    await session.terminate();
    const next = await host.get("ann");
    await next.createRunner(double, 1);
    expect(await next.findRunner(double, key)).toBeUndefined();
  });

  it("is a use of the runner when it is found, and none when it was made from something else (parity 131, 150)", async () => {
    vi.useFakeTimers();
    const session = await openHost({ finishedTimeout: 100 }).get("ann");
    const other = defineSequenceRunner({ name: "other", run: (_input: null) => new PushSource<number>() });
    const runner = await session.createRunner(count, 1);
    await vi.advanceTimersByTimeAsync(60);
    expect(await session.findRunner(count, runner.key)).toBe(runner);
    await vi.advanceTimersByTimeAsync(60);
    expect(await session.findRunner(other, runner.key)).toBeUndefined();
    expect(inside(session).peek(0)).toBe(runner);
    await vi.advanceTimersByTimeAsync(40);
    expect(inside(session).peek(0)).toBeUndefined();
  });

  it("asks for a definition: INVALID_ARGUMENT", async () => {
    const session = await open();
    const { key } = await session.createRunner(double, 1);
    await expect(session.findRunner({} as never, key)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await expect(session.findRunner(null as never, key)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  it("after the end of the session is SESSION_ENDED (parity 152)", async () => {
    const session = await open();
    const { key } = await session.createRunner(double, 1);
    await session.terminate();
    await expect(session.findRunner(double, key)).rejects.toMatchObject({ code: "SESSION_ENDED" });
    await expect(session.createRunner(double, 1)).rejects.toMatchObject({ code: "SESSION_ENDED" });
  });
});

describe.each([
  ["zod", z.object({ words: z.array(z.string().min(2)), limit: z.coerce.number().default(10) })],
  [
    "valibot",
    v.object({
      words: v.array(v.pipe(v.string(), v.minLength(2))),
      limit: v.optional(v.pipe(v.union([v.string(), v.number()]), v.transform(Number)), 10),
    }),
  ],
] as const)("a schema of %s", (_name, input) => {
  const run = vi.fn(async (given: { words: string[]; limit: number }) => given);
  const make = (session: ActiveSession, given: unknown) => {
    const definition = defineProcessRunner({ name: "words", input: input as StandardSchema<unknown, never>, run });
    return session.createRunner(definition, given as never);
  };

  it("checks and changes the input", async () => {
    const session = await open();
    const runner = await make(session, { words: ["tea"], limit: "5", more: 1 });
    expect((await runner.getRequired()).result).toEqual({ words: ["tea"], limit: 5 });
    expect((await (await make(session, { words: [] })).getRequired()).result).toEqual({ words: [], limit: 10 });
  });

  it("tells where the input is wrong", async () => {
    const session = await open();
    run.mockClear();
    const error = make(session, { words: ["tea", "x"] });
    await expect(error).rejects.toMatchObject({
      code: "INVALID_INPUT",
      issues: [{ message: expect.any(String), path: ["words", "1"] }],
    });
    await expect(make(session, null)).rejects.toMatchObject({ code: "INVALID_INPUT", issues: [{}] });
    expect(run).not.toHaveBeenCalled();
  });
});

it("an asynchronous schema of zod is waited for", async () => {
  const session = await open();
  const input = z.string().refine(async (word) => word !== "taken");
  const definition = defineProcessRunner({ name: "async", input, run: async (word) => word });
  expect((await (await session.createRunner(definition, "free")).getRequired()).result).toBe("free");
  await expect(session.createRunner(definition, "taken")).rejects.toMatchObject({ code: "INVALID_INPUT" });
});
