/**
 * A server of the Durable Streams protocol, as far as the suite needs one to test our reads: streams are the runners of one
 * client, each fed by a queue. GET, HEAD and DELETE go through our adapter for `node:http` and our handler; PUT and POST are made
 * up here, for the product has no writes from outside.
 *
 * A stream's TTL is its runner's idle time-out, of which the protocol asks the same: reads and writes renew it, HEAD does not.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { serveRunner } from "../../src/http/node/request.js";
import { createRunnerHandler } from "../../src/http/router.js";
import { createActiveSessions } from "../../src/index.js";
import { activeSession } from "../../src/node.js";
import { formatOffset } from "../../src/protocol/offset.js";
import type { SequenceRunner } from "../../src/runner/sequence-runner.js";
import type { ActiveSession } from "../../src/session/active-session.js";
import { inside } from "../../test/support/inside.js";
import { type BodyFormat, encodeAnswer, formatOf } from "./body-format.js";
import { PushQueue } from "./push-queue.js";

/** A server that runs. */
export interface StreamServer extends AsyncDisposable {
  readonly url: string;
}

interface Stream {
  readonly runner: SequenceRunner<unknown>;
  readonly queue: PushQueue;
  readonly format: BodyFormat;
  readonly config: StreamConfig;
  isClosed: boolean;
}

/** What a PUT says; another one with the same says nothing new. */
interface StreamConfig {
  readonly contentType: string;
  readonly ttl: string | undefined;
  readonly expiresAt: string | undefined;
  readonly closed: boolean;
}

interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
}

const notFound: Answer = { status: 404 };
const malformed: Answer = { status: 400 };
const conflict: Answer = { status: 409 };

const never = Number.POSITIVE_INFINITY;
/** A key without a runner: the answer to a path that has never been a stream is our handler's own. */
const unknownKey = "none";

/** Starts a server on a free port. */
export async function startStreamServer(): Promise<StreamServer> {
  const sessions = createActiveSessions({
    runnerIdleTimeout: never,
    finishedTimeout: never,
    aheadLimit: 1_000_000,
    retain: "all",
    limits: { runnersPerClient: never, openReadsPerClient: never },
  });
  const withSession = activeSession(sessions, { identify: () => "the suite" });
  const handle = createRunnerHandler(inside(sessions), { longPollTimeout: 2 });
  const streams = new Map<string, Stream>();

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? "").split("?", 1)[0]!;
    const { activeSession: session } = await withSession(request, response);
    const stream = streams.get(path);
    if (stream && hasExpired(stream)) await stream.runner[Symbol.asyncDispose]();
    if (request.method === "PUT" || request.method === "POST") {
      const body = await bodyOf(request);
      const act = request.method === "PUT" ? create : append;
      const { status, headers } = await act(session, path, request, body);
      response.writeHead(status, { "X-Content-Type-Options": "nosniff", ...headers }).end();
      return;
    }
    const handleStream: typeof handle = async (wire) => {
      const answered = await handle(wire);
      const { status, headers } = answered;
      if (!stream) return answered;
      if (status === 410) return { ...answered, status: 404 };
      const described = { ...answered, headers: { ...headers, ...configHeaders(stream) } };
      return encodeAnswer(described, stream.format, stream.config.contentType);
    };
    await serveRunner(handleStream, sessions, `/${stream?.runner.key ?? unknownKey}`, request, response);
  }

  async function create(session: ActiveSession, path: string, request: IncomingMessage, body: Buffer): Promise<Answer> {
    const config = configOf(request);
    if (!config) return malformed;
    const location = { Location: `http://${request.headers.host}${path}` };
    const former = await liveStream(session, path);
    if (former) {
      return isSame(config, former.config) ? { status: 200, headers: stateHeaders(former) } : conflict;
    }
    const queue = new PushQueue();
    const idleTimeout = config.ttl === undefined ? never : 1000 * Number(config.ttl);
    const runner = await session.createSequenceRunner(queue, { idleTimeout, finishedTimeout: idleTimeout });
    // A stream is gone when its time is up; what unused work has found would stay for as long again.
    void runner.cleanup.then(() => (runner.phase === "aborted" ? runner[Symbol.asyncDispose]() : undefined));
    const stream: Stream = { runner, queue, config, format: formatOf(config.contentType), isClosed: false };
    const items = body.length > 0 ? stream.format.itemsOf(body) : [];
    streams.set(path, stream);
    await write(stream, items, config.closed);
    return { status: 201, headers: { ...stateHeaders(stream), ...location } };
  }

  async function append(session: ActiveSession, path: string, request: IncomingMessage, body: Buffer): Promise<Answer> {
    const stream = await liveStream(session, path);
    if (!stream) return notFound;
    const closes = request.headers["stream-closed"] === "true";
    if (stream.isClosed) return conflict;
    if (body.length === 0 && !closes) return malformed;
    await write(stream, body.length > 0 ? stream.format.itemsOf(body) : [], closes);
    return { status: 204, headers: stateHeaders(stream) };
  }

  /** Finding it is a use of the runner, as a write is one of the stream. */
  async function liveStream(session: ActiveSession, path: string): Promise<Stream | undefined> {
    const stream = streams.get(path);
    return stream && (await session.findRunner(stream.runner.key)) ? stream : undefined;
  }

  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => {
      if (error instanceof SyntaxError) response.writeHead(400).end();
      else response.destroy(error as Error);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await Promise.all([closed, sessions.close()]);
    },
  };
}

async function write(stream: Stream, items: readonly unknown[], end: boolean): Promise<void> {
  stream.isClosed ||= end;
  if (items.length > 0 || end) await stream.queue.write(items, { end });
  if (end) await stream.runner.cleanup;
}

function hasExpired({ config: { expiresAt } }: Stream): boolean {
  return expiresAt !== undefined && Date.parse(expiresAt) <= Date.now();
}

/** `undefined`: malformed. */
function configOf({ headers }: IncomingMessage): StreamConfig | undefined {
  const contentType = headers["content-type"]?.toLowerCase() ?? "application/octet-stream";
  const ttl = headers["stream-ttl"]?.toString();
  const expiresAt = headers["stream-expires-at"]?.toString();
  if (ttl !== undefined && (expiresAt !== undefined || !/^(0|[1-9]\d*)$/.test(ttl))) return undefined;
  if (expiresAt !== undefined && Number.isNaN(Date.parse(expiresAt))) return undefined;
  return { contentType, ttl, expiresAt, closed: headers["stream-closed"] === "true" };
}

function isSame(a: StreamConfig, b: StreamConfig): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

function configHeaders({ config: { ttl, expiresAt } }: Stream): Record<string, string> {
  return {
    ...(ttl !== undefined && { "Stream-TTL": ttl }),
    ...(expiresAt !== undefined && { "Stream-Expires-At": expiresAt }),
  };
}

function stateHeaders({ runner, config, isClosed }: Stream): Record<string, string> {
  return {
    "Content-Type": config.contentType,
    "Stream-Next-Offset": formatOffset(runner.progress.current),
    ...(isClosed && { "Stream-Closed": "true" }),
  };
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts);
}
