/** A process that is frozen for a while, as in a virtual machine that is moved: what clients have sent meanwhile counts. */
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Alarm } from "../src/base/idle-list.js";
import type { ActiveSession } from "../src/session/active-session.js";
import type { AdapterRoute } from "../src/testing.js";
import { adapters } from "./support/adapters.js";
import { atEnd } from "./support/cleanup.js";
import { openHost, PushSource } from "./support/control.js";
import { openAdapter, until } from "./support/stage.js";

const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

afterEach(() => {
  vi.restoreAllMocks();
});

/** From here on the clock is so much further than the timers know. */
function freeze(ms: number): void {
  const now = performance.now.bind(performance);
  vi.spyOn(performance, "now").mockImplementation(() => now() + ms);
}

const startWork = (session: ActiveSession) => session.createSequenceRunner(new PushSource<number>());

describe("an alarm whose timer comes late", () => {
  test.each([
    ["by a second", 1000, [2100]],
    ["by minutes", 300_000, [2100]],
    ["by less than a second", 998, [100]],
  ])("%s rings two seconds later, if that was a freeze", async (_how, late, expected) => {
    vi.useFakeTimers();
    const start = performance.now();
    let passed = 0;
    const rings: number[] = [];
    const alarm = new Alarm(() => rings.push(passed));
    atEnd(() => alarm.cancel());
    alarm.setFor(start + 100);
    freeze(late);
    for (passed = 1; passed <= 2500; passed++) await pass(1);
    expect(rings).toEqual(expected);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("can be cancelled in that time", async () => {
    vi.useFakeTimers();
    const ring = vi.fn();
    const alarm = new Alarm(ring);
    alarm.setFor(performance.now() + 100);
    freeze(5000);
    await pass(101);
    alarm.cancel();
    expect(vi.getTimerCount()).toBe(0);
    await pass(3000);
    expect(ring).not.toHaveBeenCalled();
  });
});

describe("after a freeze", () => {
  test("what is idle ends when its idle time has passed again, and what a request asks for until then stays", async () => {
    vi.useFakeTimers();
    const sessions = openHost({ idleTimeout: 60_000, runnerIdleTimeout: 60_000, finishedTimeout: 1 });
    const [asked, left] = [await sessions.get("ann"), await sessions.get("ben")];
    const [wanted, forgotten] = [await startWork(asked), await startWork(left)];
    freeze(90_000);
    await pass(60_000);
    await pass(59_999); // the backlog takes long to answer
    expect(left.isAvailable).toBe(true);
    expect(await asked.findRunner(wanted.key)).toBe(wanted);
    await pass(1);
    await pass(1); // what the work has found goes, and the session with it
    expect([asked, left].map(({ isAvailable }) => isAvailable)).toEqual([true, false]);
    expect([wanted, forgotten].map(({ abortReason }) => abortReason)).toEqual([undefined, "idle"]);
    await pass(60_001);
    expect([asked.isAvailable, wanted.abortReason]).toEqual([false, "idle"]);
  });
});

test("thousands of sessions that are due end within one wait, not a thousand with each", async () => {
  vi.useFakeTimers();
  const sessions = openHost({ idleTimeout: 60_000 });
  for (let i = 0; i < 5000; i++) await sessions.get(`user ${i}`);
  freeze(90_000);
  await pass(120_000);
  await pass(10);
  expect(sessions.stats().sessions).toBe(0);
});

describe.each(Object.entries(adapters).filter(([name]) => /^(node:http|fetch|Hono|Express 5)/.test(name)))(
  "a request that came while the process stood still, %s",
  (_name, adapter) => {
    test("finds its session, whose idle time was up meanwhile, and its work", async () => {
      const options = { idleTimeout: 500, runnerIdleTimeout: 500 };
      const start: AdapterRoute = async (_request, session) => ({ key: (await startWork(session())).key });
      const { browser, url } = await openAdapter(adapter, { routes: { "/start": start } }, options);
      const visitor = browser();
      const socket = connect(Number(new URL(url).port), "127.0.0.1").setEncoding("latin1");
      atEnd(() => socket.destroy());
      await once(socket, "connect");
      let text = "";
      socket.on("data", (part: string) => {
        text += part;
      });
      const ask = (path: string) =>
        socket.write(`GET ${path} HTTP/1.1\r\nHost: app.example\r\nCookie: ${visitor.headers.cookie}\r\n\r\n`);
      const statuses = () => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => Number(status));
      const { key } = await visitor.post<{ key: string }>("/start");
      ask(`/runners/${key}/state`); // no use of it: both times are those of its creation
      await until(() => statuses().length === 1);
      ask(`/runners/${key}?offset=0`);
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_000);
      await until(() => statuses().length === 2);
      expect(statuses()).toEqual([200, 200]);
    });
  },
);
