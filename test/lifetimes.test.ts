/** How long sessions and runners live: idle time-outs that slide, a lifetime that does not, and what counts as use. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import type { Runner } from "../src/runner/runner.js";
import type { ActiveSession } from "../src/session/active-session.js";
import type { ActiveSessions } from "../src/session/active-sessions.js";
import { defineSequenceRunner } from "../src/session/define.js";
import type { ActiveSessionsOptions, RunnerOptions } from "../src/session/options.js";
import { openHost, PushSource, turns } from "./support/control.js";
import { inside } from "./support/inside.js";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const forever = Number.POSITIVE_INFINITY;

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.restoreAllMocks();
});

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Whether a runner is still in its session, and its work has not been aborted; asking is no use of it. */
function isThere(session: ActiveSession, runner: Runner): boolean {
  return inside(session).peek(runner.number) === runner && runner.phase !== "aborted";
}

/** One millisecond before `ms` all is there, then not any more. */
async function expectEndAfter(ms: number, isLive: () => boolean): Promise<void> {
  await pass(ms - 1);
  expect(isLive()).toBe(true);
  await pass(1);
  expect(isLive()).toBe(false);
}

async function openSession(options: ActiveSessionsOptions<ActiveSession> = {}) {
  const host = openHost(options);
  const session = await host.get("alice");
  return { host, session };
}

/** A session with a runner whose items the test gives. */
async function openRunner(options: ActiveSessionsOptions<ActiveSession> = {}, runnerOptions: RunnerOptions = {}) {
  const { host, session } = await openSession(options);
  const source = new PushSource<number>();
  const runner = await session.createSequenceRunner(source, runnerOptions);
  await turns();
  return { host, session, source, runner };
}

