/** Two copies of the package in one process: a bundler makes one for each of its bundles, and npm one for each version. */
import type { RequestHandler } from "express";
import express from "express";
import { describe, expect, test, vi } from "vitest";
import { createClient } from "../src/client.js";
import { atEnd } from "./support/cleanup.js";
import { PushSource, turns } from "./support/control.js";
import { waitUntil } from "./support/patience.js";
import { listen } from "./support/server.js";
import { until } from "./support/stage.js";

async function copy() {
  vi.resetModules();
  return {
    ...(await import("../src/index.js")),
    express: await import("../src/express.js"),
    fetch: await import("../src/fetch.js"),
    errors: await import("../src/base/error.js"),
  };
}

/** An application whose parts are those of two copies. */
async function open() {
  const [one, other] = [await copy(), await copy()];
  expect(one.createActiveSessions).not.toBe(other.createActiveSessions);
  const sessions = one.createActiveSessions({ logger: { warn: () => {}, error: () => {}, info: () => {} } as never });
  atEnd(async () => void (await sessions.close()));
  const source = new PushSource<number>();
  const rows = other.defineSequenceRunner({ name: "rows", run: () => source });
  const app = express();
  app.use(other.express.activeSession(sessions as never) as RequestHandler);
  app.use("/runners", one.express.runnerRouter(sessions as never, { expose: [rows as never] }) as RequestHandler);
  app.use("/others", other.express.runnerRouter(sessions as never, { expose: [rows as never] }) as RequestHandler);
  app.post("/login", async (request, response) => {
    await one.express.rotateSession(request);
    response.end();
  });
  app.post("/locked", async (request, response) => {
    const lock = await request.activeSession.lock("one");
    const runner = await request.activeSession.createSequenceRunner([1], { holds: [lock!] });
    response.json({ key: runner.key });
  });
  app.get("/failing", (_request, response) => {
    const error = new one.errors.ActiveSessionError("CLIENT_LIMIT_REACHED", "Too many");
    response.json([error instanceof other.errors.ActiveSessionError, other.errors.ActiveSessionError.is(error)]);
  });
  const { url } = await listen(app);
  let cookie = "";
  const ask = async (path: string | URL | Request, init: RequestInit = {}) => {
    const headers = new Headers(init.headers);
    headers.set("cookie", cookie);
    const response = await fetch(new URL(String(path), url), { ...init, headers });
    const [set] = response.headers.getSetCookie();
    if (set) cookie = set.split(";")[0]!;
    return response;
  };
  return { one, other, sessions, source, url, ask };
}

describe("two copies of the package", () => {
  test("share a host, its sessions, definitions, runners and their event streams", async () => {
    const { source, url, ask, sessions } = await open();
    const client = createClient(`${url}/runners`, { fetch: ask });
    const follower = await client.create("rows");
    expect(sessions.stats()).toMatchObject({ sessions: 1, runners: 1 });
    const taken: unknown[] = [];
    const taking = (async () => {
      for await (const item of follower) taken.push(item);
    })();
    source.push(1, 2, 3);
    await waitUntil(() => taken.length === 3);
    // The other copy's routes hear of the acknowledgement, and renew the response of the first.
    const acked = await ask(`/others/${follower.key}/ack?offset=2`, { method: "POST" });
    expect(acked.status).toBe(204);
    source.end();
    await taking;
    expect(taken).toEqual([1, 2, 3]);
  });

  test("a response of one is renewed by an acknowledgement to the other", async () => {
    const { source, ask, sessions } = await open();
    const created = await ask("/runners/rows", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "1",
    });
    const { key } = (await created.json()) as { key: string };
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance", "Date"] });
    const stream = await ask(`/runners/${key}?offset=0&live=sse&acks=true`);
    const id = stream.headers.get("runner-response")!;
    const reader = stream.body!.getReader();
    await reader.read();
    source.push(1);
    await reader.read();
    vi.advanceTimersByTime(50_000);
    const acked = await ask(`/others/${key}/ack?offset=1&response=${id}`, { method: "POST" });
    expect(acked.status).toBe(204);
    vi.advanceTimersByTime(50_000); // it would have ended after sixty
    await turns(3);
    source.push(2);
    let text = "";
    const decoder = new TextDecoder();
    while (!text.includes("data:[2]")) {
      const { done, value } = await reader.read();
      if (done) throw new Error("It has ended");
      text += decoder.decode(value);
    }
    await reader.cancel();
    await until(() => sessions.stats().openReads === 0);
    await sessions.close();
    vi.advanceTimersByTime(60_000); // connections that are kept alive
  });

  test("a session is rotated, a lock handed over, and an error recognised, from either copy", async () => {
    const { ask, sessions } = await open();
    const locked = await ask("/locked", { method: "POST" });
    expect(locked.status).toBe(200);
    const { key } = (await locked.json()) as { key: string };
    expect((await ask("/login", { method: "POST" })).status).toBe(200);
    expect(sessions.stats().sessions).toBe(1);
    const page = await ask(`/others/${key}?offset=0`);
    expect([page.status, await page.json()]).toEqual([200, [1]]);
    expect(await (await ask("/failing")).json()).toEqual([true, true]);
  });
});
