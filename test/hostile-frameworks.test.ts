// biome-ignore-all lint/suspicious/noExplicitAny: the frameworks' own types would say as little here
/** Requests, sessions and errors in the hands of real frameworks: guards, kept sessions, pipelined requests, copies, disconnects. */
import "reflect-metadata";
import { once } from "node:events";
import { createServer as createHttp, type IncomingMessage, type ServerResponse } from "node:http";
import { connect as connectHttp2, createServer as createHttp2 } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import fastifyCookie from "@fastify/cookie";
import fastifySession from "@fastify/session";
import { Controller, Get, Module, type Provider, SetMetadata } from "@nestjs/common";
import { APP_GUARD, NestFactory } from "@nestjs/core";
import { FastifyAdapter } from "@nestjs/platform-fastify";
import express from "express";
import expressSession, { MemoryStore, type SessionData } from "express-session";
import fastify from "fastify";
import Koa from "koa";
import koaSession from "koa-session";
import { describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { ActiveSessionError } from "../src/base/error.js";
import { ActiveSessionError as ClientError, createClient } from "../src/client.js";
import * as forExpress from "../src/express.js";
import * as forFastify from "../src/fastify.js";
import * as forFetch from "../src/fetch.js";
import * as forKoa from "../src/koa.js";
import { ActiveSessionModule } from "../src/nest.js";
import * as forNode from "../src/node.js";
import { atEnd } from "./support/cleanup.js";
import { catchUncaught, openHost, PushSource, turns } from "./support/control.js";
import { waitUntil } from "./support/patience.js";
import { listen } from "./support/server.js";

// --- 7. Nest ---------------------------------------------------------------------------------------------------------

async function openNest(
  platform: "express" | "fastify",
  settings: object,
  guard: (context: never) => unknown,
  controllers: (new () => object)[] = [],
) {
  const sessions = openHost();
  class App {}
  class Guard {
    canActivate(context: never) {
      return guard(context);
    }
  }
  const providers: Provider[] = [{ provide: APP_GUARD, useClass: Guard }];
  const imports = [ActiveSessionModule.forRoot({ sessions, identify: () => "ann", ...settings })];
  Module({ imports, controllers, providers })(App);
  const options = { logger: false, forceCloseConnections: true, abortOnError: false } as const;
  const app =
    platform === "express"
      ? await NestFactory.create(App, options)
      : await NestFactory.create(App, new FastifyAdapter({ forceCloseConnections: true }), options);
  atEnd(() => app.close());
  await app.listen(0, "127.0.0.1");
  return { sessions, url: (await app.getUrl()) as string };
}

describe("Nest: global guards", () => {
  test.each(["express", "fastify"] as const)(
    "a guard that rejects without a reason refuses, on %s",
    async (platform) => {
      const { sessions, url } = await openNest(platform, {}, () => Promise.reject());
      const runner = await (await sessions.get("ann")).createSequenceRunner(["secret"]);
      const response = await fetch(`${url}/runners/${runner.key}`);
      expect({ status: response.status, body: await response.text() }).toMatchObject({
        status: expect.not.toSatisfy((status: number) => status === 200),
        body: expect.not.stringContaining("secret"),
      });
    },
  );

  test.each(["express", "fastify"] as const)('a guard that throws "route" refuses, on %s', async (platform) => {
    const { sessions, url } = await openNest(platform, {}, () => {
      throw "route";
    });
    const runner = await (await sessions.get("ann")).createSequenceRunner(["secret"]);
    const response = await fetch(`${url}/runners/${runner.key}`);
    expect(await response.text()).not.toContain("secret");
  });

  const isPublic = Symbol("public");
  class Home {
    login() {
      return "login";
    }
  }
  Controller()(Home);
  Get("api/v1/login")(Home.prototype, "login", Object.getOwnPropertyDescriptor(Home.prototype, "login")!);
  SetMetadata(String(isPublic), true)(Home.prototype.login as never);
  class Report {
    deep() {
      return "report";
    }
  }
  Controller("runners")(Report);
  Get("a/b/c")(Report.prototype, "deep", Object.getOwnPropertyDescriptor(Report.prototype, "deep")!);
  SetMetadata(String(isPublic), true)(Report.prototype.deep as never);

  test.each([
    ["express", "", "/api/v1/login"],
    ["fastify", "", "/api/v1/login"],
    ["express", "runners", "/runners/a/b/c"],
    ["fastify", "runners", "/runners/a/b/c"],
  ] as const)("leave the application's own public routes alone: %s, path %j, %s", async (platform, path, target) => {
    const guard = (context: { getHandler(): object }) =>
      Reflect.getMetadata(String(isPublic), context.getHandler()) === true;
    const { url } = await openNest(platform, { path }, guard as never, [Home, Report]);
    expect((await fetch(url + target)).status).toBe(200);
  });

  test.each(["express", "fastify"] as const)("see the URL that the client asked for, on %s", async (platform) => {
    const seen: string[] = [];
    const { url } = await openNest(platform, {}, ((context: any) => {
      seen.push(context.switchToHttp().getRequest().url);
      return true;
    }) as never);
    await (await fetch(`${url}/runners/0-1-abc/state`)).text();
    expect(seen).toEqual(["/runners/0-1-abc/state"]);
  });
});

describe("Nest: global guards and middleware", () => {
  // On Express, guards of the routes run before middleware of a module: a request is refused then, never let through.
  test.each(["fastify"] as ("express" | "fastify")[])(
    "a guard sees what the application's middleware has found out, on %s",
    async (platform) => {
      const sessions = openHost();
      class Guard {
        canActivate(context: any) {
          const request = context.switchToHttp().getRequest();
          return (request.raw ?? request).user === "ann";
        }
      }
      class App {
        configure(consumer: any) {
          consumer
            .apply((request: any, _response: unknown, next: () => void) => {
              request.user = "ann";
              next();
            })
            .forRoutes("*path");
        }
      }
      const imports = [
        ActiveSessionModule.forRoot({ sessions, identify: (request: any) => (request.raw ?? request).user }),
      ];
      Module({ imports, providers: [{ provide: APP_GUARD, useClass: Guard }] })(App);
      const options = { logger: false, forceCloseConnections: true, abortOnError: false } as const;
      const app =
        platform === "express"
          ? await NestFactory.create(App, options)
          : await NestFactory.create(App, new FastifyAdapter({ forceCloseConnections: true }), options);
      atEnd(() => app.close());
      await app.listen(0, "127.0.0.1");
      const runner = await (await sessions.get("ann")).createSequenceRunner([1]);
      expect((await fetch(`${await app.getUrl()}/runners/${runner.key}`)).status).toBe(200);
    },
  );
});

// --- 6. brands -------------------------------------------------------------------------------------------------------

describe("brands", () => {
  class Own extends ActiveSessionError {}
  test("an error of the library is no instance of an application's subclass", () => {
    expect(new ActiveSessionError("RUNNER_GONE", "x") instanceof Own).toBe(false);
  });

  test("fetch: an error of active-session/client passes unchanged, and its request is over", async () => {
    const sessions = openHost();
    let signal: AbortSignal | undefined;
    const error = new ClientError("RUNNER_GONE", 410, "from another service");
    const handle = forFetch.activeSession(sessions)(async (request) => {
      signal = forFetch.requestSignal(request);
      throw error;
    });
    const outcome = await Promise.resolve(handle(new Request("http://app.example/"))).then(
      (response) => response.status,
      (thrown) => thrown,
    );
    expect.soft(outcome === 410 || outcome === error, String(outcome)).toBe(true);
    expect.soft(signal!.aborted).toBe(true);
  });

  test.each(["express", "fastify"] as const)(
    "Nest: an error of active-session/client is answered, on %s",
    async (platform) => {
      const uncaught = catchUncaught();
      class Upstream {
        get() {
          throw new ClientError("RUNNER_GONE", 410, "from another service");
        }
      }
      Controller("proxy")(Upstream);
      Get()(Upstream.prototype, "get", Object.getOwnPropertyDescriptor(Upstream.prototype, "get")!);
      const { url } = await openNest(platform, {}, () => true, [Upstream]);
      const status = await fetch(`${url}/proxy`, { signal: AbortSignal.timeout(2000) }).then(
        (response) => response.status,
        (error) => String(error),
      );
      expect.soft(status).toBe(500); // it speaks of another service: for this one it is a failure like any other
      expect.soft(uncaught).toEqual([]);
    },
  );
});

// --- 5. requests that are over before they use the session -----------------------------------------------------------

describe("a request whose client has gone before it uses its session", () => {
  /** Ends the session; its group must be released with it. */
  async function end(sessions: ReturnType<typeof openHost>) {
    for (const session of sessions.sessions()) await session.terminate();
    await turns(10);
    return sessions.stats();
  }

  test("releases it, pipelined over HTTP/1", async () => {
    const release = vi.fn();
    const sessions = openHost({ groupServices: () => ({ [Symbol.dispose]: release }) } as never);
    const withSession = forNode.activeSession(sessions, { identify: () => "ann" });
    const [asked, gone] = [createDeferred(), createDeferred()];
    const server = createHttp(async (req, res) => {
      const request = await withSession(req, res);
      if (req.url === "/first") return; // is never answered
      asked.resolve();
      await gone.promise; // of a database, say
      void (request.activeSession.group as { services: unknown }).services;
      res.end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    atEnd(() => new Promise((resolve) => server.close(resolve)));
    const closed = new Promise<void>((resolve) =>
      server.on("connection", (socket) => socket.on("close", () => resolve())),
    );
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.write("GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    await asked.promise;
    socket.destroy();
    await closed;
    await turns(5);
    gone.resolve();
    await turns(5);
    expect(sessions.stats().sessions).toBe(1);
    expect.soft(await end(sessions)).toMatchObject({ sessions: 0, groups: 0 });
    expect.soft(release).toHaveBeenCalledTimes(1);
  });

  test("does not lock out new clients, pipelined over HTTP/1", async () => {
    const sessions = openHost({ limits: { unconfirmedSessions: 2 } });
    const withSession = forNode.activeSession(sessions);
    let gone = createDeferred();
    let asked = createDeferred();
    const server = createHttp(async (req, res) => {
      const request = await withSession(req, res);
      if (req.url === "/first") return;
      if (req.url === "/second") {
        asked.resolve();
        await gone.promise;
      }
      try {
        res.end(request.activeSession.id);
      } catch (error) {
        res.writeHead((error as ActiveSessionError).status).end((error as ActiveSessionError).code);
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const { port } = server.address() as AddressInfo;
    atEnd(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    for (let i = 0; i < 2; i++) {
      [gone, asked] = [createDeferred(), createDeferred()];
      const closed = once(server, "connection").then(([socket]) => once(socket, "close"));
      const socket = connect(port, "127.0.0.1");
      socket.write("GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n");
      await asked.promise;
      socket.destroy();
      await closed;
      gone.resolve();
      await turns(5);
    }
    const response = await fetch(`http://127.0.0.1:${port}/new-client`);
    expect([response.status, (await response.text()).length]).toEqual([200, 22]);
  });

  test("(related) an event stream that waits behind a slow answer on its connection arrives all the same", async () => {
    const sessions = openHost();
    const withSession = forNode.activeSession(sessions, { identify: () => "ann" });
    const serveRunners = forNode.runnerRouter(sessions);
    const server = createHttp(async (req, res) => {
      const request = await withSession(req, res);
      if (req.url === "/slow") setTimeout(() => res.end("slow"), 6000);
      else await serveRunners(request, res);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    atEnd(() => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    });
    const runner = await (await sessions.get("ann")).createSequenceRunner(["item"]);
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    let text = "";
    socket.on("error", () => {}).setEncoding("utf8");
    socket.on("data", (piece) => {
      text += piece;
    });
    const path = `/runners/${runner.key}?offset=0&live=sse`;
    socket.write(`GET /slow HTTP/1.1\r\nHost: a\r\n\r\nGET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
    await once(socket, "close");
    expect(text).toContain("item");
  });

  test("releases it, over HTTP/2", async () => {
    const release = vi.fn();
    const sessions = openHost({ groupServices: () => ({ [Symbol.dispose]: release }) } as never);
    const withSession = forNode.activeSession(sessions, { identify: () => "ann" });
    const [asked, gone] = [createDeferred(), createDeferred()];
    const server = createHttp2(async (...exchange) => {
      const [req, res] = exchange as unknown as [IncomingMessage, ServerResponse];
      const request = await withSession(req, res);
      res.on("close", () => gone.resolve());
      asked.resolve();
      await gone.promise;
      await turns(5);
      void (request.activeSession.group as { services: unknown }).services;
      res.end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    atEnd(async () => {
      client.destroy();
      await new Promise((resolve) => server.close(resolve));
    });
    const stream = client.request({ ":path": "/" });
    stream.on("error", () => {});
    await asked.promise;
    stream.close(8);
    await gone.promise;
    await turns(10);
    expect(sessions.stats().sessions).toBe(1);
    expect.soft(await end(sessions)).toMatchObject({ sessions: 0, groups: 0 });
    expect.soft(release).toHaveBeenCalledTimes(1);
  });

  test("does not keep an event stream open over a fetch handler (clientSignal)", async () => {
    const sessions = openHost();
    const withSession = forFetch.activeSession(sessions, { identify: () => "ann" });
    const serveRunners = forFetch.runnerRouter(sessions);
    const runner = await (await sessions.get("ann")).createSequenceRunner(new PushSource<number>());
    const [asked, gone, done] = [createDeferred(), createDeferred(), createDeferred()];
    // As @hono/node-server does it: the second argument has the request and the response of `node:http`.
    const server = createHttp(async (incoming, outgoing) => {
      if (incoming.url === "/first") return;
      asked.resolve();
      await gone.promise; // authentication, say
      const handle = withSession(async (request, _env: object) => (await serveRunners(request))!);
      const url = `http://app.example/runners/${runner.key}?offset=0&live=long-poll&min-items=5&timeout=60`;
      void Promise.resolve(handle(new Request(url), { incoming, outgoing } as never)).then(
        () => done.resolve(),
        done.reject,
      );
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    atEnd(() => new Promise((resolve) => server.close(resolve)));
    const closed = new Promise<void>((resolve) =>
      server.on("connection", (socket) => socket.on("close", () => resolve())),
    );
    const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
    socket.write("GET /first HTTP/1.1\r\nHost: a\r\n\r\nGET /second HTTP/1.1\r\nHost: a\r\n\r\n");
    await asked.promise;
    socket.destroy();
    await closed;
    gone.resolve();
    await done.promise; // and does not wait for its minute
    expect(sessions.stats().openReads).toBe(0);
  });
});

// --- 3. framework sessions --------------------------------------------------------------------------------------------

describe("framework sessions", () => {
  class SlowStore extends MemoryStore {
    pending = 0;

    override set(id: string, session: SessionData, callback?: (error?: unknown) => void): void {
      this.pending++;
      setTimeout(() => {
        this.pending--;
        super.set(id, session, callback);
      }, 100);
    }
  }

  test("Express: a NEW session that an earlier middleware has written to is not confirmed", async () => {
    const sessions = openHost();
    const app = express();
    app.use(expressSession({ store: new MemoryStore(), secret: "test", resave: false, saveUninitialized: false }));
    app.use((request, _response, next) => {
      (request.session as { csrf?: string }).csrf ??= "token"; // as csrf, flash or counting middleware does
      next();
    });
    app.use(forExpress.activeSession(sessions));
    app.post("/many", async (request, response) => {
      try {
        for (let i = 0; i < 25; i++) await request.activeSession.createSequenceRunner([1]);
        response.json("25 runners of a client that has never come back");
      } catch (error) {
        response.json((error as ActiveSessionError).code);
      }
    });
    const { url } = await listen(app);
    const response = await fetch(`${url}/many`, { method: "POST" });
    // What it answers without that middleware: an unconfirmed session keeps 20 runners at most.
    expect([await response.json(), sessions.stats().runners]).toEqual([expect.anything(), 20]);
  });

  test("Express: control, without that middleware", async () => {
    const sessions = openHost();
    const app = express();
    app.use(expressSession({ store: new MemoryStore(), secret: "test", resave: false, saveUninitialized: false }));
    app.use(forExpress.activeSession(sessions));
    app.post("/many", async (request, response) => {
      try {
        for (let i = 0; i < 25; i++) await request.activeSession.createSequenceRunner([1]);
        response.json("all");
      } catch (error) {
        response.json((error as ActiveSessionError).code);
      }
    });
    const { url } = await listen(app);
    const response = await fetch(`${url}/many`, { method: "POST" });
    expect([await response.json(), sessions.stats().runners]).toEqual([expect.anything(), 20]);
  });

  test("Express: such a session is stored before the key of its runner is sent", async () => {
    const sessions = openHost();
    const app = express();
    const store = new SlowStore();
    app.use(expressSession({ store, secret: "test", resave: false, saveUninitialized: false }));
    app.use((request, _response, next) => {
      (request.session as { csrf?: string }).csrf ??= "token";
      next();
    });
    app.use(forExpress.activeSession(sessions));
    app.use("/runners", forExpress.runnerRouter(sessions));
    app.post("/start", async (request, response) => {
      const runner = await request.activeSession.createSequenceRunner([1, 2, 3]);
      response.write(`${runner.key}\n`); // streams on
      request.on("close", () => response.end());
    });
    const { url } = await listen(app);
    const response = await fetch(`${url}/start`, { method: "POST" });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    const key = (await reader.read()).value!.trim();
    const cookie = response.headers.getSetCookie()[0]!.split(";")[0]!;
    const page = await fetch(`${url}/runners/${key}`, { headers: { cookie } });
    await reader.cancel();
    expect([page.status, await page.text()]).toEqual([200, "[1,2,3]"]);
    await waitUntil(() => store.pending === 0);
  });

  test("Koa: a NEW session that an earlier middleware has assigned to is not confirmed", async () => {
    const sessions = openHost();
    const app = new Koa();
    app.keys = ["k"];
    const store = { get: async () => undefined, set: async () => {}, destroy: async () => {} };
    app.use(koaSession({ store } as never, app) as never);
    app.use((context: any, next) => {
      if (context.session.isNew) context.session = { csrf: "token" };
      return next();
    });
    app.use(forKoa.activeSession(sessions) as never);
    app.use(async (context: any) => {
      try {
        for (let i = 0; i < 25; i++) await context.activeSession.createSequenceRunner([1]);
        context.body = "25 runners";
      } catch (error) {
        context.body = (error as ActiveSessionError).code;
      }
    });
    const { url } = await listen(app.callback());
    await (await fetch(url)).text();
    expect(sessions.stats().runners).toBe(20);
  });

  test("Fastify: a NEW session that an earlier hook has written to is not confirmed", async () => {
    const sessions = openHost();
    const app = fastify();
    atEnd(() => app.close());
    await app.register(fastifyCookie);
    await app.register(fastifySession, { secret: "s".repeat(32), cookie: { secure: false }, saveUninitialized: false });
    app.addHook("onRequest", async (request: any) => request.session.set("csrf", "token") as never);
    await app.register(forFastify.activeSession, { sessions });
    app.get("/", async (request) => {
      for (let i = 0; i < 25; i++) await request.activeSession.createSequenceRunner([1]);
      return "25 runners";
    });
    await app.listen({ port: 0, host: "127.0.0.1" });
    await (await fetch(`http://127.0.0.1:${(app.server.address() as AddressInfo).port}/`)).text();
    expect(sessions.stats().runners).toBe(20);
  });

  test("Koa: whose session data is replaced by another user's does not see the work of the former one", async () => {
    const sessions = openHost();
    const app = new Koa();
    app.keys = ["k"];
    const stored = new Map<string, object>();
    const store = {
      get: async (key: string) => stored.get(key),
      set: async (key: string, value: object) => void stored.set(key, value),
      destroy: async (key: string) => void stored.delete(key),
    };
    app.use(koaSession({ store } as never, app) as never);
    app.use(forKoa.activeSession(sessions) as never);
    app.use(forKoa.runnerRouter(sessions));
    app.use(async (context: any) => {
      if (context.path.startsWith("/login/")) context.session = { user: context.path.slice(7) };
      if (context.path === "/start") context.body = (await context.activeSession.createSequenceRunner(["ann's"])).key;
      else context.body = "ok";
    });
    const { url } = await listen(app.callback());
    const jar = new Map<string, string>();
    const ask = async (path: string) => {
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
      const response = await fetch(url + path, { headers: { cookie } });
      for (const set of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)!;
        jar.set(name!, value!);
      }
      return { status: response.status, text: await response.text() };
    };
    await ask("/login/ann");
    const { text: key } = await ask("/start");
    expect((await ask(`/runners/${key}`)).text).toBe(`["ann's"]`);
    await ask("/login/bob");
    expect((await ask(`/runners/${key}`)).status).toBe(404);
  });

  test("Koa: a kept session that is regenerated finds what is created behind that", async () => {
    const sessions = openHost();
    const app = new Koa();
    app.keys = ["k"];
    const stored = new Map<string, object>();
    const store = {
      get: async (key: string) => stored.get(key),
      set: async (key: string, value: object) => void stored.set(key, value),
      destroy: async (key: string) => void stored.delete(key),
    };
    app.use(koaSession({ store } as never, app) as never);
    app.use(forKoa.activeSession(sessions) as never);
    app.use(forKoa.runnerRouter(sessions));
    app.use(async (context: any) => {
      if (context.path === "/visit") {
        context.session.views = 1;
        context.body = "hello";
      } else if (context.path === "/login") {
        await context.session.regenerate();
        context.session.user = "ann";
        const runner = await context.activeSession.createSequenceRunner([1, 2, 3]);
        context.body = runner.key;
      }
    });
    const { url } = await listen(app.callback());
    const jar = new Map<string, string>();
    const ask = async (path: string) => {
      const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
      const response = await fetch(url + path, { headers: { cookie } });
      for (const set of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(set)!;
        jar.set(name!, value!);
      }
      return { status: response.status, text: await response.text() };
    };
    await ask("/visit");
    const { text: key } = await ask("/login");
    expect(await ask(`/runners/${key}`)).toEqual({ status: 200, text: "[1,2,3]" });
  });
});

// --- 4. Koa ----------------------------------------------------------------------------------------------------------

test("Koa 3: a client that closes its event stream is no error of the application", async () => {
  const sessions = openHost();
  const app = new Koa();
  const errors: unknown[] = [];
  app.on("error", (error) => errors.push(error)); // without it Koa writes each to the console
  app.use(forKoa.activeSession(sessions, { identify: () => "ann" }) as never);
  app.use(forKoa.runnerRouter(sessions));
  const { url } = await listen(app.callback());
  const runner = await (await sessions.get("ann")).createSequenceRunner(new PushSource<number>());
  const controller = new AbortController();
  const response = await fetch(`${url}/runners/${runner.key}/events`, { signal: controller.signal });
  await response.body!.getReader().read();
  controller.abort();
  await waitUntil(() => sessions.stats().openReads === 0);
  await turns(10);
  expect(errors).toEqual([]);
});

// --- 2. client --------------------------------------------------------------------------------------------------------

describe("client: further creations", () => {
  test("wait 5 s at most", async () => {
    vi.useFakeTimers();
    const asked: string[] = [];
    const hanging = ((url: string) => {
      asked.push(url);
      return new Promise(() => {});
    }) as never;
    const client = createClient("http://app.example/runners", { fetch: hanging });
    for (let i = 0; i < 4; i++) void client.create("work").catch(() => {});
    await vi.advanceTimersByTimeAsync(5100);
    const after5 = asked.length;
    await vi.advanceTimersByTimeAsync(20_000);
    expect([after5, asked.length]).toEqual([4, 4]);
  });

  test("are not let go by the page's being shown", async () => {
    vi.useFakeTimers();
    const listeners = new Map<string, Set<(event: Event) => void>>();
    vi.stubGlobal(
      "addEventListener",
      (type: string, listener: (event: Event) => void, { signal }: { signal: AbortSignal }) => {
        const set = listeners.get(type) ?? new Set();
        listeners.set(type, set.add(listener));
        signal.addEventListener("abort", () => set.delete(listener));
      },
    );
    atEnd(() => vi.unstubAllGlobals());
    const asked: string[] = [];
    const hanging = ((url: string) => {
      asked.push(url);
      return new Promise(() => {});
    }) as never;
    const client = createClient("http://app.example/runners", { fetch: hanging });
    for (let i = 0; i < 2; i++) void client.create("work").catch(() => {});
    await vi.advanceTimersByTimeAsync(100);
    for (const listener of [...(listeners.get("visibilitychange") ?? [])]) listener(new Event("visibilitychange"));
    await vi.advanceTimersByTimeAsync(100);
    const sent = asked.length;
    await vi.advanceTimersByTimeAsync(20_000);
    expect(sent).toBe(1);
  });
});
