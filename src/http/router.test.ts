import { describe, expect, test, vi } from "vitest";
import { isPending, listenerCount, openHost, PushSource, turns } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { type WireOptions, wireRequest } from "../../test/support/wire.js";
import { createDeferred } from "../base/async.js";
import type { Runner } from "../runner/runner.js";
import type { ActiveSessions } from "../session/active-sessions.js";
import type { ActiveSessionsOptions, RunnerOptions } from "../session/options.js";
import { createRunnerHandler, type RunnerRouterOptions } from "./router.js";
import type { WireResponse } from "./wire-response.js";

/** A handler over a host of its own, asked without any server. */
function open(router: RunnerRouterOptions = {}, host: ActiveSessionsOptions = {}) {
  // Fake time jumps past a clean-up that only needs some turns of the loop; so it must not be bounded by a timer.
  const cleanupTimeout = Number.POSITIVE_INFINITY;
  const sessions: ActiveSessions = openHost({ runnerIdleTimeout: 10_000, cleanupTimeout, ...(host as object) });
  const handle = createRunnerHandler(inside(sessions), router);
  /** Sends a request of Ann; a query may follow the action: `ack?offset=3`. */
  const ask = (runner: Pick<Runner, "key">, rest = "", more: WireOptions = {}): Promise<WireResponse> => {
    const [action, query] = rest.split("?");
    const method = action === "ack" || action === "abort" ? "POST" : "GET";
    const target = { method, action: action || undefined, query: new URLSearchParams(query) };
    return handle(wireRequest(sessions, runner.key, { ...target, ...more }));
  };
  const push = async (options?: RunnerOptions) => {
    const source = new PushSource<unknown>();
    const runner = await (await sessions.get("ann")).createSequenceRunner(source, options);
    return { source, runner };
  };
  return { sessions, ask, push, session: () => sessions.get("ann") };
}

/** The parts of a streamed answer, taken one by one, as an adapter does. */
function parts(response: WireResponse): AsyncIterator<string> {
  expect(response.status).toBe(200);
  return (response.body as AsyncIterable<string>)[Symbol.asyncIterator]();
}

/** The control event in a part of an SSE body. */
function control(part: IteratorResult<string>): Record<string, unknown> {
  return JSON.parse(/event: control\ndata:(.*)\n\n$/.exec(part.value)![1]!);
}

/** The items in a part of an SSE body. */
function items(part: IteratorResult<string>): unknown {
  const match = /event: data\ndata:(.*)\n\n/.exec(part.value);
  return match ? JSON.parse(match[1]!) : undefined;
}

/** Takes parts until so many items have come, or the body is over; how many come in one part is the server's choice. */
async function take(body: AsyncIterator<string>, count: number): Promise<unknown[]> {
  const all: unknown[] = [];
  while (all.length < count) {
    const part = await body.next();
    if (part.done) break;
    all.push(...((items(part) as unknown[] | undefined) ?? []));
  }
  return all;
}

/** Where a runner stands. */
async function standing(runner: Runner) {
  const { status, position, abortReason } = await runner.state();
  return { status, position, abortReason };
}

/** Waits until the producer has come so far. */
async function produced(runner: Runner, count: number): Promise<void> {
  while ((await runner.state()).progress.current < count) await turns(1);
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** The id of an event stream. */
function nameOf({ headers }: WireResponse): string {
  return headers["Runner-Response"]!;
}

describe("options", () => {
  test.each<[string, unknown]>([
    ["no object", null],
    ["a misspelt name", { pagelimit: 5 }],
    ["a page limit of 0", { pageLimit: 0 }],
    ["a page limit without bound", { pageLimit: Number.POSITIVE_INFINITY }],
    ["a fraction of an item", { pageLimit: 1.5 }],
    ["a negative long-poll", { longPollTimeout: -1 }],
    ["a long-poll beyond the maximum", { longPollTimeout: 61 }],
    ["no rotation time", { rotateAfter: 0 }],
    ["a rotation time that is no number", { rotateAfter: "60" }],
    ["a heartbeat that is no number", { heartbeat: Number.NaN }],
    ["allowed origins that are no list", { allowedOrigins: "https://app.example" }],
    ["an allowed origin that is no text", { allowedOrigins: [/app/] }],
  ])("%s is refused", (_, options) => {
    const sessions = openHost();
    expect(() => createRunnerHandler(inside(sessions), options as RunnerRouterOptions)).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION" }),
    );
  });

  test("all of them at their limits", () => {
    const sessions = openHost();
    const never = Number.POSITIVE_INFINITY;
    const options = { pageLimit: 1_000_000, longPollTimeout: 60, rotateAfter: never, heartbeat: never };
    expect(() => createRunnerHandler(inside(sessions), { ...options, allowedOrigins: ["a.example"] })).not.toThrow();
    expect(() => createRunnerHandler(inside(sessions), { pageLimit: 1, longPollTimeout: 0 })).not.toThrow();
  });
});

test("a client without an identity has no runners", async () => {
  const { ask, push } = open();
  const { runner } = await push();
  expect(await ask(runner, "", { identity: undefined })).toMatchObject({ status: 404 });
});

test.each(["session:ann", "cookie:ann"] as const)("%s is not the user of that name", async (identity) => {
  const { ask, push } = open();
  const { runner } = await push();
  expect(await ask(runner, "", { identity })).toMatchObject({ status: 404 });
});

