/**
 * What other clients of streams get wrong (those of `@durable-streams/client` that are known), asked of ours: against a real
 * server, with a network that breaks. Time passes only where the client waits for it.
 */
import { request as ask, type IncomingMessage, type ServerResponse } from "node:http";
import { buffer } from "node:stream/consumers";
import { beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { createDeferred, noop } from "../src/base/async.js";
import { type ClientOptions, createClient, type FollowOptions, type RunnerClient } from "../src/client.js";
import { defineSequenceRunner } from "../src/session/define.js";
import { atEnd, cleanUp } from "./support/cleanup.js";
import { isPending, listenerCount, PushSource, turns } from "./support/control.js";
import { type Cut, openCuttingProxy } from "./support/cutting-proxy.js";
import { inside } from "./support/inside.js";
import { listen, openApp, type TestApp, type TestAppOptions, type TestUser } from "./support/server.js";

beforeAll(async () => {
  // `fetch` has a timer of its own, made with its first request: it is to be none of those that are faked.
  const { url } = await listen((_, response) => response.end());
  await (await fetch(url)).text();
  await cleanUp();
});

beforeEach(() => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on("unhandledRejection", note);
  atEnd(async () => {
    // Every connection of `fetch` that is kept has a timer, too, until it finds that the server has closed it.
    for (let turn = 0; turn < 200 && (turn < 10 || vi.getTimerCount() > 0); turn++) await turns(1);
    process.off("unhandledRejection", note);
    expect(unhandled, "unhandled rejections").toEqual([]);
  });
  vi.useFakeTimers();
});

interface Opened {
  readonly app: TestApp;
  readonly user: TestUser;
}

async function open(options: TestAppOptions = {}): Promise<Opened> {
  const app = await openApp(options);
  return { app, user: await app.user("ann") };
}

interface Following {
  readonly taken: unknown[];
  /** Settles when the loop has ended. */
  readonly done: Promise<void>;
  /** Why it has waited. */
  readonly problems: unknown[];
  /** Resolves when so many items have been taken. */
  reached(count: number): Promise<void>;
}

/** Takes everything of a runner; while the client waits for its next try, time passes. */
function follow(client: RunnerClient, key: string, options: FollowOptions = {}): Following {
  const taken: unknown[] = [];
  const problems: unknown[] = [];
  const controller = new AbortController();
  let look = noop;
  const follower = client.follow(key, {
    signal: controller.signal,
    onConnection: (state, problem) => {
      if (state !== "retrying") return;
      problems.push(problem);
      setImmediate(() => vi.advanceTimersByTime(1000));
    },
    ...options,
  });
  const loop = async () => {
    for await (const item of follower) {
      taken.push(item);
      look();
    }
  };
  const done = loop();
  done.catch(noop); // looked at later, by the test
  atEnd(() => {
    controller.abort();
    return done.catch(noop);
  });
  const reached = (count: number) =>
    new Promise<void>((resolve, reject) => {
      look = () => {
        if (taken.length >= count) resolve();
      };
      look();
      done.then(() => reject(new Error(`The end has come after ${taken.length} items`)), reject);
    });
  return { taken, done, problems, reached };
}

const numbers = (count: number, first = 0) => Array.from({ length: count }, (_, i) => first + i);
const queriesOf = (urls: readonly string[]) => urls.map((url) => url.replace(/^.*?\?/, "").replace(/&cursor=\d+/, ""));

