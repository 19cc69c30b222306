import { describe, expect, it, vi } from "vitest";
import { atEnd } from "../../test/support/cleanup.js";
import { listenerCount, openHost, PushSource, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { createDeferred } from "../base/async.js";
import type { Runner } from "../runner/runner.js";
import type { SequenceSource } from "../runner/source.js";
import type { ActiveSession } from "./active-session.js";
import { defineProcessRunner } from "./define.js";
import { createActiveSessions } from "./host.js";
import type { RunnerOptions } from "./options.js";

const endless = async ({ signal }: { signal: AbortSignal }) =>
  new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));

async function listRunners(session: ActiveSession): Promise<Runner[]> {
  const runners: Runner[] = [];
  for await (const runner of session.runners()) runners.push(runner);
  return runners;
}

describe("a new session", () => {
  it("is live: id, generation, suffix, an unfired signal, nothing in it (parity 149)", async () => {
    const host = openHost();
    const session = await host.get("alice", "tab-2");
    expect(session.id).toMatch(/^[A-Za-z0-9_-]{22}\.tab-2$/);
    expect(session.suffix).toBe("tab-2");
    expect(session.generation).toBeGreaterThan(0);
    expect(session.isAvailable).toBe(true);
    expect(session.isFresh).toBe(true);
    expect(session.signal.aborted).toBe(false);
    expect(await listRunners(session)).toEqual([]);
  });

  it("has the same signal and the same clean-up promise whenever it is asked", async () => {
    const session = await openHost().get("alice");
    expect(session.signal).toBe(session.signal);
    expect(session.cleanup).toBe(session.cleanup);
  });
});

describe("creating runners", () => {
  it("numbers them from 0, per session, without reuse (parity 101)", async () => {
    const host = openHost();
    const [alice, bob] = [await host.get("alice"), await host.get("bob")];
    const first = await alice.createSequenceRunner([1]);
    const second = await alice.createProcessRunner(endless);
    const third = await alice.createTimeSeriesRunner({ gauge: () => 1, interval: 1000, count: 1 });
    expect([first.number, second.number, third.number]).toEqual([0, 1, 2]);
    await third[Symbol.asyncDispose]();
    expect((await alice.createSequenceRunner([1])).number).toBe(3);
    expect((await bob.createSequenceRunner([1])).number).toBe(0);
  });

  it("gives parallel creations different numbers (parity 126)", async () => {
    const session = await openHost().get("alice");
    const runners = await Promise.all(Array.from({ length: 20 }, (_, i) => session.createSequenceRunner([i])));
    expect(runners.map((runner) => runner.number)).toEqual([...runners.keys()]);
    const results = await Promise.all(runners.map((runner) => runner.getRequired()));
    expect(results.map(({ result }) => result[0])).toEqual([...runners.keys()]);
  });

  it("does not wait for another creation of the session that hangs (parity 127)", async () => {
    const session = await openHost().get("alice");
    const gate = createDeferred<number[]>();
    const slow = session.createSequenceRunner(() => gate.promise);
    const quick = await session.createSequenceRunner([2]);
    expect(quick.number).toBe(1);
    gate.resolve([1]);
    expect((await slow).number).toBe(0);
  });

  it("makes them findable, with the key in the documented form (parity 125, 187)", async () => {
    const session = await openHost().get("alice", "s");
    const runner = await session.createSequenceRunner([1]);
    expect(runner.key).toBe(`0-${session.generation}-${session.id}`);
    expect(String(runner.id)).toBe(`${session.id}:${session.generation}#0`);
    expect(await session.findRunner(runner.key)).toBe(runner);
  });

  it("gives the work its own session", async () => {
    const session = await openHost().get("alice");
    const seen: unknown[] = [];
    await session.createProcessRunner(async (context) => void seen.push(context.session));
    await session.createSequenceRunner((context) => {
      seen.push(context.session);
      return [];
    });
    expect(seen).toEqual([session, session]);
  });

  it("starts the work at once, or with the first getRequired", async () => {
    const session = await openHost().get("alice");
    const body = vi.fn(async () => 7);
    await session.createProcessRunner(body);
    expect(body).toHaveBeenCalledTimes(1);
    const runner = await session.createProcessRunner(body, { start: "on-first-read" });
    await runner.getAvailable();
    expect((await runner.state()).status).toBe("not-started");
    expect(body).toHaveBeenCalledTimes(1);
    expect(await runner.getRequired()).toMatchObject({ result: 7, status: "completed" });
    expect(body).toHaveBeenCalledTimes(2);
  });

  it("aborts the runner when its signal aborts, and takes its listener off when the runner is final", async () => {
    const session = await openHost().get("alice");
    const controller = new AbortController();
    const runner = await session.createProcessRunner(endless, { signal: controller.signal });
    const done = await session.createProcessRunner(async () => 1, { signal: controller.signal });
    await done.getRequired();
    expect(listenerCount(controller.signal)).toBe(1);
    controller.abort(new Error("enough"));
    expect((await runner.state()).status).toBe("aborted");
    expect((await runner.state()).abortReason).toBe("signal");
    expect(done.status).toBe("completed");
    expect(listenerCount(controller.signal)).toBe(0);
  });

  it("makes an aborted runner, whose work never ran, when its signal has aborted before", async () => {
    const session = await openHost().get("alice");
    const body = vi.fn(async () => 7);
    const runner = await session.createProcessRunner(body, { signal: AbortSignal.abort() });
    expect((await runner.state()).status).toBe("aborted");
    expect((await runner.state()).abortReason).toBe("signal");
    expect(body).not.toHaveBeenCalled();
  });
});

