import { beforeEach, describe, expect, test, vi } from "vitest";
import { atEnd } from "../../test/support/cleanup.js";
import { isPending, turns } from "../../test/support/control.js";
import { FakeLocks, FakePage, FakeRunner, runnersUrl } from "../../test/support/fake-runner.js";
import { noop } from "../base/async.js";
import { createClient } from "./client.js";
import type { RunnerFollower } from "./follower.js";
import type { ClientOptions } from "./request.js";
import type { ConnectionState, FollowOptions } from "./types.js";

let page: FakePage;

interface Following {
  readonly runner: FakeRunner;
  readonly follower: RunnerFollower<string>;
  readonly taken: string[];
  readonly done: Promise<void>;
  readonly controller: AbortController;
  readonly states: ConnectionState[];
  /** The reads and signs of life since the last look. */
  news(): string[];
}

/** Follows a runner of its own in a loop that takes everything. */
function follow(options: FollowOptions = {}, clientOptions: ClientOptions = {}): Following {
  const runner = new FakeRunner();
  const controller = new AbortController();
  const states: ConnectionState[] = [];
  const client = createClient(runnersUrl, {
    ...{ fetch: runner.fetch, connections: Number.POSITIVE_INFINITY },
    ...clientOptions,
  });
  const follower = client.follow<string>("1", {
    ...{ whenHidden: "pause" as const, signal: controller.signal },
    onConnection: (state) => states.push(state),
    ...options,
  });
  const taken: string[] = [];
  const loop = async () => {
    for await (const item of follower) taken.push(item);
  };
  const done = loop();
  done.catch(noop); // looked at later, by the test
  atEnd(() => {
    controller.abort();
    return done.catch(noop);
  });
  let seen = 0;
  const news = () => {
    const requests = runner.requests.slice(seen);
    seen += requests.length;
    return requests;
  };
  return { runner, follower, taken, done, controller, states, news };
}

const signOf = (offset: number) => `POST /1/ack?offset=${offset}`;
const streamFrom = (offset: number) => `GET /1?offset=${offset}&live=sse&acks=true`;

beforeEach(() => {
  vi.useFakeTimers();
  page = new FakePage();
  vi.stubGlobal("document", page);
  vi.stubGlobal("navigator", {});
  vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
  atEnd(() => {
    vi.unstubAllGlobals();
    expect(page.listeners).toBe(0); // when all that the test has begun is over
  });
});

