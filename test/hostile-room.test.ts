/** Making room where a limit is reached: a full host must not make each further request look at everything there is. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { activeSession } from "../src/fetch.js";
import type { ActiveSession } from "../src/session/active-session.js";
import type { LimitOptions } from "../src/session/limits.js";
import { RunnerTable } from "../src/session/runner-table.js";
import { SessionCore } from "../src/session/session-core.js";
import { atEnd } from "./support/cleanup.js";
import { openHost, PushSource, turns } from "./support/control.js";
import { inside } from "./support/inside.js";

const many = 2000;
/** So many of them may be looked at, however many there are. */
const few = 300;

afterEach(() => {
  vi.restoreAllMocks();
});

/** Counts the objects of a class of which anything is looked at, by their getters and methods. */
function watch(watched: { readonly prototype: object }): Set<unknown> {
  const seen = new Set<unknown>();
  const { prototype } = watched;
  const originals = Object.getOwnPropertyDescriptors(prototype) as Record<string, PropertyDescriptor>;
  const noting = <This, Rest extends unknown[]>(original: (this: This, ...rest: Rest) => unknown) =>
    function (this: This, ...rest: Rest) {
      seen.add(this);
      return original.apply(this, rest);
    };
  for (const [name, original] of Object.entries(originals)) {
    const { get, value } = original;
    if (name === "constructor") continue;
    if (get) Object.defineProperty(prototype, name, { ...original, get: noting(get) });
    else if (typeof value === "function") Object.defineProperty(prototype, name, { ...original, value: noting(value) });
  }
  atEnd(() => Object.defineProperties(prototype, originals));
  return seen;
}

/** A host with many sessions of users, and work in each; the sessions in order. */
async function openFull(limits: LimitOptions, start: (session: ActiveSession) => unknown) {
  const sessions = openHost({ limits: { whenReached: "end-idle", ...limits } });
  const all: ActiveSession[] = [];
  for (let i = 0; i < many; i++) {
    const session = await sessions.get(`user ${i}`);
    await start(session);
    all.push(session);
  }
  return { sessions, all };
}

const startSequence = (session: ActiveSession) => session.createSequenceRunner(new PushSource<number>());
const startProcess = (session: ActiveSession) =>
  session.createProcessRunner(
    ({ signal }) => new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve())),
  );

describe("one more runner, where there are thousands in as many sessions, looks at few of them", () => {
  test("when it takes the place of the one that was used longest ago", async () => {
    const { sessions, all } = await openFull({ runners: many }, startSequence);
    const tables = watch(RunnerTable);
    const looked = watch(SessionCore);
    await startSequence(await sessions.get("one more"));
    expect([...tables, ...looked].length).toBeLessThan(few);
    expect(sessions.stats().runners).toBe(many);
    expect(all.slice(0, 2).map((session) => inside(session).runnerCount)).toEqual([0, 1]);
  });

  test("when its place is that of one that holds items", async () => {
    const hold = async (session: ActiveSession) => void (await (await session.createSequenceRunner([1])).cleanup);
    const { sessions, all } = await openFull({ retainedItems: many }, hold);
    const looked = watch(SessionCore);
    const tables = watch(RunnerTable);
    await startSequence(await sessions.get("one more"));
    expect([...tables, ...looked].length).toBeLessThan(few);
    expect(all.slice(0, 2).map((session) => inside(session).runnerCount)).toEqual([0, 1]);
  });

  test("when none of the first ones holds items: then it is refused", async () => {
    const { sessions } = await openFull({ retainedItems: 1 }, startProcess);
    const source = new PushSource<number>();
    const last = await (await sessions.get("the last one")).createSequenceRunner(source);
    source.push(1);
    while (last.progress.current < 1) await turns(1);
    const looked = watch(SessionCore);
    const tables = watch(RunnerTable);
    const outcome = startSequence(await sessions.get("one more"));
    await expect(outcome).rejects.toMatchObject({ code: "SERVER_LIMIT_REACHED" });
    expect([...tables, ...looked].length).toBeLessThan(few);
  });
});

describe("one more session, where there are thousands, looks at few of them", () => {
  test("when it takes the place of the one that was used longest ago", async () => {
    const { sessions, all } = await openFull({ sessions: many }, () => {});
    const looked = watch(SessionCore);
    await sessions.get("one more");
    expect(looked.size).toBeLessThan(few);
    expect(all.slice(0, 2).map(({ isAvailable }) => isAvailable)).toEqual([false, true]);
  });

  test.each([
    ["sessions, of clients that have never come back", "sessions", { unconfirmedSessions: Number.POSITIVE_INFINITY }],
    ["sessions, below that of such clients", "sessions", {}],
    ["unconfirmedSessions", "unconfirmedSessions", {}],
  ])("when all of them are in use, at the limit %s", async (_what, limit, more) => {
    const sessions = openHost({ limits: { whenReached: "end-idle", ...more, [limit]: many } });
    const withSession = activeSession(sessions);
    const gate = createDeferred();
    const visit = () => {
      const answer = withSession(async (request) => {
        void request.activeSession;
        await gate.promise;
        return new Response("done");
      });
      return answer(new Request("http://app.example/"));
    };
    const visits = Array.from({ length: many }, visit);
    const looked = watch(SessionCore);
    visits.push(visit());
    expect(sessions.stats().sessions).toBe(many);
    expect(looked.size).toBeLessThan(few);
    gate.resolve();
    await Promise.all(visits);
  });
});

test.each([
  ["idle", false],
  ["in use", true],
])(
  "more items of clients that have never come back, all of which are %s, look at few of their sessions",
  async (_what, areInUse) => {
    const sessions = openHost({ limits: { unconfirmedItems: many, unconfirmedSessions: 2 * many } });
    const withSession = activeSession(sessions);
    const gate = createDeferred();
    const visits: Promise<unknown>[] = [];
    const visit = async () => {
      const kept = createDeferred();
      const answer = withSession(async (request) => {
        const runner = await request.activeSession.createSequenceRunner([1], { retain: "all" });
        await runner.cleanup;
        kept.resolve();
        if (areInUse) await gate.promise;
        return new Response("done");
      });
      visits.push(Promise.resolve(answer(new Request("http://app.example/"))));
      await kept.promise;
    };
    for (let i = 0; i < many; i++) await visit();
    const looked = watch(SessionCore);
    await visit();
    expect(sessions.stats()).toMatchObject({ items: many, sessions: many });
    expect(looked.size).toBeLessThan(few);
    gate.resolve();
    await Promise.all(visits);
  },
);