describe("a creation that fails", () => {
  type Attempt = readonly [what: string, source: SequenceSource<number>, options: RunnerOptions, error: object];
  const thrown = new Error("no source");
  const attempts: Attempt[] = [
    ["the source is none", 5 as never, {}, { code: "INVALID_SOURCE" }],
    ["its function gives none", () => 5 as never, {}, { code: "INVALID_SOURCE" }],
    [
      "its function throws",
      () => {
        throw thrown;
      },
      {},
      { code: "RUNNER_START_FAILED", cause: thrown },
    ],
    ["an option is wrong", [1], { aheadLimit: 0 }, { code: "INVALID_OPTION" }],
    ["an option is unknown", [1], { limit: 1 } as RunnerOptions, { code: "INVALID_OPTION" }],
  ];

  it.each(attempts)("leaves nothing behind when %s (parity 122, 128)", async (_what, source, options, error) => {
    const host = openHost();
    const session = await host.get("alice");
    const { signal } = new AbortController();
    await expect(session.createSequenceRunner(source, { signal, ...options })).rejects.toMatchObject(error);
    expect(host.stats()).toMatchObject({ sessions: 1, runners: 0, items: 0 });
    expect(await session.findRunner(0)).toBeUndefined();
    expect(await listRunners(session)).toEqual([]);
    expect(listenerCount(signal)).toBe(0);
  });

  it.each(attempts)("burns its number when %s (parity 101)", async (_what, source, options) => {
    const session = await openHost().get("alice");
    await session.createSequenceRunner(source, options).catch(() => {});
    expect((await session.createSequenceRunner([1])).number).toBe(1);
  });

  it.each(attempts)("releases the holds, the last one first, when %s (parity 160)", async (_what, source, options) => {
    const session = await openHost().get("alice");
    const released: number[] = [];
    const holds = [1, 2, 3].map((n) => () => released.push(n));
    await expect(session.createSequenceRunner(source, { ...options, holds })).rejects.toThrow();
    expect(released).toEqual([3, 2, 1]);
  });

  it.each(attempts)("leaves the session fresh when %s (parity 150)", async (_what, source, options) => {
    const session = await openHost().get("alice");
    await session.createSequenceRunner(source, options).catch(() => {});
    expect(session.isFresh).toBe(true);
  });

  it.each(attempts)("does not pin the session when %s", async (_what, source, options) => {
    vi.useFakeTimers();
    const session = await openHost({ idleTimeout: 100 }).get("alice");
    await session.createSequenceRunner(source, options).catch(() => {});
    await vi.advanceTimersByTimeAsync(100);
    expect(session.isAvailable).toBe(false);
  });

  it("rejects with its own error even if the release of a hold throws, and releases the others", async () => {
    const session = await openHost({ logger: { warn() {} } }).get("alice");
    const released: number[] = [];
    const holds = [
      () => released.push(1),
      () => {
        throw new Error("stuck");
      },
      () => released.push(3),
    ];
    await expect(session.createSequenceRunner(5 as never, { holds })).rejects.toMatchObject({ code: "INVALID_SOURCE" });
    const make = (): number[] => {
      throw thrown;
    };
    await expect(session.createSequenceRunner(make, { holds })).rejects.toMatchObject({ code: "RUNNER_START_FAILED" });
    expect(released).toEqual([3, 1, 3, 1]);
  });

  it("because the session has ended releases the holds (parity 160)", async () => {
    const session = await openHost().get("alice");
    await session.terminate();
    const release = vi.fn();
    await expect(session.createSequenceRunner([1], { holds: [release] })).rejects.toMatchObject({
      code: "SESSION_ENDED",
    });
    expect(release).toHaveBeenCalledTimes(1);
  });

  it("because the session has ended, or an option is wrong, closes a source that was given by value", async () => {
    const session = await openHost().get("ann");
    const cancelled = vi.fn();
    const stream = () => new ReadableStream({ cancel: cancelled });
    await expect(session.createSequenceRunner(stream(), { aheadLimit: 0 })).rejects.toMatchObject({
      code: "INVALID_OPTION",
    });
    expect(cancelled).toHaveBeenCalledTimes(1);
    await session.terminate();
    await expect(session.createSequenceRunner(stream())).rejects.toMatchObject({ code: "SESSION_ENDED" });
    expect(cancelled).toHaveBeenCalledTimes(2);
  });

  it("because another reader has locked the stream leaves it to that reader", async () => {
    const session = await openHost().get("ann");
    const cancelled = vi.fn();
    const stream = new ReadableStream({ cancel: cancelled });
    const reader = stream.getReader();
    await expect(session.createSequenceRunner(stream)).rejects.toMatchObject({ code: "INVALID_SOURCE" });
    reader.releaseLock();
    expect(cancelled).not.toHaveBeenCalled();
  });

  it("because one of the holds is none releases the others (parity 160)", async () => {
    const session = await openHost().get("alice");
    const release = vi.fn();
    const holds = [release, 5 as never];
    await expect(session.createSequenceRunner([1], { holds })).rejects.toMatchObject({ code: "INVALID_OPTION" });
    expect(release).toHaveBeenCalledTimes(1);
  });

  it("because the session ends during its start rejects, and closes the source that comes too late", async () => {
    const host = openHost();
    const session = await host.get("alice");
    const gate = createDeferred<AsyncGenerator<number>>();
    const release = vi.fn();
    const creation = session.createSequenceRunner(() => gate.promise, { holds: [release] });
    const rejected = expect(creation).rejects.toMatchObject({ code: "SESSION_ENDED" });
    const cleanup = session.terminate();
    await turns();
    expect(release).not.toHaveBeenCalled();
    const late = (async function* () {
      yield 1;
    })();
    gate.resolve(late);
    await rejected;
    expect(await cleanup).toEqual({ timedOut: false, errors: [] });
    expect(release).toHaveBeenCalledTimes(1);
    expect(await late.next()).toEqual({ done: true, value: undefined });
  });
});

