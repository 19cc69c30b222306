/** Scopes on real servers: which requests have a session, which one, what a group is to requests, and how long a lock lasts. */
import { createConnection } from "node:net";
import express, { type ErrorRequestHandler, type Express, type Request, type Response } from "express";
import { describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { createDeferred } from "../src/base/async.js";
import {
  type ActiveSessionMiddlewareOptions,
  activeSession,
  refreshSession,
  requestSignal,
  runnerRouter,
} from "../src/express.js";
import { defineProcessRunner } from "../src/index.js";
import * as node from "../src/node.js";
import type { ActiveSession } from "../src/session/active-session.js";
import type { ActiveSessions } from "../src/session/active-sessions.js";
import type { SessionGroup } from "../src/session/session-group.js";
import { atEnd } from "./support/cleanup.js";
import { isPending, openHost } from "./support/control.js";
import { listen } from "./support/server.js";

type Scopes = ActiveSessionMiddlewareOptions["scopes"];

/** What a test application answers of a request's session. */
interface Seen {
  readonly status: number;
  readonly body: {
    readonly code?: string;
    readonly suffix?: string | null;
    readonly id?: string;
    readonly generation?: number;
  };
  readonly cookies: readonly string[];
}

/** A logger that keeps its warnings for the test. */
function openLoggedHost() {
  const warnings: object[] = [];
  const sessions = openHost({ logger: { warn: (details) => warnings.push(details) } });
  return { sessions, warnings };
}

const describeSession = ({ suffix, id, generation }: ActiveSession) => ({ suffix: suffix ?? null, id, generation });

/** Answers every request with its session, on both of our servers; `/mounted` is a router of its own in Express. */
const adapters = {
  express: async (sessions: ActiveSessions, scopes: Scopes) => {
    const app = express();
    const router = express.Router();
    const answer = (request: Request, response: Response) => void response.json(describeSession(request.activeSession));
    router.use(activeSession(sessions, { scopes }));
    router.get("/untouched", (_request, response) => void response.json({}));
    router.use(answer);
    app.use("/mounted", router);
    app.use(activeSession(sessions, { scopes }));
    app.get("/untouched", (_request, response) => void response.json({}));
    app.use(answer);
    const showError: ErrorRequestHandler = (error, _request, response, _next) => {
      response.status(error.status ?? 500).json({ code: error.code });
    };
    app.use(showError);
    return listen(app);
  },
  "node:http": async (sessions: ActiveSessions, scopes: Scopes) => {
    const withSession = node.activeSession(sessions, { scopes: scopes as node.ActiveSessionOptions["scopes"] });
    return listen(async (request, response) => {
      try {
        const active = await withSession(request, response);
        response.setHeader("content-type", "application/json");
        const body = request.url === "/untouched" ? {} : describeSession(active.activeSession);
        response.end(JSON.stringify(body));
      } catch (error) {
        const { status = 500, code } = error as { status?: number; code?: string };
        response.writeHead(status).end(JSON.stringify({ code }));
      }
    });
  },
};

async function see(url: string, headers: Record<string, string> = {}): Promise<Seen> {
  const response = await fetch(url, { headers });
  return {
    status: response.status,
    body: (await response.json()) as Seen["body"],
    cookies: response.headers.getSetCookie(),
  };
}

describe.each(Object.entries(adapters))("scopes of %s", (_adapter, open) => {
  /** The suffix for each path; `null` for none, the code of the error where there is no session. */
  async function suffixes(scopes: Scopes, paths: readonly string[]) {
    const { sessions, warnings } = openLoggedHost();
    const { url } = await open(sessions, scopes);
    const seen: Record<string, unknown> = {};
    for (const path of paths) {
      const { body } = await see(url + path);
      seen[path] = body.code ?? body.suffix;
    }
    return { seen, warnings, sessions };
  }

  test("by a path take it and what lies below it, with its query, and nothing beside it (parity 169, 170)", async () => {
    const paths = ["/shop", "/shop?a=/x", "/shop/cart/1?b", "/shopping", "/", "/other?x=/shop"];
    const { seen } = await suffixes([{ when: "/shop", suffix: "shop" }], paths);
    expect(seen).toEqual({
      "/shop": "shop",
      "/shop?a=/x": "shop",
      "/shop/cart/1?b": "shop",
      "/shopping": "OUT_OF_SCOPE",
      "/": "OUT_OF_SCOPE",
      "/other?x=/shop": "OUT_OF_SCOPE",
    });
  });

  test("by a path with a star take any one segment in its place (parity 169)", async () => {
    const { seen } = await suffixes(
      [{ when: "/*/cart", suffix: "cart" }],
      ["/a/cart", "/b/cart/1", "/cart", "/a/b/cart"],
    );
    expect(seen).toEqual({
      ...{ "/a/cart": "cart", "/b/cart/1": "cart" },
      ...{ "/cart": "OUT_OF_SCOPE", "/a/b/cart": "OUT_OF_SCOPE" },
    });
  });

  test("by a regular expression see the decoded path without the query (parity 169, 179)", async () => {
    const scopes: Scopes = [
      { when: /^\/caf\u00e9 \d+$/i, suffix: "number" },
      { when: /secret/, suffix: "secret" },
    ];
    const { seen, warnings } = await suffixes(scopes, ["/Caf%C3%A9%2017?secret", "/caf%C3%A9", "/%E0%A4%A-secret"]);
    expect(seen).toEqual({
      "/Caf%C3%A9%2017?secret": "number",
      "/caf%C3%A9": "OUT_OF_SCOPE",
      "/%E0%A4%A-secret": "secret",
    });
    expect(warnings).toEqual([]);
  });

  test("by a function see the request; what it answers, at once or later, may be the suffix (parity 169)", async () => {
    const scopes: Scopes = [
      { when: async ({ headers }) => (headers["x-user"] === "ann" ? headers["x-tab"] : false) },
      { when: ({ headers }) => headers["x-user"] === "bob", suffix: "bobs" },
    ];
    const { url } = await open(openHost(), scopes);
    const ask = async (headers: Record<string, string>) => {
      const { body } = await see(url, headers);
      return body.code ?? body.suffix;
    };
    expect(await ask({ "x-user": "ann", "x-tab": "7" })).toBe("7");
    expect(await ask({ "x-user": "ann", "x-tab": "" })).toBe(null);
    expect(await ask({ "x-user": "ann" })).toBe("OUT_OF_SCOPE");
    expect(await ask({ "x-user": "bob", "x-tab": "7" })).toBe("bobs");
    expect(await ask({ "x-user": "cleo", "x-tab": "7" })).toBe("OUT_OF_SCOPE");
  });

  test("are waited for as long as a function takes", async () => {
    const gate = createDeferred<string>();
    const { url } = await open(openHost(), [{ when: () => gate.promise }]);
    const seen = see(url);
    expect(await isPending(seen)).toBe(true);
    gate.resolve("late");
    expect((await seen).body.suffix).toBe("late");
  });

  test("that fail accept nothing and warn; the request is never a 500 by it (parity 179, 180)", async () => {
    const error = new Error("no database");
    const scopes: Scopes = [
      {
        when: () => {
          throw error;
        },
        suffix: "thrown",
      },
      { when: () => Promise.reject(error), suffix: "rejected" },
      { when: () => "not/a/suffix" },
      { when: "/shop" },
    ];
    const { sessions, warnings } = openLoggedHost();
    const { url } = await open(sessions, scopes);
    const inScope = await see(`${url}/shop`);
    expect([inScope.status, inScope.body.suffix]).toEqual([200, null]);
    const message = "a scope failed and accepts nothing";
    expect(warnings).toEqual([
      { message, scope: 0, error },
      { message, scope: 1, error },
      { message, scope: 2, error: expect.objectContaining({ code: "INVALID_ARGUMENT" }) },
    ]);
    expect(await see(`${url}/untouched`)).toEqual({ status: 200, body: {}, cookies: [] });
    expect((await see(`${url}/other`)).body).toEqual({ code: "OUT_OF_SCOPE" });
  });

  test("give the suffix of the first accepting one that supplies one; the empty text ends the search (parity 171)", async () => {
    const scopes: Scopes = [
      { when: "/none", suffix: "" },
      { when: "/a" },
      { when: "/a/b", suffix: "b" },
      { when: "/a", suffix: "a" },
      { when: "/", suffix: "rest" },
    ];
    const { seen } = await suffixes(scopes, ["/none/a", "/a", "/a/b/c", "/x"]);
    expect(seen).toEqual({ "/none/a": null, "/a": "a", "/a/b/c": "b", "/x": "rest" });
  });

  test("accept by one without a suffix, also where none of the others accepts (parity 171)", async () => {
    const { seen } = await suffixes([{ when: "/a" }, { when: "/b", suffix: "b" }], ["/a", "/b", "/c"]);
    expect(seen).toEqual({ "/a": null, "/b": "b", "/c": "OUT_OF_SCOPE" });
  });

  test("are not asked any more when the outcome is known (parity 172)", async () => {
    const behind = vi.fn();
    await suffixes([{ when: "/a", suffix: "a" }, { when: behind }], ["/a", "/a/b"]);
    expect(behind).not.toHaveBeenCalled();
    const asked = vi.fn();
    const { seen } = await suffixes([{ when: "/a" }, { when: asked }], ["/a"]);
    expect([seen["/a"], asked.mock.calls.length]).toEqual([null, 1]); // a function could still have supplied one
  });

  test("that accept no request leave it without a session and a cookie: OUT_OF_SCOPE at the first use (parity 161, 170)", async () => {
    const { sessions } = openLoggedHost();
    const { url } = await open(sessions, [{ when: "/shop" }]);
    expect(await see(`${url}/other`)).toEqual({ status: 500, body: { code: "OUT_OF_SCOPE" }, cookies: [] });
    expect(await see(`${url}/untouched`)).toEqual({ status: 200, body: {}, cookies: [] });
    expect(sessions.stats().sessions).toBe(0);
    expect((await see(`${url}/shop`)).cookies).toHaveLength(1);
    const none = await open(sessions, []);
    expect((await see(none.url)).body).toEqual({ code: "OUT_OF_SCOPE" });
  });

  test("give one client several sessions by one cookie, which differ in their suffix only (parity 112, 120)", async () => {
    const { sessions } = openLoggedHost();
    const { url } = await open(sessions, [{ when: "/a", suffix: "a" }, { when: "/b", suffix: "b" }, { when: "/" }]);
    const first = await see(`${url}/a`);
    const cookie = first.cookies[0]!.split(";")[0]!;
    const [second, plain, again] = [
      await see(`${url}/b`, { cookie }),
      await see(`${url}/`, { cookie }),
      await see(`${url}/a/1`, { cookie }),
    ];
    expect([second, plain, again].map(({ cookies }) => cookies.length)).toEqual([0, 0, 0]);
    expect(again.body).toEqual(first.body);
    expect(first.body.id).toBe(`${plain.body.id}.a`);
    expect(second.body.id).toBe(`${plain.body.id}.b`);
    expect(sessions.stats()).toMatchObject({ sessions: 3, groups: 1 });
  });

  test("are refused where the adapter is installed, if they are wrong: INVALID_OPTION (parity 185)", async () => {
    for (const scopes of [[{ when: "shop" }], [{ when: "/", suffix: "a b" }], "/shop"]) {
      await expect(open(openHost(), scopes as never)).rejects.toMatchObject({ code: "INVALID_OPTION" });
    }
  });
});

test("scopes of Express see the whole path, also where the middleware is mounted below one (parity 169)", async () => {
  const { url } = await adapters.express(openHost(), [{ when: "/mounted/a", suffix: "a" }]);
  expect((await see(`${url}/mounted/a/1`)).body.suffix).toBe("a");
  expect((await see(`${url}/a/1`)).body.code).toBe("OUT_OF_SCOPE");
});

test.each(Object.entries(adapters))(
  "a session of %s is made at its first use, at once and not before (parity 173, 174)",
  async (_adapter, open) => {
    const { sessions } = openLoggedHost();
    const { url } = await open(sessions, undefined);
    expect((await see(`${url}/untouched`)).cookies).toEqual([]);
    expect(sessions.stats().sessions).toBe(0);
    const { body, cookies } = await see(url);
    const [session] = sessions.sessions();
    expect([cookies.length, body.id, session?.isAvailable]).toEqual([1, session?.id, true]);
  },
);

test("the first requests of a user, all at once, share one session (parity 113, 114)", async () => {
  const gate = createDeferred();
  const { url, sessions } = await openApp((app) => {
    app.get("/a/who", async (request, response) => {
      await gate.promise;
      const runner = await request.activeSession.createSequenceRunner([1]);
      response.json({ key: runner.key, ...describeSession(request.activeSession) });
    });
  });
  const asked = [1, 2, 3].map(() => json(`${url}/a/who`));
  expect(await isPending(Promise.race(asked))).toBe(true);
  gate.resolve();
  const answers = await Promise.all(asked);
  expect(new Set(answers.map(({ id, generation }) => `${id} ${generation}`)).size).toBe(1);
  expect(new Set(answers.map(({ key }) => key)).size).toBe(3);
  expect(sessions.stats()).toMatchObject({ sessions: 1, runners: 3 });
});

/** An Express application whose users are told apart by the header `x-user` and whose sessions by the first segment. */
async function openApp(
  routes: (app: Express) => void,
  options: Parameters<typeof openHost>[0] = {},
  scopes: Scopes = [{ when: (request) => request.path.split("/")[1] }],
) {
  const sessions = openHost(options);
  const app = express();
  app.use(activeSession(sessions, { identify: (request) => request.get("x-user") ?? "ann", scopes }));
  app.use("/runners", runnerRouter(sessions));
  routes(app);
  const showError: ErrorRequestHandler = (error, _request, response, _next) => {
    response.status(error.status ?? 500).json({ code: error.code });
  };
  app.use(showError);
  return { sessions, ...(await listen(app)) };
}

const json = async (url: string, init?: RequestInit) =>
  (await fetch(url, init)).json() as Promise<Record<string, unknown>>;

describe("the sessions of one client", () => {
  test("have runners, generations and ends of their own, and a group in common (parity 120, 126, 162, 190)", async () => {
    const { url, sessions } = await openApp((app) => {
      app.post("/:tab/start", async (request, response) => {
        const { group, generation, suffix } = request.activeSession;
        const count = await group.properties.getOrCreate("count", () => 0);
        group.properties.set("count", count + 1);
        const runner = await request.activeSession.createSequenceRunner([suffix], { retain: "all" });
        response.json({ key: runner.key, number: runner.number, generation, count, group: group.id });
      });
      app.post("/:tab/end", async (request, response) => {
        await request.activeSession.terminate();
        response.json({});
      });
    });
    const post = (path: string) => json(url + path, { method: "POST" });
    const [a, b] = [await post("/a/start"), await post("/b/start")];
    expect([a.number, b.number, a.count, b.count, a.group === b.group]).toEqual([0, 0, 0, 1, true]);
    expect(encodeURIComponent(a.key as string)).toBe(a.key);
    expect(await json(`${url}/runners/${a.key}`)).toEqual(["a"]);
    expect(await json(`${url}/runners/${b.key}`)).toEqual(["b"]);
    await post("/a/end");
    expect((await fetch(`${url}/runners/${a.key}`)).status).toBe(410);
    expect((await fetch(`${url}/runners/${b.key}`)).status).toBe(200);
    const again = await post("/a/start");
    expect([again.number, again.count]).toEqual([0, 2]);
    expect(again.generation).toBeGreaterThan(a.generation as number);
    expect((await sessions.find("ann", "b"))?.generation).toBe(b.generation);
    expect((await fetch(`${url}/runners/${b.key}`, { headers: { "x-user": "bob" } })).status).toBe(404);
  });

  test("have runners that can be read from where no session is in scope (parity 170)", async () => {
    const { url } = await openApp(
      (app) => {
        app.post("/shop/start", async (request, response) => {
          response.json({ key: (await request.activeSession.createSequenceRunner([1])).key });
        });
      },
      {},
      [{ when: "/shop", suffix: "shop" }],
    );
    const { key } = await json(`${url}/shop/start`, { method: "POST" });
    expect(await json(`${url}/runners/${key}`)).toEqual([1]);
  });
});

describe("refreshSession", () => {
  test("gives the client's next generation after a terminate, and tells whether there was something to do (parity 158, 182, 183)", async () => {
    const sessionsSeen: ActiveSession[] = [];
    const answers: boolean[] = [];
    const { url, sessions } = await openApp((app) => {
      app.get("/a/refresh", async (request, response) => {
        const look = () => sessionsSeen.push(request.activeSession);
        answers.push(refreshSession(request));
        look();
        answers.push(refreshSession(request));
        look();
        await request.activeSession.terminate();
        look();
        answers.push(refreshSession(request));
        look();
        answers.push(refreshSession(request));
        const runner = await request.activeSession.createSequenceRunner([1]);
        expect(await request.activeSession.findRunner(runner.key)).toBe(runner);
        response.json({ key: runner.key });
      });
    });
    const { key } = await json(`${url}/a/refresh`);
    expect(answers).toEqual([false, false, true, false]);
    const [first, second, third, fourth] = sessionsSeen as [ActiveSession, ...ActiveSession[]];
    expect(first.isAvailable).toBe(false);
    expect([second === first, third === first, fourth === first]).toEqual([true, true, false]);
    expect(fourth?.generation).toBeGreaterThan(first.generation);
    expect([fourth?.suffix, fourth?.isAvailable]).toEqual(["a", true]);
    expect(await sessions.find("ann", "a")).toBe(fourth);
    expect(await json(`${url}/runners/${key}`)).toEqual([1]);
  });

  test("is noticed by services and locks at once: they are the new session's (parity 176, 183, 192, 193)", async () => {
    const services = vi.fn((session: { generation: number }) => ({ of: session.generation }));
    const { url } = await openApp(
      (app) => {
        app.get("/a/refresh", async (request, response) => {
          const { activeSession: former } = request;
          const before = former.services;
          const held = await former.lock("db");
          await former.terminate();
          refreshSession(request);
          const { activeSession: next } = request;
          const lock = await next.lock("db", { timeout: 0 });
          const other = await next.lock("db", { timeout: 0 });
          held?.release();
          const still = await next.lock("db", { timeout: 0 });
          response.json({
            services: [before, next.services, request.activeSession.services === next.services],
            generations: [former.generation, next.generation],
            locks: [lock?.isReleased, other === undefined, still === undefined],
          });
        });
      },
      { services },
    );
    const { services: seen, generations, locks } = await json(`${url}/a/refresh`);
    const [former, next] = generations as [number, number];
    expect([seen, locks]).toEqual([
      [{ of: former }, { of: next }, true],
      [false, true, true],
    ]);
    expect(services).toHaveBeenCalledTimes(2);
  });

  test("creates nothing by itself, nor does a request that did not use its session (parity 182)", async () => {
    const { url, sessions } = await openApp((app) => {
      app.get("/a/refresh", async (request, response) => {
        const before = refreshSession(request);
        await request.activeSession.terminate();
        response.json({ before, after: refreshSession(request) });
      });
    });
    expect(await json(`${url}/a/refresh`)).toEqual({ before: false, after: true });
    expect(sessions.stats().sessions).toBe(0);
  });

  test("holds the groups in balance: the request holds both sessions' groups, and lets go of both (parity 124, 182)", async () => {
    const groups: SessionGroup<ActiveSession>[] = [];
    const gate = createDeferred();
    const { url, sessions } = await openApp((app) => {
      app.get("/a/refresh", async (request, response) => {
        groups.push(request.activeSession.group);
        await request.activeSession.terminate();
        refreshSession(request);
        groups.push(request.activeSession.group);
        await request.activeSession.terminate();
        groups.push(request.activeSession.group);
        gate.resolve();
        response.json({ isAvailable: groups.map((group) => group.isAvailable) });
      });
    });
    expect(await json(`${url}/a/refresh`)).toEqual({ isAvailable: [true, true, true] });
    await gate.promise;
    const [group] = groups as [SessionGroup<ActiveSession>];
    expect(groups.every((other) => other === group)).toBe(true);
    expect(await group.cleanup).toEqual({ timedOut: false, errors: [] });
    expect((await sessions.get("ann", "a")).group).not.toBe(group);
  });

  test("is for requests that have passed activeSession: NOT_INSTALLED (parity 168, 185)", async () => {
    const app = express();
    app.get("/", (request, response) => {
      try {
        refreshSession(request);
      } catch (error) {
        response.json(error);
      }
    });
    const { url } = await listen(app);
    expect(await json(url)).toMatchObject({ code: "NOT_INSTALLED" });
  });
});

describe("a request and the group", () => {
  async function openHolding(end: (request: Request, response: Response) => unknown) {
    const groups: SessionGroup<ActiveSession>[] = [];
    const gate = createDeferred();
    const arrived = createDeferred();
    const disposed = vi.fn();
    const app = await openApp(
      (express) => {
        express.get("/a/hold", async (request, response) => {
          const { group } = request.activeSession;
          expect(group.services).toBeDefined();
          groups.push(group);
          await request.activeSession.terminate();
          arrived.resolve();
          await gate.promise;
          await end(request, response);
        });
        express.get("/a/group", (request, response) => {
          groups.push(request.activeSession.group);
          response.json({});
        });
      },
      { groupServices: () => ({ [Symbol.dispose]: disposed }) },
    );
    return { ...app, groups, gate, arrived, disposed };
  }

  test("a terminated session's group lives until the request that holds it is over (parity 124, 177, 181)", async () => {
    const { url, sessions, groups, gate, arrived, disposed } = await openHolding((request, response) => {
      const { group } = request.activeSession;
      group.properties.set("still", "here");
      response.json({ isAvailable: group.isAvailable });
    });
    const answer = json(`${url}/a/hold`);
    await arrived.promise;
    expect(sessions.stats().sessions).toBe(0);
    const [group] = groups as [SessionGroup<ActiveSession>];
    await json(`${url}/a/group`); // the client's next session is in the same group
    expect(groups[1]).toBe(group);
    await (await sessions.find("ann", "a"))?.terminate();
    expect([group.isAvailable, disposed.mock.calls.length]).toEqual([true, 0]);
    gate.resolve();
    expect(await answer).toEqual({ isAvailable: true });
    await group.cleanup;
    expect([group.isAvailable, disposed.mock.calls.length]).toEqual([false, 1]);
    await json(`${url}/a/group`);
    expect(groups[2]).not.toBe(group);
  });

  test("also when the request fails (parity 177)", async () => {
    const { url, groups, gate, arrived } = await openHolding(() => {
      throw Object.assign(new Error("broken"), { code: "BROKEN" });
    });
    const answer = json(`${url}/a/hold`);
    await arrived.promise;
    expect(groups[0]?.isAvailable).toBe(true);
    gate.resolve();
    expect(await answer).toEqual({ code: "BROKEN" });
    expect(await groups[0]?.cleanup).toEqual({ timedOut: false, errors: [] });
  });

  test("also when its client has gone (parity 177)", async () => {
    const { server, groups, arrived, gate } = await openHolding(() => {});
    const { port } = server.address() as { port: number };
    const socket = createConnection(port, "127.0.0.1");
    atEnd(() => void socket.destroy());
    socket.write("GET /a/hold HTTP/1.1\r\nHost: x\r\n\r\n");
    await arrived.promise;
    expect(groups[0]?.isAvailable).toBe(true);
    socket.destroy();
    expect(await groups[0]?.cleanup).toEqual({ timedOut: false, errors: [] });
    gate.resolve();
  });

  test("the group's first use creates the session and is enough to come back to it (parity 167, 184)", async () => {
    const app = express();
    const sessions = openHost();
    app.use(activeSession(sessions));
    app.get("/", (request, response) => {
      const { properties } = request.activeSession.group;
      properties.set("visits", ((properties.get("visits") as number | undefined) ?? 0) + 1);
      response.json(properties.get("visits"));
    });
    const { url } = await listen(app);
    const first = await fetch(url);
    const cookie = first.headers.getSetCookie()[0]!.split(";")[0]!;
    expect([await first.json(), await (await fetch(url, { headers: { cookie } })).json()]).toEqual([1, 2]);
    expect(await (await fetch(url)).json()).toBe(1);
  });
});

describe("a lock with requestSignal", () => {
  /** Takes the lock, does what the test wants with it, and answers. */
  async function openLocking(use: (session: ActiveSession, release: AsyncDisposable, response: Response) => unknown) {
    const app = await openApp((express) => {
      express.get("/a/lock", async (request, response) => {
        const lock = await request.activeSession.lock("db", { signal: requestSignal(request) });
        await use(request.activeSession, lock!, response);
      });
    });
    const session = await app.sessions.get("ann", "a");
    return { ...app, session };
  }

  test("is released at the end of the request, though it was not disposed (parity 203)", async () => {
    const { url, session } = await openLocking((_session, _lock, response) => response.json({ isLocked: true }));
    expect(await json(`${url}/a/lock`)).toEqual({ isLocked: true });
    const next = await session.lock("db");
    expect(next?.isReleased).toBe(false);
    const waiting = json(`${url}/a/lock`);
    expect(await isPending(waiting)).toBe(true);
    next?.release();
    expect(await waiting).toEqual({ isLocked: true });
  });

  test("is not released before the answer is over (parity 203)", async () => {
    const { url, session } = await openLocking((_session, _lock, response) => {
      response.write("first ");
      atEnd(() => response.end());
    });
    const controller = new AbortController();
    const response = await fetch(`${url}/a/lock`, { signal: controller.signal });
    expect(response.status).toBe(200);
    const next = session.lock("db");
    expect(await isPending(next)).toBe(true);
    controller.abort();
    expect((await next)?.isReleased).toBe(false);
  });

  test("is released when the request fails (parity 202, 203)", async () => {
    const { url, session } = await openLocking(() => {
      throw Object.assign(new Error("broken"), { code: "BROKEN" });
    });
    expect(await json(`${url}/a/lock`)).toEqual({ code: "BROKEN" });
    expect((await session.lock("db"))?.isReleased).toBe(false);
  });

  test("outlasts the request when it is handed to a runner, and is released after that runner's clean-up (parity 159, 203)", async () => {
    const gate = createDeferred();
    const { url, session } = await openLocking(async (own, lock, response) => {
      const runner = await own.createProcessRunner(() => gate.promise, { holds: [lock] });
      response.json({ key: runner.key });
    });
    const { key } = await json(`${url}/a/lock`);
    await json(`${url}/runners/${key}/state`); // the first request is long over
    const next = session.lock("db");
    expect(await isPending(next)).toBe(true);
    gate.resolve();
    expect((await next)?.isReleased).toBe(false);
  });

  test("is given up by a request whose client goes while it waits (parity 195, 203)", async () => {
    const { server, session } = await openLocking((_session, _lock, response) => response.json({}));
    const held = await session.lock("db");
    const [waits, givesUp] = [createDeferred(), createDeferred<unknown>()];
    const lock = session.lock.bind(session);
    session.lock = (...args) => {
      const waiting = lock(...args);
      waiting.catch(givesUp.resolve);
      waits.resolve();
      return waiting;
    };
    const { port } = server.address() as { port: number };
    const socket = createConnection(port, "127.0.0.1");
    atEnd(() => void socket.destroy());
    socket.write("GET /a/lock HTTP/1.1\r\nHost: x\r\n\r\n");
    await waits.promise;
    socket.destroy();
    expect(await givesUp.promise).toMatchObject({ name: "AbortError" });
    held?.release();
    expect(await lock("db", { timeout: 0 })).toBeDefined();
  });

  test("has aborted already for a response that is over", async () => {
    const over = createDeferred<AbortSignal>();
    const { url } = await openApp((app) => {
      app.get("/a/over", (request, response) => {
        response.once("close", () => over.resolve(requestSignal(request)));
        response.json({});
      });
    });
    await json(`${url}/a/over`);
    expect((await over.promise).aborted).toBe(true);
  });
});

test("an input that a definition refuses is answered with 422 and its issues by Express' own means", async () => {
  const search = defineProcessRunner({
    name: "search",
    input: z.object({ word: z.string().min(2, "too short") }),
    run: async ({ word }) => word,
  });
  const app = express();
  const sessions = openHost();
  app.use(express.json(), activeSession(sessions));
  app.post("/", async (request, response) => {
    const runner = await request.activeSession.createRunner(search, request.body);
    response.status(201).json(await runner.getRequired());
  });
  const showError: ErrorRequestHandler = (error, _request, response, _next) =>
    void response.status(error.status).json(error);
  app.use(showError);
  const { url } = await listen(app);
  const post = async (body: object) => {
    const headers = { "content-type": "application/json" };
    const response = await fetch(url, { method: "POST", body: JSON.stringify(body), headers });
    return [response.status, await response.json()];
  };
  expect(await post({ word: "tea" })).toEqual([201, { result: "tea", status: "completed", position: 1 }]);
  expect(await post({ word: "x" })).toEqual([
    422,
    {
      code: "INVALID_INPUT",
      message: 'Cannot create "search": its input must be valid (word: too short)',
      issues: [{ message: "too short", path: ["word"] }],
    },
  ]);
});
