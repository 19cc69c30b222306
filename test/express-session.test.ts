/** Where express-session stands before the middleware: its session is the client's identity, and must be kept in time. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import express, { type ErrorRequestHandler, type Express } from "express";
import expressSession, { MemoryStore, type SessionData } from "express-session";
import fileStore from "session-file-store";
import { describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { activeSession, runnerRouter } from "../src/express.js";
import type { ActiveSession } from "../src/session/active-session.js";
import type { ActiveSessionsOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { isPending, openHost } from "./support/control.js";
import { waitUntil } from "./support/patience.js";
import { listen } from "./support/server.js";

/** A store that saves when the test lets it. */
class SlowStore extends MemoryStore {
  saves = 0;
  wait = async () => {};

  override set(id: string, session: SessionData, callback?: (error?: unknown) => void): void {
    this.saves++;
    this.wait().then(
      () => super.set(id, session, callback),
      (error: unknown) => callback?.(error),
    );
  }
}

interface AppOptions {
  readonly store?: expressSession.Store;
  readonly saveUninitialized?: boolean;
  readonly host?: ActiveSessionsOptions<ActiveSession>;
  readonly identify?: () => string;
  readonly routes?: (app: Express) => void;
}

const showError: ErrorRequestHandler = (error, _request, response, _next) => {
  if (response.headersSent) response.end(JSON.stringify({ code: error.code }));
  else response.status(error.status ?? 500).json({ code: error.code, cause: error.cause?.message });
};

async function open({ store = new MemoryStore(), saveUninitialized = false, host, identify, routes }: AppOptions = {}) {
  const sessions = openHost(host);
  const app = express();
  app.use(expressSession({ store, secret: "test", resave: false, saveUninitialized }));
  app.use(activeSession(sessions, identify ? { identify } : {}));
  app.use("/runners", runnerRouter(sessions));
  app.get("/untouched", (_request, response) => void response.json({}));
  app.get("/who", (request, response) => {
    response.json({ id: request.activeSession.id, generation: request.activeSession.generation });
  });
  app.post("/start", async (request, response) => {
    const runner = await request.activeSession.createSequenceRunner([1, 2, 3], { retain: "all" });
    const page = await runner.getRequired({ advance: 2 });
    response.write(`${JSON.stringify({ key: runner.key, ...page })}\n`);
    request.on("close", () => response.end());
  });
  routes?.(app);
  app.use(showError);
  const { url } = await listen(app);
  return { url, sessions };
}

/** Asks like a browser would, which keeps the cookies of all answers. */
function browser(url: string) {
  const jar = new Map<string, string>();
  return async (path: string, init: RequestInit = {}) => {
    const cookie = [...jar].map((pair) => pair.join("=")).join("; ");
    const response = await fetch(url + path, { ...init, headers: { ...init.headers, cookie } });
    for (const line of response.headers.getSetCookie()) {
      const [pair = ""] = line.split(";");
      jar.set(pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1));
    }
    return response;
  };
}

/** The first line of a body that goes on, and what ends it. */
async function firstLine(response: Response) {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  atEnd(() => reader.cancel());
  return JSON.parse((await reader.read()).value!);
}

describe.each([false, true])("with saveUninitialized: %s", (saveUninitialized) => {
  test("a client that streams its first page and comes back at once finds its runner, however slowly the store saves (parity 178)", async () => {
    const store = new SlowStore();
    const gate = createDeferred();
    store.wait = () => gate.promise;
    const { url } = await open({ store, saveUninitialized });
    const ask = browser(url);
    const answer = ask("/start", { method: "POST" });
    expect(await isPending(answer)).toBe(true);
    await waitUntil(() => store.saves > 0);
    expect(await isPending(answer)).toBe(true);
    gate.resolve();
    const { key, result, position } = await firstLine(await answer);
    expect(result).toEqual([1, 2]);
    const rest = await ask(`/runners/${key}?offset=${String(position).padStart(16, "0")}`);
    expect([rest.status, await rest.json()]).toEqual([200, [3]]);
  });

  test("a store that cannot save fails the creation with 503 and its own error, and leaves nothing behind (parity 123, 129)", async () => {
    const store = new SlowStore();
    store.wait = () => Promise.reject(new Error("the disk is full"));
    const warn = vi.fn();
    const { url, sessions } = await open({ store, saveUninitialized, host: { logger: { warn } } });
    const answer = await browser(url)("/start", { method: "POST" });
    expect([answer.status, await answer.json()]).toEqual([
      503,
      { code: "IDENTITY_NOT_SAVED", cause: "the disk is full" },
    ]);
    expect(sessions.stats().runners).toBe(0);
    expect(warn.mock.calls.map(([, message]) => message)).toEqual([
      "active-session: the framework's session could not be saved",
      "active-session: a runner could not be created",
    ]);
  });
});

test("a parallel request that overwrites what the store has of the session takes no runner away (parity 134)", async () => {
  const store = new MemoryStore();
  const { url } = await open({ store });
  const ask = browser(url);
  const { key } = await firstLine(await ask("/start", { method: "POST" }));
  const saved = await new Promise<Record<string, SessionData>>((resolve) => {
    store.all((_error, all) => resolve(all as Record<string, SessionData>));
  });
  for (const [id, { cookie }] of Object.entries(saved)) {
    await new Promise((resolve) => store.set(id, { cookie } as SessionData, resolve));
  }
  expect(Object.keys(saved)).toHaveLength(1);
  expect(await (await ask(`/runners/${key}`)).json()).toEqual([1, 2, 3]);
});