describe("finding runners", () => {
  it("works by number and by key, and gives the very object", async () => {
    const session = await openHost().get("alice");
    const runner = await session.createSequenceRunner([1]);
    expect(await session.findRunner(runner.number)).toBe(runner);
    expect(await session.findRunner(runner.key)).toBe(runner);
    expect(await session.findSequenceRunner(runner.key)).toBe(runner);
  });

  it("tells the kinds apart (parity 151)", async () => {
    const session = await openHost().get("alice");
    const sequence = await session.createSequenceRunner([1]);
    const series = await session.createTimeSeriesRunner({ gauge: () => 1, interval: 1000, count: 1 });
    const process = await session.createProcessRunner(async () => 1);
    expect(await session.findSequenceRunner(process.key)).toBeUndefined();
    expect(await session.findProcessRunner(sequence.key)).toBeUndefined();
    expect(await session.findProcessRunner(process.key)).toBe(process);
    expect(await session.findSequenceRunner(series.key)).toBe(series);
    expect(await session.findRunner(process.key)).toBe(process);
  });

  it.each([1, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, "", "0", "nonsense", "0-1-x"])(
    "finds nothing for %j (parity 131)",
    async (key) => {
      const session = await openHost().get("alice");
      await session.createSequenceRunner([1]);
      expect(await session.findRunner(key)).toBeUndefined();
    },
  );

  it("finds nothing by the key of another identity, another suffix, or another generation (parity 100, 189)", async () => {
    const host = openHost();
    const former = await host.get("alice");
    const keys = [(await former.createSequenceRunner([1])).key];
    await former.terminate();
    for (const other of [await host.get("bob"), await host.get("alice", "tab-2")]) {
      keys.push((await other.createSequenceRunner([1])).key);
    }
    const session = await host.get("alice");
    const own = await session.createSequenceRunner([1]);
    for (const key of keys) expect(await session.findRunner(key)).toBeUndefined();
    for (const text of [`${own.key}\n`, ` ${own.key}`, `0${own.key}`, `${own.key}.x`]) {
      expect(await session.findRunner(text)).toBeUndefined();
    }
    expect(await session.findRunner(own.key)).toBe(own);
  });

  it("finds a runner that has ended, until it is removed", async () => {
    const session = await openHost().get("alice");
    const runner = await session.createSequenceRunner([1]);
    await runner.getRequired();
    await runner.abort();
    expect(await session.findRunner(0)).toBe(runner);
    await runner[Symbol.asyncDispose]();
    expect(await session.findRunner(0)).toBeUndefined();
    expect(await session.findRunner(runner.key)).toBeUndefined();
  });

  it("lists the runners in order of creation, as of the call", async () => {
    const session = await openHost().get("alice");
    const first = await session.createSequenceRunner([1]);
    const second = await session.createSequenceRunner([2]);
    const seen: unknown[] = [];
    for await (const runner of session.runners()) {
      seen.push(runner);
      await session.createSequenceRunner([3]);
      await second[Symbol.asyncDispose]();
    }
    expect(seen).toEqual([first, second]);
  });
});

