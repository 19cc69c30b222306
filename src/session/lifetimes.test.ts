/** What is not used: work is aborted, what it has found waits, and the session ends with the last of its runners. */
import { beforeEach, describe, expect, test, vi } from "vitest";
import { openHost, PushSource, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import type { Runner } from "../runner/runner.js";
import type { ActiveSession } from "./active-session.js";
import { defineSequenceRunner } from "./define.js";
import { tagIdentity } from "./identity.js";
import type { ActiveSessionsOptions } from "./options.js";

const minute = 60_000;
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers();
});

async function open(options: ActiveSessionsOptions<ActiveSession> = {}) {
  const host = openHost(options);
  return { host, session: await host.get("ann") };
}

const isThere = async (session: ActiveSession, runner: Runner) => inside(session).peek(runner.number) === runner;

describe("work that no one uses", () => {
  test("is aborted after its idle time, and what it has found can be read", async () => {
    const { session } = await open();
    const source = new PushSource<number>();
    const runner = await session.createSequenceRunner(source);
    source.push(1, 2);
    await pass(2 * minute - 1);
    expect(runner.phase).toBe("running");
    await pass(1);
    expect(source.returns).toBe(1);
    expect(await runner.getRequired()).toMatchObject({ result: [1, 2], status: "aborted" });
    expect((await runner.state()).abortReason).toBe("idle");
  });

  test("that has not begun is aborted, and releases what it holds", async () => {
    const { host, session } = await open();
    const released = vi.fn();
    const runner = await session.createProcessRunner(async () => 1, { start: "on-first-read", holds: [released] });
    await pass(2 * minute);
    expect([released.mock.calls.length, (await runner.state()).abortReason]).toEqual([1, "idle"]);
    expect(host.stats().running).toBe(0);
  });

  test("with an idle time of Infinity goes on to its end, and its result waits from then on", async () => {
    const { host, session } = await open({ maxLifetime: Number.POSITIVE_INFINITY });
    const source = new PushSource<number>();
    const runner = await session.createSequenceRunner(source, { idleTimeout: Number.POSITIVE_INFINITY });
    await pass(600 * minute);
    expect([session.isAvailable, runner.phase, host.stats().running]).toEqual([true, "running", 1]);
    source.push(1);
    source.end();
    await pass(20 * minute - 1);
    expect(await isThere(session, runner)).toBe(true);
    await pass(1);
    expect([await isThere(session, runner), session.isAvailable]).toEqual([false, false]);
  });
});

describe("what has ended", () => {
  const ways: [string, (source: PushSource<number>, runner: Runner) => unknown][] = [
    ["completed", (source) => source.end()],
    ["failed", (source) => source.fail(new Error("no more"))],
    ["stopped", (_, runner) => runner.abort()],
  ];

  test.each(ways)("(%s) stays for finishedTimeout after its end, and after each use", async (_, end) => {
    const { session } = await open();
    const source = new PushSource<number>();
    const runner = await session.createSequenceRunner(source);
    await pass(minute);
    await end(source, runner);
    await turns();
    await pass(20 * minute - 1);
    expect(await session.findRunner(runner.key)).toBe(runner);
    await pass(20 * minute - 1);
    expect(await isThere(session, runner)).toBe(true);
    await pass(1);
    expect(await isThere(session, runner)).toBe(false);
  });

  test("while a read of it is open has no idle time; that begins with the end of the read", async () => {
    const { session } = await open();
    const source = new PushSource<number>();
    const runner = await session.createSequenceRunner(source);
    const lease = inside(runner).hold();
    source.end();
    await pass(30 * minute);
    expect(await isThere(session, runner)).toBe(true);
    lease.release();
    await pass(20 * minute - 1);
    expect(await isThere(session, runner)).toBe(true);
    await pass(1);
    expect(await isThere(session, runner)).toBe(false);
  });

  test("has a time of its own where the runner, or its definition, says so", async () => {
    const { session } = await open();
    const runner = await session.createSequenceRunner([1], { finishedTimeout: 500 });
    await pass(499);
    expect(await isThere(session, runner)).toBe(true);
    await pass(1);
    expect(await isThere(session, runner)).toBe(false);
  });
});

