/** What has broken for users of libraries like this one: browsers, proxies, frameworks and test environments as they are. */
import fastifyCookie from "@fastify/cookie";
import fastifySession from "@fastify/session";
import express from "express";
import expressSession, { MemoryStore } from "express-session";
import fastify, { type FastifyPluginAsync } from "fastify";
import { Hono } from "hono";
import { cors } from "hono/cors";
import Koa from "koa";
import koaSession from "koa-session";
import { describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { createClient } from "../src/client.js";
import * as forExpress from "../src/express.js";
import * as forFastify from "../src/fastify.js";
import * as forFetch from "../src/fetch.js";
import * as forHono from "../src/hono.js";
import { defineSequenceRunner } from "../src/index.js";
import * as forKoa from "../src/koa.js";
import * as forNode from "../src/node.js";
import type { ActiveSession } from "../src/session/active-session.js";
import type { ActiveSessions } from "../src/session/active-sessions.js";
import { atEnd } from "./support/cleanup.js";
import { openHost, PushSource, turns } from "./support/control.js";
import { listen, openApp } from "./support/server.js";

describe("what proxies do", () => {
  test("an ETag that mod_deflate has made its own still gets a 304", async () => {
    const { user } = await openApp();
    const ann = await user("ann");
    const { key } = await ann.session.createSequenceRunner([1, 2], { retain: "all" });
    const page = await ann.fetch(`/runners/${key}?offset=0`);
    const etag = page.headers.get("etag")!;
    await page.text();
    for (const changed of [etag.replace(/"$/, '-gzip"'), `W/${etag.replace(/"$/, '-br"')}`]) {
      const again = await ann.fetch(`/runners/${key}?offset=0`, { headers: { "if-none-match": changed } });
      expect([changed, again.status]).toEqual([changed, 304]);
    }
    const other = await ann.fetch(`/runners/${key}?offset=0`, { headers: { "if-none-match": '"other-gzip"' } });
    expect(other.status).toBe(200);
    await other.text();
  });

  test.each(["本".repeat(1000), "é".repeat(5000), "x".repeat(100_000), `${"a".repeat(998)}😀😀`, "half \ud83d"])(
    "the message of a failure fits into a header, and the state has the whole of it: %.3s",
    async (message) => {
      const { user } = await openApp();
      const ann = await user("ann");
      const runner = await ann.session.createProcessRunner(() => {
        throw Object.assign(new Error(message), { expose: true });
      });
      await runner.cleanup;
      const page = await ann.fetch(`/runners/${runner.key}?offset=0`);
      await page.text();
      const inHeader = page.headers.get("runner-error-message")!;
      expect(inHeader.length).toBeLessThanOrEqual(1000);
      const decoded = decodeURIComponent(inHeader);
      expect(Buffer.from(message).toString().startsWith(decoded)).toBe(true);
      const size = [...page.headers].reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0);
      expect(size).toBeLessThan(3000);
      const state = (await (await ann.fetch(`/runners/${runner.key}/state`)).json()) as { error: { message: string } };
      expect(state.error.message).toBe(message);
    },
  );
});

describe("a proxy that passes another host on, and the page's in X-Forwarded-Host", () => {
  const page = "http://shop.example:8080";
  type Answer = (path: string, headers: Record<string, string>) => Promise<number>;

  async function stopping(url: string, sessions: ActiveSessions): Promise<Answer> {
    const { key } = await (await sessions.get("ann")).createSequenceRunner(new PushSource<number>());
    return async (path, headers) => {
      const response = await fetch(`${url}/runners/${key}${path}`, { method: "POST", headers });
      await response.text();
      return response.status;
    };
  }

  const identify = () => "ann";
  const applications: Record<string, (sessions: ActiveSessions, trusts: boolean) => Promise<string>> = {
    Express: async (sessions, trusts) => {
      const { app, url } = await openApp({ sessions, middleware: { identify } });
      if (trusts) app.set("trust proxy", "loopback");
      return url;
    },
    Koa: async (sessions, trusts) => {
      const app = new Koa({ proxy: trusts });
      app.use(forKoa.activeSession(sessions, { identify }));
      app.use(forKoa.runnerRouter(sessions));
      return (await listen(app.callback())).url;
    },
    Fastify: async (sessions, trusts) => {
      const app = fastify({ forceCloseConnections: true, trustProxy: trusts });
      await app.register(forFastify.activeSession, { sessions, identify, closeWithServer: false });
      await app.register(forFastify.runnerRouter, { prefix: "/runners", sessions });
      atEnd(() => app.close());
      return app.listen({ port: 0, host: "127.0.0.1" });
    },
  };

  test.each(Object.entries(applications))("is believed where the framework trusts it: %s", async (_, open) => {
    const headers = { origin: page, "x-forwarded-host": "shop.example:8080" };
    for (const [trusts, status] of [
      [true, 200],
      [false, 403],
    ] as const) {
      const sessions = openHost();
      const ask = await stopping(await open(sessions, trusts), sessions);
      expect(await ask("/abort", { ...headers, origin: "http://evil.example" })).toBe(403);
      expect([trusts, await ask("/abort", headers)]).toEqual([trusts, status]);
    }
  });
});

describe("warnings of Node", () => {
  test("there are none of a leak, however many follow a runner, and however many runners follow one signal", async () => {
    const warnings: string[] = [];
    const onWarning = ({ name }: Error) => void warnings.push(name);
    process.on("warning", onWarning);
    atEnd(() => process.off("warning", onWarning));
    const session = await openHost().get("ann");
    const stop = new AbortController();
    const source = () => new PushSource<number>();
    const runners = await Promise.all(
      Array.from({ length: 15 }, () => session.createSequenceRunner(source(), { signal: stop.signal })),
    );
    for (let i = 0; i < 15; i++) runners[0]!.signal.addEventListener("abort", () => {});
    await turns(3);
    stop.abort();
    for (const { status, abortReason } of runners) expect([status, abortReason]).toEqual(["aborted", "signal"]);
    expect(warnings).toEqual([]);
  });

  test("a runner that has ended is not held by the application's signal, and the others are still stopped by it", async () => {
    const session = await openHost().get("ann");
    const stop = new AbortController();
    const [first, second] = await Promise.all(
      [1, 2].map(() => session.createSequenceRunner(new PushSource<number>(), { signal: stop.signal })),
    );
    await first!.abort();
    stop.abort();
    expect([first!.abortReason, second!.abortReason]).toEqual(["stopped", "signal"]);
  });
});

test("on a web server the part that uses up the allowance is sent before the response ends", async () => {
  vi.useFakeTimers();
  const sessions = openHost();
  const withSession = forFetch.activeSession(sessions, { identify: () => "ann" });
  const serve = forFetch.runnerRouter(sessions);
  const handle = withSession(async (request) => (await serve(request)) ?? new Response(null, { status: 404 }));
  const session = await sessions.get("ann");
  const source = new PushSource<string>();
  const { key } = await session.createSequenceRunner(source, { aheadLimit: 2 });
  const response = await handle(new Request(`http://server.test/runners/${key}?offset=0&live=sse`));
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value ?? "";
  vi.advanceTimersByTime(5000); // long enough for it to end at once
  source.push("a", "b", "c");
  for (let step = await reader.read(); !step.done; step = await reader.read()) text += step.value;
  expect(text).toContain('data:["a"');
  expect(text).toContain('"b"]');
});

describe("a user that hooks and guards find out after the middleware has run", () => {
  type Later = { user?: string };
  const work = [1, 2, 3];

  /** Fastify, whose route hooks run after the plugin's own; the user is named by a header. */
  async function openFastify(options: Partial<forFastify.ActiveSessionOptions>) {
    const sessions = openHost();
    const app = fastify({ forceCloseConnections: true });
    await app.register(forFastify.activeSession, { sessions, closeWithServer: false, ...options });
    const authenticate = async (request: Later & { headers: Record<string, unknown> }) => {
      if (request.headers["x-user"]) request.user = String(request.headers["x-user"]);
    };
    const guarded: FastifyPluginAsync = async (own) => {
      own.addHook("preHandler", authenticate as never);
      await own.register(forFastify.runnerRouter, { prefix: "/runners", sessions });
    };
    await app.register(guarded);
    const start = async (request: Later & { activeSession: ActiveSession }) => {
      if (options.identify === byLaterUserAsync) await forFastify.resolveIdentity(request);
      return { key: (await request.activeSession.createSequenceRunner(work, { retain: "all" })).key };
    };
    app.post("/start", { preHandler: authenticate as never }, start as never);
    app.post("/careless", { preHandler: authenticate as never }, (async (request: { activeSession: ActiveSession }) => {
      return { id: request.activeSession.id };
    }) as never);
    atEnd(() => app.close());
    const url = await app.listen({ port: 0, host: "127.0.0.1" });
    const post = (path: string, headers: Record<string, string> = {}) => fetch(url + path, { method: "POST", headers });
    const read = async (key: string, headers: Record<string, string>) => {
      const response = await fetch(`${url}/runners/${key}?offset=0`, { headers });
      await response.text();
      return response.status;
    };
    return { sessions, post, read };
  }

  const byLaterUser = (request: Later) => request.user;
  const byLaterUserAsync = async (request: Later) => request.user;

  test.each([
    ["synchronous", byLaterUser],
    ["asynchronous, which is waited for", byLaterUserAsync],
  ])("has work of its own, on every device, whatever cookie there is: identify is %s", async (_, identify) => {
    const { sessions, post, read } = await openFastify({ identify: identify as never });
    const started = await post("/start", { "x-user": "ann" });
    expect([started.status, started.headers.getSetCookie()]).toEqual([200, []]);
    const { key } = (await started.json()) as { key: string };
    expect(await sessions.find("ann")).toBeDefined();
    expect(await read(key, { "x-user": "ann" })).toBe(200);
    const { key: other } = (await (await post("/start", { "x-user": "bob" })).json()) as { key: string };
    expect([await read(key, { "x-user": "bob" }), await read(other, { "x-user": "ann" })]).toEqual([404, 404]);
    expect(await read(key, {})).toBe(404);
  });

  test("is named in the error where identify is asynchronous and is not waited for", async () => {
    const { post, sessions } = await openFastify({ identify: byLaterUserAsync as never });
    const response = await post("/careless", { "x-user": "ann" });
    expect(response.status).toBe(500);
    expect(await response.json()).toMatchObject({
      code: "IDENTITY_PENDING",
      message: expect.stringContaining("resolveIdentity"),
    });
    expect(sessions.stats().sessions).toBe(0);
  });

  test('a request without a user has no session with anonymous: "none", and no cookie', async () => {
    const { post, read, sessions } = await openFastify({ identify: byLaterUser as never, anonymous: "none" });
    const refused = await post("/careless");
    expect([refused.status, refused.headers.getSetCookie()]).toEqual([401, []]);
    expect(await refused.json()).toMatchObject({ code: "NO_IDENTITY" });
    expect(sessions.stats().sessions).toBe(0);
    const { key } = (await (await post("/start", { "x-user": "ann" })).json()) as { key: string };
    expect([await read(key, {}), await read(key, { "x-user": "ann" })]).toEqual([404, 200]);
  });

  test("anonymous is one of two words", () => {
    const make = () => forFetch.activeSession(openHost(), { anonymous: "guest" as never });
    expect(make).toThrow(expect.objectContaining({ code: "INVALID_OPTION" }));
  });
});

describe("sources and items as people write them", () => {
  async function read(source: () => unknown) {
    const session = await openHost().get("ann");
    const runner = await session.createSequenceRunner(source as () => Iterable<unknown>);
    return runner.getRequired({ advance: 10 });
  }

  test("promises in a synchronous iterable are awaited, in order", async () => {
    const gate = createDeferred<string>();
    const reading = read(() => [Promise.resolve(1), gate.promise, 3]);
    await turns();
    gate.resolve("two");
    expect(await reading).toMatchObject({ result: [1, "two", 3], status: "completed" });
  });

  test("one that rejects is the failure of the runner, behind what came before it", async () => {
    const problem = new Error("no such row");
    const { result, status, error } = await read(function* () {
      yield 1;
      yield Promise.reject(problem);
      yield 3;
    });
    expect([result, status, error?.cause]).toEqual([[1], "failed", problem]);
  });

  test("one that never settles does not hold up a stop", async () => {
    const session = await openHost().get("ann");
    const never = createDeferred();
    const runner = await session.createSequenceRunner(() => [1, never.promise] as Iterable<unknown>);
    await turns();
    await runner.abort();
    expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
    never.reject(new Error("too late"));
    await turns();
  });

  test.each([
    ["a text", "a\nb", "lines"],
    ["bytes", new Uint8Array(3), "Decode"],
    ["an ArrayBuffer", new ArrayBuffer(3), "Decode"],
  ])("%s is refused as a source, with a hint", async (_, source, hint) => {
    const session = await openHost().get("ann");
    const created = session.createSequenceRunner(source as never);
    await expect(created).rejects.toMatchObject({ code: "INVALID_SOURCE", message: expect.stringContaining(hint) });
  });

  test("a Map gives its entries", async () => {
    expect((await read(() => new Map([["a", 1]]))).result).toEqual([["a", 1]]);
  });

  test.each([new Uint8Array(2), new ArrayBuffer(2), new Map([["a", 1]]), new Set([1])])(
    "an item that JSON would make something else of ends the answer before it, with a hint: %o",
    async (item) => {
      const { user } = await openApp();
      const ann = await user("ann");
      const { key } = await ann.session.createSequenceRunner([1, item, 3]);
      const first = await ann.fetch(`/runners/${key}?offset=0`);
      expect(await first.json()).toEqual([1]);
      const next = await ann.fetch(`/runners/${key}?offset=1`);
      expect(next.status).toBe(500);
      expect(await next.json()).toMatchObject({ code: "RESULT_NOT_SERIALIZABLE" });
    },
  );

  test("a Buffer has a JSON form of its own", async () => {
    const { user } = await openApp();
    const ann = await user("ann");
    const { key } = await ann.session.createSequenceRunner([Buffer.from("a")]);
    const page = await ann.fetch(`/runners/${key}?offset=0`);
    expect(await page.json()).toEqual([{ type: "Buffer", data: [97] }]);
  });
});

test("a body that a middleware of Hono has read is read again", async () => {
  const work = defineSequenceRunner({ name: "work", run: ({ n }: { n: number }) => [n] });
  const sessions = openHost();
  const app = new Hono();
  app.use(async (context, next) => {
    await context.req.json();
    await next();
  });
  app.use(forHono.activeSession(sessions, { identify: () => "ann" }));
  app.use("/runners/*", forHono.runnerRouter(sessions, { expose: [work], bodyLimit: 20 }));
  const post = (input: object) =>
    app.request("/runners/work", {
      ...{ method: "POST", body: JSON.stringify(input) },
      headers: { "content-type": "application/json" },
    });
  expect(await (await post({ n: 7 })).json()).toMatchObject({ items: [7] });
  expect((await post({ n: 7, more: "x".repeat(100) })).status).toBe(413);
});

describe("an application that exposes headers of its own", () => {
  type Open = (sessions: ActiveSessions) => Promise<string>;
  const own = "X-Request-Id";
  const identify = () => "ann";

  const applications: Record<string, Open> = {
    Express: async (sessions) =>
      (
        await openApp({
          sessions,
          middleware: {
            identify: (request) => {
              request.res!.setHeader("Access-Control-Expose-Headers", own);
              return "ann";
            },
          },
        })
      ).url,
    "node:http": async (sessions) => {
      const withSession = forNode.activeSession(sessions, { identify });
      const serve = forNode.runnerRouter(sessions);
      const answer = async (...[req, res]: Parameters<Parameters<typeof listen>[0]>) => {
        res.setHeader("Access-Control-Expose-Headers", own);
        await serve(await withSession(req, res), res);
      };
      return (await listen((req, res) => void answer(req, res))).url;
    },
    Koa: async (sessions) => {
      const app = new Koa();
      app.use((context, next) => {
        context.set("Access-Control-Expose-Headers", own);
        return next();
      });
      app.use(forKoa.activeSession(sessions, { identify }));
      app.use(forKoa.runnerRouter(sessions));
      return (await listen(app.callback())).url;
    },
    Fastify: async (sessions) => {
      const app = fastify({ forceCloseConnections: true });
      app.addHook("onRequest", async (_request, reply) => void reply.header("Access-Control-Expose-Headers", own));
      await app.register(forFastify.activeSession, { sessions, identify, closeWithServer: false });
      await app.register(forFastify.runnerRouter, { prefix: "/runners", sessions });
      atEnd(() => app.close());
      return app.listen({ port: 0, host: "127.0.0.1" });
    },
  };

  const exposedIn = (headers: Headers) => headers.get("access-control-expose-headers")!.split(", ");

  test.each(Object.entries(applications))("keeps them beside ours, in pages and event streams: %s", async (_, open) => {
    const sessions = openHost();
    const url = await open(sessions);
    const { key } = await (await sessions.get("ann")).createSequenceRunner([1]);
    for (const query of ["offset=0", "offset=0&live=sse"]) {
      const response = await fetch(`${url}/runners/${key}?${query}`);
      await response.text();
      expect(exposedIn(response.headers)).toEqual(expect.arrayContaining([own, "Stream-Next-Offset"]));
    }
  });

  test("keeps them beside ours: Hono, with its own cors", async () => {
    const sessions = openHost();
    const app = new Hono();
    app.use(cors({ origin: "http://page.test", exposeHeaders: [own] }));
    app.use(forHono.activeSession(sessions, { identify }));
    app.use("/runners/*", forHono.runnerRouter(sessions));
    const { key } = await (await sessions.get("ann")).createSequenceRunner([1]);
    const response = await app.request(`/runners/${key}?offset=0`, { headers: { origin: "http://page.test" } });
    expect(exposedIn(response.headers)).toEqual(expect.arrayContaining([own, "Stream-Next-Offset"]));
    await response.text();
  });
});

describe("the client", () => {
  type Answer = () => Response;

  /** Answers one request after the other; the last answer is given again and again. */
  function answering(...answers: Answer[]) {
    const asked: { readonly method: string; readonly headers: Headers }[] = [];
    const given: typeof fetch = async (_url, init) => {
      asked.push({ method: init?.method ?? "GET", headers: new Headers(init?.headers) });
      return (answers.length > 1 ? answers.shift()! : answers[0]!)();
    };
    return { asked, fetch: given };
  }

  const states = () => Response.json([]);
  const failed = (status: number) => () => new Response(null, { status });

  test("takes headers from an async function, and asks it once more after a 401", async () => {
    const tokens = ["old", "new", "never"];
    const { asked, fetch } = answering(failed(401), states);
    const headers = async () => ({ authorization: tokens.shift()! });
    expect(await createClient("http://app.test/runners", { fetch, headers }).list()).toEqual([]);
    expect(asked.map((request) => request.headers.get("authorization"))).toEqual(["old", "new"]);
    const refused = answering(failed(401));
    const client = createClient("http://app.test/runners", { fetch: refused.fetch, headers: async () => ({}) });
    await expect(client.list()).rejects.toMatchObject({ code: "UNAUTHORIZED" });
    expect(refused.asked).toHaveLength(2);
  });

  test("does not ask twice where its headers are fixed", async () => {
    const { asked, fetch } = answering(failed(401));
    await expect(createClient("http://app.test/runners", { fetch, headers: {} }).list()).rejects.toThrow();
    expect(asked).toHaveLength(1);
  });

  test.each([502, 503])("repeats a stop and a removal that a proxy has answered with %i", async (status) => {
    vi.useFakeTimers();
    const state = () => Response.json({ status: "aborted" });
    const stop = answering(failed(status), failed(status), state);
    const stopped = createClient("http://app.test/runners", { fetch: stop.fetch }).abort("1");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await stopped).toMatchObject({ status: "aborted" });
    expect(stop.asked.map(({ method }) => method)).toEqual(["POST", "POST", "POST"]);

    // The first one may have got through: then there is nothing left to remove.
    const gone = () => new Response(null, { status: 410, headers: { "Runner-Error-Code": "RUNNER_GONE" } });
    const removal = answering(failed(status), gone);
    const removed = createClient("http://app.test/runners", { fetch: removal.fetch }).remove("1");
    await vi.advanceTimersByTimeAsync(60_000);
    await removed;
    expect(removal.asked.map(({ method }) => method)).toEqual(["DELETE", "DELETE"]);
  });

  test("a runner that is gone before the first removal is told of", async () => {
    const gone = () => new Response(null, { status: 410, headers: { "Runner-Error-Code": "RUNNER_GONE" } });
    const { fetch } = answering(gone);
    const removed = createClient("http://app.test/runners", { fetch }).remove("1");
    await expect(removed).rejects.toMatchObject({ code: "RUNNER_GONE" });
  });

  test("follows where the document has no performance entries, as in Jest with jsdom", async () => {
    vi.stubGlobal("document", {
      visibilityState: "visible",
      hidden: false,
      addEventListener() {},
      removeEventListener() {},
    });
    vi.stubGlobal("performance", { now: () => 0 });
    atEnd(() => vi.unstubAllGlobals());
    const { fetch } = answering(() => {
      const headers = { "Stream-Next-Offset": "1", "Stream-Closed": "true", "Runner-Status": "completed" };
      return Response.json(["a"], { headers: { ...headers, "Runner-Progress": "1" } });
    });
    const client = createClient("http://app.test/runners", { fetch });
    const items: unknown[] = [];
    for await (const item of client.follow("1", { live: "long-poll" })) items.push(item);
    expect(items).toEqual(["a"]);
  });
});

describe("a session of the framework that another request has destroyed", () => {
  type Store = Map<string, unknown>;
  interface Application {
    readonly url: string;
    readonly kept: () => number;
  }
  type Steps = { readonly began: () => void; readonly goOn: Promise<void> };

  const openExpress = async (sessions: ActiveSessions, { began, goOn }: Steps): Promise<Application> => {
    const store = new MemoryStore();
    const app = express();
    app.use(expressSession({ store, secret: "test", resave: false, saveUninitialized: false }));
    app.use(forExpress.activeSession(sessions));
    app.post("/login", (request, response) => {
      Object.assign(request.session, { user: "ann" });
      response.end();
    });
    app.post("/logout", (request, response) => request.session.destroy(() => response.end()));
    app.post("/slow", async (request, response) => {
      began();
      await goOn;
      await request.activeSession.createSequenceRunner([1]);
      response.end();
    });
    const { url } = await listen(app);
    const { sessions: kept } = store as unknown as { readonly sessions: object };
    return { url, kept: () => Object.keys(kept).length };
  };

  const openFastify = async (sessions: ActiveSessions, { began, goOn }: Steps): Promise<Application> => {
    const kept: Store = new Map();
    const app = fastify({ forceCloseConnections: true });
    await app.register(fastifyCookie);
    const store = {
      get: (id: string, done: (error: unknown, session?: unknown) => void) => done(null, kept.get(id)),
      set: (id: string, session: unknown, done: (error?: unknown) => void) => {
        kept.set(id, JSON.parse(JSON.stringify(session)));
        done();
      },
      destroy: (id: string, done: (error?: unknown) => void) => {
        kept.delete(id);
        done();
      },
    };
    const secret = "a secret of at least thirty-two characters";
    const options = { secret, cookie: { secure: false }, saveUninitialized: false, rolling: false };
    await app.register(fastifySession, { ...options, store: store as never });
    await app.register(forFastify.activeSession, { sessions, closeWithServer: false });
    app.post("/login", async ({ session }) => {
      session.set("user" as never, "ann" as never);
      return "";
    });
    app.post("/logout", async ({ session }) => {
      await (session as unknown as { destroy(): Promise<void> }).destroy();
      return "";
    });
    app.post("/slow", async (request) => {
      began();
      await goOn;
      await request.activeSession.createSequenceRunner([1]);
      return "";
    });
    atEnd(() => app.close());
    return { url: await app.listen({ port: 0, host: "127.0.0.1" }), kept: () => kept.size };
  };

  test.each([
    ["express-session", openExpress],
    ["@fastify/session", openFastify],
  ])("is not written back by the first use in a slower one: %s", async (_, open) => {
    const began = createDeferred<void>();
    const goOn = createDeferred<void>();
    const sessions = openHost();
    const { url, kept } = await open(sessions, { began: began.resolve, goOn: goOn.promise });
    const ask = (path: string, cookie = "") => fetch(url + path, { method: "POST", headers: { cookie } });
    const login = await ask("/login");
    const cookie = login.headers
      .getSetCookie()
      .map((line) => line.split(";")[0])
      .join("; ");
    expect(kept()).toBe(1);
    const slow = ask("/slow", cookie);
    await began.promise;
    await (await ask("/logout", cookie)).text();
    expect(kept()).toBe(0);
    goOn.resolve();
    expect((await slow).status).toBe(200);
    expect(kept()).toBe(0);
  });
});

test.each([{ rolling: true }, { renew: true, maxAge: 1000 }, { changes: true }])(
  "behind koa-session, an event stream has the cookie that the session sets with it: %j",
  async ({
    changes,
    ...options
  }: Partial<Record<"changes" | "rolling" | "renew", boolean | undefined>> & { maxAge?: number | undefined }) => {
    const sessions = openHost();
    const app = new Koa<Koa.DefaultState, forKoa.ActiveSessionContext & { session: Record<string, unknown> | null }>();
    app.keys = ["secret"];
    const problems: unknown[] = [];
    app.on("error", (error) => problems.push(error));
    app.use(koaSession(options, app as never) as unknown as Koa.Middleware);
    app.use((context, next) => {
      if (changes) context.session!.visits = Number(context.session!.visits ?? 0) + 1;
      return next();
    });
    app.use(forKoa.activeSession(sessions));
    app.use(forKoa.runnerRouter(sessions));
    const source = new PushSource<number>();
    app.use(async (context) => {
      context.body = { key: (await context.activeSession.createSequenceRunner(source)).key };
    });
    const { url } = await listen(app.callback());
    const created = await fetch(url, { method: "POST" });
    const cookies = (answer: Response) => answer.headers.getSetCookie().map((line) => line.split(";")[0]!);
    const cookie = cookies(created).join("; ");
    const { key } = (await created.json()) as { key: string };
    const now = Date.now();
    if (options.renew) vi.spyOn(Date, "now").mockReturnValue(now + 600); // more than half of its life
    const response = await fetch(`${url}/runners/${key}?offset=0&live=sse`, { headers: { cookie } });
    vi.restoreAllMocks();
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/event-stream"]);
    expect(cookies(response)).toHaveLength(2); // its signature is one
    source.push(1, 2);
    source.end();
    const text = await response.text();
    expect(text).toContain("data:[1");
    expect(text).toContain("streamClosed");
    expect(problems).toEqual([]);
  },
);