describe("freshness", () => {
  it("goes with the first runner that was created (parity 150)", async () => {
    const session = await openHost().get("alice");
    expect(session.isFresh).toBe(true);
    await session.createSequenceRunner([1]);
    expect(session.isFresh).toBe(false);
  });

  it("goes with the first runner that was found, though its creation is still going on (parity 150)", async () => {
    const session = await openHost().get("alice");
    const gate = createDeferred<number[]>();
    const creation = session.createSequenceRunner(() => gate.promise);
    expect(session.isFresh).toBe(true);
    expect(await session.findRunner(0)).toBeDefined();
    expect(session.isFresh).toBe(false);
    gate.resolve([]);
    await creation;
  });

  it("stays when the runner that was found is of another kind, which is no use of it either (parity 150, 151)", async () => {
    vi.useFakeTimers();
    const session = await openHost({ finishedTimeout: 1000 }).get("alice");
    const gate = createDeferred<number[]>();
    atEnd(() => gate.resolve([]));
    const creation = session.createSequenceRunner(() => gate.promise);
    expect(await session.findProcessRunner(0)).toBeUndefined();
    expect(session.isFresh).toBe(true);
    gate.resolve([]);
    const runner = await creation;
    await vi.advanceTimersByTimeAsync(999);
    expect(await session.findProcessRunner(runner.key)).toBeUndefined();
    await vi.advanceTimersByTimeAsync(1);
    expect(await session.findRunner(runner.key)).toBeUndefined();
  });

  it("stays when nothing was found, listed or counted (parity 150)", async () => {
    const host = openHost();
    const session = await host.get("alice");
    await session.findRunner(0);
    await session.findSequenceRunner("0-1-x");
    await listRunners(session);
    host.stats();
    await host.get("alice");
    expect(session.isFresh).toBe(true);
  });
});

describe("properties", () => {
  it("are shared by all that use the session, and can be read but not changed when it has ended (parity 154)", async () => {
    const host = openHost();
    const session = await host.get("alice");
    session.properties.set("cart", ["tea"]);
    expect((await host.get("alice")).properties.get("cart")).toEqual(["tea"]);
    expect((await host.get("alice", "tab-2")).properties.has("cart")).toBe(false);
    await session.terminate();
    expect(session.properties.get("cart")).toEqual(["tea"]);
    expect(() => session.properties.set("cart", [])).toThrow(expect.objectContaining({ code: "SESSION_ENDED" }));
    expect(() => session.properties.delete("cart")).toThrow(expect.objectContaining({ code: "SESSION_ENDED" }));
    expect(session.properties.get("cart")).toEqual(["tea"]);
  });

  it("are iterated as they were, can be copied at any time, and say when they are read-only (parity 155)", async () => {
    const session = await openHost().get("alice");
    const { properties } = session;
    properties.set("a", 1).set("b", 2);
    const seen: unknown[] = [];
    for (const [name, value] of properties) {
      seen.push([name, value]);
      properties.set(`${name}${name}`, 3);
      properties.delete("b");
    }
    expect(seen).toEqual([
      ["a", 1],
      ["b", 2],
    ]);
    expect(properties.isReadOnly).toBe(false);
    await session.terminate();
    expect(properties.isReadOnly).toBe(true);
    expect(new Map(properties)).toEqual(new Map(Object.entries({ a: 1, aa: 3, bb: 3 })));
  });
});

