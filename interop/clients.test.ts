/**
 * Clients that others have written, against our adapter for `node:http`: what we say of the protocol is true if they get
 * everything, once and in order, with their own ideas of retrying and reconnecting.
 */
import { FetchError, stream } from "@durable-streams/client";
import { EventSource } from "eventsource";
import { describe, expect, test } from "vitest";
import { PushQueue } from "./support/push-queue.js";
import { type RunnerServer, startRunnerServer } from "./support/runner-server.js";

/** Five times as many as may lie ahead of a reader: a client must come back, or acknowledge, more than three times. */
const many = 5000;

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}

/** Gives the items, then fails. */
async function* failing(items: readonly unknown[]): AsyncGenerator<unknown, void, undefined> {
  yield* items;
  throw new Error("The source is broken");
}

async function stateOf(url: string, { headers }: RunnerServer): Promise<unknown> {
  return (await fetch(`${url}/state`, { headers })).json();
}

async function abort(url: string, { headers }: RunnerServer): Promise<void> {
  expect((await fetch(`${url}/abort`, { method: "POST", headers })).status).toBe(200);
}

describe.each(["long-poll", "sse"] as const)("the client of Durable Streams, by %s", (live) => {
  test("reads what comes until the runner is completed", async () => {
    await using server = await startRunnerServer();
    const queue = new PushQueue();
    const url = await server.start(queue);
    await queue.write([0, 1]);
    const response = await stream<number>({ url, headers: server.headers, live });
    const seen: number[] = [];
    for await (const item of response.jsonStream()) {
      seen.push(item);
      if (item < 5) await queue.write(item === 1 ? [2, 3] : item === 3 ? [4, 5] : []);
      else await queue.write([], { end: true });
    }
    expect(seen).toEqual(numbers(6));
    expect([response.streamClosed, response.offset]).toEqual([true, "0000000000000006"]);
    expect(server.requests[live]).toBeGreaterThan(0);
  });

  test("loses and repeats nothing of a source that is faster than itself", async () => {
    await using server = await startRunnerServer();
    const url = await server.start(numbers(many));
    const response = await stream<number>({ url, headers: server.headers, live });
    const seen: number[] = [];
    for await (const item of response.jsonStream()) seen.push(item);
    expect(seen).toEqual(numbers(many));
    expect(response.streamClosed).toBe(true);
    expect(server.requests[live]).toBeGreaterThanOrEqual(4); // as many as it takes, at 1000 items each, after the first page
  });

  test("goes on at an offset it has kept", async () => {
    await using server = await startRunnerServer();
    const url = await server.start(numbers(10));
    const response = await stream<number>({ url, headers: server.headers, live, offset: "0000000000000004" });
    const seen: number[] = [];
    for await (const item of response.jsonStream()) seen.push(item);
    expect(seen).toEqual([4, 5, 6, 7, 8, 9]);
  });

  test("gets what a failed runner has made, and its end", async () => {
    await using server = await startRunnerServer();
    const url = await server.start(failing([1, 2, 3]));
    const response = await stream<number>({ url, headers: server.headers, live });
    const seen: number[] = [];
    for await (const item of response.jsonStream()) seen.push(item);
    expect(seen).toEqual([1, 2, 3]);
    expect(response.streamClosed).toBe(true);
    expect(await stateOf(url, server)).toMatchObject({ status: "failed", error: { code: "RUNNER_FAILED" } });
  });

  test("ends when the runner is aborted", async () => {
    await using server = await startRunnerServer();
    const queue = new PushQueue();
    const url = await server.start(queue);
    await queue.write([1, 2, 3]);
    const response = await stream<number>({ url, headers: server.headers, live });
    const seen: number[] = [];
    for await (const item of response.jsonStream()) {
      seen.push(item);
      if (item === 3) await abort(url, server);
    }
    expect(seen).toEqual([1, 2, 3]);
    expect(response.streamClosed).toBe(true);
    expect(await stateOf(url, server)).toMatchObject({ status: "aborted", abortReason: "stopped" });
  });

  test("is refused, without asking again, what has been removed or is another client's", async () => {
    await using server = await startRunnerServer();
    const url = await server.start(numbers(3));
    await expect(stream({ url, live })).rejects.toMatchObject({ constructor: FetchError, status: 404 });
    await fetch(url, { method: "DELETE", headers: server.headers });
    const again = stream({ url, headers: server.headers, live });
    await expect(again).rejects.toMatchObject({ constructor: FetchError, status: 410 });
    expect(server.requests).toEqual({ page: 2, DELETE: 1 });
  });
});

describe("the client of Durable Streams, when its connection is cut", () => {
  /** Gives 0 to 5, one after the other, and cuts the connection after every second one. */
  async function read(server: RunnerServer, live: "long-poll" | "sse", seen: number[], url: string, queue: PushQueue) {
    const offset = String(seen.length).padStart(16, "0"); // an offset is a number of items
    const response = await stream<number>({ url, headers: server.headers, live, offset });
    response.closed.catch(() => {}); // it rejects together with the iteration
    for await (const item of response.jsonStream()) {
      seen.push(item);
      if (item % 2 === 1) server.cut();
      if (item < 5) await queue.write([item + 1], { end: item === 4 });
    }
  }

  test("goes on by itself where it was, by long-poll", async () => {
    await using server = await startRunnerServer();
    const queue = new PushQueue();
    const url = await server.start(queue);
    await queue.write([0]);
    const seen: number[] = [];
    await read(server, "long-poll", seen, url, queue);
    expect(seen).toEqual(numbers(6));
  });

  test("fails by SSE, and another one goes on where it was", async () => {
    await using server = await startRunnerServer();
    const queue = new PushQueue();
    const url = await server.start(queue);
    await queue.write([0]);
    const seen: number[] = [];
    await expect(read(server, "sse", seen, url, queue)).rejects.toThrow("terminated");
    expect(seen).toEqual([0, 1]);
    await expect(read(server, "sse", seen, url, queue)).rejects.toThrow("terminated");
    expect(seen).toEqual([0, 1, 2, 3]);
    await read(server, "sse", seen, url, queue);
    expect(seen).toEqual(numbers(6));
  });
});

