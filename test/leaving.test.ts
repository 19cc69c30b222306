/** Clients that go away, in every moment in which they can: the work ends by itself, and nothing stays behind. */
import { once } from "node:events";
import type { Server, ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import type { Runner } from "../src/runner/runner.js";
import type { ActiveSessions } from "../src/session/active-sessions.js";
import { atEnd } from "./support/cleanup.js";
import { openHost, PushSource, turns } from "./support/control.js";
import { openApp, type TestAppOptions } from "./support/server.js";

/** Time passes only when a test says so; connections are real. */
const idle = 10_000;
/** So long the results of work that was aborted stay. */
const finished = 1000;
const never = Number.POSITIVE_INFINITY;
const large = "x".repeat(1024 * 1024);

beforeEach(() => {
  vi.useFakeTimers();
});

/** Asks on a connection of its own; returns both its ends. */
async function ask(
  server: Server,
  method: string,
  path: string,
): Promise<{ socket: Socket; response: ServerResponse }> {
  const arrived = once(server, "request");
  const socket = connect((server.address() as { port: number }).port, "127.0.0.1");
  socket.on("error", () => {});
  atEnd(() => socket.destroy());
  socket.write(`${method} ${path} HTTP/1.1\r\nHost: app.example\r\nx-user: ann\r\n\r\n`);
  const [, response] = (await arrived) as [unknown, ServerResponse];
  return { socket, response };
}

/** Cuts the connection, and waits until the server knows. */
async function leave({ socket, response }: { socket: Socket; response: ServerResponse }): Promise<void> {
  const closed = response.closed ? undefined : once(response, "close");
  socket.destroy();
  await closed;
}

/** Waits for the beginning of an answer, and then reads no further. */
async function answered({ socket }: { socket: Socket }): Promise<void> {
  await once(socket, "data");
  socket.pause();
}

/**
 * An application which never ends a connection by itself, unless the test says so: a pin that a client leaves behind keeps
 * its runner for good.
 */
async function open(options: TestAppOptions = {}) {
  const sessions =
    options.sessions ??
    openHost({
      ...{ runnerIdleTimeout: idle, finishedTimeout: finished, cleanupTimeout: never, maxLifetime: never },
    });
  const app = await openApp({ router: { rotateAfter: never, heartbeat: never }, ...options, sessions });
  const ann = await app.user("ann");
  const source = new PushSource<string>();
  const runner = await ann.session.createSequenceRunner(source);
  return { ...app, ann, source, runner, path: `/runners/${runner.key}` };
}

interface Work {
  readonly runner: Runner;
  /** Absent if it has never been opened, and so need not be closed. */
  readonly source?: PushSource<string>;
  readonly sessions: ActiveSessions;
}

/** The work is aborted when just so much time has passed from now on, its source is closed, and soon nothing is left of it. */
async function expectGone({ runner, source, sessions }: Work, after = idle) {
  await turns(10);
  vi.advanceTimersByTime(after - 1);
  expect(runner.phase).not.toBe("aborted");
  vi.advanceTimersByTime(1);
  expect(runner.phase).toBe("aborted");
  await runner.cleanup;
  if (source) expect(source.returns).toBe(1);
  vi.advanceTimersByTime(finished);
  expect([runner.status, runner.abortReason]).toEqual(["aborted", "idle"]);
  expect(sessions.stats()).toMatchObject({ runners: 0, items: 0 });
}

describe("a user who leaves for good ends the work", () => {
  test("that has never been read", async () => {
    await expectGone(await open());
  });

  test("after the last page", async () => {
    const opened = await open();
    opened.source.push("a", "b");
    await answered(await ask(opened.server, "GET", `${opened.path}?offset=0&live=long-poll`));
    vi.advanceTimersByTime(idle - 1);
    await answered(await ask(opened.server, "GET", `${opened.path}?offset=1`));
    await expectGone(opened);
  });

  test("by closing a live response", async () => {
    const opened = await open();
    const exchange = await ask(opened.server, "GET", `${opened.path}?offset=0&live=sse`);
    await answered(exchange);
    vi.advanceTimersByTime(5 * idle);
    await leave(exchange);
    await expectGone(opened);
  });

  test("with a dead connection left open, whose other end never reads", async () => {
    const opened = await open({ router: { rotateAfter: 60_000 } });
    const { socket, response } = await ask(opened.server, "GET", `${opened.path}?offset=0&live=sse`);
    socket.pause();
    opened.source.push(...Array.from({ length: 30 }, () => large));
    while (!response.writableNeedDrain) await turns(1);
    await expectGone(opened, 60_000 + idle);
    const closed = once(response, "close");
    await turns();
    vi.advanceTimersByTime(5_000);
    await closed;
  });

  test("with a dead connection left open, on which nothing happens but heartbeats", async () => {
    const opened = await open({ router: { rotateAfter: 60_000, heartbeat: 15_000 } });
    const { socket, response } = await ask(opened.server, "GET", `${opened.path}?offset=0&live=sse`);
    socket.pause();
    while (!response.headersSent) await turns(1);
    await expectGone(opened, 60_000 + idle);
  });

  test("with several dead connections left open", async () => {
    const opened = await open({ router: { rotateAfter: 60_000 } });
    for (let i = 0; i < 5; i++) {
      const { socket, response } = await ask(opened.server, "GET", `${opened.path}?offset=now&live=sse`);
      socket.pause();
      while (!response.headersSent) await turns(1);
    }
    await expectGone(opened, 60_000 + idle);
  });

  test("and the session with it, when its own time is up", async () => {
    const sessions = openHost({
      ...{ runnerIdleTimeout: idle, finishedTimeout: finished, idleTimeout: 2 * idle, cleanupTimeout: never },
    });
    const opened = await open({ sessions });
    const exchange = await ask(opened.server, "GET", `${opened.path}?offset=0&live=sse`);
    await answered(exchange);
    vi.advanceTimersByTime(5 * idle);
    expect(opened.ann.session.isAvailable).toBe(true);
    await leave(exchange);
    await expectGone(opened);
    vi.advanceTimersByTime(idle - finished);
    expect(opened.ann.session.isAvailable).toBe(false);
    await opened.ann.session.cleanup;
    expect(sessions.stats()).toMatchObject({ sessions: 0, runners: 0, items: 0 });
  });
});

describe("a client that vanishes leaves nothing behind", () => {
  test("in the middle of a live body", async () => {
    const opened = await open();
    const exchange = await ask(opened.server, "GET", `${opened.path}?offset=0&live=sse`);
    await once(exchange.socket, "data");
    opened.source.push("a");
    await once(exchange.socket, "data");
    await leave(exchange);
    opened.source.push("b"); // pushed into a body that is not read
    await expectGone(opened);
  });

  test("in the middle of a live body that does not drain", async () => {
    const opened = await open();
    const exchange = await ask(opened.server, "GET", `${opened.path}?offset=0&live=sse`);
    exchange.socket.pause();
    opened.source.push(...Array.from({ length: 30 }, () => large));
    while (!exchange.response.writableNeedDrain) await turns(1);
    await leave(exchange);
    await expectGone(opened);
  });

  test("in the middle of a page", async () => {
    const opened = await open({ router: { rotateAfter: never, heartbeat: never, pageBytes: 100_000_000 } });
    opened.source.push(...Array.from({ length: 30 }, () => large));
    while (opened.runner.progress.current < 30) await turns(1);
    const exchange = await ask(opened.server, "GET", `${opened.path}?offset=0`);
    await answered(exchange);
    expect(exchange.response.writableFinished).toBe(false);
    await leave(exchange);
    await expectGone(opened);
  });

  test("while its long-poll waits", async () => {
    const opened = await open();
    const exchange = await ask(opened.server, "GET", `${opened.path}?offset=0&live=long-poll&timeout=60`);
    await turns(10);
    expect(exchange.response.headersSent).toBe(false);
    await leave(exchange);
    opened.source.push("a"); // what the read waited for comes after all
    await expectGone(opened);
    expect(opened.runner.position).toBe(0);
  });

  test("while others of its kind go on: they get what comes", async () => {
    const opened = await open();
    const poll = `${opened.path}?offset=0&live=long-poll&timeout=60`;
    const gone = await ask(opened.server, "GET", poll);
    const alive = await ask(opened.server, "GET", poll);
    await turns(10);
    await leave(gone);
    opened.source.push("a");
    const [answer] = await once(alive.socket, "data");
    expect(String(answer)).toContain('["a"]');
    await expectGone(opened);
  });

  test.each([
    ["a page", "GET", "?offset=0"],
    ["a long-poll", "GET", "?offset=0&live=long-poll&timeout=60"],
    ["SSE", "GET", "?offset=0&live=sse"],
    ["state", "GET", "/state"],
    ["HEAD", "HEAD", ""],
    ["an acknowledgement", "POST", "/ack?offset=0"],
  ])("before it is known who it is: %s", async (_, method, rest) => {
    const user = createDeferred<string>();
    const asked = createDeferred();
    const identify = () => {
      asked.resolve();
      return user.promise;
    };
    const opened = await open({ middleware: { identify } });
    const exchange = await ask(opened.server, method, opened.path + rest);
    await asked.promise;
    await leave(exchange);
    user.resolve("ann");
    await expectGone(opened);
    expect(exchange.response.headersSent).toBe(false);
  });

  test.each([
    ["a page", "?offset=0"],
    ["a long-poll", "?offset=0&live=long-poll&timeout=60"],
    ["SSE", "?offset=0&live=sse"],
  ])("while the source that it has asked for is being opened: %s", async (_, rest) => {
    const { server, ann, sessions, runner: other } = await open();
    await other[Symbol.asyncDispose]();
    const opening = createDeferred();
    const source = new PushSource<string>();
    const made = createDeferred<PushSource<string>>();
    const runner = await ann.session.createSequenceRunner(
      ({ signal }) => {
        signal.addEventListener("abort", () => made.resolve(source), { once: true });
        opening.resolve();
        return made.promise;
      },
      { start: "on-first-read" },
    );
    const exchange = await ask(server, "GET", `/runners/${runner.key}${rest}`);
    await opening.promise;
    await leave(exchange);
    await expectGone({ runner, sessions });
  });

  test("with an application's own route that waits for the first page", async () => {
    const created = createDeferred<Runner>();
    const source = new PushSource<string>();
    const { server, sessions } = await openApp({
      sessions: openHost({ runnerIdleTimeout: idle, finishedTimeout: finished, cleanupTimeout: never }),
      routes: (app) => {
        app.get("/search", async (request, response) => {
          const gone = new AbortController();
          response.once("close", () => gone.abort());
          const runner = await request.activeSession.createSequenceRunner(source);
          created.resolve(runner);
          await runner.getRequired({ advance: 5, signal: gone.signal }).catch(() => undefined);
        });
      },
    });
    const exchange = await ask(server, "GET", "/search");
    const runner = await created.promise;
    await leave(exchange);
    await expectGone({ runner, source, sessions });
  });

  test("many times over, in all modes at once", async () => {
    const opened = await open();
    const exchanges: Awaited<ReturnType<typeof ask>>[] = [];
    for (let i = 0; i < 30; i++) {
      const query = ["?offset=0", "?offset=0&live=sse", "?offset=now&live=long-poll&timeout=60", "/state"][i % 4];
      exchanges.push(await ask(opened.server, "GET", opened.path + query));
    }
    opened.source.push("a");
    await Promise.all(exchanges.map(leave));
    opened.source.push("b");
    await expectGone(opened);
  });
});

test("a work that ends while its client is away can be fetched in time", async () => {
  const opened = await open();
  const exchange = await ask(opened.server, "GET", `${opened.path}?offset=0&live=sse`);
  await answered(exchange);
  await leave(exchange);
  opened.source.push("a", "b");
  opened.source.end();
  await opened.runner.cleanup;
  vi.advanceTimersByTime(finished - 1);
  const { socket } = await ask(opened.server, "GET", `${opened.path}?offset=0`);
  const [answer] = await once(socket, "data");
  expect(String(answer)).toContain('["a","b"]');
  expect(opened.runner.status).toBe("completed");
});