describe("where event streams stop getting through in the middle of a run, long-polls take over and keep every item:", () => {
  type Treatment = "pass" | "page" | "collect";

  /** A proxy of HTTP that treats event streams as it is told to. */
  async function openProxy(target: string) {
    const asked: string[] = [];
    const streams = new Set<ServerResponse>();
    const collecting = createDeferred<void>();
    const proxy = { treatment: "pass" as Treatment };
    const forward = async (request: IncomingMessage, response: ServerResponse) => {
      const isStream = request.url!.includes("live=sse");
      if (request.method === "GET") asked.push(request.url!);
      if (isStream) streams.add(response);
      if (isStream && proxy.treatment === "page") {
        response.writeHead(200, { "Content-Type": "text/html" }).end("<h1>No streams here</h1>");
        return;
      }
      const { method, headers, url } = request;
      const upstream = ask(target + url, { method: method!, headers }, async (answer) => {
        response.writeHead(answer.statusCode!, answer.headers);
        if (!isStream || proxy.treatment === "pass") return void answer.pipe(response);
        answer.once("readable", () => collecting.resolve());
        response.end(await buffer(answer).catch(noop));
      });
      upstream.on("error", () => response.destroy());
      response.on("close", () => upstream.destroy());
      request.pipe(upstream);
    };
    const { url } = await listen(forward);
    return {
      ...{ url, asked, collecting: collecting.promise },
      /** From now on. Closes the streams that are open. */
      treat(treatment: Treatment) {
        proxy.treatment = treatment;
        for (const stream of streams) stream.destroy();
      },
    };
  }

  test.each(["page", "collect"] as const)(
    "a proxy that answers them with a page, or collects them: %s",
    async (how) => {
      const { app, user } = await open();
      const proxy = await openProxy(app.url);
      const source = new PushSource<number>();
      const { key } = await user.session.createSequenceRunner<number>(source);
      const client = createClient(`${proxy.url}/runners`, { headers: user.headers });
      const { taken, done, problems, reached } = follow(client, key);
      source.push(...numbers(10));
      await reached(10);
      proxy.treat(how);
      source.push(...numbers(10, 10));
      if (how === "collect") {
        await proxy.collecting; // it has the first bytes, and keeps them
        expect(taken).toEqual(numbers(10));
        vi.advanceTimersByTime(10_000);
      }
      await reached(20);
      source.push(...numbers(10, 20));
      source.end();
      await done;
      expect(taken).toEqual(numbers(30));
      expect(problems).toMatchObject([{ message: "Connection failed" }, { message: "No stream" }]);
      const queries = queriesOf(proxy.asked);
      expect(queries.slice(0, 3)).toEqual([
        "offset=-1&live=sse&acks=true",
        "offset=10&live=sse&acks=true",
        "offset=10&live=long-poll&acks=true",
      ]);
      for (const query of queries.slice(3)) expect(query).toMatch(/^offset=\d+&live=long-poll&acks=true$/);
    },
  );

  test("also where they have never got through", async () => {
    const { app, user } = await open();
    const proxy = await openProxy(app.url);
    proxy.treat("page");
    const { key } = await user.session.createSequenceRunner(numbers(50));
    const client = createClient(`${proxy.url}/runners`, { headers: user.headers });
    const { taken, done } = follow(client, key);
    await done;
    expect(taken).toEqual(numbers(50));
  });
});

describe("an abrupt drop of the socket in the middle of an event", () => {
  const large = "x".repeat(20_000);

  test.each(["destroy", "end"] as const)("reconnects, and nothing is lost or repeated: %s", async (how) => {
    const { app, user } = await open();
    // The head and ten numbers are less than 4000 bytes, the event that follows is more.
    const plan: Cut[] = [5000, 12_000, 19_000].map((after) => ({ after, how }));
    const proxy = await openCuttingProxy(app.url, () => plan.shift());
    const source = new PushSource<unknown>();
    const { key } = await user.session.createSequenceRunner<unknown>(source);
    const urls: string[] = [];
    const client = createClient(`${proxy.url}/runners`, { headers: user.headers, fetch: recordingTo(urls) });
    const { taken, done, reached } = follow(client, key);
    source.push(...numbers(10));
    await reached(10);
    source.push(large, ...numbers(10));
    source.end();
    await done;
    expect(taken).toEqual([...numbers(10), large, ...numbers(10)]);
    expect(proxy.cuts).toHaveLength(3);
    expect(queriesOf(urls)).toEqual([
      "offset=-1&live=sse&acks=true",
      ...Array.from({ length: 3 }, () => "offset=10&live=sse&acks=true"),
      "offset=21&closed=true",
    ]);
  });

  test("costs no item that the application has not taken yet, and acknowledges none", async () => {
    const { app, user } = await open();
    const proxy = await openCuttingProxy(app.url, () => ({ after: 5000, how: "destroy" }));
    const source = new PushSource<unknown>();
    const runner = await user.session.createSequenceRunner<unknown>(source);
    const client = createClient(`${proxy.url}/runners`, { headers: user.headers });
    const walk = client.follow(runner.key)[Symbol.asyncIterator]();
    source.push(1, 2, 3);
    expect((await walk.next()).value).toBe(1);
    source.push(large);
    await until(() => proxy.cuts.length === 1);
    expect((await inside(runner).logState()).acknowledged).toBe(0);
    await walk.return();
    const rest = follow(createClient(`${app.url}/runners`, { headers: user.headers }), runner.key, { offset: 1 });
    source.end();
    await rest.done;
    expect(rest.taken).toEqual([2, 3, large]);
  });
});

