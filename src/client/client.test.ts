import { afterEach, describe, expect, test, vi } from "vitest";
import { isPending } from "../../test/support/control.js";
import { createDeferred, noop } from "../base/async.js";
import { CodedError } from "../base/coded-error.js";
import { headerNames } from "../protocol/headers.js";
import { createClient, type PageOptions } from "./client.js";
import type { ClientOptions } from "./request.js";
import type { RunnerUpdate } from "./types.js";

interface Asked {
  readonly url: string;
  readonly init: RequestInit;
}

/** A client whose requests are all answered by `answer`; tells what was asked. */
function clientOf(answer: (url: string) => Response, options: ClientOptions = {}) {
  const asked: Asked[] = [];
  const send: typeof fetch = async (url, init = {}) => {
    asked.push({ url: String(url), init });
    return answer(String(url));
  };
  return { asked, client: createClient("http://server.test/runners", { fetch: send, ...options }) };
}

function page(items: unknown[], headers: Record<string, string> = {}): Response {
  const always = {
    [headerNames.nextOffset]: "0000000000000005",
    [headerNames.status]: "progressed",
    [headerNames.progress]: "9",
  };
  return new Response(JSON.stringify(items), { headers: { ...always, ...headers } });
}

const state = { key: "1", kind: "sequence", status: "stalled", position: 2, progress: { current: 2 } };
const gone = () =>
  new Response('{"code":"RUNNER_GONE","message":"gone"}', {
    status: 410,
    headers: { "Runner-Error-Code": "RUNNER_GONE" },
  });

afterEach(() => {
  vi.unstubAllGlobals();
});

describe("createClient", () => {
  /** Requests that go to the global `fetch`. */
  function stubFetch(): unknown[] {
    const targets: unknown[] = [];
    const send: typeof fetch = async (target) => {
      targets.push(target);
      return page([], { [headerNames.closed]: "true", [headerNames.status]: "completed" });
    };
    vi.stubGlobal("fetch", send);
    return targets;
  }

  test("with a relative URL makes a client where there is no page, as in a module of a page that a server renders", async () => {
    const targets = stubFetch();
    const client = createClient("/runners");
    const follower = client.follow("1");
    expect([follower.key, follower.connection]).toEqual(["1", "closed"]);
    const calls: (() => Promise<unknown>)[] = [
      () => client.read("1"),
      () => client.list(),
      () => client.state("1"),
      () => client.abort("1"),
      () => client.remove("1"),
      () => client.create("count"),
      () => follower.forEach(noop),
      () => follower[Symbol.asyncIterator]().next(),
    ];
    for (const call of calls) await expect(call()).rejects.toThrow(TypeError);
    expect([targets, follower.connection]).toEqual([[], "closed"]);
  });

  test("with a relative URL asks, within a page, relative to that", async () => {
    vi.stubGlobal("document", { baseURI: "http://page.test/app/index.html" });
    const targets = stubFetch();
    await createClient("/runners").read("1-2-abc");
    for await (const _ of createClient("runners").follow("1", { live: "long-poll" })) expect.fail("there is nothing");
    expect(targets.map(String)).toEqual([
      "http://page.test/runners/1-2-abc?offset=-1",
      "http://page.test/app/runners/1?offset=-1&live=long-poll&acks=true",
    ]);
  });

  test("leaves its URL to a fetch of one's own as it is", async () => {
    const urls: unknown[] = [];
    const send: typeof fetch = async (url) => {
      urls.push(url);
      return page([]);
    };
    await createClient("/runners", { fetch: send }).read("1-2-abc");
    expect(urls).toEqual(["/runners/1-2-abc?offset=-1"]);
  });

  test.each(["http://server.test/runners", "HTTPS://server.test/runners//", "http://server.test/runners/"])(
    "takes %s; slashes at its end do not matter",
    async (url) => {
      const urls: string[] = [];
      const send: typeof fetch = async (asked) => {
        urls.push(String(asked));
        return page([]);
      };
      await createClient(url, { fetch: send }).read("1");
      expect(urls).toEqual([`${url.replace(/\/+$/, "")}/1?offset=-1`]);
    },
  );
});

