// One route in one framework: bare, behind `activeSession` without using it (`untouched`), or using the client's session (`touched`);
// for Hono behind a middleware that does nothing (`other`), for Express with a session of `express-session` that is written to.
// Every route is an async function, as one is that starts work or reads.
import "reflect-metadata";
import { createServer } from "node:http";
import { library } from "../lib/library.mjs";
import { serve } from "../lib/serve.mjs";

const { createActiveSessions } = await library("index");

const [framework, variant] = process.argv.slice(2);
const sessions = createActiveSessions();
const isBare = variant === "bare" || variant === "other" || variant === "express-session";
const isTouched = variant === "touched";
const answer = { hello: "world", items: [1, 2, 3] };
const body = JSON.stringify(answer);
const json = { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
const use = (request) => isTouched && request.activeSession.isAvailable;

const frameworks = {
  async node() {
    const { activeSession } = await library("node");
    const install = isBare ? undefined : activeSession(sessions);
    return createServer(async (req, res) => {
      if (install) use(await install(req, res));
      res.writeHead(200, json).end(body);
    });
  },
  async express() {
    const { default: express } = await import("express");
    const app = express();
    if (variant === "express-session") {
      const { default: session } = await import("express-session");
      app.use(session({ secret: "a secret", resave: false, saveUninitialized: false }));
    }
    if (!isBare) app.use((await library("express")).activeSession(sessions));
    app.get("/route", async (req, res) => {
      use(req);
      if (variant === "express-session") req.session.views = (req.session.views ?? 0) + 1;
      res.json(answer);
    });
    return createServer(app);
  },
  async koa() {
    const { default: Koa } = await import("koa");
    const app = new Koa();
    if (!isBare) app.use((await library("koa")).activeSession(sessions));
    app.use(async (context) => {
      use(context);
      context.body = answer;
    });
    return createServer(app.callback());
  },
  async fastify() {
    const { default: fastify } = await import("fastify");
    const app = fastify();
    if (!isBare) await app.register((await library("fastify")).activeSession, { sessions });
    app.get("/route", async (request) => {
      use(request);
      return answer;
    });
    await app.ready();
    return app.server;
  },
  async hono() {
    const [{ Hono }, { createAdaptorServer }] = await Promise.all([import("hono"), import("@hono/node-server")]);
    const app = new Hono();
    if (variant === "other") app.use((_, next) => next());
    else if (!isBare) app.use((await library("hono")).activeSession(sessions));
    app.get("/route", async (context) => {
      if (isTouched) use(context.var);
      return context.json(answer);
    });
    return createAdaptorServer({ fetch: app.fetch });
  },
  async fetch() {
    const { createAdaptorServer } = await import("@hono/node-server");
    const { activeSession } = await library("fetch");
    const handle = async (request) => {
      use(request);
      return Response.json(answer);
    };
    return createAdaptorServer({ fetch: isBare ? handle : activeSession(sessions)(handle) });
  },
  "nest-express": () => nest(),
  "nest-fastify": async () => nest(new (await import("@nestjs/platform-fastify")).FastifyAdapter()),
};

async function nest(adapter) {
  const { Controller, Get, Module, Req } = await import("@nestjs/common");
  const { NestFactory } = await import("@nestjs/core");
  const { ActiveSessionModule } = await library("nest");
  class Routes {
    async get(request) {
      use(request);
      return answer;
    }
  }
  Controller()(Routes);
  Get("route")(Routes.prototype, "get", Object.getOwnPropertyDescriptor(Routes.prototype, "get"));
  Req()(Routes.prototype, "get", 0);
  class App {}
  Module({ imports: isBare ? [] : [ActiveSessionModule.forRoot({ sessions })], controllers: [Routes] })(App);
  const app = await NestFactory.create(App, ...(adapter ? [adapter] : []), { logger: false });
  await app.init();
  if (adapter) await adapter.getInstance().ready();
  return app.getHttpServer();
}

await serve(await frameworks[framework]());