describe("services", () => {
  interface Services extends Disposable {
    readonly of: string;
  }
  const disposed = vi.fn();
  const makeServices = (session: { readonly id: string }): Services => ({ of: session.id, [Symbol.dispose]: disposed });

  it("are made at first use, once for each session, from the session itself", async () => {
    const make = vi.fn(makeServices);
    const host = openHost<Services>({ services: make });
    const [alice, bob] = [await host.get("alice"), await host.get("bob")];
    await alice.createSequenceRunner([1]);
    await alice.createProcessRunner(async () => 1);
    expect(make).not.toHaveBeenCalled();
    const services = alice.services;
    expect(services.of).toBe(alice.id);
    expect(alice.services).toBe(services);
    expect(bob.services.of).toBe(bob.id);
    expect(make.mock.calls).toEqual([[alice], [bob]]);
  });

  it("are the same for the work of all runners of a session", async () => {
    const make = vi.fn(makeServices);
    const session = await openHost<Services>({ services: make }).get("alice");
    const seen: unknown[] = [];
    await session.createProcessRunner(async (context) => void seen.push(context.services));
    await session.createSequenceRunner((context) => {
      seen.push(context.services);
      return [];
    });
    expect(seen).toEqual([session.services, session.services]);
    expect(make).toHaveBeenCalledTimes(1);
  });

  it("are undefined if the host has none", async () => {
    expect((await openHost().get("alice")).services).toBeUndefined();
  });

  it("are made once even if what is made is undefined", async () => {
    const make = vi.fn(() => undefined);
    const session = await openHost({ services: make }).get("alice");
    expect([session.services, session.services]).toEqual([undefined, undefined]);
    expect(make).toHaveBeenCalledTimes(1);
  });

  it("that cannot be made throw what the factory throws, and are tried again at the next use", async () => {
    const error = new Error("no database");
    const make = vi.fn(makeServices).mockImplementationOnce(() => {
      throw error;
    });
    const session = await openHost<Services>({ services: make }).get("alice");
    expect(() => session.services).toThrow(error);
    expect(session.services.of).toBe(session.id);
    expect(make).toHaveBeenCalledTimes(2);
  });

  it("that cannot be made let the runner fail that asked for them, nothing else", async () => {
    const error = new Error("no database");
    const host = openHost<Services>({
      services: () => {
        throw error;
      },
    });
    const session = await host.get("alice");
    const runner = await session.createProcessRunner(async (context) => void context.services);
    expect(await runner.getRequired()).toMatchObject({ status: "failed", error: { cause: error } });
    expect(session.isAvailable).toBe(true);
    expect(await session.terminate()).toEqual({ timedOut: false, errors: [] });
  });

  it("are disposed when the session has ended, after its runners were cleaned up", async () => {
    disposed.mockClear();
    const session = await openHost<Services>({ services: makeServices }).get("alice");
    const gate = createDeferred();
    void session.services;
    await session.createProcessRunner(() => gate.promise);
    const cleanup = session.terminate();
    await turns();
    expect(disposed).not.toHaveBeenCalled();
    gate.resolve();
    await cleanup;
    expect(disposed).toHaveBeenCalledTimes(1);
  });

  it("that were never used are neither made nor disposed at the end", async () => {
    disposed.mockClear();
    const make = vi.fn(makeServices);
    const session = await openHost<Services>({ services: make }).get("alice");
    await session.createSequenceRunner([1]);
    await session.terminate();
    expect(make).not.toHaveBeenCalled();
    expect(disposed).not.toHaveBeenCalled();
  });

  it("cannot be made any more when the session has ended; those there are stay readable", async () => {
    const make = vi.fn(makeServices);
    const host = openHost<Services>({ services: make });
    const [used, unused] = [await host.get("alice"), await host.get("bob")];
    const services = used.services;
    await Promise.all([used.terminate(), unused.terminate()]);
    expect(used.services).toBe(services);
    expect(() => unused.services).toThrow(expect.objectContaining({ code: "SESSION_ENDED" }));
    expect(make).toHaveBeenCalledTimes(1);
  });

  it("that are a function are not called at the end", async () => {
    const service = vi.fn();
    const session = await openHost({ services: () => service }).get("alice");
    expect(session.services).toBe(service);
    await session.terminate();
    expect(service).not.toHaveBeenCalled();
  });
});

