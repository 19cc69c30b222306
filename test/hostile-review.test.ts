/** What a review of the bounds broke, by hand and in one process: rotations in the middle of a request, costs, room that is made. */
import { describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { type ActiveSessionOptions, activeSession, rotateSession, runnerRouter } from "../src/fetch.js";
import type { RunnerRouterOptions } from "../src/http/router.js";
import { SequenceLog } from "../src/log/sequence-log.js";
import type { Runner } from "../src/runner/runner.js";
import type { ActiveSession } from "../src/session/active-session.js";
import { defineSequenceRunner } from "../src/session/define.js";
import { tagIdentity } from "../src/session/identity.js";
import type { LimitOptions } from "../src/session/limits.js";
import type { ActiveSessionsOptions } from "../src/session/options.js";
import { isPending, openHost, PushSource, turns } from "./support/control.js";
import { inside } from "./support/inside.js";
import { anyJson, readFrom, withCode } from "./support/logs.js";
import { until } from "./support/stage.js";

interface Setting {
  readonly host?: ActiveSessionsOptions<ActiveSession>;
  readonly router?: RunnerRouterOptions;
  readonly middleware?: ActiveSessionOptions;
  /** What `/start` does; it answers with the runner's key. */
  readonly start?: (session: ActiveSession) => Promise<Runner>;
}

/** Who asks, and how. */
interface Asking {
  readonly cookie?: string | undefined;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** An application without a server: runners at `/runners`, `/start`, `/login`; every other path uses the session. */
function open({ host, router, middleware, start }: Setting = {}) {
  const sessions = openHost(host as object);
  const serveRunners = runnerRouter(sessions, router);
  const answer = activeSession(
    sessions,
    middleware,
  )(async (request) => {
    const served = await serveRunners(request);
    if (served) return served;
    const { pathname } = new URL(request.url);
    if (pathname === "/login") await rotateSession(request);
    if (pathname === "/start" && start) return new Response((await start(request.activeSession as never)).key);
    return new Response(request.activeSession.id);
  });
  const ask = async (path: string, { cookie, headers, ...init }: Asking = {}): Promise<Response> =>
    answer(new Request(`http://app.example${path}`, { ...init, headers: { ...headers, ...(cookie && { cookie }) } }));
  /** A client, by its cookie, and the key of what it has started. */
  const begin = async () => {
    const response = await ask("/start");
    return { cookie: cookieOf(response), key: await response.text() };
  };
  const logIn = async (cookie: string) => cookieOf(await ask("/login", { cookie }));
  return { sessions, ask, begin, logIn };
}

function cookieOf(response: Response): string {
  const [line = "none was set"] = response.headers.getSetCookie();
  return line.split(";")[0]!;
}

const asJson = { "content-type": "application/json" };
const quiet = { logger: { warn: () => {} } };

/** Numbers without end. */
function* numbers() {
  for (let n = 0; ; n++) yield n;
}

/** Resolves when the signal aborts. */
function aborted(signal: AbortSignal, then = () => {}): Promise<void> {
  return new Promise((resolve) => {
    const onAbort = () => {
      resolve();
      then();
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
}

test("long-polls from the tail on make the producer run no further than aheadLimit", async () => {
  vi.useFakeTimers();
  const { sessions, ask, begin } = open({
    host: { aheadLimit: 100 },
    start: (session) => session.createSequenceRunner(numbers),
  });
  const { cookie, key } = await begin();
  await until(() => sessions.stats().items === 100);
  for (let i = 0; i < 5; i++) {
    const polled = ask(`/runners/${key}?offset=now&live=long-poll&min-items=100&timeout=1`, { cookie });
    await turns(20);
    await vi.advanceTimersByTimeAsync(1000);
    expect((await polled).status).toBe(204);
  }
  expect(sessions.stats().items).toBe(100);
});

describe("a creation under way while its session gets another owner", () => {
  const keyed = { "idempotency-key": "k1" };
  const cases: [what: string, headers: Record<string, string>, where: "source" | "items"][] = [
    ["before its source is open, without an idempotency key", {}, "source"],
    ["before its source is open, with an idempotency key", keyed, "source"],
    ["that waits for its first items, without an idempotency key", {}, "items"],
    ["that waits for its first items, with an idempotency key", keyed, "items"],
  ];

  test.each(cases)("%s, is refused: the former owner gets no item and no second session", async (_how, own) => {
    const source = new PushSource<string>();
    const gate = createDeferred();
    gate.resolve();
    const job = defineSequenceRunner({
      name: "job",
      run: async () => {
        await gate.promise;
        return source;
      },
    });
    const { sessions, ask, logIn } = open({ router: { expose: [job] } });
    const cookie = cookieOf(await ask("/"));
    const headers = { ...asJson, ...own };
    const creating = ask("/runners/job?timeout=50&min-items=1", { method: "POST", cookie, headers });
    await turns(5);
    const renewed = await logIn(cookie);
    expect(await isPending(creating)).toBe(false);
    gate.resolve();
    source.push("for the new owner", "too");
    const refused = await creating;
    expect([refused.status, await refused.json()]).toEqual([410, expect.objectContaining({ code: "RUNNER_GONE" })]);
    expect(sessions.stats().sessions).toBe(1);
    const list = (await (await ask("/runners", { cookie: renewed })).json()) as { key: string }[];
    if (own === keyed) {
      expect(list).toEqual([expect.objectContaining({ name: "job", position: 0 })]);
      const page = await ask(`/runners/${list[0]!.key}?offset=0&live=long-poll&min-items=2`, { cookie: renewed });
      expect(await page.json()).toEqual(["for the new owner", "too"]);
    }
  });
});

test("a page that waits for the start of its runner ends in the step of the rotation, and has moved nothing", async () => {
  const gate = createDeferred();
  const run = async () => {
    await gate.promise;
    return [1, 2, 3];
  };
  const { ask, begin, logIn } = open({
    start: (session) => session.createSequenceRunner(run, { start: "on-first-read" }),
  });
  const { cookie, key } = await begin();
  const page = ask(`/runners/${key}?offset=0`, { cookie });
  expect(await isPending(page)).toBe(true);
  const renewed = await logIn(cookie);
  expect(await isPending(page)).toBe(false);
  const refused = await page;
  expect([refused.status, refused.headers.get("runner-error-code")]).toEqual([410, "RUNNER_GONE"]);
  gate.resolve();
  await turns(5);
  const state = await (await ask(`/runners/${key}/state`, { cookie: renewed })).json();
  expect(state).toMatchObject({ position: 0, status: "progressed" });
  expect(await (await ask(`/runners/${key}?offset=0`, { cookie: renewed })).json()).toEqual([1, 2, 3]);
});

test.each([
  ["no cookie", undefined],
  ["a cookie that was not issued here", `active-session=${"A".repeat(22)}.${"A".repeat(11)}`],
])(
  "a creation with an idempotency key and %s leaves nothing running when its client goes before the answer",
  async (_what, cookie) => {
    let running = 0;
    const job = defineSequenceRunner({
      name: "job",
      run: async function* (_input: unknown, { signal }) {
        running++;
        try {
          yield* [];
          await aborted(signal);
        } finally {
          running--;
        }
      },
    });
    const { sessions, ask } = open({ router: { expose: [job] } });
    for (let i = 0; i < 3; i++) {
      const client = new AbortController();
      const headers = { ...asJson, "idempotency-key": "same" };
      const creating = ask("/runners/job?timeout=50", { method: "POST", cookie, headers, signal: client.signal });
      await until(() => running === 1);
      await turns(3);
      client.abort();
      await creating;
      await turns(5);
      expect([running, sessions.stats().runners]).toEqual([0, 0]);
    }
  },
);

describe("of two cookies of one name", () => {
  const planted = `active-session=${"A".repeat(22)}.${"A".repeat(11)}`;
  const orders: [where: string, order: (own: string, other: string) => string][] = [
    ["in front of it", (own, other) => `${other}; ${own}`],
    ["behind it", (own, other) => `${own}; ${other}`],
  ];

  describe.each(orders)("the one with a live session counts, and the other stands %s:", (_where, order) => {
    test("one that was not issued", async () => {
      const { sessions, ask } = open();
      const first = await ask("/");
      const id = await first.text();
      for (let i = 0; i < 3; i++) {
        const again = await ask("/", { cookie: order(cookieOf(first), planted) });
        expect([await again.text(), again.headers.getSetCookie()]).toEqual([id, []]);
      }
      expect(sessions.stats().sessions).toBe(1);
    });

    test("one that was issued, whose session has ended", async () => {
      const { sessions, ask } = open();
      const ended = cookieOf(await ask("/"));
      for (const session of sessions.sessions()) await session.terminate();
      const first = await ask("/");
      const id = await first.text();
      const again = await ask("/", { cookie: order(cookieOf(first), ended) });
      expect([await again.text(), again.headers.getSetCookie()]).toEqual([id, []]);
      expect(sessions.stats().sessions).toBe(1);
    });
  });
});

/** An item of so many characters, and how often it has been encoded. */
function countedItem(size: number) {
  const item = {
    encoded: 0,
    toJSON() {
      item.encoded++;
      return "x".repeat(size);
    },
  };
  return item;
}

describe("a read that waits", () => {
  /** A runner that makes what the test gives, and long-polls for more items than will come. */
  async function openPolls(polls: number, pageBytes: number) {
    const source = new PushSource<unknown>();
    const { ask, begin } = open({
      router: { pageBytes },
      start: (session) => session.createSequenceRunner(source),
    });
    const { cookie, key } = await begin();
    const path = `/runners/${key}?offset=0&live=long-poll&min-items=1000&timeout=50`;
    const polled = Array.from({ length: polls }, () => ask(path, { cookie }));
    await turns(5);
    const push = async (...items: unknown[]) => {
      source.push(...items);
      await turns(5);
    };
    return { source, polled, push };
  }

  test.each([1, 20])(
    "looks at how full it is as often as the logarithm of its items says, and %d of them no oftener",
    async (polls) => {
      const { source, polled, push } = await openPolls(polls, 100_000);
      const first = countedItem(997); // 98 of them leave room for one or two more, but for many small ones
      const medium = "x".repeat(997);
      for (let given = 0; given < 256; given++) await push(given === 0 ? first : given < 98 ? medium : 1);
      expect(first.encoded).toBeGreaterThan(1);
      expect(first.encoded).toBeLessThanOrEqual(2 * Math.log2(256));
      source.end();
      for (const answer of await Promise.all(polled)) expect(await answer.json()).toHaveLength(256);
      expect(first.encoded).toBeLessThanOrEqual(2 * Math.log2(256) + 1);
    },
  );

  const texts: [what: string, item: (index: number) => string, fitting: number][] = [
    ["of one size", () => "a".repeat(997), 10],
    ["of which the first ones are small", (index) => "a".repeat(index < 3 ? 1 : 997), 12],
    ["whose characters have three bytes each", () => "好".repeat(333), 9],
  ];

  test.each(texts)("settles soon when items %s fill the page", async (_what, item, fitting) => {
    const { polled, push } = await openPolls(1, 10_000);
    const most = Math.ceil(1.5 * fitting) + 1;
    let given = 0;
    for (; given < fitting; given++) await push(item(given));
    expect(await isPending(polled[0]!)).toBe(true);
    for (; given < most; given++) await push(item(given));
    expect(await isPending(polled[0]!)).toBe(false);
    const items = (await (await polled[0]!).json()) as string[];
    expect(items.length).toBeGreaterThanOrEqual(fitting - 1);
    expect(items.length).toBeLessThanOrEqual(fitting);
  });
});

test.each([
  [8, 100_000],
  [8, 300_000],
  [8, 900_000],
  [64, 300_000],
])(
  "a page of %d small items and then some of %d bytes encodes at most twice what it sends, and one batch",
  async (small, size) => {
    const large = countedItem(size);
    const items = Array.from({ length: 300 }, (_, i) => (i < small ? i : large));
    const { ask, begin } = open({ start: (session) => session.createSequenceRunner(items) });
    const { cookie, key } = await begin();
    await turns(10);
    const page = (await (await ask(`/runners/${key}?offset=0`, { cookie })).json()) as unknown[];
    const sent = page.length - small;
    expect(sent).toBeGreaterThan(0);
    expect(large.encoded).toBeLessThanOrEqual(2 * sent + Math.min(3 * small, 64) + 1);
  },
);

describe("room for the items of unconfirmed sessions", () => {
  function openSessions(limits: LimitOptions) {
    const sessions = openHost({ limits, ...quiet });
    return { sessions, obtain: (name: string) => inside(sessions).obtain(tagIdentity("cookie", name), undefined) };
  }

  test("is made by those that keep many, and not by those before them that keep nothing", async () => {
    const { sessions, obtain } = openSessions({ unconfirmedItems: 100 });
    const others: ActiveSession[] = [];
    for (let i = 0; i < 250; i++) {
      const session = obtain(`visitor ${i}`) as ActiveSession;
      await session.createProcessRunner(({ signal }) => aborted(signal));
      others.push(session);
    }
    const hoarder = obtain("hoarder");
    await hoarder.createSequenceRunner(Array<number>(150).fill(0), { retain: "all" });
    await turns(20);
    expect(hoarder.isAvailable).toBe(false);
    expect(others.filter(({ isAvailable }) => !isAvailable)).toEqual([]);
    expect(sessions.stats()).toMatchObject({ sessions: 250, items: 0 });
  });

  test("is not sought in a session that has ended while it made room for a runner", async () => {
    const { sessions, obtain } = openSessions({
      unconfirmedItems: 100,
      unconfirmedRunners: 1,
      whenReached: "end-idle",
    });
    const ended = obtain("ended");
    await ended.createProcessRunner(({ signal, session }) => aborted(signal, () => void session.terminate()));
    await ended.findRunner(0); // used: it may make room
    await expect(ended.createProcessRunner(() => {})).rejects.toMatchObject({ code: "SESSION_ENDED" });
    expect(ended.isAvailable).toBe(false);
    const hoarder = obtain("hoarder");
    await hoarder.createSequenceRunner(Array<number>(150).fill(0), { retain: "all" }).catch(() => {});
    await turns(20); // the loop goes on
    expect(sessions.stats().items).toBeLessThanOrEqual(100);
  });
});

test.each(["runnersPerClient", "runners"] as const)(
  "making room for %s is refused to the code that runs while room is made",
  async (limit) => {
    const host = openHost({ limits: { [limit]: 1, whenReached: "end-idle" }, ...quiet });
    const session = await host.get("ann");
    let inner: Promise<unknown> | undefined;
    const createInner = () => {
      inner = session
        .createProcessRunner(() => 1)
        .then(
          () => "created",
          ({ code }) => code,
        );
    };
    await session.createProcessRunner(({ signal }) => aborted(signal, createInner));
    await session.findRunner(0); // used: it may make room
    await session.createProcessRunner(({ signal }) => aborted(signal));
    expect(await inner).toBe(limit === "runners" ? "SERVER_LIMIT_REACHED" : "CLIENT_LIMIT_REACHED");
    expect(host.stats().runners).toBe(1);
  },
);

test("a session that is created while room is made for the very same one is that one", async () => {
  const host = openHost({ limits: { unconfirmedSessions: 2 }, ...quiet });
  const obtain = (name: string) => inside(host).obtain(tagIdentity("cookie", name), undefined);
  let inner: unknown;
  const createInner = () => {
    inner = obtain("twice");
  };
  await obtain("oldest").createProcessRunner(({ signal }) => aborted(signal, createInner));
  obtain("confirmed").confirm(); // there is room for one more, and then the oldest ends
  obtain("young");
  const outer = obtain("twice");
  expect(inner).toBe(outer);
  expect([outer.isAvailable, [...host.sessions()].filter((session) => session === outer).length]).toEqual([true, 1]);
  await outer.terminate();
  expect(obtain("twice")).not.toBe(outer);
});

test("a client that brings an issued cookie back is confirmed in each scope, and when its sessions have ended", async () => {
  const { sessions, ask } = open({
    host: { secret: "a secret" },
    middleware: { scopes: [{ when: "/shop", suffix: "shop" }, { when: "/" }] },
  });
  const confirmed = () =>
    Object.fromEntries([...sessions.sessions()].map((session) => [session.suffix ?? "", inside(session).isConfirmed]));
  const cookie = cookieOf(await ask("/"));
  expect(confirmed()).toEqual({ "": false });
  await ask("/shop", { cookie });
  expect(confirmed()).toEqual({ "": false, shop: true });
  await ask("/", { cookie });
  expect(confirmed()).toEqual({ "": true, shop: true });
  for (const session of sessions.sessions()) await session.terminate();
  await ask("/", { cookie });
  await ask("/shop", { cookie });
  expect(confirmed()).toEqual({ "": true, shop: true });
});

describe("an SSE response over the fetch adapter that has ended before it is read", () => {
  test("because its runner does not open in time, ends", async () => {
    vi.useFakeTimers();
    const gate = createDeferred<number[]>();
    const { ask, begin } = open({
      router: { rotateAfter: 200, heartbeat: 100 },
      start: (session) => session.createSequenceRunner(() => gate.promise, { start: "on-first-read" }),
    });
    const { cookie, key } = await begin();
    const opening = ask(`/runners/${key}?offset=0&live=sse`, { cookie });
    await vi.advanceTimersByTimeAsync(200);
    const response = await opening;
    const text = response.text();
    expect(response.status).toBe(200);
    expect(await isPending(text)).toBe(false);
    expect(await text).toBe("");
    gate.resolve([]);
  });

  test("because of a rotation at any step of the request, ends without items", async () => {
    for (let steps = 0; steps < 24; steps++) {
      const source = new PushSource<number>();
      source.push(1, 2, 3);
      const { sessions, ask, begin } = open({ start: (session) => session.createSequenceRunner(source) });
      const { cookie, key } = await begin();
      await turns(3);
      const opening = ask(`/runners/${key}?offset=0&live=sse`, { cookie });
      for (let i = 0; i < steps; i++) await null;
      await inside(sessions).directory.move(
        tagIdentity("cookie", cookie.split("=")[1]!),
        tagIdentity("cookie", "another"),
      );
      const response = await opening;
      const text = response.text();
      expect([steps, await isPending(text)]).toEqual([steps, false]);
      expect([steps, await text]).toEqual([steps, expect.not.stringContaining("data:[")]);
      source.end();
    }
  });
});

test("work whose items go with their acknowledgement waits at limits.itemsPerRunner, below its ahead limit", async () => {
  const host = openHost({ limits: { itemsPerRunner: 100 }, ...quiet });
  const session = await host.get("ann");
  const runner = await session.createSequenceRunner(numbers);
  await until(() => runner.progress.current >= 100);
  await turns(10);
  expect([runner.progress.current, runner.isBackgroundCompleted]).toEqual([100, false]);
  expect((await runner.getAvailable({ start: 0, advance: 50 })).status).toBe("progressed");
  await inside(runner).acknowledge(50);
  await until(() => runner.progress.current >= 150);
  await turns(10);
  expect([runner.progress.current, runner.isBackgroundCompleted, host.stats().items]).toEqual([150, false, 100]);
});

test("a read whose items' own code acknowledges them throws, instead of giving nothing in their place", async () => {
  const log = new SequenceLog<number>({ aheadLimit: 10, retain: "unacknowledged" }, { onFinal() {} });
  log.start();
  log.append(withCode(0, () => void log.read({ start: 3, max: 1 })));
  for (let i = 1; i < 5; i++) log.append(i);
  const read = readFrom(log, { start: 0, min: 6, max: 9, json: anyJson });
  log.end(); // now it would settle with what there is
  await expect(read).rejects.toMatchObject({ code: "POSITION_GONE" });
});
