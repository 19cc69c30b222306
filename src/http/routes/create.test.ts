import * as v from "valibot";
import { describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { isPending, openHost, PushSource, turns } from "../../../test/support/control.js";
import { inside } from "../../../test/support/inside.js";
import { type WireOptions, wireRequest } from "../../../test/support/wire.js";
import { createDeferred } from "../../base/async.js";
import { ActiveSessionError } from "../../base/error.js";
import type { RunnerDefinition, StandardSchema } from "../../runner/definition.js";
import type { Runner } from "../../runner/runner.js";
import type { Source } from "../../runner/source.js";
import { defineProcessRunner, defineSequenceRunner } from "../../session/define.js";
import type { ActiveSessionsOptions } from "../../session/options.js";
import type { RequestBody } from "../request-port.js";
import { createRunnerHandler, type RunnerRouterOptions } from "../router.js";
import type { WireResponse } from "../wire-response.js";

const jsonType = { "content-type": "application/json" };

interface Post extends Omit<WireOptions, "query"> {
  readonly query?: string;
  /** The idempotency key. */
  readonly once?: string;
}

/** A handler that exposes definitions, over a host of its own, asked without any server. */
function open(expose: readonly RunnerDefinition[], router: RunnerRouterOptions = {}, host: ActiveSessionsOptions = {}) {
  // Fake time jumps past a clean-up that only needs some turns of the loop; so it must not be bounded by a timer.
  const cleanupTimeout = Number.POSITIVE_INFINITY;
  const sessions = openHost({ cleanupTimeout, logger: { warn: () => {} }, ...(host as object) });
  const handle = createRunnerHandler(inside(sessions), { expose, ...router });
  const ask = (target: string, { query, once, headers = jsonType, ...more }: Post = {}): Promise<WireResponse> => {
    const [key = "", action] = target.split("/");
    const withKey = once === undefined ? headers : { ...headers, "idempotency-key": once };
    const search = { query: new URLSearchParams(query) };
    return handle(wireRequest(sessions, key, { method: "POST", action, headers: withKey, ...search, ...more }));
  };
  /** Asks for what has been created before. */
  const get = (target: string, query = "") => ask(target, { method: "GET", headers: {}, query });
  const session = () => sessions.get("ann");
  return { sessions, ask, get, session };
}

/** A definition named `work` over a source that the test gives by hand. */
function pushed(options: RunnerDefinition["options"] = {}) {
  const source = new PushSource<unknown>();
  const run = vi.fn((): Source<unknown> | Promise<Source<unknown>> => source);
  const work = defineSequenceRunner({ name: "work", options, run: () => run() });
  return { source, run, work };
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** Counts from 1 to what it is given. */
const count = defineSequenceRunner({
  name: "count",
  run: (to: number | undefined) => range(1, (to ?? 3) + 1),
});

const named = (name: string): RunnerDefinition => ({ ...count, name });

/** A validator made by hand. */
function schema<Input>(
  validate: StandardSchema<unknown, Input>["~standard"]["validate"],
): StandardSchema<unknown, Input> {
  return { "~standard": { version: 1, vendor: "test", validate } };
}

// biome-ignore lint/suspicious/noExplicitAny: what a client has of an answer
function bodyOf({ body }: WireResponse): any {
  return body === undefined ? undefined : JSON.parse(body as string);
}

/** What an answer has come to. */
function outcome(response: WireResponse) {
  return [response.status, bodyOf(response)?.code];
}

async function produced(runner: Runner, count: number): Promise<void> {
  while ((await runner.state()).progress.current < count) await turns(1);
}

describe("options", () => {
  test.each<[string, unknown]>([
    ["expose that is no list", count],
    ["expose that is null in a list", [null]],
    ["something exposed that is no definition", [{ name: "count", run: () => [] }]],
    ["something exposed that only looks like a definition", [{ kind: "sequence", name: "count" }]],
    ["a definition without a name", [{ ...count, name: undefined }]],
    ["a name that is no text", [{ ...count, name: ["count"] }]],
    ["a name with a digit first, as a runner's key has", [named("0-1-abc")]],
    ["a name with a slash", [named("a/b")]],
    ["a name with a dot", [named("a.b")]],
    ["a name with a letter beyond ASCII", [named("zähle")]],
    ["a name with a line break behind it", [named("count\n")]],
    ["a name with an underscore first", [named("__proto__")]],
    ["a name of 65 characters", [named("a".repeat(65))]],
    ["the same name twice", [count, defineProcessRunner({ name: "count", run: async () => 1 })]],
  ])("%s is refused", (_, expose) => {
    expect(() => open(expose as never)).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
  });

  test.each<RunnerRouterOptions>([
    { firstPageTimeout: -1 },
    { firstPageTimeout: 61 },
    { firstPageTimeout: 0.5 },
    { firstPageTimeout: Number.POSITIVE_INFINITY },
    { firstPageTimeout: "1" as never },
    { bodyLimit: -1 },
    { bodyLimit: 1.5 },
    { bodyLimit: Number.NaN },
    { bodyLimit: "100kb" as never },
  ])("%o is refused", (router) => {
    expect(() => open([], router)).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
  });

  test.each<RunnerRouterOptions>([
    { firstPageTimeout: 0, bodyLimit: 0 },
    { firstPageTimeout: 60, bodyLimit: Number.POSITIVE_INFINITY },
    { expose: undefined, firstPageTimeout: undefined, bodyLimit: undefined },
  ])("%o is taken", (router) => {
    expect(() => open([], router)).not.toThrow();
  });

  test.each(["state", "abort", "ack", "constructor", "A", "a-_9", "a".repeat(64)])(
    "a definition may be called %s",
    async (name) => {
      const { ask } = open([named(name)]);
      const response = await ask(name);
      expect([response.status, bodyOf(response)]).toMatchObject([200, { name, items: [1, 2, 3] }]);
    },
  );

  test("are not added after the router has been made", async () => {
    const expose: RunnerDefinition[] = [];
    const { ask } = open(expose);
    expose.push(count);
    expect(outcome(await ask("count"))).toEqual([404, "UNKNOWN_DEFINITION"]);
  });
});

describe("the answer", () => {
  test("has the first page, the state and where the rest is, while there is more to come", async () => {
    const { source, work } = pushed();
    const { ask, get, session } = open([work]);
    source.push("a", "b");
    const response = await ask("work", { query: "min-items=2" });
    const [runner] = inside(await session()).allRunners();
    expect(response.status).toBe(201);
    expect(bodyOf(response)).toEqual({
      ...{ key: runner!.key, name: "work", kind: "sequence", status: "stalled", offset: 0, position: 2 },
      ...{ progress: { current: 2 }, isBackgroundCompleted: false, phase: "running", closed: false, items: ["a", "b"] },
    });
    expect(response.headers).toMatchObject({
      Location: runner!.key,
      "Content-Type": "application/json",
      "Cache-Control": "private, no-cache, no-store",
      "X-Content-Type-Options": "nosniff",
      "Runner-Status": "stalled",
      "Runner-Progress": "2",
      "Stream-Next-Offset": "0000000000000002",
      "Stream-Up-To-Date": "true",
    });
    expect(response.headers).not.toHaveProperty("Stream-Closed");
    source.push("c");
    await produced(runner!, 3);
    expect(bodyOf(await get(runner!.key, "offset=0000000000000002"))).toEqual(["c"]);
  });

  test("has all there is and keeps nothing, when everything has fitted", async () => {
    const { source, work } = pushed();
    const { ask, sessions } = open([work]);
    source.push("a", "b");
    source.end();
    const response = await ask("work");
    expect([response.status, bodyOf(response)]).toEqual([
      200,
      {
        ...{ name: "work", kind: "sequence", status: "completed", offset: 0, position: 2 },
        ...{
          progress: { current: 2, estimatedEnd: 2 },
          isBackgroundCompleted: true,
          phase: "completed",
          closed: true,
          items: ["a", "b"],
        },
      },
    ]);
    expect(response.headers).toMatchObject({ "Stream-Closed": "true", "Runner-Status": "completed" });
    expect(response.headers).not.toHaveProperty("Location");
    await turns();
    expect(sessions.stats()).toMatchObject({ runners: 0, items: 0 });
  });

  test("has all there is and keeps it, when the request may be repeated", async () => {
    const { ask, get, sessions } = open([count]);
    const response = await ask("count", { once: "a" });
    const { key, items } = bodyOf(response);
    expect([response.status, response.headers.Location, items]).toEqual([200, key, [1, 2, 3]]);
    expect(sessions.stats().runners).toBe(1);
    expect(bodyOf(await get(`${key}/state`))).toMatchObject({ key, name: "count", status: "completed" });
    expect(bodyOf(await get(key))).toEqual([1, 2, 3]);
  });

  test("leaves the rest of an ended sequence for further reads", async () => {
    const { ask, get, sessions } = open([count]);
    const response = await ask("count", { query: "max-items=2" });
    const { key, items, closed, position, progress } = bodyOf(response);
    expect([response.status, items, closed, position]).toEqual([201, [1, 2], false, 2]);
    expect(progress).toMatchObject({ current: 3 }); // all of the state is of the moment of the slice
    expect(bodyOf(await get(`${key}/state`))).toMatchObject({ isBackgroundCompleted: true });
    expect(bodyOf(await get(key, "offset=2"))).toEqual([3]);
    expect(sessions.stats().runners).toBe(1);
  });

  const failed = { status: "failed", closed: true, isBackgroundCompleted: true };
  test.each<[string, RunnerDefinition["run"], object, object]>([
    [
      "a sequence that fails after its items",
      async function* () {
        yield 1;
        throw Object.assign(new Error("No more disk"), { expose: true });
      },
      { kind: "sequence" },
      { ...failed, items: [1], position: 1, error: { code: "RUNNER_FAILED", message: "No more disk" } },
    ],
    [
      "a sequence that fails with what the client must not know",
      async function* () {
        yield* [];
        throw new Error("password=123");
      },
      { kind: "sequence" },
      { ...failed, items: [], position: 0, error: { code: "RUNNER_FAILED", message: "The runner failed" } },
    ],
    [
      "a process that is over at once",
      async () => ({ sum: 3 }),
      { kind: "process" },
      { status: "completed", closed: true, items: [{ sum: 3 }], offset: 0, position: 1, progress: { current: 1 } },
    ],
    [
      "a process without a value",
      async () => undefined,
      { kind: "process" },
      { status: "completed", closed: true, items: [null], position: 1 },
    ],
    [
      "a process that fails",
      async () => {
        throw new Error("password=123");
      },
      { kind: "process" },
      { ...failed, items: [], position: 0, error: { code: "RUNNER_FAILED", message: "The runner failed" } },
    ],
    [
      "an empty sequence",
      () => [],
      { kind: "sequence" },
      { status: "completed", closed: true, items: [], position: 0 },
    ],
  ])("of %s has it all, and nothing is kept", async (_, run, kind, expected) => {
    const { ask, sessions } = open([{ ...count, ...kind, run } as RunnerDefinition]);
    const response = await ask("count");
    expect([response.status, bodyOf(response)]).toMatchObject([200, { ...kind, ...expected }]);
    expect(bodyOf(response)).not.toHaveProperty("key");
    expect(sessions.stats().runners).toBe(0);
  });

  test("of a process that goes on has its newest value, whatever the limit", async () => {
    const gate = createDeferred();
    const steps = defineProcessRunner({
      name: "steps",
      run: async (_: unknown, { report }) => {
        for (const step of [1, 2, 3]) report(step, 4);
        await gate.promise;
        return 4;
      },
    });
    const { ask, get } = open([steps]);
    const response = await ask("steps", { query: "max-items=1" });
    const { key, ...rest } = bodyOf(response);
    expect([response.status, response.headers.Location, rest]).toEqual([
      ...[201, key],
      {
        ...{ name: "steps", kind: "process", status: "stalled", offset: 0, position: 3 },
        ...{
          progress: { current: 3, estimatedEnd: 4 },
          isBackgroundCompleted: false,
          phase: "running",
          closed: false,
          items: [3],
        },
      },
    ]);
    gate.resolve();
    await turns();
    expect(bodyOf(await get(key, "offset=3"))).toEqual([4]);
  });

  test("of what is stopped meanwhile says so, and nothing is kept", async () => {
    const { source, work } = pushed();
    const { ask, session, sessions } = open([work]);
    source.push("a");
    const answer = ask("work");
    await turns();
    const [runner] = inside(await session()).allRunners();
    await runner!.abort();
    const response = await answer;
    const expected = { status: "aborted", abortReason: "stopped", items: ["a"], position: 1, closed: true };
    expect([response.status, bodyOf(response)]).toMatchObject([200, expected]);
    expect(bodyOf(response)).not.toHaveProperty("error");
    expect(sessions.stats().runners).toBe(0);
  });

  test("of a session that ends meanwhile says so", async () => {
    const { source, work } = pushed();
    const { ask, session } = open([work]);
    source.push("a");
    const answer = ask("work");
    await turns();
    await (await session()).terminate();
    const response = await answer;
    expect([response.status, bodyOf(response)]).toMatchObject([
      200,
      { status: "aborted", abortReason: "session-ended" },
    ]);
  });

  test("of a runner that cannot be started is its error, and nothing is kept", async () => {
    const { run, work } = pushed();
    const { ask, sessions } = open([work]);
    run.mockImplementation(() => {
      throw new Error("password=123");
    });
    const response = await ask("work");
    expect(outcome(response)).toEqual([500, "RUNNER_START_FAILED"]);
    expect(response.body).not.toContain("password");
    expect(sessions.stats().runners).toBe(0);
  });

  test.each([undefined, "a"])("of too many runners is 429 with a time to wait (idempotency key: %s)", async (once) => {
    const { source, work } = pushed();
    const { ask, sessions, session } = open([work], {}, { limits: { runnersPerClient: 1 } });
    const inTheWay = await (await session()).createSequenceRunner(new PushSource());
    const response = await ask("work", once === undefined ? {} : { once });
    expect([...outcome(response), response.headers["Retry-After"]]).toEqual([429, "CLIENT_LIMIT_REACHED", "5"]);
    await inside(inTheWay).dispose("stopped");
    source.end();
    expect((await ask("work", once === undefined ? {} : { once })).status).toBe(200);
    expect(sessions.stats().runners).toBe(once ? 1 : 0);
  });

  test.each([
    [undefined, 0],
    ["a", 1],
  ])("of too many open reads is 429 (idempotency key: %s; kept: %i)", async (once, kept) => {
    const { work } = pushed();
    const { ask, sessions, session } = open([work], {}, { limits: { openReadsPerClient: 1 } });
    const other = await (await session()).createSequenceRunner(new PushSource());
    const waiting = other.getRequired();
    const response = await ask("work", once === undefined ? {} : { once });
    expect(outcome(response)).toEqual([429, "CLIENT_LIMIT_REACHED"]);
    expect(sessions.stats().runners).toBe(1 + kept);
    await other.abort();
    await waiting;
  });

  test("of a closing host is 503", async () => {
    const { ask, sessions } = open([count]);
    await sessions.close();
    expect(outcome(await ask("count"))).toEqual([503, "HOST_CLOSED"]);
  });
});

describe("the first page", () => {
  test("waits for as many items as a read asks for by default, and has what has come on top of them", async () => {
    const { source, work } = pushed({ defaultAdvance: 3 });
    const { ask } = open([work]);
    const answer = ask("work");
    source.push(1, 2);
    expect(await isPending(answer)).toBe(true);
    source.push(3, 4);
    expect(bodyOf(await answer).items).toEqual([1, 2, 3, 4]);
  });

  test("waits for no more items than it may have", async () => {
    const { source, work } = pushed({ defaultAdvance: 20 });
    const { ask } = open([work], { pageLimit: 2 });
    source.push(1, 2, 3);
    const answer = ask("work");
    expect(await isPending(answer)).toBe(false);
    expect(bodyOf(await answer).items).toEqual([1, 2]);
  });

  test("waits for no more items than it may have", async () => {
    const { source, work } = pushed();
    const { ask } = open([work]);
    const answer = ask("work", { query: "min-items=3&max-items=2" });
    source.push(1);
    expect(await isPending(answer)).toBe(true);
    source.push(2);
    expect(bodyOf(await answer)).toMatchObject({ items: [1, 2], position: 2, progress: { current: 2 } });
  });

  test.each<[RunnerRouterOptions, string, number]>([
    [{}, "", 1000],
    [{ firstPageTimeout: 7 }, "", 7000],
    [{ firstPageTimeout: 7 }, "timeout=2", 2000],
    [{}, "timeout=60", 60_000],
  ])("with %o and %j has after %i ms what there is", async (router, query, time) => {
    vi.useFakeTimers();
    const { source, work } = pushed();
    const { ask } = open([work], router);
    source.push(1);
    const answer = ask("work", { query });
    await turns();
    vi.advanceTimersByTime(time - 1);
    expect(await isPending(answer)).toBe(true);
    vi.advanceTimersByTime(1);
    const response = await answer;
    expect([response.status, bodyOf(response).items]).toEqual([201, [1]]);
  });

  test("with no time at all is empty, and comes at once", async () => {
    vi.useFakeTimers();
    const { work } = pushed();
    const { ask, sessions } = open([work]);
    const answer = ask("work", { query: "timeout=0" });
    await turns();
    vi.advanceTimersByTime(1);
    const response = await answer;
    expect([response.status, bodyOf(response)]).toMatchObject([201, { items: [], position: 0, status: "stalled" }]);
    expect(sessions.stats().runners).toBe(1);
  });

  test.each([
    "min-items=0",
    "min-items=10001",
    "min-items=1.5",
    "min-items=",
    "min-items=1&min-items=1",
    "max-items=0",
    "max-items=1001",
    "max-items=-1",
    "max-items=1e3",
    "max-items=%201",
    "max-items=1&max-items=2",
    "timeout=61",
    "timeout=-1",
    "timeout=abc",
    "timeout=Infinity",
    "timeout=1&timeout=1",
  ])("cannot be asked for by %s, and nothing is created", async (query) => {
    const { run, work } = pushed();
    const { ask, sessions } = open([work]);
    const readBody = vi.fn(async () => ({ text: "" }));
    expect(outcome(await ask("work", { query, readBody }))).toEqual([400, "INVALID_ARGUMENT"]);
    expect([run.mock.calls.length, readBody.mock.calls.length, sessions.stats().sessions]).toEqual([0, 0, 0]);
  });

  test.each([
    [undefined, 0],
    ["a", 1],
  ])("that begins with what has no JSON form is refused (idempotency key: %s; kept: %i)", async (once, kept) => {
    const { run, work } = pushed();
    const { ask, sessions } = open([work]);
    run.mockReturnValue([1n, 2]);
    for (let attempt = 1; attempt <= 2; attempt++) {
      const response = await ask("work", once === undefined ? {} : { once });
      expect(outcome(response)).toEqual([500, "RESULT_NOT_SERIALIZABLE"]);
      expect(sessions.stats().runners).toBe(kept);
    }
    expect(run).toHaveBeenCalledTimes(2 - kept);
  });

  test("ends before what has no JSON form", async () => {
    const { run, work } = pushed();
    const { ask, get } = open([work]);
    run.mockReturnValue([1, 2n, 3]);
    const response = await ask("work");
    expect([response.status, bodyOf(response)]).toMatchObject([201, { items: [1], position: 1, closed: false }]);
    expect(outcome(await get(bodyOf(response).key, "offset=1"))).toEqual([500, "RESULT_NOT_SERIALIZABLE"]);
  });

  test("carries items as JSON has them, beside a state that they cannot change", async () => {
    const { run, work } = pushed();
    const { ask } = open([work]);
    run.mockReturnValue(['"}],"items":[', { items: [] }, undefined, new Date(0), "\u2028"]);
    expect(bodyOf(await ask("work")).items).toEqual([
      ...['"}],"items":[', { items: [] }, null],
      ...["1970-01-01T00:00:00.000Z", "\u2028"],
    ]);
  });
});

describe("the content type", () => {
  test.each([
    "application/json",
    "application/json; charset=utf-8",
    "application/json;charset=UTF-8",
    'Application/JSON ; charset="utf-8"',
  ])("%s is taken", async (type) => {
    const { ask } = open([count]);
    expect((await ask("count", { headers: { "content-type": type } })).status).toBe(200);
  });

  test.each([
    undefined,
    "",
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=application/json",
    "application/json; charset=latin1",
    "application/json; charset=utf-16",
    "application/jsonp",
    "application/json, text/plain",
    "application/ld+json",
    "text/plain; application/json",
  ])("%s is refused with 415, though the body is JSON, and makes no session and no cookie", async (type) => {
    const { ask, sessions } = open([count]);
    const openSession = vi.fn();
    const headers: Record<string, string> = type === undefined ? {} : { "content-type": type };
    const response = await ask("count", { headers, body: "2", identity: undefined, openSession });
    expect(outcome(response)).toEqual([415, "UNSUPPORTED_MEDIA_TYPE"]);
    expect(response.headers["Runner-Error-Code"]).toBe("UNSUPPORTED_MEDIA_TYPE");
    expect([openSession.mock.calls.length, sessions.stats().sessions]).toEqual([0, 0]);
  });
});

describe("the body", () => {
  const echo = defineProcessRunner({
    name: "echo",
    run: async (input: unknown) => ({ input, isUndefined: input === undefined }),
  });

  test.each<[string, RequestBody, unknown]>([
    ["an object", { text: '{"a":[1,{"b":null}]}' }, { a: [1, { b: null }] }],
    ["a bare value", { text: " 5 " }, 5],
    ["null", { text: "null" }, null],
    ["what a parser has made of it before", { value: { a: 1 } }, { a: 1 }],
    ["null that a parser has made", { value: null }, null],
    [
      "a prototype's name as a property of its own",
      { text: '{"__proto__":{"a":1}}' },
      JSON.parse('{"__proto__":{"a":1}}'),
    ],
  ])("is the input: %s", async (_, body, input) => {
    const { ask } = open([echo]);
    expect(bodyOf(await ask("echo", { readBody: async () => body })).items).toEqual([{ input, isUndefined: false }]);
  });

  test.each<RequestBody>([{ text: "" }, { value: undefined }])("that is empty (%o) is no input", async (body) => {
    const { ask } = open([echo]);
    expect(bodyOf(await ask("echo", { readBody: async () => body })).items).toEqual([{ isUndefined: true }]);
  });

  test("that a parser has read and that cannot be written again (nested too deeply, say) is no input: 422, and no session", async () => {
    const { ask, sessions } = open([echo]);
    const value = { amount: 1n };
    const response = await ask("echo", { readBody: async () => ({ value }) });
    expect(outcome(response)).toEqual([422, "INVALID_INPUT"]);
    expect(sessions.stats().sessions).toBe(0);
  });

  test.each(["{", "{'a':1}", " ", "undefined", "{}{}", "NaN", '{"a":1,}'])(
    "%j is no JSON: 422 with an issue, and no session",
    async (body) => {
      const { ask, sessions } = open([echo]);
      const response = await ask("echo", { body });
      expect([response.status, bodyOf(response)]).toEqual([
        422,
        {
          code: "INVALID_INPUT",
          message: 'Cannot create "echo": its input must be valid (the body must be JSON)',
          issues: [{ message: "the body must be JSON" }],
        },
      ]);
      expect(sessions.stats().sessions).toBe(0);
    },
  );

  test.each([undefined, 5])("that is too large is refused with 413, and no session (limit: %s)", async (bodyLimit) => {
    const { ask, sessions } = open([echo], { bodyLimit });
    const readBody = vi.fn(async (_limit: number): Promise<RequestBody> => {
      throw new ActiveSessionError("PAYLOAD_TOO_LARGE", "Cannot read the body");
    });
    expect(outcome(await ask("echo", { readBody }))).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    expect([readBody.mock.calls, sessions.stats().sessions]).toEqual([[[bodyLimit ?? 102_400]], 0]);
  });

  test("that cannot be read for a reason of its own rejects, without a 4xx", async () => {
    const { ask, sessions } = open([echo]);
    const readBody = () => Promise.reject(new Error("consumed"));
    await expect(ask("echo", { readBody })).rejects.toThrow("consumed");
    expect(sessions.stats().sessions).toBe(0);
  });
});

describe("the input's validator", () => {
  const asked = { word: "needle", page: { size: 3 } };
  const wrong = { word: "", page: { size: "3" } };
  const paths = [["word"], ["page", "size"]];
  const ofZod = z.object({ word: z.string().min(1), page: z.object({ size: z.number() }) });
  const ofValibot = v.object({ word: v.pipe(v.string(), v.minLength(1)), page: v.object({ size: v.number() }) });

  test.each<[string, StandardSchema]>([
    ["zod", ofZod],
    ["zod, async", ofZod.refine(async () => true)],
    ["valibot", ofValibot],
    [
      "valibot, async",
      v.pipeAsync(
        ofValibot,
        v.checkAsync(async () => true),
      ) as StandardSchema,
    ],
  ])("of %s lets through what is valid, and what is not is 422 with its issues and no session", async (_, input) => {
    const run = vi.fn((given: unknown) => [given]);
    const { ask, sessions } = open([defineSequenceRunner({ name: "search", input, run })]);
    const refused = await ask("search", { body: JSON.stringify(wrong) });
    expect(outcome(refused)).toEqual([422, "INVALID_INPUT"]);
    const issues = paths.map((path) => ({ message: expect.any(String), path }));
    expect(bodyOf(refused).issues).toEqual(issues);
    expect([run.mock.calls.length, sessions.stats().sessions]).toEqual([0, 0]);
    expect(bodyOf(await ask("search", { body: JSON.stringify(asked) })).items).toEqual([asked]);
  });

  test("sees no input as none", async () => {
    const definition = defineSequenceRunner({
      name: "all",
      input: z.literal("x").optional(),
      run: (x) => [x ?? "none"],
    });
    const { ask } = open([definition]);
    expect(bodyOf(await ask("all")).items).toEqual(["none"]);
    expect((await ask("all", { body: "null" })).status).toBe(422);
  });

  test.each([undefined, "a"])("transforms an input once (idempotency key: %s)", async (once) => {
    const twice = vi.fn((n: number) => 2 * n);
    const definition = defineSequenceRunner({ name: "double", input: z.number().transform(twice), run: (n) => [n] });
    const { ask } = open([definition]);
    const post = { body: "4", ...(once === undefined ? {} : { once }) };
    expect(bodyOf(await ask("double", post)).items).toEqual([8]);
    expect(twice).toHaveBeenCalledTimes(1);
    if (once === undefined) return;
    expect(bodyOf(await ask("double", post)).items).toEqual([8]);
    expect(twice).toHaveBeenCalledTimes(1); // what was valid when it was created is not asked again
  });

  test.each<[string, () => never | Promise<never>]>([
    [
      "throws",
      () => {
        throw new TypeError("a bug");
      },
    ],
    ["rejects", () => Promise.reject(new TypeError("a bug"))],
  ])("that %s is the framework's error, and no session is made", async (_, validate) => {
    const { ask, sessions } = open([defineSequenceRunner({ name: "broken", input: schema(validate), run: () => [] })]);
    await expect(ask("broken", { body: "1" })).rejects.toThrow("a bug");
    expect(sessions.stats().sessions).toBe(0);
  });

  test("does not lend its time to a session: there is none until it has spoken", async () => {
    const gate = createDeferred();
    const input = schema(async (value) => {
      await gate.promise;
      return { value };
    });
    const { ask, sessions } = open([defineSequenceRunner({ name: "slow", input, run: () => [] })]);
    const answer = ask("slow", { body: "1" });
    await turns();
    expect(sessions.stats().sessions).toBe(0);
    gate.resolve();
    expect((await answer).status).toBe(200);
  });
});

describe("an idempotency key", () => {
  test.each([
    ["abc", "abc"],
    ["abc", '"abc"'],
    ['"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ["!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", "!#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"],
    ["k".repeat(255), `"${"k".repeat(255)}"`],
  ])("%s names the same creation as %s", async (one, other) => {
    const { run, work } = pushed();
    const { ask } = open([work]);
    run.mockReturnValue([1]);
    const keys = [await ask("work", { once: one }), await ask("work", { once: other })].map((r) => bodyOf(r).key);
    expect(keys[0]).toBe(keys[1]);
    expect(run).toHaveBeenCalledTimes(1);
  });

  test.each([
    "",
    '""',
    '"',
    "a b",
    "a, a",
    'a"b',
    '"abc',
    'abc"',
    '""abc""',
    "schlüssel",
    "a\tb",
    "k".repeat(256),
    `"${"k".repeat(256)}"`,
  ])("%j is refused with 400, for a creation and for a stop, and makes no session", async (once) => {
    const { ask, sessions } = open([count]);
    for (const target of ["count", "count/abort"]) {
      expect(outcome(await ask(target, { once }))).toEqual([400, "INVALID_ARGUMENT"]);
    }
    expect(sessions.stats().sessions).toBe(0);
  });

  test("gives repeated and concurrent requests the same runner", async () => {
    const { source, run, work } = pushed();
    const { ask, sessions } = open([work]);
    const all = [ask("work", { once: "a" }), ask("work", { once: "a" })];
    await turns();
    source.push("x");
    source.end();
    const answers = [...(await Promise.all(all)), await ask("work", { once: "a" })];
    expect(new Set(answers.map((answer) => bodyOf(answer).key)).size).toBe(1);
    for (const answer of answers) expect([answer.status, bodyOf(answer).items]).toEqual([200, ["x"]]);
    expect([run.mock.calls.length, sessions.stats().runners]).toEqual([1, 1]);
  });

  test("gives concurrent requests the same runner, in whatever order they are validated", async () => {
    const gates = [createDeferred(), createDeferred()];
    let asked = 0;
    const input = schema(async (value) => {
      await gates[asked++]!.promise;
      return { value };
    });
    const run = vi.fn(() => [1]);
    const { ask } = open([defineSequenceRunner({ name: "slow", input, run })]);
    const answers = [ask("slow", { once: "a" }), ask("slow", { once: "a" })];
    await turns();
    gates[1]!.resolve();
    const second = bodyOf(await answers[1]!);
    gates[0]!.resolve();
    expect(bodyOf(await answers[0]!).key).toBe(second.key);
    expect(run).toHaveBeenCalledTimes(1);
  });

  test.each<[string, Post, Post]>([
    ["another input", { body: "1" }, { body: "2" }],
    ["an input where there was none", {}, { body: "2" }],
    [
      "another input that a parser has read",
      { readBody: async () => ({ value: 1 }) },
      { readBody: async () => ({ value: 2 }) },
    ],
  ])("with %s is a mistake", async (_, first, second) => {
    const { ask } = open([count]);
    await ask("count", { once: "a", ...first });
    expect(outcome(await ask("count", { once: "a", ...second }))).toEqual([422, "IDEMPOTENCY_KEY_REUSED"]);
    expect((await ask("count", { once: "a", ...first })).status).toBe(200);
  });

  test("may be repeated with another page asked for", async () => {
    const { ask } = open([count]);
    const first = bodyOf(await ask("count", { once: "a", query: "max-items=1" }));
    const again = await ask("count", { once: "a", query: "max-items=2" });
    expect([again.status, bodyOf(again)]).toMatchObject([201, { key: first.key, items: [1, 2] }]);
  });

  test("means something else for another definition, another client and another session", async () => {
    const other = named("other");
    const { ask, sessions } = open([count, other]);
    const tab = { openSession: () => inside(sessions).obtain("user:ann", "tab"), findSession: () => undefined };
    const answers = [
      await ask("count", { once: "a" }),
      await ask("other", { once: "a" }),
      await ask("count", { once: "a", identity: "user:bob" }),
      await ask("count", { once: "a", ...tab }),
    ];
    expect(new Set(answers.map((answer) => bodyOf(answer).key)).size).toBe(4);
  });

  test("of a failed creation can be tried again", async () => {
    const { run, work } = pushed();
    const { ask } = open([work]);
    run.mockImplementationOnce(() => {
      throw new Error("not now");
    });
    run.mockReturnValue([1]);
    expect(outcome(await ask("work", { once: "a" }))).toEqual([500, "RUNNER_START_FAILED"]);
    expect((await ask("work", { once: "a" })).status).toBe(200);
  });

  test("of an input that was refused can be used for a better one", async () => {
    const definition = defineSequenceRunner({ name: "n", input: z.number(), run: (n) => [n] });
    const { ask } = open([definition]);
    expect((await ask("n", { once: "a", body: '"x"' })).status).toBe(422);
    expect((await ask("n", { once: "a", body: "5" })).status).toBe(200);
  });

  test("of a runner that is gone makes no other one", async () => {
    const { ask } = open([count]);
    const { key } = bodyOf(await ask("count", { once: "a" }));
    expect((await ask(key, { method: "DELETE" })).status).toBe(204);
    expect(outcome(await ask("count", { once: "a" }))).toEqual([410, "RUNNER_GONE"]);
  });

  test.each(["unacknowledged", 1, "all"] as const)(
    "of a runner that has been read begins with the first item kept and says so (retain: %s)",
    async (retain) => {
      const { source, work } = pushed({ retain });
      const { ask, get, session } = open([work]);
      source.push(..."abcde");
      const query = "min-items=1&max-items=2";
      const first = bodyOf(await ask("work", { once: "a", query }));
      expect([first.offset, first.items]).toEqual([0, ["a", "b"]]);
      await produced(inside(await session()).allRunners()[0]!, 5);
      await get(first.key, "offset=2&max-items=2"); // which acknowledges the first two
      const again = await ask("work", { once: "a", query });
      const offset = { unacknowledged: 2, 1: 1, all: 0 }[retain];
      expect([again.status, bodyOf(again)]).toMatchObject([
        201,
        { offset, items: [..."abcde"].slice(offset, offset + 2), position: offset + 2, progress: { current: 5 } },
      ]);
      expect(again.headers["Runner-First-Offset"]).toBe(String(offset).padStart(16, "0"));
    },
  );

  test("of a runner that has been read to its end begins at the end, and acknowledges nothing itself", async () => {
    const { ask, get, session } = open([count]);
    const { key } = bodyOf(await ask("count", { once: "a" }));
    await ask("count", { once: "a" });
    expect(bodyOf(await get(key))).toEqual([1, 2, 3]);
    await ask(`${key}/ack`, { query: "offset=3" });
    const again = await ask("count", { once: "a" });
    expect([again.status, bodyOf(again)]).toMatchObject([
      200,
      { offset: 3, position: 3, items: [], status: "completed" },
    ]);
    expect(inside(await session()).runnerCount).toBe(1);
  });

  test("of a process gives its newest value, from the beginning", async () => {
    const gate = createDeferred();
    const definition = defineProcessRunner({
      name: "steps",
      run: async (_: unknown, { report }) => {
        report(1);
        await gate.promise;
        return 2;
      },
    });
    const { ask } = open([definition]);
    const first = bodyOf(await ask("steps", { once: "a" }));
    expect([first.offset, first.items]).toEqual([0, [1]]);
    gate.resolve();
    await turns();
    const again = await ask("steps", { once: "a" });
    expect([again.status, bodyOf(again)]).toMatchObject([200, { key: first.key, offset: 0, items: [2], position: 2 }]);
  });
});

describe("a stop by the idempotency key", () => {
  test("that comes first lets nothing be created", async () => {
    const { run, work } = pushed();
    const { ask, sessions } = open([work]);
    const stopped = await ask("work/abort", { once: "a" });
    expect([stopped.status, stopped.body]).toEqual([204, undefined]);
    expect(outcome(await ask("work", { once: "a" }))).toEqual([409, "RUNNER_ABORTED"]);
    expect((await ask("work/abort", { once: '"a"' })).status).toBe(204);
    expect([run.mock.calls.length, sessions.stats().runners]).toEqual([0, 0]);
  });

  test("that overtakes a creation while it is validated lets nothing be created", async () => {
    const gate = createDeferred();
    const input = schema(async (value) => {
      await gate.promise;
      return { value };
    });
    const run = vi.fn(() => [1]);
    const { ask } = open([defineSequenceRunner({ name: "slow", input, run })]);
    const answer = ask("slow", { once: "a" });
    await turns();
    expect((await ask("slow/abort", { once: "a" })).status).toBe(204);
    gate.resolve();
    expect(outcome(await answer)).toEqual([409, "RUNNER_ABORTED"]);
    expect(run).not.toHaveBeenCalled();
  });

  test("during a start that hangs ends both requests", async () => {
    const { run, work } = pushed();
    const { ask } = open([work]);
    const opened = createDeferred<Source<unknown>>();
    run.mockReturnValue(opened.promise);
    const answer = ask("work", { once: "a" });
    expect(await isPending(answer)).toBe(true);
    const aborted = { status: "aborted", abortReason: "stopped" };
    expect(bodyOf(await ask("work/abort", { once: "a" }))).toMatchObject(aborted);
    const response = await answer;
    expect([response.status, bodyOf(response)]).toMatchObject([200, { ...aborted, items: [] }]);
    opened.resolve([]);
  });

  test("during the first page settles it with what there is", async () => {
    const { source, work } = pushed();
    const { ask } = open([work]);
    source.push("x");
    const answer = ask("work", { once: "a" });
    await turns();
    await ask("work/abort", { once: "a" });
    expect(bodyOf(await answer)).toMatchObject({ status: "aborted", items: ["x"] });
    expect(source.returns).toBe(1);
  });

  test("answers with the state of what it has stopped, which stays to be seen", async () => {
    const { source, work } = pushed();
    const { ask } = open([work]);
    source.push("x");
    const created = bodyOf(await ask("work", { once: "a", query: "min-items=1" }));
    const expected = { key: created.key, name: "work", status: "aborted", abortReason: "stopped", position: 1 };
    for (let i = 0; i < 2; i++) {
      const stopped = await ask("work/abort", { once: "a", headers: {} });
      expect([stopped.status, bodyOf(stopped)]).toMatchObject([200, expected]);
    }
    const again = await ask("work", { once: "a" });
    expect([again.status, bodyOf(again)]).toMatchObject([200, { ...expected, items: ["x"] }]);
  });

  test("without a key is refused with 400", async () => {
    const { ask, sessions } = open([count]);
    expect(outcome(await ask("count/abort"))).toEqual([400, "INVALID_ARGUMENT"]);
    expect(sessions.stats().sessions).toBe(0);
  });

  test("by a client without an identity is 404, and makes no session", async () => {
    const { ask, sessions } = open([count]);
    const openSession = vi.fn();
    const unidentified = { once: "a", identity: undefined, openSession };
    expect(outcome(await ask("count/abort", unidentified))).toEqual([404, "RUNNER_NOT_FOUND"]);
    expect([openSession.mock.calls.length, sessions.stats().sessions]).toEqual([0, 0]);
  });

  test("of what is gone is 410", async () => {
    const { ask } = open([count]);
    const { key } = bodyOf(await ask("count", { once: "a" }));
    await ask(key, { method: "DELETE" });
    expect(outcome(await ask("count/abort", { once: "a" }))).toEqual([410, "RUNNER_GONE"]);
  });

  test("stops nothing of another definition, and nothing of another client", async () => {
    const { work } = pushed();
    const other = named("other");
    const { ask, session } = open([work, other]);
    await ask("work", { once: "a", query: "timeout=0" });
    expect((await ask("other/abort", { once: "a" })).status).toBe(204);
    expect((await ask("work/abort", { once: "a", identity: "user:bob" })).status).toBe(204);
    expect(inside(await session()).allRunners()[0]!.status).toBe("stalled");
  });
});

describe("a client that goes away", () => {
  const goes = () => {
    const controller = new AbortController();
    return { leave: () => controller.abort(), signal: controller.signal };
  };

  test("during the first page leaves nothing behind", async () => {
    const { source, work } = pushed();
    const { ask, sessions } = open([work]);
    const { leave, signal } = goes();
    source.push("x");
    const answer = ask("work", { signal });
    await turns();
    expect(sessions.stats()).toMatchObject({ runners: 1, openReads: 1 });
    leave();
    expect((await answer).status).toBe(204);
    await turns();
    expect(sessions.stats()).toMatchObject({ runners: 0, openReads: 0, items: 0 });
    expect(source.returns).toBe(1);
  });

  test("before it was told who it is leaves nothing behind, with an idempotency key too: it cannot come back to it", async () => {
    const { source, work } = pushed();
    const { ask, sessions } = open([work]);
    const { leave, signal } = goes();
    source.push("x");
    const answer = ask("work", { signal, once: "a", identity: undefined });
    await turns();
    leave();
    expect((await answer).status).toBe(204);
    await turns();
    expect([source.returns, sessions.stats().runners]).toEqual([1, 0]);
  });

  test("during the first page of what it may ask for again finds it going on", async () => {
    const { source, work } = pushed();
    const { ask, sessions } = open([work]);
    const { leave, signal } = goes();
    source.push("x");
    const answer = ask("work", { signal, once: "a" });
    await turns();
    leave();
    expect((await answer).status).toBe(204);
    expect([source.returns, sessions.stats()]).toMatchObject([0, { runners: 1, openReads: 0 }]);
    source.push("y");
    const again = await ask("work", { once: "a", query: "min-items=2" });
    expect([again.status, bodyOf(again)]).toMatchObject([201, { offset: 0, items: ["x", "y"] }]);
  });

  test.each([
    [undefined, 0],
    ["a", 1],
  ])(
    "during a start that takes its time leaves no more than it can ask for (idempotency key: %s; kept: %i)",
    async (once, kept) => {
      const { run, work } = pushed();
      const { ask, sessions } = open([work]);
      const { leave, signal } = goes();
      const opened = createDeferred<Source<unknown>>();
      run.mockReturnValue(opened.promise);
      const answer = ask("work", { signal, query: "max-items=1", ...(once === undefined ? {} : { once }) });
      await turns();
      leave();
      opened.resolve([1, 2]);
      expect((await answer).status).toBe(204);
      expect(sessions.stats().runners).toBe(kept);
    },
  );

  test("while its input is validated starts nothing and makes no session", async () => {
    const gate = createDeferred();
    const input = schema(async (value) => {
      await gate.promise;
      return { value };
    });
    const run = vi.fn(() => [1, 2]);
    const { ask, sessions } = open([defineSequenceRunner({ name: "slow", input, run })]);
    const { leave, signal } = goes();
    const answer = ask("slow", { signal, query: "max-items=1" });
    await turns();
    leave();
    gate.resolve();
    expect((await answer).status).toBe(204);
    expect([run.mock.calls.length, sessions.stats()]).toMatchObject([0, { sessions: 0, runners: 0 }]);
  });

  test("while its input is validated finds what it may ask for again", async () => {
    const gate = createDeferred();
    const input = schema(async (value) => {
      await gate.promise;
      return { value };
    });
    const run = vi.fn(() => [1, 2]);
    const { ask } = open([defineSequenceRunner({ name: "slow", input, run })]);
    const { leave, signal } = goes();
    const answer = ask("slow", { signal, once: "a" });
    await turns();
    leave();
    gate.resolve();
    expect((await answer).status).toBe(204);
    expect(run).toHaveBeenCalledTimes(1);
    expect(bodyOf(await ask("slow", { once: "a" }))).toMatchObject({ items: [1, 2], closed: true });
    expect(run).toHaveBeenCalledTimes(1);
  });

  test("while its body is read is no error of the server", async () => {
    const { ask, sessions } = open([count]);
    const { leave, signal } = goes();
    const readBody = async (): Promise<RequestBody> => {
      leave();
      throw new Error("aborted");
    };
    expect((await ask("count", { signal, readBody })).status).toBe(204);
    expect(sessions.stats().sessions).toBe(0);
  });
});

describe("where a request comes from", () => {
  const foreign = { "sec-fetch-site": "cross-site", origin: "https://evil.example", host: "app.example" };

  test.each(["count", "count/abort"])(
    "another site's POST to %s is refused before its parameters are looked at",
    async (target) => {
      const { ask, sessions } = open([count]);
      const readBody = vi.fn(async () => ({ text: "" }));
      const response = await ask(target, { headers: foreign, query: "max-items=x", readBody });
      expect(outcome(response)).toEqual([403, "CROSS_SITE_REQUEST"]);
      expect([readBody.mock.calls.length, sessions.stats().sessions]).toEqual([0, 0]);
    },
  );

  test("an allowed origin may create", async () => {
    const { ask } = open([count], { allowedOrigins: ["https://evil.example"] });
    expect((await ask("count", { headers: { ...jsonType, origin: foreign.origin, host: foreign.host } })).status).toBe(
      200,
    );
  });
});

describe("methods and addresses", () => {
  test.each([
    ["GET", "count", "POST"],
    ["HEAD", "count", "POST"],
    ["PUT", "count", "POST"],
    ["DELETE", "count", "POST"],
    ["OPTIONS", "count", "POST"],
    ["GET", "count/abort", "POST"],
    ["DELETE", "count/abort", "POST"],
    ["POST", "", "GET"],
    ["DELETE", "", "GET"],
    ["constructor", "count", "POST"],
  ])("%s %s is 405 and says what is allowed: %s", async (method, target, allow) => {
    const { ask, sessions } = open([count]);
    const response = await ask(target, { method });
    const { status, headers } = response;
    expect([status, headers["Runner-Error-Code"], headers.Allow]).toEqual([405, "METHOD_NOT_ALLOWED", allow]);
    expect(bodyOf(response)?.code).toBe(method === "HEAD" ? undefined : "METHOD_NOT_ALLOWED");
    expect(sessions.stats().sessions).toBe(0);
  });

  test.each([
    ["POST", "count/state"],
    ["GET", "count/state"],
    ["POST", "count/ack"],
    ["POST", "count/constructor"],
    ["GET", "/state"],
    ["POST", "count/count"],
  ])("%s %s is 404", async (method, target) => {
    const { ask } = open([count]);
    expect(outcome(await ask(target, { method, once: "a" }))).toEqual([404, "RUNNER_NOT_FOUND"]);
  });

  test.each(["Count", "counts", "coun%74", "hidden", "constructor", "__proto__", "toString"])(
    "what is not exposed (%s) cannot be created",
    async (name) => {
      const { ask, sessions } = open([count]);
      const isName = name !== "__proto__"; // which does not begin with a letter, so it is taken for a key
      expect(outcome(await ask(`${name}/abort`, { once: "a" }))).toEqual([404, "RUNNER_NOT_FOUND"]);
      expect(outcome(await ask(name))).toEqual(isName ? [404, "UNKNOWN_DEFINITION"] : [405, "METHOD_NOT_ALLOWED"]);
      expect(sessions.stats().sessions).toBe(0);
    },
  );

  test("nothing is exposed that was not", async () => {
    const { ask } = open([]);
    expect((await ask("count")).status).toBe(404);
  });

  test("a HEAD that is refused has no body, but says why", async () => {
    const { ask } = open([count]);
    const response = await ask("nonsense", { method: "HEAD" });
    expect([response.status, response.body, response.headers["Runner-Error-Code"]]).toEqual([
      ...[404, undefined, "RUNNER_NOT_FOUND"],
    ]);
  });
});

describe("a definition's options", () => {
  test("hold for what is created from it, over HTTP and without", async () => {
    const { source, work } = pushed({ retain: "all", aheadLimit: 7, defaultAdvance: 2 });
    const { ask, get, session } = open([work]);
    source.push(..."abc");
    const { key, items } = bodyOf(await ask("work", { query: "max-items=2" }));
    expect(items).toEqual(["a", "b"]);
    expect((await ask(key, { method: "HEAD" })).headers["Runner-Ahead-Limit"]).toBe("7");
    await get(key, "offset=2");
    expect(bodyOf(await get(key))).toEqual(["a", "b", "c"]);
    const runner = await (await session()).createRunner(work, undefined as never);
    expect([runner.aheadLimit, inside(runner).defaultAdvance]).toEqual([7, 2]);
  });

  test("give way to those of a creation, unless these are undefined", async () => {
    const { work } = pushed({ retain: "all", aheadLimit: 7, defaultAdvance: 2 });
    const { session } = open([work]);
    const options = { aheadLimit: 9, defaultAdvance: undefined };
    const runner = await (await session()).createRunner(work, undefined as never, options);
    expect([runner.aheadLimit, inside(runner).defaultAdvance]).toEqual([9, 2]);
  });

  test("go above the host's, which hold for the rest", async () => {
    const { work } = pushed({ aheadLimit: 7 });
    const { ask, session } = open([work, count], {}, { aheadLimit: 5, defaultAdvance: 3 });
    await ask("work", { query: "timeout=0" });
    await ask("count", { query: "max-items=1" });
    const runners = inside(await session()).allRunners() as { aheadLimit?: number; defaultAdvance: number }[];
    expect(runners.map(({ aheadLimit, defaultAdvance }) => [aheadLimit, defaultAdvance])).toEqual([
      [7, 3],
      [5, 3],
    ]);
  });

  test("of a process leave its default advance at one, unless they say otherwise", async () => {
    const gate = createDeferred();
    const run = () => gate.promise;
    const plain = defineProcessRunner({ name: "plain", run });
    const patient = defineProcessRunner({ name: "patient", options: { defaultAdvance: 2 }, run });
    const { ask, session } = open([plain, patient], {}, { defaultAdvance: 5 });
    for (const name of ["plain", "patient"]) await ask(name, { query: "timeout=0" });
    expect(
      inside(await session())
        .allRunners()
        .map(({ defaultAdvance }) => defaultAdvance),
    ).toEqual([1, 2]);
    gate.resolve();
  });

  test("say when it idles out, and how long its results stay", async () => {
    vi.useFakeTimers();
    const { source, work } = pushed({ idleTimeout: 3000, finishedTimeout: 500 });
    const { ask, get } = open([work], {}, { runnerIdleTimeout: 10_000 });
    source.push(1);
    const { key } = bodyOf(await ask("work", { query: "min-items=1" }));
    vi.advanceTimersByTime(2999);
    expect(bodyOf(await get(`${key}/state`))).toMatchObject({ phase: "running" });
    vi.advanceTimersByTime(1);
    await turns();
    expect(bodyOf(await get(`${key}/state`))).toMatchObject({ abortReason: "idle" });
    vi.advanceTimersByTime(499);
    expect((await get(`${key}/state`)).status).toBe(200);
    vi.advanceTimersByTime(1);
    expect((await get(`${key}/state`)).status).toBe(410);
    await turns();
    expect(source.returns).toBe(1);
  });

  test.each([
    null,
    "all",
    { retian: "all" },
    { start: "now" },
    { aheadLimit: 0 },
    { retain: -1 },
    { idleTimeout: 0 },
    { finishedTimeout: 0 },
  ])("%o are refused when it is defined", (options) => {
    expect(() => defineSequenceRunner({ name: "work", options: options as never, run: () => [] })).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION" }),
    );
  });
});

describe("the list of runners", () => {
  test("has the states of all the client's runners, in all its sessions and however made, and of no other client", async () => {
    const { ask, get, sessions } = open([count]);
    const { key } = bodyOf(await ask("count", { once: "a" }));
    const tab = await sessions.get("ann", "tab");
    const gate = createDeferred();
    const other = await tab.createProcessRunner(() => gate.promise);
    await (await sessions.get("bob")).createSequenceRunner([1]);
    const response = await get("");
    expect([response.status, response.headers["Content-Type"]]).toEqual([200, "application/json"]);
    expect(bodyOf(response)).toEqual([
      {
        ...{ key: other.key, kind: "process", status: "stalled", position: 0 },
        ...{ progress: { current: 0 }, isBackgroundCompleted: false, phase: "running" },
      },
      {
        ...{ key, name: "count", kind: "sequence", status: "completed", position: 3 },
        ...{ progress: { current: 3, estimatedEnd: 3 }, isBackgroundCompleted: true, phase: "completed" },
      },
    ]);
    gate.resolve();
  });

  /** Three of `count`, two of them with labels, and one of `other`; the keys in order of creation. */
  async function openList() {
    const opened = open([count, named("other")]);
    let made = 0;
    const create = async (name: string, label?: string) => {
      const headers = { ...jsonType, ...(label !== undefined && { "runner-label": encodeURIComponent(label) }) };
      const query = "max-items=1"; // so that they are kept
      return bodyOf(await opened.ask(name, { once: `key-${made++}`, headers, query })).key as string;
    };
    const keys = [await create("count", "chat 7"), await create("count"), await create("other", "Zürich & 東京")];
    const list = async (query = "") => {
      const response = await opened.get("", query);
      return response.status === 200 ? bodyOf(response).map(({ key }: { key: string }) => keys.indexOf(key)) : response;
    };
    return { ...opened, keys, create, list };
  }

  test("P142: tells labels, and selects by label, by name and by status", async () => {
    const { list, get, keys } = await openList();
    expect(bodyOf(await get("")).map(({ label }: { label?: string }) => label)).toEqual([
      "Zürich & 東京",
      undefined,
      "chat 7",
    ]);
    expect(bodyOf(await get(`${keys[0]}/state`)).label).toBe("chat 7");
    const label = encodeURIComponent("Zürich & 東京");
    expect([await list(`label=${label}`), await list("label=chat+7"), await list("label=chat")]).toEqual([
      [2],
      [0],
      [],
    ]);
    expect([await list("name=count"), await list("name=count&label=chat+7"), await list("name=none")]).toEqual([
      [1, 0],
      [0],
      [],
    ]);
    expect([await list("status=progressed"), await list("status=completed")]).toEqual([[2, 1, 0], []]);
  });

  test("has the newest first, at most so many, and goes on before one of them, also if that has been removed", async () => {
    const { list, keys, ask } = await openList();
    expect([await list(), await list("limit=2"), await list(`limit=1&before=${keys[2]}`)]).toEqual([
      [2, 1, 0],
      [2, 1],
      [1],
    ]);
    await ask(keys[1]!, { method: "DELETE" });
    expect([await list(`before=${keys[1]}`), await list(`before=${keys[0]}`)]).toEqual([[0], []]);
    await ask(keys[2]!, { method: "DELETE" });
    expect(await list(`before=${keys[2]}`)).toEqual([0]); // the newest was removed: there is no gap
  });

  test("finds the newest of several with one label", async () => {
    const { create, session, get } = await openList();
    const key = await create("other", "chat 7");
    expect((await (await session()).findRunner({ label: "chat 7" }))?.key).toBe(key);
    expect(bodyOf(await get("", "label=chat+7&limit=1"))).toMatchObject([{ key }]);
    expect(await (await session()).findRunner({ label: "none" })).toBeUndefined();
  });

  test.each(["status=finished", "limit=0", "limit=1001", "limit=2&limit=3", "before=x", "label=a&label=b"])(
    "refuses %s with 400",
    async (query) => {
      const { list } = await openList();
      expect(outcome(await list(query))).toEqual([400, "INVALID_ARGUMENT"]);
    },
  );

  test.each(["", "%", "%E0%A4%A", "x".repeat(129), "Zürich", "a, b", "%ED%A0%80"])(
    "P142: refuses the label %j with 400, and makes no session",
    async (label) => {
      const { ask, sessions } = open([count]);
      const response = await ask("count", { headers: { ...jsonType, "runner-label": label } });
      expect([outcome(response), sessions.stats().sessions]).toEqual([[400, "INVALID_ARGUMENT"], 0]);
    },
  );

  test.each([null, 7, "", "x".repeat(129), "\ud83d"])(
    "a label %j is no option of a runner, and nothing to find one by",
    async (label) => {
      const session = await open([]).session();
      await expect(session.createSequenceRunner([1], { label: label as string })).rejects.toMatchObject({
        code: "INVALID_OPTION",
      });
      await expect(session.findRunner({ label: label as string })).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    },
  );

  test("has what became of a runner, and not what its work threw", async () => {
    const { run, work } = pushed();
    const { ask, get } = open([work]);
    run.mockImplementation(() =>
      (async function* () {
        yield* [];
        throw new Error("password=123");
      })(),
    );
    await ask("work", { once: "a" });
    expect(bodyOf(await get(""))).toMatchObject([{ status: "failed", error: { code: "RUNNER_FAILED" } }]);
    expect((await get("")).body).not.toContain("password");
  });

  test.each(["user:bob", "cookie:ann", undefined] as const)(
    "is empty for %s, and makes no session",
    async (identity) => {
      const { ask, sessions } = open([count]);
      await ask("count", { once: "a" });
      const response = await ask("", { method: "GET", identity });
      expect([response.status, bodyOf(response), sessions.stats().sessions]).toEqual([200, [], 1]);
    },
  );

  test("is no use of what it shows: runner and session go when they would have gone", async () => {
    vi.useFakeTimers();
    const { ask, get, sessions } = open([count], {}, { finishedTimeout: 10_000, idleTimeout: 20_000 });
    await ask("count", { once: "a" });
    vi.advanceTimersByTime(9_999);
    expect(bodyOf(await get(""))).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(bodyOf(await get(""))).toEqual([]);
    vi.advanceTimersByTime(9_999);
    expect([bodyOf(await get("")), sessions.stats().sessions]).toEqual([[], 1]);
    vi.advanceTimersByTime(1);
    expect([bodyOf(await get("")), sessions.stats().sessions]).toEqual([[], 0]);
  });

  test("starts nothing that waits for its first read", async () => {
    const { get, session } = open([]);
    const run = vi.fn(() => [1]);
    await (await session()).createSequenceRunner(run, { start: "on-first-read" });
    expect(bodyOf(await get(""))).toMatchObject([{ status: "not-started" }]);
    expect(run).not.toHaveBeenCalled();
  });
});

test("a repeated creation is a use of its runner", async () => {
  vi.useFakeTimers();
  const { ask, sessions } = open([count], {}, { finishedTimeout: 10_000 });
  await ask("count", { once: "a" });
  vi.advanceTimersByTime(9_999);
  await ask("count", { once: "a" });
  vi.advanceTimersByTime(9_999);
  expect(sessions.stats().runners).toBe(1);
  vi.advanceTimersByTime(1);
  expect(sessions.stats().runners).toBe(0);
});
