import { describe, expect, it, vi } from "vitest";
import { isPending, openHost, turns } from "../../test/support/control.js";
import { createDeferred } from "../base/async.js";
import { defineProperty } from "./properties.js";

const ended = expect.objectContaining({ code: "SESSION_ENDED" });

/** The properties of a session and of its client's group keep the same rules; only their ends differ. */
const owners = [
  [
    "a session",
    async () => {
      const session = await openHost().get("ann");
      return { properties: session.properties, signal: session.signal, end: () => session.terminate() };
    },
  ],
  [
    "a group",
    async () => {
      const session = await openHost().get("ann");
      const { group } = session;
      const end = async () => {
        await session.terminate();
        return group.cleanup;
      };
      return { properties: group.properties, signal: group.signal, end };
    },
  ],
] as const;

describe.each(owners)("the properties of %s", (_owner, open) => {
  it("are set, found, counted and deleted by name (parity 154)", async () => {
    const { properties } = await open();
    expect(properties.set("a", 1).set("b", undefined)).toBe(properties);
    expect([properties.get("a"), properties.get("b"), properties.get("c")]).toEqual([1, undefined, undefined]);
    expect([properties.has("a"), properties.has("b"), properties.has("c"), properties.size]).toEqual([
      ...[true, true, false],
      2,
    ]);
    expect([properties.delete("a"), properties.delete("a"), properties.size]).toEqual([true, false, 1]);
  });

  it("are found by their definition and by its name alike", async () => {
    const { properties } = await open();
    const cart = defineProperty<string[]>("cart");
    properties.set(cart, ["tea"]);
    expect([properties.get(cart), properties.get("cart"), properties.has("cart")]).toEqual([["tea"], ["tea"], true]);
    expect([properties.delete(cart), properties.has("cart")]).toEqual([true, false]);
  });

  it.each(["", 5, null, undefined, {}, { name: "" }])("cannot have the name %j", async (name) => {
    const { properties } = await open();
    const wrong = expect.objectContaining({ code: "INVALID_ARGUMENT" });
    expect(() => properties.get(name as string)).toThrow(wrong);
    expect(() => properties.set(name as string, 1)).toThrow(wrong);
    expect(() => properties.delete(name as string)).toThrow(wrong);
    await expect(properties.getOrCreate(name as string, () => 1)).rejects.toEqual(wrong);
    expect(() => defineProperty(name as string)).toThrow(wrong);
    expect(properties.size).toBe(0);
  });

  it("are iterated as they were at the beginning, whatever the loop does to them (parity 155)", async () => {
    const { properties } = await open();
    properties.set("a", 1).set("b", 2);
    const [keys, values, entries] = [properties.keys(), properties.values(), properties.entries()];
    const seen: unknown[] = [];
    for (const [name, value] of properties) {
      seen.push([name, value]);
      properties.delete("b");
      properties.set(`${name}+`, 0);
    }
    const asBefore: [string, number][] = [
      ["a", 1],
      ["b", 2],
    ];
    expect(seen).toEqual(asBefore);
    expect([[...keys], [...values], [...entries]]).toEqual([["a", "b"], [1, 2], asBefore]);
    expect([...properties.keys()]).toEqual(["a", "a+", "b+"]);
  });

  it("can be read and copied after the end, but not changed; isReadOnly says so (parity 154, 155)", async () => {
    const { properties, end } = await open();
    properties.set("a", 1);
    expect(properties.isReadOnly).toBe(false);
    await end();
    expect(properties.isReadOnly).toBe(true);
    expect(() => properties.set("a", 2)).toThrow(ended);
    expect(() => properties.delete("a")).toThrow(ended);
    await expect(properties.getOrCreate("b", () => 2)).rejects.toEqual(ended);
    expect([properties.get("a"), properties.has("a"), properties.size, [...properties]]).toEqual([
      ...[1, true, 1],
      [["a", 1]],
    ]);
    expect(await properties.getOrCreate("a", () => 2)).toBe(1);
  });

  it("cannot be changed any more by listeners of the end (parity 153, 154)", async () => {
    const { properties, signal, end } = await open();
    const told = vi.fn(() => expect(() => properties.set("a", 1)).toThrow(ended));
    signal.addEventListener("abort", told);
    await end();
    expect(told).toHaveReturnedTimes(1);
    expect(properties.size).toBe(0);
  });

  it("are not disposed with their owner", async () => {
    const { properties, end } = await open();
    const dispose = vi.fn();
    properties.set("a", { [Symbol.dispose]: dispose });
    properties.set("b", { [Symbol.asyncDispose]: dispose });
    properties.delete("b");
    await end();
    expect(dispose).not.toHaveBeenCalled();
  });

  it("that come too late, after the end, are disposed; calls that wait for them get SESSION_ENDED", async () => {
    const { properties, end } = await open();
    const [sync, async] = [vi.fn(), vi.fn()];
    const [first, second, third] = [createDeferred<Disposable>(), createDeferred<AsyncDisposable>(), createDeferred()];
    const waiting = [
      properties.getOrCreate("a", () => first.promise),
      properties.getOrCreate("a", () => first.promise),
      properties.getOrCreate("b", () => second.promise),
      properties.getOrCreate("c", () => third.promise),
    ].map((promise) => expect(promise).rejects.toEqual(ended));
    await turns();
    await end();
    expect([sync, async].map((dispose) => dispose.mock.calls.length)).toEqual([0, 0]);
    first.resolve({ [Symbol.dispose]: sync });
    second.resolve({ [Symbol.asyncDispose]: async });
    third.resolve();
    await Promise.all(waiting);
    expect([sync, async].map((dispose) => dispose.mock.calls.length)).toEqual([1, 1]);
    expect(properties.size).toBe(0);
  });
});