test("with a store on a disk, everything is found again from request to request, and it is saved once", async () => {
  const path = mkdtempSync(join(tmpdir(), "active-session-store-"));
  atEnd(() => rmSync(path, { recursive: true, force: true }));
  const store = new (fileStore(expressSession))({ path, retries: 0, reapInterval: -1, logFn: () => {} });
  const set = vi.spyOn(store, "set");
  const { url, sessions } = await open({ store });
  const ask = browser(url);
  const { key } = await firstLine(await ask("/start", { method: "POST" }));
  expect(await (await ask(`/runners/${key}`)).json()).toEqual([1, 2, 3]);
  const [one, two] = [await (await ask("/who")).json(), await (await ask("/who")).json()];
  expect(one).toEqual(two);
  expect(key).toContain(one.id);
  expect(sessions.stats().sessions).toBe(1);
  expect(set).toHaveBeenCalledTimes(1);
  expect(
    (await ask(`/runners/${key}`, { method: "DELETE", headers: { "sec-fetch-site": "same-origin" } })).status,
  ).toBe(204);
});

test("one failure to save does not refuse every later creation: the next request tries again", async () => {
  const store = new SlowStore();
  let failures = 1;
  store.wait = async () => {
    if (failures-- > 0) throw new Error("the disk is full");
  };
  const { url } = await open({
    store,
    host: { logger: { warn: () => {} } },
    routes: (app) => {
      app.use(((_error, request, response, _next) => {
        // Written behind the mark, which so reaches the store after all.
        (request.session as unknown as { flash: string }).flash = "sorry";
        response.status(500).json({});
      }) as ErrorRequestHandler);
    },
  });
  const ask = browser(url);
  expect((await ask("/start", { method: "POST" })).status).toBe(500);
  const { key } = await firstLine(await ask("/start", { method: "POST" }));
  expect((await ask(`/runners/${key}`)).status).toBe(200);
});

test("a creation waits for a store that never answers no longer than the session lives", async () => {
  const store = new SlowStore();
  store.wait = () => new Promise(() => {});
  const { url, sessions } = await open({ store, host: { logger: { warn: () => {} } } });
  const answer = browser(url)("/start", { method: "POST" });
  await waitUntil(() => store.saves > 0);
  for (const session of sessions.sessions()) await session.terminate();
  // express-session itself goes on to wait for its store before it ends an answer; the creation has not.
  await waitUntil(() => sessions.stats().runners === 0);
  answer.catch(() => {});
});

test("a request that does not touch the session stores nothing and sets no cookie", async () => {
  const store = new SlowStore();
  const { url, sessions } = await open({ store });
  for (const path of ["/untouched", "/nowhere", `/runners/0-1-${"A".repeat(22)}`]) {
    expect((await fetch(url + path)).headers.getSetCookie(), path).toEqual([]);
  }
  expect([store.saves, sessions.stats().sessions]).toEqual([0, 0]);
});

test("no cookie of our own is set beside the framework's", async () => {
  const { url } = await open();
  const cookies = (await fetch(`${url}/who`)).headers.getSetCookie();
  expect(cookies).toEqual([expect.stringMatching(/^connect\.sid=/)]);
});

test("two clients have two sessions, and each other's runners do not exist for them", async () => {
  const { url, sessions } = await open();
  const [ann, bob] = [browser(url), browser(url)];
  const { key } = await firstLine(await ann("/start", { method: "POST" }));
  await bob("/who");
  expect(sessions.stats().sessions).toBe(2);
  expect((await bob(`/runners/${key}`)).status).toBe(404);
  expect((await ann(`/runners/${key}`)).status).toBe(200);
});

test("the first use after the headers were sent is too late for a session that is not kept yet, and creates nothing", async () => {
  const { url, sessions } = await open({
    routes: (app) => {
      app.get("/late", (request, response) => {
        response.write("");
        response.flushHeaders();
        response.end(JSON.stringify({ id: request.activeSession.id }));
      });
    },
  });
  const ask = browser(url);
  expect(await (await ask("/late")).json()).toEqual({ code: "IDENTITY_TOO_LATE" });
  expect(sessions.stats().sessions).toBe(0);
  const { id } = await (await ask("/who")).json();
  expect(await (await ask("/late")).json()).toEqual({ id });
});

test("an application that knows its users has its word first, and the framework's session is left alone", async () => {
  const store = new SlowStore();
  const { url, sessions } = await open({ store, identify: () => "ann" });
  expect((await fetch(`${url}/who`)).headers.getSetCookie()).toEqual([]);
  expect(store.saves).toBe(0);
  expect(await sessions.find("ann")).toBeDefined();
});

test("a login that gives the client a new framework session gives it a new active session in the same request", async () => {
  const { url } = await open({
    routes: (app) => {
      app.post("/login", (request, response, next) => {
        const before = request.activeSession.id;
        request.session.regenerate((error) => {
          if (error) return next(error);
          response.json({ before, after: request.activeSession.id });
        });
      });
    },
  });
  const ask = browser(url);
  const { id } = await (await ask("/who")).json();
  const { before, after } = await (await ask("/login", { method: "POST" })).json();
  expect(before).toBe(id);
  expect(after).not.toBe(id);
  expect((await (await ask("/who")).json()).id).toBe(after);
});

test("after a logout nothing is started again within the request", async () => {
  const { url, sessions } = await open({
    routes: (app) => {
      app.post("/logout", async (request, response) => {
        await request.activeSession.terminate();
        await new Promise((resolve) => request.session.destroy(resolve));
        const { isAvailable } = request.activeSession;
        response.json({ isAvailable });
      });
    },
  });
  const ask = browser(url);
  const first = await (await ask("/who")).json();
  expect(await (await ask("/logout", { method: "POST" })).json()).toEqual({ isAvailable: false });
  expect(sessions.stats().sessions).toBe(0);
  const next = await (await ask("/who")).json();
  expect(next.generation).toBeGreaterThan(first.generation);
});