describe("the rotation of a live response", () => {
  test("ends it when its time without a sign of life is up (P82)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: 60_000, heartbeat: Number.POSITIVE_INFINITY });
    const { runner } = await push();
    const response = await ask(runner, "?offset=0&live=sse");
    const body = parts(response);
    await body.next();
    const next = body.next();
    vi.advanceTimersByTime(59_999);
    expect(await isPending(next)).toBe(true);
    expect(response.ended!.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(response.ended!.aborted).toBe(true);
    expect(await next).toEqual({ done: true, value: undefined });
  });

  test("is put off by an acknowledgement (P82, P92)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: 60_000 });
    const { runner, source } = await push();
    const response = await ask(runner, "?offset=0&live=sse");
    const body = parts(response);
    await body.next();
    source.push("a");
    await body.next();
    vi.advanceTimersByTime(59_999);
    expect((await ask(runner, `ack?offset=1&response=${nameOf(response)}`)).status).toBe(204);
    vi.advanceTimersByTime(59_999);
    expect(response.ended!.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(response.ended!.aborted).toBe(true);
    await body.return!();
  });

  test("is put off for the response that an acknowledgement names, and for no other one (P92)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: 60_000 });
    const { runner } = await push();
    const { runner: other } = await push();
    const responses = [await ask(runner, "?offset=0&live=sse"), await ask(runner, "?offset=0&live=sse")];
    const foreign = await ask(other, "?offset=0&live=sse");
    vi.advanceTimersByTime(59_999);
    await ask(runner, `ack?offset=0&response=${nameOf(responses[0]!)}`); // acknowledged before: a sign of life all the same
    await ask(runner, "ack?offset=0");
    await ask(runner, `ack?offset=0&response=${nameOf(foreign)}`); // another runner's
    vi.advanceTimersByTime(1);
    expect(responses.map(({ ended }) => ended!.aborted)).toEqual([false, true]);
    expect(foreign.ended!.aborted).toBe(true);
    vi.advanceTimersByTime(59_999);
    expect(responses.map(({ ended }) => ended!.aborted)).toEqual([true, true]);
  });

  test("is not put off by an acknowledgement that is refused, by items, heartbeats, pages, HEAD or state", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: 60_000, heartbeat: 15_000 });
    const { runner, source } = await push();
    const response = await ask(runner, "?offset=0&live=sse");
    const body = parts(response);
    await body.next();
    vi.advanceTimersByTime(50_000);
    source.push("a");
    while (items(await body.next()) === undefined);
    expect((await ask(runner, "ack?offset=9")).status).toBe(400);
    await ask(runner, "?offset=0");
    await ask(runner, "", { method: "HEAD" });
    await ask(runner, "state");
    expect(response.ended!.aborted).toBe(false);
    vi.advanceTimersByTime(10_000);
    expect(response.ended!.aborted).toBe(true);
    await body.return!();
  });

  test("works while the adapter waits for its client to drain, and lets the runner idle out", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: 60_000 }, { runnerIdleTimeout: 10_000 });
    const { runner, source } = await push();
    source.push(...range(0, 5));
    await produced(runner, 5);
    const response = await ask(runner, "?offset=0&live=sse");
    const body = parts(response);
    await body.next(); // the adapter never asks for more
    vi.advanceTimersByTime(60_000);
    expect(response.ended!.aborted).toBe(true);
    expect((await runner.state()).status).not.toBe("aborted");
    vi.advanceTimersByTime(9_999);
    expect((await runner.state()).status).not.toBe("aborted");
    vi.advanceTimersByTime(1);
    expect(await standing(runner)).toMatchObject({ status: "aborted", abortReason: "idle" });
    expect(source.returns).toBe(1);
    await body.return!();
  });

  test("works although the body has not been read yet", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: 60_000 }, { runnerIdleTimeout: 10_000 });
    const { runner } = await push();
    const response = await ask(runner, "?offset=0&live=sse");
    vi.advanceTimersByTime(70_000);
    expect(response.ended!.aborted).toBe(true);
    expect((await runner.state()).status).toBe("aborted");
  });

  test("loses nothing: the reconnect at the own offset goes on", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: 60_000 });
    const { runner, source } = await push();
    source.push("a", "b");
    await produced(runner, 2);
    const body = parts(await ask(runner, "?offset=0&live=sse"));
    const first = await body.next();
    expect(items(first)).toEqual(["a", "b"]);
    vi.advanceTimersByTime(60_000);
    source.push("c", "d");
    expect((await body.next()).done).toBe(true);
    await produced(runner, 4);
    const again = parts(await ask(runner, `?offset=${control(first).streamNextOffset}&live=sse`));
    expect(items(await again.next())).toEqual(["c", "d"]);
    await again.return!();
  });

  test("never comes when it is disabled", async () => {
    vi.useFakeTimers();
    const never = Number.POSITIVE_INFINITY;
    const { ask, push } = open({ rotateAfter: never, heartbeat: never }, { maxLifetime: never });
    const { runner } = await push();
    const response = await ask(runner, "?offset=0&live=sse");
    const body = parts(response);
    await body.next();
    vi.advanceTimersByTime(1000 * 60 * 60 * 24 * 60);
    expect(response.ended!.aborted).toBe(false);
    expect((await runner.state()).status).toBe("stalled");
    await body.return!();
  });
});

