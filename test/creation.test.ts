/** Creating runners over real sockets: in every framework, with bodies that come in pieces, too late, too large or not at all. */
import { request as httpRequest, type IncomingMessage, type RequestListener, type RequestOptions } from "node:http";
import { connect as connectHttp2, createServer as createHttp2Server, type IncomingHttpHeaders } from "node:http2";
import { type AddressInfo, connect } from "node:net";
import { gzipSync } from "node:zlib";
import express5, { type ErrorRequestHandler, type RequestHandler } from "express";
import express4 from "express4";
import { describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { createDeferred } from "../src/base/async.js";
import * as expressAdapter from "../src/express.js";
import { defineProcessRunner, defineSequenceRunner } from "../src/index.js";
import * as nodeAdapter from "../src/node.js";
import type { ActiveSessions } from "../src/session/active-sessions.js";
import { atEnd } from "./support/cleanup.js";
import { openHost, turns } from "./support/control.js";
import { openCuttingProxy } from "./support/cutting-proxy.js";
import { listen } from "./support/server.js";

/** Gives back what it was given. */
const echo = defineProcessRunner({ name: "echo", run: async (input: unknown) => [input ?? "no input"] });

/** Counts, and goes on for ever. */
const count = defineSequenceRunner({
  name: "count",
  options: { defaultAdvance: 2, aheadLimit: 10 },
  input: z.object({ from: z.number() }),
  *run({ from }) {
    for (let i = from; ; i++) yield i;
  },
});

/** Has nothing to say until it is stopped. */
const wait = defineProcessRunner({
  name: "wait",
  run: (_: unknown, { signal }) => new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve())),
});

const usedTickets = new Set<string>();

/** Takes every ticket once. */
const admit = defineProcessRunner({
  name: "admit",
  input: z.object({ ticket: z.string().refine((ticket) => !usedTickets.has(ticket) && usedTickets.add(ticket)) }),
  run: async ({ ticket }) => ticket,
});

const expose = [echo, count, wait, admit];
const jsonType = { "content-type": "application/json" };
const identify = (request: IncomingMessage) => request.headers["x-user"];

interface Served {
  readonly listener: RequestListener;
  /** Where the runners are. */
  readonly mount: string;
}

/** What an application is made with. */
interface Making {
  readonly sessions: ActiveSessions;
  /** What reaches the framework's own handling of errors. */
  readonly onError: (error: unknown) => void;
  readonly bodyLimit: number | undefined;
  /** Stands before the runners. */
  readonly before: readonly RequestHandler[];
}

function serveExpress(express: typeof express5) {
  return ({ sessions, onError, bodyLimit, before }: Making): Served => {
    const app = express();
    const showError: ErrorRequestHandler = (error, _request, response, _next) => {
      onError(error);
      response.status(error.status ?? 500).json({ message: error.message });
    };
    app.use(expressAdapter.activeSession(sessions, { identify }));
    const api = express.Router();
    api.use("/runners", ...before, expressAdapter.runnerRouter(sessions, { expose, bodyLimit }));
    app.use("/api/v1", api);
    app.use(showError);
    return { listener: app as unknown as RequestListener, mount: "/api/v1/runners" };
  };
}

function serveNode({ sessions, onError, bodyLimit, before }: Making): Served {
  const path = "/a/runners";
  const withSession = nodeAdapter.activeSession(sessions, { identify });
  const serveRunners = nodeAdapter.runnerRouter(sessions, { path, expose, bodyLimit });
  const answer = async (...[request, response]: Parameters<typeof withSession>) => {
    for (const step of before) await new Promise((resolve) => step(request as never, response as never, resolve));
    await withSession(request, response);
    if (!(await serveRunners(request, response))) response.writeHead(404).end();
  };
  const listener: RequestListener = (request, response) => {
    answer(request, response).catch((error: Error) => {
      onError(error);
      response.writeHead(500).end(JSON.stringify({ message: error.message }));
    });
  };
  return { listener, mount: path };
}

const withoutParser = [
  ["Express 5", serveExpress(express5)],
  ["Express 4.18", serveExpress(express4 as unknown as typeof express5)],
  ["node:http", serveNode],
] as const;