describe("every request", () => {
  test("carries headers and credentials", async () => {
    const { client, asked } = clientOf(() => Response.json(state), {
      headers: { "x-user": "ann" },
      credentials: "include",
    });
    await client.state("1");
    await client.abort("1");
    await client.remove("1");
    for (const { init } of asked) {
      expect(init.credentials).toBe("include");
      expect(new Headers(init.headers).get("x-user")).toBe("ann");
    }
    expect(asked).toHaveLength(3);
  });

  test("cannot reach another address by way of the key", async () => {
    const { client, asked } = clientOf(() => page([]));
    await client.read("../admin?x=1#y");
    expect(asked.map(({ url }) => url)).toEqual(["http://server.test/runners/..%2Fadmin%3Fx%3D1%23y?offset=-1"]);
  });

  test("throws RUNNER_GONE for a runner that is not there", async () => {
    const { client } = clientOf(gone);
    for (const call of [client.read("1"), client.state("1"), client.abort("1"), client.remove("1")]) {
      await expect(call).rejects.toMatchObject({ code: "RUNNER_GONE" });
    }
  });
});

describe("read", () => {
  test.each<[PageOptions, string]>([
    [{}, "?offset=-1"],
    [{ offset: 0 }, "?offset=0"],
    [{ offset: 20, maxItems: 5 }, "?offset=20&max-items=5"],
    [{ offset: 20, minItems: 5 }, "?offset=20&live=long-poll&min-items=5"],
    [{ minItems: 1, timeout: 60 }, "?offset=-1&live=long-poll&min-items=1&timeout=60"],
    [{ timeout: 60 }, "?offset=-1"],
  ])("with %j asks for %s", async (options, query) => {
    const { client, asked } = clientOf(() => page([]));
    await client.read("1", options);
    expect(asked[0]!.url).toBe(`http://server.test/runners/1${query}`);
  });

  test("that waited in vain gives no items", async () => {
    const headers = { [headerNames.nextOffset]: "7", [headerNames.status]: "stalled", [headerNames.progress]: "7" };
    const { client } = clientOf(() => new Response(null, { status: 204, headers }));
    expect(await client.read("1", { offset: 7, minItems: 1 })).toEqual({
      items: [],
      position: 7,
      ...{ status: "stalled", phase: "running", paused: false, connection: "closed" },
      progress: { current: 7 },
      closed: false,
    });
  });

  test("gives the items, where the next page begins, and what holds for the page", async () => {
    const { client } = clientOf(() => page([{ id: 1 }, { id: 2 }]));
    expect(await client.read<{ id: number }>("1")).toEqual({
      items: [{ id: 1 }, { id: 2 }],
      position: 5,
      ...{ status: "progressed", phase: "running", paused: false, connection: "closed" },
      progress: { current: 9 },
      closed: false,
    });
  });

  test("tells how far the work has come, and what it will come to", async () => {
    const { client } = clientOf(() => page([], { [headerNames.estimatedEnd]: "20" }));
    expect((await client.read("1")).progress).toEqual({ current: 9, estimatedEnd: 20 });
  });

  test("tells that nothing will follow", async () => {
    const { client } = clientOf(() => page([], { [headerNames.closed]: "true", [headerNames.status]: "completed" }));
    expect(await client.read("1")).toMatchObject({ closed: true, status: "completed" });
  });

  test("tells on the last page why the work failed, and does not throw it", async () => {
    const failed = { [headerNames.status]: "failed", [headerNames.errorMessage]: "The%20disk" };
    const { client } = clientOf(() => page([1], { [headerNames.closed]: "true", ...failed }));
    const last = await client.read("1");
    expect(last).toMatchObject({ items: [1], closed: true, error: { code: "RUNNER_FAILED", message: "The disk" } });
    expect(CodedError.is(last.error)).toBe(true);
  });

  test("tells on the last page why the work was stopped", async () => {
    const aborted = { [headerNames.status]: "aborted", [headerNames.abortReason]: "idle" };
    const { client } = clientOf(() => page([1], { [headerNames.closed]: "true", ...aborted }));
    expect(await client.read("1")).toMatchObject({ items: [1], status: "aborted", abortReason: "idle" });
  });

  test("throws UNEXPECTED_RESPONSE for an answer that is none of ours", async () => {
    const { client } = clientOf(() => new Response("<h1>Please log in</h1>"));
    await expect(client.read("1")).rejects.toMatchObject({ code: "UNEXPECTED_RESPONSE" });
  });

  test.each<[string, unknown, Record<string, string>]>([
    ["a body that is no array", { items: [] }, {}],
    ["a body that is nothing", null, {}],
    ["an error message in no legal form", [], { [headerNames.errorMessage]: "%" }],
  ])("throws UNEXPECTED_RESPONSE for %s", async (_name, body, headers) => {
    const { client } = clientOf(() =>
      Response.json(body, { headers: { [headerNames.nextOffset]: "0000000000000000", ...headers } }),
    );
    await expect(client.read("1")).rejects.toMatchObject({ code: "UNEXPECTED_RESPONSE" });
  });

  test("an error whose body says nothing has its status for a message", async () => {
    const { client } = clientOf(() =>
      Response.json(null, { status: 400, headers: { [headerNames.errorCode]: "INVALID_ARGUMENT" } }),
    );
    await expect(client.read("1")).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("Status 400 from http://server.test/runners/1"),
    });
  });

  test("throws SERVER_UNAVAILABLE when the page was cut off, and gives nothing of it", async () => {
    const { client } = clientOf(
      () => new Response('[{"id":1},{"i', { headers: { [headerNames.nextOffset]: "0000000000000002" } }),
    );
    await expect(client.read("1")).rejects.toMatchObject({ code: "SERVER_UNAVAILABLE", status: 503 });
  });
});

