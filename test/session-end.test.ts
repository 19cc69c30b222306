/** How a session ends: in which order, for how long at most, and whatever its parts throw. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import type { ActiveSession } from "../src/session/active-session.js";
import { createActiveSessions } from "../src/session/host.js";
import type { ActiveSessionsOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { catchUncaught, listenerCount, openHost, PushSource, turns } from "./support/control.js";
import { inside } from "./support/inside.js";

let log: string[];

beforeEach(() => {
  log = [];
});

afterEach(() => {
  vi.restoreAllMocks();
});

const note = (text: string) => () => void log.push(text);
const never = () => new Promise<never>(() => {});
const stuck = (text: string) => () => {
  log.push(text);
  return never();
};
const onAbort = (signal: AbortSignal, then: () => void) => signal.addEventListener("abort", then, { once: true });
const quiet = { warn() {} };

async function openSession<Services = unknown>(options: ActiveSessionsOptions<ActiveSession, Services> = {}) {
  const host = openHost<Services>({ logger: quiet, ...options });
  const session = await host.get("alice");
  return { host, session };
}

describe("the order of a session's end", () => {
  it("is: nothing new, all work aborted, signal, runners and holds, owned, services, clean-up promise (parity 104, 105, 137, 138, 153, 156)", async () => {
    const { host, session } = await openSession({ services: () => ({ [Symbol.dispose]: note("services") }) });
    void session.services;
    session.own(note("owned 1"));
    session.own(note("owned 2"));
    const gates = [createDeferred(), createDeferred()];
    for (const [i, gate] of gates.entries()) {
      const runner = await session.createProcessRunner(
        async ({ signal }) => {
          onAbort(signal, () => log.push(`work ${i} aborted, session ${session.isAvailable ? "live" : "ended"}`));
          await gate.promise;
          log.push(`work ${i} ended`);
        },
        { holds: [note(`hold ${i}a`), note(`hold ${i}b`)] },
      );
      onAbort(runner.signal, () => log.push(`runner ${i} final, one of ${inside(session).runnerCount}`));
    }
    onAbort(session.signal, () => {
      log.push("session signal");
      const refused = session.createSequenceRunner([1]).then(note("created"), (error) => log.push(error.code));
      atEnd(() => refused);
    });
    const cleanup = session.terminate().then(note("cleaned up"));
    expect(log).toEqual([
      "work 0 aborted, session ended",
      "runner 0 final, one of 2",
      "work 1 aborted, session ended",
      "runner 1 final, one of 2",
      "session signal",
    ]);
    expect(host.stats().sessions).toBe(0);
    await turns();
    expect(log.splice(0)).toHaveLength(6); // and the refusal
    gates[1]?.resolve();
    await turns();
    expect(log).toEqual(["work 1 ended", "hold 1b", "hold 1a"]);
    gates[0]?.resolve();
    await cleanup;
    expect(log.slice(3)).toEqual([
      "work 0 ended",
      "hold 0b",
      "hold 0a",
      "owned 2",
      "owned 1",
      "services",
      "cleaned up",
    ]);
  });

  it("has refused new runners before any of the user's code runs (parity 102)", async () => {
    const { host, session } = await openSession();
    const seen: unknown[] = [];
    const runner = await session.createSequenceRunner(new PushSource<number>());
    onAbort(runner.signal, () => {
      seen.push(session.isAvailable, host.stats().sessions, [...host.sessions()].length);
      seen.push(session.createSequenceRunner([1]).catch((error) => error.code));
      seen.push(session.findRunner(0).catch((error) => error.code));
      seen.push(host.find("alice"));
    });
    await session.terminate();
    expect(await Promise.all(seen)).toEqual([false, 0, 0, "SESSION_ENDED", "SESSION_ENDED", undefined]);
  });

  it("lets the user's code open a successor at once, which the rest of the end does not touch (parity 141)", async () => {
    const { host, session } = await openSession();
    const successors: Promise<ActiveSession>[] = [];
    onAbort(session.signal, () => successors.push(host.get("alice")));
    await session.terminate();
    const [successor] = await Promise.all(successors);
    expect(successor?.isAvailable).toBe(true);
    expect(successor?.generation).toBeGreaterThan(session.generation);
    expect(await host.find("alice")).toBe(successor);
  });

  it("settles pending reads before the work's signal fires", async () => {
    const { session } = await openSession();
    const runner = await session.createSequenceRunner<number>(({ signal }) => {
      onAbort(signal, () => void Promise.resolve().then(note("after the signal")));
      return new PushSource<number>();
    });
    const read = runner.getRequired().then(({ status }) => log.push(`read ${status}`));
    await turns();
    const cleanup = session.terminate();
    expect(runner.status).toBe("aborted");
    await Promise.all([read, cleanup]);
    expect(log).toContain("read aborted");
  });

  it("aborts and closes each source once", async () => {
    const { session } = await openSession();
    const sources = [new PushSource<number>(), new PushSource<number>()];
    for (const source of sources) await session.createSequenceRunner(source);
    await session.terminate();
    expect(sources.map((source) => source.returns)).toEqual([1, 1]);
  });

  it("waits for a runner that was removed shortly before and is still being cleaned up (parity 105, 108, 138)", async () => {
    const { session } = await openSession({ services: () => ({ [Symbol.dispose]: note("services") }) });
    void session.services;
    session.own(note("owned"));
    const gate = createDeferred();
    const runner = await session.createProcessRunner(() => gate.promise.then(note("work ended")), {
      holds: [note("hold")],
    });
    const disposal = runner[Symbol.asyncDispose]();
    const cleanup = session.terminate().then(note("cleaned up"));
    await turns();
    gate.resolve();
    await Promise.all([disposal, cleanup]);
    await turns();
    expect(log).toEqual(["work ended", "hold", "owned", "services", "cleaned up"]);
  });

  it("waits for a runner that idled out shortly before and is still being cleaned up (parity 105, 138)", async () => {
    vi.useFakeTimers();
    const { session } = await openSession({
      runnerIdleTimeout: 100,
      services: () => ({ [Symbol.dispose]: note("services") }),
    });
    void session.services;
    const gate = createDeferred();
    await session.createProcessRunner(() => gate.promise.then(note("work ended")));
    await vi.advanceTimersByTimeAsync(100);
    const cleanup = session.terminate().then(note("cleaned up"));
    await turns();
    gate.resolve();
    await cleanup;
    await turns();
    expect(log).toEqual(["work ended", "services", "cleaned up"]);
  });

  it("waits for a creation whose source is still being made", async () => {
    const { session } = await openSession({ services: () => ({ [Symbol.dispose]: note("services") }) });
    void session.services;
    const gate = createDeferred<number[]>();
    const creation = session.createSequenceRunner(() => gate.promise, { holds: [note("hold")] });
    const refused = expect(creation).rejects.toMatchObject({ code: "SESSION_ENDED" });
    const cleanup = session.terminate().then(note("cleaned up"));
    await turns();
    expect(log).toEqual([]);
    gate.resolve([]);
    await Promise.all([refused, cleanup]);
    expect(log).toEqual(["hold", "services", "cleaned up"]);
  });

  it("takes the session out of the idle list for good, though its pending reads settle after that", async () => {
    const { session } = await openSession();
    const runner = await session.createSequenceRunner(new PushSource<number>());
    const read = runner.getRequired();
    const lease = inside(runner).hold();
    await Promise.all([session.terminate(), read]);
    lease.release();
    expect(inside(session).expiresAt).toBe(0);
  });

  it("is over at once for a session that has nothing", async () => {
    const { host, session } = await openSession();
    expect(await session.terminate()).toEqual({ timedOut: false, errors: [] });
    expect(host.stats().sessions).toBe(0);
  });

  it("leaves no listener on the signals that its runners followed", async () => {
    const { session } = await openSession();
    const { signal } = new AbortController();
    for (let i = 0; i < 3; i++) await session.createSequenceRunner(new PushSource(), { signal });
    expect(listenerCount(signal)).toBe(1); // all of them share it
    await session.terminate();
    expect(listenerCount(signal)).toBe(0);
  });
});

describe("each step of a session's end", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });

  it("is bounded by cleanupTimeout: work, each hold, each owned resource, services (parity 110; design §6)", async () => {
    const { session } = await openSession({
      cleanupTimeout: 100,
      services: () => ({ [Symbol.asyncDispose]: stuck("services") }),
    });
    void session.services;
    session.own(stuck("owned 1"));
    session.own(stuck("owned 2"));
    await session.createProcessRunner(never, {
      holds: [stuck("hold 1"), stuck("hold 2")],
    });
    const cleanup = session.terminate();
    void cleanup.then(note("cleaned up"));
    const perStep: string[][] = [];
    for (let i = 0; i < 6; i++) {
      await vi.advanceTimersByTimeAsync(99);
      perStep.push(log.splice(0));
      await vi.advanceTimersByTimeAsync(1);
    }
    perStep.push(log.splice(0));
    expect(perStep).toEqual([[], ["hold 2"], ["hold 1"], ["owned 2"], ["owned 1"], ["services"], ["cleaned up"]]);
    expect(await cleanup).toEqual({ timedOut: true, errors: [] });
  });

  it("takes 10 s at most by default", async () => {
    const { session } = await openSession();
    await session.createProcessRunner(never);
    void session.terminate().then(({ timedOut }) => log.push(String(timedOut)));
    await vi.advanceTimersByTimeAsync(9_999);
    expect(log).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(log).toEqual(["true"]);
  });

  it("of several runners runs at the same time", async () => {
    const { session } = await openSession({ cleanupTimeout: 100 });
    for (let i = 0; i < 5; i++) await session.createProcessRunner(never);
    const cleanup = session.terminate();
    await vi.advanceTimersByTimeAsync(100);
    expect(await cleanup).toEqual({ timedOut: true, errors: [] });
  });

  it("bounds the clean-up of a runner that was merely aborted, too; its holds are released then", async () => {
    const { session } = await openSession({ cleanupTimeout: 100 });
    const runner = await session.createProcessRunner(never, { holds: [note("hold")] });
    await runner.abort();
    void runner.cleanup.then(({ timedOut }) => log.push(`timed out: ${timedOut}`));
    await vi.advanceTimersByTimeAsync(99);
    expect(log).toEqual([]);
    await vi.advanceTimersByTimeAsync(1);
    expect(log.sort()).toEqual(["hold", "timed out: true"]);
    expect(session.isAvailable).toBe(true);
  });

  it("that takes nearly as long as it may counts as in time", async () => {
    const { session } = await openSession({ cleanupTimeout: 100 });
    const gate = createDeferred();
    session.own(() => gate.promise);
    const cleanup = session.terminate();
    await vi.advanceTimersByTimeAsync(99);
    gate.resolve();
    expect(await cleanup).toEqual({ timedOut: false, errors: [] });
    expect(vi.getTimerCount()).toBeLessThanOrEqual(2); // the lazy ones of idle sessions and lifetimes
  });

  it("has no bound when cleanupTimeout is Infinity", async () => {
    const { session } = await openSession({ cleanupTimeout: Number.POSITIVE_INFINITY });
    const gate = createDeferred();
    await session.createProcessRunner(() => gate.promise);
    const cleanup = session.terminate().then(note("cleaned up"));
    await vi.advanceTimersByTimeAsync(1e10);
    expect(log).toEqual([]);
    gate.resolve();
    await cleanup;
  });

  it("that was given up may end later and fail: that is told, and changes nothing", async () => {
    const warn = vi.fn();
    const { session } = await openSession({ cleanupTimeout: 100, logger: { warn } });
    const gate = createDeferred();
    session.own(() => gate.promise);
    const cleanup = session.terminate();
    await vi.advanceTimersByTimeAsync(100);
    const summary = await cleanup;
    warn.mockClear();
    const error = new Error("too late");
    gate.reject(error);
    await turns();
    expect(summary).toEqual({ timedOut: true, errors: [] });
    expect(warn).toHaveBeenCalledExactlyOnceWith(
      expect.objectContaining({ error }),
      expect.stringContaining("time was up"),
    );
  });
});

describe("errors in a session's end", () => {
  it("never stop the next step, and are collected in order (parity 109, 157, 215)", async () => {
    const { session } = await openSession({
      services: () => ({
        [Symbol.dispose]() {
          throw "services";
        },
      }),
    });
    void session.services;
    session.own(note("owned, released last"));
    session.own(() => Promise.reject("owned 2"));
    session.own(() => {
      throw "owned 3";
    });
    await session.createProcessRunner(
      ({ signal }) => new Promise((_, reject) => onAbort(signal, () => reject("late error of the work"))),
      {
        holds: [
          note("hold, released last"),
          () => {
            throw "hold 2";
          },
          () => Promise.reject("hold 3"),
        ],
      },
    );
    expect(await session.terminate()).toEqual({
      timedOut: false,
      errors: ["late error of the work", "hold 3", "hold 2", "owned 3", "owned 2", "services"],
    });
    expect(log).toEqual(["hold, released last", "owned, released last"]);
  });

  it("of one runner leave the others alone (parity 109)", async () => {
    const { session } = await openSession();
    const failing = new PushSource<number>();
    failing.onReturn = () => Promise.reject("cannot close");
    const fine = new PushSource<number>();
    await session.createSequenceRunner(failing, { holds: [note("hold of the failing one")] });
    await session.createSequenceRunner(fine, { holds: [note("hold of the other")] });
    expect(await session.terminate()).toEqual({ timedOut: false, errors: ["cannot close"] });
    expect(fine.returns).toBe(1);
    expect(log.sort()).toEqual(["hold of the failing one", "hold of the other"]);
  });

  it("do not come from work that ends by the reason of its signal", async () => {
    const { session } = await openSession();
    await session.createProcessRunner(
      ({ signal }) => new Promise((_, reject) => onAbort(signal, () => reject(signal.reason))),
    );
    expect(await session.terminate()).toEqual({ timedOut: false, errors: [] });
  });

  it("thrown at once by the return() of a hand-made generator do not stop the rest", async () => {
    vi.useFakeTimers();
    const forever = { idleTimeout: Number.POSITIVE_INFINITY, maxLifetime: Number.POSITIVE_INFINITY };
    const host = createActiveSessions({ ...forever, runnerIdleTimeout: Number.POSITIVE_INFINITY, logger: quiet });
    const session = await host.get("alice");
    const generator = {
      next: never,
      return: () => {
        throw new Error("no return");
      },
      throw: never,
      [Symbol.asyncIterator]: () => generator,
      [Symbol.asyncDispose]: async () => {},
    } as AsyncGenerator<number, undefined, undefined>;
    const runner = await session.createProcessRunner(() => generator);
    const other = await session.createProcessRunner(never);
    void session.cleanup.then(note("cleaned up"));
    expect(() => void session.terminate()).not.toThrow();
    expect([runner.status, other.status, session.signal.aborted]).toEqual(["aborted", "aborted", true]);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(log).toEqual(["cleaned up"]);
  });

  it("thrown by listeners of the signals do not stop it (parity 15)", async () => {
    const caught = catchUncaught();
    const { session } = await openSession();
    const runner = await session.createSequenceRunner(new PushSource<number>(), { holds: [note("hold")] });
    session.own(note("owned"));
    for (const signal of [runner.signal, session.signal]) {
      onAbort(signal, () => {
        throw "listener";
      });
      onAbort(signal, note("next listener"));
    }
    expect(await session.terminate()).toEqual({ timedOut: false, errors: [] });
    expect(log).toEqual(["next listener", "next listener", "hold", "owned"]);
    await turns();
    expect(caught).toEqual(["listener", "listener"]); // Node's own way of telling; nothing of ours is involved
  });
});

describe("terminate", () => {
  it("ends once, however often and from wherever it is called (parity 152, 156)", async () => {
    const { session } = await openSession();
    const source = new PushSource<number>();
    const runner = await session.createSequenceRunner(source, { holds: [note("hold")] });
    const promises: Promise<unknown>[] = [];
    onAbort(runner.signal, () => promises.push(session.terminate()));
    onAbort(session.signal, () => promises.push(session.terminate()));
    session.own(() => {
      log.push("owned");
      promises.push(session.terminate());
    });
    promises.push(session.terminate(), session.terminate(), session.cleanup);
    await session.cleanup;
    expect(promises).toHaveLength(6);
    expect(new Set(promises).size).toBe(1);
    expect(log).toEqual(["hold", "owned"]);
    expect(source.returns).toBe(1);
  });

  it("from within the work ends the session; the work that waits for its own clean-up is given up in time", async () => {
    vi.useFakeTimers();
    const { session } = await openSession({ cleanupTimeout: 100 });
    const gate = createDeferred();
    const runner = await session.createProcessRunner(async () => {
      await gate.promise;
      await session.terminate();
      log.push("work ended");
    });
    gate.resolve();
    await turns();
    expect([runner.status, session.isAvailable]).toEqual(["aborted", false]);
    await vi.advanceTimersByTimeAsync(100);
    expect(await session.cleanup).toEqual({ timedOut: true, errors: [] });
    expect(log).toEqual(["work ended"]);
  });

  it("within a start that is going on lets that creation be refused", async () => {
    const { host, session } = await openSession();
    const creation = session.createProcessRunner(async () => void session.terminate());
    await expect(creation).rejects.toMatchObject({ code: "SESSION_ENDED" });
    expect(await session.cleanup).toEqual({ timedOut: false, errors: [] });
    expect(host.stats().runners).toBe(0);
  });
});

describe("the reason of an end", () => {
  async function openRunner(options: ActiveSessionsOptions<ActiveSession> = {}) {
    const { host, session } = await openSession(options);
    const runner = await session.createProcessRunner(
      ({ signal }) => new Promise((_, reject) => onAbort(signal, () => reject(signal.reason))),
    );
    return { host, session, runner };
  }

  it("is session-ended after terminate", async () => {
    const { session, runner } = await openRunner();
    await session.terminate();
    expect(runner.abortReason).toBe("session-ended");
    expect(await runner.state()).toMatchObject({ status: "aborted", abortReason: "session-ended" });
  });

  it("is idle after idleTimeout", async () => {
    vi.useFakeTimers();
    const { session, runner } = await openRunner({ idleTimeout: 100, runnerIdleTimeout: 50, finishedTimeout: 50 });
    await vi.advanceTimersByTimeAsync(100);
    await session.cleanup;
    expect(runner.abortReason).toBe("idle");
  });

  it("is lifetime after maxLifetime", async () => {
    vi.useFakeTimers();
    const { session, runner } = await openRunner({ maxLifetime: 100 });
    await vi.advanceTimersByTimeAsync(100);
    await session.cleanup;
    expect(runner.abortReason).toBe("lifetime");
  });

  it("is shutdown when the host closes", async () => {
    const { host, runner } = await openRunner();
    await host.close();
    expect(runner.abortReason).toBe("shutdown");
  });

  it("is what came first: a runner that was stopped stays stopped, a completed one has none", async () => {
    const { host, session, runner } = await openRunner();
    await runner.abort();
    const done = await session.createProcessRunner(async () => 1);
    await done.getRequired();
    await host.close();
    expect(runner.abortReason).toBe("stopped");
    expect([done.status, done.abortReason]).toEqual(["completed", undefined]);
  });

  it("reaches the work as RUNNER_ABORTED", async () => {
    const { session } = await openSession();
    const reasons: unknown[] = [];
    await session.createProcessRunner(async ({ signal }) => {
      await new Promise<void>((resolve) => onAbort(signal, resolve));
      reasons.push(signal.reason);
    });
    await session.terminate();
    expect(reasons).toEqual([
      expect.objectContaining({ code: "RUNNER_ABORTED", message: expect.stringContaining("session-ended") }),
    ]);
  });
});