describe("heartbeats", () => {
  test("are comments, one after each idle stretch (P75)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ heartbeat: 15_000 });
    const { runner, source } = await push();
    const body = parts(await ask(runner, "?offset=0&live=sse"));
    await body.next();
    for (let beat = 0; beat < 2; beat++) {
      const next = body.next();
      vi.advanceTimersByTime(14_999);
      expect(await isPending(next)).toBe(true);
      vi.advanceTimersByTime(1);
      expect((await next).value).toBe(":\n\n");
    }
    const next = body.next();
    vi.advanceTimersByTime(14_999);
    source.push("a");
    expect(items(await next)).toEqual(["a"]);
    const idle = body.next();
    vi.advanceTimersByTime(14_999);
    expect(await isPending(idle)).toBe(true);
    vi.advanceTimersByTime(1);
    expect((await idle).value).toBe(":\n\n");
    await body.return!();
  });

  test("do not come when they are disabled", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ heartbeat: Number.POSITIVE_INFINITY, rotateAfter: Number.POSITIVE_INFINITY });
    const { runner, source } = await push();
    const body = parts(await ask(runner, "?offset=0&live=sse"));
    await body.next();
    const next = body.next();
    vi.advanceTimersByTime(1000 * 60 * 60);
    expect(await isPending(next)).toBe(true);
    source.push("a");
    expect(items(await next)).toEqual(["a"]);
    await body.return!();
  });
});

describe("the allowance of a live response", () => {
  test.each(["unacknowledged", "all", 3] as const)("ends it, whatever is retained (%s) (P83)", async (retain) => {
    vi.useFakeTimers();
    const { ask, push } = open();
    const { runner, source } = await push({ aheadLimit: 5, retain });
    source.push(...range(0, 20));
    await produced(runner, 5);
    const response = await ask(runner, "?offset=0&live=sse&max-items=1");
    const body = parts(response);
    expect(await take(body, 4)).toEqual(range(0, 4));
    expect(response.ended!.aborted).toBe(false);
    expect(await take(body, 1)).toEqual([4]);
    vi.advanceTimersByTime(1100);
    expect(response.ended!.aborted).toBe(true);
    expect((await body.next()).done).toBe(true);
    await turns(20);
    expect((await runner.state()).progress.current).toBe(5);
    expect(source.pulls).toBe(6); // the item behind the limit is taken, in case there is none
  });

  test("ends none that is young: a client might take it for a broken one (P83)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open();
    const { runner, source } = await push({ aheadLimit: 2 });
    source.push(...range(0, 10));
    await produced(runner, 2);
    const young = await ask(runner, "?offset=0&live=sse");
    expect(await take(parts(young), 2)).toEqual([0, 1]);
    vi.advanceTimersByTime(1099);
    expect(young.ended!.aborted).toBe(false);
    vi.advanceTimersByTime(1);
    expect(young.ended!.aborted).toBe(true);
    const old = await ask(runner, "?offset=1&live=sse");
    const body = parts(old);
    expect(await take(body, 1)).toEqual([1]);
    vi.advanceTimersByTime(1100);
    expect(await take(body, 1)).toEqual([2]);
    expect(old.ended!.aborted).toBe(true);
  });

  test("used up by a young one, is renewed by an acknowledgement before the end", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: 60_000 });
    const { runner, source } = await push({ aheadLimit: 2 });
    source.push(...range(0, 10));
    await produced(runner, 2);
    const response = await ask(runner, "?offset=0&live=sse");
    const body = parts(response);
    expect(await take(body, 2)).toEqual([0, 1]);
    const next = take(body, 1);
    vi.advanceTimersByTime(1000);
    await ask(runner, `ack?offset=1&response=${nameOf(response)}`);
    expect(await next).toEqual([2]);
    await ask(runner, `ack?offset=3&response=${nameOf(response)}`);
    vi.advanceTimersByTime(59_999);
    expect(response.ended!.aborted).toBe(false);
    await body.return!();
  });

  test("is renewed by acknowledgements (P83)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open();
    const { runner, source } = await push({ aheadLimit: 5 });
    source.push(...range(0, 20));
    await produced(runner, 5);
    const response = await ask(runner, "?offset=0&live=sse&max-items=1");
    const body = parts(response);
    expect(await take(body, 4)).toEqual(range(0, 4));
    await ask(runner, "ack?offset=4");
    await produced(runner, 9);
    expect(await take(body, 4)).toEqual(range(4, 8));
    expect(response.ended!.aborted).toBe(false);
    expect(await take(body, 1)).toEqual([8]);
    vi.advanceTimersByTime(1100);
    expect(response.ended!.aborted).toBe(true);
  });

  test("ends each follower when none of them acknowledges", async () => {
    vi.useFakeTimers();
    const { ask, push } = open();
    const { runner, source } = await push({ aheadLimit: 4, retain: "all" });
    source.push(...range(0, 10));
    await produced(runner, 4);
    const responses = [await ask(runner, "?offset=0&live=sse"), await ask(runner, "?offset=0&live=sse")];
    for (const response of responses) expect(await take(parts(response), 4)).toEqual(range(0, 4));
    vi.advanceTimersByTime(1100);
    expect(responses.map(({ ended }) => ended!.aborted)).toEqual([true, true]);
  });

  test("counts what is sent on this response, not what was sent before it", async () => {
    const { ask, push } = open();
    const { runner, source } = await push({ aheadLimit: 4, retain: "all" });
    source.push(...range(0, 10));
    await produced(runner, 4);
    await ask(runner, "?offset=0");
    const response = await ask(runner, "?offset=now&live=sse");
    const body = parts(response);
    await body.next();
    expect(response.ended!.aborted).toBe(false);
    await ask(runner, "ack?offset=2");
    await produced(runner, 6);
    expect(await take(body, 2)).toEqual([4, 5]);
    expect(response.ended!.aborted).toBe(false);
    await body.return!();
  });

  test.each([
    ["though what lies before is not acknowledged", undefined],
    ["though an acknowledgement of what lies before comes late", "ack?offset=0"],
  ])("counts from where the response began, %s", async (_what, late) => {
    vi.useFakeTimers();
    const { ask, push } = open();
    const { runner, source } = await push({ aheadLimit: 4 });
    source.push(...range(0, 3));
    await produced(runner, 3);
    const response = await ask(runner, "?offset=now&live=sse");
    const body = parts(response);
    await body.next();
    if (late) expect((await ask(runner, late)).status).toBe(204);
    source.push(3);
    expect(await take(body, 1)).toEqual([3]);
    vi.advanceTimersByTime(1100);
    expect(response.ended!.aborted).toBe(false);
    await body.return!();
  });

  test("does not end a reload that reads what has been acknowledged before", async () => {
    const { ask, push } = open();
    const { runner, source } = await push({ aheadLimit: 4, retain: "all" });
    source.push(...range(0, 10));
    for (let end = 4; end <= 8; end += 4) {
      await produced(runner, end);
      await ask(runner, `?offset=${end - 4}`);
      await ask(runner, `ack?offset=${end}`);
    }
    await produced(runner, 10);
    const response = await ask(runner, "?offset=0&live=sse");
    const body = parts(response);
    expect(await take(body, 10)).toEqual(range(0, 10));
    expect(response.ended!.aborted).toBe(false);
    await body.return!();
  });

  test("does not cut the end of the stream off", async () => {
    const { ask, session } = open();
    const runner = await (await session()).createSequenceRunner(range(0, 4), { aheadLimit: 4 });
    await runner.cleanup;
    const body = parts(await ask(runner, "?offset=0&live=sse&max-items=1"));
    expect(await take(body, 3)).toEqual(range(0, 3));
    const last = await body.next();
    expect(items(last)).toEqual([3]);
    expect(control(last)).toMatchObject({ streamClosed: true, runnerStatus: "completed" });
    expect((await body.next()).done).toBe(true);
  });

  test("is none of a process", async () => {
    const { ask, session } = open();
    const steps = createDeferred();
    const runner = await (await session()).createProcessRunner(
      async ({ report }) => {
        for (let i = 1; i <= 20; i++) report(i);
        await steps.promise;
      },
      { aheadLimit: 1 },
    );
    const response = await ask(runner, "?offset=0&live=sse");
    const body = parts(response);
    expect(items(await body.next())).toEqual([20]);
    expect(response.ended!.aborted).toBe(false);
    steps.resolve();
    expect(control(await body.next())).toMatchObject({ streamClosed: true });
    await body.next();
  });
});