describe("a session that no one uses", () => {
  test("ends when its time is up, if it has no runners", async () => {
    const { session } = await open();
    await pass(20 * minute);
    expect(session.isAvailable).toBe(false);
  });

  test("does not end before its runners, and ends with the last of them", async () => {
    const { host, session } = await open({ idleTimeout: minute });
    const ended: string[] = [];
    await session.createSequenceRunner(new PushSource<number>());
    await session.createSequenceRunner([1], { finishedTimeout: 21 * minute });
    session.signal.addEventListener("abort", () => ended.push("ended"));
    await pass(21 * minute);
    expect([session.isAvailable, host.stats().runners]).toEqual([true, 1]);
    await pass(minute);
    expect([session.isAvailable, ended, host.stats()]).toMatchObject([false, ["ended"], { sessions: 0, runners: 0 }]);
  });

  test("whose time is up has all of it again when it is used", async () => {
    const { host, session } = await open({ idleTimeout: 3 * minute, finishedTimeout: 4 * minute });
    const runner = await session.createSequenceRunner([1]);
    await pass(3 * minute + 30_000);
    expect(await host.find("ann")).toBe(session);
    await pass(30_000);
    expect(await isThere(session, runner)).toBe(false);
    await pass(2 * minute + 29_999);
    expect(session.isAvailable).toBe(true);
    await pass(1);
    expect(session.isAvailable).toBe(false);
  });

  test("whose time is up ends when its last runner is removed, by whatever", async () => {
    const { session } = await open({ idleTimeout: minute });
    const [first, second] = [await session.createSequenceRunner([]), await session.createSequenceRunner([])];
    await pass(minute);
    await first[Symbol.asyncDispose]();
    expect(session.isAvailable).toBe(true);
    await second[Symbol.asyncDispose]();
    expect(session.isAvailable).toBe(false);
  });

  test("that has been used since is not ended by the removal of its last runner", async () => {
    const { host, session } = await open({ idleTimeout: minute });
    const runner = await session.createSequenceRunner([]);
    await pass(minute);
    await host.find("ann");
    await runner[Symbol.asyncDispose]();
    expect(session.isAvailable).toBe(true);
    await pass(minute);
    expect(session.isAvailable).toBe(false);
  });

  test("is held by a read, whatever its time", async () => {
    const { session } = await open({ idleTimeout: minute });
    const runner = await session.createSequenceRunner(new PushSource<number>());
    const pending = runner.getRequired();
    await pass(60 * minute);
    expect(session.isAvailable).toBe(true);
    await runner.abort();
    await pending;
  });

  test("and has not come back yet ends after two minutes, work and all", async () => {
    const host = openHost();
    const session = inside(host).obtain(tagIdentity("cookie", "new"), undefined);
    const runner = await session.createSequenceRunner(new PushSource<number>(), {
      idleTimeout: Number.POSITIVE_INFINITY,
    });
    await pass(2 * minute);
    expect([session.isAvailable, (await runner.state()).abortReason]).toEqual([false, "idle"]);
  });

  test("whose time is up goes first where a limit makes room", async () => {
    const { host, session } = await open({ idleTimeout: minute, limits: { sessions: 2, whenReached: "end-idle" } });
    await session.createSequenceRunner([]);
    await pass(minute);
    const ben = await host.get("ben");
    await host.get("cy");
    expect([session.isAvailable, ben.isAvailable]).toEqual([false, true]);
  });

  test("whose time is up goes first among those of its client", async () => {
    const limits = { sessionsPerClient: 2, whenReached: "end-idle" } as const;
    const { host, session } = await open({ idleTimeout: minute, limits });
    await session.createSequenceRunner([]);
    await pass(minute);
    const other = await host.get("ann", "other");
    await host.get("ann", "third");
    expect([session.isAvailable, other.isAvailable]).toEqual([false, true]);
  });

  test("takes its runners with it at its greatest age", async () => {
    const { session } = await open({ maxLifetime: 5 * minute });
    const runner = await session.createSequenceRunner(new PushSource<number>(), { idleTimeout: 60 * minute });
    await pass(5 * minute);
    expect([session.isAvailable, runner.phase]).toEqual([false, "aborted"]);
  });
});

