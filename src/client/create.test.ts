import { beforeEach, describe, expect, test, vi } from "vitest";
import { atEnd } from "../../test/support/cleanup.js";
import { isPending, listenerCount, turns } from "../../test/support/control.js";
import { type AskedOf, FakeRunner, runnersUrl } from "../../test/support/fake-runner.js";
import { createDeferred, noop } from "../base/async.js";
import { CodedError } from "../base/coded-error.js";
import { type CreateOptions, createClient } from "./client.js";
import type { RunnerFollower } from "./follower.js";
import type { ClientOptions } from "./request.js";
import type { RunnerPlace } from "./types.js";

const input = { from: 5 };
const idempotencyKey = ({ headers }: AskedOf) => headers.get("idempotency-key");
const streamFrom = (offset: number) => `GET /1?offset=${offset}&live=sse&acks=true`;

function open(options: ClientOptions = {}) {
  const runner = new FakeRunner();
  const client = createClient(runnersUrl, { fetch: runner.fetch, ...options });
  /** Begins a creation, of which an error is looked at later, by the test. */
  const create = (options: CreateOptions = {}) => {
    const created = client.create("count", input, options);
    created.catch(noop);
    return created as Promise<RunnerFollower<string>>;
  };
  return { runner, client, create };
}

/** A refusal of our own server. */
function refusal(status: number, body: { readonly code: string; readonly message: string; readonly issues?: unknown }) {
  return Response.json(body, { status, headers: { "Runner-Error-Code": body.code } });
}

/** Answers which never come to their end; like real ones they fail when the request is given up. */
function unanswered({ signal }: AskedOf): Promise<Response> {
  return new Promise((_, reject) => {
    signal?.addEventListener("abort", () => reject(signal.reason));
  });
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of items) taken.push(item);
  return taken;
}

beforeEach(() => {
  vi.useFakeTimers();
});