describe("acknowledging", () => {
  test("a live response acknowledges its opening offset, and nothing that it writes", async () => {
    const { ask, push } = open();
    const { runner, source } = await push({ aheadLimit: 5 });
    source.push(...range(0, 20));
    await produced(runner, 5);
    await ask(runner, "?offset=0&max-items=2");
    const body = parts(await ask(runner, "?offset=2&live=sse&max-items=1"));
    await produced(runner, 7);
    expect((await ask(runner, "?offset=1")).status).toBe(410);
    for (const item of [2, 3, 4]) expect(items(await body.next())).toEqual([item]);
    await turns(20);
    expect((await runner.state()).progress.current).toBe(7);
    expect((await ask(runner, "?offset=2")).body).toBe(JSON.stringify(range(2, 7)));
    await body.return!();
  });

  test("the waiting of a live response does not let the producer run further ahead", async () => {
    const { ask, push } = open({ heartbeat: Number.POSITIVE_INFINITY });
    const { runner, source } = await push({ aheadLimit: 2 });
    const body = parts(await ask(runner, "?offset=now&live=sse"));
    await body.next();
    const next = body.next();
    source.push(...range(0, 10));
    expect(items(await next)).toBeDefined();
    await turns(20);
    expect((await runner.state()).progress.current).toBe(2);
    await body.return!();
  });

  test("an SSE reader whose next item is gone is ended, and its reconnect is told so (P84)", async () => {
    const { ask, push } = open();
    const { runner, source } = await push();
    source.push(...range(0, 6));
    await produced(runner, 6);
    const body = parts(await ask(runner, "?offset=0&live=sse&max-items=2"));
    const first = await body.next();
    expect(control(first).streamNextOffset).toBe("0000000000000002");
    await ask(runner, "?offset=0"); // another follower reads everything, and has it
    await ask(runner, "ack?offset=5");
    expect((await body.next()).done).toBe(true);
    const again = await ask(runner, "?offset=2&live=sse");
    expect(again).toMatchObject({ status: 410, headers: { "Runner-First-Offset": "0000000000000005" } });
    expect(JSON.parse(again.body as string).code).toBe("POSITION_GONE");
  });

  test("an acknowledgement is a use of the runner (P123)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({}, { runnerIdleTimeout: 10_000 });
    const { runner } = await push();
    vi.advanceTimersByTime(9_999);
    await ask(runner, "ack?offset=0");
    vi.advanceTimersByTime(9_999);
    expect((await runner.state()).status).not.toBe("aborted");
    vi.advanceTimersByTime(1);
    expect((await runner.state()).status).toBe("aborted");
  });
});

