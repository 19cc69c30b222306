/** Where the framework has sessions of its own, ours belongs to them: with the libraries that people use, on real sockets. */
import cookie from "@fastify/cookie";
import secureSession from "@fastify/secure-session";
import fastifySession from "@fastify/session";
import { serve } from "@hono/node-server";
import fastify from "fastify";
import { Hono } from "hono";
import { CookieStore, type Session, sessionMiddleware } from "hono-sessions";
import Koa from "koa";
import koaSession from "koa-session";
import { describe, expect, test } from "vitest";
import * as forFastify from "../src/fastify.js";
import * as forHono from "../src/hono.js";
import * as forKoa from "../src/koa.js";
import type { ActiveSession } from "../src/session/active-session.js";
import type { ActiveSessions } from "../src/session/active-sessions.js";
import { atEnd } from "./support/cleanup.js";
import { openHost } from "./support/control.js";
import { listen } from "./support/server.js";

const secret = "a secret of at least thirty-two characters";

async function start(session: ActiveSession): Promise<{ key: string }> {
  const { key } = await session.createSequenceRunner([1, 2, 3], { retain: "all" });
  return { key };
}

/** The fastify applications differ in what stands before ours, and in how a user is logged out. */
async function openFastify(
  sessions: ActiveSessions,
  install: (app: ReturnType<typeof fastify>) => Promise<unknown>,
  logout: (session: { destroy?(): Promise<void>; delete?(): void }) => unknown,
): Promise<string> {
  const app = fastify({ forceCloseConnections: true });
  await install(app);
  await app.register(forFastify.activeSession, { sessions });
  await app.register(forFastify.runnerRouter, { prefix: "/runners", sessions });
  app.post("/start", async (request) => start(request.activeSession));
  app.post("/logout", async (request) => {
    await logout(request.session as never);
    return {};
  });
  app.get("/hello", async () => ({}));
  atEnd(() => app.close());
  return app.listen({ port: 0, host: "127.0.0.1" });
}

const applications: Record<string, (sessions: ActiveSessions) => Promise<string>> = {
  "@fastify/session": (sessions) =>
    openFastify(
      sessions,
      async (app) => {
        await app.register(cookie);
        await app.register(fastifySession, { secret, cookie: { secure: false }, saveUninitialized: false });
      },
      (session) => session.destroy!(),
    ),
  "@fastify/secure-session": (sessions) =>
    openFastify(
      sessions,
      async (app) => app.register(secureSession, { secret, salt: "sixteen letters.", cookie: { path: "/" } }),
      (session) => session.delete!(),
    ),
  "koa-session": async (sessions) => {
    const app = new Koa<Koa.DefaultState, forKoa.ActiveSessionContext>();
    app.keys = [secret];
    app.use(koaSession({ key: "app" }, app as never) as unknown as Koa.Middleware);
    app.use(forKoa.activeSession(sessions));
    app.use(forKoa.runnerRouter(sessions));
    app.use(async (context) => {
      context.body = {};
      if (context.path === "/start") context.body = await start(context.activeSession);
      if (context.path === "/logout") (context as { session?: unknown }).session = null;
    });
    return (await listen(app.callback())).url;
  },
  "hono-sessions": async (sessions) => {
    const app = new Hono<{ Variables: forHono.ActiveSessionEnv["Variables"] & { session: Session } }>();
    app.use("*", sessionMiddleware({ store: new CookieStore(), encryptionKey: secret }) as never);
    app.use(forHono.activeSession(sessions) as never);
    app.use(forHono.runnerRouter(sessions) as never);
    app.post("/start", async (c) => c.json(await start(c.var.activeSession)));
    app.post("/logout", (c) => {
      c.get("session").deleteSession();
      return c.json({});
    });
    app.get("/hello", (c) => c.json({}));
    const server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" });
    await new Promise((resolve) => server.once("listening", resolve));
    atEnd(() => {
      (server as unknown as { closeAllConnections(): void }).closeAllConnections();
      return new Promise<void>((resolve) => void server.close(() => resolve()));
    });
    return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
  },
};

/** A browser, as far as cookies go. */
function browser(url: string) {
  const jar = new Map<string, string>();
  return {
    jar,
    async ask(path: string, method = "GET"): Promise<Response> {
      const headers = { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join("; ") };
      const response = await fetch(url + path, { method, headers });
      for (const line of response.headers.getSetCookie()) {
        const [pair, ...attributes] = line.split(";");
        const [name, value] = [pair!.slice(0, pair!.indexOf("=")), pair!.slice(pair!.indexOf("=") + 1)];
        const isOver = attributes.some((one) => /^\s*(expires=Thu, 01 Jan 1970|max-age=0)/i.test(one));
        if (isOver || value === "") jar.delete(name);
        else jar.set(name, value);
      }
      return response;
    },
  };
}

describe.each(Object.entries(applications))("with %s", (_name, open) => {
  test("the runners belong to the framework's session, and no cookie of ours is set", async () => {
    const sessions = openHost();
    const { ask, jar } = browser(await open(sessions));
    const first = (await (await ask("/start", "POST")).json()) as { key: string };
    const second = (await (await ask("/start", "POST")).json()) as { key: string };
    expect(sessions.stats()).toMatchObject({ sessions: 1, runners: 2 });
    for (const { key } of [first, second]) {
      expect(await (await ask(`/runners/${key}?offset=1`)).json()).toEqual([2, 3]);
    }
    expect([...jar.keys()].filter((name) => name.includes("active-session"))).toEqual([]);
  });

  test("another client has others, and a request that does not touch the session makes none", async () => {
    const sessions = openHost();
    const url = await open(sessions);
    const ann = browser(url);
    const bob = browser(url);
    await bob.ask("/hello");
    expect(sessions.stats().sessions).toBe(0);
    const { key } = (await (await ann.ask("/start", "POST")).json()) as { key: string };
    await bob.ask("/start", "POST");
    expect(sessions.stats().sessions).toBe(2);
    expect((await bob.ask(`/runners/${key}`)).status).toBe(404);
  });

  test("after a logout the runners of before are out of reach", async () => {
    const sessions = openHost();
    const { ask } = browser(await open(sessions));
    const { key } = (await (await ask("/start", "POST")).json()) as { key: string };
    expect((await ask(`/runners/${key}`)).status).toBe(200);
    await ask("/logout", "POST");
    expect((await ask(`/runners/${key}`)).status).toBe(404);
    await ask("/start", "POST");
    expect(sessions.stats().sessions).toBe(2);
  });
});
