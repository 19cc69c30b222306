import { afterEach, describe, expect, test, vi } from "vitest";
import { atEnd } from "../../test/support/cleanup.js";
import { turns } from "../../test/support/control.js";
import { type AskedOf, FakeRunner, runnersUrl } from "../../test/support/fake-runner.js";
import { createDeferred, noop } from "../base/async.js";
import { createClient } from "./client.js";
import type { RunnerFollower } from "./follower.js";
import { savedRunner } from "./saved-runner.js";

/** The storage of a tab. */
class FakeStorage {
  readonly entries = new Map<string, string>();
  /** Every use of it fails with it. */
  problem: Error | undefined;

  getItem(name: string): string | null {
    this.#check();
    return this.entries.get(name) ?? null;
  }

  setItem(name: string, value: string): void {
    this.#check();
    this.entries.set(name, value);
  }

  removeItem(name: string): void {
    this.#check();
    this.entries.delete(name);
  }

  #check(): void {
    if (this.problem) throw this.problem;
  }
}

/** One tab: `load` is what its page does when it is loaded, for the first time or again. */
function openTab({ storage = new FakeStorage() } = {}) {
  vi.stubGlobal("sessionStorage", storage);
  const runner = new FakeRunner();
  const load = (name = "search") => savedRunner(createClient(runnersUrl, { fetch: runner.fetch }), name);
  return { storage, runner, load };
}

const refused = (status: number, code: string) => () =>
  new Response(JSON.stringify({ code, message: "no" }), { status, headers: { "Runner-Error-Code": code } });
const keyOf = ({ headers }: AskedOf) => headers.get("Idempotency-Key");
/** Requests that are not answered while the test lasts. */
function unanswered() {
  const left: ((response: Response) => void)[] = [];
  atEnd(() => {
    for (const resolve of left) resolve(refused(410, "RUNNER_GONE")());
  });
  return () => new Promise<Response>((resolve) => void left.push(resolve));
}

async function all<T>(follower: RunnerFollower<T> | undefined): Promise<T[]> {
  const items: T[] = [];
  for await (const item of follower!) items.push(item);
  return items;
}

afterEach(() => {
  vi.unstubAllGlobals();
});

test("nothing is stored at first, and nothing is requested for it", async () => {
  const { runner, load } = openTab();
  const saved = load();
  expect([saved.place, saved.creation, await saved.resume()]).toEqual([undefined, undefined, undefined]);
  expect(runner.requests).toEqual([]);
});

test("after a reload the runner is followed from where the tab was, and no second one is created", async () => {
  const { runner, load } = openTab();
  runner.push("a", "b");
  const taken: string[] = [];
  const first: RunnerFollower<string> = await load().create("count", { to: 5 });
  for await (const { items, position } of first.updates()) {
    taken.push(...items);
    if (position === 2) runner.push("c");
    if (position === 3) runner.push("d");
    if (position === 4) break; // the reload, before "d" was taken
  }
  expect(load().creation).toMatchObject({ definition: "count", input: { to: 5 } });
  expect(load().place).toEqual({ key: "1", offset: 3 });
  runner.push("e");
  runner.end();
  expect([taken, await all(await load().resume())]).toEqual([
    ["a", "b", "c", "d"],
    ["d", "e"],
  ]);
  expect(runner.requests.filter((request) => request === "POST /count")).toHaveLength(1);
});

test("with an offset of its own the page shows everything again", async () => {
  const { runner, load } = openTab();
  runner.push("a", "b");
  runner.end();
  await all(await load().create("count"));
  expect(await all(await load().resume({ offset: "earliest" }))).toEqual(["a", "b"]);
});

test("a reload before the answer finds the work: the creation is stored before it is sent, and repeated as it was", async () => {
  const { runner, load } = openTab();
  let stored: unknown;
  const answer = unanswered();
  runner.instead = () => {
    stored = load().creation;
    return answer();
  };
  load().create("count", { to: 2 }).catch(noop);
  await turns(10);
  expect(stored).toMatchObject({ definition: "count", input: { to: 2 } });
  expect(load().place).toBeUndefined();
  runner.instead = () => undefined;
  runner.push("a", "b");
  runner.end();
  expect(await all(await load().resume())).toEqual(["a", "b"]);
  const [lost, repeated] = runner.asked;
  expect([keyOf(repeated!), repeated!.body]).toEqual([keyOf(lost!), lost!.body]);
  expect(keyOf(lost!)).toBeTruthy();
  expect(load().place).toEqual({ key: "1", offset: 2 });
});

test("a runner that is gone is forgotten, and a new one can be created in its place", async () => {
  const { runner, load } = openTab();
  await load().create("count");
  runner.instead = refused(410, "RUNNER_GONE");
  expect(await load().resume()).toBeUndefined();
  expect(load().place).toBeUndefined();
});

