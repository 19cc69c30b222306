import { describe, expect, test, vi } from "vitest";
import { openHost, PushSource, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { wireRequest } from "../../test/support/wire.js";
import { createRunnerHandler } from "../http/router.js";
import type { Runner } from "../runner/runner.js";
import type { ActiveSession } from "./active-session.js";
import type { LimitOptions } from "./limits.js";

const open = (limits: LimitOptions) => openHost({ limits });
const never = () => new PushSource<number>();

/** A finished sequence that keeps so many items. */
async function keeping(session: ActiveSession, items: number): Promise<Runner> {
  const runner = await session.createSequenceRunner(
    Array.from({ length: items }, (_, i) => i),
    { retain: "all" },
  );
  await runner.cleanup;
  return runner;
}

describe("a limit", () => {
  test.each<[keyof LimitOptions, unknown]>([
    ["sessions", 0],
    ["runners", -1],
    ["openReads", 1.5],
    ["retainedItems", "5"],
    ["sessionsPerClient", Number.NaN],
    ["runnersPerClient", null],
    ["whenReached", "panic"],
    ["sesions" as keyof LimitOptions, 5],
  ])("%s must not be %s", (name, value) => {
    expect(() => open({ [name]: value })).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
  });

  test("may be Infinity, and undefined means the default", async () => {
    const host = open({ runnersPerClient: Number.POSITIVE_INFINITY, sessionsPerClient: undefined });
    const session = await host.get("ann");
    for (let i = 0; i < 300; i++) await session.createSequenceRunner([]);
    expect(host.stats().runners).toBe(300);
    for (let i = 1; i < 20; i++) await host.get("ann", `s${i}`);
    await expect(host.get("ann", "one-more")).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
  });
});

describe("when it is reached", () => {
  test("of sessions, another client is refused with 503 until one has ended; a client that has one keeps it", async () => {
    const host = open({ sessions: 2 });
    const ann = await host.get("ann");
    await host.get("bob");
    await expect(host.get("cy")).rejects.toMatchObject({ code: "SERVER_LIMIT_REACHED", status: 503, retryAfter: 5 });
    expect(await host.get("ann")).toBe(ann);
    await ann.terminate();
    await expect(host.get("cy")).resolves.toBeDefined();
  });

  test("of a client's sessions, the client is refused with 429, and others are not (parity 147)", async () => {
    const host = open({ sessionsPerClient: 2 });
    await host.get("ann");
    await host.get("ann", "a");
    await expect(host.get("ann", "b")).rejects.toMatchObject({
      code: "CLIENT_LIMIT_REACHED",
      status: 429,
      message: "Cannot create a session: the limit sessionsPerClient (2) must not be reached, received one more",
    });
    await expect(host.get("bob", "b")).resolves.toBeDefined();
  });

  test("of a client's runners, all its sessions count; a removed one makes room (parity 147)", async () => {
    const host = open({ runnersPerClient: 2 });
    const [plain, other] = [await host.get("ann"), await host.get("ann", "other")];
    const first = await plain.createSequenceRunner(never());
    await other.createSequenceRunner(never());
    const cancelled = vi.fn();
    const source = new ReadableStream({ cancel: cancelled });
    const released = vi.fn();
    const refused = plain.createSequenceRunner(source, { holds: [released] });
    await expect(refused).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
    expect([cancelled.mock.calls.length, released.mock.calls.length]).toEqual([1, 1]);
    await expect((await host.get("bob")).createSequenceRunner([1])).resolves.toBeDefined();
    await first[Symbol.asyncDispose]();
    await expect(plain.createSequenceRunner([1])).resolves.toBeDefined();
  });

  test("of runners, everybody is refused with 503", async () => {
    const host = open({ runners: 1 });
    await (await host.get("ann")).createSequenceRunner(never());
    await expect((await host.get("bob")).createSequenceRunner([1])).rejects.toMatchObject({
      code: "SERVER_LIMIT_REACHED",
    });
    expect(host.stats().runners).toBe(1);
  });

  test("of retained items, no runner is created until items are read, or gone with their runner", async () => {
    const host = open({ retainedItems: 10 });
    const session = await host.get("ann");
    const runner = await keeping(session, 10);
    const source = never();
    await expect(session.createSequenceRunner(source)).rejects.toMatchObject({ code: "SERVER_LIMIT_REACHED" });
    await runner[Symbol.asyncDispose]();
    expect(host.stats().items).toBe(0);
    await expect(keeping(session, 3)).resolves.toBeDefined();
    expect(host.stats().items).toBe(3);
  });

  test("of open reads, a read that would wait is refused, one that need not is not", async () => {
    const host = open({ openReadsPerClient: 2, openReads: 3 });
    const [ann, bob] = [await host.get("ann"), await host.get("bob")];
    const runner = await ann.createSequenceRunner(never());
    const other = await bob.createProcessRunner(
      async ({ signal }) => new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve())),
    );
    const pending = [runner.getRequired({ start: 0 }), runner.getRequired({ start: 0 })];
    await expect(runner.getRequired({ start: 0 })).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
    expect((await runner.getAvailable({ start: 0 })).status).toBe("stalled");
    const third = other.getRequired();
    await expect(other.getRequired()).rejects.toMatchObject({ code: "SERVER_LIMIT_REACHED" });
    expect(host.stats().openReads).toBe(3);
    await Promise.all([runner.abort(), other.abort(), ...pending, third]);
    expect(host.stats().openReads).toBe(0);
  });

  test("a read that is refused does not start the runner", async () => {
    const host = open({ openReadsPerClient: 1 });
    const session = await host.get("ann");
    const waiting = (await session.createSequenceRunner(never())).getRequired();
    const start = vi.fn(never);
    const runner = await session.createSequenceRunner(start, { start: "on-first-read" });
    await expect(runner.getRequired()).rejects.toMatchObject({ code: "CLIENT_LIMIT_REACHED" });
    expect([start.mock.calls.length, (await runner.state()).status, host.stats().openReads]).toEqual([
      0,
      "not-started",
      1,
    ]);
    await session.terminate();
    await waiting;
  });

  test("the wire answers 429 with Retry-After to long-polls and SSE, and pages go on", async () => {
    const host = open({ openReadsPerClient: 1 });
    const runner = await (await host.get("ann")).createSequenceRunner(never());
    const handle = createRunnerHandler(inside(host));
    const ask = (query: string) => handle(wireRequest(host, runner.key, { query: new URLSearchParams(query) }));
    const poll = ask("offset=0&live=long-poll");
    await turns();
    for (const query of ["offset=0&live=long-poll", "offset=0&live=sse"]) {
      expect(await ask(query)).toMatchObject({ status: 429, headers: { "Retry-After": "5" } });
    }
    expect((await ask("offset=0")).status).toBe(200);
    await runner.abort();
    expect((await poll).status).toBe(204);
    const sse = await ask("offset=0&live=sse");
    expect(host.stats().openReads).toBe(1);
    for await (const part of sse.body as AsyncIterable<string>) expect(part).toContain("aborted");
    expect(host.stats().openReads).toBe(0);
  });
});

