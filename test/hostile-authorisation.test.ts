/** Who may follow a runner, and for how long: a login takes the old cookie's open responses, an acknowledgement keeps only its own. */
import { describe, expect, test, vi } from "vitest";
import { rotateSession } from "../src/http/middleware.js";
import type { AdapterRoute, AdapterUnderTest } from "../src/testing.js";
import { adapters } from "./support/adapters.js";
import { atEnd } from "./support/cleanup.js";
import { PushSource, turns } from "./support/control.js";
import { askHttp, openAdapter, Received, readHttp, until } from "./support/stage.js";

const all = Object.entries(adapters);
const withSessions = all.filter(([, { frameworkSession }]) => frameworkSession !== undefined);

/** An application where a visitor starts some work and logs in; the source is the test's. */
async function openLogin(adapter: AdapterUnderTest, withFrameworkSession: boolean) {
  const source = new PushSource<string>();
  const start: AdapterRoute = async (_request, session) => {
    const { key } = await session().createSequenceRunner(source, { retain: "all" });
    return { key };
  };
  const login: AdapterRoute = async (request) => {
    const renew = () => (withFrameworkSession ? adapter.frameworkSession?.renew(request) : undefined);
    await rotateSession(request, renew);
    return { openReads: stage.sessions.stats().openReads }; // as they are in the step of the rotation
  };
  const stage = await openAdapter(adapter, { routes: { "/start": start, "/login": login }, withFrameworkSession });
  const visitor = stage.browser();
  const { key } = await visitor.post<{ key: string }>("/start");
  source.push("before the login");
  const follow = (browser: typeof visitor, query: string) =>
    askHttp(`${stage.url}/runners/${key}?${query}`, { headers: browser.headers });
  const acknowledge = (browser: typeof visitor, offset: number) =>
    browser.ask(`/runners/${key}/ack?offset=${offset}`, { method: "POST" });
  return { ...stage, source, visitor, follow, acknowledge, login: () => visitor.post<{ openReads: number }>("/login") };
}

const kinds: [cookie: string, withFrameworkSession: boolean, (typeof all)[number][]][] = [
  ["our own cookie", false, all],
  ["the framework's session", true, withSessions],
];

for (const [cookie, withFrameworkSession, some] of kinds) {
  describe.each(some)(`a login with ${cookie}, %s`, (_name, adapter) => {
    test("ends the former cookie's event stream in its step, and that gets nothing of what comes later (P88)", async () => {
      const { source, visitor, follow, acknowledge, login, sessions } = await openLogin(adapter, withFrameworkSession);
      const former = new Received(await follow(visitor, "offset=0&live=sse"));
      await until(() => former.text.includes("before the login"));
      expect(await login()).toEqual({ openReads: 0 });
      const own = new Received(await follow(visitor, "offset=0&live=sse"));
      await until(() => own.text.includes("before the login"));
      source.push("after the login");
      await until(() => own.text.includes("after the login"));
      await acknowledge(visitor, 2);
      await until(() => former.isOver);
      expect(former.text).not.toContain("after the login");
      expect([own.isOver, sessions.stats().openReads]).toEqual([false, 1]);
    });

    test("ends the former cookie's waiting long-poll in its step, and that gets nothing of what comes later (P88)", async () => {
      const { source, visitor, follow, login, sessions } = await openLogin(adapter, withFrameworkSession);
      const waiting = follow(visitor, "offset=1&live=long-poll&timeout=60");
      await until(() => sessions.stats().openReads === 1);
      expect(await login()).toEqual({ openReads: 0 });
      source.push("after the login");
      const former = new Received(await waiting);
      await until(() => former.isOver);
      expect(former.text).not.toContain("after the login");
    });
  });
}

describe.each(all)("an acknowledgement, %s", (_name, adapter) => {
  const rotateAfter = 60_000;
  /** So long after a response `@hono/node-server` looks at its request once more, ms. */
  const honoDrains = 500;

  /** A user with work that gives nothing, and the event streams of as many devices. The clock is the test's. */
  async function follow(devices: number) {
    const headers = { "x-user": "ann" };
    atEnd(async () => {
      await turns(5); // the last step of all: everything is closed
      vi.advanceTimersByTime(honoDrains);
    });
    const stage = await openAdapter(adapter, {
      options: { identify: (request) => adapter.header(request, "x-user") },
      router: { rotateAfter, heartbeat: Number.POSITIVE_INFINITY },
    });
    const runner = await (await stage.sessions.get("ann")).createSequenceRunner(new PushSource<string>());
    const at = `${stage.url}/runners/${runner.key}`;
    expect((await readHttp(`${stage.url}/hello`)).body).toBe("hello"); // what a first request sets up has no fake timer
    vi.useFakeTimers();
    const streams: { readonly id: string | undefined; readonly received: Received }[] = [];
    for (let i = 0; i < devices; i++) {
      const response = await askHttp(`${at}?offset=0&live=sse`, { headers });
      const received = new Received(response);
      await until(() => received.text.includes("event: control"));
      streams.push({ id: response.headers["runner-response"] as string | undefined, received });
    }
    const acknowledge = (query = "") => readHttp(`${at}/ack?offset=0${query}`, { method: "POST", headers });
    const open = () => stage.sessions.stats().openReads;
    const pass = async (ms: number) => {
      vi.advanceTimersByTime(ms);
      await turns(3);
    };
    return { streams, acknowledge, open, pass };
  }

  test("has a response to name: each event stream has an id of its own, in its header and its first control event (P89)", async () => {
    const { streams } = await follow(2);
    const [desk, phone] = streams;
    for (const { id, received } of streams) {
      expect(id).toMatch(/^[\w-]{16,}$/);
      expect(received.text).toContain(`"runnerResponse":"${id}"`);
    }
    expect(desk!.id).not.toBe(phone!.id);
  });

  test.each([
    ["that names no response", ""],
    ["that names one which is not open", "&response=AAAAAAAAAAAAAAAAAAAAAA"],
  ])("%s keeps no event stream open", async (_case, query) => {
    const { streams, acknowledge, open, pass } = await follow(1);
    await pass(rotateAfter - 1);
    expect((await acknowledge(query)).status).toBe(204);
    expect(open()).toBe(1);
    await pass(1);
    expect(open()).toBe(0);
    await until(() => streams[0]!.received.isOver);
  });

  test("that names an event stream keeps that one open, and not another device's (P92)", async () => {
    const { streams, acknowledge, open, pass } = await follow(2);
    const [desk, phone] = streams;
    await pass(rotateAfter - 1);
    expect((await acknowledge(`&response=${desk!.id}`)).status).toBe(204);
    await pass(1);
    expect(open()).toBe(1);
    await until(() => phone!.received.isOver);
    expect(desk!.received.isOver).toBe(false);
    await pass(rotateAfter - 1);
    await until(() => desk!.received.isOver);
    expect(open()).toBe(0);
  });
});
