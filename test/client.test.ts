/** The client against a real server: what one says, the other understands. */
import { describe, expect, test } from "vitest";
import {
  ActiveSessionError,
  type ClientOptions,
  type ConnectionState,
  createClient,
  type FollowOptions,
  type RunnerClient,
  type RunnerFollower,
} from "../src/client.js";
import { listenerCount, openHost, PushSource, turns } from "./support/control.js";
import { inside } from "./support/inside.js";
import { listen, openApp, type TestApp, type TestAppOptions, type TestUser } from "./support/server.js";

interface Match {
  readonly id: number;
  readonly name: string;
}

/** A fetch that keeps, in order, what was asked for. */
function recording(send: typeof fetch = fetch): { fetch: typeof fetch; asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    fetch: (url, init) => {
      const { pathname, search } = new URL(String(url));
      asked.push(`${init?.method ?? "GET"} ${pathname.replace(/^\/runners\/[^/]+/, "")}${search}`);
      return send(url, init);
    },
  };
}

interface Setup {
  readonly app: TestApp;
  readonly user: TestUser;
  readonly client: RunnerClient;
  /** What the client has asked for. */
  readonly asked: string[];
}

async function setUp(options: TestAppOptions = {}, clientOptions: ClientOptions = {}): Promise<Setup> {
  const app = await openApp(options);
  const user = await app.user("ann");
  const { fetch, asked } = recording(clientOptions.fetch);
  const client = createClient(`${app.url}/runners`, { headers: user.headers, ...clientOptions, fetch });
  return { app, user, client, asked };
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const taken: T[] = [];
  for await (const item of items) taken.push(item);
  return taken;
}

/** Collects until the iteration throws. */
async function collectAndCatch<T>(items: AsyncIterable<T>): Promise<{ taken: T[]; error: unknown }> {
  const taken: T[] = [];
  try {
    for await (const item of items) taken.push(item);
  } catch (error) {
    return { taken, error };
  }
  return expect.fail(`the iteration ended without an error after ${taken.length} items`);
}