const withParser = withoutParser.slice(0, 2).map(([name, serve], i) => {
  const { json } = [express5, express4 as unknown as typeof express5][i]!;
  return [
    `${name} with express.json()`,
    (making: Making) => serve({ ...making, before: [json(), ...making.before] }),
  ] as const;
});

type Serve = (making: Making) => Served;

async function open(serve: Serve, options: Partial<Making> = {}) {
  const sessions = openHost();
  const onError = vi.fn<(error: unknown) => void>();
  const { listener, mount } = serve({ sessions, onError, bodyLimit: undefined, before: [], ...options });
  const { url, server } = await listen(listener);
  const at = `${url}${mount}`;
  const create = (name: string, input?: unknown, headers: Record<string, string> = { "x-user": "ann" }) =>
    fetch(`${at}/${name}`, {
      method: "POST",
      headers: { ...jsonType, ...headers },
      ...(input !== undefined && { body: JSON.stringify(input) }),
    });
  /** Begins a request whose body the test sends itself. */
  const begin = (name: string, headers: RequestOptions["headers"] = {}) => {
    const request = httpRequest(`${at}/${name}`, {
      method: "POST",
      headers: { ...jsonType, ...headers },
      agent: false,
    });
    atEnd(() => request.destroy());
    const answer = new Promise<IncomingMessage>((resolve, reject) => {
      request.on("response", resolve).on("error", reject);
    });
    answer.catch(() => {});
    return { request, answer };
  };
  return { sessions, onError, url, at, server, mount, create, begin };
}

async function bodyOf(answer: IncomingMessage) {
  let text = "";
  for await (const part of answer) text += part;
  return JSON.parse(text);
}

// biome-ignore lint/suspicious/noExplicitAny: what a client has of an answer
const jsonOf = (answer: Response): Promise<any> => answer.json();