/** What an application does that follows a runner by `EventSource`: it closes it at the end, and skips what it has. */
interface Following {
  readonly seen: number[];
  /** How often events have shown items that were there before. */
  readonly repeated: number;
  /** What the last control event said. */
  readonly control: Record<string, unknown>;
}

/** Follows a runner until it is closed or refused; `onEvent` is told, after each event, how many items have come. */
async function follow(
  url: string,
  server: RunnerServer,
  query: string,
  onEvent: (count: number) => Promise<unknown> | undefined = () => undefined,
): Promise<Following> {
  const seen: number[] = [];
  const reactions: (Promise<unknown> | undefined)[] = [];
  let repeated = 0;
  const source = new EventSource(`${url}?${query}`, {
    fetch: (input, init) => fetch(input, { ...init, headers: { ...init.headers, ...server.headers } }),
  });
  try {
    return await new Promise<Following>((resolve, reject) => {
      let items: number[] = [];
      source.addEventListener("data", ({ data }) => {
        items = JSON.parse(data);
      });
      source.addEventListener("control", ({ data }) => {
        const control = JSON.parse(data);
        const start = Number(control.streamNextOffset) - items.length;
        if (start > seen.length) reject(new Error(`Items ${seen.length} to ${start} are missing`));
        if (start < seen.length) repeated++;
        seen.push(...items.slice(seen.length - start));
        items = [];
        if (control.streamClosed) resolve({ seen, repeated, control });
        else reactions.push(onEvent(seen.length));
      });
      source.addEventListener("error", ({ code }) => {
        if (source.readyState === source.CLOSED) reject(new Error(`Refused: ${code}`));
      });
    });
  } finally {
    source.close();
    await Promise.all(reactions);
  }
}

describe("EventSource", () => {
  test("reads what comes until the runner is completed", async () => {
    await using server = await startRunnerServer();
    const queue = new PushQueue();
    const url = await server.start(queue);
    const followed = await follow(url, server, "offset=-1&live=sse", (count) => {
      return queue.write(count < 6 ? [count] : [], { end: count === 6 });
    });
    expect(followed).toMatchObject({ seen: numbers(6), repeated: 0, control: { runnerStatus: "completed" } });
    expect(server.requests).toEqual({ sse: 1 });
  });

  test("acknowledges, and so reads everything of a source that is faster than itself on one connection", async () => {
    await using server = await startRunnerServer();
    const url = await server.start(numbers(many));
    let acknowledged = 0;
    const followed = await follow(url, server, "offset=-1&live=sse&acks=true", (count) => {
      if (count - acknowledged < 500) return undefined;
      acknowledged = count;
      return fetch(`${url}/ack?offset=${count}`, { method: "POST", headers: server.headers });
    });
    expect(followed).toMatchObject({ seen: numbers(many), repeated: 0 });
    expect(server.requests).toMatchObject({ sse: 1 });
  });

  test("begins again when its connection is cut, and by the offsets it can be told what it has", async () => {
    await using server = await startRunnerServer();
    const queue = new PushQueue();
    const url = await server.start(queue);
    await queue.write([0, 1, 2]);
    const followed = await follow(url, server, "offset=-1&live=sse", (count) => {
      if (server.requests.sse !== 1 || count !== 3) return undefined;
      server.cut();
      return queue.write([3, 4, 5], { end: true });
    });
    expect(followed).toMatchObject({ seen: numbers(6), repeated: 1 });
    expect(server.requests).toEqual({ sse: 2 });
  });

  test("sees the failure", async () => {
    await using server = await startRunnerServer();
    const url = await server.start(failing([0, 1]));
    const { seen, control } = await follow(url, server, "offset=-1&live=sse");
    expect(seen).toEqual([0, 1]);
    expect(control).toMatchObject({ runnerStatus: "failed", runnerErrorCode: "RUNNER_FAILED" });
  });

  test("sees that the runner was aborted", async () => {
    await using server = await startRunnerServer();
    const queue = new PushQueue();
    const url = await server.start(queue);
    await queue.write([0, 1]);
    const { seen, control } = await follow(url, server, "offset=-1&live=sse", () => abort(url, server));
    expect(seen).toEqual([0, 1]);
    expect(control).toMatchObject({ runnerStatus: "aborted", runnerAbortReason: "stopped" });
  });

  test("does not ask again for a runner that has been removed", async () => {
    await using server = await startRunnerServer();
    const url = await server.start(numbers(3));
    await fetch(url, { method: "DELETE", headers: server.headers });
    await expect(follow(url, server, "offset=-1&live=sse")).rejects.toThrow("Refused: 410");
    expect(server.requests).toEqual({ DELETE: 1, sse: 1 });
  });
});