describe("idle time", () => {
  test.each<[string, string, WireOptions]>([
    ["HEAD", "", { method: "HEAD" }],
    ["state", "state", {}],
    ["a refused request", "?offset=x", {}],
    ["a cross-site request", "abort", { headers: { "sec-fetch-site": "cross-site" } }],
    ["another client's request", "?offset=0", { identity: "user:bob" }],
  ])("%s moves neither the runner's nor the session's (P123)", async (_, rest, more) => {
    vi.useFakeTimers();
    const { ask, push, sessions } = open(
      {},
      { runnerIdleTimeout: 10_000, idleTimeout: 10_000, finishedTimeout: 5_000 },
    );
    const { runner } = await push();
    vi.advanceTimersByTime(9_999);
    await ask(runner, rest, more);
    expect((await runner.state()).status).not.toBe("aborted");
    vi.advanceTimersByTime(1);
    expect(await standing(runner)).toMatchObject({ status: "aborted", abortReason: "idle" });
    expect(sessions.stats().sessions).toBe(1);
    vi.advanceTimersByTime(4_999);
    await ask(runner, rest, more);
    vi.advanceTimersByTime(1);
    expect(sessions.stats().sessions).toBe(0);
    expect((await ask(runner)).status).toBe(410);
  });

  test.each(["?offset=0", "?offset=now", "?offset=0&live=long-poll&timeout=0"])(
    "GET %s slides it (P123)",
    async (rest) => {
      vi.useFakeTimers();
      const { ask, push } = open({}, { runnerIdleTimeout: 10_000 });
      const { runner } = await push();
      vi.advanceTimersByTime(9_999);
      const answer = ask(runner, rest);
      await turns();
      vi.advanceTimersByTime(0);
      await answer;
      vi.advanceTimersByTime(9_999);
      expect((await runner.state()).status).not.toBe("aborted");
      vi.advanceTimersByTime(1);
      expect((await runner.state()).status).toBe("aborted");
    },
  );

  test("an open live response stops it; a client that goes lets it run again (P123)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: 100_000 }, { runnerIdleTimeout: 10_000, idleTimeout: 20_000 });
    const { runner, source } = await push();
    const timers = vi.getTimerCount();
    const client = new AbortController();
    const body = parts(await ask(runner, "?offset=0&live=sse", { signal: client.signal }));
    await body.next();
    const next = body.next();
    vi.advanceTimersByTime(14_000);
    expect((await runner.state()).status).toBe("stalled");
    client.abort();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(listenerCount(client.signal)).toBe(0);
    expect(vi.getTimerCount()).toBeLessThanOrEqual(timers);
    vi.advanceTimersByTime(9_999);
    expect((await runner.state()).status).toBe("stalled");
    vi.advanceTimersByTime(1);
    expect((await runner.state()).status).toBe("aborted");
    expect(source.returns).toBe(1);
  });

  test("a client that goes before its body is begun leaves no listener, timer or pin", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: Number.POSITIVE_INFINITY }, { runnerIdleTimeout: 10_000 });
    const { runner } = await push();
    const timers = vi.getTimerCount();
    const client = new AbortController();
    const response = await ask(runner, "?offset=0&live=sse", { signal: client.signal });
    expect(listenerCount(client.signal)).toBe(1);
    client.abort();
    await parts(response).return!();
    expect(listenerCount(client.signal)).toBe(0);
    expect(vi.getTimerCount()).toBeLessThanOrEqual(timers);
    vi.advanceTimersByTime(10_000);
    expect((await runner.state()).status).toBe("aborted");
  });

  test("a client that goes while its source has a turn to report its end leaves no listener, timer or pin", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: 60_000 }, { runnerIdleTimeout: 10_000 });
    const { runner } = await push();
    const timers = vi.getTimerCount();
    const client = new AbortController();
    const opening = ask(runner, "?offset=0&live=sse", { signal: client.signal });
    client.abort();
    expect((await opening).status).toBe(204);
    expect(listenerCount(client.signal)).toBe(0);
    expect(vi.getTimerCount()).toBeLessThanOrEqual(timers);
    vi.advanceTimersByTime(10_000);
    expect((await runner.state()).status).toBe("aborted");
  });

  test.each(["sse", "long-poll"])("a client that has gone before it is heard gets nothing (%s)", async (live) => {
    vi.useFakeTimers();
    const { ask, push } = open({}, { runnerIdleTimeout: 10_000 });
    const { runner } = await push();
    const timers = vi.getTimerCount();
    const response = await ask(runner, `?offset=0&live=${live}`, { signal: AbortSignal.abort() });
    expect(response.body).toBeUndefined();
    expect(vi.getTimerCount()).toBeLessThanOrEqual(timers);
    vi.advanceTimersByTime(10_000);
    expect((await runner.state()).status).toBe("aborted");
  });

  test("a waiting long-poll stops it; a client that goes lets it run again (P123)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({}, { runnerIdleTimeout: 10_000 });
    const { runner } = await push();
    const timers = vi.getTimerCount();
    const client = new AbortController();
    const answer = ask(runner, "?offset=0&live=long-poll&timeout=60", { signal: client.signal });
    await turns();
    vi.advanceTimersByTime(30_000);
    expect((await runner.state()).status).toBe("stalled");
    client.abort();
    await answer;
    expect(listenerCount(client.signal)).toBe(0);
    expect(vi.getTimerCount()).toBeLessThanOrEqual(timers);
    vi.advanceTimersByTime(9_999);
    expect((await runner.state()).status).toBe("stalled");
    vi.advanceTimersByTime(1);
    expect((await runner.state()).status).toBe("aborted");
  });

  test.each([
    ["live response", "?offset=0&live=sse"],
    ["long-poll", "?offset=0&live=long-poll&timeout=60"],
  ])("a %s does not outlive the session's lifetime", async (_, rest) => {
    vi.useFakeTimers();
    const { ask, push } = open({ rotateAfter: Number.POSITIVE_INFINITY }, { maxLifetime: 50_000 });
    const { runner } = await push();
    const answer = ask(runner, rest);
    await turns();
    vi.advanceTimersByTime(50_000);
    const response = await answer;
    expect(await standing(runner)).toMatchObject({ status: "aborted", abortReason: "lifetime" });
    if (typeof response.body !== "object") {
      expect(response).toMatchObject({ status: 204, headers: { "Stream-Closed": "true", "Runner-Status": "aborted" } });
      return;
    }
    const body = parts(response);
    await body.next();
    await body.next();
    expect((await body.next()).done).toBe(true);
  });
});