describe("a signal", () => {
  const reason = new Error("the user has left");
  type Call = (client: ReturnType<typeof createClient>, signal: AbortSignal) => Promise<unknown>;
  const calls: Record<string, Call> = {
    read: (client, signal) => client.read("1", { signal }),
    list: (client, signal) => client.list({ signal }),
    state: (client, signal) => client.state("1", { signal }),
    abort: (client, signal) => client.abort("1", { signal }),
    remove: (client, signal) => client.remove("1", { signal }),
  };

  test.each(Object.entries(calls))("ends the wait for the answer to %s with its reason", async (_name, call) => {
    const send: typeof fetch = (_url, init) =>
      new Promise((_resolve, reject) => {
        init?.signal?.addEventListener("abort", () => reject(init.signal?.reason));
      });
    const cut = new AbortController();
    const called = call(createClient("http://server.test/runners", { fetch: send }), cut.signal);
    called.catch(noop);
    expect(await isPending(called)).toBe(true);
    cut.abort(reason);
    await expect(called).rejects.toBe(reason);
  });

  const withAnswers = Object.entries(calls).filter(([name]) => name !== "remove");
  test.each(withAnswers)("ends the wait for the rest of the answer to %s", async (_name, call) => {
    const cut = new AbortController();
    const rest = new ReadableStream({
      start: (controller) => cut.signal.addEventListener("abort", () => controller.error(cut.signal.reason)),
    });
    const headers = page([]).headers;
    const { client } = clientOf(() => new Response(rest, { headers }));
    const called = call(client, cut.signal);
    called.catch(noop);
    expect(await isPending(called)).toBe(true);
    cut.abort(reason);
    await expect(called).rejects.toBe(reason);
  });
});