describe.each<readonly [string, Serve]>([...withoutParser, ...withParser])("%s", (_name, serve) => {
  test("creates, and says where the rest is, relative to the request's own address", async () => {
    const { at, create } = await open(serve);
    const created = await create("count", { from: 5 });
    const { key, items } = await jsonOf(created);
    expect([created.status, items.slice(0, 2), created.headers.get("location")]).toEqual([201, [5, 6], key]);
    const address = new URL(created.headers.get("location")!, created.url).href;
    expect(address).toBe(`${at}/${key}`);
    const headers = { "x-user": "ann" };
    const rest = await fetch(`${address}?offset=1&max-items=2`, { headers });
    expect([rest.status, await rest.json()]).toEqual([200, [6, 7]]);
    expect((await fetch(address, { method: "DELETE", headers })).status).toBe(204);
  });

  test("answers with all there is and keeps nothing; no input is none", async () => {
    const { sessions, create } = await open(serve);
    for (const [input, item] of [
      [{ a: ["ä€😀"] }, { a: ["ä€😀"] }],
      [undefined, "no input"],
    ]) {
      const created = await create("echo", input);
      expect([created.status, created.headers.has("location"), await jsonOf(created)]).toEqual([
        ...[200, false],
        expect.objectContaining({ name: "echo", status: "completed", items: [[item]] }),
      ]);
    }
    expect(sessions.stats().runners).toBe(0);
  });

  test("refuses an input with its issues", async () => {
    const { create, sessions } = await open(serve);
    const refused = await create("count", { from: "5" });
    expect([refused.status, refused.headers.get("runner-error-code")]).toEqual([422, "INVALID_INPUT"]);
    expect(await jsonOf(refused)).toMatchObject({ code: "INVALID_INPUT", issues: [{ path: ["from"] }] });
    expect(sessions.stats().sessions).toBe(0);
  });

  test("gives a new client one cookie with its first runner, and none with a refusal or later", async () => {
    const { at, create, sessions } = await open(serve);
    const refused = [
      await create("count", { from: "5" }, {}),
      await create("count", { from: 5 }, { "content-type": "text/plain" }),
      await create("count", { from: 5 }, { "idempotency-key": "a b" }),
      await create("count", { from: 5 }, { "sec-fetch-site": "cross-site" }),
      await fetch(`${at}/count/abort`, { method: "POST", headers: { "idempotency-key": "a" } }),
      await fetch(at),
    ];
    expect(refused.map(({ status }) => status)).toEqual([422, 415, 400, 403, 404, 200]);
    expect(refused.flatMap(({ headers }) => headers.getSetCookie())).toEqual([]);
    expect(sessions.stats().sessions).toBe(0);
    const first = await create("count", { from: 5 }, { "idempotency-key": "a" });
    const cookies = first.headers.getSetCookie();
    expect(cookies).toEqual([expect.stringMatching(/^active-session=[^;]{34}; Path=\/; HttpOnly; SameSite=Lax$/)]);
    const cookie = cookies[0]!.split(";")[0]!;
    const again = await create("count", { from: 5 }, { cookie, "idempotency-key": "a" });
    expect([again.headers.getSetCookie(), (await jsonOf(again)).key]).toEqual([[], (await jsonOf(first)).key]);
    expect(sessions.stats().sessions).toBe(1);
  });

  test("does not check again what was valid when it was created", async () => {
    const { url, create } = await open(serve);
    const headers = { "x-user": "ann", "idempotency-key": "a" };
    const input = { ticket: url };
    for (let i = 0; i < 2; i++) expect((await jsonOf(await create("admit", input, headers))).items).toEqual([url]);
    expect((await create("admit", input, { ...headers, "idempotency-key": "b" })).status).toBe(422);
  });

  test.each(["", "/", "?x=1"])("lists the client's runners at its own address, with %j behind it", async (behind) => {
    const { at, create } = await open(serve);
    const { key } = await jsonOf(await create("count", { from: 1 }));
    const list = await fetch(`${at}${behind}`, { headers: { "x-user": "ann" } });
    expect([list.status, await list.json()]).toEqual([200, [expect.objectContaining({ key, name: "count" })]]);
    expect(await jsonOf(await fetch(`${at}${behind}`, { headers: { "x-user": "bob" } }))).toEqual([]);
    expect((await fetch(`${at}${behind}`, { method: "POST", headers: { "x-user": "ann" } })).status).toBe(404);
  });

  test("takes a body in pieces, wherever they are cut", async () => {
    const { begin, create } = await open(serve);
    const bytes = Buffer.from('{"a":"ä€😀"}');
    const whole = (await jsonOf(await create("echo", JSON.parse(bytes.toString())))).items;
    const { request, answer } = begin("echo", { "x-user": "ann" });
    for (const byte of bytes) {
      await new Promise((resolve) => request.write(Buffer.of(byte), resolve));
      await turns(1);
    }
    request.end();
    const created = await answer;
    expect([created.statusCode, (await bodyOf(created)).items]).toEqual([200, whole]);
  });

  test.each([0, 1, 60, 400])(
    "gives a request that is repeated, because its answer was cut after %i bytes, the same runner",
    async (after) => {
      const { url, mount, create, sessions } = await open(serve);
      let cuts = 0;
      const proxy = await openCuttingProxy(url, () => (cuts++ === 0 ? { after, how: "destroy" } : undefined));
      const headers = { "x-user": "ann", "idempotency-key": "a" };
      const ask = () =>
        fetch(`${proxy.url}${mount}/count`, {
          method: "POST",
          headers: { ...jsonType, ...headers },
          body: JSON.stringify({ from: 1 }),
        }).then(jsonOf);
      await expect(ask()).rejects.toThrow();
      expect(sessions.stats().runners).toBe(1);
      const { key, items, offset } = await ask();
      expect([items.slice(0, 2), offset, sessions.stats().runners]).toEqual([[1, 2], 0, 1]);
      const stopped = await fetch(`${proxy.url}${mount}/count/abort`, { method: "POST", headers });
      expect([stopped.status, await jsonOf(stopped)]).toMatchObject([200, { key, status: "aborted" }]);
      expect((await jsonOf(await create("count", { from: 1 }, headers))).key).toBe(key);
    },
  );
});

