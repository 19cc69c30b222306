import { afterEach, describe, expect, it, vi } from "vitest";
import { openHost, PushSource, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { createDeferred } from "../base/async.js";
import type { ActiveSessions } from "./active-sessions.js";
import { createActiveSessions } from "./host.js";
import { tagIdentity } from "./identity.js";

afterEach(() => {
  vi.restoreAllMocks();
});

describe("get and find", () => {
  it("get creates once and then gives the same object (parity 114)", async () => {
    const host = openHost();
    const session = await host.get("alice");
    expect(await host.get("alice")).toBe(session);
    expect(await host.find("alice")).toBe(session);
    expect(host.stats().sessions).toBe(1);
  });

  it("parallel calls of get create exactly one object (parity 114)", async () => {
    const host = openHost();
    const sessions = await Promise.all(Array.from({ length: 10 }, () => host.get("alice")));
    expect(new Set(sessions).size).toBe(1);
  });

  it("find creates nothing", async () => {
    const host = openHost();
    expect(await host.find("alice")).toBeUndefined();
    expect(await host.find("alice", "tab-2")).toBeUndefined();
    expect(host.stats().sessions).toBe(0);
  });

  it("suffixes make independent sessions of one client (parity 120)", async () => {
    const host = openHost();
    const plain = await host.get("alice");
    const first = await host.get("alice", "a");
    const second = await host.get("alice", "b");
    expect(new Set([plain, first, second]).size).toBe(3);
    expect(new Set([plain.generation, first.generation, second.generation]).size).toBe(3);
    expect([first.id, second.id]).toEqual([`${plain.id}.a`, `${plain.id}.b`]);
    expect(host.stats()).toMatchObject({ sessions: 3, groups: 1 });
    await first.terminate();
    expect([plain, first, second].map((session) => session.isAvailable)).toEqual([true, false, true]);
    expect(await host.get("alice", "b")).toBe(second);
    expect(await host.find("alice", "a")).toBeUndefined();
  });

  it.each([
    ["x", "user", "user:x", undefined],
    ["x", "cookie", "cookie:user:x", undefined],
    ["b", "a", "a:user:b", undefined],
    ["y:user:x", undefined, "x", "y"],
  ])("two clients never meet: %j with suffix %j and %j with suffix %j", async (one, suffix, other, otherSuffix) => {
    const host = openHost();
    const session = await host.get(one, suffix);
    expect(await host.find(other, otherSuffix)).toBeUndefined();
    const another = await host.get(other, otherSuffix);
    expect(another).not.toBe(session);
    expect(another.id).not.toBe(session.id);
  });

  it("other sources cannot pose as a user", async () => {
    const host = openHost();
    const user = await host.get("7");
    const cookie = inside(host).obtain(tagIdentity("cookie", "user:7"), undefined);
    const framework = inside(host).obtain(tagIdentity("session", "7"), undefined);
    expect(new Set([user, cookie, framework]).size).toBe(3);
    expect(new Set([user.id, cookie.id, framework.id]).size).toBe(3);
    expect(await host.find("user:7")).toBeUndefined();
  });

  it("a framework's session id never leads to a user's session with a suffix", async () => {
    const host = openHost();
    const user = await host.get("x", "session");
    expect(inside(host).lookUp(tagIdentity("session", "user:x"), undefined)).toBeUndefined();
    expect(inside(host).obtain(tagIdentity("session", "user:x"), undefined)).not.toBe(user);
  });

  it.each([undefined, null, "", 0, 17, true, {}, ["alice"], Symbol("alice")])(
    "an identity that is no text or empty is refused with INVALID_IDENTITY: %s",
    async (identity) => {
      const host = openHost();
      const refused = { code: "INVALID_IDENTITY" };
      await expect(host.get(identity as string)).rejects.toMatchObject(refused);
      await expect(host.find(identity as string)).rejects.toMatchObject(refused);
      expect(host.stats().sessions).toBe(0);
    },
  );

  it.each(["", "a.b", "a b", "ä", "x".repeat(65), "a\n", null, 1])(
    "a malformed suffix is refused with INVALID_ARGUMENT: %j",
    async (suffix) => {
      const host = openHost();
      const refused = { code: "INVALID_ARGUMENT" };
      await expect(host.get("alice", suffix as string)).rejects.toMatchObject(refused);
      await expect(host.find("alice", suffix as string)).rejects.toMatchObject(refused);
      expect(host.stats().sessions).toBe(0);
    },
  );

  it("a session that has ended is not found any more; get makes a new one (parity 140, 141; design §6)", async () => {
    const host = openHost();
    const former = await host.get("alice");
    const cleanup = former.terminate();
    expect(await host.find("alice")).toBeUndefined();
    const session = await host.get("alice");
    expect(session).not.toBe(former);
    expect(session.id).toBe(former.id);
    await cleanup;
    expect(await host.find("alice")).toBe(session);
  });
});

describe("generations", () => {
  it("grow with every session, several in one millisecond too (parity 116, 117)", async () => {
    vi.useFakeTimers({ now: 1_000_000 });
    const host = openHost();
    const generations: number[] = [];
    for (const name of ["alice", "bob", "carol"]) generations.push((await host.get(name)).generation);
    await (await host.get("alice")).terminate();
    generations.push((await host.get("alice")).generation);
    expect(generations).toEqual([1_000_000, 1_000_001, 1_000_002, 1_000_003]);
  });

  it("follow the clock when it is ahead, and never go back with it (parity 117)", async () => {
    vi.useFakeTimers({ now: 1_000_000 });
    const host = openHost();
    const next = async () => {
      const session = await host.get("alice");
      await session.terminate();
      return session.generation;
    };
    const first = await next();
    vi.setSystemTime(2_000_000);
    const second = await next();
    vi.setSystemTime(5);
    const third = await next();
    vi.setSystemTime(2_000_001);
    const fourth = await next();
    expect([first, second, third, fourth]).toEqual([1_000_000, 2_000_000, 2_000_001, 2_000_002]);
  });

  it("are larger after an idle expiry too, so that no old key leads to a new runner (parity 117, 191)", async () => {
    vi.useFakeTimers();
    const host = openHost({ idleTimeout: 100, finishedTimeout: 100 });
    const former = await host.get("alice");
    const { key } = await former.createSequenceRunner([1]);
    await vi.advanceTimersByTimeAsync(100);
    expect(former.isAvailable).toBe(false);
    vi.setSystemTime(0);
    const session = await host.get("alice");
    await session.createSequenceRunner([1]);
    expect(session.generation).toBeGreaterThan(former.generation);
    expect(await session.findRunner(key)).toBeUndefined();
  });

  it("are larger after a restart", async () => {
    vi.useFakeTimers({ now: 1_000_000 });
    const before = await openHost().get("alice");
    vi.setSystemTime(1_000_001);
    const after = await openHost().get("alice");
    expect(after.generation).toBeGreaterThan(before.generation);
  });
});

describe("figures", () => {
  it("count live sessions, their clients, runners and retained items (parity 142)", async () => {
    const host = openHost({ retain: "all" });
    expect(host.stats()).toEqual({ sessions: 0, groups: 0, runners: 0, running: 0, unseen: 0, openReads: 0, items: 0 });
    const alice = await host.get("alice");
    await host.get("alice", "tab-2");
    const bob = await host.get("bob");
    const read = await alice.createSequenceRunner([1, 2, 3]);
    await read.getRequired({ advance: 3 });
    const finished = await bob.createProcessRunner(async () => 1);
    await finished.getRequired();
    expect(host.stats()).toEqual({ sessions: 3, groups: 2, runners: 2, running: 0, unseen: 0, openReads: 0, items: 3 });
    await alice.terminate();
    expect(host.stats()).toEqual({ sessions: 2, groups: 2, runners: 1, running: 0, unseen: 0, openReads: 0, items: 0 });
    await finished[Symbol.asyncDispose]();
    expect(host.stats()).toEqual({ sessions: 2, groups: 2, runners: 0, running: 0, unseen: 0, openReads: 0, items: 0 });
  });

  it("sessions() lists the live ones in order of creation, as of the call", async () => {
    const host = openHost();
    const alice = await host.get("alice");
    const bob = await host.get("bob");
    const list = host.sessions();
    await host.get("carol");
    await alice.terminate();
    expect([...list]).toEqual([alice, bob]);
    expect([...host.sessions()].map((session) => session.id)).toEqual([bob.id, (await host.get("carol")).id]);
  });
});

describe("locating a runner by its key", () => {
  const alice = tagIdentity("user", "alice");

  async function openRunner(host: ActiveSessions = openHost(), suffix?: string) {
    const session = await host.get("alice", suffix);
    const runner = await session.createSequenceRunner([1]);
    const keyOf = (parts: { number?: number; generation?: number; id?: string }) =>
      `${parts.number ?? 0}-${parts.generation ?? session.generation}-${parts.id ?? session.id}`;
    return { host, session, runner, keyOf };
  }

  it.each([undefined, "tab-2"])("finds it for its own identity, with suffix %s", async (suffix) => {
    const { host, runner, session } = await openRunner(undefined, suffix);
    expect(inside(host).directory.locate(alice, runner.key)).toEqual({ runner, session });
  });

  it.each(["", "nonsense", "0-1", "0-1-x", "../0-1-x", "%00"])("a malformed key is unknown: %j", async (key) => {
    const { host } = await openRunner();
    expect(inside(host).directory.locate(alice, key)).toBe("unknown");
  });

  it("a key that is not in its one form is unknown", async () => {
    const { host, runner } = await openRunner();
    for (const text of [`0${runner.key}`, `${runner.key}\n`, ` ${runner.key}`, `${runner.key} `, `+${runner.key}`]) {
      expect(inside(host).directory.locate(alice, text)).toBe("unknown");
    }
  });

  it("another client's key is unknown, whether its runner is there, removed, or never was", async () => {
    const { host, runner, keyOf } = await openRunner();
    const others = [tagIdentity("user", "bob"), tagIdentity("cookie", "alice"), tagIdentity("session", "alice")];
    await host.get("bob");
    for (const other of others) {
      expect(inside(host).directory.locate(other, runner.key)).toBe("unknown");
      expect(inside(host).directory.locate(other, keyOf({ number: 99 }))).toBe("unknown");
      expect(inside(host).directory.locate(other, keyOf({ generation: 1 }))).toBe("unknown");
    }
    await runner[Symbol.asyncDispose]();
    for (const other of others) expect(inside(host).directory.locate(other, runner.key)).toBe("unknown");
  });

  it("the key of an own session with another suffix leads there, and a wrong suffix to nothing", async () => {
    const host = openHost();
    const { runner, keyOf, session } = await openRunner(host, "tab-2");
    await host.get("alice");
    expect(inside(host).directory.locate(alice, runner.key)).toEqual({ runner, session });
    expect(inside(host).directory.locate(alice, keyOf({ id: session.id.replace("tab-2", "tab-3") }))).toBe("gone");
    expect(inside(host).directory.locate(alice, keyOf({ id: session.id.replace(".tab-2", "") }))).toBe("gone");
  });

  it("a generation beyond the counter and the clock cannot have been issued: unknown", async () => {
    vi.useFakeTimers({ now: 1_000_000 });
    const { host, session, keyOf } = await openRunner();
    expect(session.generation).toBe(1_000_000);
    expect(inside(host).directory.locate(alice, keyOf({ generation: 1_000_001 }))).toBe("unknown");
    vi.setSystemTime(1_000_001);
    expect(inside(host).directory.locate(alice, keyOf({ generation: 1_000_001 }))).toBe("gone");
    vi.setSystemTime(5); // the counter remembers what the clock has forgotten
    await host.get("bob");
    expect(inside(host).directory.locate(alice, keyOf({ generation: 1_000_001 }))).toBe("gone");
    expect(inside(host).directory.locate(alice, keyOf({ generation: 1_000_002 }))).toBe("unknown");
    expect(inside(host).directory.locate(alice, keyOf({ generation: Number.MAX_SAFE_INTEGER }))).toBe("unknown");
  });

  it("a number that the live session has not given out yet is unknown, and gone once it is burned", async () => {
    const { host, session, keyOf } = await openRunner();
    expect(inside(host).directory.locate(alice, keyOf({ number: 1 }))).toBe("unknown");
    await session.createSequenceRunner(5 as never).catch(() => {});
    expect(inside(host).directory.locate(alice, keyOf({ number: 1 }))).toBe("gone");
    expect(inside(host).directory.locate(alice, keyOf({ number: 2 }))).toBe("unknown");
  });

  it("a removed runner is gone; one that has merely ended is there", async () => {
    const { host, runner, session } = await openRunner();
    await runner.abort();
    expect(inside(host).directory.locate(alice, runner.key)).toEqual({ runner, session });
    await runner[Symbol.asyncDispose]();
    expect(inside(host).directory.locate(alice, runner.key)).toBe("gone");
  });

  it("a runner of a session that has ended, or of a former generation, is gone, whatever its number", async () => {
    const { host, session, runner, keyOf } = await openRunner();
    await session.terminate();
    expect(inside(host).directory.locate(alice, runner.key)).toBe("gone");
    expect(inside(host).directory.locate(alice, keyOf({ number: 99 }))).toBe("gone");
    await (await host.get("alice")).createSequenceRunner([1]);
    expect(inside(host).directory.locate(alice, runner.key)).toBe("gone");
    expect(inside(host).directory.locate(alice, keyOf({ number: 99 }))).toBe("gone");
  });

  it("needs no memory: another process with the same secret tells an own key from a foreign one", async () => {
    vi.useFakeTimers({ now: 1_000_000 });
    const { runner } = await openRunner(openHost({ secret: "a secret" }));
    const restarted = openHost({ secret: "a secret" });
    expect(inside(restarted).directory.locate(alice, runner.key)).toBe("gone");
    expect(inside(restarted).directory.locate(tagIdentity("user", "bob"), runner.key)).toBe("unknown");
    expect(inside(openHost({ secret: "another" })).directory.locate(alice, runner.key)).toBe("unknown");
  });

  it("creates nothing and is no use of anything", async () => {
    vi.useFakeTimers();
    const { host, session, runner } = await openRunner(
      openHost({ idleTimeout: 100, runnerIdleTimeout: 100, finishedTimeout: 100 }),
    );
    await vi.advanceTimersByTimeAsync(99);
    inside(host).directory.locate(alice, runner.key);
    inside(host).directory.locate(tagIdentity("user", "bob"), runner.key);
    expect(host.stats().sessions).toBe(1);
    await vi.advanceTimersByTimeAsync(1);
    expect([session.isAvailable, host.stats().runners]).toEqual([false, 0]);
  });
});

describe("closing the host", () => {
  it("ends all sessions, waits for their clean-up, and reports (parity 137, 143)", async () => {
    const host = openHost();
    const [alice, bob] = [await host.get("alice"), await host.get("bob", "tab-2")];
    const gate = createDeferred();
    const runner = await alice.createProcessRunner(() => gate.promise);
    const log: string[] = [];
    const closing = host.close().then((summary) => {
      log.push("closed");
      return summary;
    });
    expect([alice.isAvailable, bob.isAvailable]).toEqual([false, false]);
    expect((await runner.state()).abortReason).toBe("shutdown");
    await turns();
    expect(log).toEqual([]);
    gate.resolve();
    expect(await closing).toEqual({ sessions: 2, interrupted: 1, unfinished: [], errors: [] });
    expect(host.stats()).toEqual({ sessions: 0, groups: 0, runners: 0, running: 0, unseen: 0, openReads: 0, items: 0 });
  });

  it("creates no session any more: HOST_CLOSED from its first moment on; find finds nothing (parity 143)", async () => {
    const host = openHost();
    await host.get("alice");
    const refused = { code: "HOST_CLOSED", status: 503 };
    const closing = host.close();
    await expect(host.get("alice")).rejects.toMatchObject(refused);
    await expect(host.get("bob")).rejects.toMatchObject(refused);
    expect(await host.find("alice")).toBeUndefined();
    await closing;
    await expect(host.get("bob")).rejects.toMatchObject(refused);
    await expect(host.get("")).rejects.toMatchObject({ code: "INVALID_IDENTITY" });
  });

  it("creates no session for code that runs while the sessions are being ended either", async () => {
    const host = openHost();
    const session = await host.get("alice");
    const attempts: Promise<unknown>[] = [];
    session.signal.addEventListener("abort", () => {
      attempts.push(
        host.get("bob").then(
          () => "created",
          (error) => error.code,
        ),
      );
    });
    await host.close();
    expect(await Promise.all(attempts)).toEqual(["HOST_CLOSED"]);
    expect(host.stats().sessions).toBe(0);
  });

  it("ends a client's group once, whatever still holds it, and however often a session is refused (parity 144)", async () => {
    const disposed = vi.fn();
    const host = openHost({ groupServices: () => ({ [Symbol.dispose]: disposed }) });
    const session = await host.get("alice");
    const { group } = session;
    expect(group.services).toBeDefined();
    const leave = inside(session).visit();
    await host.close();
    for (const suffix of [undefined, "tab-2"]) {
      await expect(host.get("alice", suffix)).rejects.toMatchObject({ code: "HOST_CLOSED" });
    }
    expect(group.isAvailable).toBe(false);
    leave.release();
    expect(await group.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(disposed).toHaveBeenCalledTimes(1);
  });

  it("gives the same promise to everybody, also to code that runs while the sessions are being ended", async () => {
    const host = openHost();
    const session = await host.get("alice");
    const promises: Promise<unknown>[] = [];
    session.signal.addEventListener("abort", () => promises.push(host.close()));
    promises.push(host.close(), host.close(), host.close({ timeout: 1 }));
    await host.close();
    promises.push(host.close());
    expect(promises).toHaveLength(5);
    expect(new Set(promises).size).toBe(1);
  });

  it("waits for sessions that were already ending", async () => {
    const host = openHost();
    const session = await host.get("alice");
    const gate = createDeferred();
    session.own(() => gate.promise);
    void session.terminate();
    const log: string[] = [];
    const closing = host.close().then((summary) => {
      log.push("closed");
      return summary;
    });
    await turns();
    expect(log).toEqual([]);
    gate.resolve();
    expect(await closing).toEqual({ sessions: 1, interrupted: 0, unfinished: [], errors: [] });
  });

  it("collects what went wrong in the clean-ups", async () => {
    const host = openHost({ logger: { warn() {} } });
    const errors = [new Error("first"), new Error("second")];
    for (const [i, name] of ["alice", "bob"].entries()) {
      const session = await host.get(name);
      session.own(() => Promise.reject(errors[i]));
    }
    expect(await host.close()).toEqual({ sessions: 2, interrupted: 0, unfinished: [], errors });
  });

  it("waits 10 s by default, then tells what has not finished (parity 145, 146)", async () => {
    vi.useFakeTimers();
    const host = openHost({ cleanupTimeout: Number.POSITIVE_INFINITY });
    const [alice, bob] = [await host.get("alice", "stuck"), await host.get("bob")];
    const gate = createDeferred();
    await alice.createProcessRunner(() => gate.promise);
    const log: unknown[] = [];
    const closing = host.close().then((summary) => log.push(summary));
    await vi.advanceTimersByTimeAsync(9_999);
    expect(log).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(log).toEqual([{ sessions: 2, interrupted: 1, unfinished: [alice.id], errors: [] }]);
    expect(bob.isAvailable).toBe(false);
    expect(vi.getTimerCount()).toBe(0);
    gate.resolve();
    await closing;
    expect(await alice.cleanup).toEqual({ timedOut: false, errors: [] });
  });

  it("waits as long as it is told", async () => {
    vi.useFakeTimers();
    const host = openHost({ cleanupTimeout: Number.POSITIVE_INFINITY });
    const session = await host.get("alice");
    const gate = createDeferred();
    session.own(() => gate.promise);
    const log: string[] = [];
    void host.close({ timeout: 300 }).then(({ unfinished }) => log.push(...unfinished));
    await vi.advanceTimersByTimeAsync(299);
    expect(log).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(log).toEqual([session.id]);
    gate.resolve();
    await session.cleanup;
  });

  it("waits without limit for Infinity", async () => {
    vi.useFakeTimers();
    const host = openHost({ cleanupTimeout: Number.POSITIVE_INFINITY });
    const session = await host.get("alice");
    const gate = createDeferred();
    session.own(() => gate.promise);
    const log: string[] = [];
    const closing = host.close({ timeout: Number.POSITIVE_INFINITY }).then(() => log.push("closed"));
    await vi.advanceTimersByTimeAsync(1e10);
    expect(log).toEqual([]);
    gate.resolve();
    await closing;
  });

  it("counts a session as unfinished when its clean-up was given up", async () => {
    vi.useFakeTimers();
    const host = openHost({ cleanupTimeout: 50, logger: { warn() {} } });
    const session = await host.get("alice");
    session.own(() => new Promise(() => {}));
    const closing = host.close();
    await vi.advanceTimersByTimeAsync(50);
    expect(await closing).toEqual({ sessions: 1, interrupted: 0, unfinished: [session.id], errors: [] });
  });

  it("gives a summary that does not change when a clean-up finishes after it", async () => {
    vi.useFakeTimers();
    const host = openHost({ cleanupTimeout: Number.POSITIVE_INFINITY, logger: { warn() {} } });
    const session = await host.get("alice");
    const gate = createDeferred();
    session.own(() => gate.promise);
    const closing = host.close({ timeout: 10 });
    await vi.advanceTimersByTimeAsync(10);
    const summary = await closing;
    const before = structuredClone(summary);
    gate.reject("late");
    await session.cleanup;
    await turns();
    expect(summary).toEqual(before);
  });

  it.each([0, -1, Number.NaN, "5", null])("refuses a timeout of %s and stays open", async (timeout) => {
    const host = openHost();
    await expect(host.close({ timeout: timeout as number })).rejects.toMatchObject({ code: "INVALID_OPTION" });
    expect((await host.get("alice")).isAvailable).toBe(true);
  });

  it("works with `await using`", async () => {
    const source = new PushSource<number>();
    let session: Awaited<ReturnType<ActiveSessions["get"]>>;
    {
      await using host = createActiveSessions();
      session = await host.get("alice");
      await session.createSequenceRunner(source);
      expect(session.isAvailable).toBe(true);
    }
    expect(session.isAvailable).toBe(false);
    expect(source.returns).toBe(1);
    await session.cleanup;
  });

  it("leaves no timer behind", async () => {
    vi.useFakeTimers();
    const host = openHost();
    const session = await host.get("alice");
    await session.createSequenceRunner([1], { idleTimeout: 5000 });
    await session.createSequenceRunner([1]);
    expect(vi.getTimerCount()).toBeGreaterThan(0);
    await host.close();
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("keys from elsewhere", () => {
  it("that another host has issued lead nowhere, though the user is the same: hosts differ by default (parity 132, 133)", async () => {
    const [here, there] = [openHost(), openHost()];
    const [mine, other] = [await here.get("alice"), await there.get("alice")];
    expect(mine.id).not.toBe(other.id);
    const runner = await other.createSequenceRunner([1]);
    expect(await mine.findRunner(runner.key)).toBeUndefined();
    expect(inside(here).directory.locate("user:alice", runner.key)).toBe("unknown");
  });

  it("that another host with the same secret has issued are gone, never a runner of this one (parity 132)", async () => {
    vi.useFakeTimers({ now: 1_000_000 });
    const there = openHost({ secret: "shared" });
    const { key } = await (await there.get("alice")).createSequenceRunner([1]);
    vi.setSystemTime(2_000_000);
    const here = openHost({ secret: "shared" });
    const session = await here.get("alice");
    await session.createSequenceRunner([2]);
    expect(await session.findRunner(key)).toBeUndefined();
    expect(inside(here).directory.locate("user:alice", key)).toBe("gone");
  });

  it("of every former generation are gone, also those whose digits are fewer; nothing of them is kept (parity 118, 119)", async () => {
    vi.useFakeTimers({ now: 5 });
    const host = openHost();
    const keys: string[] = [];
    for (const now of [5, 50, 500]) {
      vi.setSystemTime(now);
      const session = await host.get("alice");
      keys.push((await session.createSequenceRunner([1])).key);
      await session.terminate();
    }
    const session = await host.get("alice");
    const { key } = await session.createSequenceRunner([2]);
    expect(keys.map((former) => inside(host).directory.locate("user:alice", former))).toEqual(["gone", "gone", "gone"]);
    expect(await session.findRunner(key)).toBeDefined();
    expect(host.stats()).toMatchObject({ sessions: 1, runners: 1 });
  });
});

describe("warnings", () => {
  const failed = new Error("cannot let go");

  async function openFailing(options: Parameters<typeof createActiveSessions>[0]) {
    const host = openHost(options);
    const session = await host.get("alice@example.com");
    const runner = await session.createSequenceRunner([1], { holds: [() => Promise.reject(failed)] });
    session.own(() => Promise.reject(failed));
    return { host, session, runner };
  }

  it("tell the logger of each clean-up that failed, and whose it was", async () => {
    const warn = vi.fn();
    const { session, runner } = await openFailing({ logger: { warn } });
    await session.terminate();
    expect(warn.mock.calls).toEqual([
      [
        { runner: String(runner.id), kind: "sequence", timedOut: false, errors: [failed] },
        "active-session: the clean-up of a runner failed",
      ],
      [
        { session: session.id, generation: session.generation, timedOut: false, errors: [failed] },
        "active-session: the clean-up of a session failed",
      ],
    ]);
  });

  it("tell the logger of clean-ups that took too long (parity 110)", async () => {
    vi.useFakeTimers();
    const warn = vi.fn();
    const session = await openHost({ logger: { warn }, cleanupTimeout: 50 }).get("alice");
    const runner = await session.createProcessRunner(() => new Promise(() => {}));
    session.own(() => new Promise(() => {}));
    const cleanup = session.terminate();
    await vi.advanceTimersByTimeAsync(100);
    expect((await cleanup).timedOut).toBe(true);
    expect(warn.mock.calls).toEqual([
      [expect.objectContaining({ runner: String(runner.id), timedOut: true }), expect.stringContaining("too long")],
      [expect.objectContaining({ session: session.id, timedOut: true }), expect.stringContaining("too long")],
    ]);
  });

  it("tell the logger of a runner's failed clean-up also when the session lives on", async () => {
    const warn = vi.fn();
    const { session, runner } = await openFailing({ logger: { warn } });
    await runner[Symbol.asyncDispose]();
    expect(session.isAvailable).toBe(true);
    expect(warn.mock.calls).toEqual([
      [expect.objectContaining({ runner: String(runner.id), errors: [failed] }), expect.any(String)],
    ]);
  });

  it("are called as the logger's method", async () => {
    const logger = {
      seen: [] as unknown[],
      warn(details: object) {
        this.seen.push(details);
      },
    };
    const { session } = await openFailing({ logger });
    await session.terminate();
    expect(logger.seen).toHaveLength(2);
  });

  it("break nothing when the logger throws", async () => {
    const logger = {
      warn() {
        throw new Error("disk full");
      },
    };
    const { host, session } = await openFailing({ logger });
    expect(await session.terminate()).toEqual({ timedOut: false, errors: [failed, failed] });
    expect(await host.close()).toEqual({ sessions: 0, interrupted: 0, unfinished: [], errors: [] });
  });

  it("go to process.emitWarning if there is no logger", async () => {
    const emit = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    const { session, runner } = await openFailing({});
    await session.terminate();
    expect(emit.mock.calls).toEqual([
      [
        expect.stringMatching(/runner.*failed/),
        { type: "ActiveSessionWarning", detail: expect.stringMatching(`${runner.id}[^]*cannot let go`) },
      ],
      [
        expect.stringMatching(/session.*failed/),
        { type: "ActiveSessionWarning", detail: expect.stringMatching(`${session.id}[^]*cannot let go`) },
      ],
    ]);
  });

  it("never show an identity", async () => {
    const emit = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    await (await openFailing({})).session.terminate();
    expect(emit).toHaveBeenCalledTimes(2);
    expect(JSON.stringify(emit.mock.calls)).not.toContain("alice");
  });

  it("do not come when all goes well", async () => {
    const warn = vi.fn();
    const session = await openHost({ logger: { warn } }).get("alice");
    session.own(() => {});
    await session.createSequenceRunner([1], { holds: [() => {}] });
    await session.createProcessRunner(
      ({ signal }) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
    );
    await session.terminate();
    expect(warn).not.toHaveBeenCalled();
  });
});