describe("state, abort and remove", () => {
  test("state asks for the state", async () => {
    const { client, asked } = clientOf(() => Response.json(state));
    expect(await client.state("1")).toEqual(state);
    expect(asked[0]!.url).toBe("http://server.test/runners/1/state");
    expect(asked[0]!.init.method ?? "GET").toBe("GET");
  });

  test("throws UNEXPECTED_RESPONSE for a state that is none of ours", async () => {
    const { client } = clientOf(() => new Response("<h1>Please log in</h1>"));
    await expect(client.state("1")).rejects.toMatchObject({ code: "UNEXPECTED_RESPONSE" });
  });

  test("abort gives the state that the runner then has", async () => {
    const { client, asked } = clientOf(() => Response.json({ ...state, status: "aborted" }));
    expect(await client.abort("1")).toMatchObject({ status: "aborted" });
    expect(asked).toMatchObject([{ url: "http://server.test/runners/1/abort", init: { method: "POST" } }]);
  });

  test("remove deletes", async () => {
    const { client, asked } = clientOf(() => new Response(null, { status: 204 }));
    expect(await client.remove("1")).toBeUndefined();
    expect(asked).toMatchObject([{ url: "http://server.test/runners/1", init: { method: "DELETE" } }]);
  });
});

describe("list", () => {
  test("gives the states of the client's runners", async () => {
    const { client, asked } = clientOf(() => Response.json([state, { ...state, key: "2", name: "search" }]));
    expect(await client.list()).toEqual([state, { ...state, key: "2", name: "search" }]);
    expect(asked.map(({ url, init }) => `${init.method ?? "GET"} ${url}`)).toEqual(["GET http://server.test/runners"]);
  });

  test("asks for those that are wanted", async () => {
    const { client, asked } = clientOf(() => Response.json([]));
    await client.list({ label: "Zürich & 東京", name: "search", status: "completed", limit: 5, before: "3-1-x" });
    const { pathname, searchParams } = new URL(asked[0]!.url);
    expect([pathname, Object.fromEntries(searchParams)]).toEqual([
      "/runners",
      { label: "Zürich & 東京", name: "search", status: "completed", limit: "5", before: "3-1-x" },
    ]);
  });

  test.each([
    [503, "busy", "SERVER_UNAVAILABLE"],
    [200, "<h1>Please log in</h1>", "UNEXPECTED_RESPONSE"],
    [403, "<h1>No</h1>", "UNEXPECTED_RESPONSE"],
  ])("throws for %i %s", async (status, text, code) => {
    const { client, asked } = clientOf(() => new Response(text, { status }));
    await expect(client.list()).rejects.toMatchObject({ code });
    expect(asked).toHaveLength(1);
  });
});

describe("a follower", () => {
  const closed = { [headerNames.closed]: "true", [headerNames.status]: "completed" };

  test.each(["1-2-abc", "a/b c?d#e", "ä%20", "%2F"])("knows its runner's key, %j", (key) => {
    expect(clientOf(() => page([])).client.follow(key).key).toBe(key);
  });

  test("awaits, with forEach, what the callback returns, and resolves after the last update", async () => {
    const pages = [page([1]), page([2, 3], closed)];
    const { client, asked } = clientOf(() => pages.shift()!);
    const pauses = [createDeferred(), createDeferred()];
    const pieces: (readonly number[])[] = [];
    const follower = client.follow<number>("1", { live: "long-poll" });
    const callback = async ({ items }: RunnerUpdate<number>) => {
      pieces.push(items);
      await pauses[pieces.length - 1]!.promise;
    };
    const done = follower.forEach(callback);
    expect(await isPending(done)).toBe(true);
    expect([pieces, asked.length]).toEqual([[[1]], 1]);
    pauses[0]!.resolve();
    expect(await isPending(done)).toBe(true);
    expect([pieces, asked.length]).toEqual([[[1], [2, 3]], 2]);
    pauses[1]!.resolve();
    await done;
  });

  test.each([
    ["throws", () => Promise.reject(problem)],
    ["throws at once", () => fail()],
  ])("rejects, with forEach, as the callback %s, and lets go of its connection", async (_name, callback) => {
    const { client, asked } = clientOf(() => page([1]));
    const follower = client.follow("1", { live: "long-poll" });
    await expect(follower.forEach(callback)).rejects.toBe(problem);
    expect([asked.length, asked[0]!.init.signal!.aborted, follower.connection]).toEqual([1, true, "closed"]);
  });
  const problem = new Error("cannot show that");
  function fail(): never {
    throw problem;
  }

  test("gives, with forEach, the failure of a runner as its last update, and does not throw it", async () => {
    const failed = { ...closed, [headerNames.status]: "failed", [headerNames.errorMessage]: "The%20disk" };
    const { client } = clientOf(() => page([1], failed));
    const updates: unknown[] = [];
    await client.follow("1", { live: "long-poll" }).forEach((update) => {
      updates.push(update);
    });
    expect(updates).toMatchObject([{ items: [1], status: "failed", error: { message: "The disk" } }]);
  });

  test("rejects, with forEach, when the runner is gone", async () => {
    const { client } = clientOf(gone);
    await expect(client.follow("1").forEach(noop)).rejects.toMatchObject({ code: "RUNNER_GONE" });
  });
});