describe("an answer that ends while its client is still there leaves no listener and no timer", () => {
  async function openWatched(runnerOptions?: RunnerOptions) {
    vi.useFakeTimers();
    const opened = open({ rotateAfter: 60_000 });
    const { runner, source } = await opened.push(runnerOptions);
    const timers = vi.getTimerCount();
    const client = new AbortController();
    const ask = (query: string) => opened.ask(runner, query, { signal: client.signal });
    const expectNothingLeft = () => {
      expect(listenerCount(client.signal)).toBe(0);
      expect(vi.getTimerCount()).toBeLessThanOrEqual(timers);
    };
    return { runner, source, ask, expectNothingLeft };
  }

  test("SSE, when the stream closes", async () => {
    const { source, ask, expectNothingLeft } = await openWatched();
    const body = parts(await ask("?offset=0&live=sse"));
    await body.next();
    source.end();
    await body.next();
    expect((await body.next()).done).toBe(true);
    expectNothingLeft();
  });

  test("SSE, when its time is up or its adapter stops", async () => {
    const { ask, expectNothingLeft } = await openWatched();
    await ask("?offset=0&live=sse");
    const body = parts(await ask("?offset=0&live=sse"));
    await body.next();
    await body.return!();
    vi.advanceTimersByTime(60_000);
    expectNothingLeft();
  });

  test("SSE, when its allowance is used up", async () => {
    const { runner, source, ask, expectNothingLeft } = await openWatched({ aheadLimit: 2 });
    source.push(...range(0, 5));
    await produced(runner, 2);
    expect(await take(parts(await ask("?offset=0&live=sse")), 2)).toEqual([0, 1]);
    vi.advanceTimersByTime(1100);
    expectNothingLeft();
  });

  test("SSE that is refused", async () => {
    const { ask, expectNothingLeft } = await openWatched();
    expect((await ask("?offset=5&live=sse")).status).toBe(400);
    expectNothingLeft();
  });

  test("a long-poll with an item, without one, and refused", async () => {
    const { source, ask, expectNothingLeft } = await openWatched();
    const answer = ask("?offset=0&live=long-poll");
    const inVain = ask("?offset=0&live=long-poll&timeout=5&min-items=9");
    await turns();
    source.push("a");
    expect((await answer).body).toBe('["a"]');
    vi.advanceTimersByTime(5_000);
    expect((await inVain).body).toBe('["a"]');
    expect((await ask("?offset=5&live=long-poll")).status).toBe(400);
    expectNothingLeft();
  });
});

describe("a long-poll's time", () => {
  test("is what the router says unless the request does (P62)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ longPollTimeout: 20 });
    const { runner } = await push();
    const byDefault = ask(runner, "?offset=0&live=long-poll");
    const short = ask(runner, "?offset=0&live=long-poll&timeout=2");
    await turns();
    vi.advanceTimersByTime(1_999);
    expect(await isPending(short)).toBe(true);
    vi.advanceTimersByTime(1);
    expect((await short).status).toBe(204);
    vi.advanceTimersByTime(17_999);
    expect(await isPending(byDefault)).toBe(true);
    vi.advanceTimersByTime(1);
    expect(await byDefault).toMatchObject({ status: 204, headers: { "Stream-Next-Offset": "0000000000000000" } });
  });

  test("is 25 seconds by default (P62)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open();
    const { runner } = await push();
    const answer = ask(runner, "?offset=0&live=long-poll");
    await turns();
    vi.advanceTimersByTime(24_999);
    expect(await isPending(answer)).toBe(true);
    vi.advanceTimersByTime(1);
    expect((await answer).status).toBe(204);
  });

  test("gives what is there when it is up, although more was asked for", async () => {
    vi.useFakeTimers();
    const { ask, push } = open();
    const { runner, source } = await push();
    const answer = ask(runner, "?offset=0&live=long-poll&timeout=5&min-items=3");
    await turns();
    source.push("a", "b");
    await produced(runner, 2);
    expect(await isPending(answer)).toBe(true);
    vi.advanceTimersByTime(5_000);
    expect(await answer).toMatchObject({ status: 200, body: '["a","b"]' });
  });

  test("of a process gives the newest value when it is up (P102)", async () => {
    vi.useFakeTimers();
    const { ask, session } = open();
    const end = createDeferred();
    const runner = await (await session()).createProcessRunner(async ({ report }) => {
      report("one");
      report("two");
      await end.promise;
    });
    const answer = ask(runner, "?offset=0&live=long-poll&timeout=5&min-items=3");
    expect(await isPending(answer)).toBe(true);
    vi.advanceTimersByTime(5_000);
    expect(await answer).toMatchObject({ status: 200, body: '["two"]' });
    expect((await answer).headers).toMatchObject({ "Stream-Next-Offset": "0000000000000002" });
    end.resolve();
  });

  test("leaves a client that gave up no items taken away (P66)", async () => {
    const { ask, push } = open();
    const { runner, source } = await push();
    const client = new AbortController();
    const answer = ask(runner, "?offset=0&live=long-poll&min-items=2", { signal: client.signal });
    await turns();
    source.push("a");
    await produced(runner, 1);
    client.abort();
    await answer;
    expect((await runner.state()).position).toBe(0);
    expect((await ask(runner)).body).toBe('["a"]');
  });
});