it("the properties are the same for all requests of a session, and another session's are others (parity 154)", async () => {
  const host = openHost();
  (await host.get("ann")).properties.set("a", 1);
  expect((await host.get("ann")).properties.get("a")).toBe(1);
  expect((await host.get("ann", "tab")).properties.has("a")).toBe(false);
  expect((await host.get("bob")).properties.has("a")).toBe(false);
});

it("the properties of a session that has ended are read-only also when they were not read before (parity 154)", async () => {
  const session = await openHost().get("ann");
  await session.terminate();
  expect([session.properties.isReadOnly, session.properties.size]).toEqual([true, 0]);
  expect(() => session.properties.set("a", 1)).toThrow(ended);
});

it("the properties of the next generation are new ones (parity 154)", async () => {
  const host = openHost();
  const session = await host.get("ann");
  session.properties.set("a", 1);
  await session.terminate();
  expect((await host.get("ann")).properties.has("a")).toBe(false);
});

describe("getOrCreate", () => {
  async function open() {
    const session = await openHost().get("ann");
    return { session, properties: session.properties };
  }

  it("gives what is there, without calling the factory", async () => {
    const { properties } = await open();
    const factory = vi.fn();
    properties.set("a", undefined);
    expect(await properties.getOrCreate("a", factory)).toBeUndefined();
    expect(factory).not.toHaveBeenCalled();
  });

  it("runs a synchronous factory once, however many ask at the same time", async () => {
    const { properties } = await open();
    const factory = vi.fn(() => ({}));
    const [first, ...others] = await Promise.all([1, 2, 3].map(() => properties.getOrCreate("a", factory)));
    expect(others.every((value) => value === first)).toBe(true);
    expect(properties.get("a")).toBe(first);
    expect(await properties.getOrCreate("a", factory)).toBe(first);
    expect(factory).toHaveBeenCalledTimes(1);
  });

  it("runs an asynchronous factory once, and all wait for its value", async () => {
    const { properties } = await open();
    const gate = createDeferred<object>();
    const factory = vi.fn(() => gate.promise);
    const all = [properties.getOrCreate("a", factory), properties.getOrCreate("a", factory)];
    expect(await isPending(Promise.race(all))).toBe(true);
    expect(properties.has("a")).toBe(false);
    all.push(properties.getOrCreate("a", factory));
    const value = {};
    gate.resolve(value);
    for (const got of await Promise.all(all)) expect(got).toBe(value);
    expect(factory).toHaveBeenCalledTimes(1);
  });

  it("makes different properties independently: one that hangs does not hold up another", async () => {
    const { properties } = await open();
    const gate = createDeferred<number>();
    const slow = properties.getOrCreate("slow", () => gate.promise);
    expect(await properties.getOrCreate("quick", () => 2)).toBe(2);
    gate.resolve(1);
    expect(await slow).toBe(1);
  });

  it("may be used by a factory for another property", async () => {
    const { properties } = await open();
    const outer = properties.getOrCreate("outer", async () => [await properties.getOrCreate("inner", () => 1)]);
    expect(await outer).toEqual([1]);
    expect(await properties.getOrCreate("inner", () => 2)).toBe(1);
  });

  it("runs once also when the factory itself asks for the property", async () => {
    const { properties } = await open();
    const own: Promise<number>[] = [];
    const factory = vi.fn(() => {
      own.push(properties.getOrCreate("a", factory));
      return 1;
    });
    expect(await properties.getOrCreate("a", factory)).toBe(1);
    expect([await own[0], factory.mock.calls.length]).toEqual([1, 1]);
  });

  const error = new Error("no value");
  it.each([
    [
      "throws",
      () => {
        throw error;
      },
    ],
    ["rejects", () => Promise.reject(error)],
  ])("fails for all waiting calls when the factory %s, and the next call tries again", async (_how, fails) => {
    const { properties } = await open();
    const factory = vi.fn<() => number | Promise<number>>(() => 2).mockImplementationOnce(fails);
    const both = [properties.getOrCreate("a", factory), properties.getOrCreate("a", factory)];
    for (const result of await Promise.allSettled(both)) expect(result).toEqual({ status: "rejected", reason: error });
    expect(properties.has("a")).toBe(false);
    expect(factory).toHaveBeenCalledTimes(1);
    expect(await properties.getOrCreate("a", factory)).toBe(2);
  });

  it("waits for a factory that hangs no longer than the session lives", async () => {
    const host = openHost();
    const session = await host.get("user");
    const gate = createDeferred<Disposable>();
    const dispose = vi.fn();
    const creation = session.properties.getOrCreate("a", () => gate.promise);
    const ofItself = session.properties.getOrCreate("b", () => session.properties.getOrCreate("b", () => 1));
    await turns();
    await session.terminate();
    await expect(creation).rejects.toMatchObject({ code: "SESSION_ENDED" });
    await expect(ofItself).rejects.toMatchObject({ code: "SESSION_ENDED" });
    gate.resolve({ [Symbol.dispose]: dispose });
    await turns();
    expect(dispose).toHaveBeenCalledTimes(1);
  });

  it("gives the value that was set although the one that comes too late cannot be disposed, and reports that", async () => {
    const warn = vi.fn();
    const { properties } = await openHost({ logger: { warn } }).get("user");
    const gate = createDeferred<Disposable>();
    const creation = properties.getOrCreate<unknown>("a", () => gate.promise);
    await turns();
    properties.set("a", "mine");
    const error = new Error("stuck");
    gate.resolve({
      [Symbol.dispose]: () => {
        throw error;
      },
    });
    expect(await creation).toBe("mine");
    expect(warn).toHaveBeenCalledWith(expect.objectContaining({ error }), expect.stringContaining("too late"));
  });

  it("gives the value that was set meanwhile, and disposes the one that comes too late", async () => {
    const { properties } = await open();
    const gate = createDeferred<Disposable>();
    const dispose = vi.fn();
    const creation = properties.getOrCreate("a", () => gate.promise);
    await turns();
    const other = { [Symbol.dispose]: vi.fn() };
    properties.set("a", other);
    gate.resolve({ [Symbol.dispose]: dispose });
    expect(await creation).toBe(other);
    expect(properties.get("a")).toBe(other);
    expect([dispose, other[Symbol.dispose]].map(({ mock }) => mock.calls.length)).toEqual([1, 0]);
  });

  it("never calls a function that comes too late: it is a value and no disposer", async () => {
    const { properties } = await open();
    const gate = createDeferred<() => void>();
    const value = vi.fn();
    const creation = properties.getOrCreate("a", () => gate.promise);
    await turns();
    properties.set("a", noValue);
    gate.resolve(value);
    expect(await creation).toBe(noValue);
    expect(value).not.toHaveBeenCalled();
  });
  const noValue = () => {};

  it("keeps a value that was deleted before it was there", async () => {
    const { properties } = await open();
    const gate = createDeferred<number>();
    const creation = properties.getOrCreate("a", () => gate.promise);
    expect(properties.delete("a")).toBe(false);
    gate.resolve(1);
    expect([await creation, properties.get("a")]).toEqual([1, 1]);
  });
});
