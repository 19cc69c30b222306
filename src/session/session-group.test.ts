import { describe, expect, it, vi } from "vitest";
import { catchUncaught, isPending, openHost, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { createDeferred, onAbort } from "../base/async.js";
import type { ActiveSession } from "./active-session.js";
import type { Logger } from "./events.js";
import type { SessionGroup } from "./session-group.js";

const ended = expect.objectContaining({ code: "SESSION_ENDED" });
const clean = { timedOut: false, errors: [] };

/** A logger that keeps its warnings for the test. */
function openLogger() {
  const warnings: object[] = [];
  const logger: Logger = { warn: (details) => warnings.push(details) };
  return { logger, warnings };
}

describe("a group", () => {
  it("is one for all sessions of a client, whatever their suffixes and their order (parity 120, 162)", async () => {
    const host = openHost();
    const [plain, tab] = [await host.get("ann"), await host.get("ann", "tab")];
    const { group } = plain;
    expect(plain.group).toBe(group);
    expect(tab.group).toBe(group);
    expect((await host.get("ann", "later")).group).toBe(group);
    expect((await host.get("bob")).group).not.toBe(group);
  });

  it("has the id of the client's session without a suffix, also where there is none (parity 149, 162)", async () => {
    const host = openHost();
    const tab = await host.get("ann", "tab");
    expect(`${tab.group.id}.tab`).toBe(tab.id);
    expect((await host.get("ann")).id).toBe(tab.group.id);
  });

  it("is live: an unfired signal, empty properties of its own (parity 162)", async () => {
    const session = await openHost().get("ann");
    const { group } = session;
    expect([group.isAvailable, group.signal.aborted, group.properties.size]).toEqual([true, false, 0]);
    expect(group.signal).toBe(group.signal);
    expect(group.properties).not.toBe(session.properties);
    expect(await isPending(group.cleanup)).toBe(true);
  });

  it("shares its properties among the client's sessions, and with no other client (parity 162)", async () => {
    const host = openHost();
    (await host.get("ann")).group.properties.set("a", 1);
    expect((await host.get("ann", "tab")).group.properties.get("a")).toBe(1);
    expect((await host.get("bob")).group.properties.has("a")).toBe(false);
  });

  it("cannot hold runners (parity 162)", async () => {
    const { group } = await openHost().get("ann");
    expect(Object.keys(Object.getOwnPropertyDescriptors(Object.getPrototypeOf(group)))).not.toContainEqual(
      expect.stringMatching(/runner|lock/i),
    );
  });

  it("tells the client's live sessions, as of the call", async () => {
    const host = openHost();
    const tab = await host.get("ann", "tab");
    const plain = await host.get("ann");
    await host.get("bob");
    const sessions = plain.group.sessions();
    await tab.terminate();
    expect(new Set(sessions)).toEqual(new Set([plain, tab]));
    expect([...plain.group.sessions()]).toEqual([plain]);
  });

  it("that was never asked for is not made by a session that has ended, nor is anything of it made", async () => {
    const groupServices = vi.fn();
    const host = openHost({ groupServices });
    const session = await host.get("ann");
    await session.terminate();
    expect(() => session.group).toThrow(ended);
    expect(groupServices).not.toHaveBeenCalled();
  });
});

describe("the services of a group", () => {
  it("are made once, at their first use, from the group (parity 162)", async () => {
    const groupServices = vi.fn((group: SessionGroup) => ({ of: group.id }));
    const host = openHost({ groupServices });
    const [plain, tab] = [await host.get("ann"), await host.get("ann", "tab")];
    const { group } = plain;
    expect(groupServices).not.toHaveBeenCalled();
    expect(group.services).toEqual({ of: group.id });
    expect(tab.group.services).toBe(group.services);
    expect((await host.get("bob")).group.services).not.toBe(group.services);
    expect(groupServices.mock.calls.map(([made]) => made.id)).toEqual([plain.id, (await host.get("bob")).id]);
  });

  it("are others than those of its sessions, and undefined where the host has none", async () => {
    const session = await openHost({ services: () => "of the session" }).get("ann");
    expect([session.services, session.group.services]).toEqual(["of the session", undefined]);
  });

  it("that cannot be made throw what the factory throws, and are tried again", async () => {
    const error = new Error("no database");
    const groupServices = vi
      .fn<() => unknown>(() => "made")
      .mockImplementationOnce(() => {
        throw error;
      });
    const { group } = await openHost({ groupServices }).get("ann");
    expect(() => group.services).toThrow(error);
    expect(group.services).toBe("made");
  });

  it("that were never used are neither made nor disposed; afterwards they cannot be made any more", async () => {
    const groupServices = vi.fn();
    const session = await openHost({ groupServices }).get("ann");
    const { group } = session;
    await session.terminate();
    expect(await group.cleanup).toEqual(clean);
    expect(() => group.services).toThrow(ended);
    expect(groupServices).not.toHaveBeenCalled();
  });
});

describe("the life of a group", () => {
  it("lasts until its last session has ended (parity 124, 163)", async () => {
    const host = openHost();
    const [plain, tab] = [await host.get("ann"), await host.get("ann", "tab")];
    const { group } = plain;
    await plain.terminate();
    expect(await isPending(group.cleanup)).toBe(true);
    expect(group.isAvailable).toBe(true);
    await tab.terminate();
    expect(group.isAvailable).toBe(false);
    expect(await group.cleanup).toEqual(clean);
  });

  it("is held by sessions that never asked for it, those before and those after its making (parity 124)", async () => {
    const host = openHost();
    const before = await host.get("ann", "before");
    const maker = await host.get("ann");
    const { group } = maker;
    const after = await host.get("ann", "after");
    await maker.terminate();
    await before.terminate();
    expect(group.isAvailable).toBe(true);
    await after.terminate();
    expect(group.isAvailable).toBe(false);
  });

  it("outlasts the clean-up of its last session: its work may use the group to the end (parity 124, 138)", async () => {
    const log: string[] = [];
    const host = openHost({
      services: () => ({ [Symbol.dispose]: () => log.push("session's services") }),
      groupServices: () => ({ [Symbol.dispose]: () => log.push("group's services") }),
    });
    const session = await host.get("ann");
    const { group } = session;
    const gate = createDeferred();
    await session.createProcessRunner(async () => {
      await gate.promise;
      expect(session.group).toBe(group);
      log.push(`work: ${group.isAvailable}`);
    });
    session.own(() => log.push(`owned: ${group.isAvailable}`));
    onAbort(group.signal, () => log.push("group's signal"));
    expect([session.services, group.services]).toHaveLength(2);
    const cleanup = session.terminate();
    await turns();
    expect([group.isAvailable, group.signal.aborted, ...log]).toEqual([true, false]);
    gate.resolve();
    await cleanup;
    await group.cleanup;
    expect(log).toEqual(["work: true", "owned: true", "session's services", "group's signal", "group's services"]);
  });

  it("goes on in the client's next session if that comes before the last one is cleaned up (parity 124)", async () => {
    const host = openHost();
    const former = await host.get("ann");
    const { group } = former;
    group.properties.set("a", 1);
    const gate = createDeferred();
    await former.createProcessRunner(() => gate.promise);
    const cleanup = former.terminate();
    const session = await host.get("ann");
    gate.resolve();
    await cleanup;
    expect([session.group === group, group.isAvailable, group.properties.get("a")]).toEqual([true, true, 1]);
    await session.terminate();
    expect(group.isAvailable).toBe(false);
  });

  it("lasts as long as a request that has got its session, though the session has ended (parity 124)", async () => {
    const session = await openHost().get("ann");
    const { group } = session;
    const leaveFirst = inside(session).visit();
    const leaveSecond = inside(session).visit();
    await session.terminate();
    leaveFirst.release();
    await turns();
    expect([group.isAvailable, session.group === group]).toEqual([true, true]);
    group.properties.set("a", 1);
    leaveSecond.release();
    expect(group.isAvailable).toBe(false);
    expect(() => group.properties.set("a", 2)).toThrow(ended);
  });

  it("is not ended by a request that is over while its session is still being cleaned up (parity 124)", async () => {
    const session = await openHost().get("ann");
    const { group } = session;
    const gate = createDeferred();
    await session.createProcessRunner(() => gate.promise);
    const leave = inside(session).visit();
    const cleanup = session.terminate();
    leave.release();
    await turns();
    expect(group.isAvailable).toBe(true);
    gate.resolve();
    await cleanup;
    expect(group.isAvailable).toBe(false);
  });

  it("counts each holder once, however often that lets go (parity 144, 164)", async () => {
    const session = await openHost().get("ann");
    const { group } = session;
    const lease = inside(group).hold();
    lease.release();
    lease.release();
    expect(group.isAvailable).toBe(true);
    await session.terminate();
    expect(group.isAvailable).toBe(false);
    lease.release();
    expect(await group.cleanup).toEqual(clean);
  });

  it("is not shortened by requests that come and go while its sessions live (parity 124, 182)", async () => {
    const session = await openHost().get("ann");
    const { group } = session;
    for (let i = 0; i < 3; i++) inside(session).visit().release();
    await turns();
    expect(group.isAvailable).toBe(true);
  });

  it.each([
    ["idle", { idleTimeout: 100 }],
    ["lifetime", { maxLifetime: 100 }],
  ])("ends with a session that ends by itself: %s (parity 137, 163)", async (_reason, options) => {
    vi.useFakeTimers();
    const session = await openHost(options).get("ann");
    const { group } = session;
    await vi.advanceTimersByTimeAsync(99);
    expect(group.isAvailable).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(await group.cleanup).toEqual(clean);
    expect(group.isAvailable).toBe(false);
  });

  it("is followed by a brand-new one: properties, services, signal (parity 163)", async () => {
    const groupServices = vi.fn(() => ({}));
    const host = openHost({ groupServices });
    const former = await host.get("ann");
    const group = former.group;
    group.properties.set("a", 1);
    const { services } = group;
    await former.terminate();
    await group.cleanup;
    const next = (await host.get("ann")).group;
    expect(next).not.toBe(group);
    expect([next.id, next.properties.size, next.signal.aborted, next.isAvailable]).toEqual([group.id, 0, false, true]);
    expect(next.services).not.toBe(services);
    expect(groupServices).toHaveBeenCalledTimes(2);
    expect(former.group).toBe(group);
  });
});

describe("the end of a group", () => {
  async function open(options: Parameters<typeof openHost>[0] = {}) {
    const host = openHost(options);
    const session = await host.get("ann");
    return { host, session, group: session.group };
  }

  it("is: signal and read-only properties, owned resources in reverse order, services, clean-up promise (parity 163, 165)", async () => {
    const log: string[] = [];
    const groupServices = () => ({ name: "db", [Symbol.asyncDispose]: async () => log.push("services") });
    const { session, group } = await open({ groupServices });
    expect(group.services).toMatchObject({ name: "db" });
    group.own(() => log.push("first owned"));
    group.own(() => log.push("last owned"));
    onAbort(group.signal, () => {
      const { name } = group.services as { name: string };
      log.push(`signal: ${name}, ${group.isAvailable}`);
      expect(() => group.properties.set("a", 1)).toThrow(ended);
    });
    void group.cleanup.then(() => log.push("cleaned up"));
    await session.terminate();
    await group.cleanup;
    await turns();
    expect(log).toEqual(["signal: db, false", "last owned", "first owned", "services", "cleaned up"]);
    expect(group.properties.isReadOnly).toBe(true);
    expect(group.signal.reason).toMatchObject({ code: "SESSION_ENDED" });
  });

  it("is seen by later callers: the signal has fired, nothing is taken over any more (parity 163, 164)", async () => {
    const { session, group } = await open();
    await session.terminate();
    expect(group.signal.aborted).toBe(true);
    const resource = vi.fn();
    expect(() => group.own(resource)).toThrow(ended);
    expect(resource).not.toHaveBeenCalled();
    expect(() => group.own(5 as never)).toThrow(ended);
  });

  it("has taken the group out of the table before any of the user's code runs (parity 166)", async () => {
    const groups: SessionGroup<ActiveSession>[] = [];
    const look = async () => void groups.push((await host.get("ann")).group);
    let isTold = false;
    const logger: Logger = {
      warn() {},
      debug: (_details, message) => {
        if (isTold || !message.endsWith("a group has ended")) return;
        isTold = true;
        void look();
      },
    };
    const { host, session, group } = await open({ logger, groupServices: () => ({ [Symbol.asyncDispose]: look }) });
    expect(group.services).toBeDefined();
    onAbort(group.signal, () => void look());
    group.own(look);
    await session.terminate();
    await group.cleanup;
    await turns();
    expect(groups).toHaveLength(4);
    const [successor] = groups;
    expect(groups.every((other) => other === successor)).toBe(true);
    expect([successor === group, successor?.isAvailable]).toEqual([false, true]);
    expect((await host.get("ann")).group).toBe(successor);
  });

  it("goes on whatever its resources and services throw; it is collected, and the logger is told (parity 166, 215)", async () => {
    const { logger, warnings } = openLogger();
    const [first, second, third] = [new Error("1"), new Error("2"), new Error("3")];
    const { host, session, group } = await open({
      logger,
      groupServices: () => ({ [Symbol.asyncDispose]: () => Promise.reject(third) }),
    });
    expect(group.services).toBeDefined();
    const released = vi.fn();
    group.own(released);
    group.own(() => Promise.reject(second));
    group.own(() => {
      throw first;
    });
    expect(await session.terminate()).toEqual(clean);
    expect(await group.cleanup).toEqual({ timedOut: false, errors: [first, second, third] });
    expect(released).toHaveBeenCalledTimes(1);
    expect(warnings).toEqual([{ group: group.id, timedOut: false, errors: [first, second, third] }]);
    expect((await host.get("ann")).group.isAvailable).toBe(true);
  });

  it("goes on whatever listeners of its signal throw (parity 166)", async () => {
    const caught = catchUncaught();
    const { host, session, group } = await open();
    const owned = vi.fn();
    group.own(owned);
    onAbort(group.signal, () => {
      throw "listener";
    });
    await session.terminate();
    expect(await group.cleanup).toEqual(clean);
    await turns();
    expect([owned.mock.calls.length, caught]).toEqual([1, ["listener"]]);
    expect((await host.get("ann")).group).not.toBe(group);
  });

  it("is not broken by a logger that throws", async () => {
    const fail = () => {
      throw new Error("no disk");
    };
    const { session, group } = await open({ logger: { warn: fail, info: fail, debug: fail } });
    await session.terminate();
    expect(await group.cleanup).toEqual(clean);
  });

  it("gives up a step after cleanupTimeout, and tells (parity 166)", async () => {
    vi.useFakeTimers();
    const { logger, warnings } = openLogger();
    const never = createDeferred();
    const groupServices = () => ({ [Symbol.asyncDispose]: () => never.promise });
    const { session, group } = await open({ logger, groupServices, cleanupTimeout: 100 });
    expect(group.services).toBeDefined();
    group.own(() => never.promise);
    await session.terminate();
    await vi.advanceTimersByTimeAsync(199);
    expect(await isPending(group.cleanup)).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(await group.cleanup).toEqual({ timedOut: true, errors: [] });
    expect(warnings).toEqual([{ group: group.id, timedOut: true, errors: [] }]);
  });

  it("gives a resource back once, sooner if asked (parity 213)", async () => {
    const { session, group } = await open();
    const resource = vi.fn();
    const ownership = group.own(resource);
    await ownership[Symbol.asyncDispose]();
    await session.terminate();
    await group.cleanup;
    expect(resource).toHaveBeenCalledTimes(1);
  });

  it.each([5, null, undefined, {}, "x"])("cannot give back %j: INVALID_ARGUMENT (parity 214)", async (value) => {
    const { group } = await open();
    expect(() => group.own(value as never)).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENT" }));
  });
});

describe("closing the host", () => {
  it("waits for the groups, and tells what went wrong in them (parity 143, 146)", async () => {
    const gate = createDeferred();
    const error = new Error("stuck");
    const host = openHost({ logger: { warn() {} } });
    const { group } = await host.get("ann");
    group.own(() => gate.promise);
    const closed = host.close();
    expect(await isPending(closed)).toBe(true);
    expect(group.isAvailable).toBe(false);
    gate.reject(error);
    expect(await closed).toEqual({ sessions: 1, interrupted: 0, unfinished: [], errors: [error] });
  });

  it("waits for a group that was ending before (parity 143)", async () => {
    const gate = createDeferred();
    const host = openHost();
    const session = await host.get("ann");
    session.group.own(() => gate.promise);
    await session.terminate();
    const closed = host.close();
    expect(await isPending(closed)).toBe(true);
    gate.resolve();
    expect(await closed).toEqual({ sessions: 0, interrupted: 0, unfinished: [], errors: [] });
  });

  it("does not wait longer than it is told to (parity 145, 146)", async () => {
    vi.useFakeTimers();
    const gate = createDeferred();
    const host = openHost();
    const { group } = await host.get("ann");
    group.own(() => gate.promise);
    const closed = host.close({ timeout: 100 });
    await vi.advanceTimersByTimeAsync(99);
    expect(await isPending(closed)).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    await closed;
    gate.resolve();
    expect(await group.cleanup).toEqual(clean);
  });
});