describe("a process whose next report lies far ahead", () => {
  async function openProcess() {
    const opened = open({ heartbeat: Number.POSITIVE_INFINITY });
    const runner = await (await opened.session()).createProcessRunner(
      ({ report, signal }) =>
        new Promise<void>((resolve) => {
          report("one");
          signal.addEventListener("abort", () => resolve(), { once: true });
        }),
    );
    return { ...opened, runner };
  }

  test("is answered with an empty page at once", async () => {
    const { ask, runner } = await openProcess();
    const answer = ask(runner, "?offset=5");
    expect(await isPending(answer)).toBe(false);
    expect(await answer).toMatchObject({ status: 200, body: "[]" });
  });

  test("is answered with a live response at once, which waits in its body", async () => {
    const { ask, runner } = await openProcess();
    const client = new AbortController();
    const answer = ask(runner, "?offset=5&live=sse", { signal: client.signal });
    const isWaiting = await isPending(answer);
    client.abort();
    await answer;
    expect(isWaiting).toBe(false);
  });
});

test("a live response lets go in time also when its source does not open, and that is no error", async () => {
  vi.useFakeTimers();
  const { ask, session } = open({ rotateAfter: 60_000 }, { runnerIdleTimeout: 10_000 });
  const opening = createDeferred<unknown[]>();
  const runner = await (await session()).createSequenceRunner(() => opening.promise, { start: "on-first-read" });
  const client = new AbortController();
  const outcome = ask(runner, "?offset=0&live=sse", { signal: client.signal }).then(
    ({ status }) => `answered ${status}`,
    (error: unknown) => `rejected: ${error}`,
  );
  await turns();
  vi.advanceTimersByTime(60_000);
  await turns();
  vi.advanceTimersByTime(10_000);
  await turns();
  const { status } = runner;
  await runner.abort();
  opening.resolve([]);
  const text = await outcome;
  client.abort();
  expect(text).toMatch(/^answered/);
  expect(status).toBe("aborted");
});

test("a live response outlasts a source that takes long to open", async () => {
  vi.useFakeTimers();
  const { ask, session } = open({ rotateAfter: 60_000 });
  const opening = createDeferred<unknown[]>();
  const runner = await (await session()).createSequenceRunner(() => opening.promise, { start: "on-first-read" });
  const answer = ask(runner, "?offset=0&live=sse");
  await turns();
  vi.advanceTimersByTime(59_999);
  opening.resolve(["a"]);
  const body = parts(await answer);
  expect(await take(body, 1)).toEqual(["a"]);
  await body.return!();
});

test("a runner removed under a live response closes it", async () => {
  const { ask, push } = open();
  const { runner, source } = await push();
  source.push("a");
  await produced(runner, 1);
  const body = parts(await ask(runner, "?offset=0&live=sse"));
  await body.next();
  const next = body.next();
  await turns();
  expect((await ask(runner, "", { method: "DELETE" })).status).toBe(204);
  expect(control(await next)).toMatchObject({ streamClosed: true, runnerStatus: "aborted" });
  expect((await body.next()).done).toBe(true);
});

test("a handler that is asked by several clients of one process at once mixes nothing up", async () => {
  const { ask, sessions } = open();
  const names = ["ann", "bob", "cy"];
  const runners = await Promise.all(
    names.map(async (name) => (await sessions.get(name)).createSequenceRunner([`for ${name}`])),
  );
  await Promise.all(runners.map(({ cleanup }) => cleanup));
  const answers = await Promise.all(
    names.flatMap((name) => runners.map((runner) => ask(runner, "", { identity: `user:${name}` }))),
  );
  const bodies = answers.map(({ status, body }) => (status === 200 ? JSON.parse(body as string)[0] : status));
  expect(bodies).toEqual(["for ann", 404, 404, 404, "for bob", 404, 404, 404, "for cy"]);
});

test.each(["?offset=0", "?offset=now", "?offset=0&live=long-poll", "?offset=0&live=sse"])(
  "a read for a client that has gone already starts nothing (%s)",
  async (query) => {
    const { ask, session, sessions } = open();
    const start = vi.fn(() => [1]);
    const runner = await (await session()).createSequenceRunner(start, { start: "on-first-read" });
    expect((await ask(runner, query, { signal: AbortSignal.abort() })).status).toBe(204);
    await turns();
    expect([start.mock.calls.length, (await runner.state()).status, sessions.stats().openReads]).toEqual([
      0,
      "not-started",
      0,
    ]);
  },
);

describe("why a runner was aborted", () => {
  test("is told with the end: by page, long-poll, SSE, HEAD and state (P53, P79, P114)", async () => {
    const { ask, push, session } = open();
    const { runner, source } = await push({ retain: "all" });
    source.push(1, 2);
    await produced(runner, 2);
    const body = parts(await ask(runner, "?offset=0&live=sse"));
    await body.next();
    const waiting = ask(runner, "?offset=2&live=long-poll");
    const next = body.next();
    await turns();
    void (await session()).terminate();
    expect(control(await next)).toMatchObject({ runnerStatus: "aborted", runnerAbortReason: "session-ended" });
    expect((await body.next()).done).toBe(true);
    expect((await waiting).headers).toMatchObject({
      "Runner-Status": "aborted",
      "Runner-Abort-Reason": "session-ended",
    });

    const { runner: stopped } = await push();
    await ask(stopped, "abort");
    for (const [rest, method] of [
      ["", "GET"],
      ["", "HEAD"],
    ] as const) {
      expect((await ask(stopped, rest, { method })).headers["Runner-Abort-Reason"]).toBe("stopped");
    }
    expect(JSON.parse((await ask(stopped, "state")).body as string)).toMatchObject({ abortReason: "stopped" });
  });

  test("is not told by a slice that does not reach the end (P54)", async () => {
    const { ask, push } = open();
    const { runner, source } = await push({ retain: "all" });
    source.push(1, 2);
    await produced(runner, 2);
    await runner.getAvailable();
    await runner.abort();
    const { headers } = await ask(runner, "?offset=0&max-items=1");
    expect(headers["Runner-Status"]).toBe("progressed");
    expect(headers).not.toHaveProperty("Runner-Abort-Reason");
  });
});

