/** Each adapter of the library, as the suite for adapters takes it. */
import "reflect-metadata";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import fastifyCookie from "@fastify/cookie";
import secureSession from "@fastify/secure-session";
import fastifySession from "@fastify/session";
import { serve } from "@hono/node-server";
import { Controller, Get, Module, Post, Req } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import type { NestExpressApplication } from "@nestjs/platform-express";
import { FastifyAdapter, type NestFastifyApplication } from "@nestjs/platform-fastify";
import express, { type Request } from "express";
import expressSession from "express-session";
import express4 from "express4";
import fastify, { type FastifyInstance, type FastifyRequest } from "fastify";
import { type Context, Hono } from "hono";
import { CookieStore, sessionMiddleware } from "hono-sessions";
import Koa from "koa";
import koaSession from "koa-session";
import type { ActiveSessionError } from "../../src/base/error.js";
import * as forExpress from "../../src/express.js";
import * as forFastify from "../../src/fastify.js";
import * as forFetch from "../../src/fetch.js";
import * as forHono from "../../src/hono.js";
import * as forKoa from "../../src/koa.js";
import { ActiveSessionModule } from "../../src/nest.js";
import * as forNode from "../../src/node.js";
import type { ActiveSession } from "../../src/session/active-session.js";
import type { AdapterApplication, AdapterPlan, AdapterUnderTest } from "../../src/testing.js";

const secret = "a secret of at least thirty-two characters";
type WithSession = { readonly activeSession: ActiveSession };

async function listen(listener: RequestListener): Promise<AdapterApplication> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: addressOf(server), close: () => closed(server) };
}

async function listenByFetch(
  fetch: (request: globalThis.Request, env: unknown) => unknown,
): Promise<AdapterApplication> {
  const server = serve({ fetch: fetch as never, port: 0, hostname: "127.0.0.1" }) as ReturnType<typeof createServer>;
  await new Promise((resolve) => server.once("listening", resolve));
  return { url: addressOf(server), close: () => closed(server) };
}

function addressOf(server: { address(): AddressInfo | string | null }): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function closed(server: ReturnType<typeof createServer>): Promise<unknown> {
  return new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
}

const express_session = () =>
  expressSession({ secret, resave: false, saveUninitialized: false, cookie: { secure: false } });

const expressSessions = {
  renew: ({ session }: Request) =>
    new Promise<void>((resolve, reject) => {
      session.regenerate((error) => (error ? reject(error) : resolve()));
    }),
  destroy: ({ session }: Request) => new Promise<void>((resolve) => session.destroy(() => resolve())),
};

function expressAdapter(framework: typeof express): AdapterUnderTest<Request> {
  return {
    header: (request, name) => request.get(name),
    knowsProxies: true,
    frameworkSession: expressSessions,
    open: async ({ sessions, options, router, mount, routes, withFrameworkSession, behindProxy }) => {
      const app = framework();
      app.set("trust proxy", behindProxy);
      app.set("env", "test"); // says nothing about errors on the console
      if (withFrameworkSession) app.use(express_session());
      app.use(forExpress.activeSession(sessions, options));
      app.use(mount, forExpress.runnerRouter(sessions, router));
      app.get("/hello", (_request, response) => void response.send("hello"));
      for (const [path, route] of Object.entries(routes)) {
        app.post(path, (request, response, next) => {
          route(request, () => request.activeSession).then((answer) => response.status(201).json(answer), next);
        });
      }
      return listen(app);
    },
  };
}

const nodeAdapter: AdapterUnderTest<{ headers: NodeJS.Dict<string | string[]> }> = {
  header: ({ headers }, name) => headers[name] as string | undefined,
  open: async ({ sessions, options, router, mount, routes }) => {
    const withSession = forNode.activeSession(sessions, options as forNode.ActiveSessionOptions);
    const serveRunners = forNode.runnerRouter(sessions, { ...router, path: mount });
    const answer = async (...[req, res]: Parameters<RequestListener>) => {
      const request = await withSession(req, res);
      if (await serveRunners(request, res)) return;
      const route = routes[req.url ?? ""];
      if (req.url === "/hello") res.end("hello");
      else if (!route) res.writeHead(404).end();
      else {
        const body = await route(request, () => request.activeSession as ActiveSession);
        res.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify(body));
      }
    };
    return listen((req, res) => {
      answer(req, res).catch(({ status = 500, headers }: ActiveSessionError) => res.writeHead(status, headers).end());
    });
  },
};

