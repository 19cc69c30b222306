import { afterEach, describe, expect, test, vi } from "vitest";
import { FakeRunner, runnersUrl } from "../test/support/fake-runner.js";
import { createClient } from "./client/client.js";
import { forget, saveAs, saved } from "./resume.js";

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

function openStorage(): FakeStorage {
  const storage = new FakeStorage();
  vi.stubGlobal("sessionStorage", storage);
  return storage;
}

const place = { key: "1-2-abc", offset: 20 };

afterEach(() => {
  vi.unstubAllGlobals();
});

test("a place is kept under its name, the newest one, until it is forgotten", () => {
  openStorage();
  expect(saved("search")).toBeUndefined();
  saveAs("search").onPlace(place);
  saveAs("other").onPlace({ key: "3", offset: 0 });
  expect(saved("search")).toEqual(place);
  saveAs("search").onPlace({ ...place, offset: 40 });
  expect(saved("search")).toEqual({ ...place, offset: 40 });
  forget("search");
  expect(saved("search")).toBeUndefined();
  expect(saved("other")).toEqual({ key: "3", offset: 0 });
  forget("search");
});

test("names of the application's own entries are not taken", () => {
  const { entries } = openStorage();
  entries.set("search", "mine");
  saveAs("search").onPlace(place);
  forget("search");
  expect([...entries]).toEqual([["search", "mine"]]);
});

test.each(["__proto__", "", "a:b", "ä"])("any name will do: %j", (name) => {
  openStorage();
  saveAs(name).onPlace(place);
  expect(saved(name)).toEqual(place);
});

describe("a storage", () => {
  test("that is full keeps what it has, and throws no error", () => {
    const storage = openStorage();
    saveAs("search").onPlace(place);
    storage.problem = new DOMException("The quota has been exceeded", "QuotaExceededError");
    expect(() => saveAs("search").onPlace({ ...place, offset: 40 })).not.toThrow();
    storage.problem = undefined;
    expect(saved("search")).toEqual(place);
  });

  test("whose use is forbidden keeps nothing", () => {
    const storage = openStorage();
    storage.problem = new DOMException("Access is denied", "SecurityError");
    saveAs("search").onPlace(place);
    expect(saved("search")).toBeUndefined();
    forget("search");
  });

  test("that must not even be looked at keeps nothing", () => {
    const usual = Object.getOwnPropertyDescriptor(globalThis, "sessionStorage");
    const get = () => {
      throw new DOMException("Access is denied", "SecurityError");
    };
    Object.defineProperty(globalThis, "sessionStorage", { configurable: true, get });
    try {
      saveAs("search").onPlace(place);
      expect(saved("search")).toBeUndefined();
      forget("search");
    } finally {
      Reflect.deleteProperty(globalThis, "sessionStorage");
      if (usual) Object.defineProperty(globalThis, "sessionStorage", usual);
    }
  });

  test("that is not there keeps nothing", () => {
    vi.stubGlobal("sessionStorage", undefined);
    saveAs("search").onPlace(place);
    expect(saved("search")).toBeUndefined();
    forget("search");
  });

  test.each(["", "{", '{"key":"1-2-a', "null", "undefined"])("in which there is %j has no place", (text) => {
    const { entries } = openStorage();
    saveAs("search").onPlace(place);
    for (const name of entries.keys()) entries.set(name, text);
    expect(saved("search")).toBeUndefined();
    saveAs("search").onPlace(place);
    expect(saved("search")).toEqual(place);
  });
});

test("after a reload the runner is followed from where the tab was, and no second one is created", async () => {
  openStorage();
  const runner = new FakeRunner();
  runner.push("a", "b");
  const open = async () => {
    const client = createClient(runnersUrl, { fetch: runner.fetch });
    const place = saved("search");
    return place
      ? client.follow<string>(place.key, { offset: place.offset, ...saveAs("search") })
      : ((await client.create("count", undefined, saveAs("search"))) as ReturnType<typeof client.follow<string>>);
  };
  const taken: string[] = [];
  const first = await open();
  for await (const { items, position } of first.updates()) {
    taken.push(...items);
    if (position === 2) runner.push("c");
    if (position === 3) runner.push("d");
    if (position === 4) break; // the reload, before "d" was seen to
  }
  runner.push("e");
  runner.end();
  const again: string[] = [];
  for await (const item of await open()) again.push(item);
  expect([taken, again]).toEqual([
    ["a", "b", "c", "d"],
    ["d", "e"],
  ]);
  expect(runner.requests.filter((request) => request === "POST /count")).toHaveLength(1);
});

test("a reload before anything was shown finds the runner, from its beginning", async () => {
  openStorage();
  const runner = new FakeRunner();
  runner.push("a", "b");
  const client = createClient(runnersUrl, { fetch: runner.fetch });
  await client.create("count", undefined, saveAs("search"));
  expect(saved("search")).toEqual({ key: "1", offset: 0 });
});