describe.each<readonly [string, Serve]>(withoutParser)("%s, without a parser,", (_name, serve) => {
  test("refuses what is no JSON with 422", async () => {
    const { at, sessions } = await open(serve);
    const refused = await fetch(`${at}/echo`, { method: "POST", headers: jsonType, body: "{" });
    expect([refused.status, await refused.json()]).toMatchObject([422, { code: "INVALID_INPUT" }]);
    expect(sessions.stats().sessions).toBe(0);
  });

  test.each<[string, RequestOptions["headers"], string, number]>([
    ["by its length, before any of it has come", { "content-length": "11" }, "", 10],
    ["by its length, and some of it has come", { "content-length": "1000000" }, '["0123', 10],
    ["by what comes, though it could go on", {}, '["01234567"]', 10],
    ["by what comes, and no body at all may come", {}, "1", 0],
  ])("refuses a body that is too large, %s: 413, and the connection ends", async (_, headers, sent, bodyLimit) => {
    const { begin, create, server, sessions, onError } = await open(serve, { bodyLimit });
    const connections = new Set<Promise<void>>();
    server.on("connection", (socket) => {
      connections.add(new Promise((resolve) => socket.once("close", () => resolve())));
    });
    const { request, answer } = begin("echo", { connection: "keep-alive", ...headers });
    if (sent) request.write(sent);
    else request.flushHeaders();
    const refused = await answer;
    expect([refused.statusCode, refused.headers.connection]).toEqual([413, "close"]);
    expect(await bodyOf(refused)).toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
    await Promise.all(connections);
    expect([sessions.stats().sessions, onError.mock.calls]).toEqual([0, []]);
    expect((await create("echo")).status).toBe(200);
  });

  test("takes a body that is just as large as it may be", async () => {
    const { begin } = await open(serve, { bodyLimit: 10 });
    for (const headers of [{ "content-length": "10" }, { "transfer-encoding": "chunked" }]) {
      const { request, answer } = begin("echo", headers);
      request.end('["012345"]');
      expect((await bodyOf(await answer)).items).toEqual([[["012345"]]]);
    }
  });

  test.each(["gzip", "br", "unknown"])("refuses a compressed body (%s) with 415", async (encoding) => {
    const { at, sessions } = await open(serve);
    const headers = { ...jsonType, "content-encoding": encoding };
    const refused = await fetch(`${at}/echo`, { method: "POST", headers, body: gzipSync("{}") });
    expect([refused.status, await jsonOf(refused)]).toMatchObject([415, { code: "UNSUPPORTED_MEDIA_TYPE" }]);
    expect(sessions.stats().sessions).toBe(0);
  });

  test.each([
    ["with a length", "content-length: 100\r\n\r\n[1,"],
    ["in chunks", "transfer-encoding: chunked\r\n\r\n3\r\n[1,\r\n"],
  ])("takes a body that is cut in the middle, %s, for a client that has gone, and lives on", async (_, rest) => {
    const { server, url, mount, create, sessions, onError } = await open(serve);
    const arrived = createDeferred();
    const closed = createDeferred();
    server.on("request", (request, response) => {
      request.once("readable", () => arrived.resolve());
      response.once("close", () => closed.resolve());
    });
    const socket = connect({ host: "127.0.0.1", port: Number(new URL(url).port) });
    socket.write(`POST ${mount}/echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${rest}`);
    await arrived.promise;
    await turns();
    socket.resetAndDestroy();
    await closed.promise;
    await turns(10);
    expect([sessions.stats().sessions, onError.mock.calls]).toEqual([0, []]);
    expect((await create("echo", 1)).status).toBe(200);
  });

  test("leaves a client that goes away during its first page nothing, unless it may come back to it", async () => {
    const { begin, sessions, server } = await open(serve);
    for (const [key, kept] of [
      [undefined, 0],
      ["a", 1],
    ] as const) {
      const over = new Promise<void>((resolve) => {
        server.once("request", (_request, response) => response.once("close", () => resolve()));
      });
      const { request } = begin("wait?timeout=60", { "x-user": "ann", ...(key && { "idempotency-key": key }) });
      request.end("1");
      while (sessions.stats().openReads === 0) await turns(1);
      request.destroy();
      await over;
      await turns(10);
      expect(sessions.stats(), key ?? "no key").toMatchObject({ runners: kept, openReads: 0 });
    }
  });
});