const fetchAdapter: AdapterUnderTest<globalThis.Request> = {
  header: ({ headers }, name) => headers.get(name) ?? undefined,
  open: async ({ sessions, options, router, mount, routes }) => {
    const withSession = forFetch.activeSession(sessions, options);
    const serveRunners = forFetch.runnerRouter(sessions, { ...router, path: mount });
    // What the server gives besides the request tells the library what its answer is written to.
    const answer = withSession(async (request, _env: unknown) => {
      const response = await serveRunners(request);
      if (response) return response;
      const { pathname } = new URL(request.url);
      const route = routes[pathname];
      if (pathname === "/hello") return new Response("hello");
      if (!route) return new Response(null, { status: 404 });
      return Response.json(await route(request, () => request.activeSession as ActiveSession), { status: 201 });
    });
    return listenByFetch(async (request, env) => {
      try {
        return await answer(request, env);
      } catch (error) {
        return (error as Partial<ActiveSessionError>).getResponse?.() ?? new Response(null, { status: 500 });
      }
    });
  },
};

const honoAdapter: AdapterUnderTest<Context> = {
  header: (context, name) => context.req.header(name),
  frameworkSession: {
    renew: (context) => context.get("session").set("user", "ann"),
    destroy: (context) => context.get("session").deleteSession(),
  },
  open: async ({ sessions, options, router, mount, routes, withFrameworkSession }) => {
    const app = new Hono<forHono.ActiveSessionEnv>();
    app.onError(
      (error) => (error as Partial<ActiveSessionError>).getResponse?.() ?? new Response(null, { status: 500 }),
    );
    if (withFrameworkSession)
      app.use("*", sessionMiddleware({ store: new CookieStore(), encryptionKey: secret }) as never);
    app.use(forHono.activeSession(sessions, options));
    app.use(forHono.runnerRouter(sessions, { ...router, path: mount }));
    app.get("/hello", (context) => context.text("hello"));
    for (const [path, route] of Object.entries(routes)) {
      app.post(path, async (context) =>
        context.json(await route(context, () => context.var.activeSession as ActiveSession), 201),
      );
    }
    return listenByFetch(app.fetch as never);
  },
};

type KoaContext = Koa.Context & { session?: Record<string, unknown> | null };

const koaAdapter: AdapterUnderTest<KoaContext> = {
  header: (context, name) => context.get(name) || undefined,
  knowsProxies: true,
  frameworkSession: {
    renew: (context) => void Object.assign(context.session!, { user: "ann" }),
    destroy: (context) => {
      context.session = null;
    },
  },
  open: async ({ sessions, options, router, mount, routes, withFrameworkSession, behindProxy }) => {
    const app = new Koa<Koa.DefaultState, forKoa.ActiveSessionContext>();
    app.keys = [secret];
    app.proxy = behindProxy;
    app.silent = true;
    if (withFrameworkSession) app.use(koaSession({ key: "app" }, app as never) as unknown as Koa.Middleware);
    app.use(forKoa.activeSession(sessions, options as forKoa.ActiveSessionOptions));
    app.use(forKoa.runnerRouter(sessions, { ...router, path: mount }));
    app.use(async (context) => {
      const route = context.method === "POST" ? routes[context.path] : undefined;
      if (context.path === "/hello") context.body = "hello";
      if (!route) return;
      context.body = await route(context as never, () => context.activeSession as ActiveSession);
      context.status = 201;
    });
    return listen(app.callback());
  },
};

const installFastifySession = async (app: FastifyInstance) => {
  await app.register(fastifyCookie);
  await app.register(fastifySession, { secret, cookie: { secure: false }, saveUninitialized: false });
};

const fastifySessions = {
  renew: ({ session }: FastifyRequest) => session.regenerate(),
  destroy: ({ session }: FastifyRequest) => (session as unknown as { destroy(): Promise<void> }).destroy(),
};