describe("reading page by page, without waiting for what comes,", () => {
  async function readAll(client: RunnerClient, key: string, maxItems?: number): Promise<unknown[][]> {
    const pages: unknown[][] = [];
    for (let offset = 0, closed = false; !closed; ) {
      const page = await client.read(key, { offset, maxItems });
      pages.push([...page.items]);
      expect(page.status === "completed").toBe(page.closed);
      ({ position: offset, closed } = page);
    }
    return pages;
  }

  test.each([
    ["as many as the server gives", undefined, 11],
    ["50 items", 50, 21],
  ])("with %s in each, gets every page, to the end", async (_name, maxItems, count) => {
    const { app, user } = await open({ router: { pageLimit: 100 } });
    const { key } = await user.session.createSequenceRunner(numbers(1005));
    const client = createClient(`${app.url}/runners`, { headers: user.headers });
    const pages = await readAll(client, key, maxItems);
    expect(pages.flat()).toEqual(numbers(1005));
    expect(pages).toHaveLength(count);
  });

  test("gets every page also while the work goes on: an empty page is not the end", async () => {
    const { app, user } = await open();
    const source = new PushSource<number>();
    const { key } = await user.session.createSequenceRunner<number>(source);
    let asked = 0;
    const fetch: ClientOptions["fetch"] = (url, init) => {
      asked++;
      if (asked % 2 === 0 && asked <= 20) source.push(asked);
      if (asked === 22) source.end();
      return globalThis.fetch(url, init);
    };
    const client = createClient(`${app.url}/runners`, { headers: user.headers, fetch });
    const pages = await readAll(client, key);
    expect(pages[0]).toEqual([]);
    expect(pages.flat()).toEqual(numbers(10).map((n) => 2 * n + 2));
  });
});

describe("an abort while the next try is waited for ends it at once, with its reason, and nothing is asked for any more:", () => {
  const reason = new Error("the user has left");

  /** A server that is busy for ever; tells how often it was asked, and what for. */
  async function openBusy() {
    const asked: string[] = [];
    const { url } = await listen((request, response) => {
      asked.push(`${request.method} ${new URL(request.url!, "http://server.test").pathname}`);
      response.writeHead(503, { "Retry-After": "1000", Connection: "close" }).end();
    });
    return { asked, client: createClient(`${url}/runners`) };
  }

  test.each(["sse", "long-poll"] as const)("of a follower, by %s", async (live) => {
    const { asked, client } = await openBusy();
    const { signal, abort } = aborter(reason);
    const onConnection = vi.fn();
    const follower = client.follow("1", { live, signal, onConnection });
    const done = follower.forEach(noop);
    done.catch(noop);
    await until(() => follower.connection === "retrying");
    expect(onConnection.mock.lastCall).toMatchObject(["retrying", { retryAfter: 1000 }]);
    expect(await isPending(done)).toBe(true);
    abort();
    await expect(done).rejects.toBe(reason);
    expect(follower.connection).toBe("closed");
    expect([vi.getTimerCount(), listenerCount(signal)]).toEqual([0, 0]);
    expect(asked).toEqual(["GET /runners/1"]);
  });

  test("of a follower that is closed, without an error", async () => {
    const { asked, client } = await openBusy();
    const follower = client.follow("1");
    const done = follower.forEach(noop);
    await until(() => follower.connection === "retrying");
    follower.close();
    await done;
    expect([vi.getTimerCount(), asked.length]).toEqual([0, 1]);
  });

  test("of a creation, which is stopped on the server", async () => {
    const { asked, client } = await openBusy();
    const { signal, abort } = aborter(reason);
    const created = client.create("count", 1, { signal });
    created.catch(noop);
    await until(() => vi.getTimerCount() === 2); // that of the wait for its next try, and of the hold of further creations
    abort();
    await expect(created).rejects.toBe(reason);
    expect([vi.getTimerCount(), listenerCount(signal)]).toEqual([0, 0]);
    await until(() => asked.length === 2);
    expect(asked).toEqual(["POST /runners/count", "POST /runners/count/abort"]);
  });
});