describe("an idle session", () => {
  /** The runner goes a moment before its session: a session does not end before its runners. */
  const short = { idleTimeout: 10 * second, runnerIdleTimeout: 9.5 * second, finishedTimeout: 250 };

  it("ends exactly after idleTimeout (parity 115, 139)", async () => {
    const { session } = await openSession({ idleTimeout: 10 * second });
    await expectEndAfter(10 * second, () => session.isAvailable);
  });

  it("ends after 20 minutes by default", async () => {
    const { session } = await openSession();
    await expectEndAfter(20 * minute, () => session.isAvailable);
  });

  it("is gone from the host, its work aborted with the reason idle (parity 137)", async () => {
    const times = { runnerIdleTimeout: 5 * second, finishedTimeout: 5 * second };
    const { host, session, runner } = await openRunner({ idleTimeout: 10 * second, ...times });
    await pass(10 * second);
    const nothing = { sessions: 0, groups: 0, runners: 0, running: 0, unseen: 0, openReads: 0, items: 0 };
    expect(host.stats()).toEqual(nothing);
    expect(await host.find("alice")).toBeUndefined();
    expect([runner.status, runner.abortReason]).toEqual(["aborted", "idle"]);
    expect(session.signal.reason).toMatchObject({ code: "SESSION_ENDED", message: expect.stringContaining("idle") });
    expect(await session.cleanup).toEqual({ timedOut: false, errors: [] });
  });

  const uses: Record<string, (all: Awaited<ReturnType<typeof openRunner>>) => unknown> = {
    "get()": ({ host }) => host.get("alice"),
    "find()": ({ host }) => host.find("alice"),
    "findRunner()": ({ session, runner }) => session.findRunner(runner.key),
    "findSequenceRunner()": ({ session }) => session.findSequenceRunner(0),
    "createSequenceRunner()": ({ session }) => session.createSequenceRunner([1]),
    "createProcessRunner()": ({ session }) => session.createProcessRunner(async () => 1),
    "getAvailable()": ({ runner }) => runner.getAvailable(),
    "getRequired()": ({ runner, source }) => {
      source.push(1);
      return runner.getRequired({ advance: 1 });
    },
    "an item taken by iteration": ({ runner, source }) => {
      source.push(1);
      return runner[Symbol.asyncIterator]().next();
    },
    "an acknowledgement": ({ runner }) => inside(runner).acknowledge(0),
  };

  it.each(Object.entries(uses))("lives on with each use: %s", async (_what, use) => {
    const all = await openRunner(short);
    for (let i = 0; i < 3; i++) {
      await pass(9 * second);
      await use(all);
    }
    await expectEndAfter(10 * second, () => all.session.isAvailable);
  });

  const noUses: Record<string, (all: Awaited<ReturnType<typeof openRunner>>) => unknown> = {
    producing: ({ source }) => source.push(1),
    "runners()": async ({ session }) => {
      for await (const runner of session.runners()) void runner.status;
    },
    "stats() and sessions()": ({ host }) => [host.stats(), ...host.sessions()],
    "state()": ({ runner }) => runner.state(),
    "the getters": ({ session, runner }) => [session.id, session.signal, session.services, runner.status, runner.key],
    "finding no runner by a foreign key": ({ session }) => session.findRunner("0-1-AAAAAAAAAAAAAAAAAAAAAA"),
    "another session of the client": ({ host }) => host.get("alice", "tab-2"),
    "another client": ({ host }) => host.get("bob"),
  };

  it.each(Object.entries(noUses))("is not kept by what is no use: %s", async (_what, look) => {
    const all = await openRunner(short);
    await pass(9 * second);
    await look(all);
    await turns();
    await expectEndAfter(second, () => all.session.isAvailable);
  });

  it("does not end when idleTimeout is Infinity", async () => {
    const { session } = await openSession({ idleTimeout: forever, maxLifetime: forever });
    expect(vi.getTimerCount()).toBe(0);
    await pass(365 * 24 * hour);
    expect(session.isAvailable).toBe(true);
  });

  it.each([2 ** 31 - 1, 2 ** 31, 2 ** 32 + 17])("ends in time when idleTimeout is %d ms", async (idleTimeout) => {
    const { session } = await openSession({ idleTimeout, maxLifetime: forever });
    await expectEndAfter(idleTimeout, () => session.isAvailable);
  });

  it("of many ends at its own time, whatever becomes of the others", async () => {
    const host = openHost({ idleTimeout: 10 * second });
    const sessions: ActiveSession[] = [];
    for (const name of ["alice", "bob", "carol"]) {
      sessions.push(await host.get(name));
      await pass(second);
    }
    await host.get("alice"); // at 3 s; bob's time began at 1 s, carol's at 2 s
    await sessions[1]?.terminate();
    const live = () => sessions.map((session) => session.isAvailable);
    await pass(8_999);
    expect(live()).toEqual([true, false, true]);
    await pass(1);
    expect(live()).toEqual([true, false, false]);
    await pass(second);
    expect(live()).toEqual([false, false, false]);
  });

  it("does not care for the wall clock", async () => {
    const { session } = await openSession({ idleTimeout: 10 * second, maxLifetime: 15 * second });
    await pass(5 * second);
    vi.setSystemTime(Date.now() + 48 * hour);
    await pass(second);
    expect(session.isAvailable).toBe(true);
    vi.setSystemTime(0);
    await expectEndAfter(4 * second, () => session.isAvailable);
  });
});

