/** Clients that never come back, and work that keeps everything: what they can make the process hold, and for how long. */
import { json } from "node:stream/consumers";
import { describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { activeSession } from "../src/fetch.js";
import type { Runner } from "../src/runner/runner.js";
import type { ActiveSession } from "../src/session/active-session.js";
import type { LimitOptions } from "../src/session/limits.js";
import type { ActiveSessionsOptions } from "../src/session/options.js";
import type { AdapterRoute } from "../src/testing.js";
import { adapters } from "./support/adapters.js";
import { atEnd } from "./support/cleanup.js";
import { openHost, PushSource, turns } from "./support/control.js";
import { askHttp, openAdapter, readHttp } from "./support/stage.js";

const never = Number.POSITIVE_INFINITY;
const seconds = 1000;
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** Limits that there are not yet. */
function limits(options: {
  unconfirmedSessions?: number;
  unconfirmedItems?: number;
  itemsPerRunner?: number;
}): LimitOptions {
  return options as object;
}

/** What one request has come to. */
interface Visit {
  readonly session: ActiveSession;
  /** The cookie that the client has after it. */
  readonly cookie: string;
}

/** An application without a server; `x-user` names a user, others are known by our cookie. */
function open(options: ActiveSessionsOptions<ActiveSession> = {}) {
  const sessions = openHost(options as object);
  const withSession = activeSession(sessions, { identify: (request) => request.headers.get("x-user") });
  /** A request that uses the session of its client; without headers that is a new one. */
  const visit = async (
    use: (session: ActiveSession) => unknown = () => {},
    headers: Record<string, string> = {},
  ): Promise<Visit> => {
    let session: ActiveSession | undefined;
    const answer = withSession(async (request) => {
      session = request.activeSession;
      await use(session);
      return new Response("done");
    });
    const response = await answer(new Request("http://app.example/", { headers }));
    const [line] = response.headers.getSetCookie();
    return { session: session!, cookie: line?.split(";")[0] ?? headers.cookie ?? "" };
  };
  return { sessions, visit };
}

/** Work that goes on until it is stopped, and that no client ends by leaving. */
function startEndless(session: ActiveSession): Promise<Runner> {
  return session.createSequenceRunner(new PushSource<number>(), { idleTimeout: never });
}

describe("a session whose client has never come back", () => {
  test("ends two minutes after its last use, with its work, however long the others live", async () => {
    vi.useFakeTimers();
    const { sessions, visit } = open({ idleTimeout: never, runnerIdleTimeout: never, maxLifetime: never });
    let runner: Runner | undefined;
    const { session } = await visit(async (own) => {
      runner = await startEndless(own);
    });
    const work = runner!.signal;
    await pass(119 * seconds);
    expect([session.isAvailable, work.aborted]).toEqual([true, false]);
    await pass(2 * seconds);
    expect([session.isAvailable, work.aborted, runner!.abortReason]).toEqual([false, true, "idle"]);
    expect(sessions.stats()).toMatchObject({ sessions: 0, runners: 0 });
  });

  test("begins its two minutes again where the application's own code uses it", async () => {
    vi.useFakeTimers();
    const { visit } = open({ maxLifetime: never });
    const { session } = await visit(startEndless);
    await pass(100 * seconds);
    await session.findRunner(0);
    await pass(119 * seconds);
    expect(session.isAvailable).toBe(true);
    await pass(2 * seconds);
    expect(session.isAvailable).toBe(false);
  });

  test("ends alone: those stay whose cookie came back, and those of a user", async () => {
    vi.useFakeTimers();
    const { sessions, visit } = open();
    const { session: lost } = await visit(startEndless);
    const { session: confirmed, cookie } = await visit(startEndless);
    const { session: ofUser } = await visit(startEndless, { "x-user": "ann" });
    await visit(() => {}, { cookie });
    await pass(10 * 60 * seconds);
    expect([lost, confirmed, ofUser].map(({ isAvailable }) => isAvailable)).toEqual([false, true, true]);
    expect(sessions.stats()).toMatchObject({ sessions: 2, runners: 2 });
  });

  test("may have twenty runners, and more once its cookie has come back", async () => {
    const { visit } = open();
    const outcomes: unknown[] = [];
    const startMany = (count: number) => async (session: ActiveSession) => {
      for (let i = 0; i < count; i++) {
        outcomes.push(
          await startEndless(session).then(
            () => "started",
            ({ code, status }) => [code, status],
          ),
        );
      }
    };
    const { cookie } = await visit(startMany(21));
    expect(outcomes).toEqual([...Array<string>(20).fill("started"), ["CLIENT_LIMIT_REACHED", 429]]);
    await visit(startMany(5), { cookie });
    expect(outcomes.slice(21)).toEqual(Array<string>(5).fill("started"));
  });
});

describe.each(Object.entries(adapters))("a session whose client has never come back, %s", (_name, adapter) => {
  const kinds: [cookie: string, withFrameworkSession: boolean][] = [["our own cookie", false]];
  if (adapter.frameworkSession) kinds.push(["the framework's session", true]);

  test.each(kinds)(
    "by %s, ends after two minutes; one whose client has come back stays",
    async (_what, withFrameworkSession) => {
      atEnd(async () => {
        await turns(5); // everything is closed; what @hono/node-server wants to look at after half a second it may
        vi.advanceTimersByTime(500);
      });
      const start: AdapterRoute = async (_request, session) => ({ key: (await startEndless(session())).key });
      const { sessions, url } = await openAdapter(adapter, { routes: { "/start": start }, withFrameworkSession });
      await readHttp(`${url}/hello`); // what a first request sets up has no fake timer
      vi.useFakeTimers();
      const begin = async () => {
        const response = await askHttp(`${url}/start`, { method: "POST" });
        const pairs = response.headers["set-cookie"]!.map((line) => line.split(";")[0]!);
        const cookie = [...new Map(pairs.map((pair) => [pair.split("=")[0], pair])).values()].join("; "); // the last of a name
        return { cookie, ...((await json(response)) as { key: string }) };
      };
      const lost = await begin();
      const kept = await begin();
      const ask = async ({ key, cookie }: typeof lost) =>
        (await readHttp(`${url}/runners/${key}?offset=0`, { headers: { cookie } })).status;
      await pass(60 * seconds);
      expect(await ask(kept)).toBe(200);
      await pass(59 * seconds);
      expect(sessions.stats().sessions).toBe(2);
      await pass(2 * seconds);
      expect(sessions.stats()).toMatchObject({ sessions: 1, runners: 1 });
      expect(await ask(kept)).toBe(200);
      expect([404, 410]).toContain(await ask(lost));
    },
  );
});

describe("of sessions whose clients have never come back", () => {
  test("the process keeps ten thousand, and the oldest goes first", async () => {
    const { sessions, visit } = open();
    const { session: ofUser } = await visit(undefined, { "x-user": "ann" });
    const { session: confirmed, cookie } = await visit();
    await visit(undefined, { cookie });
    const all: ActiveSession[] = [];
    for (let i = 0; i < 10_002; i++) all.push((await visit()).session);
    expect(sessions.stats().sessions).toBe(10_002);
    expect(all.findIndex(({ isAvailable }) => isAvailable)).toBe(2);
    expect([ofUser.isAvailable, confirmed.isAvailable]).toEqual([true, true]);
  });

  test("the process keeps as many as limits.unconfirmedSessions says, the one that was used last longest", async () => {
    const { visit } = open({ limits: limits({ unconfirmedSessions: 3 }) });
    const [first, second, third] = [await visit(startEndless), await visit(startEndless), await visit(startEndless)];
    await first.session.findRunner(0);
    const fourth = await visit(startEndless);
    const isThere = [first, second, third, fourth].map(({ session }) => session.isAvailable);
    expect(isThere).toEqual([true, false, true, true]);
  });

  test("none ends while a request uses it: the next one does", async () => {
    const { visit } = open({ limits: limits({ unconfirmedSessions: 2 }) });
    const gate = createDeferred();
    let used: ActiveSession | undefined;
    const visiting = visit((session) => {
      used = session;
      return gate.promise;
    });
    const [second, third] = [await visit(), await visit()];
    expect([used, second.session, third.session].map((session) => session?.isAvailable)).toEqual([true, false, true]);
    gate.resolve();
    await visiting;
  });

  /** A visit that leaves so many items behind, which its work has made to the last. */
  const leaveItems = (count: number) => async (session: ActiveSession) => {
    const options = { aheadLimit: count + 1, retain: "all" } as const;
    const runner = await session.createSequenceRunner(Array<number>(count).fill(0), options);
    await runner.cleanup;
  };

  test.each([
    ["a million items", {}, 250_000],
    ["as many items as limits.unconfirmedItems says", { limits: limits({ unconfirmedItems: 100 }) }, 25],
  ])("the process keeps %s, and the oldest goes first", async (_what, options, quarter) => {
    const { sessions, visit } = open(options);
    const ofUser = await visit(leaveItems(2 * quarter), { "x-user": "ann" }); // counts for itself
    const all: Visit[] = [];
    for (let i = 0; i < 5; i++) all.push(await visit(leaveItems(quarter)));
    const last = await visit(leaveItems(1)); // at the latest now it is looked at
    expect(sessions.stats().items).toBeLessThanOrEqual(6 * quarter + 1);
    expect(all[0]!.session.isAvailable).toBe(false);
    expect([all[4]!, last, ofUser].map(({ session }) => session.isAvailable)).toEqual([true, true, true]);
  });
});

describe("work that keeps everything", () => {
  /** Numbers without end. */
  function* numbers() {
    for (let n = 0; ; n++) yield n;
  }

  test.each([
    ["a million items", {}, 1_000_000],
    ["limits.itemsPerRunner says", { limits: limits({ itemsPerRunner: 50 }) }, 50],
  ])("fails where it would keep more than %s, and what it has stays readable", async (_what, options, most) => {
    const { sessions } = open({ ...options, logger: { warn: () => {} } });
    const session = await sessions.get("ann");
    const runner = await session.createSequenceRunner(numbers, { retain: "all", aheadLimit: most + 1000 });
    // Today it goes on to its ahead limit.
    while (!runner.isBackgroundCompleted && runner.progress.current < most + 1000) await turns(1);
    expect(runner.progress.current).toBe(most);
    expect(sessions.stats().items).toBe(most);
    expect(await runner.getAvailable({ start: 0, advance: 3 })).toMatchObject({ result: [0, 1, 2] });
    const end = await runner.getAvailable({ start: most - 2 });
    expect(end).toMatchObject({ result: [most - 2, most - 1], status: "failed", position: most });
    const { code, cause } = end.error!;
    expect([code, (cause as { code?: string } | undefined)?.code]).toContain("RUNNER_TOO_LARGE");
    expect(await runner.getAvailable({ start: 0, advance: 3 })).toMatchObject({ result: [0, 1, 2] });
  });

  test("is what is meant: a long sequence whose items go with their acknowledgement comes to its end", async () => {
    const { sessions } = open({ limits: limits({ itemsPerRunner: 50 }) });
    const session = await sessions.get("ann");
    const runner = await session.createSequenceRunner(Array<number>(1000).fill(0), { aheadLimit: 20 });
    let taken = 0;
    for await (const _item of runner) taken++;
    expect([taken, runner.status]).toEqual([1000, "completed"]);
  });
});
