import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { describe, expect, test, vi } from "vitest";
import { isPending, listenerCount, openHost, PushSource, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { createDeferred } from "../base/async.js";
import type { Runner } from "../runner/runner.js";
import type { Source } from "../runner/source.js";
import type { ActiveSession } from "./active-session.js";
import { defineSequenceRunner } from "./define.js";
import type { ActiveSessionsOptions } from "./options.js";

/** A session, and creations in it under idempotency keys; each one's source is what `make` then gives. */
async function open(options: ActiveSessionsOptions<ActiveSession> = {}) {
  const host = openHost({ logger: { warn: () => {} }, ...options });
  const session = await host.get("ann");
  const make = vi.fn((): Source<unknown> | Promise<Source<unknown>> => new PushSource<unknown>());
  const definition = defineSequenceRunner({ name: "work", run: () => make() });
  /** Also rejects where it throws. */
  const create = async (key: string, fingerprint = "input") =>
    inside(session).createChecked(definition, undefined, { key, fingerprint });
  const find = (key: string, fingerprint = "input") => inside(session).findCreated({ key, fingerprint });
  const stop = (key: string) => inside(session).stopCreated(key);
  return { host, session, make, create, find, stop };
}

const code = (name: string) => expect.objectContaining({ code: name });

/** The code of the error that a promise rejects with; "fulfilled" if it does not. */
const outcome = (promise: Promise<unknown> | undefined) =>
  Promise.resolve(promise).then(
    () => "fulfilled",
    (error: { code?: string }) => error.code,
  );

/** Whether they are one and the same; what an assertion would print of runners has no end. */
const areOne = (...runners: (Runner | undefined)[]) => new Set(runners).size === 1 && runners[0] !== undefined;

async function standing(runner: Runner) {
  const { status, abortReason } = await runner.state();
  return { status, abortReason };
}

const range = (count: number) => Array.from({ length: count }, (_, i) => String(i));

describe("creations under one key", () => {
  test("have the same runner, one after the other and at once", async () => {
    const { session, make, create, find } = await open();
    const [first, second] = [create("a"), create("a")];
    expect(areOne(await first, await second, await create("a"), await find("a"))).toBe(true);
    expect([make.mock.calls.length, inside(session).runnerCount]).toEqual([1, 1]);
  });

  test("wait for one creation, if that takes its time", async () => {
    const { session, make, create, find } = await open();
    const saved = createDeferred();
    inside(session).publish(saved.promise);
    const all = [create("a"), create("a"), find("a")!];
    for (const one of all) expect(await isPending(one)).toBe(true);
    saved.resolve();
    expect(areOne(...(await Promise.all(all)))).toBe(true);
    expect(make).toHaveBeenCalledTimes(1);
  });

  test("give the runner as long as it is there, whatever its status", async () => {
    const { make, create } = await open();
    make.mockReturnValue([1, 2]);
    const runner = await create("a");
    await runner.getAvailable({ start: 0 });
    await runner.getAvailable({ start: 2 });
    expect((await runner.state()).status).toBe("completed");
    expect(areOne(runner, await create("a"))).toBe(true);
  });

  test("are not shared: another key, no key and another session have runners of their own", async () => {
    const { host, session, create } = await open();
    const definition = defineSequenceRunner({ name: "work", run: () => [1] });
    const once = { key: "a", fingerprint: "input" };
    const all = [
      await create("a"),
      await create("b"),
      await inside(session).createChecked(definition, undefined),
      await inside(session).createChecked(definition, undefined),
      await inside(await host.get("bob")).createChecked(definition, undefined, once),
      await inside(await host.get("ann", "tab")).createChecked(definition, undefined, once),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  test("are unknown before the first of them", async () => {
    const { create, find } = await open();
    expect(find("a")).toBeUndefined();
    await create("a");
    expect(find("b")).toBeUndefined();
  });
});

describe("another input under the same key is refused", () => {
  test.each<[string, (session: Awaited<ReturnType<typeof open>>) => Promise<unknown>]>([
    ["once the runner is there", ({ create }) => create("a")],
    ["when the runner is gone", async ({ create }) => (await create("a")).dispose("stopped")],
    [
      "when the runner was stopped",
      async ({ create, stop }) => {
        await create("a");
        void stop("a");
      },
    ],
  ])("%s", async (_, before) => {
    const opened = await open();
    await before(opened);
    await expect(opened.create("a", "other")).rejects.toThrow(code("IDEMPOTENCY_KEY_REUSED"));
    await expect(opened.find("a", "other")).rejects.toThrow(code("IDEMPOTENCY_KEY_REUSED"));
    expect(opened.make).toHaveBeenCalledTimes(1);
  });

  test("at once while the first creation still waits, which goes on", async () => {
    const { make, create } = await open();
    const opened = createDeferred<Source<unknown>>();
    make.mockReturnValue(opened.promise);
    const first = create("a");
    await expect(create("a", "other")).rejects.toThrow(code("IDEMPOTENCY_KEY_REUSED"));
    opened.resolve([]);
    await first;
  });
});

describe("a creation that fails", () => {
  test("fails for all that wait for it, and can be tried again, with another input too", async () => {
    const { make, create, find } = await open();
    make.mockImplementationOnce(() => {
      throw new Error("not now");
    });
    const all = [create("a"), create("a"), find("a")];
    expect(await Promise.all(all.map(outcome))).toEqual(Array(3).fill("RUNNER_START_FAILED"));
    expect(find("a")).toBeUndefined();
    const runner = await create("a", "other");
    expect(areOne(runner, await create("a", "other"))).toBe(true);
    expect(make).toHaveBeenCalledTimes(2);
  });

  test("for a limit can be tried again when there is room", async () => {
    const { session, create, host } = await open({ limits: { runnersPerClient: 1 } });
    const inTheWay = await session.createSequenceRunner([]);
    await expect(create("a")).rejects.toThrow(code("CLIENT_LIMIT_REACHED"));
    await inside(inTheWay).dispose("stopped");
    const runner = await create("a");
    expect(areOne(runner, await create("a"))).toBe(true);
    expect(host.stats().runners).toBe(1);
  });

  test("before there is a runner at all can be tried again", async () => {
    const { session, find } = await open();
    const produce = vi.fn(() => undefined as never);
    const definition = defineSequenceRunner({ name: "broken", produce });
    const once = { key: "a", fingerprint: "input" };
    for (const attempt of [1, 2]) {
      expect(await outcome(inside(session).createChecked(definition, undefined, once))).toBe("INVALID_SOURCE");
      expect(produce).toHaveBeenCalledTimes(attempt);
      expect(find("a")).toBeUndefined();
    }
  });

  test("leaves no runner and no listener behind", async () => {
    const { session, make, create } = await open();
    let runner: Runner | undefined;
    make.mockImplementation(() => {
      runner = inside(session).allRunners()[0];
      throw new Error("not now");
    });
    await outcome(create("a"));
    expect([inside(session).runnerCount, listenerCount(inside(runner!).removal)]).toEqual([0, 0]);
  });
});

describe("when the runner is gone", () => {
  test.each<[string, (runner: Runner) => void]>([
    ["removed", (runner) => void inside(runner).dispose("stopped")],
    ["idled out", () => vi.advanceTimersByTime(10_000)],
  ])("(%s) the key makes no other one, and there is nothing to stop", async (_, remove) => {
    vi.useFakeTimers();
    const { make, create, find, stop } = await open({ finishedTimeout: 10_000 });
    make.mockReturnValue([1]);
    remove(await create("a"));
    for (const again of [create("a"), find("a")]) expect(await outcome(again)).toBe("RUNNER_GONE");
    for (let i = 0; i < 2; i++) await expect(stop("a")).rejects.toEqual(code("RUNNER_GONE"));
    expect(await outcome(create("a"))).toBe("RUNNER_GONE");
    expect(make).toHaveBeenCalledTimes(1);
  });

  test("nothing listens to its removal any more, and one listener did before, however often it was asked for", async () => {
    const { create } = await open();
    const runner = await create("a");
    await create("a");
    expect(listenerCount(runner.removal)).toBe(1);
    await runner.dispose("stopped");
    expect(listenerCount(runner.removal)).toBe(0);
  });

  test("what it was is not held in memory", async () => {
    setFlagsFromString("--expose-gc");
    const collectGarbage: () => void = runInNewContext("gc");
    const { make, create, find } = await open();
    make.mockReturnValue([1]);
    const weak = await (async () => {
      const runner = await create("a");
      await runner.dispose("stopped");
      return new WeakRef(runner);
    })();
    make.mockReset();
    await turns();
    collectGarbage();
    expect(await outcome(find("a"))).toBe("RUNNER_GONE");
    expect(weak.deref() === undefined).toBe(true);
  });

  test("a removal while the creation still waits is seen by all calls that wait with it", async () => {
    const { session, make, create } = await open();
    const opened = createDeferred<Source<unknown>>();
    make.mockReturnValue(opened.promise);
    const [first, second] = [create("a"), create("a")].map(outcome);
    void inside(session).allRunners()[0]!.dispose("stopped");
    opened.resolve([]);
    await first;
    expect(await second).toBe("RUNNER_GONE");
    expect(await outcome(create("a"))).toBe("RUNNER_GONE");
  });
});

describe("a stop", () => {
  test("that comes first lets nothing be created, whatever the input, and may be repeated", async () => {
    const { make, create, find, stop } = await open();
    expect(await Promise.all([stop("a"), stop("a")])).toEqual([undefined, undefined]);
    await expect(create("a")).rejects.toThrow(code("RUNNER_ABORTED"));
    await expect(create("a", "other")).rejects.toThrow(code("RUNNER_ABORTED"));
    await expect(find("a")).rejects.toThrow(code("RUNNER_ABORTED"));
    expect(await stop("a")).toBeUndefined();
    expect(make).not.toHaveBeenCalled();
    await create("b");
  });

  test("stops what has been created, which stays to be seen", async () => {
    const { make, create, stop } = await open();
    const source = new PushSource<unknown>();
    make.mockReturnValue(source);
    const runner = await create("a");
    expect(areOne(runner, await stop("a"), await stop("a"), await create("a"))).toBe(true);
    expect(await standing(runner)).toEqual({ status: "aborted", abortReason: "stopped" });
    expect([source.returns, make.mock.calls.length]).toEqual([1, 1]);
  });

  test("leaves what is over as it is", async () => {
    const { make, create, stop } = await open();
    make.mockReturnValue([1]);
    const runner = await create("a");
    await runner.getRequired();
    await stop("a");
    expect(await standing(runner)).toEqual({ status: "completed", abortReason: undefined });
  });

  test("while the source is slow to open ends the work, and the late source is closed", async () => {
    const { make, create, stop } = await open();
    const opened = createDeferred<Source<unknown>>();
    make.mockReturnValue(opened.promise);
    const [first, second] = [create("a"), create("a")];
    const stopped = await stop("a");
    expect(areOne(stopped, await first, await second, await create("a"))).toBe(true);
    expect(await standing(stopped!)).toEqual({ status: "aborted", abortReason: "stopped" });
    const late = { [Symbol.iterator]: vi.fn(), [Symbol.dispose]: vi.fn() };
    opened.resolve(late);
    await stopped!.cleanup;
    expect(late[Symbol.iterator]).not.toHaveBeenCalled();
    expect(late[Symbol.dispose]).toHaveBeenCalledOnce();
  });

  test("outlasts a creation that then fails", async () => {
    const { session, make, create, find, stop } = await open();
    const saved = createDeferred();
    inside(session).publish(saved.promise);
    const creation = create("a");
    await turns();
    expect(await standing((await stop("a"))!)).toEqual({ status: "aborted", abortReason: "stopped" });
    saved.reject(new Error("the disk is full"));
    expect(await outcome(creation)).toBe("IDENTITY_NOT_SAVED");
    expect(await outcome(find("a", "whatever"))).toBe("RUNNER_ABORTED");
    inside(session).publish(Promise.resolve());
    expect(await outcome(create("a"))).toBe("RUNNER_ABORTED");
    expect([make.mock.calls.length, await stop("a")]).toEqual([1, undefined]);
  });

  test("that finds a failed creation being cleaned up lets nothing be created after it", async () => {
    const { session, make, create, stop } = await open();
    const closed = createDeferred();
    const source = new PushSource<unknown>();
    source.onReturn = () => closed.promise;
    make.mockReturnValue(source);
    inside(session).publish(Promise.reject(new Error("the disk is full")));
    const creation = create("a");
    while (source.returns === 0) await turns(1);
    expect(await isPending(creation)).toBe(true);
    expect(await stop("a")).toBeUndefined();
    inside(session).publish(Promise.resolve());
    closed.resolve();
    expect(await outcome(creation)).toBe("IDENTITY_NOT_SAVED");
    expect(await outcome(create("a"))).toBe("RUNNER_ABORTED");
    expect(make).toHaveBeenCalledTimes(1);
  });

  test("is an error when the session has ended, as a creation is", async () => {
    const { session, create, stop } = await open();
    await session.terminate();
    await expect(stop("a")).rejects.toEqual(code("SESSION_ENDED"));
    expect(await outcome(create("a"))).toBe("SESSION_ENDED");
  });
});

describe("what is over is remembered", () => {
  const unlimited = { limits: { runnersPerClient: Number.POSITIVE_INFINITY } };
  /** The keys of which something is known. */
  const known = async (find: (key: string) => Promise<unknown> | undefined, keys: readonly string[]) => {
    const found = keys.filter((key) => {
      const promise = find(key);
      promise?.catch(() => {});
      return promise !== undefined;
    });
    await turns(1);
    return found;
  };

  test("256 times, then the oldest is forgotten", async () => {
    const { create, find, stop } = await open();
    const keys = range(257);
    for (const key of keys.slice(0, 256)) await stop(key);
    expect(await known(find, keys)).toEqual(keys.slice(0, 256));
    await stop(keys[256]!);
    expect(await known(find, keys)).toEqual(keys.slice(1));
    await create(keys[0]!);
  });

  test("however many stops come, in bounded memory", async () => {
    const { find, stop } = await open();
    const keys = range(5000);
    for (const key of keys) await stop(key);
    expect(await known(find, keys)).toEqual(keys.slice(-256));
  });

  test("however many runners come and go, in bounded memory", async () => {
    const { create, find } = await open();
    const keys = range(600);
    for (const key of keys) await (await create(key)).dispose("stopped");
    expect(await known(find, keys)).toEqual(keys.slice(-256));
  });

  test("those that have a runner are never forgotten, however old they are", async () => {
    const { make, create, stop } = await open(unlimited);
    make.mockReturnValue([1]);
    const oldest = await create("oldest");
    for (const key of range(300)) await stop(key);
    for (const key of range(300)) await (await create(`gone-${key}`)).dispose("stopped");
    expect(areOne(oldest, await create("oldest"), await stop("oldest"))).toBe(true);
  });

  test("those that have a runner take no place from the others", async () => {
    const { make, create, find, stop } = await open(unlimited);
    make.mockReturnValue([]);
    const live = range(300).map((key) => `live-${key}`);
    for (const key of live) await create(key);
    const stopped = range(200);
    for (const key of stopped) await stop(key);
    expect(await known(find, [...live, ...stopped])).toEqual([...live, ...stopped]);
  });

  test("a creation that is not over is not forgotten, also when it has failed and is being cleaned up", async () => {
    const { session, make, create, stop } = await open();
    const closed = createDeferred();
    const source = new PushSource<unknown>();
    source.onReturn = () => closed.promise;
    make.mockReturnValue(source);
    inside(session).publish(Promise.reject(new Error("the disk is full")));
    const creation = create("a");
    while (source.returns === 0) await turns(1);
    for (const key of range(300)) await stop(key);
    const again = create("a");
    expect(await isPending(again)).toBe(true);
    closed.resolve();
    expect(await Promise.all([creation, again].map(outcome))).toEqual(Array(2).fill("IDENTITY_NOT_SAVED"));
    expect(make).toHaveBeenCalledTimes(1);
  });
});