describe("the lifetime of a session", () => {
  it("is 2 hours by default, however often it is used", async () => {
    const { host, session } = await openSession();
    for (let t = 0; t < 2 * hour - 10 * minute; t += 10 * minute) {
      await pass(10 * minute);
      await host.get("alice");
    }
    await expectEndAfter(10 * minute, () => session.isAvailable);
  });

  it("is absolute: a session with a pending read ends too, and the read gets what there is (parity 115)", async () => {
    const { session, source, runner } = await openRunner({ maxLifetime: 30 * second, idleTimeout: 10 * second });
    const read = runner.getRequired({ advance: 5 });
    source.push(1, 2);
    await expectEndAfter(30 * second, () => session.isAvailable);
    expect(await read).toEqual({ result: [1, 2], status: "aborted", position: 2 });
    expect(runner.abortReason).toBe("lifetime");
    expect(session.signal.reason.message).toContain("lifetime");
  });

  it("is absolute: a session that something holds ends too", async () => {
    const { session, runner } = await openRunner({ maxLifetime: 30 * second, idleTimeout: 10 * second });
    const lease = inside(runner).hold();
    await expectEndAfter(30 * second, () => session.isAvailable);
    lease.release();
    expect(isThere(session, runner)).toBe(false);
  });

  it("counts from each session's own creation", async () => {
    const host = openHost({ maxLifetime: 30 * second });
    const alice = await host.get("alice");
    await pass(10 * second);
    const bob = await host.get("bob");
    await expectEndAfter(20 * second, () => alice.isAvailable);
    expect(bob.isAvailable).toBe(true);
    const successor = await host.get("alice");
    await expectEndAfter(10 * second, () => bob.isAvailable);
    await expectEndAfter(20 * second, () => successor.isAvailable);
  });

  it("still counts when the session before it in line has ended early", async () => {
    const host = openHost({ maxLifetime: 30 * second });
    const alice = await host.get("alice");
    await pass(10 * second);
    const bob = await host.get("bob");
    await alice.terminate();
    await expectEndAfter(30 * second, () => bob.isAvailable);
  });

  it.each([2 ** 31 - 1, 2 ** 31, 2 ** 32 + 17])("is right for %d ms", async (maxLifetime) => {
    const { session } = await openSession({ idleTimeout: forever, maxLifetime });
    await expectEndAfter(maxLifetime, () => session.isAvailable);
  });
});

describe("an idle runner", () => {
  it("is aborted with the reason idle after runnerIdleTimeout, and removed after finishedTimeout; its session lives on (parity 135)", async () => {
    const { host, session, source, runner } = await openRunner({
      runnerIdleTimeout: 10 * second,
      finishedTimeout: 5 * second,
    });
    const bystander = await session.createSequenceRunner([1], { finishedTimeout: forever });
    await expectEndAfter(10 * second, () => isThere(session, runner));
    expect([runner.status, runner.abortReason]).toEqual(["aborted", "idle"]);
    expect(source.returns).toBe(1);
    await expectEndAfter(5 * second, () => inside(session).peek(0) !== undefined);
    expect(session.isAvailable).toBe(true);
    expect(host.stats().runners).toBe(1);
    expect(await session.findRunner(runner.key)).toBeUndefined();
    expect(isThere(session, bystander)).toBe(true);
    await expect(runner.getAvailable()).rejects.toMatchObject({ code: "RUNNER_GONE" });
  });

  it("goes after 2 minutes by default", async () => {
    const { session, runner } = await openRunner();
    await expectEndAfter(2 * minute, () => isThere(session, runner));
  });

  it("goes after its own idleTimeout, if it has one", async () => {
    const { session } = await openSession({ runnerIdleTimeout: 10 * second });
    const short = await session.createSequenceRunner(new PushSource(), { idleTimeout: 3 * second });
    const long = await session.createSequenceRunner(new PushSource(), { idleTimeout: 20 * second });
    const usual = await session.createSequenceRunner(new PushSource());
    const there = () => [short, usual, long].map((runner) => isThere(session, runner));
    await pass(3 * second);
    expect(there()).toEqual([false, true, true]);
    await pass(7 * second);
    expect(there()).toEqual([false, false, true]);
    await pass(10 * second);
    expect(there()).toEqual([false, false, false]);
  });

  it("keeps the final status that it has", async () => {
    const { session } = await openSession({ finishedTimeout: 10 * second });
    const runner = await session.createSequenceRunner([1]);
    await runner.getRequired();
    await expectEndAfter(10 * second, () => isThere(session, runner));
    expect([runner.status, runner.abortReason]).toEqual(["completed", undefined]);
  });

  it("that has never been started goes too, and its work never runs", async () => {
    const { session } = await openSession({ runnerIdleTimeout: 10 * second });
    const body = vi.fn(async () => 1);
    const runner = await session.createProcessRunner(body, { start: "on-first-read" });
    await expectEndAfter(10 * second, () => isThere(session, runner));
    expect(runner.abortReason).toBe("idle");
    expect(body).not.toHaveBeenCalled();
  });

  it("does not go when its time-out is Infinity", async () => {
    const { session, runner } = await openRunner(
      { idleTimeout: forever, maxLifetime: forever },
      { idleTimeout: forever },
    );
    await pass(365 * 24 * hour);
    expect(isThere(session, runner)).toBe(true);
  });

  it.each([2 ** 31 - 1, 2 ** 31, 2 ** 32 + 17])("goes in time when its time-out is %d ms", async (idleTimeout) => {
    const { session, runner } = await openRunner({ idleTimeout: forever, maxLifetime: forever }, { idleTimeout });
    await expectEndAfter(idleTimeout, () => isThere(session, runner));
  });

  const uses: Record<string, (all: Awaited<ReturnType<typeof openRunner>>) => unknown> = {
    "findRunner()": ({ session, runner }) => session.findRunner(runner.key),
    "findRunner() by number": ({ session, runner }) => session.findRunner(runner.number),
    "getAvailable()": ({ runner }) => runner.getAvailable(),
    "an item taken by iteration": ({ runner, source }) => {
      source.push(1);
      return runner[Symbol.asyncIterator]().next();
    },
    "an acknowledgement": ({ runner }) => inside(runner).acknowledge(0),
  };

  it.each(Object.entries(uses))("lives on with each use: %s", async (_what, use) => {
    const all = await openRunner({ runnerIdleTimeout: 10 * second });
    for (let i = 0; i < 3; i++) {
      await pass(9 * second);
      await use(all);
    }
    await expectEndAfter(10 * second, () => isThere(all.session, all.runner));
  });

  const noUses: Record<string, (all: Awaited<ReturnType<typeof openRunner>>) => unknown> = {
    producing: ({ source }) => source.push(1),
    "runners()": async ({ session }) => {
      for await (const runner of session.runners()) void runner.status;
    },
    "stats()": ({ host }) => host.stats(),
    "state()": ({ runner }) => runner.state(),
    "the getters": ({ runner }) => [runner.status, runner.position, runner.progress, runner.signal, runner.cleanup],
    "use of its session": ({ host }) => host.get("alice"),
    "use of another runner": ({ session }) => session.createSequenceRunner([1]),
  };

  it.each(Object.entries(noUses))("is not kept by what is no use: %s", async (_what, look) => {
    const all = await openRunner({ runnerIdleTimeout: 10 * second });
    await pass(9 * second);
    await look(all);
    await turns();
    await expectEndAfter(second, () => isThere(all.session, all.runner));
  });
});

