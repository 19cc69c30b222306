/** The adapter for Express: whose request it is, the session cookie, mounting, and errors. */
import express, { type ErrorRequestHandler, type Express, type Request } from "express";
import { describe, expect, test } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { activeSession, type RunnerRouterOptions, runnerRouter } from "../src/express.js";
import { createCookieValue } from "../src/http/cookie.js";
import { activeSession as nodeSession } from "../src/node.js";
import type { ActiveSession } from "../src/session/active-session.js";
import type { ActiveSessions } from "../src/session/active-sessions.js";
import { isPending, openHost, turns } from "./support/control.js";
import { inside } from "./support/inside.js";
import { listen, openApp, type TestApp, type TestAppOptions } from "./support/server.js";

/** Tells the client of every error what a test wants to see of it. */
const showError: ErrorRequestHandler = (error, _request, response, _next) => {
  response.status(error?.status ?? 500).json({ code: error?.code, message: error?.message ?? String(error) });
};

/** An application with some routes of its own; `session` says whose session a request has. */
function open(options: TestAppOptions = {}) {
  const { routes, ...rest } = options;
  return openApp({
    ...rest,
    routes: (app) => {
      app.get("/untouched", (_request, response) => void response.json({}));
      app.get("/session", (request, response) => {
        const { id, generation } = request.activeSession;
        response.json({ id, generation, again: request.activeSession.id });
      });
      app.post("/start", async (request, response) => {
        const runner = await request.activeSession.createSequenceRunner([1, 2, 3]);
        await runner.cleanup;
        response.status(201).json({ key: runner.key });
      });
      routes?.(app);
      app.use(showError);
    },
  });
}

/** A client that keeps no cookie by itself: the test says which one it sends. */
async function get(url: string, headers: Record<string, string> = {}, method = "GET") {
  const response = await fetch(url, { method, headers });
  const text = await response.text();
  const cookies = response.headers.getSetCookie();
  const pair = cookies[0]?.split(";")[0];
  return { status: response.status, cookies, cookie: pair ?? "", body: text.startsWith("{") ? JSON.parse(text) : text };
}

const value = "abcdefghijklmnopqrs-_0";
const byCookie = { middleware: {} };

test("a request's headers can be passed on to fetch", async () => {
  const { url } = await open({
    ...byCookie,
    routes: (app) => {
      app.get("/passed-on", (request, response) => {
        const { id } = request.activeSession;
        const names = [...new Headers(request.headers as Record<string, string>).keys()];
        response.json({ id, keys: Reflect.ownKeys(request.headers).length, names: names.length });
      });
    },
  });
  const { body } = await get(`${url}/passed-on`);
  expect(body).toEqual({ id: expect.any(String), keys: body.names, names: body.keys });
});

test("of two adapters that a request passes, the latest says whose it is", async () => {
  const sessions = openHost();
  const outer = nodeSession(sessions);
  const app = express();
  app.use(activeSession(sessions, { identify: ({ headers }) => headers["x-user"] }));
  app.get("/session", (request, response) => void response.end(request.activeSession.id));
  const { url } = await listen(async (request, response) => {
    await outer(request, response);
    app(request, response);
  });
  const { id } = await sessions.get("ann");
  expect((await get(`${url}/session`, { "x-user": "ann" })).body).toBe(id);
});

