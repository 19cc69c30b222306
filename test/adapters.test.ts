/** The same scenarios through every adapter, on real sockets. */
import { gzipSync } from "node:zlib";
import { serve } from "@hono/node-server";
import express from "express";
import fastify from "fastify";
import { Hono } from "hono";
import Koa from "koa";
import { describe, expect, test } from "vitest";
import { ActiveSessionError } from "../src/base/error.js";
import { createClient } from "../src/client.js";
import * as forExpress from "../src/express.js";
import * as forFastify from "../src/fastify.js";
import * as forFetch from "../src/fetch.js";
import * as forHono from "../src/hono.js";
import * as forKoa from "../src/koa.js";
import * as forNode from "../src/node.js";
import type { ActiveSession } from "../src/session/active-session.js";
import type { ActiveSessions } from "../src/session/active-sessions.js";
import { defineSequenceRunner } from "../src/session/define.js";
import { atEnd } from "./support/cleanup.js";
import { openHost } from "./support/control.js";
import { listen } from "./support/server.js";

const count = defineSequenceRunner({
  name: "count",
  run: function* ({ to }: { to: number }) {
    for (let n = 1; n <= to; n++) yield n;
  },
});
const router = { expose: [count] };

/** What every application here does at `POST /start`. */
async function start(session: ActiveSession): Promise<object> {
  if (session.runnerCount > 1) throw new ActiveSessionError("CLIENT_LIMIT_REACHED", "Enough", { retryAfter: 5 });
  const runner = await session.createSequenceRunner([1, 2, 3, 4, 5], { retain: "all" });
  return { key: runner.key, ...(await runner.getRequired({ advance: 2 })) };
}