describe("close", () => {
  const isAborted = ({ init }: Asked) => init.signal!.aborted;
  /** A server that never answers; like a real one it fails when the request is given up. */
  const unanswered: typeof fetch = (_url, init) =>
    new Promise((_, reject) => {
      init!.signal!.addEventListener("abort", () => reject(init!.signal!.reason));
    });

  test("ends a loop that waits, as if there were nothing more, and the runner goes on", async () => {
    const asked: Asked[] = [];
    const send: typeof fetch = (url, init = {}) => {
      asked.push({ url: String(url), init });
      return unanswered(url, init);
    };
    const follower = createClient("http://server.test/runners", { fetch: send }).follow("1");
    const done = follower.forEach(noop);
    expect(await isPending(done)).toBe(true);
    follower.close();
    follower.close();
    await done;
    expect(follower.connection).toBe("closed");
    expect(asked.map(isAborted)).toEqual([true]);
  });

  test("within the loop ends it at once; the next one goes on with the next item", async () => {
    const { client, asked } = clientOf(() => page([1, 2, 3, 4, 5]));
    const follower = client.follow<number>("1", { live: "long-poll" });
    const taken: number[] = [];
    for await (const item of follower) {
      taken.push(item);
      if (item === 2) follower.close();
    }
    expect([taken, follower.position, follower.connection]).toEqual([[1, 2], 2, "closed"]);
    const again = follower[Symbol.asyncIterator]();
    await again.next();
    await again.return();
    expect(asked.map(({ url }) => new URL(url).searchParams.get("offset"))).toEqual(["-1", "2"]);
  });

  test("with the last item of an update ends it, too", async () => {
    const { client, asked } = clientOf(() => page([1, 2, 3, 4, 5]));
    const follower = client.follow<number>("1", { live: "long-poll" });
    for await (const item of follower) if (item === 5) follower.close();
    expect([asked.length, follower.position]).toEqual([1, 5]);
  });

  test("while the next try is waited for ends it at once", async () => {
    const { client } = clientOf(() => new Response(null, { status: 503, headers: { "Retry-After": "9999" } }));
    const follower = client.follow("1");
    const done = follower.forEach(noop);
    expect(await isPending(done)).toBe(true);
    expect(follower.connection).toBe("retrying");
    follower.close();
    await done;
  });

  test("of one that is not iterated does nothing, also to the next iteration", async () => {
    const closed = { [headerNames.closed]: "true", [headerNames.status]: "completed" };
    const { client } = clientOf(() => page([1], closed));
    const follower = client.follow<number>("1", { live: "long-poll" });
    follower.close();
    const taken: number[] = [];
    for await (const item of follower) taken.push(item);
    follower.close();
    expect(taken).toEqual([1]);
  });
});