/** Resolves when the follower's connection is in a state, for the `count`th time. */
function connections(): { options: FollowOptions; reached(state: ConnectionState, count?: number): Promise<void> } {
  const states: ConnectionState[] = [];
  const waiting = new Set<() => void>();
  return {
    options: {
      onConnection: (state) => {
        states.push(state);
        for (const look of [...waiting]) look();
      },
    },
    reached: (state, count = 1) =>
      new Promise((resolve) => {
        const look = () => {
          if (states.filter((other) => other === state).length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
  };
}

const numbers = (count: number, first = 0) => Array.from({ length: count }, (_, i) => first + i);
const modes = ["sse", "long-poll"] as const;

describe.each(modes)("following by %s", (live) => {
  test("gives typed items as they come, with status and progress", async () => {
    const { user, client } = await setUp();
    const source = new PushSource<Match>();
    const { key } = await user.session.createSequenceRunner<Match>(source);
    source.push({ id: 1, name: "Änne" });
    const follower = client.follow<Match>(key, { live });
    const names: string[] = [];
    for await (const update of follower.updates()) {
      names.push(...update.items.map(({ name }) => name));
      expect(update.position).toBe(names.length);
      expect(update.progress.current).toBe(names.length);
      if (names.length === 1 && update.items.length === 1) source.push({ id: 2, name: "日本" });
      if (names.length === 2 && update.items.length === 1) source.end();
    }
    expect(names).toEqual(["Änne", "日本"]);
    expect(follower.status).toBe("completed");
    expect(follower.progress).toEqual({ current: 2, estimatedEnd: 2 });
  });

  test("goes on where another follower has left", async () => {
    const { user, client } = await setUp();
    const { key } = await user.session.createSequenceRunner(numbers(50));
    const first: number[] = [];
    const follower = client.follow<number>(key, { live });
    for await (const { items } of follower.updates()) {
      first.push(...items);
      if (first.length > 0) break;
    }
    const rest = await collect(client.follow<number>(key, { live, offset: follower.position }));
    expect([...first, ...rest]).toEqual(numbers(50));
  });

  test("begins at the tail with the offset now", async () => {
    const { app, user, client } = await setUp();
    const source = new PushSource<number>();
    const runner = await user.session.createSequenceRunner<number>(source);
    source.push(1, 2);
    await runner.getRequired({ advance: 2 });
    app.server.once("request", async () => {
      await turns(20); // the read is admitted by then: nothing on its way waits for anything outside the process
      source.push(3);
      source.end();
    });
    const items = await collect(client.follow<number>(runner.key, { live, offset: "now" }));
    expect(items).toEqual([3]);
  });

  test("gives the items of a failed runner before it throws", async () => {
    const { user, client } = await setUp();
    const { key } = await user.session.createSequenceRunner(function* () {
      yield* [1, 2, 3];
      throw Object.assign(new Error("The disk is full"), { expose: true });
    });
    const { taken, error } = await collectAndCatch(client.follow<number>(key, { live }));
    expect(taken).toEqual([1, 2, 3]);
    expect(ActiveSessionError.is(error)).toBe(true);
    expect(error).toMatchObject({ code: "RUNNER_FAILED", message: "The disk is full" });
  });

  test("does not tell what is not meant for the client", async () => {
    const { user, client } = await setUp();
    const { key } = await user.session.createSequenceRunner(
      () => {
        throw new Error("password 1234 was refused");
      },
      { start: "on-first-read" },
    );
    const { error } = await collectAndCatch(client.follow(key, { live }));
    expect(String(error)).not.toContain("1234");
  });

  test("gives what an aborted runner had handed out, then ends", async () => {
    const { user, client } = await setUp();
    const source = new PushSource<number>();
    const { key } = await user.session.createSequenceRunner<number>(source);
    source.push(1, 2);
    const taken: number[] = [];
    for await (const item of client.follow<number>(key, { live })) {
      taken.push(item);
      if (item === 2) await client.abort(key);
    }
    expect(taken).toEqual([1, 2]);
  });

  test("throws RUNNER_ABORTED when the work was ended otherwise", async () => {
    const { user, client } = await setUp();
    const ending = new AbortController();
    const { key } = await user.session.createSequenceRunner(new PushSource<number>(), { signal: ending.signal });
    const following = collectAndCatch(client.follow(key, { live }));
    ending.abort();
    expect((await following).error).toMatchObject({ code: "RUNNER_ABORTED" });
  });

  test("ends with an update where the runner is aborted, and no error", async () => {
    const { user, client } = await setUp();
    const runner = await user.session.createSequenceRunner(numbers(3));
    await runner.getRequired({ advance: 2 });
    await runner.abort();
    const updates = await collect(client.follow<number>(runner.key, { live }).updates());
    expect(updates.flatMap(({ items }) => items)).toEqual([0, 1]);
    expect(updates.at(-1)).toMatchObject({ status: "aborted", closed: true, position: 2 });
  });

  test("of a process gives its values as they are new, the last one for certain", async () => {
    const { user, client } = await setUp();
    const source = new PushSource<string>();
    const { key } = await user.session.createProcessRunner<string>(async function* () {
      yield* source;
      return "ready";
    });
    const follower = client.follow<string>(key, { live });
    const values: string[] = [];
    source.push("one");
    for await (const value of follower) {
      values.push(value);
      if (value === "one") source.push("two");
      if (value === "two") source.end();
    }
    expect(values).toEqual(["one", "two", "ready"]);
    expect(follower).toMatchObject({ status: "completed", position: 3 });
  });

  test("of a process that has gone far gives its newest value only, and once", async () => {
    const { user, client } = await setUp();
    const runner = await user.session.createProcessRunner<number>(async function* () {
      yield* numbers(500);
      return 500;
    });
    await runner.cleanup;
    const updates = await collect(client.follow<number>(runner.key, { live }).updates());
    expect(updates).toMatchObject([{ items: [500], position: 501, status: "completed", closed: true }]);
  });

  test("ends with RUNNER_GONE when the runner is removed (P173)", async () => {
    const { user, client } = await setUp();
    const source = new PushSource<number>();
    const { key } = await user.session.createSequenceRunner<number>(source);
    source.push(1);
    const taken: number[] = [];
    const loop = async () => {
      for await (const { items } of client.follow<number>(key, { live }).updates()) {
        taken.push(...items);
        if (items.length > 0) await client.remove(key);
      }
    };
    // Its abort still reaches a read that waits; a later request finds nothing.
    const end = await loop().then(
      () => "the end",
      (error: ActiveSessionError) => error.code,
    );
    expect(["the end", "RUNNER_GONE"]).toContain(end);
    expect(taken).toEqual([1]);
    expect((await collectAndCatch(client.follow(key, { live }))).error).toMatchObject({ code: "RUNNER_GONE" });
  });

  test("does not find another user's runner", async () => {
    const { app, client } = await setUp();
    const other = await app.user("ben");
    const { key } = await other.session.createSequenceRunner([1]);
    expect(await collectAndCatch(client.follow(key, { live }))).toMatchObject({
      taken: [],
      error: { code: "RUNNER_GONE" },
    });
  });

  test("gives what lies before an item without a JSON form, and stops there (P173)", async () => {
    const { user, client } = await setUp();
    const { key } = await user.session.createSequenceRunner<unknown>([1, 2, 3n, 4]);
    const { taken, error } = await collectAndCatch(client.follow(key, { live }));
    expect(taken).toEqual([1, 2]);
    expect(error).toMatchObject({ code: "RESULT_NOT_SERIALIZABLE" });
  });

  test("says POSITION_GONE, with the first position kept, where what it asks for has been given up (P173)", async () => {
    const { user, client } = await setUp();
    const { key } = await user.session.createSequenceRunner(numbers(20));
    await client.read(key, { offset: 10 });
    const { error } = await collectAndCatch(client.follow(key, { live, offset: 5 }));
    expect(error).toMatchObject({ code: "POSITION_GONE", firstPosition: 10 });
  });

  test("does not get ahead of a slow application: what it has not taken stays on the server (P90)", async () => {
    const { user, client } = await setUp();
    const runner = await user.session.createSequenceRunner(numbers(100), { aheadLimit: 4 });
    const taken: number[] = [];
    for await (const { items, position } of client.follow<number>(runner.key, { live }).updates()) {
      expect((await inside(runner).logState()).acknowledged).toBeLessThanOrEqual(position - items.length);
      taken.push(...items);
      await turns(2);
    }
    expect(taken).toEqual(numbers(100));
  });

  test("leaves the runner alone when the loop is left, and nothing on the caller's signal", async () => {
    const { user, client } = await setUp();
    const source = new PushSource<number>();
    const runner = await user.session.createSequenceRunner<number>(source);
    source.push(1);
    const controller = new AbortController();
    const follower: RunnerFollower<number> = client.follow<number>(runner.key, { live, signal: controller.signal });
    for await (const _ of follower) break;
    expect(listenerCount(controller.signal)).toBe(0);
    expect(follower.connection).toBe("closed");
    expect(runner.status).toBe("stalled");
    expect(source.returns).toBe(0);
  });

  test("ends at once with the reason of its signal while it waits for an item", async () => {
    const { user, client } = await setUp();
    const source = new PushSource<number>();
    const { key } = await user.session.createSequenceRunner<number>(source);
    const controller = new AbortController();
    const reason = new Error("the user has left");
    source.push(1);
    const { options, reached } = connections();
    const following = collectAndCatch(client.follow<number>(key, { live, signal: controller.signal, ...options }));
    await reached("open");
    await turns();
    controller.abort(reason);
    expect((await following).error).toBe(reason);
    expect(listenerCount(controller.signal)).toBe(0);
  });

  test("goes on when the server comes back", async () => {
    const sessions = openHost();
    const app = await openApp({ sessions });
    const user = await app.user("ann");
    const source = new PushSource<number>();
    const { key } = await user.session.createSequenceRunner<number>(source);
    let isDown = true;
    const { fetch: send, asked } = recording(async (url, init) => {
      if (isDown) return fetch("http://127.0.0.1:9/", init ?? {}); // no server listens there
      return fetch(url, init);
    });
    const { options, reached } = connections();
    const client = createClient(`${app.url}/runners`, { headers: user.headers, fetch: send });
    const taken = collect(client.follow<number>(key, { live, ...options }));
    await reached("retrying", 2);
    isDown = false;
    source.push(1, 2);
    source.end();
    expect(await taken).toEqual([1, 2]);
    expect(asked.length).toBeGreaterThanOrEqual(3);
  });
});

describe("the connection", () => {
  test("is one for the whole of a sequence, besides acknowledgements after each half of the allowance (P175)", async () => {
    const { user, client, asked } = await setUp();
    const source = new PushSource<number>();
    const { key } = await user.session.createSequenceRunner<number>(source, { aheadLimit: 10 });
    const taken: number[] = [];
    source.push(0);
    for await (const item of client.follow<number>(key)) {
      taken.push(item);
      await turns(10); // for the acknowledgement to arrive
      if (item < 30) source.push(item + 1);
      else source.end();
    }
    expect(taken).toEqual(numbers(31));
    const reads = asked.filter((request) => request.startsWith("GET"));
    const acks = asked.filter((request) => request.startsWith("POST /ack"));
    expect(reads).toEqual(["GET ?offset=-1&live=sse&acks=true"]);
    const offsets = acks.map((request) => new URLSearchParams(request.slice("POST /ack".length)).get("offset"));
    expect(offsets.map(Number)).toEqual([5, 10, 15, 20, 25, 30, 31]);
    expect(acks.map((request) => request.endsWith("&closed=true")).indexOf(true)).toBe(6); // the end
  });

  test("that the server ends is followed by another one at once, from the same offset", async () => {
    const { user, client, asked } = await setUp({ router: { rotateAfter: 30 } });
    const source = new PushSource<number>();
    const { key } = await user.session.createSequenceRunner<number>(source);
    const { options, reached } = connections();
    const taken = collect(client.follow<number>(key, options));
    source.push(1);
    await reached("open", 3);
    source.push(2);
    source.end();
    expect(await taken).toEqual([1, 2]);
    expect(asked[0]).toBe("GET ?offset=-1&live=sse&acks=true");
    const reads = asked.slice(1).filter((request) => request.startsWith("GET"));
    for (const request of reads) expect(request).toMatch(/^GET \?offset=[12]&live=sse&cursor=\d+&acks=true$/);
  });

  test("falls back to long-polls from the same offset where events do not get through (P176)", async () => {
    const asProxy: typeof fetch = async (url, init) => {
      const response = await fetch(url, init);
      if (!String(url).includes("live=sse&acks=true")) return response;
      await response.body?.cancel();
      return new Response("<h1>Not here</h1>", { headers: { "Content-Type": "text/html" } });
    };
    const { user, client, asked } = await setUp({}, { fetch: asProxy });
    const { key } = await user.session.createSequenceRunner(numbers(10));
    expect(await collect(client.follow<number>(key, { offset: 3 }))).toEqual(numbers(7, 3));
    expect(asked).toEqual(["GET ?offset=3&live=sse&acks=true", "GET ?offset=3&live=long-poll&acks=true"]);
  });

  test("waits as long as a busy server asks for (P174)", async () => {
    const times: number[] = [];
    const sessions = openHost();
    const app = await openApp({ sessions });
    const user = await app.user("ann");
    const { key } = await user.session.createSequenceRunner([1]);
    const { url } = await listen((request, response) => {
      times.push(performance.now());
      if (times.length === 1) {
        response.writeHead(503, { "Retry-After": "1" }).end();
        return;
      }
      app.app(request, response);
    });
    const client = createClient(`${url}/runners`, { headers: user.headers });
    expect(await collect(client.follow<number>(key))).toEqual([1]);
    expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(990);
  });

  test("is told as it changes", async () => {
    const { user, client } = await setUp();
    const states: ConnectionState[] = [];
    const { key } = await user.session.createSequenceRunner([1]);
    await collect(client.follow<number>(key, { onConnection: (state) => states.push(state) }));
    expect(states).toEqual(["connecting", "open", "closed"]);
  });

  test("of a session that ends says RUNNER_GONE", async () => {
    const { user, client } = await setUp();
    const source = new PushSource<number>();
    const { key } = await user.session.createSequenceRunner<number>(source);
    await user.session.terminate();
    await expect(collect(client.follow<number>(key))).rejects.toMatchObject({ code: "RUNNER_GONE" });
  });
});

describe("the other requests", () => {
  test("pages lead from one to the next, up to the end", async () => {
    const { user, client } = await setUp();
    const { key } = await user.session.createSequenceRunner(numbers(7));
    const first = await client.read<number>(key, { maxItems: 3 });
    const progress = { current: 7, estimatedEnd: 7 };
    expect(first).toMatchObject({ items: [0, 1, 2], position: 3, status: "progressed", progress, closed: false });
    const again = await client.read<number>(key, { offset: 0, maxItems: 3 });
    expect(again).toEqual(first);
    const rest = await client.read<number>(key, { offset: first.position });
    expect(rest).toMatchObject({ items: [3, 4, 5, 6], position: 7, status: "completed", progress, closed: true });
  });

  test("a page beyond what there is says POSITION_AHEAD", async () => {
    const { user, client } = await setUp();
    const { key } = await user.session.createSequenceRunner(numbers(7));
    await expect(client.read(key, { offset: 8 })).rejects.toMatchObject({ code: "POSITION_AHEAD" });
  });

  test("the last page says why the work failed, and the page of a process how far that is", async () => {
    const { user, client } = await setUp();
    const failing = await user.session.createSequenceRunner(function* () {
      yield 1;
      throw Object.assign(new Error("Die Platte läuft über"), { expose: true });
    });
    await failing.cleanup;
    expect(await client.read(failing.key)).toMatchObject({
      ...{ items: [1], position: 1, status: "failed", closed: true, progress: { current: 1 } },
      error: { code: "RUNNER_FAILED", message: "Die Platte läuft über" },
    });
    const process = await user.session.createProcessRunner(() => 7);
    await process.cleanup;
    expect(await client.read(process.key)).toMatchObject({ items: [7], position: 1, progress: { current: 1 } });
  });

  test.each([-5, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, "", "x"])(
    "the offset %j is refused by the server, of a page and of a following",
    async (given) => {
      const { user, client, asked } = await setUp();
      const { key } = await user.session.createSequenceRunner(numbers(7));
      const offset = given as number;
      await expect(client.read(key, { offset })).rejects.toMatchObject({ code: "INVALID_ARGUMENT", status: 400 });
      for (const live of modes) {
        const following = client.follow(key, { offset, live });
        await expect(collect(following)).rejects.toMatchObject({ code: "INVALID_ARGUMENT", status: 400 });
      }
      expect(asked).toHaveLength(3);
      expect(await client.read(key)).toMatchObject({ items: numbers(7) }); // nothing has counted as acknowledged
    },
  );

  test("a page ends with the reason of its signal", async () => {
    const { user, client } = await setUp();
    const { key } = await user.session.createSequenceRunner(numbers(7));
    const reason = new Error("the user has left");
    await expect(client.read(key, { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  });

  test("the state is that of the runner", async () => {
    const { user, client } = await setUp();
    const runner = await user.session.createSequenceRunner(numbers(7));
    await runner.getRequired({ advance: 2 });
    expect(await client.state(runner.key)).toEqual(JSON.parse(JSON.stringify(await runner.state())));
    expect((await client.state(runner.key)).position).toBe(2);
  });

  test("abort answers when the work has been told to stop, and what was handed out stays readable", async () => {
    const { user, client } = await setUp();
    const source = new PushSource<number>();
    let isStopped = false;
    const runner = await user.session.createSequenceRunner<number>(({ signal }) => {
      signal.addEventListener("abort", () => {
        isStopped = true;
      });
      return source;
    });
    source.push(1, 2);
    await runner.getRequired({ advance: 2 });
    const state = await client.abort(runner.key);
    expect(isStopped).toBe(true);
    expect(state).toMatchObject({ status: "aborted", abortReason: "stopped", position: 2 });
    expect(await client.read(runner.key)).toMatchObject({ items: [1, 2], status: "aborted", closed: true });
  });

  test("remove stops the work, and the runner is gone", async () => {
    const { user, client } = await setUp();
    const source = new PushSource<number>();
    const runner = await user.session.createSequenceRunner<number>(source);
    await client.remove(runner.key);
    expect(runner.status).toBe("aborted");
    for (const call of [client.read(runner.key), client.state(runner.key), client.abort(runner.key)]) {
      await expect(call).rejects.toMatchObject({ code: "RUNNER_GONE" });
    }
    await expect(client.remove(runner.key)).rejects.toMatchObject({ code: "RUNNER_GONE" });
  });

  test("headers are asked for again with every request", async () => {
    const app = await openApp();
    const user = await app.user("ann");
    const { key } = await user.session.createSequenceRunner([1]);
    let name = "ben";
    const client = createClient(`${app.url}/runners`, { headers: () => ({ "x-user": name }) });
    await expect(client.state(key)).rejects.toMatchObject({ code: "RUNNER_GONE" });
    name = "ann";
    expect(await client.state(key)).toMatchObject({ key });
  });

  test("two followers of a runner that keeps everything get everything, each at its own pace", async () => {
    const { user, client } = await setUp();
    const { key } = await user.session.createSequenceRunner(numbers(300), { retain: "all", aheadLimit: 50 });
    const fast = await collect(client.follow<number>(key));
    const slow = await collect(client.follow<number>(key, { live: "long-poll" }));
    expect(fast).toEqual(numbers(300));
    expect(slow).toEqual(numbers(300));
  });

  test("without a server they fail, and say why", async () => {
    const client = createClient("http://127.0.0.1:9/runners");
    await expect(client.state("1-2-abc")).rejects.toMatchObject({ cause: expect.any(TypeError) });
  });
});
