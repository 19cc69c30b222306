/** Clients that connect, ask, and never read: what they can make the server hold, and for how long. */
import { once } from "node:events";
import type { Server, ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { describe, expect, test, vi } from "vitest";
import { createDeferred } from "../src/base/async.js";
import type { Runner } from "../src/runner/runner.js";
import type { RunnerOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { openHost, turns } from "./support/control.js";
import { openApp, type TestAppOptions } from "./support/server.js";

/** So many of these fill every buffer between the two ends of a connection. */
const large = "x".repeat(96 * 1024);
const aheadLimit = 200;
const pageLimit = 50;

/** Asks on a bare connection and never reads what comes back; returns the server's side of the exchange. */
async function askWithoutReading(server: Server, path: string): Promise<{ socket: Socket; response: ServerResponse }> {
  const arrived = once(server, "request");
  const socket = connect((server.address() as { port: number }).port, "127.0.0.1");
  socket.on("error", () => {}); // the server may destroy the connection
  socket.pause();
  atEnd(() => socket.destroy());
  await once(socket, "connect");
  socket.write(`GET ${path} HTTP/1.1\r\nHost: app.example\r\nx-user: ann\r\n\r\n`);
  const [, response] = (await arrived) as [unknown, ServerResponse];
  return { socket, response };
}

/** The head as it was written: `getHeader` knows only what was set before. */
function headOf(response: ServerResponse): string {
  return (response as unknown as { readonly _header: string })._header;
}

/** Waits until the server has more to write than the connection takes. */
async function stuck(response: ServerResponse): Promise<void> {
  while (!response.writableNeedDrain) await turns(1);
}

/** Ann's application, with a source that never ends by itself and tells how far it has come. */
async function openEndless(
  options: Pick<TestAppOptions, "router"> = {},
  runnerOptions: RunnerOptions = {},
  item: string = large,
) {
  const sessions = openHost({ aheadLimit, runnerIdleTimeout: 10 * 60_000 });
  const app = await openApp({ ...options, sessions, router: { pageLimit, ...options.router } });
  const ann = await app.user("ann");
  const figures = { produced: 0, most: 0 };
  const isFull = createDeferred();
  const runner = await ann.session.createSequenceRunner(async function* ({ signal }) {
    while (!signal.aborted) {
      figures.most = Math.max(figures.most, sessions.stats().items);
      // The item behind the limit is taken from the source, but not kept.
      if (figures.produced++ === aheadLimit) isFull.resolve();
      yield item;
    }
  }, runnerOptions);
  return { ...app, ann, runner, figures, isFull: isFull.promise };
}

describe("a source without end stops at the ahead limit", () => {
  test.each([
    ["SSE", "?offset=0&live=sse"],
    ["SSE from the tail", "?offset=now&live=sse"],
    ["a page", "?offset=0"],
    ["a long-poll", "?offset=0&live=long-poll&min-items=40"],
  ])("while a reader of %s never reads", async (_, query) => {
    const { server, runner, figures, isFull, sessions } = await openEndless();
    await askWithoutReading(server, `/runners/${runner.key}${query}`);
    await isFull;
    await turns(50);
    expect(figures.produced).toBe(aheadLimit + 1);
    expect(figures.most).toBeLessThanOrEqual(aheadLimit + pageLimit);
    expect(sessions.stats().items).toBeLessThanOrEqual(aheadLimit + pageLimit);
    expect(runner.progress.current).toBe(aheadLimit);
  });

  test("while many readers of it never read, and whatever is retained", async () => {
    const { server, runner, figures, isFull, sessions } = await openEndless({}, { retain: "all" });
    for (let i = 0; i < 3; i++) await askWithoutReading(server, `/runners/${runner.key}?offset=0&live=sse`);
    await isFull;
    await turns(50);
    expect(figures.produced).toBe(aheadLimit + 1);
    expect(sessions.stats().items).toBe(aheadLimit);
  });

  test("while it is not read at all, and goes on with the first acknowledgement", async () => {
    const { ann, runner, figures, isFull } = await openEndless();
    await isFull;
    await turns(50);
    expect(figures.produced).toBe(aheadLimit + 1);
    await (await ann.fetch(`/runners/${runner.key}?offset=0&max-items=1`)).text();
    await turns(20);
    expect(figures.produced).toBe(aheadLimit + 1);
    expect((await ann.fetch(`/runners/${runner.key}/ack?offset=1`, { method: "POST" })).status).toBe(204);
    while (figures.produced < aheadLimit + 2) await turns(1);
    await turns(20);
    expect(figures.produced).toBe(aheadLimit + 2);
    expect(runner.progress.current).toBe(aheadLimit + 1);
  });

  test("while a reader of SSE reads on and on, but never acknowledges: each response ends, no item is lost", async () => {
    const { ann, runner, isFull, sessions } = await openEndless({}, {}, "item");
    await isFull;
    let next = 0;
    for (let round = 1; round <= 2; round++) {
      const text = await (await ann.fetch(`/runners/${runner.key}?offset=${next}&live=sse`)).text();
      const offsets = [...text.matchAll(/"streamNextOffset":"(\d+)"/g)].map((match) => Number(match[1]));
      expect(offsets.at(-1)).toBe(next + aheadLimit);
      expect(text.split('"item"').length - 1).toBe(aheadLimit);
      expect(sessions.stats().items).toBeLessThanOrEqual(aheadLimit + pageLimit);
      next = offsets.at(-1)!;
    }
  });
});

describe("a live response that does not drain", () => {
  test("does not stop other readers, acknowledgements or the end of the work", async () => {
    const { server, ann, runner, figures, isFull } = await openEndless();
    const { response } = await askWithoutReading(server, `/runners/${runner.key}?offset=0&live=sse`);
    await stuck(response);
    await isFull;
    const page = await ann.fetch(`/runners/${runner.key}?offset=0&max-items=5`);
    expect(await page.json()).toHaveLength(5);
    expect((await ann.fetch(`/runners/${runner.key}/ack?offset=5`, { method: "POST" })).status).toBe(204);
    while (figures.produced < aheadLimit + 6) await turns(1);
    const abort = await ann.fetch(`/runners/${runner.key}/abort`, { method: "POST" });
    expect(await abort.json()).toMatchObject({ status: "aborted" });
    await runner.cleanup;
  });

  test("is ended when its time is up, lets its runner go at once, and loses its connection 5 s later (P86)", async () => {
    vi.useFakeTimers();
    const { server, runner } = await openEndless({ router: { rotateAfter: 30_000 } }, { idleTimeout: 10_000 });
    const { response } = await askWithoutReading(server, `/runners/${runner.key}?offset=0&live=sse`);
    await stuck(response);
    vi.advanceTimersByTime(29_999);
    await turns();
    expect(response.writableEnded).toBe(false);
    vi.advanceTimersByTime(1);
    while (!response.writableEnded) await turns(1);
    vi.advanceTimersByTime(4_999);
    await turns();
    expect(response.destroyed).toBe(false);
    const closed = once(response, "close");
    vi.advanceTimersByTime(1);
    await closed;
    expect(response.destroyed).toBe(true);
    expect(runner.phase).toBe("running");
    vi.advanceTimersByTime(5_000);
    await turns();
    expect(runner.phase).toBe("aborted");
    await runner.cleanup;
  });

  test("is kept by acknowledgements from another connection", async () => {
    vi.useFakeTimers();
    const { server, runner } = await openEndless({ router: { rotateAfter: 30_000 } });
    const { response } = await askWithoutReading(server, `/runners/${runner.key}?offset=0&live=sse`);
    await stuck(response);
    const [, id] = /runner-response: (\S+)/i.exec(headOf(response))!;
    for (let i = 0; i < 3; i++) {
      vi.advanceTimersByTime(29_999);
      const { response: answer } = await post(server, runner, `/ack?offset=0&response=${id}`);
      await once(answer, "finish");
    }
    expect(response.writableEnded).toBe(false);
    vi.advanceTimersByTime(30_000);
    while (!response.writableEnded) await turns(1);
    const closed = once(response, "close");
    vi.advanceTimersByTime(5_000);
    await closed;
  });

  test("that drains in time is ended like any other", async () => {
    vi.useFakeTimers();
    const { server, runner } = await openEndless({ router: { rotateAfter: 30_000 } });
    const { socket, response } = await askWithoutReading(server, `/runners/${runner.key}?offset=0&live=sse`);
    await stuck(response);
    vi.advanceTimersByTime(30_000);
    while (!response.writableEnded) await turns(1);
    const finished = once(response, "finish");
    let text = "";
    socket.setEncoding("latin1").on("data", (part) => {
      text = (text + part).slice(-20);
    });
    socket.resume();
    await finished;
    while (!text.endsWith("\r\n0\r\n\r\n")) await turns(1); // whole to its end, not cut off
    vi.advanceTimersByTime(5_000);
    await turns();
    expect(socket.destroyed).toBe(false);
  });

  test("is not read from any further: the body waits for it", async () => {
    const { server, runner, isFull } = await openEndless();
    const { response } = await askWithoutReading(server, `/runners/${runner.key}?offset=0&live=sse`);
    await isFull;
    await stuck(response);
    const { position } = runner;
    expect(position).toBeLessThan(aheadLimit);
    await turns(50);
    expect(runner.position).toBe(position);
  });
});

test("a reader that is only slow gets everything", async () => {
  const { server, ann } = await openEndless();
  const count = 150;
  const runner = await ann.session.createSequenceRunner(Array.from({ length: count }, (_, i) => `${i}:${large}`));
  await runner.cleanup;
  const { socket, response } = await askWithoutReading(server, `/runners/${runner.key}?offset=0&live=sse`);
  await stuck(response);
  const parts: string[] = [];
  const over = createDeferred();
  socket.setEncoding("latin1").on("data", (part: string) => {
    parts.push(part);
    if (part.endsWith("\r\n0\r\n\r\n")) over.resolve();
  });
  socket.resume();
  await over.promise;
  const seen = [...parts.join("").matchAll(/"(\d+):x/g)].map((match) => Number(match[1]));
  expect(seen).toEqual(Array.from({ length: count }, (_, i) => i));
  expect(runner.status).toBe("completed");
});

/** Sends a request without a body on a connection of its own; returns the server's side. */
async function post(server: Server, runner: Runner, rest: string): Promise<{ response: ServerResponse }> {
  const arrived = once(server, "request");
  const socket = connect((server.address() as { port: number }).port, "127.0.0.1");
  atEnd(() => socket.destroy());
  socket
    .resume()
    .write(`POST /runners/${runner.key}${rest} HTTP/1.1\r\nHost: x\r\nx-user: ann\r\nContent-Length: 0\r\n\r\n`);
  const [, response] = (await arrived) as [unknown, ServerResponse];
  return { response };
}