describe.each<readonly [string, Serve]>(withoutParser)(
  "%s, behind something that has read the body",
  (_name, serve) => {
    test("and kept nothing, gives the error to the framework, and makes no session", async () => {
      const consume: RequestHandler = (request, _response, next) => void request.resume().once("end", () => next());
      const { create, sessions, onError } = await open(serve, { before: [consume] });
      const failed = await create("echo", { a: 1 });
      expect([failed.status, await jsonOf(failed)]).toEqual([
        500,
        { message: "Cannot read the body: something has read it before and not kept it as request.body" },
      ]);
      expect(onError).toHaveBeenCalledTimes(1);
      expect(failed.headers.getSetCookie()).toEqual([]);
      expect(sessions.stats().sessions).toBe(0);
      expect((await create("echo")).status).toBe(200); // without a body there is nothing to be missed
    });

    test("and kept its bytes, takes them for JSON", async () => {
      const { raw } = express5;
      const { create, begin } = await open(serve, { before: [raw({ type: "*/*" })] });
      expect((await jsonOf(await create("echo", { a: "ä" }))).items).toEqual([[{ a: "ä" }]]);
      const { request, answer } = begin("echo");
      request.end("{");
      expect((await answer).statusCode).toBe(422);
    });
  },
);

describe.each<readonly [string, Serve]>(withParser)("%s", (_name, serve) => {
  test("has its own limits and its own errors, and unpacks what is compressed", async () => {
    const { at, sessions, onError } = await open(serve, { bodyLimit: 10 });
    const post = (body: string | Buffer, headers: Record<string, string> = {}) =>
      fetch(`${at}/echo`, { method: "POST", headers: { ...jsonType, ...headers }, body: body as string });
    expect((await post("{")).status).toBe(400);
    expect(onError).toHaveBeenCalledTimes(1);
    expect(sessions.stats().sessions).toBe(0);
    const long = { text: "0123456789" };
    expect((await jsonOf(await post(JSON.stringify(long)))).items).toEqual([[long]]);
    const packed = await post(gzipSync(JSON.stringify(long)), { "content-encoding": "gzip" });
    expect((await jsonOf(packed)).items).toEqual([[long]]);
  });
});

describe("HTTP/2, by the adapter for node,", () => {
  async function openHttp2() {
    const sessions = openHost();
    const { listener } = serveNode({ sessions, onError: () => {}, bodyLimit: 20, before: [] });
    const server = createHttp2Server(listener as never);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const client = connectHttp2(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    atEnd(async () => {
      await new Promise<void>((resolve) => client.close(() => resolve()));
      await new Promise<void>((resolve) => server.close(() => resolve()));
    });
    return async (headers: IncomingHttpHeaders, ...body: string[]) => {
      const stream = client.request(
        { ":method": "POST", ":path": "/a/runners/echo", "x-user": "ann", ...jsonType, ...headers },
        { endStream: body.length === 0 },
      );
      for (const part of body) stream.write(part);
      if (body.length > 0) stream.end();
      const answered = new Promise<IncomingHttpHeaders>((resolve) => stream.once("response", resolve));
      const { ":status": status } = await answered;
      let text = "";
      for await (const part of stream) text += part;
      return [status, JSON.parse(text)];
    };
  }

  test.each<[string, IncomingHttpHeaders, string[], object]>([
    ["of a length that is told", { "content-length": "7" }, ['{"a":1}'], [{ a: 1 }]],
    ["of a length that is not told", {}, ['{"a"', ":1}"], [{ a: 1 }]],
    ["that is not there", {}, [], ["no input"]],
    ["that is empty", { "content-length": "0" }, [], ["no input"]],
    ["that turns out to be empty", {}, [""], ["no input"]],
  ])("takes a body %s", async (_, headers, body, item) => {
    const ask = await openHttp2();
    expect(await ask(headers, ...body)).toMatchObject([200, { items: [item] }]);
  });

  test.each<[string, IncomingHttpHeaders]>([
    ["by its length", { "content-length": "30" }],
    ["by what comes", {}],
  ])("refuses a body that is too large, %s, and serves the next request", async (_, headers) => {
    const ask = await openHttp2();
    expect(await ask(headers, "1".repeat(30))).toMatchObject([413, { code: "PAYLOAD_TOO_LARGE" }]);
    expect(await ask({}, "1")).toMatchObject([200, { items: [[1]] }]);
  });
});