describe("what is asked for", () => {
  test("is the definition by its name, with the input as JSON and a key that any server takes", async () => {
    const { runner, create } = open({ headers: { "x-user": "ann" } });
    await create();
    const [asked] = runner.asked;
    expect(runner.requests).toEqual(["POST /count"]);
    expect(asked!.body).toBe('{"from":5}');
    expect(asked!.headers.get("content-type")).toBe("application/json");
    expect(asked!.headers.get("x-user")).toBe("ann");
    expect(idempotencyKey(asked!)).toMatch(/^[!#-~]{16,255}$/);
  });

  test.each<[CreateOptions, string]>([
    [{}, ""],
    [{ minItems: 0 }, "?min-items=0"],
    [{ minItems: 2, maxItems: 10, timeout: 3 }, "?min-items=2&max-items=10&timeout=3"],
    [{ timeout: 0, live: "long-poll", whenHidden: "pause" }, "?timeout=0"],
  ])("with %j has the query %j", async (options, query) => {
    const { runner, create } = open();
    await create(options);
    expect(runner.requests).toEqual([`POST /count${query}`]);
  });

  test.each([
    [undefined, ""],
    [null, "null"],
    [0, "0"],
    ["", '""'],
    [[new Date(0)], '["1970-01-01T00:00:00.000Z"]'],
  ])("for the input %j has the body %j", async (input, body) => {
    const { runner, client } = open();
    await client.create("count", input);
    expect(runner.asked[0]!.body).toBe(body);
  });

  test("is not another address, whatever the name is", async () => {
    const { runner, client } = open();
    runner.instead = () => runner.created();
    await client.create("../admin?x#y", input);
    expect(runner.requests).toEqual(["POST /..%2Fadmin%3Fx%23y"]);
  });

  test("has a key of its own each time, or the one that is given", async () => {
    const { runner, create } = open();
    for (let i = 0; i < 100; i++) await create();
    expect(new Set(runner.asked.map(idempotencyKey)).size).toBe(100);
    await create({ idempotencyKey: "order-7" });
    expect(idempotencyKey(runner.asked.at(-1)!)).toBe("order-7");
  });

  test.each(["content-type", "Content-Type", "CONTENT-TYPE"])(
    "says its type once, also where every request of the client has a %s",
    async (name) => {
      const { runner, create } = open({ headers: { [name]: "application/json", "idempotency-key": "mine" } });
      await create({ idempotencyKey: "order-7" });
      expect(runner.asked[0]!.headers.get("content-type")).toBe("application/json");
      expect(idempotencyKey(runner.asked[0]!)).toBe("order-7");
    },
  );

  test("is nothing where the input has no JSON form", async () => {
    const { runner, client } = open();
    await expect(client.create("count", 1n)).rejects.toThrow(TypeError);
    expect(runner.asked).toEqual([]);
  });
});

describe("a creation whose answer is lost", () => {
  const cutBody = (how: "error" | "end") =>
    new Response(
      new ReadableStream<Uint8Array>({
        start(controller) {
          controller.enqueue(new TextEncoder().encode('{"key":"1","items":["a","b'));
          if (how === "end") controller.close();
          else controller.error(new TypeError("terminated"));
        },
      }),
      { status: 201, headers: { "Stream-Next-Offset": "2", "Runner-Status": "progressed" } },
    );

  test.each<[string, () => Response | Promise<Response>]>([
    ["a network error", () => Promise.reject(new TypeError("fetch failed"))],
    ["a body that is cut", () => cutBody("error")],
    ["a body that ends early, without a stated length", () => cutBody("end")],
    ["502 of a proxy", () => new Response("<h1>Bad gateway</h1>", { status: 502 })],
    ["503 of a proxy", () => new Response(null, { status: 503 })],
    ["504 of a proxy", () => new Response(null, { status: 504 })],
    ["429 of a proxy", () => new Response("slow down", { status: 429 })],
  ])("by %s is repeated with the same key, input and query", async (_name, lose) => {
    const { runner, create } = open();
    runner.push("a", "b");
    runner.instead = ({ path }) => (path.startsWith("/count") && runner.asked.length < 4 ? lose() : undefined);
    const created = create({ minItems: 2 });
    await vi.advanceTimersByTimeAsync(250 + 500 + 1000);
    expect((await created).key).toBe("1");
    expect(runner.asked).toHaveLength(4);
    expect(new Set(runner.asked.map(idempotencyKey)).size).toBe(1);
    expect(new Set(runner.asked.map(({ path, body }) => `${path} ${body}`)).size).toBe(1);
  });

  test("is tried six times, each time later, and then given up", async () => {
    const { runner, create } = open();
    runner.instead = () => Promise.reject(new TypeError("fetch failed"));
    const created = create();
    await vi.advanceTimersByTimeAsync(250 + 500 + 1000 + 2000 + 4000);
    await expect(created).rejects.toMatchObject({ code: "SERVER_UNAVAILABLE", cause: expect.any(TypeError) });
    expect(runner.requests).toEqual(Array.from({ length: 6 }, () => "POST /count"));
    const waits = runner.asked.slice(1).map(({ at }, i) => at - runner.asked[i]!.at);
    for (const [i, wait] of waits.entries()) {
      expect(wait).toBeGreaterThanOrEqual(125 * 2 ** i);
      expect(wait).toBeLessThanOrEqual(250 * 2 ** i);
    }
    await vi.advanceTimersByTimeAsync(60_000);
    expect(runner.asked).toHaveLength(6);
  });

  test("is repeated when the server's proxy asks for it, not earlier", async () => {
    const { runner, create } = open();
    runner.instead = () =>
      runner.asked.length === 1 ? new Response(null, { status: 503, headers: { "Retry-After": "9" } }) : undefined;
    const created = create();
    await vi.advanceTimersByTimeAsync(8999);
    expect(runner.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    await created;
  });
});

describe("a refusal of the server is thrown at once, with its code:", () => {
  test.each([
    [422, "INVALID_INPUT"],
    [422, "IDEMPOTENCY_KEY_REUSED"],
    [429, "CLIENT_LIMIT_REACHED"],
    [503, "SERVER_LIMIT_REACHED"],
    [503, "HOST_CLOSED"],
    [409, "RUNNER_ABORTED"],
    [413, "PAYLOAD_TOO_LARGE"],
    [415, "UNSUPPORTED_MEDIA_TYPE"],
    [403, "CROSS_SITE_REQUEST"],
    [500, "RUNNER_START_FAILED"],
  ])("%i %s", async (status, code) => {
    const { runner, create } = open();
    runner.instead = () => refusal(status, { code, message: "Cannot do that" });
    const error = await create().catch((error: unknown) => error);
    expect(CodedError.is(error)).toBe(true);
    expect(error).toMatchObject({ code, message: "Cannot do that" });
    expect(runner.asked).toHaveLength(1);
  });

  test("an input that is not valid brings its issues", async () => {
    const { runner, create } = open();
    const issues = [{ message: "must be a number", path: ["from"] }];
    runner.instead = () => refusal(422, { code: "INVALID_INPUT", message: "no", issues });
    await expect(create()).rejects.toMatchObject({ code: "INVALID_INPUT", status: 422, issues });
  });

  test("a limit says when another try may make sense", async () => {
    const { runner, create } = open();
    runner.instead = () =>
      new Response('{"code":"CLIENT_LIMIT_REACHED","message":"too many"}', {
        status: 429,
        headers: { "Runner-Error-Code": "CLIENT_LIMIT_REACHED", "Retry-After": "30" },
      });
    await expect(create()).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED", retryAfter: 30 });
  });

  test.each<[string, number, string]>([
    ["a name that is not served", 404, "UNEXPECTED_RESPONSE"],
    ["a log-in page instead", 200, "UNEXPECTED_RESPONSE"],
    ["a proxy that refuses", 403, "UNEXPECTED_RESPONSE"],
  ])("%s", async (_name, status, code) => {
    const { runner, create } = open();
    runner.instead = () => new Response("<h1>Hello</h1>", { status });
    await expect(create()).rejects.toMatchObject({ code });
    expect(runner.asked).toHaveLength(1);
  });
});

describe("a signal that aborts before the answer", () => {
  const reason = new Error("the user has left");
  const waiting: [string, (asked: AskedOf) => Response | Promise<Response> | undefined][] = [
    ["the answer is under way", unanswered],
    [
      "its body is under way",
      ({ signal }) => new Response(openBody(signal), { status: 201, headers: { "Stream-Next-Offset": "0" } }),
    ],
    ["the next try is waited for", () => Promise.reject(new TypeError("fetch failed"))],
    ["it is waited as the server asks", () => new Response(null, { status: 503, headers: { "Retry-After": "99" } })],
  ];

  /** A body that does not end; like a real one it fails when the request is given up. */
  function openBody(signal: AbortSignal | undefined): ReadableStream<Uint8Array> {
    return new ReadableStream({
      start: (controller) => signal?.addEventListener("abort", () => controller.error(signal.reason)),
    });
  }

  test.each(waiting)("while %s: stops the runner by the key, and rejects with the reason", async (_name, answer) => {
    const { runner, create } = open({ headers: { "x-user": "ann" }, credentials: "include" });
    runner.instead = (asked) => (asked.path === "/count" ? answer(asked) : undefined);
    const controller = new AbortController();
    const created = create({ signal: controller.signal });
    expect(await isPending(created)).toBe(true);
    controller.abort(reason);
    await expect(created).rejects.toBe(reason);
    await turns();
    expect(runner.requests).toEqual(["POST /count", "POST /count/abort"]);
    const [asked, stop] = runner.asked;
    expect(idempotencyKey(stop!)).toBe(idempotencyKey(asked!));
    expect(stop!.headers.get("x-user")).toBe("ann");
    expect(stop!.keepalive).toBe(true); // it may outlive the page
    expect(stop!.signal).toBeUndefined();
    expect(listenerCount(controller.signal)).toBeLessThanOrEqual(1); // that of the answer which this test gives
    expect(vi.getTimerCount()).toBe(0);
  });

  test("rejects with the reason also where the runner cannot be stopped, which is not reported", async () => {
    for (const fail of [() => Promise.reject(new TypeError("offline")), () => new Response(null, { status: 500 })]) {
      const { runner, create } = open();
      runner.instead = (asked) => (asked.path === "/count" ? unanswered(asked) : fail());
      const controller = new AbortController();
      const created = create({ signal: controller.signal });
      await turns();
      controller.abort(reason);
      await expect(created).rejects.toBe(reason);
      await turns();
      expect(runner.asked).toHaveLength(2);
    }
  });

  test("and has aborted already: nothing is asked for", async () => {
    const { runner, create } = open();
    await expect(create({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await turns();
    expect(runner.requests).toEqual([]);
  });

  test("but not one that aborts afterwards: it ends the following, and the runner goes on", async () => {
    const { runner, create } = open();
    runner.push("a");
    const controller = new AbortController();
    const follower = await create({ signal: controller.signal });
    const items = follower[Symbol.asyncIterator]();
    expect(await items.next()).toEqual({ done: false, value: "a" });
    controller.abort(reason);
    await expect(items.next()).rejects.toBe(reason);
    expect(runner.requests).toEqual(["POST /count"]);
  });
});

describe("what is iterated", () => {
  test("is the first page, then what follows on one connection from its position; nothing twice, nothing besides", async () => {
    const { runner, create } = open();
    runner.push("a", "b", "c");
    const follower = await create();
    expect([follower.key, follower.connection]).toEqual(["1", "closed"]);
    runner.push("d");
    const taken = collect(follower);
    await turns(10);
    runner.push("e");
    runner.end();
    expect(await taken).toEqual(["a", "b", "c", "d", "e"]);
    expect(runner.requests).toEqual(["POST /count", streamFrom(3)]);
  });

  test("by updates is the first page with what the server said of it", async () => {
    const { runner, create } = open();
    runner.push("a", "b");
    const updates = (await create()).updates();
    expect((await updates.next()).value).toMatchObject({
      ...{ items: ["a", "b"], position: 2, status: "progressed", progress: { current: 2 }, closed: false },
    });
    await updates.return();
    expect(runner.requests).toEqual(["POST /count"]);
  });

  test("is an empty first page, too", async () => {
    const { runner, create } = open();
    const taken = collect(await create({ timeout: 0 }));
    await turns(10);
    runner.push("a");
    runner.end();
    expect(await taken).toEqual(["a"]);
    expect(runner.requests).toEqual(["POST /count?timeout=0", streamFrom(0)]);
  });

  test("by forEach is the same", async () => {
    const { runner, create } = open();
    runner.push("a");
    const pieces: unknown[] = [];
    const done = (await create()).forEach(({ items, closed }) => {
      pieces.push([items, closed]);
    });
    await turns(10);
    runner.push("b");
    runner.end();
    await done;
    expect(pieces.filter((piece) => JSON.stringify(piece) !== "[[],false]")).toEqual([
      ...[[["a"], false]],
      [["b"], false],
      [[], true],
    ]);
  });

  test("goes by long-polls where the options say so", async () => {
    const { runner, create } = open();
    runner.push("a");
    const taken = collect(await create({ live: "long-poll" }));
    runner.push("b");
    runner.end();
    expect(await taken).toEqual(["a", "b"]);
    expect(runner.requests).toEqual(["POST /count", "GET /1?offset=1&live=long-poll&acks=true"]);
  });

  test("that is left in the middle of the first page goes on with the next item", async () => {
    const { runner, create } = open();
    runner.push("a", "b", "c");
    const follower = await create();
    const taken: string[] = [];
    for await (const item of follower) {
      taken.push(item);
      if (item === "b") break;
    }
    expect([follower.position, follower.connection]).toEqual([2, "closed"]);
    runner.push("d");
    runner.end();
    for await (const item of follower) taken.push(item);
    expect(taken).toEqual(["a", "b", "c", "d"]);
    expect(runner.requests.filter((request) => request.startsWith("GET"))).toEqual([streamFrom(2)]);
  });

  test("keeps its first page until it is iterated, however late", async () => {
    const { runner, create } = open();
    runner.push("a");
    const follower = await create();
    await vi.advanceTimersByTimeAsync(60_000);
    runner.end();
    expect(await collect(follower)).toEqual(["a"]);
  });

  test("tells while the application takes its time with the first page, every 20 s, that it is here", async () => {
    const { runner, create } = open();
    runner.push(..."abcdefghij");
    const items = (await create())[Symbol.asyncIterator]();
    atEnd(() => items.return());
    for (let i = 0; i < 10; i++) {
      await items.next();
      await vi.advanceTimersByTimeAsync(9000);
    }
    const signs = runner.asked.slice(1);
    expect(signs.map(({ method, path }) => `${method} ${path}`)).toEqual([
      "POST /1/ack?offset=3",
      "POST /1/ack?offset=6",
      "POST /1/ack?offset=9",
    ]);
  });
});

describe("a first page that is the last one", () => {
  async function createClosed(options: CreateOptions = {}, end: Parameters<FakeRunner["end"]> = []) {
    const opened = open();
    opened.runner.push("a", "b");
    opened.runner.end(...end);
    return { ...opened, follower: await opened.create(options) };
  }

  test("needs no connection, and the runner is removed when it was taken, not earlier", async () => {
    const { runner, follower } = await createClosed();
    const items = follower[Symbol.asyncIterator]();
    expect([(await items.next()).value, (await items.next()).value]).toEqual(["a", "b"]);
    await turns();
    expect(runner.requests).toEqual(["POST /count"]);
    expect((await items.next()).done).toBe(true);
    await turns();
    expect(runner.requests).toEqual(["POST /count", "DELETE /1"]);
    expect(runner.asked[1]!.keepalive).toBe(true);
    expect([follower.status, follower.position, follower.connection]).toEqual(["completed", 2, "closed"]);
  });

  test("and whose runner cannot be removed is taken all the same", async () => {
    const { runner, follower } = await createClosed();
    runner.instead = () => new Response(null, { status: 500 });
    expect(await collect(follower)).toEqual(["a", "b"]);
    await turns();
    expect(runner.requests).toEqual(["POST /count", "DELETE /1"]);
  });

  test.each<[string, CreateOptions]>([
    ["a key of its own", { idempotencyKey: "order-7" }],
    ["a place that is kept", { onPlace: noop }],
  ])("leaves the runner for a later return to it, by %s", async (_name, options) => {
    const { runner, follower } = await createClosed(options);
    expect(await collect(follower)).toEqual(["a", "b"]);
    await turns();
    expect(runner.requests).toEqual(["POST /count"]);
  });

  test("that is left in the middle leaves the runner, and its rest is read from it", async () => {
    const { runner, follower } = await createClosed();
    for await (const _ of follower) break;
    await turns();
    expect(runner.requests).toEqual(["POST /count"]);
    expect(await collect(follower)).toEqual(["b"]);
    expect(runner.requests).toEqual(["POST /count", streamFrom(1)]);
  });

  test.each([
    ["failed", "RUNNER_FAILED", "The disk is full"],
    ["aborted", "RUNNER_ABORTED", "The runner was aborted: undefined"],
  ])("of a runner that has %s gives its items, then throws, and removes it", async (status, code, message) => {
    const more: Record<string, string> = status === "failed" ? { message } : {};
    const { runner, follower } = await createClosed({}, [status, more]);
    const taken: string[] = [];
    const loop = async () => {
      for await (const item of follower) taken.push(item);
    };
    await expect(loop()).rejects.toMatchObject({ code, message });
    expect(taken).toEqual(["a", "b"]);
    await turns();
    expect(runner.requests).toEqual(["POST /count", "DELETE /1"]);
  });

  test("of a failed runner is, by updates, the last one, with the error", async () => {
    const { follower } = await createClosed({}, ["failed", { message: "The disk is full" }]);
    const updates = await collect(follower.updates());
    expect(updates).toMatchObject([{ items: ["a", "b"], status: "failed", closed: true }]);
    expect(CodedError.is(updates[0]!.error)).toBe(true);
    expect(follower.error).toMatchObject({ code: "RUNNER_FAILED", message: "The disk is full" });
  });

  test("and nothing else is asked for when the loop waits within it", async () => {
    const { runner, follower } = await createClosed();
    const pause = createDeferred();
    const loop = async () => {
      for await (const _ of follower) await pause.promise;
    };
    const done = loop();
    await turns(10);
    expect(runner.requests).toEqual(["POST /count"]);
    pause.resolve();
    await done;
  });
});

describe("onPlace", () => {
  /** What was told and what was asked for, in order. */
  function logged() {
    const opened = open();
    const log: string[] = [];
    opened.runner.instead = ({ method, path }) => {
      log.push(`${method} ${path}`);
      return undefined;
    };
    const onPlace = ({ key, offset }: RunnerPlace) => log.push(`place ${key} ${offset}`);
    return { ...opened, log, onPlace };
  }

  test("is told of the runner as soon as there is one, and then how far it was taken, before the server is", async () => {
    const { runner, create, log, onPlace } = logged();
    runner.push("a", "b");
    const follower = await create({ onPlace });
    expect(log).toEqual(["POST /count", "place 1 0"]);
    const taken = collect(follower);
    await turns(10);
    expect(log.indexOf("place 1 2")).toBeGreaterThan(1);
    expect(log.indexOf("place 1 2")).toBeLessThan(log.indexOf(streamFrom(2)));
    runner.push("c");
    await turns(10);
    expect(log.at(-1)).toBe("place 1 3");
    runner.end();
    await taken;
  });

  test("is told of a first page that is the last one, for the reload after it", async () => {
    const { runner, create, log, onPlace } = logged();
    runner.push("a", "b");
    runner.end();
    expect(await collect(await create({ onPlace }))).toEqual(["a", "b"]);
    expect(log).toEqual(["POST /count", "place 1 0", "place 1 2"]);
  });

  test.each(["sse", "long-poll"] as const)(
    "is told of the last items too, when they have been taken, by %s",
    async (live) => {
      const { runner, client, log, onPlace } = logged();
      runner.push("a", "b");
      runner.end();
      const updates = client.follow<string>("1", { live, onPlace }).updates();
      expect((await updates.next()).value).toMatchObject({ position: 2, closed: true });
      expect(log).not.toContain("place 1 2");
      expect((await updates.next()).done).toBe(true);
      expect(log.at(-1)).toBe("place 1 2");
    },
  );

  test("is not told of what the application has not taken", async () => {
    const { runner, client, log, onPlace } = logged();
    runner.push("a", "b", "c");
    const items = client.follow<string>("1", { onPlace })[Symbol.asyncIterator]();
    await items.next();
    await items.next();
    expect(log.filter((entry) => entry.startsWith("place"))).toEqual(["place 1 0"]);
    await items.return();
    expect(log.filter((entry) => entry.startsWith("place"))).toEqual(["place 1 0"]);
  });

  test.each(["sse", "long-poll"] as const)("is told before what lies before is given up, by %s", async (live) => {
    const { runner, client, log, onPlace } = logged();
    const follower = client.follow<string>("1", { live, onPlace });
    const done = collect(follower);
    for (let i = 0; i < 1500; i += 100) {
      runner.push(...Array.from({ length: 100 }, (_, n) => `item ${i + n}`));
      await turns(4);
      if (i === 700) {
        runner.cutStreams();
        await vi.advanceTimersByTimeAsync(500);
      }
    }
    runner.end();
    expect(await done).toEqual(runner.items);
    const acknowledging = log.filter((entry) => /offset=[1-9]/.test(entry));
    expect(acknowledging.length).toBeGreaterThan(1);
    for (const entry of acknowledging) {
      const offset = /offset=(\d+)/.exec(entry)![1];
      const told = log.indexOf(`place 1 ${offset}`);
      expect(told, entry).toBeGreaterThanOrEqual(0);
      expect(told, entry).toBeLessThan(log.indexOf(entry));
    }
  });
});

describe("several at once", () => {
  /** Answers the creations by hand, in the order in which they are asked for. */
  function openHeld() {
    const answers: ((response?: Response) => void)[] = [];
    const opened = open();
    const { runner } = opened;
    runner.instead = ({ path }) => {
      if (path !== "/count") return undefined;
      const answer = createDeferred<Response>();
      answers.push((response = runner.created()) => answer.resolve(response));
      return answer.promise;
    };
    return { ...opened, answers };
  }

  test("wait for the answer to the client's first one, which brings the session; later ones do not wait", async () => {
    const { create, answers } = openHeld();
    const all = [create(), create(), create()];
    await turns(3);
    expect(answers).toHaveLength(1);
    answers[0]!();
    await all[0];
    await turns(3);
    expect(answers).toHaveLength(3);
    answers[1]!();
    answers[2]!();
    await Promise.all(all);
    void create();
    void create();
    await turns(3);
    expect(answers).toHaveLength(5);
  });

  test("go one by one as long as they are refused", async () => {
    const { create, answers } = openHeld();
    const all = [create(), create()];
    await turns(3);
    answers[0]!(refusal(400, { code: "INVALID_INPUT", message: "No" }));
    await expect(all[0]).rejects.toMatchObject({ code: "INVALID_INPUT" });
    await turns(3);
    expect(answers).toHaveLength(2);
    const third = create();
    await turns(3);
    expect(answers).toHaveLength(2);
    answers[1]!();
    await all[1];
    await turns(3);
    expect(answers).toHaveLength(3);
    answers[2]!();
    await third;
  });

  test("wait no longer than 5 s", async () => {
    const { create, answers } = openHeld();
    const all = [create(), create()];
    await turns(3);
    await vi.advanceTimersByTimeAsync(4999);
    expect(answers).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    await turns(3);
    expect(answers).toHaveLength(2);
    for (const answer of answers) answer();
    await Promise.all(all);
  });

  test("one that is given up while it waits is never sent, nor stopped", async () => {
    const { runner, create, answers } = openHeld();
    const first = create();
    const stop = new AbortController();
    const second = create({ signal: stop.signal });
    await turns(3);
    stop.abort(new Error("changed my mind"));
    await expect(second).rejects.toThrow("changed my mind");
    answers[0]!();
    await first;
    await turns(3);
    expect(runner.requests).toEqual(["POST /count"]);
  });
});