describe("a pending read", () => {
  const short = { runnerIdleTimeout: 10 * second, idleTimeout: 15 * second, finishedTimeout: 3 * second };

  async function expectNewTime({ session, runner }: { session: ActiveSession; runner: Runner }) {
    await expectEndAfter(10 * second, () => isThere(session, runner));
    await expectEndAfter(5 * second, () => session.isAvailable);
  }

  it("keeps runner and session for as long as it waits; then their time starts again (parity 136)", async () => {
    const all = await openRunner(short);
    await pass(9 * second);
    const read = all.runner.getRequired({ advance: 2 });
    await pass(10 * minute);
    all.source.push(1, 2);
    expect(await read).toMatchObject({ result: [1, 2], status: "stalled" });
    await expectNewTime(all);
  });

  it("keeps them until the last of several has settled", async () => {
    const all = await openRunner(short);
    const first = all.runner.getRequired({ start: 0, advance: 1 });
    const other = all.runner.getRequired({ start: 0, advance: 2 });
    await pass(minute);
    all.source.push(1);
    await first;
    await pass(minute);
    expect(isThere(all.session, all.runner)).toBe(true);
    all.source.push(2);
    await other;
    await expectNewTime(all);
  });

  it("that is cancelled lets go of them", async () => {
    const all = await openRunner(short);
    const controller = new AbortController();
    const read = all.runner.getRequired({ advance: 2, signal: controller.signal });
    await pass(minute);
    controller.abort("changed my mind");
    await expect(read).rejects.toBe("changed my mind");
    await expectNewTime(all);
  });

  it("that is refused lets go of them", async () => {
    const all = await openRunner(short);
    await pass(5 * second);
    await expect(all.runner.getRequired({ start: 99 })).rejects.toMatchObject({ code: "POSITION_AHEAD" });
    await expectNewTime(all);
  });

  it("of a process keeps them too", async () => {
    const { session } = await openSession(short);
    let report!: (value: number) => void;
    const runner = await session.createProcessRunner<number>(
      (context) =>
        new Promise((resolve) => {
          report = context.report;
          context.signal.addEventListener("abort", () => resolve());
        }),
    );
    const read = runner.getRequired();
    await pass(10 * minute);
    report(7);
    expect((await read).result).toBe(7);
    await expectNewTime({ session, runner });
  });

  it("of an iteration keeps them while it waits, and the loop's body does not", async () => {
    const all = await openRunner(short);
    const iterator = all.runner[Symbol.asyncIterator]();
    const next = iterator.next();
    await pass(10 * minute);
    all.source.push(1);
    expect(await next).toEqual({ done: false, value: 1 });
    await expectNewTime(all);
  });

  it("that waits for a slow start keeps them", async () => {
    const { session } = await openSession(short);
    let open!: (items: PushSource<number>) => void;
    const runner = await session.createSequenceRunner<number>(
      () =>
        new Promise((resolve) => {
          open = resolve;
        }),
      { start: "on-first-read" },
    );
    const read = runner.getRequired({ advance: 1 });
    await pass(10 * minute);
    const source = new PushSource<number>();
    source.push(1);
    open(source);
    expect((await read).result).toEqual([1]);
    await expectNewTime({ session, runner });
  });

  it("of one runner keeps the session, but not the other runners", async () => {
    const { session, source, runner } = await openRunner(short);
    const other = await session.createSequenceRunner(new PushSource());
    const read = runner.getRequired({ advance: 1 });
    await expectEndAfter(10 * second, () => isThere(session, other));
    await pass(10 * minute);
    expect(session.isAvailable).toBe(true);
    source.push(1);
    await read;
    await expectNewTime({ session, runner });
  });

  it("does not keep the session when its runner is removed under it", async () => {
    const { session, runner } = await openRunner(short);
    const read = runner.getRequired({ advance: 1 });
    await pass(minute);
    await runner[Symbol.asyncDispose]();
    expect(await read).toMatchObject({ status: "aborted", result: [] });
    await expectEndAfter(15 * second, () => session.isAvailable);
    expect(isThere(session, runner)).toBe(false);
  });

  it("is not disturbed by uses of the runner meanwhile", async () => {
    const all = await openRunner(short);
    const read = all.runner.getRequired({ start: 0, advance: 1 });
    await pass(5 * second);
    await all.session.findRunner(0);
    await all.host.get("alice");
    await pass(10 * minute);
    expect([isThere(all.session, all.runner), all.session.isAvailable]).toEqual([true, true]);
    all.source.push(1);
    await read;
    await expectNewTime(all);
  });
});

