import { describe, expect, it, vi } from "vitest";
import { isPending, listenerCount, openHost, turns } from "../../test/support/control.js";
import { createDeferred } from "../base/async.js";
import type { ActiveSession } from "./active-session.js";
import type { LockOptions, SessionLock } from "./session-locks.js";

const open = () => openHost().get("ann");
const ended = expect.objectContaining({ code: "SESSION_ENDED" });

/** Takes a lock that is free. */
async function take(session: ActiveSession, options?: LockOptions, name = "db"): Promise<SessionLock> {
  const lock = await session.lock(name, options);
  expect(lock).toBeDefined();
  return lock!;
}

/** Asks for the lock; `who` gets it when it is written into the list. */
function queue(session: ActiveSession, list: string[], who: string, options?: LockOptions) {
  const lock = session.lock("db", options);
  lock.then((got) => list.push(got ? who : `${who}: too late`)).catch(() => list.push(`${who}: rejected`));
  return lock;
}

describe("a lock", () => {
  it("is had at once when it is free, and knows its name and whether it is held (parity 194, 196)", async () => {
    const session = await open();
    const lock = await take(session);
    expect([lock.name, lock.isReleased]).toEqual(["db", false]);
    lock.release();
    expect(lock.isReleased).toBe(true);
    expect((await take(session)).isReleased).toBe(false);
  });

  it("has one holder; the others get it in the order in which they asked, one by each release (parity 194)", async () => {
    const session = await open();
    const held = await take(session);
    const list: string[] = [];
    const [first, second] = [
      queue(session, list, "first"),
      queue(session, list, "second"),
      queue(session, list, "3rd"),
    ];
    await turns();
    expect(list).toEqual([]);
    held.release();
    await turns();
    expect(list).toEqual(["first"]);
    (await first)?.release();
    await turns();
    expect(list).toEqual(["first", "second"]);
    (await second)?.release();
    await turns();
    expect(list).toEqual(["first", "second", "3rd"]);
  });

  it("is handed on in the step of its release: a later call cannot overtake (parity 194)", async () => {
    const session = await open();
    const held = await take(session);
    const list: string[] = [];
    void queue(session, list, "waiting");
    await turns();
    held.release();
    expect(await session.lock("db", { timeout: 0 })).toBeUndefined();
    expect(list).toEqual(["waiting"]);
  });

  it("of another name, or of another session of the same client, is another lock (parity 194)", async () => {
    const host = openHost();
    const session = await host.get("ann");
    await take(session);
    await take(session, { timeout: 0 }, "other");
    await take(await host.get("ann", "tab"), { timeout: 0 });
    await take(await host.get("bob"), { timeout: 0 });
    expect(await session.lock("db", { timeout: 0 })).toBeUndefined();
  });

  it.each(["release", "dispose", "asyncDispose"] as const)("is given back by its %s (parity 196)", async (how) => {
    const session = await open();
    const lock = await take(session);
    if (how === "release") lock.release();
    else if (how === "dispose") lock[Symbol.dispose]();
    else await lock[Symbol.asyncDispose]();
    expect(lock.isReleased).toBe(true);
    await take(session, { timeout: 0 });
  });

  it("is released once: a late second release does not free it for a third (parity 196, 198, 199)", async () => {
    const session = await open();
    const first = await take(session);
    const list: string[] = [];
    const second = queue(session, list, "second");
    void queue(session, list, "third");
    await turns();
    first.release();
    first.release();
    first[Symbol.dispose]();
    await first[Symbol.asyncDispose]();
    await turns();
    expect(list).toEqual(["second"]);
    expect((await second)?.isReleased).toBe(false);
  });

  it("that is free again leaves nothing that a late release could free (parity 198, 199)", async () => {
    const session = await open();
    const first = await take(session);
    first.release();
    await take(session);
    first.release();
    expect(await session.lock("db", { timeout: 0 })).toBeUndefined();
  });

  it("keeps its session from idling out while a call waits for it, not while it is held", async () => {
    vi.useFakeTimers();
    const session = await openHost({ idleTimeout: 100 }).get("ann");
    const held = await take(session);
    const waiting = session.lock("db");
    await vi.advanceTimersByTimeAsync(1000);
    expect(session.isAvailable).toBe(true);
    held.release();
    await waiting;
    await vi.advanceTimersByTimeAsync(99);
    expect(session.isAvailable).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(session.isAvailable).toBe(false);
  });

  it.each([
    ["", {}],
    [5, {}],
    ["db", { timeout: -1 }],
    ["db", { timeout: Number.NaN }],
    ["db", { timeout: "5" }],
    ["db", { signal: {} }],
  ])("is refused for the name %j and the options %j, and nothing is held", async (name, options) => {
    const session = await open();
    await expect(session.lock(name as string, options as LockOptions)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await take(session, { timeout: 0 });
  });
});

describe("waiting for a lock", () => {
  it("with the time-out 0 is answered at once (parity 195)", async () => {
    vi.useFakeTimers(); // the clock stands still
    const session = await open();
    const lock = await take(session, { timeout: 0 });
    const tried = session.lock("db", { timeout: 0 });
    expect(await isPending(tried)).toBe(false);
    expect([await tried, lock.isReleased]).toEqual([undefined, false]);
  });

  it("gives up when its time is up, and only then; the holder is not disturbed (parity 195)", async () => {
    vi.useFakeTimers();
    const host = openHost({ idleTimeout: Number.POSITIVE_INFINITY, maxLifetime: Number.POSITIVE_INFINITY });
    const session = await host.get("ann");
    const held = await take(session);
    const list: string[] = [];
    void queue(session, list, "short", { timeout: 100 });
    void queue(session, list, "long", { timeout: 200 });
    await vi.advanceTimersByTimeAsync(99);
    expect(list).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(list).toEqual(["short: too late"]);
    expect(held.isReleased).toBe(false);
    held.release();
    await turns();
    expect(list).toEqual(["short: too late", "long"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("goes on as long as it takes when no time is given, or Infinity (parity 195)", async () => {
    vi.useFakeTimers();
    const session = await openHost({ maxLifetime: Number.POSITIVE_INFINITY }).get("ann");
    const held = await take(session);
    const list: string[] = [];
    const first = queue(session, list, "first");
    void queue(session, list, "second", { timeout: Number.POSITIVE_INFINITY });
    await vi.advanceTimersByTimeAsync(40 * 24 * 60 * 60_000);
    expect(list).toEqual([]);
    held.release();
    (await first)?.release();
    await turns();
    expect(list).toEqual(["first", "second"]);
  });

  it("is cancelled with the reason of its signal; the others keep their places (parity 195)", async () => {
    const session = await open();
    const held = await take(session);
    const controller = new AbortController();
    const list: string[] = [];
    const cancelled = queue(session, list, "cancelled", { signal: controller.signal });
    void queue(session, list, "next");
    await turns();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(cancelled).rejects.toBe(reason);
    expect([held.isReleased, listenerCount(controller.signal)]).toEqual([false, 0]);
    held.release();
    await turns();
    expect(list).toEqual(["cancelled: rejected", "next"]);
  });

  it("does not begin with a signal that has aborted, though the lock is free (parity 195)", async () => {
    const session = await open();
    const reason = new Error("over");
    await expect(session.lock("db", { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    await take(session, { timeout: 0 });
  });

  it("leaves no timer and no listener behind, however it ends", async () => {
    vi.useFakeTimers();
    const host = openHost({ idleTimeout: Number.POSITIVE_INFINITY, maxLifetime: Number.POSITIVE_INFINITY });
    const session = await host.get("ann");
    const held = await take(session);
    const { signal } = new AbortController();
    const late = session.lock("db", { timeout: 100, signal });
    const granted = session.lock("db", { timeout: 1000, signal });
    const rejected = expect(session.lock("db", { timeout: 1000, signal })).rejects.toEqual(ended);
    await vi.advanceTimersByTimeAsync(100);
    expect(await late).toBeUndefined();
    held.release();
    const lock = await granted;
    await session.terminate();
    await rejected;
    expect(listenerCount(signal)).toBe(1); // of the one that is still held
    lock?.release();
    expect([vi.getTimerCount(), listenerCount(signal)]).toEqual([0, 0]);
  });
});

describe("when the session ends", () => {
  it("all waiting calls are rejected, for every name, whatever their time-outs (parity 200, 201)", async () => {
    vi.useFakeTimers();
    const session = await open();
    await take(session);
    await take(session, {}, "other");
    const waiting = [
      session.lock("db"),
      session.lock("db", { timeout: 1000 }),
      session.lock("db", { signal: new AbortController().signal }),
      session.lock("other"),
    ];
    const rejected = waiting.map((lock) => expect(lock).rejects.toEqual(ended));
    await session.terminate();
    await Promise.all(rejected);
  });

  it("they are rejected before its work is aborted, so that no call gets a lock then (parity 137, 200)", async () => {
    const session = await open();
    const held = await take(session);
    const list: string[] = [];
    const gate = createDeferred();
    await session.createProcessRunner(({ signal }) => {
      signal.addEventListener("abort", () => {
        held.release();
        gate.resolve();
      });
      return gate.promise;
    });
    void queue(session, list, "waiting");
    await turns();
    void session.terminate();
    await turns();
    expect(list).toEqual(["waiting: rejected"]);
    expect(held.isReleased).toBe(true);
  });

  it("no lock is given any more, also where none was before (parity 152, 200)", async () => {
    const session = await open();
    await session.terminate();
    await expect(session.lock("db")).rejects.toEqual(ended);
    await expect(session.lock("db", { timeout: 0 })).rejects.toEqual(ended);
  });

  it("a later release does no harm, and the next generation's locks are others (parity 198)", async () => {
    const host = openHost();
    const former = await host.get("ann");
    const held = await take(former);
    await former.terminate();
    expect(held.isReleased).toBe(false);
    const session = await host.get("ann");
    await take(session, { timeout: 0 });
    held.release();
    expect(held.isReleased).toBe(true);
    expect(await session.lock("db", { timeout: 0 })).toBeUndefined();
  });
});

describe("a lock with a signal", () => {
  it("is released when that aborts (parity 203)", async () => {
    const session = await open();
    const controller = new AbortController();
    const lock = await take(session, { signal: controller.signal });
    const next = session.lock("db");
    expect(await isPending(next)).toBe(true);
    controller.abort();
    expect(lock.isReleased).toBe(true);
    expect((await next)?.isReleased).toBe(false);
  });

  it("is bound to it also when it had to wait (parity 203)", async () => {
    const session = await open();
    const held = await take(session);
    const controller = new AbortController();
    const waiting = session.lock("db", { signal: controller.signal });
    held.release();
    const lock = await waiting;
    expect(lock?.isReleased).toBe(false);
    controller.abort();
    expect(lock?.isReleased).toBe(true);
    await take(session, { timeout: 0 });
  });

  it("that is released before leaves the next holder alone when it aborts (parity 199, 203)", async () => {
    const session = await open();
    const controller = new AbortController();
    (await take(session, { signal: controller.signal })).release();
    expect(listenerCount(controller.signal)).toBe(0);
    const next = await take(session);
    controller.abort();
    expect(next.isReleased).toBe(false);
  });

  it("is not granted by the very abort that ends the wait for it: a call with the same signal is rejected (parity 195, 203)", async () => {
    const session = await open();
    const controller = new AbortController();
    const { signal } = controller;
    const list: string[] = [];
    const first = await take(session, { signal });
    const second = queue(session, list, "same signal", { signal });
    void queue(session, list, "another's");
    await turns();
    const reason = new Error("the request is over");
    controller.abort(reason);
    await expect(second).rejects.toBe(reason);
    await turns();
    expect(first.isReleased).toBe(true);
    expect(list.sort()).toEqual(["another's", "same signal: rejected"]);
  });
});

it("is not acquired with a misspelt option", async () => {
  const session = await open();
  const options = { timout: 5 } as object;
  await expect(session.lock("db", options)).rejects.toMatchObject({ code: "INVALID_OPTION" });
});

it("that its request has given back already protects no runner: the creation is refused", async () => {
  const session = await open();
  const controller = new AbortController();
  const lock = await take(session, { signal: controller.signal });
  controller.abort();
  const creating = session.createSequenceRunner([1], { holds: [lock] });
  await expect(creating).rejects.toMatchObject({
    code: "INVALID_OPTION",
    message: expect.stringContaining("released"),
  });
});

describe("a lock that is handed to a runner", () => {
  it("is released after the runner's clean-up, and not before (parity 159)", async () => {
    const session = await open();
    const gate = createDeferred();
    const lock = await take(session);
    const runner = await session.createProcessRunner(() => gate.promise, { holds: [lock] });
    const next = session.lock("db");
    await runner.abort();
    expect([await isPending(next), lock.isReleased]).toEqual([true, false]);
    gate.resolve();
    await runner.cleanup;
    expect((await next)?.isReleased).toBe(false);
    expect(lock.isReleased).toBe(true);
  });

  it("is released at once if the runner has ended already (parity 159)", async () => {
    const session = await open();
    const lock = await take(session);
    await session.createProcessRunner(async () => 1, { holds: [lock], signal: AbortSignal.abort() });
    await turns();
    expect(lock.isReleased).toBe(true);
  });

  it("does not follow its signal any more (parity 203)", async () => {
    const session = await open();
    const controller = new AbortController();
    const gate = createDeferred();
    const lock = await take(session, { signal: controller.signal });
    const runner = await session.createProcessRunner(() => gate.promise, { holds: [lock] });
    expect(listenerCount(controller.signal)).toBe(0);
    controller.abort();
    expect(lock.isReleased).toBe(false);
    gate.resolve();
    await runner.cleanup;
    await turns();
    expect(lock.isReleased).toBe(true);
  });

  it("is the runner's from the beginning of the creation, however long its source takes to open (parity 160, 203)", async () => {
    const session = await open();
    const controller = new AbortController();
    const gate = createDeferred<number[]>();
    const lock = await take(session, { signal: controller.signal });
    const runner = await session.createSequenceRunner(() => gate.promise, { holds: [lock] });
    controller.abort();
    await turns();
    expect(lock.isReleased).toBe(false);
    gate.reject(new Error("no source"));
    expect((await runner.getRequired()).status).toBe("failed");
    await turns();
    expect(lock.isReleased).toBe(true);
  });

  it.each([
    [
      "the source is none",
      (session: ActiveSession, holds: SessionLock[]) => session.createSequenceRunner(5 as never, { holds }),
    ],
    [
      "the body is none",
      (session: ActiveSession, holds: SessionLock[]) => session.createProcessRunner(5 as never, { holds }),
    ],
    [
      "an option is wrong",
      (session: ActiveSession, holds: SessionLock[]) => session.createSequenceRunner([1], { holds, aheadLimit: 0 }),
    ],
    [
      "the definition is none",
      (session: ActiveSession, holds: SessionLock[]) => session.createRunner({} as never, {} as never, { holds }),
    ],
    [
      "the work throws at its start",
      (session: ActiveSession, holds: SessionLock[]) =>
        session.createSequenceRunner(
          () => {
            throw new Error("no source");
          },
          { holds },
        ),
    ],
  ])("is released when the creation fails because %s (parity 160, 202)", async (_why, create) => {
    const session = await open();
    const lock = await take(session);
    await expect(create(session, [lock])).rejects.toThrow();
    expect(lock.isReleased).toBe(true);
    await take(session, { timeout: 0 });
  });

  it("is released when the session has ended before the creation (parity 160)", async () => {
    const session = await open();
    const lock = await take(session);
    await session.terminate();
    await expect(session.createSequenceRunner([1], { holds: [lock] })).rejects.toEqual(ended);
    expect(lock.isReleased).toBe(true);
  });
});