describe("a follower that pauses while its page is hidden", () => {
  test("holds no connection then, and catches up when the page is seen again", async () => {
    const { runner, taken, done, states, news } = follow();
    runner.push("a");
    await turns(10);
    expect(news()).toEqual([streamFrom(-1)]);
    page.show(false);
    await turns(10);
    expect([runner.streams, runner.asked[0]!.signal!.aborted, states.at(-1)]).toEqual([0, true, "closed"]);
    runner.push("b", "c");
    await vi.advanceTimersByTimeAsync(19_000);
    expect(news()).toEqual([]);
    expect(taken).toEqual(["a"]);
    page.show(true);
    await turns(10);
    expect(news()).toEqual([streamFrom(1)]);
    runner.push("d");
    runner.end();
    await done;
    expect(taken).toEqual(["a", "b", "c", "d"]);
  });

  test("tells every 20 s that the page will come back, at the position of what was taken", async () => {
    const { runner, news } = follow();
    runner.push("a", "b");
    await vi.advanceTimersByTimeAsync(2000);
    page.show(false);
    await turns(10);
    news();
    await vi.advanceTimersByTimeAsync(5 * 60_000);
    const signs = news();
    expect(new Set(signs)).toEqual(new Set([signOf(2)]));
    expect(signs.length).toBeGreaterThanOrEqual(14);
    expect(signs.length).toBeLessThanOrEqual(15);
    const times = runner.asked.map(({ at }) => at);
    for (const [i, time] of times.slice(1).entries()) expect(time - times[i]!).toBeLessThanOrEqual(40_000);
    expect(runner.streams).toBe(0);
  });

  test("begins only when the page is seen", async () => {
    page.show(false);
    const { runner, taken, news, done, states } = follow();
    runner.push("a");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(states).toEqual([]);
    expect(news().filter((request) => request.startsWith("GET"))).toEqual([]);
    runner.end();
    page.show(true);
    await done;
    expect(news()).toEqual([streamFrom(-1)]);
    expect(taken).toEqual(["a"]);
  });

  test("gives what had arrived before, also when the loop was at work as the page was hidden", async () => {
    const { runner, follower } = follow();
    follower.close();
    await turns();
    runner.push("a", "b", "c");
    const taken: string[] = [];
    const loop = async () => {
      for await (const item of follower) {
        if (item === "b") page.show(false);
        await turns(3);
        taken.push(item);
      }
    };
    const done = loop();
    await turns(30);
    expect(taken).toEqual(["a", "b", "c"]);
    expect(runner.streams).toBe(0);
    runner.push("d");
    runner.end();
    page.show(true);
    await done;
    expect(taken).toEqual(["a", "b", "c", "d"]);
  });

  test("does so by long-poll and without a place, too", async () => {
    for (const [options, clientOptions, request] of [
      [{ live: "long-poll" }, {}, "GET /1?offset=1&live=long-poll&acks=true"],
      [{}, { connections: 0 }, "GET /1?offset=1"],
    ] as const) {
      const { runner, taken, done, news } = follow(options, clientOptions);
      runner.push("a");
      await turns(10);
      page.show(false);
      await turns(10);
      runner.push("b");
      news();
      await vi.advanceTimersByTimeAsync(60_000);
      const signs = news();
      expect(signs.length).toBeGreaterThanOrEqual(2);
      expect(signs.filter((sign) => sign.startsWith("GET"))).toEqual([]);
      runner.end();
      page.show(true);
      await done;
      expect(news()).toEqual([request]);
      expect(taken).toEqual(["a", "b"]);
    }
  });

  test("gives its place to others meanwhile", async () => {
    for (const locks of [undefined, new FakeLocks()]) {
      page.show(true);
      vi.stubGlobal("navigator", { locks });
      const paused = follow({}, { connections: 1 });
      const other = follow({ whenHidden: "follow" }, { connections: 1 });
      await turns(10);
      expect([paused.runner.streams, other.runner.streams]).toEqual([1, 0]);
      page.show(false);
      await vi.advanceTimersByTimeAsync(1000);
      expect([paused.runner.streams, other.runner.streams]).toEqual([0, 1]);
      paused.follower.close();
      other.follower.close();
      await Promise.all([paused.done, other.done]);
    }
  });

  test("ends at once while it waits, when its signal aborts or it is closed", async () => {
    page.show(false);
    const aborted = follow();
    const closed = follow();
    await turns();
    const reason = new Error("the user has left");
    aborted.controller.abort(reason);
    closed.follower.close();
    await expect(aborted.done).rejects.toBe(reason);
    await closed.done;
    expect([vi.getTimerCount(), closed.follower.connection]).toEqual([0, "closed"]);
  });

  test("neither loses nor repeats an item, however often the page is hidden and shown", async () => {
    const { runner, taken, done } = follow();
    for (let i = 0; i < 60; i++) {
      runner.push(`${i} a`, `${i} b`);
      await turns(i % 4);
      page.show(i % 2 === 1);
      await turns(i % 3);
      if (i % 7 === 0) page.show(true);
      if (i % 5 === 0) await vi.advanceTimersByTimeAsync(30);
    }
    runner.end();
    page.show(true);
    await vi.advanceTimersByTimeAsync(10_000);
    await done;
    expect(taken).toEqual(runner.items);
  });

  test("goes on to send signs of life where they do not get through", async () => {
    page.show(false);
    const { runner, news, done } = follow();
    runner.instead = () => new Response(null, { status: 503 });
    await vi.advanceTimersByTimeAsync(2 * 60_000);
    const signs = news();
    expect(signs.length).toBeGreaterThanOrEqual(4); // in the time for which the server waits
    expect(new Set(signs)).toEqual(new Set([signOf(0)]));
    runner.instead = () => undefined;
    await vi.advanceTimersByTimeAsync(31_000);
    expect(news()).toContain(signOf(0));
    runner.end();
    page.show(true);
    await done;
  });

  test.each([
    ["a position", 500, 500],
    ["the tail", "now", undefined],
  ] as const)("and is to begin at %s: its signs of life tell no other place", async (_name, offset, place) => {
    page.show(false);
    const places = new Set<number>();
    const { runner, news, done } = follow({ offset, onPlace: ({ offset }) => places.add(offset) });
    runner.push(...Array.from({ length: 500 }, (_, i) => `item ${i}`));
    await vi.advanceTimersByTimeAsync(21_000);
    expect(news()).toEqual([signOf(place ?? 0)]);
    expect([...places]).toEqual(place ? [place] : []);
    runner.end();
    page.show(true);
    await done;
    expect([...places].filter((place) => place !== 500)).toEqual([]);
  });

  test("says that the runner is gone when the page is seen again", async () => {
    const { runner, done } = follow();
    await turns(10);
    page.show(false);
    runner.instead = () => new Response(null, { status: 410, headers: { "Runner-Error-Code": "RUNNER_GONE" } });
    expect(await isPending(done)).toBe(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await isPending(done)).toBe(true);
    page.show(true);
    await turns(10);
    await vi.advanceTimersByTimeAsync(2000);
    await expect(done).rejects.toMatchObject({ code: "RUNNER_GONE" });
  });

  test("comes with the creation, too: the first page is given, and no connection is made", async () => {
    page.show(false);
    const runner = new FakeRunner();
    runner.push("a", "b");
    const client = createClient(runnersUrl, { fetch: runner.fetch, connections: Number.POSITIVE_INFINITY });
    const follower = await client.create("count", undefined, { whenHidden: "pause" });
    const taken: string[] = [];
    const done = follower.forEach(({ items }) => {
      taken.push(...(items as string[]));
    });
    await turns(10);
    expect(taken).toEqual(["a", "b"]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(new Set(runner.requests.slice(1))).toEqual(new Set([signOf(2)]));
    expect(runner.requests.filter((request) => request.startsWith("GET"))).toEqual([]);
    expect(runner.requests.length).toBeGreaterThanOrEqual(3);
    runner.end();
    page.show(true);
    await done;
    expect(runner.requests.at(-1)).toBe(streamFrom(2));
  });
});

test("a follower goes on while its page is hidden, unless it is told otherwise", async () => {
  for (const whenHidden of ["follow", undefined] as const) {
    const { runner, taken, done, news } = follow({ whenHidden });
    await turns(10);
    page.show(false);
    runner.push("a");
    await turns(10);
    expect([runner.streams, taken]).toEqual([1, ["a"]]);
    runner.end();
    await done;
    expect(news()).toEqual([streamFrom(-1)]);
    page.show(true);
  }
});

describe("a back-off ends at once", () => {
  test.each(["online", "visibilitychange"])("with %s, for a follower", async (event) => {
    const { runner, taken, done, states } = follow({ whenHidden: "follow" });
    runner.instead = () => Promise.reject(new TypeError("offline"));
    await vi.advanceTimersByTimeAsync(120_000);
    expect(states.at(-1)).toBe("retrying");
    const tries = runner.asked.length;
    runner.instead = () => undefined;
    runner.push("a");
    runner.end();
    page.dispatchEvent(new Event(event));
    await done;
    expect([taken, runner.asked.length, Date.now() - runner.asked.at(-1)!.at]).toEqual([["a"], tries + 1, 0]);
  });

  test("for a creation", async () => {
    const runner = new FakeRunner();
    runner.instead = () => Promise.reject(new TypeError("offline"));
    const created = createClient(runnersUrl, { fetch: runner.fetch }).create("count");
    await turns();
    runner.instead = () => undefined;
    page.dispatchEvent(new Event("online"));
    expect((await created).key).toBe("1");
    expect(runner.asked.map(({ at }) => at - runner.asked[0]!.at)).toEqual([0, 0]);
  });

  test("after an acknowledgement that did not get through", async () => {
    const { runner, done } = follow();
    runner.instead = ({ path }) => (path.includes("/ack?") ? new Response(null, { status: 503 }) : undefined);
    runner.push(...Array.from({ length: 600 }, (_, i) => `item ${i}`));
    await turns(10);
    expect(runner.requests).toEqual([streamFrom(-1), signOf(500)]);
    page.dispatchEvent(new Event("online"));
    await turns(10);
    expect(runner.requests.slice(2)).toEqual([streamFrom(600)]); // says it as well
    expect(new Set(runner.asked.map(({ at }) => at)).size).toBe(1);
    runner.end();
    await done;
  });

  test("and counts as a try: a network that goes on failing is not asked more and more often", async () => {
    const { runner, states } = follow();
    await turns(10);
    runner.instead = () => Promise.reject(new TypeError("offline"));
    runner.cutStreams();
    for (let i = 0; i < 5; i++) {
      await turns(10);
      page.dispatchEvent(new Event("online"));
    }
    await turns(10);
    expect([runner.asked.length, states.at(-1)]).toEqual([6, "retrying"]);
    await vi.advanceTimersByTimeAsync((250 * 2 ** 5) / 2 - 1);
    expect(runner.asked).toHaveLength(6);
  });
});