describe("a session that has ended", () => {
  async function openEnded() {
    const session = await openHost().get("alice");
    const runner = await session.createSequenceRunner([1, 2, 3]);
    await session.terminate();
    return { session, runner };
  }

  it("creates and finds nothing: SESSION_ENDED as a rejection (parity 102, 152)", async () => {
    const { session, runner } = await openEnded();
    const ended = { code: "SESSION_ENDED", status: 410 };
    const body = vi.fn(async () => 1);
    await expect(session.createSequenceRunner([1])).rejects.toMatchObject(ended);
    await expect(session.createProcessRunner(body)).rejects.toMatchObject(ended);
    await expect(session.createTimeSeriesRunner({ gauge: body, interval: 1 })).rejects.toMatchObject(ended);
    await expect(session.findRunner(runner.key)).rejects.toMatchObject(ended);
    await expect(session.findRunner(0)).rejects.toMatchObject(ended);
    await expect(session.findSequenceRunner(runner.key)).rejects.toMatchObject(ended);
    await expect(session.findProcessRunner(runner.key)).rejects.toMatchObject(ended);
    expect(body).not.toHaveBeenCalled();
  });

  it("refuses with one and the same error whatever would make, take or change something (parity 152, 161; design §4)", async () => {
    const session = await openHost({ services: () => ({}) }).get("alice");
    const { properties } = session;
    await session.terminate();
    const definition = defineProcessRunner({ name: "x", run: async () => 1 });
    const attempts: (() => unknown)[] = [
      () => session.createSequenceRunner([1]),
      () => session.createProcessRunner(async () => 1),
      () => session.createTimeSeriesRunner({ gauge: () => 1, interval: 1 }),
      () => session.createRunner(definition, undefined),
      () => session.findRunner(0),
      () => session.findRunner(definition, 0),
      () => session.lock("any"),
      () => session.own(() => {}),
      () => properties.set("a", 1),
      () => session.properties.delete("a"),
      () => session.services,
      () => session.group,
    ];
    for (const attempt of attempts) {
      await expect((async () => attempt())()).rejects.toMatchObject({ code: "SESSION_ENDED", status: 410 });
    }
  });

  it("still tells who it was, and has no runners", async () => {
    const { session } = await openEnded();
    expect(session.isAvailable).toBe(false);
    expect(session.id).toMatch(/^[\w-]{22}$/);
    expect(session.generation).toBeGreaterThan(0);
    expect(session.signal.aborted).toBe(true);
    expect(await listRunners(session)).toEqual([]);
  });

  it("has a signal that has aborted with SESSION_ENDED, also if it was not read before", async () => {
    const host = openHost();
    const [seen, unseen] = [await host.get("alice"), await host.get("bob")];
    const { signal } = seen;
    await Promise.all([seen.terminate(), unseen.terminate()]);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toMatchObject({ code: "SESSION_ENDED" });
    expect(unseen.signal.reason).toMatchObject({ code: "SESSION_ENDED" });
  });

  it("refuses reads of its runners with RUNNER_GONE; their abort still answers", async () => {
    const { runner } = await openEnded();
    await expect(runner.getRequired()).rejects.toMatchObject({ code: "RUNNER_GONE", status: 410 });
    await expect(runner.getAvailable()).rejects.toMatchObject({ code: "RUNNER_GONE" });
    expect(await runner.abort()).toBe("aborted");
  });

  it("gives the same clean-up promise from terminate and cleanup, however often it is asked (parity 106, 156, 158)", async () => {
    const session = await openHost().get("alice");
    const { cleanup } = session;
    const first = session.terminate();
    expect(session.isAvailable).toBe(false);
    expect(first).toBe(cleanup);
    expect(session.terminate()).toBe(first);
    await first;
    expect(session.terminate()).toBe(first);
    expect(session.cleanup).toBe(first);
  });

  it("leaves pending reads with what they have (parity 35)", async () => {
    const session = await openHost().get("alice");
    const source = new PushSource<number>();
    const runner = await session.createSequenceRunner(source);
    const read = runner.getRequired({ advance: 5 });
    source.push(1, 2);
    await turns();
    await session.terminate();
    expect(await read).toEqual({ result: [1, 2], status: "aborted", position: 2 });
    expect(source.returns).toBe(1);
  });
});