describe("a slow creation", () => {
  it("keeps its session, and its runner cannot idle out under it", async () => {
    const { session } = await openSession({ finishedTimeout: 10 * second, idleTimeout: 15 * second });
    const checked = createDeferred<{ value: number }>();
    const input = { "~standard": { version: 1 as const, vendor: "test", validate: () => checked.promise } };
    const definition = defineSequenceRunner({ name: "checked", input, run: (n: number) => [n] });
    const creation = session.createRunner(definition, 1);
    await pass(10 * minute);
    expect(session.isAvailable).toBe(true);
    checked.resolve({ value: 1 });
    const runner = await creation;
    await turns();
    expect(runner.status).toBe("progressed");
    await expectEndAfter(10 * second, () => isThere(session, runner));
    await expectEndAfter(5 * second, () => session.isAvailable);
  });
});

describe("a source that is slow to open", () => {
  it("is work: unused, it is stopped after the idle time of its runner", async () => {
    const { session } = await openSession({ runnerIdleTimeout: 10 * second });
    const opened = createDeferred<number[]>();
    const runner = await session.createSequenceRunner(() => opened.promise);
    await expectEndAfter(10 * second, () => isThere(session, runner));
    opened.resolve([1]);
    await turns();
    expect(await runner.getRequired()).toMatchObject({ result: [], status: "aborted" });
  });
});