test.each(["RUNNER_ABORTED", "IDEMPOTENCY_KEY_REUSED"])("a creation that is answered %s is forgotten", async (code) => {
  const { runner, load } = openTab();
  runner.instead = unanswered();
  load().create("count").catch(noop);
  await turns(10);
  runner.instead = refused(409, code);
  expect(await load().resume()).toBeUndefined();
  expect(load().creation).toBeUndefined();
});

test("a server that cannot be reached is no reason to forget: the follower deals with it", async () => {
  const { runner, load } = openTab();
  await load().create("count");
  runner.instead = ({ path }) => (path.includes("state") ? Promise.reject(new TypeError("fetch failed")) : undefined);
  runner.push("a");
  runner.end();
  expect(await all(await load().resume())).toEqual(["a"]);
});

describe("a creation that fails", () => {
  test("for good is forgotten", async () => {
    const { runner, load } = openTab();
    runner.instead = refused(422, "INVALID_INPUT");
    await expect(load().create("count")).rejects.toMatchObject({ code: "INVALID_INPUT" });
    expect(load().creation).toBeUndefined();
  });

  test("for want of a connection is kept, because the server may have created the runner", async () => {
    vi.useFakeTimers();
    const { runner, load } = openTab();
    runner.instead = () => Promise.reject(new TypeError("fetch failed"));
    const creation = load().create("count");
    creation.catch(noop);
    await vi.advanceTimersByTimeAsync(60_000);
    vi.useRealTimers();
    await expect(creation).rejects.toMatchObject({ code: "SERVER_UNAVAILABLE" });
    expect(load().creation).toMatchObject({ definition: "count" });
  });

  test("does not forget the one that has replaced it", async () => {
    const { runner, load } = openTab();
    const tab = load();
    const answer = createDeferred<Response>();
    runner.instead = () => answer.promise;
    const first = tab.create("count", 1);
    await turns(10);
    runner.instead = () => undefined;
    await load().create("count", 2);
    answer.resolve(refused(422, "INVALID_INPUT")());
    await expect(first).rejects.toMatchObject({ code: "INVALID_INPUT" });
    expect(load().creation).toMatchObject({ input: 2 });
  });
});

test("the place of work that was replaced under its name is not stored any more", async () => {
  const { runner, load } = openTab();
  const former = await load().create("count", 1);
  await load().create("count", 2);
  runner.push("a");
  runner.end();
  await all(former);
  expect([load().creation, load().place]).toMatchObject([{ input: 2 }, { key: "1", offset: 0 }]);
});

test("a signal that aborts ends the wait for the answer with its reason, and forgets nothing", async () => {
  const { runner, load } = openTab();
  await load().create("count");
  runner.instead = ({ signal }) =>
    new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
  const controller = new AbortController();
  const resumed = load().resume({ signal: controller.signal });
  await turns(10);
  controller.abort(new Error("left"));
  await expect(resumed).rejects.toThrow("left");
  expect(load().place).toEqual({ key: "1", offset: 0 });
});

test("onPlace is called besides", async () => {
  const { runner, load } = openTab();
  const places: unknown[] = [];
  runner.push("a");
  runner.end();
  await all(await load().create("count", undefined, { onPlace: (place) => places.push(place) }));
  expect(places).toEqual([
    { key: "1", offset: 0 },
    { key: "1", offset: 1 },
  ]);
});

test("names are apart, and forget deletes only its own", async () => {
  const { load } = openTab();
  await load("one").create("count");
  await load("two").create("count");
  load("one").forget();
  expect([load("one").place, load("two").place]).toEqual([undefined, { key: "1", offset: 0 }]);
});

describe("storage that does not work", () => {
  test.each(["null", "7", '"text"', "{", "[]", "{}"])("an entry of %s counts as none", async (entry) => {
    const { storage, load } = openTab();
    storage.entries.set("active-session:search", entry);
    expect([load().place, await load().resume()]).toEqual([undefined, undefined]);
  });

  test("stores nothing, and nothing fails", async () => {
    const { storage, runner, load } = openTab();
    storage.problem = new DOMException("full", "QuotaExceededError");
    runner.push("a");
    runner.end();
    const saved = load();
    expect(await all(await saved.create("count"))).toEqual(["a"]);
    expect([saved.place, await saved.resume()]).toEqual([undefined, undefined]);
    saved.forget();
  });

  test("is missing outside of a browser, and nothing fails", async () => {
    const { load, runner } = openTab();
    vi.stubGlobal("sessionStorage", undefined); // Node has one from version 25 on
    runner.end();
    expect(await all(await load().create("count"))).toEqual([]);
    expect(load().place).toBeUndefined();
  });
});
