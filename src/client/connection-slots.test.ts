import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { atEnd } from "../../test/support/cleanup.js";
import { turns } from "../../test/support/control.js";
import { FakeLocks, FakePage, FakeRunner, runnersUrl } from "../../test/support/fake-runner.js";
import { noop } from "../base/async.js";
import { createClient } from "./client.js";
import type { RunnerFollower } from "./follower.js";

/** The module as a page of its own has it. */
async function openTab(): Promise<typeof import("./connection-slots.js")> {
  vi.resetModules();
  return import("./connection-slots.js");
}

function openPage(protocol: string | undefined, locks?: FakeLocks): FakePage {
  const page = new FakePage();
  vi.stubGlobal("document", page);
  vi.stubGlobal("navigator", { locks });
  const entries = protocol === undefined ? [] : [{ nextHopProtocol: protocol }];
  vi.spyOn(performance, "getEntriesByType").mockImplementation((type) =>
    type === "navigation" ? (entries as unknown as PerformanceEntryList) : [],
  );
  return page;
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe("how many places there are", () => {
  const many = 20;
  /** Takes as many places as a new tab gets, and gives them back. */
  async function placesOf(connections?: number): Promise<number> {
    const { takePlace } = await openTab();
    const taken: (() => void)[] = [];
    for (let place = await takePlace(connections); place && taken.push(place) < many; ) {
      place = await takePlace(connections);
    }
    for (const release of taken) release();
    await turns();
    return taken.length;
  }

  test.each(["http/1.1", "http/1.0", "", undefined, "spdy/3"])(
    "in a page that came by %j: 4 in all tabs, or 2 in each without locks",
    async (protocol) => {
      openPage(protocol, new FakeLocks());
      expect(await placesOf()).toBe(4);
      openPage(protocol);
      expect(await placesOf()).toBe(2);
    },
  );

  test.each(["h2", "h2c", "h3", "h3-29"])("in a page that came by %s: any number", async (protocol) => {
    openPage(protocol, new FakeLocks());
    expect(await placesOf()).toBe(many);
  });

  test("where there is no page: any number", async () => {
    vi.stubGlobal("navigator", { locks: new FakeLocks() });
    expect(await placesOf()).toBe(many);
  });

  test.each([
    [0, 0],
    [1, 1],
    [17, 17],
    [Number.POSITIVE_INFINITY, many],
  ])("%d if the application says so", async (connections, count) => {
    for (const protocol of ["http/1.1", "h2"]) {
      for (const locks of [new FakeLocks(), undefined]) {
        openPage(protocol, locks);
        expect(await placesOf(connections)).toBe(count);
      }
    }
  });
});

describe.each([true, false])("places, with locks: %s,", (hasLocks) => {
  beforeEach(() => {
    vi.stubGlobal("navigator", { locks: hasLocks ? new FakeLocks() : undefined });
  });

  test("are so many, and one that is given back can be taken again", async () => {
    const { takePlace } = await openTab();
    const first = await takePlace(2);
    const second = await takePlace(2);
    expect([first, second]).toEqual([expect.any(Function), expect.any(Function)]);
    expect(await takePlace(2)).toBeUndefined();
    first!();
    await turns();
    const third = await takePlace(2);
    expect(third).toBeTypeOf("function");
    expect(await takePlace(2)).toBeUndefined();
    second!();
    third!();
    await turns();
    for (const release of [await takePlace(2), await takePlace(2)]) release!();
  });

  test("are none where there are none", async () => {
    const { takePlace } = await openTab();
    expect(await takePlace(0)).toBeUndefined();
  });

  test("are not more when several are asked for at once", async () => {
    const { takePlace } = await openTab();
    const taken = await Promise.all(Array.from({ length: 10 }, () => takePlace(3)));
    const places = taken.filter((release) => release !== undefined);
    expect(places).toHaveLength(3);
    for (const release of places) release();
    await turns();
  });
});

describe("tabs", () => {
  test("share the places where there are locks: what one gives back, the other can take", async () => {
    const locks = new FakeLocks();
    vi.stubGlobal("navigator", { locks });
    const one = await openTab();
    const other = await openTab();
    expect(one.takePlace).not.toBe(other.takePlace);
    const first = await one.takePlace(2);
    const second = await other.takePlace(2);
    expect([...locks.held]).toEqual(["active-session 0", "active-session 1"]);
    expect([await one.takePlace(2), await other.takePlace(2)]).toEqual([undefined, undefined]);
    first!();
    await turns();
    const third = await other.takePlace(2);
    expect(third).toBeTypeOf("function");
    second!();
    third!();
    await turns();
    expect(locks.held.size).toBe(0);
  });

  test("have places of their own where there are none", async () => {
    vi.stubGlobal("navigator", {});
    const one = await openTab();
    const other = await openTab();
    expect(await one.takePlace(1)).toBeTypeOf("function");
    expect(await one.takePlace(1)).toBeUndefined();
    expect(await other.takePlace(1)).toBeTypeOf("function");
  });

  test("are not limited where the page may not lock", async () => {
    const locks = new FakeLocks();
    locks.refusal = new DOMException("The document is not fully active", "InvalidStateError");
    vi.stubGlobal("navigator", { locks });
    const { takePlace } = await openTab();
    const places = await Promise.all([takePlace(1), takePlace(1), takePlace(1)]);
    expect(places.every((release) => typeof release === "function")).toBe(true);
    for (const release of places) release!();
    expect(locks.held.size).toBe(0);
  });
});

interface Following {
  readonly runner: FakeRunner;
  readonly follower: RunnerFollower<string>;
  readonly taken: string[];
  readonly done: Promise<void>;
  readonly controller: AbortController;
}

/** Follows a runner of its own in a loop that takes everything. */
function follow(
  connections: number,
  prepare: (runner: FakeRunner) => void = noop,
  options: { readonly offset?: number | "now" } = {},
): Following {
  const runner = new FakeRunner();
  prepare(runner);
  const controller = new AbortController();
  const client = createClient(runnersUrl, { fetch: runner.fetch, connections });
  const follower = client.follow<string>("1", { signal: controller.signal, ...options });
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
  return { runner, follower, taken, done, controller };
}

const streamFrom = (offset: number | string) => `GET /1?offset=${offset}&live=sse&acks=true`;
const pageFrom = (offset: number | string) => `GET /1?offset=${offset}`;
/** Of a follower that holds a place, until the test is over. */
async function fillPlace(): Promise<Following> {
  const following = follow(1, (runner) => runner.push("held"));
  await turns(10);
  expect(following.runner.requests).toEqual([streamFrom(-1)]);
  return following;
}

describe.each([true, false])("a follower, with locks: %s,", (hasLocks) => {
  let locks: FakeLocks | undefined;
  beforeEach(() => {
    vi.useFakeTimers();
    locks = hasLocks ? new FakeLocks() : undefined;
    vi.stubGlobal("navigator", { locks });
  });

  test("without a place reads short pages: at once while there is more, then every second", async () => {
    const holder = await fillPlace();
    const { runner, taken, done } = follow(1, (runner) => {
      runner.pageLimit = 2;
      runner.push("a", "b", "c", "d", "e");
    });
    await turns(20);
    expect(runner.requests).toEqual([pageFrom(-1), pageFrom(2), pageFrom(4)]);
    expect(taken).toEqual(["a", "b", "c", "d", "e"]);
    await vi.advanceTimersByTimeAsync(999);
    expect(runner.asked).toHaveLength(3);
    await vi.advanceTimersByTimeAsync(1);
    expect(runner.requests.slice(3)).toEqual([pageFrom(5)]);
    runner.push("f", "g", "h");
    runner.end();
    await vi.advanceTimersByTimeAsync(1000);
    await turns(10);
    expect(runner.requests.slice(4)).toEqual([pageFrom(5), pageFrom(7)]);
    await done;
    expect(taken).toEqual(["a", "b", "c", "d", "e", "f", "g", "h"]);
    expect(holder.runner.asked).toHaveLength(1);
  });

  test("asks once a second for as long as nothing comes, and no slower", async () => {
    await fillPlace();
    const { runner } = follow(1);
    await vi.advanceTimersByTimeAsync(30_000);
    const times = runner.asked.map(({ at }) => at - runner.asked[0]!.at);
    expect(times).toEqual(Array.from({ length: 31 }, (_, second) => second * 1000));
  });

  test("takes the place when it is free, and goes on from where it is", async () => {
    const holder = await fillPlace();
    const { runner, taken, done } = follow(1, (runner) => runner.push("a"));
    await turns(10);
    expect(runner.requests).toEqual([pageFrom(-1)]);
    holder.runner.end();
    await holder.done;
    runner.push("b");
    await vi.advanceTimersByTimeAsync(1000);
    await turns(10);
    expect(runner.requests).toEqual([pageFrom(-1), streamFrom(1)]);
    runner.push("c");
    runner.end();
    await done;
    expect(taken).toEqual(["a", "b", "c"]);
  });

  test("begins at the tail without a place, too", async () => {
    await fillPlace();
    const { runner, taken } = follow(1, (runner) => runner.push("old"), { offset: "now" });
    await turns(10);
    runner.push("new");
    await vi.advanceTimersByTimeAsync(1000);
    expect(taken).toEqual(["new"]);
    expect(runner.requests).toEqual([pageFrom("now"), pageFrom(1)]);
  });

  test("for which there are no places at all never opens a connection that stays", async () => {
    const { runner, taken, done } = follow(0, (runner) => runner.push("a"));
    await vi.advanceTimersByTimeAsync(5000);
    runner.push("b");
    runner.end();
    await vi.advanceTimersByTimeAsync(1000);
    await done;
    expect(taken).toEqual(["a", "b"]);
    expect(runner.requests.filter((request) => request.includes("live"))).toEqual([]);
  });

  test("with any number of places opens a connection, and asks for no lock", async () => {
    const all = Array.from({ length: 8 }, () => follow(Number.POSITIVE_INFINITY));
    await turns(10);
    for (const { runner } of all) expect(runner.requests).toEqual([streamFrom(-1)]);
    expect(locks?.held.size ?? 0).toBe(0);
  });

  test("ends at once while it waits for its turn, when its signal aborts or it is closed", async () => {
    await fillPlace();
    const aborted = follow(1);
    const closed = follow(1);
    await turns(10);
    const reason = new Error("the user has left");
    aborted.controller.abort(reason);
    closed.follower.close();
    await expect(aborted.done).rejects.toBe(reason);
    await closed.done;
    expect(vi.getTimerCount()).toBe(1); // that of the stream which stands
  });

  test("does not wait for its turn when the network or the page comes back", async () => {
    const page = new FakePage();
    vi.stubGlobal("addEventListener", page.addEventListener.bind(page));
    await fillPlace();
    const { runner } = follow(1);
    await turns(10);
    for (const name of ["online", "visibilitychange"]) page.dispatchEvent(new Event(name));
    await turns(10);
    expect(runner.requests.length).toBeGreaterThanOrEqual(2);
    expect(runner.asked.at(-1)!.at).toBe(runner.asked[0]!.at);
  });

  test("without a place backs off where requests fail, as long as the server asks for, and loses nothing", async () => {
    await fillPlace();
    const { runner, taken, done } = follow(1, (runner) => {
      runner.push("a", "b");
      runner.end();
      runner.instead = () =>
        runner.asked.length === 1 ? new Response("busy", { status: 503, headers: { "Retry-After": "7" } }) : undefined;
    });
    await vi.advanceTimersByTimeAsync(6999);
    expect(runner.asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    await done;
    expect(taken).toEqual(["a", "b"]);
  });

  test.each<[string, (holder: Following) => void]>([
    ["the runner's end", ({ runner }) => runner.end()],
    ["its runner's failure", ({ runner }) => runner.end("failed", { message: "no" })],
    ["its signal", ({ controller }) => controller.abort()],
    ["its closing", ({ follower }) => follower.close()],
    [
      "an error that is for good",
      ({ runner }) => {
        runner.instead = () => new Response(null, { status: 410, headers: { "Runner-Error-Code": "RUNNER_GONE" } });
        runner.cutStreams();
      },
    ],
    [
      "a cut, while it waits for the next try",
      ({ runner }) => {
        runner.instead = () => Promise.reject(new TypeError("offline"));
        runner.cutStreams();
      },
    ],
  ])("gives its place to others with %s", async (_name, end) => {
    const holder = await fillPlace();
    const { runner } = follow(1);
    await turns(10);
    end(holder);
    await vi.advanceTimersByTimeAsync(1000);
    await turns(10);
    expect(runner.requests.at(-1)).toBe(streamFrom(0));
  });

  test("whose loop was left gives its place back", async () => {
    const runner = new FakeRunner();
    runner.push("a", "b");
    const client = createClient(runnersUrl, { fetch: runner.fetch, connections: 1 });
    for await (const _ of client.follow<string>("1")) break;
    const next = follow(1);
    await turns(10);
    expect(next.runner.requests).toEqual([streamFrom(-1)]);
  });
});

test("followers that come, go and take turns neither lose nor repeat an item, and never hold more places than there are", async () => {
  const action = fc.oneof(
    fc.record({ kind: fc.constant("push" as const), who: fc.nat({ max: 3 }), count: fc.integer({ min: 1, max: 7 }) }),
    fc.record({ kind: fc.constant("cut" as const), who: fc.nat({ max: 3 }) }),
    fc.record({ kind: fc.constant("leave" as const), who: fc.nat({ max: 3 }) }),
    fc.record({ kind: fc.constant("wait" as const), ms: fc.constantFrom(1, 300, 1000, 5000) }),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.array(action, { maxLength: 25 }),
      fc.integer({ min: 0, max: 3 }),
      fc.boolean(),
      async (actions, places, hasLocks) => {
        vi.useFakeTimers();
        vi.stubGlobal("navigator", { locks: hasLocks ? new FakeLocks() : undefined });
        const all = Array.from({ length: 4 }, () => {
          const runner = new FakeRunner();
          runner.pageLimit = 3;
          const client = createClient(runnersUrl, { fetch: runner.fetch, connections: places });
          return { runner, follower: client.follow<string>("1"), taken: [] as string[], isOver: false };
        });
        const takeAll = async (one: (typeof all)[number]) => {
          while (!one.isOver) {
            for await (const item of one.follower) one.taken.push(item);
            one.isOver ||= one.follower.status === "completed";
          }
        };
        const done = Promise.all(all.map(takeAll));
        for (const step of actions) {
          if (step.kind === "wait") await vi.advanceTimersByTimeAsync(step.ms);
          else if (step.kind === "cut") all[step.who]!.runner.cutStreams();
          else if (step.kind === "leave") all[step.who]!.follower.close();
          else {
            const { runner } = all[step.who]!;
            const { length } = runner.items;
            runner.push(...Array.from({ length: step.count }, (_, i) => `item ${length + i}`));
          }
          await turns(2);
          expect(all.reduce((sum, { runner }) => sum + runner.streams, 0)).toBeLessThanOrEqual(places);
        }
        for (const { runner } of all) runner.end();
        await vi.advanceTimersByTimeAsync(60_000);
        await done;
        for (const { runner, taken } of all) expect(taken).toEqual(runner.items);
        expect(vi.getTimerCount()).toBe(0);
        vi.useRealTimers();
      },
    ),
    { numRuns: 60 },
  );
});