describe("the session cookie", () => {
  test("is set at the first use of the session, once, and not again when it comes back (P15)", async () => {
    const { url, sessions } = await open(byCookie);
    const first = await get(`${url}/session`);
    expect(first.cookies).toEqual([
      expect.stringMatching(/^active-session=[A-Za-z0-9_.-]{34}; Path=\/; HttpOnly; SameSite=Lax$/),
    ]);
    expect(first.body.again).toBe(first.body.id);
    const second = await get(`${url}/session`, { cookie: first.cookie });
    expect(second.cookies).toEqual([]);
    expect(second.body).toEqual(first.body);
    expect(sessions.stats().sessions).toBe(1);
  });

  test("is never set for a request that does not touch the session", async () => {
    const { url, sessions } = await open(byCookie);
    const key = `0-1-${"A".repeat(22)}`;
    const requests = [
      ["/untouched"],
      ["/nowhere"],
      [`/runners/${key}`],
      [`/runners/${key}/abort`, "POST"],
      ["/runners/x", "DELETE"],
    ];
    for (const [path, method] of requests as [string, string?][]) {
      expect((await get(url + path, {}, method)).cookies, path).toEqual([]);
      expect((await get(url + path, { cookie: "active-session=broken" }, method)).cookies, path).toEqual([]);
    }
    expect(sessions.stats().sessions).toBe(0);
  });

  test("makes each client another session", async () => {
    const { url, sessions } = await open(byCookie);
    const [one, two] = [await get(`${url}/session`), await get(`${url}/session`)];
    expect(one.cookie).not.toBe(two.cookie);
    expect(one.body.id).not.toBe(two.body.id);
    expect(sessions.stats().sessions).toBe(2);
  });

  test("opens the client's runners, and no other client's", async () => {
    const { url } = await open(byCookie);
    const { cookie, body } = await get(`${url}/start`, {}, "POST");
    const { cookie: other } = await get(`${url}/start`, {}, "POST");
    expect(await get(`${url}/runners/${body.key}`, { cookie })).toMatchObject({
      status: 200,
      body: "[1,2,3]",
      cookies: [],
    });
    expect(await get(`${url}/runners/${body.key}`, { cookie: other })).toMatchObject({ status: 404, cookies: [] });
    expect(await get(`${url}/runners/${body.key}`)).toMatchObject({ status: 404, cookies: [] });
  });

  test("on HTTPS is secure, and bound to the host by its name (P15)", async () => {
    const { url, app } = await open(byCookie);
    app.set("trust proxy", true);
    const https = { "x-forwarded-proto": "https" };
    const first = await get(`${url}/session`, https);
    expect(first.cookies).toEqual([
      expect.stringMatching(/^__Host-active-session=[A-Za-z0-9_.-]{34}; Path=\/; HttpOnly; SameSite=Lax; Secure$/),
    ]);
    const second = await get(`${url}/session`, { ...https, cookie: first.cookie });
    expect(second).toMatchObject({ cookies: [], body: first.body });
    const cookie = first.cookie.replace("__Host-", "");
    const planted = await get(`${url}/session`, { ...https, cookie });
    expect(planted.body.id).not.toBe(first.body.id);
    expect(planted.cookies).toHaveLength(1);
    expect((await get(`${url}/session`, { cookie })).body.id).toBe(first.body.id); // by HTTP, over the same connection
    expect((await get(`${url}/session`, { ...https, cookie })).body.id).not.toBe(first.body.id);
  });

  test("is not secure because of a header that the application does not trust", async () => {
    const { url } = await open(byCookie);
    const { cookies } = await get(`${url}/session`, { "x-forwarded-proto": "https" });
    expect(cookies).toEqual([expect.stringMatching(/^active-session=[^;]+; Path=\/; HttpOnly; SameSite=Lax$/)]);
  });

  test("is as the application wants it", async () => {
    const cookie = { name: "sid", sameSite: "strict", path: "/app", domain: "app.example", secure: true } as const;
    const { url } = await open({ middleware: { cookie } });
    const first = await get(`${url}/session`);
    expect(first.cookies).toEqual([
      expect.stringMatching(/^sid=[^;]{34}; Path=\/app; Domain=app\.example; HttpOnly; SameSite=Strict; Secure$/),
    ]);
    expect((await get(`${url}/session`, { cookie: first.cookie })).body).toEqual(first.body);
  });

  test.each([
    ...[
      "",
      value,
      `${value}.AAAAAAAAAAA`,
      "short",
      `${value}x`,
      value.slice(1),
      `${value.slice(1)}!`,
      `"${value}"`,
      `${value.slice(1)}%41`,
      "user:ann",
    ],
    ...["a".repeat(5000), `${value.slice(2)}==`],
  ])("that we cannot have made (%.30s) is ignored and replaced", async (broken) => {
    const { url, sessions } = await open(byCookie);
    const cookie = `active-session=${broken}`;
    const [one, two] = [await get(`${url}/session`, { cookie }), await get(`${url}/session`, { cookie })];
    expect(one.cookies).toEqual([expect.stringMatching(/^active-session=[A-Za-z0-9_.-]{34};/)]);
    expect(one.cookie).not.toBe(cookie);
    expect(one.body.id).not.toBe(two.body.id);
    expect(sessions.stats().sessions).toBe(2);
  });

  test("leaves the application's own cookies alone", async () => {
    const { url } = await open({
      middleware: {},
      routes: (app) => {
        app.get("/both", (request, response) => {
          response.cookie("before", "1");
          void request.activeSession;
          response.cookie("after", "2");
          response.json({});
        });
      },
    });
    const names = (await get(`${url}/both`)).cookies.map((cookie) => cookie.split("=")[0]);
    expect(names).toEqual(["before", "active-session", "after"]);
  });

  test("does not show in the key or in the session's id", async () => {
    const { url } = await open(byCookie);
    const { cookie, body } = await get(`${url}/start`, {}, "POST");
    expect(body.key).not.toContain(cookie.split("=")[1]);
  });

  test("that comes too late is an error, and creates nothing", async () => {
    const { url, sessions } = await open({
      middleware: {},
      routes: (app) => {
        app.get("/late", (request, response) => {
          response.write("{");
          const codes = [0, 1].map(() => {
            try {
              return request.activeSession.id;
            } catch (error) {
              return (error as { code: string }).code;
            }
          });
          response.end(`"codes":${JSON.stringify(codes)}}`);
        });
      },
    });
    const late = await get(`${url}/late`);
    expect(late).toMatchObject({ cookies: [], body: { codes: ["IDENTITY_TOO_LATE", "IDENTITY_TOO_LATE"] } });
    expect(sessions.stats().sessions).toBe(0);
    const { cookie, body } = await get(`${url}/session`);
    expect((await get(`${url}/late`, { cookie })).body.codes).toEqual([body.id, body.id]);
  });

  test("is refused at once if its options are wrong", () => {
    const sessions = openHost();
    for (const options of [
      { cookie: { name: "a b" } },
      { cookie: null },
      { cookies: {} },
      { identify: "x-user" },
      null,
    ]) {
      expect(() => activeSession(sessions, options as never)).toThrow(
        expect.objectContaining({ code: "INVALID_OPTION" }),
      );
    }
    expect(() => activeSession({} as ActiveSessions)).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
    expect(() => runnerRouter({} as ActiveSessions)).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
    expect(() => runnerRouter(sessions, { rotate: 5 } as RunnerRouterOptions)).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION" }),
    );
  });
});