async function listenByFetch(fetch: (request: Request) => Response | Promise<Response>): Promise<string> {
  const server = serve({ fetch, port: 0, hostname: "127.0.0.1" });
  await new Promise((resolve) => server.once("listening", resolve));
  atEnd(() => {
    (server as unknown as { closeAllConnections(): void }).closeAllConnections();
    return new Promise<void>((resolve) => void server.close(() => resolve()));
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

/** For each adapter, an application; gives its address. */
const adapters: Record<string, (sessions: ActiveSessions) => Promise<string>> = {
  express: async (sessions) => {
    const app = express();
    app.use(forExpress.activeSession(sessions));
    app.use("/runners", forExpress.runnerRouter(sessions, router));
    app.post("/start", async (request, response) => void response.status(201).json(await start(request.activeSession)));
    app.get("/hello", (_request, response) => void response.send("hello"));
    return (await listen(app)).url;
  },
  "node:http": async (sessions) => {
    const withSession = forNode.activeSession(sessions);
    const serveRunners = forNode.runnerRouter(sessions, router);
    const answer = async (...[req, res]: Parameters<typeof withSession>) => {
      const request = await withSession(req, res);
      if (await serveRunners(request, res)) return;
      if (req.url === "/hello") return void res.end("hello");
      const page = await start(request.activeSession);
      res.writeHead(201).end(JSON.stringify(page));
    };
    const { url } = await listen((req, res) => {
      answer(req, res).catch((error: ActiveSessionError) => res.writeHead(error.status, error.headers).end());
    });
    return url;
  },
  fetch: async (sessions) => {
    const withSession = forFetch.activeSession(sessions);
    const runners = forFetch.runnerRouter(sessions, router);
    return listenByFetch(
      withSession(async (request) => {
        const response = await runners(request);
        if (response) return response;
        if (request.url.endsWith("/hello")) return new Response("hello");
        return Response.json(await start(request.activeSession), { status: 201 });
      }),
    );
  },
  hono: async (sessions) => {
    const app = new Hono<forHono.ActiveSessionEnv>();
    app.use(forHono.activeSession(sessions));
    app.use(forHono.runnerRouter(sessions, router));
    app.post("/start", async (c) => c.json(await start(c.var.activeSession), 201));
    app.get("/hello", (c) => c.text("hello"));
    return listenByFetch(app.fetch as never);
  },
  koa: async (sessions) => {
    const app = new Koa<Koa.DefaultState, forKoa.ActiveSessionContext>();
    app.use(forKoa.activeSession(sessions));
    app.use(forKoa.runnerRouter(sessions, router));
    app.use(async (context) => {
      if (context.path === "/hello") context.body = "hello";
      else {
        context.body = await start(context.activeSession);
        context.status = 201;
      }
    });
    return (await listen(app.callback())).url;
  },
  fastify: async (sessions) => {
    const app = fastify({ forceCloseConnections: true }); // `fetch` connects anew after an abort, and asks nothing
    await app.register(forFastify.activeSession, { sessions });
    await app.register(forFastify.runnerRouter, { prefix: "/runners", sessions, ...router });
    app.post("/start", async (request, reply) => reply.code(201).send(await start(request.activeSession)));
    app.get("/hello", async () => "hello");
    atEnd(() => app.close());
    return app.listen({ port: 0, host: "127.0.0.1" });
  },
};

test("a request of the web platform that does not name its host is its address's own", async () => {
  const sessions = openHost();
  const { key } = await (await sessions.get("ann")).createSequenceRunner([1]);
  const runners = forFetch.runnerRouter(sessions);
  const answer = forFetch.activeSession(sessions, { identify: () => "ann" })(
    async (request) => (await runners(request))!,
  );
  const abort = async (origin: string) =>
    (await answer(new Request(`https://app.example/runners/${key}/abort`, { method: "POST", headers: { origin } })))
      .status;
  expect([await abort("https://evil.example"), await abort("https://app.example")]).toEqual([403, 200]);
});

describe.each(Object.entries(adapters))("the adapter for %s", (_name, open) => {
  async function started() {
    const sessions = openHost();
    const url = await open(sessions);
    const response = await fetch(`${url}/start`, { method: "POST" });
    const cookies = response.headers.getSetCookie();
    const headers = { cookie: cookies[0]?.split(";")[0] ?? "" };
    const page = (await response.json()) as { key: string; result: number[] };
    return { sessions, url, response, cookies, headers, page, client: createClient(`${url}/runners`, { headers }) };
  }

  test("gives the first page in the answer, with a cookie, and the rest by page, long-poll and SSE", async () => {
    const { response, cookies, page, client } = await started();
    expect(response.status).toBe(201);
    expect(cookies).toEqual([expect.stringMatching(/^active-session=[^;]{22}; Path=\/; HttpOnly; SameSite=Lax$/)]);
    expect(page.result).toEqual([1, 2]);
    expect((await client.read(page.key, { offset: 2 })).items).toEqual([3, 4, 5]);
    for (const live of ["long-poll", "sse"] as const) {
      const items: unknown[] = [];
      for await (const item of client.follow(page.key, { live })) items.push(item);
      expect(items).toEqual([1, 2, 3, 4, 5]);
    }
  });

  test("creates what is exposed, for a new client too", async () => {
    const sessions = openHost();
    const url = await open(sessions);
    const init = { method: "POST", headers: { "content-type": "application/json" }, body: '{"to":50}' };
    const response = await fetch(`${url}/runners/count?max-items=2`, init);
    expect([response.status, await response.json()]).toMatchObject([201, { items: [1, 2], closed: false }]);
    expect(response.headers.getSetCookie()).toHaveLength(1);
    const location = new URL(response.headers.get("location")!, response.url);
    const headers = { cookie: response.headers.getSetCookie()[0]!.split(";")[0]! };
    expect((await (await fetch(`${location}?offset=48`, { headers })).json()) as number[]).toEqual([49, 50]);
    const list = (await (await fetch(`${url}/runners`, { headers })).json()) as { name: string }[];
    expect(list.map(({ name }) => name)).toEqual(["count"]);
  });

  test("answers HEAD, state, abort and removal, and to a stranger as if there were nothing", async () => {
    const { url, headers, page, client } = await started();
    const head = await fetch(`${url}/runners/${page.key}`, { method: "HEAD", headers });
    expect([head.status, head.headers.get("runner-progress")]).toEqual([200, "5"]);
    expect((await client.state(page.key)).progress.current).toBe(5);
    expect((await fetch(`${url}/runners/${page.key}`)).status).toBe(404);
    expect((await client.abort(page.key)).status).toBe("aborted");
    await client.remove(page.key);
    await expect(client.state(page.key)).rejects.toMatchObject({ code: "RUNNER_GONE" });
    expect((await fetch(`${url}/runners/${page.key}`, { method: "PUT", headers })).status).toBe(405);
    expect((await fetch(`${url}/runners/a/b/c`, { headers })).status).toBe(
      _name === "node:http" || _name === "fetch" || _name === "koa" ? 201 : 404,
    );
  });

  test("refuses what the protocol refuses (P9, P11, P24, P34, P130, P131, P150, P165, P166)", async () => {
    const { url, headers, page } = await started();
    const json = { "content-type": "application/json" };
    const own = new URL(url).host;
    const cases: [status: number, method: string, path: string, headers?: Record<string, string>, body?: BodyInit][] = [
      [400, "GET", `/${page.key}?offset=%31%2e`],
      [400, "GET", `/${page.key}?offset=1&offset=1`],
      [404, "GET", `/%${page.key.charCodeAt(0).toString(16)}${page.key.slice(1)}`],
      [404, "GET", `/${page.key}/nothing`],
      [405, "PUT", `/${page.key}`, json, "[1]"],
      [405, "OPTIONS", `/${page.key}`],
      [405, "GET", "/count"],
      [403, "POST", `/${page.key}/abort`, { origin: "http://evil.example" }],
      [403, "POST", `/${page.key}/abort`, { "sec-fetch-site": "cross-site" }],
      [415, "POST", "/count", { "content-type": "text/plain" }, '{"to":5}'],
      [415, "POST", "/count", { ...json, "content-encoding": "gzip" }, gzipSync('{"to":5}')],
      [413, "POST", "/count", json, JSON.stringify("x".repeat(200_000))],
      [422, "POST", "/count", json, "{"],
    ];
    for (const [status, method, path, more, body] of cases) {
      const response = await fetch(`${url}/runners${path}`, {
        method,
        headers: { ...headers, ...more },
        body: body ?? null,
      });
      const { code } = JSON.parse(await response.text());
      const name = `${method} ${path} ${JSON.stringify(more)}`;
      expect([name, response.status, response.headers.get("runner-error-code")]).toEqual([name, status, code]);
      expect(response.headers.get("cache-control")).toBe("private, no-cache, no-store");
      expect(response.headers.get("cross-origin-resource-policy")).toBe("same-origin");
      expect(response.headers.has("allow")).toBe(status === 405);
    }
    for (const origin of [`http://${own}`, `https://${own}`]) {
      const aborted = await fetch(`${url}/runners/${page.key}/abort`, {
        method: "POST",
        headers: { ...headers, origin },
      });
      expect(aborted.status).toBe(200);
      await aborted.text();
    }
  });

  test("lets the framework answer what the application is refused, with status and Retry-After", async () => {
    const { url, headers } = await started();
    const again = () => fetch(`${url}/start`, { method: "POST", headers });
    expect((await again()).status).toBe(201);
    const refused = await again();
    expect(refused.status).toBe(429);
    expect(refused.headers.get("retry-after")).toBe("5");
  });

  test("makes no session and sets no cookie for a request that does not touch it", async () => {
    const sessions = openHost();
    const url = await open(sessions);
    const response = await fetch(`${url}/hello`);
    expect([response.status, await response.text(), response.headers.getSetCookie()]).toEqual([200, "hello", []]);
    expect(sessions.stats().sessions).toBe(0);
  });

  test("lets go of a response whose reader has vanished", async () => {
    const { sessions, url, headers } = await started();
    const session = [...sessions.sessions()][0]!;
    const runner = await session.createSequenceRunner(new ReadableStream<number>());
    const gone = new AbortController();
    await fetch(`${url}/runners/${runner.key}?offset=0&live=sse`, { headers, signal: gone.signal });
    expect(sessions.stats().openReads).toBe(1);
    gone.abort();
    while (sessions.stats().openReads > 0) await new Promise((resolve) => setImmediate(resolve));
  });

  test("ends open responses when the host is closed", async () => {
    const { sessions, url, headers } = await started();
    const session = [...sessions.sessions()][0]!;
    const runner = await session.createSequenceRunner(new ReadableStream<number>());
    const response = await fetch(`${url}/runners/${runner.key}?offset=0&live=sse`, { headers });
    const text = response.text();
    await sessions.close();
    expect(await text).toContain('"runnerAbortReason":"shutdown"');
  });
});