describe("where there are too many runners, ended ones make room:", () => {
  test("first one whose end was seen, then others, in order of last use; none that works", async () => {
    const { session } = await open({ limits: { runnersPerClient: 4 } });
    const working = await session.createSequenceRunner(new PushSource<number>());
    const unread = await session.createSequenceRunner([1]);
    await pass(1);
    const other = await session.createSequenceRunner([1]);
    await pass(1);
    const seen = await session.createSequenceRunner([1]);
    await seen.getRequired();
    await pass(100);
    const there = async () => [
      await isThere(session, working),
      await isThere(session, unread),
      await isThere(session, other),
      await isThere(session, seen),
    ];
    await session.createSequenceRunner(new PushSource<number>());
    expect(await there()).toEqual([true, true, true, false]);
    await session.createSequenceRunner(new PushSource<number>());
    expect(await there()).toEqual([true, false, true, false]);
    await session.createSequenceRunner(new PushSource<number>());
    expect(await there()).toEqual([true, false, false, false]);
    await expect(session.createSequenceRunner([])).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
  });

  test("not one that is being read", async () => {
    const { session } = await open({ limits: { runnersPerClient: 1 } });
    const runner = await session.createSequenceRunner([1]);
    const lease = inside(runner).hold();
    await expect(session.createSequenceRunner([])).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
    lease.release();
    await expect(session.createSequenceRunner([])).resolves.toBeDefined();
  });

  test("for the limit of a client only its own", async () => {
    const { host, session } = await open({ limits: { runnersPerClient: 1 } });
    const ben = await host.get("ben");
    const his = await ben.createSequenceRunner([1]);
    await session.createSequenceRunner(new PushSource<number>());
    await expect(session.createSequenceRunner([])).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
    expect(await isThere(ben, his)).toBe(true);
  });

  test("for the limit of the process, of anybody", async () => {
    const { host, session } = await open({ limits: { runners: 2 } });
    const ben = await host.get("ben");
    const unread = await session.createSequenceRunner([1]);
    const seen = await ben.createSequenceRunner([1]);
    await seen.getRequired();
    await pass(100);
    await session.createSequenceRunner(new PushSource<number>());
    expect([await isThere(session, unread), await isThere(ben, seen)]).toEqual([true, false]);
    await ben.createSequenceRunner(new PushSource<number>());
    expect(await isThere(session, unread)).toBe(false);
    await expect(ben.createSequenceRunner([])).rejects.toMatchObject({ code: "SERVER_LIMIT_REACHED" });
  });

  test("for a client that has not come back, of its own session", async () => {
    const host = openHost({ limits: { unconfirmedRunners: 1 } });
    const session = inside(host).obtain(tagIdentity("cookie", "new"), undefined);
    await session.createSequenceRunner([1]);
    await pass(100);
    await session.createSequenceRunner(new PushSource<number>());
    await expect(session.createSequenceRunner([])).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
  });

  test("not one that is new: its creator is about to read it, for a tenth of a second, or until then", async () => {
    const { session } = await open({ limits: { runnersPerClient: 1 } });
    const runner = await session.createSequenceRunner([1]);
    await pass(99);
    await expect(session.createSequenceRunner([])).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
    await pass(1);
    const next = await session.createSequenceRunner([1]);
    expect(await isThere(session, runner)).toBe(false);
    await next.getRequired();
    await expect(session.createSequenceRunner([])).resolves.toBeDefined();
  });

  test("also for a session whose time is up: the creation is a use of it", async () => {
    const { session } = await open({ idleTimeout: minute, limits: { runnersPerClient: 1 } });
    await session.createSequenceRunner([1]);
    await pass(2 * minute);
    await expect(session.createSequenceRunner([2])).resolves.toBeDefined();
    expect(session.isAvailable).toBe(true);
  });

  test("only if the new one comes to be: what refuses it is checked first", async () => {
    const { host, session } = await open({ limits: { runnersPerClient: 1, retainedItems: 4 } });
    const unread = await session.createProcessRunner(async () => 1);
    await (await host.get("ben")).createSequenceRunner([1, 2, 3, 4, 5]);
    await pass(100);
    await expect(session.createSequenceRunner([1])).rejects.toMatchObject({ code: "SERVER_LIMIT_REACHED" });
    expect(await isThere(session, unread)).toBe(true);
  });

  test("unused work that was aborted stays longer than work that its user has stopped", async () => {
    const { host, session } = await open({ limits: { runnersPerClient: 2 }, runnerIdleTimeout: minute });
    const idle = await session.createSequenceRunner(new PushSource<number>());
    await pass(minute);
    expect([idle.phase, host.stats().unseen]).toEqual(["aborted", 1]);
    const stopped = await session.createSequenceRunner(new PushSource<number>());
    await stopped.abort();
    await pass(100);
    await session.createSequenceRunner([]);
    expect([await isThere(session, idle), await isThere(session, stopped)]).toEqual([true, false]);
  });
});