describe("a live response to a client that acknowledges", () => {
  test("waits for the acknowledgement when the allowance is used up, and goes on with it (P85)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ heartbeat: 15_000, rotateAfter: 60_000 });
    const { runner, source } = await push({ aheadLimit: 4 });
    source.push(0, 1, 2, 3, 4, 5);
    await produced(runner, 4);
    const response = await ask(runner, "?offset=0&live=sse&acks=true");
    const body = parts(response);
    expect(await take(body, 4)).toEqual([0, 1, 2, 3]);
    const next = body.next();
    expect(await isPending(next)).toBe(true);
    vi.advanceTimersByTime(15_000);
    expect((await next).value).toBe(":\n\n");
    const waiting = body.next();
    expect((await ask(runner, "ack?offset=4")).status).toBe(204);
    await waiting;
    expect(response.ended!.aborted).toBe(false);
    await body.return!();
  });

  test("goes on when the acknowledgement came although another read still holds back what it frees", async () => {
    const { ask, push } = open();
    const { runner, source } = await push({ aheadLimit: 4 });
    source.push(0, 1, 2, 3, 4, 5);
    await produced(runner, 4);
    const response = await ask(runner, "?offset=0&live=sse&acks=true");
    const body = parts(response);
    expect(await take(body, 4)).toEqual([0, 1, 2, 3]);
    const held = runner.getRequired({ start: 0, advance: 6 }); // lets the producer go on, and keeps item 0
    await produced(runner, 6);
    await held;
    const again = runner.getRequired({ start: 1, advance: 9 });
    const next = body.next();
    await turns();
    expect((await ask(runner, "ack?offset=4")).status).toBe(204);
    expect((await inside(runner).logState()).acknowledged).toBe(1);
    expect(items(await next)).toEqual([4]);
    await body.return!();
    await runner.abort();
    await again;
  });

  test("ends with the runner's end, removal or session, also while it waits for an acknowledgement", async () => {
    const { ask, push, session, sessions } = open();
    const opened = async () => {
      const { runner, source } = await push({ aheadLimit: 4, retain: "all" });
      source.push(0, 1, 2, 3);
      await produced(runner, 4);
      const body = parts(await ask(runner, "?offset=0&live=sse&acks=true"));
      expect(await take(body, 4)).toEqual([0, 1, 2, 3]);
      const next = body.next();
      await turns();
      return { runner, source, next, body };
    };
    const completed = await opened();
    completed.source.end();
    expect(control(await completed.next)).toMatchObject({ runnerStatus: "completed", streamClosed: true });
    expect((await completed.body.next()).done).toBe(true);
    const lagging = await opened();
    lagging.source.push(4);
    await ask(lagging.runner, "", { method: "DELETE", headers: { "sec-fetch-site": "same-origin" } });
    await lagging.next;
    await lagging.body.return!();
    const last = await opened();
    await (await session()).terminate();
    await last.next;
    await last.body.return!();
    expect(sessions.stats().openReads).toBe(0);
  });

  test("tells of an abort at once, also while it waits for an acknowledgement", async () => {
    const { ask, push } = open();
    const { runner, source } = await push({ aheadLimit: 4 });
    source.push(0, 1, 2, 3, 4, 5);
    await produced(runner, 4);
    const body = parts(await ask(runner, "?offset=0&live=sse&acks=true"));
    expect(await take(body, 4)).toEqual([0, 1, 2, 3]);
    const next = body.next();
    await turns();
    await runner.abort();
    expect(control(await next)).toMatchObject({ runnerStatus: "aborted", streamClosed: true });
    expect(listenerCount(runner.signal)).toBe(0);
    await body.return!();
  });

  test("is ended by the rotation like any other when none comes (P85)", async () => {
    vi.useFakeTimers();
    const { ask, push } = open({ heartbeat: 100_000, rotateAfter: 60_000 });
    const { runner, source } = await push({ aheadLimit: 1 });
    source.push(0, 1);
    await produced(runner, 1);
    const response = await ask(runner, "?offset=0&live=sse&acks=true");
    const body = parts(response);
    expect(await take(body, 1)).toEqual([0]);
    const next = body.next();
    await turns();
    vi.advanceTimersByTime(60_000);
    expect(response.ended!.aborted).toBe(true);
    expect((await next).done).toBe(true);
  });

  test("must say so in one way only (P85)", async () => {
    const { ask, push } = open();
    const { runner } = await push();
    for (const acks of ["", "false", "1", "true&acks=true"]) {
      expect((await ask(runner, `?offset=0&live=sse&acks=${acks}`)).status).toBe(400);
    }
  });
});

test("HEAD where there is no HEAD is refused without a body", async () => {
  const { ask, push } = open();
  const { runner } = await push();
  const { status, headers, body } = await ask(runner, "ack", { method: "HEAD" });
  expect({ status, allow: headers.Allow, body }).toEqual({ status: 405, allow: "POST", body: undefined });
});
