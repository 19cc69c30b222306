/** Connections in the hands of a hostile client, on every adapter: one that never reads, and one that announces far more than it sends. */

import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { connect, type Socket } from "node:net";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { defineSequenceRunner } from "../src/session/define.js";
import { adapters } from "./support/adapters.js";
import { atEnd } from "./support/cleanup.js";
import { PushSource, turns } from "./support/control.js";
import { openAdapter, readHttp, until } from "./support/stage.js";

/** So many of these fill every buffer between the two ends of a connection. */
const large = Array<string>(150).fill("x".repeat(96 * 1024));
const rotateAfter = 30_000;

/** What every server of this process is asked from here on: the answers, by the path of the request. */
function watchResponses(): Map<string, ServerResponse> {
  const responses = new Map<string, ServerResponse>();
  const note = (message: unknown) => {
    const { request, response } = message as { request: { url: string }; response: ServerResponse };
    responses.set(request.url, response);
  };
  subscribe("http.server.request.start", note);
  atEnd(() => unsubscribe("http.server.request.start", note));
  return responses;
}

/** A bare connection that has sent this. */
async function send(url: string, lines: string[]): Promise<Socket> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.on("error", () => {}); // the server may destroy the connection
  socket.pause();
  atEnd(() => socket.destroy());
  await once(socket, "connect");
  socket.write(`${[...lines, "Host: app.example"].join("\r\n")}\r\n\r\n`);
  return socket;
}

const identify = { identify: () => "ann" };

describe.each(Object.entries(adapters))("%s", (_name, adapter) => {
  beforeEach(() => {
    atEnd(async () => {
      await turns(5); // everything is closed; what @hono/node-server wants to look at after half a second it may
      if (vi.isFakeTimers()) await vi.advanceTimersByTimeAsync(1000);
    });
  });

  test("a client that never reads its event stream loses the connection 5 s after the response has ended (P86)", async () => {
    const responses = watchResponses();
    const { sessions, url } = await openAdapter(adapter, { options: identify, router: { rotateAfter } });
    await readHttp(`${url}/hello`); // what a first request sets up has no fake timer
    vi.useFakeTimers();
    const session = await sessions.get("ann");
    const runner = await session.createSequenceRunner(large, { aheadLimit: 200, idleTimeout: 10 * 60_000 });
    const path = `/runners/${runner.key}?offset=0&live=sse`;
    await send(url, [`GET ${path} HTTP/1.1`]);
    await until(() => responses.get(path)?.writableNeedDrain === true);
    const response = responses.get(path)!;
    const isOpen = () => sessions.stats().openReads > 0;
    expect(isOpen()).toBe(true);
    vi.advanceTimersByTime(rotateAfter - 1);
    await turns();
    expect(isOpen()).toBe(true);
    vi.advanceTimersByTime(1);
    await until(() => !isOpen());
    await turns();
    vi.advanceTimersByTime(4_999);
    await turns();
    expect(response.destroyed).toBe(false);
    const closed = once(response, "close");
    vi.advanceTimersByTime(1);
    await closed;
    expect(response.destroyed).toBe(true);
  });

  test("requests that wait on a connection for the answer before them pin nothing once their client has gone", async () => {
    const { sessions, url } = await openAdapter(adapter, { options: identify });
    const session = await sessions.get("ann");
    const runner = await session.createSequenceRunner(new PushSource<number>());
    const socket = await send(url, [`GET /runners/${runner.key}?offset=0&live=sse HTTP/1.1`]);
    const waiting = ["live=sse", "live=long-poll&timeout=60", "live=sse&acks=true"];
    for (const query of waiting) {
      socket.write(`GET /runners/${runner.key}?offset=0&${query} HTTP/1.1\r\nHost: app.example\r\n\r\n`);
    }
    await until(() => sessions.stats().openReads === 4);
    socket.destroy();
    await until(() => sessions.stats().openReads === 0);
  });

  // Express's own parser, which that of Nest is, reads what it has refused to its end before it says so.
  if (adapter.readsBodies) return;
  test("a body that announces a hundred gigabytes, and never comes, is refused at once", async () => {
    const work = defineSequenceRunner({ name: "work", run: () => [1] });
    const { sessions, url } = await openAdapter(adapter, { options: identify, router: { expose: [work] } });
    await readHttp(`${url}/hello`);
    vi.useFakeTimers();
    const json = "Content-Type: application/json";
    const socket = await send(url, ["POST /runners/work HTTP/1.1", json, "Content-Length: 100000000000"]);
    let answer = "";
    socket.setEncoding("latin1").on("data", (part: string) => {
      answer += part;
    });
    socket.resume();
    await until(() => answer.includes("\r\n"));
    expect(answer.split("\r\n")[0]).toContain(" 413 ");
    expect(sessions.stats().runners).toBe(0);
  });
});