describe("a limit of work that runs", () => {
  const work = (session: ActiveSession) => session.createSequenceRunner(new PushSource<number>());

  test("of a client counts its sessions together, and no work that has ended", async () => {
    const { host, session } = await open({ limits: { runningPerClient: 2 } });
    const other = await host.get("ann", "other");
    const first = await work(session);
    await session.createSequenceRunner([]);
    await work(other);
    await expect(work(session)).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED", status: 429 });
    await expect(work(await host.get("ben"))).resolves.toBeDefined();
    await first.abort();
    await first.cleanup;
    await expect(work(session)).resolves.toBeDefined();
    expect(host.stats()).toMatchObject({ runners: 5, running: 3 });
  });

  test("of the process refuses with 503", async () => {
    const { host, session } = await open({ limits: { running: 1 } });
    const runner = await work(session);
    await expect(work(await host.get("ben"))).rejects.toMatchObject({ code: "SERVER_LIMIT_REACHED" });
    await inside(runner).dispose("stopped");
    await turns();
    expect(host.stats().running).toBe(0);
    await expect(work(await host.get("ben"))).resolves.toBeDefined();
  });

  test.each(["running", "runningPerClient"])(
    "(%s) with end-idle aborts what was used least and keeps what it has found",
    async (limit) => {
      const { session } = await open({ limits: { [limit]: 2, whenReached: "end-idle" } });
      const source = new PushSource<number>();
      const first = await session.createSequenceRunner(source);
      source.push(1);
      await pass(100);
      const second = await work(session);
      await work(session);
      expect([first.phase, second.phase]).toEqual(["aborted", "running"]);
      expect(await first.getRequired()).toMatchObject({ result: [1], status: "aborted" });
      expect((await first.state()).abortReason).toBe("idle");
    },
  );

  test("counts work that was aborted until it has stopped; also when its runner has been removed", async () => {
    const { host, session } = await open({ limits: { running: 1, runningPerClient: 1 } });
    const stop: (() => void)[] = [];
    const stubborn = () => session.createProcessRunner(() => new Promise<void>((resolve) => stop.push(resolve)));
    const first = await stubborn();
    await first.abort();
    await expect(stubborn()).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
    void inside(first).dispose("stopped");
    expect(host.stats()).toMatchObject({ runners: 0, running: 1 });
    await expect(stubborn()).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
    stop[0]!();
    await turns();
    await expect(stubborn()).resolves.toBeDefined();
    stop[1]!();
    await turns();
    expect(host.stats()).toMatchObject({ runners: 1, running: 0 });
    await pass(10_000); // the first one's clean-up is given up
  });

  test("aborts nothing for a creation that is then refused", async () => {
    const limits = { running: 2, retainedItems: 4, whenReached: "end-idle" } as const;
    const { session } = await open({ limits });
    const other = await work(session);
    const source = new PushSource<number>();
    const busy = await session.createSequenceRunner(source);
    source.push(1, 2, 3, 4, 5);
    const reading = busy.getRequired({ advance: 10, start: 0 });
    await pass(100);
    await expect(work(session)).rejects.toMatchObject({ code: "SERVER_LIMIT_REACHED" });
    expect(other.phase).toBe("running");
    source.end();
    await reading;
  });

  test("does not count a producer that has ended its log at once", async () => {
    const { host, session } = await open({ limits: { runningPerClient: 1 } });
    const done = { start: async () => {}, stop() {}, closed: Promise.resolve({ timedOut: false, errors: [] }) };
    const onUnseen = vi.fn();
    const atOnce = defineSequenceRunner<number, null>({
      name: "at once",
      onUnseen,
      produce: (_, sink) => {
        sink.start();
        sink.append(1);
        sink.end();
        return done;
      },
    });
    const runner = await session.createRunner(atOnce, null);
    await turns();
    expect([runner.phase, host.stats()]).toMatchObject(["completed", { running: 0, unseen: 1 }]);
    await expect(work(session)).resolves.toBeDefined();
    await pass(30_000);
    expect(onUnseen).toHaveBeenCalledTimes(1);
  });

  test("does not count a producer that has ended its log, and is closed when it is stopped", async () => {
    const { host, session } = await open({ limits: { running: 1 } });
    const patient = defineSequenceRunner<number, null>({
      name: "patient",
      produce: (_, sink) => {
        let close: (summary: { timedOut: boolean; errors: unknown[] }) => void = () => {};
        const closed = new Promise<{ timedOut: boolean; errors: unknown[] }>((resolve) => {
          close = resolve;
        });
        return { closed, start: async () => sink.end(), stop: () => close({ timedOut: false, errors: [] }) };
      },
    });
    const runner = await session.createRunner(patient, null);
    expect((await runner.getRequired()).status).toBe("completed");
    expect(host.stats().running).toBe(0);
    await expect(work(session)).resolves.toBeDefined();
    await inside(runner).dispose("stopped");
    expect(host.stats().running).toBe(1);
  });
});

