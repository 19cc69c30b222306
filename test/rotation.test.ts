/** What becomes of a client's sessions when it gets another identity. */
import type { Request } from "express";
import { describe, expect, test, vi } from "vitest";
import { rotateSession } from "../src/express.js";
import type { ActiveSession } from "../src/session/active-session.js";
import { openHost } from "./support/control.js";
import { inside } from "./support/inside.js";
import { openApp } from "./support/server.js";

/** An application where a visitor is known by the name that it gives itself, and can log in under any name. */
async function open(options: Parameters<typeof rotateSession>[2] = {}, host = openHost()) {
  const users = new WeakMap<Request, string>();
  const failures: unknown[] = [];
  const { url } = await openApp({
    sessions: host,
    middleware: {
      identify: (request) => users.get(request) ?? request.get("x-user"),
      scopes: [{ when: "/tab", suffix: "tab" }, { when: "/" }],
    },
    routes: (app) => {
      app.post(["/start", "/tab/start"], async ({ activeSession }, response) => {
        const { key } = await activeSession.createSequenceRunner([1, 2, 3], { retain: "all" });
        response.json(key);
      });
      app.post("/login/:name", async (request, response) => {
        const change = () => users.set(request, request.params.name);
        await rotateSession(request, change, options).catch((error) => failures.push(error));
        response.json(request.activeSession.isAvailable);
      });
    },
  });
  const post = async (path: string, user: string) =>
    (await fetch(url + path, { method: "POST", headers: { "x-user": user } })).json();
  const status = async (key: unknown, user: string) =>
    (await fetch(`${url}/runners/${key}`, { headers: { "x-user": user } })).status;
  return { host, post, status, failures };
}

describe("a client that gets another identity", () => {
  test("takes all its sessions, their runners, keys, properties and group with it", async () => {
    const { host, post, status } = await open();
    const plain = await post("/start", "visitor");
    const tab = await post("/tab/start", "visitor");
    const session = (await host.find("visitor"))!;
    const { group, id } = session;
    group.properties.set("cart", 3);
    await post("/login/ann", "visitor");
    expect([await status(plain, "ann"), await status(tab, "ann"), await status(plain, "visitor")]).toEqual([
      200, 200, 410,
    ]);
    const anns = (await host.find("ann"))!;
    expect([anns, anns.id, anns.group, group.properties.get("cart")]).toEqual([session, id, group, 3]);
    expect([...group.sessions()]).toEqual([session, await host.find("ann", "tab")]);
    expect(host.stats()).toMatchObject({ sessions: 2, groups: 1, runners: 2 });
    await Promise.all([session.terminate(), (await host.find("ann", "tab"))!.terminate()]);
    await group.cleanup;
    expect(group.isAvailable).toBe(false);
  });

  test("finds there what the new identity has already: of two sessions with one suffix its former one ends", async () => {
    const { host, post, status } = await open();
    const anns = await post("/start", "ann");
    const plain = await post("/start", "visitor");
    const tab = await post("/tab/start", "visitor");
    const [former, moved] = [(await host.find("visitor"))!, (await host.find("visitor", "tab"))!];
    const { group } = (await host.find("ann"))!;
    const formerGroup = former.group;
    await post("/login/ann", "visitor");
    expect([await status(anns, "ann"), await status(tab, "ann"), await status(plain, "ann")]).toEqual([200, 200, 404]);
    expect([former.isAvailable, moved.isAvailable, moved.group === group]).toEqual([false, true, true]);
    await formerGroup.cleanup;
    expect([formerGroup.isAvailable, group.isAvailable]).toEqual([false, true]);
  });

  test("gives its group to an identity that has none", async () => {
    const { host, post } = await open();
    await post("/start", "ann");
    await post("/start", "visitor");
    const { group } = (await host.find("visitor"))!;
    await post("/login/ann", "visitor");
    expect((await host.find("ann"))!.group).toBe(group);
    await (await host.find("ann"))!.terminate();
    await group.cleanup;
  });

  test("leaves nothing behind where its work is to end", async () => {
    const { host, post, status } = await open({ work: "end" });
    const keys = [await post("/start", "visitor"), await post("/tab/start", "visitor")];
    const former = [...host.sessions()];
    expect(await post("/login/ann", "visitor")).toBe(true); // has a new session already
    expect(former.map(({ isAvailable }) => isAvailable)).toEqual([false, false]);
    for (const key of keys) expect([404, 410]).toContain(await status(key, "ann"));
    expect([...host.sessions()]).toHaveLength(1);
  });

  test("begins a new one in the same request, too, where the identity stays and the work ends", async () => {
    const { host, post } = await open({ work: "end" });
    await post("/start", "ann");
    const [former] = host.sessions();
    expect(await post("/login/ann", "ann")).toBe(true);
    expect([former!.isAvailable, host.stats().sessions]).toEqual([false, 1]);
  });

  test("keeps everything where the identity stays", async () => {
    const { host, post, status } = await open();
    const key = await post("/start", "ann");
    const [session] = host.sessions();
    await post("/login/ann", "ann");
    expect([await status(key, "ann"), [...host.sessions()]]).toEqual([200, [session]]);
  });

  test("that has nothing gets nothing", async () => {
    const { host } = await open();
    const { post } = await open({}, host);
    expect(await post("/login/ann", "visitor")).toBe(true);
    expect(host.stats().sessions).toBe(1); // what the application itself has asked for afterwards
  });
});