describe("follow", () => {
  test("asks for nothing before it is iterated", () => {
    const { client, asked } = clientOf(() => page([]));
    const follower = client.follow("1", { offset: 5 });
    expect(follower.connection).toBe("closed");
    expect(asked).toEqual([]);
  });

  test("asks the headers function again for each connection", async () => {
    let count = 0;
    const { client, asked } = clientOf(() => page([count], count < 3 ? {} : { [headerNames.closed]: "true" }), {
      headers: () => ({ authorization: `token ${++count}` }),
    });
    const items: number[] = [];
    for await (const item of client.follow<number>("1", { live: "long-poll" })) items.push(item);
    expect(items).toEqual([1, 2, 3]);
    const sent = asked.map(({ init }) => new Headers(init.headers).get("authorization"));
    expect(sent).toEqual(["token 1", "token 2", "token 3"]);
  });
});

describe("a runner that is followed by its label", () => {
  const lastPage = () =>
    page(["a"], {
      [headerNames.nextOffset]: "0000000000000001",
      [headerNames.closed]: "true",
      [headerNames.status]: "completed",
    });
  /** All items that it gives. */
  async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
    const all: T[] = [];
    for await (const item of items) all.push(item);
    return all;
  }
  const isList = (url: string) => url.includes("?label=");

  test("is the newest one, found with the first iteration only", async () => {
    const { client, asked } = clientOf((url) =>
      isList(url) ? Response.json([{ ...state, key: "7-1-x" }]) : lastPage(),
    );
    const follower = client.follow<string>({ label: "chat 7" }, { live: "long-poll" });
    expect([follower.key, asked.length]).toEqual(["", 0]);
    expect(await collect(follower)).toEqual(["a"]);
    expect(follower.key).toBe("7-1-x");
    expect(asked.map(({ url }) => url.slice("http://server.test/runners".length).split("&live")[0])).toEqual([
      "?label=chat+7&limit=1",
      "/7-1-x?offset=-1",
    ]);
  });

  test("is gone if there is none", async () => {
    const { client, asked } = clientOf(() => Response.json([]));
    const follower = client.follow({ label: "chat 7" });
    await expect(follower.forEach(() => {})).rejects.toMatchObject({ code: "RUNNER_GONE" });
    expect([asked.length, follower.connection]).toEqual([1, "closed"]);
  });

  test("is looked for again while the server cannot be reached", async () => {
    vi.useFakeTimers();
    let isDown = true;
    const { client, asked } = clientOf((url) => {
      if (isDown) return new Response("", { status: 503 });
      return isList(url) ? Response.json([{ ...state, key: "7-1-x" }]) : lastPage();
    });
    const states: string[] = [];
    const follower = client.follow<string>(
      { label: "chat 7" },
      { live: "long-poll", onConnection: (connection) => states.push(connection) },
    );
    const items = collect(follower);
    await vi.advanceTimersByTimeAsync(100);
    isDown = false;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await items).toEqual(["a"]);
    expect([states.slice(0, 3), asked.filter(({ url }) => isList(url)).length]).toEqual([
      ["connecting", "retrying", "connecting"],
      2,
    ]);
    vi.useRealTimers();
  });

  test("asks for nothing, acknowledges nothing and tells no place while its page is hidden", async () => {
    vi.useFakeTimers();
    vi.stubGlobal("document", { hidden: true });
    const onPlace = vi.fn();
    const { client, asked } = clientOf(() => new Response(null, { status: 204 }));
    const follower = client.follow({ label: "chat 7" }, { whenHidden: "pause", onPlace });
    const done = follower.forEach(noop);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([asked, onPlace.mock.calls]).toEqual([[], []]);
    follower.close();
    await done;
    vi.useRealTimers();
  });

  test.each([undefined, "", 7])("must have a label, not %j", async (label) => {
    const { client } = clientOf(() => Response.json([]));
    expect(() => client.follow({ label: label as string })).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT" }),
    );
  });
});
