/** The adapter for `node:http` over `node:http2`, whose requests and responses are nearly the same. */
import { once } from "node:events";
import type { IncomingMessage, ServerResponse } from "node:http";
import {
  type ClientHttp2Session,
  connect,
  constants,
  createServer,
  type Http2ServerRequest,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { defineSequenceRunner } from "../src/index.js";
import { activeSession, runnerRouter } from "../src/node.js";
import type { Runner } from "../src/runner/runner.js";
import { atEnd } from "./support/cleanup.js";
import { openHost, PushSource, turns } from "./support/control.js";
import { inside } from "./support/inside.js";

interface Answer {
  readonly status: number;
  readonly headers: Record<string, unknown>;
  readonly body: string;
}

/** A server over HTTP/2 and a connection to it; users are told apart by the header `x-user`. */
async function open(identify = async (request: IncomingMessage): Promise<unknown> => request.headers["x-user"]) {
  const sessions = openHost();
  const echo = defineSequenceRunner({ name: "echo", run: (input: unknown) => [input] });
  const withSession = activeSession(sessions, { identify });
  const serveRunners = runnerRouter(sessions, { expose: [echo], bodyLimit: 100 });
  const over: Promise<unknown>[] = [];
  const server = createServer((...exchange) => {
    // What the two have in common is all that the adapter needs.
    const [req, res] = exchange as unknown as [IncomingMessage, ServerResponse];
    const answer = async () => {
      const request = await withSession(req, res);
      if (await serveRunners(request, res)) return;
      res.end(request.activeSession.id);
    };
    over.push(answer().catch((error) => res.writeHead(error.status ?? 500).end(String(error))));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const client = connect(`http://127.0.0.1:${port}`);
  atEnd(async () => {
    client.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const runner = async () => {
    const source = new PushSource<unknown>();
    const made = await (await sessions.get("ann")).createSequenceRunner(source);
    return { source, runner: made };
  };
  const ask = (path: string, headers: OutgoingHttpHeaders = {}, body?: string) =>
    send(client, { ":path": path, "x-user": "ann", ...headers }, body);
  return { sessions, client, port, over, runner, ask };
}

function send(client: ClientHttp2Session, headers: OutgoingHttpHeaders, body?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const stream = client.request(headers, { endStream: body === undefined });
    let answered: Record<string, unknown> = {};
    let text = "";
    stream.on("response", (all) => {
      answered = all;
    });
    stream.setEncoding("utf8").on("data", (chunk) => {
      text += chunk;
    });
    stream.on("end", () => resolve({ status: Number(answered[":status"]), headers: answered, body: text }));
    stream.on("error", reject);
    if (body !== undefined) stream.end(body);
  });
}

/** Opens a live response; `next` gives its next piece of text. */
function follow(client: ClientHttp2Session, path: string) {
  const stream = client.request({ ":path": path, "x-user": "ann" }).setEncoding("utf8");
  stream.on("error", () => {});
  const pieces = stream[Symbol.asyncIterator]();
  return { stream, next: async () => (await pieces.next()).value as string };
}

async function produced(runner: Runner, count: number): Promise<void> {
  while ((await runner.state()).progress.current < count) await turns(1);
}

describe("over HTTP/2", () => {
  test("pages, state, acknowledgement, abort and removal are what they are over HTTP/1.1 (P164)", async () => {
    const { ask, runner: create } = await open();
    const { runner, source } = await create();
    source.push(1, 2, 3);
    await produced(runner, 3);
    const page = await ask(`/runners/${runner.key}?offset=0&max-items=2`);
    expect(page).toMatchObject({ status: 200, body: "[1,2]", headers: { "stream-next-offset": "0000000000000002" } });
    const unchanged = await ask(`/runners/${runner.key}?offset=0&max-items=2`, {
      "if-none-match": String(page.headers.etag),
    });
    expect(unchanged).toMatchObject({ status: 304, body: "" });
    expect((await ask(`/runners/${runner.key}?offset=3&live=long-poll&timeout=0`)).status).toBe(204);
    expect((await ask(`/runners/${runner.key}/ack?offset=2`, { ":method": "POST" })).status).toBe(204);
    expect((await ask(`/runners/${runner.key}?offset=0`)).status).toBe(410);
    const stopped = await ask(`/runners/${runner.key}/abort`, { ":method": "POST" });
    expect(JSON.parse(stopped.body)).toMatchObject({ status: "aborted" });
    expect(JSON.parse((await ask("/runners")).body)).toMatchObject([{ key: runner.key }]);
    expect((await ask(`/runners/${runner.key}`, { ":method": "DELETE" })).status).toBe(204);
    expect((await ask(`/runners/${runner.key}/state`)).status).toBe(410);
  });

  test("events arrive as they are made, and a client that goes lets the runner go (P164)", async () => {
    const { client, over, runner: create, sessions } = await open();
    const { runner, source } = await create();
    const { stream, next } = follow(client, `/runners/${runner.key}?offset=0&live=sse`);
    expect(await next()).toMatch(/^event: control\ndata:\{.*\}\n\n$/);
    source.push("a");
    expect(await next()).toMatch(/^event: data\ndata:\["a"\]\n\nevent: control\n/);
    expect(sessions.stats().openReads).toBe(1);
    stream.close(constants.NGHTTP2_CANCEL);
    await Promise.all(over);
    expect(sessions.stats().openReads).toBe(0);
    source.push("b");
    await produced(runner, 2);
  });

  test("a response whose client takes nothing waits for it, and loses nothing (P164)", async () => {
    const { client, runner: create } = await open();
    const { runner, source } = await create();
    const long = "x".repeat(40_000);
    const count = 60;
    for (let i = 0; i < count; i++) source.push(`${i} ${long}`);
    source.end();
    await produced(runner, count);
    const { stream, next } = follow(client, `/runners/${runner.key}?offset=0&live=sse`);
    stream.pause();
    await turns(50);
    let text = "";
    while (!text.includes('"streamClosed":true')) text += await next();
    const items = [...text.matchAll(/^data:(\[.*\])$/gm)].flatMap(([, json]) => JSON.parse(json!) as string[]);
    expect(items.map((item) => Number.parseInt(item, 10))).toEqual(Array.from({ length: count }, (_, i) => i));
  });

  test("a body is read whether or not it says how long it is (P164)", async () => {
    const { ask } = await open();
    const headers = { ":method": "POST", "content-type": "application/json" };
    for (const more of [{}, { "content-length": "7" }]) {
      const { status, body } = await ask("/runners/echo", { ...headers, ...more }, '{"a":1}');
      expect([status, JSON.parse(body).items]).toEqual([200, [{ a: 1 }]]);
    }
    for (const body of [undefined, ""]) {
      expect(JSON.parse((await ask("/runners/echo", headers, body)).body).items).toEqual([null]);
    }
    const tooLarge = await ask("/runners/echo", headers, JSON.stringify("x".repeat(100_000)));
    expect([tooLarge.status, JSON.parse(tooLarge.body).code]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
    expect((await ask("/runners")).body).toBe("[]");
  });

  test("the own origin is known by the authority (P25, P164)", async () => {
    const { ask, port, runner: create } = await open();
    const { runner } = await create();
    const abort = (origin: string) => ask(`/runners/${runner.key}/abort`, { ":method": "POST", origin });
    expect((await abort("http://evil.example")).status).toBe(403);
    expect((await abort(`http://127.0.0.1:${port}`)).status).toBe(200);
  });

  test("a session used by a request whose client has gone is not kept by it", async () => {
    const arrived = createDeferred<ServerHttp2Stream>();
    const goOn = createDeferred();
    const { client, over, sessions } = await open(async (request) => {
      arrived.resolve((request as unknown as Http2ServerRequest).stream);
      await goOn.promise;
      return "ann";
    });
    const stream = client.request({ ":path": "/" });
    stream.on("error", () => {});
    const gone = once(await arrived.promise, "close");
    stream.close(constants.NGHTTP2_CANCEL);
    await gone;
    await turns();
    goOn.resolve();
    await Promise.all(over);
    expect(inside(await sessions.get("ann")).isVisited).toBe(false);
  });
});