describe("in a page a relative URL is that of the server the page came from", () => {
  const count = defineSequenceRunner({ name: "count", run: (to: number) => numbers(to) });

  test.each([
    ["/runners", "a page", (url: string) => vi.stubGlobal("document", { baseURI: `${url}/app/page.html` })],
    ["../runners", "a page", (url: string) => vi.stubGlobal("document", { baseURI: `${url}/app/page.html` })],
    ["/runners/", "a worker", (url: string) => vi.stubGlobal("location", { href: `${url}/app/worker.js` })],
  ])("%s in %s", async (relative, _where, stub) => {
    atEnd(() => vi.unstubAllGlobals());
    const { app, user } = await open({ router: { expose: [count] } });
    stub(app.url);
    const client = createClient<[typeof count]>(relative, { headers: user.headers });
    const created = await client.create("count", 50, { minItems: 5, maxItems: 5 });
    expect((await client.list()).map(({ key }) => key)).toEqual([created.key]);
    expect((await client.state(created.key)).name).toBe("count");
    const taken: number[] = [];
    for await (const item of created) taken.push(item);
    expect(taken).toEqual(numbers(50));
    expect(await client.read(created.key, { offset: 50 })).toMatchObject({ items: [], closed: true });
    await client.remove(created.key);
    await expect(client.follow(created.key).forEach(noop)).rejects.toMatchObject({ code: "RUNNER_GONE" });
  });
});

describe("no rejection is left unhandled", () => {
  test("when the server goes away while the client reads, acknowledges and waits, and its items are not taken", async () => {
    const { app, user } = await open();
    let isBroken = false;
    const proxy = await openCuttingProxy(app.url, () => (isBroken ? { after: -1, how: "destroy" } : undefined));
    const { key } = await user.session.createSequenceRunner(numbers(100), { aheadLimit: 4, retain: "all" });
    const urls: string[] = [];
    const client = createClient(`${proxy.url}/runners`, { headers: user.headers, fetch: recordingTo(urls) });
    const walks = (["sse", "long-poll"] as const).map((live) => client.follow(key, { live })[Symbol.asyncIterator]());
    for (const walk of walks) await walk.next();
    isBroken = true;
    await proxy.close();
    for (const walk of walks) for (let i = 0; i < 2; i++) await walk.next(); // which acknowledges, in vain
    vi.advanceTimersByTime(30_000);
    await turns(10);
    expect(urls.some((url) => url.includes("/ack?"))).toBe(true);
    for (const walk of walks) await walk.return();
    for (const call of [client.read(key), client.list(), client.state(key)]) {
      await expect(call).rejects.toMatchObject({ code: "SERVER_UNAVAILABLE" });
    }
    for (const call of [() => client.abort(key), () => client.remove(key)]) {
      let isOver = false;
      const over = expect(call()).rejects.toMatchObject({ code: "SERVER_UNAVAILABLE" });
      void over.finally(() => {
        isOver = true;
      });
      while (!isOver) await vi.advanceTimersByTimeAsync(10_000); // they are repeated some times
      await over;
    }
  });

  test("when what is given up at once has not begun", async () => {
    const { app, user } = await open();
    const { key } = await user.session.createSequenceRunner(numbers(3));
    const client = createClient(`${app.url}/runners`, { headers: user.headers });
    const followers = (["sse", "long-poll"] as const).map((live) => client.follow(key, { live }));
    const walks = followers.map((follower) => follower.updates());
    const steps = walks.map((walk) => walk.next());
    for (const follower of followers) follower.close();
    expect(await Promise.all(steps)).toEqual(steps.map(() => ({ done: true, value: undefined })));
  });
});

/** Lets the event loop turn until something is so. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await turns(1);
}

/** A fetch that keeps what was asked for. */
function recordingTo(urls: string[]): typeof fetch {
  return (url, init) => {
    urls.push(String(url));
    return fetch(url, init);
  };
}

function aborter(reason: unknown): { readonly signal: AbortSignal; readonly abort: () => void } {
  const controller = new AbortController();
  return { signal: controller.signal, abort: () => controller.abort(reason) };
}