describe("with end-idle", () => {
  const whenReached = "end-idle";

  test("the least recently used session that is not in use makes room", async () => {
    const host = open({ sessions: 2, whenReached });
    const [ann, bob] = [await host.get("ann"), await host.get("bob")];
    await host.get("ann");
    const cy = await host.get("cy");
    expect([ann.isAvailable, bob.isAvailable, cy.isAvailable]).toEqual([true, false, true]);
    expect(host.stats().sessions).toBe(2);
  });

  test("a session with a pending read is not ended; if all have one, the new session is refused", async () => {
    const host = open({ sessions: 1, whenReached });
    const ann = await host.get("ann");
    const runner = await ann.createSequenceRunner(never());
    const pending = runner.getRequired();
    await expect(host.get("bob")).rejects.toMatchObject({ code: "SERVER_LIMIT_REACHED" });
    await runner.abort();
    await pending;
    await expect(host.get("bob")).resolves.toBeDefined();
    expect(ann.isAvailable).toBe(false);
  });

  test("a session that a request is using is not ended", async () => {
    const host = open({ sessions: 2, whenReached });
    const [ann, bob] = [await host.get("ann"), await host.get("bob")];
    const leave = inside(ann).visit();
    await host.get("cy");
    expect([ann.isAvailable, bob.isAvailable]).toEqual([true, false]);
    leave.release();
    await host.get("dan");
    expect(ann.isAvailable).toBe(false);
  });

  test("a session that a request is using is not ended for another one of its client", async () => {
    const host = open({ sessionsPerClient: 2, whenReached });
    const [plain, tab] = [await host.get("ann"), await host.get("ann", "tab")];
    const leave = inside(plain).visit();
    await host.get("ann", "other");
    expect([plain.isAvailable, tab.isAvailable]).toEqual([true, false]);
    leave.release();
    await host.get("ann", "one-more");
    expect(plain.isAvailable).toBe(false);
  });

  test("a client's limit ends only what is the client's own", async () => {
    vi.useFakeTimers();
    const host = open({ runnersPerClient: 2, sessionsPerClient: 2, whenReached });
    const bob = await (await host.get("bob")).createSequenceRunner(never());
    const ann = await host.get("ann");
    const [first, second] = [await ann.createSequenceRunner(never()), await ann.createSequenceRunner(never())];
    await vi.advanceTimersByTimeAsync(100);
    await first.getAvailable();
    await ann.createSequenceRunner(never());
    expect(await ann.findRunner(second.key)).toBeUndefined();
    expect(await ann.findRunner(first.key)).toBe(first);
    await expect(bob.getAvailable()).resolves.toBeDefined();
    await host.get("ann", "a");
    await host.get("ann", "b");
    expect(ann.isAvailable).toBe(false);
  });

  test("items: as many of the longest unused runners go as are needed, and none that keeps nothing", async () => {
    vi.useFakeTimers();
    const host = open({ retainedItems: 10, whenReached });
    const session = await host.get("ann");
    const empty = await session.createSequenceRunner([]);
    const runners = [await keeping(session, 6), await keeping(session, 6)];
    await vi.advanceTimersByTimeAsync(100);
    await session.createSequenceRunner([]);
    expect(host.stats().items).toBe(6);
    expect(await session.findRunner(empty.key)).toBe(empty);
    expect(await session.findRunner(runners[0]!.key)).toBeUndefined();
  });
});