describe("identify", () => {
  const header = (request: Request) => request.get("x-user");

  test("gives a user the same session everywhere, without a cookie (P15)", async () => {
    const { url, sessions } = await open({ middleware: { identify: header } });
    const [one, two] = [
      await get(`${url}/session`, { "x-user": "ann" }),
      await get(`${url}/session`, { "x-user": "ann" }),
    ];
    expect(one).toMatchObject({ status: 200, cookies: [] });
    expect(two.body).toEqual(one.body);
    expect((await sessions.find("ann"))?.id).toBe(one.body.id);
  });

  test("may take its time; the request waits for it", async () => {
    const user = createDeferred<string>();
    const { url, server } = await open({ middleware: { identify: () => user.promise } });
    const arrived = new Promise((resolve) => server.once("request", (_request, response) => resolve(response)));
    const answer = get(`${url}/session`);
    const response = (await arrived) as { headersSent: boolean };
    await turns(10);
    expect(response.headersSent).toBe(false);
    user.resolve("ann");
    expect(await answer).toMatchObject({ status: 200, cookies: [] });
  });

  test.each([undefined, null])("that gives %s leaves the request to its cookie", async (none) => {
    const asked: string[] = [];
    const identify = (request: Request) => {
      asked.push(request.path);
      return none;
    };
    const { url } = await open({ middleware: { identify } });
    const first = await get(`${url}/session`);
    expect(first).toMatchObject({ status: 200, cookies: [expect.stringContaining("active-session=")] });
    expect((await get(`${url}/session`, { cookie: first.cookie })).body).toEqual(first.body);
    expect(asked).toHaveLength(4); // on arrival, and once more at the first use: a guard may have run since
  });

  test("that is asynchronous and gives none is not asked from within the getter: the error says what to call", async () => {
    const { url } = await open({ middleware: { identify: async () => undefined } });
    expect(await get(`${url}/session`)).toMatchObject({ status: 500, cookies: [] });
  });

  test.each<[string, unknown]>([
    ["an empty text", ""],
    ["0", 0],
    ["a number", 17],
    ["NaN", Number.NaN],
    ["false", false],
    ["true", true],
    ["an object", { id: "ann" }],
    ["a list", ["ann"]],
    ["a symbol", Symbol("ann")],
    ["a BigInt", 17n],
    ["a function", () => "ann"],
    ["a String object", new String("ann")],
  ])("that gives %s is an error for every request, and never a shared session", async (_, wrong) => {
    for (const identify of [() => wrong, async () => wrong]) {
      const { url, sessions } = await open({ middleware: { identify } });
      for (const path of ["/session", "/untouched", "/runners/0-1-x"]) {
        expect(await get(url + path)).toMatchObject({ status: 500, cookies: [], body: { code: "INVALID_IDENTITY" } });
      }
      expect(sessions.stats().sessions).toBe(0);
    }
  });

  test("that throws hands its own error to Express", async () => {
    const failure = Object.assign(new Error("the user database is away"), { status: 503, code: "AWAY" });
    const ways = [
      () => {
        throw failure;
      },
      () => Promise.reject(failure),
    ];
    for (const identify of ways) {
      const { url, sessions } = await open({ middleware: { identify } });
      for (const path of ["/session", "/runners/0-1-x"]) {
        expect(await get(url + path)).toMatchObject({ status: 503, body: { code: "AWAY", message: failure.message } });
      }
      expect(sessions.stats().sessions).toBe(0);
    }
  });

  test.each([undefined, "route"])("that throws %j is a failed request all the same", async (thrown) => {
    const { url } = await open({ middleware: { identify: () => Promise.reject(thrown) } });
    expect((await get(`${url}/untouched`)).status).toBe(500);
  });

  test("a cookie named like a user cannot pose as that user, nor a user as a cookie", async () => {
    const { url, sessions } = await open({ middleware: { identify: header } });
    const value = createCookieValue(inside(sessions).secret);
    const user = await get(`${url}/start`, { "x-user": value }, "POST");
    const cookie = `active-session=${value}`;
    expect(await get(`${url}/runners/${user.body.key}`, { "x-user": value })).toMatchObject({ status: 200 });
    expect(await get(`${url}/runners/${user.body.key}`, { cookie })).toMatchObject({ status: 404 });
    const guest = await get(`${url}/start`, { cookie }, "POST");
    expect(await get(`${url}/runners/${guest.body.key}`, { cookie })).toMatchObject({ status: 200 });
    expect(await get(`${url}/runners/${guest.body.key}`, { "x-user": value })).toMatchObject({ status: 404 });
    expect(sessions.stats().sessions).toBe(2);
  });

  test.each(["cookie:x", "user:x", "session:x", `cookie:${value}`])("a user may be called %s", async (name) => {
    const { url, sessions } = await open({ middleware: { identify: header } });
    const named = await get(`${url}/session`, { "x-user": name });
    expect((await sessions.find(name))?.id).toBe(named.body.id);
    const plain = await get(`${url}/session`, { "x-user": name.split(":")[1]! });
    const guest = await get(`${url}/session`, { cookie: `active-session=${value}` });
    expect(new Set([named.body.id, plain.body.id, guest.body.id]).size).toBe(3);
  });

  test("is asked once for each request, also where the session is not used", async () => {
    let asked = 0;
    const identify = () => {
      asked++;
      return "ann";
    };
    const { url } = await open({ middleware: { identify } });
    await get(`${url}/session`);
    await get(`${url}/untouched`);
    expect(asked).toBe(2);
  });
});