test("the lifetime of a session that changes hands starts again, and the others' ends in time", async () => {
  vi.useFakeTimers();
  const host = openHost({ maxLifetime: 1000, idleTimeout: 1000 });
  const ended: string[] = [];
  const watch = (name: string, session: ActiveSession) =>
    session.signal.addEventListener("abort", () => ended.push(name));
  watch("moved", await host.get("visitor"));
  await vi.advanceTimersByTimeAsync(300);
  watch("later", await host.get("bob"));
  await vi.advanceTimersByTimeAsync(300);
  await inside(host).directory.move("user:visitor", "user:ann");
  const stay = async () => void [await host.find("ann"), await host.find("bob")];
  await stay();
  await vi.advanceTimersByTimeAsync(600);
  await stay();
  expect(ended).toEqual([]);
  await vi.advanceTimersByTimeAsync(110);
  expect(ended).toEqual(["later"]);
  await stay();
  await vi.advanceTimersByTimeAsync(300);
  expect(ended).toEqual(["later", "moved"]);
});

describe("rotateSession", () => {
  test.each([[{ work: "drop" }], [{ keep: true }], [null]])("refuses %j", async (options) => {
    const { host, post, failures, status } = await open(options as never);
    const key = await post("/start", "visitor");
    await post("/login/ann", "visitor");
    expect(failures).toMatchObject([{ code: "INVALID_OPTION" }]);
    expect([await status(key, "visitor"), host.stats().sessions]).toEqual([200, 1]);
  });

  test("refuses what is no function, a request that did not pass, and headers that are sent", async () => {
    await expect(rotateSession({})).rejects.toMatchObject({ code: "NOT_INSTALLED" });
    const outcomes: unknown[] = [];
    const host = openHost();
    const { url } = await openApp({
      sessions: host,
      middleware: {},
      routes: (app) =>
        app.post("/login", async (request, response) => {
          void request.activeSession;
          outcomes.push(await rotateSession(request, 7 as never).catch(({ code }) => code));
          response.flushHeaders();
          outcomes.push(await rotateSession(request).catch(({ code }) => code));
          response.end();
        }),
    });
    await fetch(`${url}/login`, { method: "POST" });
    expect(outcomes).toEqual(["INVALID_OPTION", "IDENTITY_TOO_LATE"]);
    expect(host.stats().sessions).toBe(1);
  });

  test("changes nothing where the application's change fails, and passes that on", async () => {
    const host = openHost();
    const failure = new Error("Wrong password");
    const outcomes: unknown[] = [];
    const { url } = await openApp({
      sessions: host,
      routes: (app) =>
        app.post("/login", async (request, response) => {
          const session = request.activeSession;
          const fail = () => Promise.reject(failure);
          outcomes.push(await rotateSession(request, fail, { work: "end" }).catch((error) => error));
          outcomes.push(session.isAvailable);
          response.end();
        }),
    });
    await fetch(`${url}/login`, { method: "POST", headers: { "x-user": "ann" } });
    expect(outcomes).toEqual([failure, true]);
  });
});