describe("a creation that waits until its client can come back", () => {
  it("keeps its session, and its runner cannot idle out under it", async () => {
    const { session } = await openSession({ finishedTimeout: 10 * second, idleTimeout: 15 * second });
    let saved!: () => void;
    inside(session).publish(
      new Promise<void>((resolve) => {
        saved = resolve;
      }),
    );
    const creation = session.createSequenceRunner<number>([1]);
    await pass(10 * minute);
    expect(session.isAvailable).toBe(true);
    saved();
    const runner = await creation;
    expect(runner.status).toBe("progressed");
    await expectEndAfter(10 * second, () => isThere(session, runner));
    await expectEndAfter(5 * second, () => session.isAvailable);
  });
});

describe("many that end at once", () => {
  async function openMany(host: ActiveSessions, count: number) {
    for (let i = 0; i < count; i++) await host.get(`user-${i}`);
  }

  /** Rings one timer after the other and notes after each how many are left. */
  async function countAfterEachTimer(count: () => number): Promise<number[]> {
    const counts = [count()];
    while (counts.at(-1) !== 0) {
      await vi.advanceTimersToNextTimerAsync();
      counts.push(count());
    }
    return counts;
  }

  it("idle sessions: at most 1000 in a turn of the event loop", async () => {
    const host = openHost({ idleTimeout: 10 * second, maxLifetime: forever });
    await openMany(host, 2500);
    expect(await countAfterEachTimer(() => host.stats().sessions)).toEqual([2500, 1500, 500, 0]);
    expect(performance.now()).toBeLessThan(10 * second + 10);
  });

  it("sessions whose lifetime is over: at most 1000 in a turn of the event loop", async () => {
    const host = openHost({ idleTimeout: forever, maxLifetime: 10 * second });
    await openMany(host, 2500);
    expect(await countAfterEachTimer(() => host.stats().sessions)).toEqual([2500, 1500, 500, 0]);
    expect(performance.now()).toBeLessThan(10 * second + 10);
  });

  it("idle runners: at most 1000 in a turn of the event loop", async () => {
    const { host, session } = await openSession({
      runnerIdleTimeout: 10 * second,
      finishedTimeout: 10 * second,
      idleTimeout: forever,
      maxLifetime: forever,
      limits: { runnersPerClient: forever },
    });
    for (let i = 0; i < 2500; i++) await session.createProcessRunner(async () => i, { start: "on-first-read" });
    expect(await countAfterEachTimer(() => host.stats().running)).toEqual([2500, 1500, 500, 0]);
    await pass(9 * second);
    expect(await countAfterEachTimer(() => host.stats().runners)).toEqual([2500, 1500, 500, 0]);
    expect(session.isAvailable).toBe(true);
  });
});

describe("the timers of lifetimes", () => {
  it("are few, whatever the number of sessions and runners", async () => {
    const host = openHost();
    for (let i = 0; i < 100; i++) {
      const session = await host.get(`user-${i}`);
      await session.createSequenceRunner(new PushSource());
      await session.createSequenceRunner(new PushSource(), { idleTimeout: 5 * second });
      await session.createSequenceRunner([1]);
    }
    // Idle sessions, lifetimes, idle runners of two durations, ended runners.
    expect(vi.getTimerCount()).toBe(5);
  });

  it("go with the last runner of a duration, so that many durations leave nothing behind", async () => {
    const { session } = await openSession();
    const before = vi.getTimerCount();
    for (let i = 1; i <= 50; i++) {
      const runner = await session.createSequenceRunner([1], { idleTimeout: i * minute });
      await runner[Symbol.asyncDispose]();
    }
    expect(vi.getTimerCount()).toBe(before);
  });

  it("never keep the process alive", async () => {
    vi.useRealTimers();
    const set = vi.spyOn(globalThis, "setTimeout");
    const { runner } = await openRunner({}, { idleTimeout: 2 ** 33 });
    await runner.getAvailable();
    const timers = set.mock.results.map(({ value }) => value as NodeJS.Timeout);
    expect(timers.map((timer) => timer.hasRef())).toEqual([false, false, false]);
  });
});