describe("for what is then refused nothing of others is ended:", () => {
  const never = () => new PushSource<number>();

  test("a new client at its own limit of runners", async () => {
    const { host, session } = await open({ limits: { runners: 2, unconfirmedRunners: 1 } });
    const unread = await session.createSequenceRunner([1]);
    const guest = inside(host).obtain(tagIdentity("cookie", "new"), undefined);
    await guest.createSequenceRunner(never());
    await pass(100);
    await expect(guest.createSequenceRunner(never())).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
    expect(await isThere(session, unread)).toBe(true);
  });

  test("a client whose only work is being read", async () => {
    const limits = { runningPerClient: 1, retainedItems: 4, whenReached: "end-idle" } as const;
    const { host, session } = await open({ limits });
    const unread = await session.createSequenceRunner([1, 2, 3, 4, 5]);
    const ben = await host.get("ben");
    await pass(100);
    const busy = await inside(ben)
      .createProcessRunner(
        ({ signal }) => new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve())),
      )
      .catch((error: unknown) => error);
    expect(busy).not.toHaveProperty("code");
    expect(await isThere(session, unread)).toBe(false); // that made room
    const next = await session.createSequenceRunner([1, 2, 3, 4, 5]);
    const reading = (busy as Runner).getRequired();
    await pass(100);
    await expect(ben.createSequenceRunner(never())).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
    expect(await isThere(session, next)).toBe(true);
    await (busy as Runner).abort();
    await reading;
  });

  test("a new client where all of its kind are in use", async () => {
    const limits = { sessions: 2, unconfirmedSessions: 1, whenReached: "end-idle" } as const;
    const { host, session } = await open({ limits });
    const guest = inside(host).obtain(tagIdentity("cookie", "one"), undefined);
    const visit = guest.visit();
    expect(() => inside(host).obtain(tagIdentity("cookie", "two"), undefined)).toThrow(
      expect.objectContaining({ code: "SERVER_LIMIT_REACHED" }),
    );
    expect(session.isAvailable).toBe(true);
    visit.release();
  });
});