describe("a session that ends under a request", () => {
  /** A route that runs `step` between two looks at its session. */
  async function lookTwice(step: (session: ActiveSession, url: string) => unknown) {
    const sessions = openHost();
    const seen: ActiveSession[] = [];
    const opened: TestApp = await open({
      sessions,
      routes: (app) => {
        app.post("/logout", async (request, response) => {
          await request.activeSession.terminate();
          response.json({});
        });
        app.get("/twice", async (request, response) => {
          seen.push(request.activeSession);
          await step(request.activeSession, opened.url);
          seen.push(request.activeSession);
          const created = await request.activeSession.createSequenceRunner([1]).then(
            () => "created",
            (error: { code: string }) => error.code,
          );
          response.json({ created });
        });
      },
    });
    const answer = await get(`${opened.url}/twice`, { "x-user": "ann" });
    return { ...opened, sessions, seen, answer };
  }

  test("by its own terminate stays ended for it: nothing is started behind a logout", async () => {
    const { url, seen, answer, sessions } = await lookTwice((session) => session.terminate());
    expect(seen[1]).toBe(seen[0]);
    expect(answer).toMatchObject({ status: 200, body: { created: "SESSION_ENDED" } });
    expect(sessions.stats().sessions).toBe(0);
    const next = await get(`${url}/session`, { "x-user": "ann" });
    expect(next.body.generation).toBeGreaterThan(seen[0]!.generation);
    expect(next.body.id).toBe(seen[0]!.id);
  });

  test("by its lifetime is replaced at the next look", async () => {
    const { seen, answer } = await lookTwice((session) => inside(session).end("lifetime"));
    expect(seen[1]!.generation).toBeGreaterThan(seen[0]!.generation);
    expect(answer.body).toEqual({ created: "created" });
  });

  test("by another request's terminate, a logout, stays ended for it too", async () => {
    const { seen, answer, sessions } = await lookTwice((_, url) => get(`${url}/logout`, { "x-user": "ann" }, "POST"));
    expect(seen[1]).toBe(seen[0]);
    expect(answer.body).toEqual({ created: "SESSION_ENDED" });
    expect(sessions.stats().sessions).toBe(0);
  });
});

