/** The adapter for plain `node:http`. */
import { describe, expect, test } from "vitest";
import { createClient } from "../src/client.js";
import { type ActiveSessionOptions, activeSession, type RunnerRouterOptions, runnerRouter } from "../src/node.js";
import { openHost } from "./support/control.js";
import { listen } from "./support/server.js";

async function open(options: ActiveSessionOptions = {}, routerOptions: RunnerRouterOptions = {}) {
  const sessions = openHost();
  const withSession = activeSession(sessions, options);
  const serveRunners = runnerRouter(sessions, routerOptions);
  const answer = async (...[req, res]: Parameters<typeof withSession>) => {
    const request = await withSession(req, res);
    if (await serveRunners(request, res)) return;
    if (req.method !== "POST") {
      res.writeHead(req.url === "/hello" ? 200 : 404).end("hello");
      return;
    }
    const runner = await request.activeSession.createSequenceRunner([1, 2, 3, 4, 5], { retain: "all" });
    const page = await runner.getRequired({ advance: 2 });
    res.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ key: runner.key, ...page }));
  };
  const { url } = await listen((req, res) => {
    answer(req, res).catch((error: { status?: number; code?: string }) => {
      res.writeHead(error.status ?? 500).end(JSON.stringify({ code: error.code }));
    });
  });
  return { url, sessions };
}

/** Starts a runner; returns its key, and the headers of a client that keeps its cookie. */
async function start(url: string) {
  const response = await fetch(url, { method: "POST" });
  const cookies = response.headers.getSetCookie();
  const { key, result } = (await response.json()) as { key: string; result: number[] };
  return { key, result, cookies, headers: { cookie: cookies[0]?.split(";")[0] ?? "" } };
}

test("the first page comes with the answer, and our client reads the rest by its cookie", async () => {
  const { url } = await open();
  const { key, result, cookies, headers } = await start(url);
  expect(result).toEqual([1, 2]);
  expect(cookies).toEqual([expect.stringMatching(/^active-session=[^;]{34}; Path=\/; HttpOnly; SameSite=Lax$/)]);
  const items: unknown[] = [];
  for await (const item of createClient(`${url}/runners`, { headers }).follow(key)) items.push(item);
  expect(items).toEqual([1, 2, 3, 4, 5]);
  expect((await fetch(`${url}/runners/${key}`)).status).toBe(404);
});

test("a request that does not touch the session gets no cookie and makes none", async () => {
  const { url, sessions } = await open();
  const response = await fetch(`${url}/hello`);
  expect([response.status, await response.text(), response.headers.getSetCookie()]).toEqual([200, "hello", []]);
  expect(sessions.stats().sessions).toBe(0);
});

test("behind a proxy that ends TLS the cookie is secure when the application says so", async () => {
  const { url } = await open({ cookie: { secure: true } });
  const { cookies, headers, key } = await start(url);
  expect(cookies).toEqual([
    expect.stringMatching(/^__Host-active-session=[^;]{34}; Path=\/; HttpOnly; SameSite=Lax; Secure$/),
  ]);
  expect((await fetch(`${url}/runners/${key}`, { headers })).status).toBe(200);
});

test("an application that knows its users says so, and what it throws is its own to answer", async () => {
  const identify = (request: { headers: Record<string, unknown> }) => {
    if (request.headers["x-user"] === "mallory") throw Object.assign(new Error("Who?"), { status: 401, code: "WHO" });
    return request.headers["x-user"];
  };
  const { url, sessions } = await open({ identify });
  await fetch(url, { method: "POST", headers: { "x-user": "ann" } });
  expect(await sessions.find("ann")).toBeDefined();
  const refused = await fetch(url, { headers: { "x-user": "mallory" } });
  expect([refused.status, await refused.json()]).toEqual([401, { code: "WHO" }]);
});

test("the request is given back at once where nothing has to be asked, and otherwise when that is known", async () => {
  const given: unknown[] = [];
  const plain = activeSession(openHost());
  const asking = activeSession(openHost(), { identify: async () => "ann" });
  const { url } = await listen(async (req, res) => {
    given.push(plain(req, res) === req, asking(req, res) instanceof Promise);
    given.push((await asking(req, res)) === req);
    res.end();
  });
  await fetch(url);
  expect(given).toEqual([true, true, true]);
});

describe("the path of the runners", () => {
  test.each([
    ["/api/v1/runners", "/api/v1/runners"],
    ["/api/", "/api"],
    ["/", ""],
    ["", ""],
  ])("may be %j", async (path, mount) => {
    const { url } = await open({}, { path });
    const { key, headers } = await start(url);
    expect(await (await fetch(`${url}${mount}/${key}?offset=-1`, { headers })).json()).toEqual([1, 2, 3, 4, 5]);
    expect((await fetch(`${url}${mount}/${key}/state`, { headers })).status).toBe(200);
    expect((await fetch(`${url}/x${mount}/${key}/state/more`, { headers })).status).toBe(404);
  });

  test.each(["runners", "/runners?x", "/a//b", 5])("may not be %j", (path) => {
    expect(() => runnerRouter(openHost(), { path: path as string })).toThrow(
      expect.objectContaining({ code: "INVALID_OPTION" }),
    );
  });
});

test("a request without a session, or of another host, is told what is missing", async () => {
  const serveRunners = runnerRouter(openHost());
  const other = activeSession(openHost());
  const { url } = await listen(async (req, res) => {
    if (req.headers["x-other"]) await other(req, res);
    await serveRunners(req, res).catch((error) => res.writeHead(error.status).end(error.message));
  });
  for (const headers of [{}, { "x-other": "1" }]) {
    const response = await fetch(`${url}/runners/x`, { headers });
    expect([response.status, await response.text()]).toEqual([
      500,
      expect.stringContaining("must have passed activeSession(sessions) before"),
    ]);
  }
});