describe("a session's id", () => {
  it("is stable with the same secret and differs with another one; default secrets are random", async () => {
    const secret = new TextEncoder().encode("a secret");
    const options = [{ secret: "a secret" }, { secret }, { secret: "another" }, {}, {}];
    const ids: string[] = [];
    for (const given of options) {
      const host = createActiveSessions(given);
      atEnd(() => host.close());
      ids.push((await host.get("alice")).id);
    }
    expect(ids[0]).toBe("xa2r2FlRNUU3lwM5U57jMw");
    expect(ids[1]).toBe(ids[0]);
    expect(new Set(ids).size).toBe(4);
  });

  it("and its runners' keys never contain the identity", async () => {
    const session = await openHost({ secret: "s" }).get("alice@example.com");
    const runner = await session.createSequenceRunner([1]);
    for (const text of [session.id, runner.key, String(runner.id), JSON.stringify(await runner.state())]) {
      expect(text.toLowerCase()).not.toContain("alice");
      expect(text).not.toContain(Buffer.from("alice@example.com").toString("base64url").slice(0, 12));
    }
  });
});

describe("a session that has ended", () => {
  it("leaves its successor alone, whatever is done with it (parity 140, 141)", async () => {
    const host = openHost();
    const former = await host.get("alice");
    const cleanup = former.terminate();
    const session = await host.get("alice");
    const runner = await session.createSequenceRunner([1]);
    expect(former.terminate()).toBe(cleanup);
    await cleanup;
    expect(former.terminate()).toBe(cleanup);
    expect([former.isAvailable, session.isAvailable]).toEqual([false, true]);
    expect(await host.find("alice")).toBe(session);
    expect(await session.findRunner(runner.key)).toBe(runner);
  });

  it("says so at once, before anything of it is cleaned up (parity 158)", async () => {
    const session = await openHost().get("alice");
    const gate = createDeferred();
    await session.createProcessRunner(() => gate.promise);
    const cleanup = session.terminate();
    expect(session.isAvailable).toBe(false);
    gate.resolve();
    await cleanup;
    expect(session.isAvailable).toBe(false);
  });

  it("does not wait for its idle time any more, also if its end has settled a read: nothing keeps it", async () => {
    const session = await openHost().get("alice");
    const runner = await session.createSequenceRunner(new PushSource<number>());
    const reading = runner.getRequired();
    await session.terminate();
    expect(await reading).toMatchObject({ result: [], status: "aborted" });
    expect(inside(session).expiresAt).toBe(0);
  });
});

describe("a creation whose client could not come back", () => {
  it("is refused, aborts its runner and waits for its clean-up; nothing is left of it (parity 123, 129)", async () => {
    const host = openHost({ logger: { warn() {} } });
    const session = await host.get("alice");
    const [saving, closing] = [createDeferred(), createDeferred()];
    inside(session).publish(saving.promise);
    const source = new PushSource<number>();
    source.onReturn = () => closing.promise;
    const released = vi.fn();
    const creation = session.createSequenceRunner(source, { holds: [released] });
    const cause = new Error("the disk is full");
    await turns();
    const runner = inside(session).peek(0);
    saving.reject(cause);
    await turns();
    expect([runner?.status, runner?.abortReason, source.returns]).toEqual(["aborted", "stopped", 1]);
    expect([inside(session).peek(0), released.mock.calls.length]).toEqual([undefined, 0]);
    const rejected = expect(creation).rejects.toMatchObject({ code: "IDENTITY_NOT_SAVED", cause });
    closing.resolve();
    await rejected;
    expect([released.mock.calls.length, host.stats().runners, session.isAvailable]).toEqual([1, 0, true]);
  });
});
