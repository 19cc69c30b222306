/** Applications of every framework with one page of their own, `GET /page`, that uses the session. */
import type { createServer, IncomingMessage, RequestListener } from "node:http";
import { serve } from "@hono/node-server";
import { Controller, Get, Module, Req, Res } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { FastifyAdapter } from "@nestjs/platform-fastify";
import express from "express";
import express4 from "express4";
import fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import * as forExpress from "../../src/express.js";
import * as forFastify from "../../src/fastify.js";
import * as forFetch from "../../src/fetch.js";
import * as forHono from "../../src/hono.js";
import * as forKoa from "../../src/koa.js";
import { ActiveSessionModule } from "../../src/nest.js";
import * as forNode from "../../src/node.js";
import type { ActiveSessions } from "../../src/session/active-sessions.js";
import { atEnd } from "./cleanup.js";
import { listen } from "./server.js";

/**
 * Opens one; returns its address. The page's query says which `Cache-Control` the application gives its answer (`cache`; none: none),
 * and when (`when`): `before` it uses the session, `after` that, or with the `head` of the answer, where it writes that itself.
 */
export type OpenPageApp = (sessions: ActiveSessions) => Promise<string>;

/** Does as the query says. */
function page(url: string, use: () => unknown, set: (cacheControl: string) => unknown): void {
  const { searchParams } = new URL(url, "http://app.example");
  const cache = searchParams.get("cache");
  const when = searchParams.get("when");
  if (cache !== null && when === "before") set(cache);
  use();
  if (cache !== null && when !== "before") set(cache);
}

function forExpressApp(framework: typeof express): OpenPageApp {
  return async (sessions) => {
    const app = framework();
    app.use(forExpress.activeSession(sessions));
    app.get("/page", (request, response) => {
      const isByHead = request.query.when === "head";
      const set = (value: string) =>
        isByHead ? response.writeHead(200, { "Cache-Control": value }) : response.set("Cache-Control", value);
      page(request.originalUrl, () => request.activeSession, set);
      if (isByHead) response.end("page");
      else response.send("page");
    });
    return (await listen(app)).url;
  };
}

/** A web handler behind a server of `node:http`. */
async function listenByFetch(fetch: (request: Request) => unknown): Promise<string> {
  const server = serve({ fetch: fetch as never, port: 0, hostname: "127.0.0.1" }) as ReturnType<typeof createServer>;
  await new Promise((resolve) => server.once("listening", resolve));
  atEnd(() => {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    return closed;
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** What controllers of both platforms are given. */
interface NestResponse {
  header(name: string, value: string): unknown;
}

function forNestApp(isFastify: boolean): OpenPageApp {
  return async (sessions) => {
    class Pages {
      show(request: IncomingMessage & { readonly activeSession: unknown }, response: NestResponse) {
        page(
          request.url!,
          () => request.activeSession,
          (value) => response.header("Cache-Control", value),
        );
        return "page";
      }
    }
    const { prototype } = Pages;
    Get("/page")(prototype, "show", Object.getOwnPropertyDescriptor(prototype, "show")!);
    Req()(prototype, "show", 0);
    Res({ passthrough: true })(prototype, "show", 1);
    Controller()(Pages);
    class App {}
    Module({ imports: [ActiveSessionModule.forRoot({ sessions })], controllers: [Pages] })(App);
    const options = { logger: false, forceCloseConnections: true } as const;
    const app = isFastify
      ? await NestFactory.create(App, new FastifyAdapter({ forceCloseConnections: true }), options)
      : await NestFactory.create(App, options);
    await app.listen(0, "127.0.0.1");
    atEnd(() => app.close());
    return app.getUrl();
  };
}

/** By framework; those that write the head of an answer themselves say so. */
export const pageApps: Record<string, { readonly open: OpenPageApp; readonly writesHeads?: true }> = {
  "Express 5": { open: forExpressApp(express), writesHeads: true },
  "Express 4.18": { open: forExpressApp(express4), writesHeads: true },
  "node:http": {
    writesHeads: true,
    open: async (sessions) => {
      const withSession = forNode.activeSession(sessions);
      const answer = async (...[req, res]: Parameters<RequestListener>) => {
        const request = await withSession(req, res);
        const set = (value: string) =>
          req.url!.includes("when=head")
            ? res.writeHead(200, { "Cache-Control": value })
            : res.setHeader("Cache-Control", value);
        page(req.url!, () => request.activeSession, set);
        res.end("page");
      };
      return (await listen((req, res) => void answer(req, res))).url;
    },
  },
  "fetch, @hono/node-server": {
    open: (sessions) =>
      listenByFetch(
        forFetch.activeSession(sessions)(async (request) => {
          const headers = new Headers();
          page(
            request.url,
            () => request.activeSession,
            (value) => headers.set("Cache-Control", value),
          );
          return new Response("page", { headers });
        }) as never,
      ),
  },
  Hono: {
    open: async (sessions) => {
      const app = new Hono<forHono.ActiveSessionEnv>();
      app.use(forHono.activeSession(sessions));
      app.get("/page", (context) => {
        page(
          context.req.url,
          () => context.var.activeSession,
          (value) => context.header("Cache-Control", value),
        );
        return context.text("page");
      });
      return listenByFetch(app.fetch as never);
    },
  },
  Koa: {
    open: async (sessions) => {
      const app = new Koa<Koa.DefaultState, forKoa.ActiveSessionContext>();
      app.use(forKoa.activeSession(sessions));
      app.use((context) => {
        page(
          context.originalUrl,
          () => context.activeSession,
          (value) => context.set("Cache-Control", value),
        );
        context.body = "page";
      });
      return (await listen(app.callback())).url;
    },
  },
  Fastify: {
    open: async (sessions) => {
      const app = fastify({ forceCloseConnections: true });
      await app.register(forFastify.activeSession, { sessions });
      app.get("/page", async (request, reply) => {
        page(
          request.url,
          () => request.activeSession,
          (value) => reply.header("Cache-Control", value),
        );
        return "page";
      });
      const url = await app.listen({ port: 0, host: "127.0.0.1" });
      atEnd(() => app.close());
      return url;
    },
  },
  "NestJS on Express": { open: forNestApp(false) },
  "NestJS on Fastify": { open: forNestApp(true) },
};
