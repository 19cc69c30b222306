import { beforeEach, describe, expect, test, vi } from "vitest";
import { openHost, PushSource, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { wireRequest } from "../../test/support/wire.js";
import { createDeferred } from "../base/async.js";
import { createRunnerHandler } from "../http/router.js";
import type { CloseSummary } from "./active-sessions.js";

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

beforeEach(() => {
  vi.useFakeTimers();
});

async function open() {
  const host = openHost();
  const session = await host.get("ann");
  const source = new PushSource<number>();
  const runner = await session.createSequenceRunner(source);
  return { host, session, source, runner };
}

/** What a drain has come to, so far. */
function watch(closing: Promise<CloseSummary>) {
  const seen: { summary?: CloseSummary } = {};
  void closing.then((summary) => {
    seen.summary = summary;
  });
  return seen;
}

describe("in the first phase of a drain", () => {
  test("everything is served, but the host is not ready", async () => {
    const { host, session, runner } = await open();
    expect(host.health()).toEqual({ ready: true, draining: false, engine: "memory" });
    const closed = watch(host.close({ grace: 1000 }));
    expect(host.health()).toEqual({ ready: false, draining: true, engine: "memory" });
    await pass(999);
    await expect(session.createSequenceRunner([1])).resolves.toBeDefined();
    await expect(host.get("new")).resolves.toBeDefined();
    expect([session.isAvailable, runner.phase, closed.summary]).toEqual([true, "running", undefined]);
    await pass(1);
    expect([session.isAvailable, closed.summary?.interrupted]).toEqual([false, 1]);
    expect(host.health()).toEqual({ ready: false, draining: true, engine: "memory" });
  });
});

describe("in the second phase of a drain", () => {
  test("nothing new is created: HOST_CLOSED, 503 with a time to wait; sessions are found, and work is read", async () => {
    const { host, session, source, runner } = await open();
    void host.close({ finish: 5000 });
    await turns();
    const refusal = { code: "HOST_CLOSED", status: 503, retryAfter: 5 };
    await expect(session.createSequenceRunner([1])).rejects.toMatchObject(refusal);
    await expect(host.get("new")).rejects.toMatchObject(refusal);
    expect(await host.get("ann")).toBe(session);
    source.push(1);
    expect(await runner.getRequired({ advance: 1 })).toMatchObject({ result: [1], status: "stalled" });
  });

  test("a source that was refused is closed, and its holds are released", async () => {
    const { host, session } = await open();
    void host.close({ finish: 5000 });
    const [cancelled, released] = [vi.fn(), vi.fn()];
    const source = new ReadableStream({ cancel: cancelled });
    await expect(session.createSequenceRunner(source, { holds: [released] })).rejects.toMatchObject({
      code: "HOST_CLOSED",
    });
    expect([cancelled.mock.calls.length, released.mock.calls.length]).toEqual([1, 1]);
  });

  test("ends as soon as all work has ended and its end was seen", async () => {
    const { host, session, source, runner } = await open();
    const other = await session.createProcessRunner(async () => "done");
    const closed = watch(host.close({ finish: 5000 }));
    await pass(1000);
    source.end();
    await turns();
    expect((await runner.getRequired()).status).toBe("completed");
    await turns();
    expect([closed.summary, session.isAvailable]).toEqual([undefined, true]);
    expect((await other.getRequired()).result).toBe("done");
    await turns();
    expect(closed.summary).toEqual({ sessions: 1, interrupted: 0, unfinished: [], errors: [] });
    expect(vi.getTimerCount()).toBe(0);
  });

  test.each<[string, (parts: Awaited<ReturnType<typeof open>>) => unknown]>([
    ["a stop", ({ runner }) => runner.abort()],
    ["a removal", ({ runner }) => runner[Symbol.asyncDispose]()],
    ["the end of the session", ({ session }) => session.terminate()],
  ])("ends with %s of the last work", async (_, end) => {
    const parts = await open();
    const closed = watch(parts.host.close({ finish: 5000 }));
    await pass(10);
    expect(closed.summary).toBeUndefined();
    await end(parts);
    await turns();
    expect(closed.summary).toMatchObject({ interrupted: 0, unfinished: [] });
  });

  test("ends when its time is up: then what runs is aborted with shutdown, and counted", async () => {
    const { host, source, runner } = await open();
    const closed = watch(host.close({ finish: 5000 }));
    source.push(1);
    await pass(4999);
    expect([runner.phase, closed.summary]).toEqual(["running", undefined]);
    await pass(1);
    expect((await runner.state()).abortReason).toBe("shutdown");
    expect(closed.summary).toEqual({ sessions: 1, interrupted: 1, unfinished: [], errors: [] });
  });

  test("waits for nothing when nothing runs and nothing is unseen", async () => {
    const host = openHost();
    const session = await host.get("ann");
    const closed = watch(host.close({ finish: 5000 }));
    await turns();
    expect([closed.summary?.sessions, session.isAvailable]).toEqual([1, false]);
  });

  test("what waits for its first read is aborted at once", async () => {
    const { host, session, source } = await open();
    const run = vi.fn(() => [1]);
    const runner = await session.createSequenceRunner(run, { start: "on-first-read" });
    void host.close({ finish: 5000 });
    await turns();
    expect((await runner.state()).abortReason).toBe("shutdown");
    expect(run).not.toHaveBeenCalled();
    source.end();
  });

  test("a client that follows tells that it has seen the end: the drain is over (P197)", async () => {
    const { host, source, runner } = await open();
    const handle = createRunnerHandler(inside(host));
    const ask = (action: string, query: string) =>
      handle(wireRequest(host, runner.key, { method: "POST", action, query: new URLSearchParams(query) }));
    const closed = watch(host.close({ finish: 5000 }));
    source.push(1);
    await turns();
    expect((await ask("ack", "offset=0&closed=true")).status).toBe(400); // it has not ended
    source.end();
    await turns();
    const sse = await handle(wireRequest(host, runner.key, { query: new URLSearchParams("offset=0&live=sse") }));
    for await (const _part of sse.body as AsyncIterable<string>);
    await turns();
    expect(closed.summary).toBeUndefined(); // written is not seen
    expect((await ask("ack", "offset=0&closed=true")).status).toBe(400);
    expect((await ask("ack", "offset=1&closed=true")).status).toBe(204);
    await turns();
    expect(closed.summary?.interrupted).toBe(0);
  });
});

describe("what runs while a drain begins", () => {
  test("a first-read start that fails in it is not tried again: the drain does not wait for it", async () => {
    const host = openHost();
    const session = await host.get("ann");
    const opening = createDeferred<number[]>();
    const runner = await session.createSequenceRunner(() => opening.promise, { start: "on-first-read" });
    const read = runner.getRequired();
    const failed = expect(read).rejects.toMatchObject({ code: "RUNNER_START_FAILED" });
    await turns();
    const closed = watch(host.close({ finish: 100_000 }));
    await turns();
    expect(closed.summary).toBeUndefined();
    opening.reject(new Error("no source"));
    await failed;
    await turns();
    expect([closed.summary?.interrupted, (await runner.state()).abortReason]).toEqual([0, "shutdown"]);
  });

  test("code that closes the host while room is made: nothing is created any more", async () => {
    const host = openHost({ limits: { sessions: 1, whenReached: "end-idle" } });
    const first = await host.get("ann");
    const closing: Promise<unknown>[] = [];
    first.signal.addEventListener("abort", () => void closing.push(host.close()));
    await expect(host.get("ben")).rejects.toMatchObject({ code: "HOST_CLOSED" });
    await Promise.all(closing);
    expect(host.stats().sessions).toBe(0);
  });

  test("code that closes the host while room is made for a runner, likewise", async () => {
    const host = openHost({ limits: { runnersPerClient: 1 } });
    const session = await host.get("ann");
    const old = await session.createSequenceRunner([1]);
    await pass(100);
    const closing: { summary?: CloseSummary }[] = [];
    old.signal.addEventListener("abort", () => void closing.push(watch(host.close({ finish: 300_000 }))));
    const creation = session.createSequenceRunner([2], { start: "on-first-read" });
    await expect(creation).rejects.toMatchObject({ code: "HOST_CLOSED" });
    await turns();
    expect(closing.map(({ summary }) => summary?.interrupted)).toEqual([0]);
  });
});

describe("the last phase", () => {
  test("has its own time and no more, however early it begins", async () => {
    const host = openHost({ cleanupTimeout: Number.POSITIVE_INFINITY });
    const session = await host.get("ann");
    const gate = createDeferred();
    session.own(() => gate.promise);
    const closed = watch(host.close({ grace: 10, finish: 300_000, timeout: 1000 }));
    await pass(10);
    expect(session.isAvailable).toBe(false);
    await pass(999);
    expect(closed.summary).toBeUndefined();
    await pass(1);
    expect(closed.summary?.unfinished).toEqual([session.id]);
    gate.resolve();
    await turns();
  });
});

describe("a further call", () => {
  test("gets the result of the first, and shortens it", async () => {
    const { host, runner } = await open();
    const first = watch(host.close({ grace: 1000, finish: 60_000 }));
    await pass(100);
    const second = watch(host.close({ finish: 500 }));
    await pass(499);
    expect(runner.phase).toBe("running");
    await pass(1);
    expect(first.summary).toBeDefined();
    expect(second.summary).toBe(first.summary);
  });

  test("without options ends at once what waits", async () => {
    const { host, runner } = await open();
    const first = watch(host.close({ finish: Number.POSITIVE_INFINITY }));
    await pass(100_000);
    expect(runner.phase).toBe("running");
    void host.close();
    await turns();
    expect([runner.phase, first.summary?.interrupted]).toEqual(["aborted", 1]);
  });

  test("does not lengthen it", async () => {
    const { host, runner } = await open();
    void host.close({ finish: 1000 });
    await pass(500);
    void host.close({ grace: 60_000, finish: 60_000, timeout: 60_000 });
    await pass(499);
    expect(runner.phase).toBe("running");
    await pass(1);
    expect(runner.phase).toBe("aborted");
  });

  test("shortens the wait for clean-ups, too", async () => {
    const { host, session } = await open();
    session.own(() => new Promise(() => {}));
    const closed = watch(host.close({ timeout: 60_000 }));
    await pass(10);
    void host.close({ timeout: 5 });
    await pass(5);
    expect(closed.summary).toMatchObject({ unfinished: [session.id] });
    expect(host.stats().sessions).toBe(0);
    await pass(10_000); // the clean-up is given up
  });
});

describe("options of a drain", () => {
  test.each([
    [{ grace: -1 }, "grace"],
    [{ finish: Number.NaN }, "finish"],
    [{ finish: "5" }, "finish"],
    [{ timeout: 0 }, "timeout"],
    [{ finnish: 1 }, "finnish"],
    [null, "options"],
  ])("%o are refused, and nothing is closed", async (options, named) => {
    const { host, session } = await open();
    await expect(host.close(options as never)).rejects.toMatchObject({
      code: "INVALID_OPTION",
      message: expect.stringContaining(named),
    });
    expect([session.isAvailable, host.health().ready]).toEqual([true, true]);
    await expect(host.ready()).resolves.toBeUndefined();
  });
});