function fastifyAdapter(
  install: (app: FastifyInstance) => Promise<unknown>,
  frameworkSession: NonNullable<AdapterUnderTest<FastifyRequest>["frameworkSession"]>,
): AdapterUnderTest<FastifyRequest> {
  return {
    header: ({ headers }, name) => headers[name] as string | undefined,
    knowsProxies: true,
    frameworkSession,
    open: async ({ sessions, options, router, mount, routes, withFrameworkSession, behindProxy }) => {
      const app = fastify({ forceCloseConnections: true, trustProxy: behindProxy });
      if (withFrameworkSession) await install(app);
      await app.register(forFastify.activeSession, { sessions, ...options });
      await app.register(forFastify.runnerRouter, { prefix: mount, sessions, ...router });
      app.get("/hello", async () => "hello");
      for (const [path, route] of Object.entries(routes)) {
        app.post(path, async (request, reply) =>
          reply.code(201).send(await route(request, () => request.activeSession as ActiveSession)),
        );
      }
      return { url: await app.listen({ port: 0, host: "127.0.0.1" }), close: () => app.close() };
    },
  };
}

/** The module of a Nest application; what decorators would say is said by calling them. */
function nestModule({ sessions, options, router, mount, routes }: AdapterPlan<never>) {
  class Routes {}
  const add = (path: string, method: (request: WithSession) => unknown, decorator: MethodDecorator) => {
    Object.defineProperty(Routes.prototype, path, { value: method });
    decorator(Routes.prototype, path, Object.getOwnPropertyDescriptor(Routes.prototype, path)!);
    Req()(Routes.prototype, path, 0);
  };
  add("hello", () => "hello", Get("/hello"));
  for (const [path, route] of Object.entries(routes)) {
    add(path, (request) => route(request as never, () => request.activeSession), Post(path));
  }
  Controller()(Routes);
  class App {}
  const imports = [ActiveSessionModule.forRoot({ sessions, ...options, ...router, path: mount })];
  Module({ imports, controllers: [Routes] })(App);
  return App;
}

const nestOptions = { logger: false, forceCloseConnections: true } as const;

const nestOnExpress: AdapterUnderTest<Request> = {
  readsBodies: true,
  header: (request, name) => request.get(name),
  knowsProxies: true,
  frameworkSession: expressSessions,
  open: async (plan) => {
    const app = await NestFactory.create<NestExpressApplication>(nestModule(plan), nestOptions);
    app.set("trust proxy", plan.behindProxy);
    if (plan.withFrameworkSession) app.use(express_session());
    await app.listen(0, "127.0.0.1");
    return { url: await app.getUrl(), close: () => app.close() };
  },
};

const nestOnFastify: AdapterUnderTest<FastifyRequest> = {
  header: ({ headers }, name) => headers[name] as string | undefined,
  knowsProxies: true,
  frameworkSession: fastifySessions,
  open: async (plan) => {
    const adapter = new FastifyAdapter({ trustProxy: plan.behindProxy, forceCloseConnections: true });
    const app = await NestFactory.create<NestFastifyApplication>(nestModule(plan), adapter, nestOptions);
    if (plan.withFrameworkSession) await installFastifySession(app.getHttpAdapter().getInstance() as never);
    await app.listen(0, "127.0.0.1");
    return { url: await app.getUrl(), close: () => app.close() };
  },
};

export const adapters: Record<string, AdapterUnderTest> = {
  "Express 5, express-session": expressAdapter(express),
  "Express 4.18, express-session": expressAdapter(express4),
  "node:http": nodeAdapter,
  "fetch, @hono/node-server": fetchAdapter,
  "Hono, hono-sessions": honoAdapter,
  "Koa, koa-session": koaAdapter,
  "Fastify, @fastify/session": fastifyAdapter(installFastifySession, fastifySessions),
  "Fastify, @fastify/secure-session": fastifyAdapter(
    async (app) => app.register(secureSession, { secret, salt: "sixteen letters.", cookie: { path: "/" } }),
    {
      renew: ({ session }) => session.set("user" as never, "ann" as never),
      destroy: ({ session }) => (session as unknown as { delete(): void }).delete(),
    },
  ),
  "NestJS on Express, express-session": nestOnExpress,
  "NestJS on Fastify, @fastify/session": nestOnFastify,
};
