/** Answers that a middleware compresses on the way. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { gunzipSync } from "node:zlib";
import compression from "compression";
import express from "express";
import { describe, expect, test, vi } from "vitest";
import { activeSession, runnerRouter } from "../src/express.js";
import { atEnd } from "./support/cleanup.js";
import { openHost, PushSource, turns } from "./support/control.js";
import { listen } from "./support/server.js";

/** A runner of Ann's behind a middleware that compresses everything. */
async function open() {
  const sessions = openHost();
  const app = express();
  app.use(compression({ threshold: 0 }));
  app.use(activeSession(sessions, { identify: () => "ann" }));
  app.use("/runners", runnerRouter(sessions, { rotateAfter: Number.POSITIVE_INFINITY, heartbeat: 15_000 }));
  const { url } = await listen(app);
  const source = new PushSource<unknown>();
  const runner = await (await sessions.get("ann")).createSequenceRunner(source);
  const get = async (query: string, headers: Record<string, string> = {}): Promise<IncomingMessage> => {
    const asked = request(`${url}/runners/${runner.key}${query}`, {
      headers: { "accept-encoding": "gzip", ...headers },
    });
    asked.end();
    atEnd(() => asked.destroy());
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    return response;
  };
  return { source, runner, get };
}

async function bodyOf(response: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of response) parts.push(part as Buffer);
  return Buffer.concat(parts);
}

describe("behind a compressing middleware", () => {
  test("an event stream is not compressed: each event arrives when it is written, and so do heartbeats (P75, P167)", async () => {
    vi.useFakeTimers();
    const { source, get } = await open();
    const response = await get("?offset=0&live=sse");
    expect(response.headers).toMatchObject({
      "cache-control": "private, no-cache, no-store, no-transform",
    });
    expect(response.headers["content-encoding"]).toBeUndefined();
    response.setEncoding("utf8");
    let seen = "";
    response.on("data", (text: string) => {
      seen += text;
    });
    const until = async (text: string) => {
      while (!seen.includes(text)) await turns(1);
      seen = "";
    };
    await until('"runnerStatus":"stalled"');
    for (const item of ["a", "b"]) {
      source.push(item);
      await until(`data:["${item}"]\n\nevent: control\n`);
      while (!seen.includes(":\n\n")) {
        vi.advanceTimersByTime(15_000);
        await turns(1);
      }
      seen = "";
    }
    const ended = once(response, "end");
    source.end();
    await until('"streamClosed":true');
    await ended;
  });

  test("a page keeps its ETag and its privacy, and 304 works (P56, P57, P165, P167)", async () => {
    const { source, runner, get } = await open();
    source.push(1, 2);
    while ((await runner.state()).progress.current < 2) await turns(1);
    const page = await get("?offset=0");
    expect(page.headers).toMatchObject({ "content-encoding": "gzip", "cache-control": "private, no-cache, no-store" });
    expect(gunzipSync(await bodyOf(page)).toString()).toBe("[1,2]");
    const unchanged = await get("?offset=0", { "if-none-match": page.headers.etag! });
    expect([unchanged.statusCode, (await bodyOf(unchanged)).length]).toEqual([304, 0]);
    source.end();
    await runner.cleanup;
    const closed = await get("?offset=0", { "if-none-match": page.headers.etag! });
    expect([closed.statusCode, closed.headers["stream-closed"]]).toEqual([200, "true"]);
    await bodyOf(closed);
  });
});