describe("a host that drains", () => {
  test("refuses new sessions with 503 and answers for the old ones' runners with 410", async () => {
    const { url, sessions } = await open();
    const { body } = await get(`${url}/start`, { "x-user": "ann" }, "POST");
    await sessions.close();
    expect(await get(`${url}/session`, { "x-user": "ann" })).toMatchObject({
      status: 503,
      body: { code: "HOST_CLOSED" },
    });
    expect(await get(`${url}/runners/${body.key}`, { "x-user": "ann" })).toMatchObject({ status: 410 });
    expect(await get(`${url}/untouched`, { "x-user": "ann" })).toMatchObject({ status: 200 });
  });
});

describe("mounting", () => {
  /** Ann's runner, read under a path where the test has put the router. */
  async function mounted(mount: (app: Express, sessions: ActiveSessions) => unknown, path: string) {
    const sessions = openHost();
    const app = express();
    mount(app, sessions);
    app.use(showError);
    const { url } = await listen(app);
    const runner = await (await sessions.get("ann")).createSequenceRunner([1, 2, 3], { retain: "all" });
    await runner.cleanup;
    return { runner, at: (rest: string, method?: string) => get(`${url}${path}${runner.key}${rest}`, {}, method) };
  }
  const identify = () => "ann";

  test.each<[string, string, (app: Express, sessions: ActiveSessions) => unknown]>([
    ["a path", "/runners/", (app, s) => app.use(activeSession(s, { identify })).use("/runners", runnerRouter(s))],
    [
      "a deep path",
      "/api/v1/r/",
      (app, s) => app.use(activeSession(s, { identify })).use("/api/v1/r", runnerRouter(s)),
    ],
    ["the root", "/", (app, s) => app.use(activeSession(s, { identify })).use(runnerRouter(s))],
    [
      "a path with a parameter",
      "/t/5/r/",
      (app, s) => app.use("/t/:id/r", activeSession(s, { identify }), runnerRouter(s)),
    ],
    [
      "a router of its own",
      "/outer/inner/",
      (app, s) =>
        app.use("/outer", express.Router().use(activeSession(s, { identify })).use("/inner", runnerRouter(s))),
    ],
    [
      "two of them",
      "/b/",
      (app, s) => app.use(activeSession(s, { identify })).use("/a", runnerRouter(s)).use("/b", runnerRouter(s)),
    ],
  ])("works at %s", async (_, path, mount) => {
    const { at } = await mounted(mount, path);
    expect(await at("?offset=1")).toMatchObject({ status: 200, body: "[2,3]" });
    expect(await at("/state")).toMatchObject({ status: 200, body: { kind: "sequence" } });
    expect(await at("?offset=0&live=long-poll")).toMatchObject({ status: 200, body: "[1,2,3]" });
    expect((await at("?offset=0&live=sse")).body).toContain("data:[1,2,3]");
    expect(await at("/abort", "POST")).toMatchObject({ status: 200 });
    expect(await at("", "DELETE")).toMatchObject({ status: 204 });
    expect(await at("")).toMatchObject({ status: 410 });
  });

  test("leaves what is not a runner's address to the routes behind it", async () => {
    const { at } = await mounted((app, s) => {
      app.use(activeSession(s, { identify })).use("/r", runnerRouter(s));
      app.use("/r", (request, response) => void response.json({ behind: request.path }));
    }, "/r/");
    expect((await at("/state/deeper")).body).toEqual({ behind: expect.stringMatching(/\/state\/deeper$/) });
    expect((await at("/")).body).toEqual({ behind: expect.stringMatching(/\/$/) });
  });

  test("without the middleware is an error that says so", async () => {
    const { at } = await mounted((app, s) => app.use("/r", runnerRouter(s)), "/r/");
    const answer = await at("");
    expect(answer).toMatchObject({ status: 500, body: { code: "NOT_INSTALLED" } });
    expect(answer.body.message).toContain("activeSession");
  });

  test("with another host than the middleware's is an error", async () => {
    const other = openHost();
    const { at } = await mounted(
      (app, s) => app.use(activeSession(other, { identify })).use("/r", runnerRouter(s)),
      "/r/",
    );
    expect(await at("")).toMatchObject({ status: 500, body: { code: "NOT_INSTALLED" } });
  });

  test("without the middleware, or before it, there is no session", async () => {
    const app = express();
    app.get("/", (request, response) => void response.json({ has: "activeSession" in request }));
    app.use(activeSession(openHost()));
    const { url } = await listen(app);
    expect((await get(url)).body).toEqual({ has: false });
  });
});

test("an application's own route may read while a live response is open", async () => {
  const release = createDeferred();
  const { url, user } = await open({
    routes: (app) => {
      app.get("/mine", async (request, response) => {
        const runner = await request.activeSession.findSequenceRunner<number>(String(request.query.key));
        response.json({ page: await runner?.getRequired({ start: 0, advance: 2 }) });
      });
    },
  });
  const ann = await user("ann");
  const runner = await ann.session.createSequenceRunner(async function* () {
    yield* [1, 2];
    await release.promise;
  });
  const live = await ann.fetch(`/runners/${runner.key}?offset=0&live=sse`);
  expect((await get(`${url}/mine?key=${runner.key}`, { "x-user": "ann" })).body.page).toMatchObject({ result: [1, 2] });
  const text = live.text();
  expect(await isPending(text)).toBe(true);
  release.resolve();
  expect(await text).toContain('"streamClosed":true');
});
