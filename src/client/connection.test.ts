import { beforeEach, describe, expect, test, vi } from "vitest";
import { isPending, turns } from "../../test/support/control.js";
import { createDeferred, type Deferred } from "../base/async.js";
import { headerNames } from "../protocol/headers.js";
import { connect, noStream, type Received, requestPage } from "./connection.js";
import { isTemporary } from "./request.js";

/** A request that the test answers by hand; like a real one it fails, head and body, when its signal aborts. */
class Exchange {
  url = "";
  /** The signal of the request: aborted once the client gives it up. */
  signal!: AbortSignal;
  #answer: Deferred<Response> = createDeferred();
  #body: ReadableStreamDefaultController<Uint8Array> | undefined;

  readonly fetch: typeof fetch = (url, init) => {
    this.url = String(url);
    this.signal = init!.signal!;
    this.signal.addEventListener("abort", () => {
      this.#answer.reject(this.signal.reason);
      this.cut(this.signal.reason);
    });
    return this.#answer.promise;
  };

  /** Answers with a head; the body comes later. */
  open(contentType = "text/event-stream", headers: Record<string, string> = {}): this {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#body = controller;
      },
    });
    this.respond(new Response(body, { headers: { "Content-Type": contentType, ...headers } }));
    return this;
  }

  respond(response: Response): void {
    this.#answer.resolve(response);
  }

  send(piece: string | Uint8Array): void {
    this.#body!.enqueue(typeof piece === "string" ? new TextEncoder().encode(piece) : piece);
  }

  end(): void {
    this.#body!.close();
  }

  cut(error: unknown = new TypeError("terminated")): void {
    this.#body?.error(error);
  }
}

const url = "http://server.test/runners/1";

/** A connection whose answer the test gives by hand. */
class Connection {
  readonly exchange = new Exchange();
  readonly controller = new AbortController();
  readonly pieces: AsyncGenerator<Received<string[]>, void, undefined>;
  /** How often something has arrived. */
  bytes = 0;

  constructor(isStream: boolean) {
    const onBytes = () => {
      this.bytes++;
    };
    this.pieces = connect<string>(url, isStream, { fetch: this.exchange.fetch }, this.controller, onBytes);
  }
}

interface Taking extends Pick<Connection, "exchange" | "controller"> {
  readonly connection: Connection;
  readonly received: Received<string[]>[];
  /** Settles when the connection is over. */
  readonly result: Promise<void>;
}

/** Takes everything that a connection gives. */
function take(isStream: boolean): Taking {
  const connection = new Connection(isStream);
  const received: Received<string[]>[] = [];
  const run = async () => {
    for await (const piece of connection.pieces) received.push(piece);
  };
  const result = run();
  result.catch(() => {}); // looked at later, by the test
  return { connection, exchange: connection.exchange, controller: connection.controller, received, result };
}

const stream = () => take(true);
const poll = () => take(false);

/** Waits for what a connection fails with, and says whether another try may mend that. */
async function expectTemporary(result: Promise<unknown>): Promise<void> {
  const error = await result.catch((error: unknown) => error);
  expect(error).toBeInstanceOf(Error);
  expect(isTemporary(error)).toBe(true);
}

const dataFrame = (...items: string[]) => `event: data\ndata:${JSON.stringify(items)}\n\n`;
const controlFrame = (next: number, more: object = {}) =>
  `event: control\ndata:${JSON.stringify({ streamNextOffset: String(next), runnerStatus: "progressed", runnerProgress: next, ...more })}\n\n`;
const itemsOf = (received: readonly Received<string[]>[]) => received.map(({ body }) => body);

beforeEach(() => {
  vi.useFakeTimers();
});

describe("stream", () => {
  test("asks for just the address that it is given", async () => {
    const { exchange, result } = stream();
    expect(exchange.url).toBe(url);
    exchange.open().end();
    await result;
  });

  test("gives items together with what their control event says", async () => {
    const { exchange, received, result } = stream();
    exchange.open().send(dataFrame("a", "b") + controlFrame(5, { streamCursor: "9", runnerAheadLimit: 10 }));
    exchange.end();
    await result;
    const control = { streamNextOffset: "5", streamCursor: "9", runnerAheadLimit: 10, runnerProgress: 5 };
    expect(received).toMatchObject([{ body: ["a", "b"], control }]);
  });

  test("gives several updates that come in one piece, and updates without items", async () => {
    const { exchange, received, result } = stream();
    exchange.open().send(controlFrame(3) + dataFrame("a") + controlFrame(4) + dataFrame("b") + controlFrame(5));
    exchange.end();
    await result;
    expect(itemsOf(received)).toEqual([[], ["a"], ["b"]]);
  });

  test("puts together what comes byte by byte, within a character too", async () => {
    const { exchange, received, result } = stream();
    exchange.open();
    for (const byte of new TextEncoder().encode(dataFrame("ä 日本 🙂") + controlFrame(4))) {
      exchange.send(Uint8Array.of(byte));
    }
    exchange.end();
    await result;
    expect(itemsOf(received)).toEqual([["ä 日本 🙂"]]);
  });

  test("keeps back items until their control event has come", async () => {
    const { exchange, received, result } = stream();
    exchange.open().send(dataFrame("a") + controlFrame(4).slice(0, -1));
    await turns();
    expect(received).toEqual([]);
    exchange.send("\n");
    await turns();
    expect(itemsOf(received)).toEqual([["a"]]);
    exchange.end();
    await result;
  });

  test("drops items whose control event was cut off", async () => {
    const { exchange, received, result } = stream();
    exchange.open().send(dataFrame("a") + controlFrame(4) + dataFrame("b") + controlFrame(5).slice(0, 30));
    await turns();
    exchange.cut();
    await expectTemporary(result);
    expect(itemsOf(received)).toEqual([["a"]]);
  });

  test("drops them too when the server ends before it", async () => {
    const { exchange, received, result } = stream();
    exchange.open().send(dataFrame("a"));
    exchange.end();
    await result;
    expect(received).toEqual([]);
  });

  test.each([
    ["a control event that is no JSON", "event: control\ndata:{\n\n"],
    ["a control event without an offset", "event: control\ndata:{}\n\n"],
    ["a control event that is null", "event: control\ndata:null\n\n"],
    ["a data event that is no JSON", `event: data\ndata:[\n\n${controlFrame(4)}`],
  ])("%s is no answer of ours", async (_name, text) => {
    const { exchange, received, result } = stream();
    exchange.open().send(text);
    const end = await Promise.race([result.catch((error: unknown) => error), turns(20).then(() => "waiting")]);
    exchange.cut();
    expect(end).toMatchObject({ code: "UNEXPECTED_RESPONSE" });
    expect(received).toEqual([]);
  });

  test("tells of every piece that arrives, a heartbeat too", async () => {
    const { connection, exchange, result } = stream();
    exchange.open();
    await turns();
    expect(connection.bytes).toBe(0);
    exchange.send(controlFrame(3));
    exchange.send(":\n\n");
    await turns();
    expect(connection.bytes).toBe(2);
    exchange.end();
    await result;
  });

  test.each(["text/html", "application/json"])(
    "throws noStream where %s comes, and gives the request up",
    async (type) => {
      const { exchange, result } = stream();
      exchange.open(type);
      await expect(result).rejects.toBe(noStream);
      expect(exchange.signal.aborted).toBe(true);
    },
  );

  test("throws noStream without a body", async () => {
    const { exchange, result } = stream();
    exchange.respond(new Response(null, { headers: { "Content-Type": "text/event-stream" } }));
    await expect(result).rejects.toBe(noStream);
  });

  test.each(["head", "body"])("throws noStream when no %s has come in 10 s, and gives the request up", async (part) => {
    const { exchange, result } = stream();
    if (part === "body") exchange.open();
    await vi.advanceTimersByTimeAsync(9999);
    expect(await isPending(result)).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    await expect(result).rejects.toBe(noStream);
    expect(exchange.signal.aborted).toBe(true);
  });

  test("is cut when nothing has come for 45 s, and that may be mended", async () => {
    const { exchange, result } = stream();
    exchange.open().send(controlFrame(3));
    await vi.advanceTimersByTimeAsync(44_999);
    expect(await isPending(result)).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    await expectTemporary(result);
    expect(exchange.signal.aborted).toBe(true);
  });

  test("stands as long as heartbeats come", async () => {
    const { exchange, result } = stream();
    exchange.open();
    for (let i = 0; i < 10; i++) {
      exchange.send(":\n\n");
      await vi.advanceTimersByTimeAsync(44_000);
    }
    expect(await isPending(result)).toBe(true);
    exchange.end();
    await result;
  });
});

describe("poll", () => {
  const headers = {
    "Stream-Next-Offset": "0000000000000005",
    "Runner-Status": "progressed",
    "Runner-Progress": "7",
    "Stream-Cursor": "9",
  };

  test("asks once and gives the one answer", async () => {
    const { connection, exchange, received, result } = poll();
    expect(exchange.url).toBe(url);
    exchange.respond(new Response('["a","b"]', { headers }));
    await result;
    const control = { streamNextOffset: "0000000000000005", runnerStatus: "progressed", streamCursor: "9" };
    expect(received).toMatchObject([{ body: ["a", "b"], control: { ...control, runnerProgress: "7" } }]);
    expect(connection.bytes).toBe(1);
  });

  test("gives an update without items for 204", async () => {
    const { exchange, received, result } = poll();
    exchange.respond(new Response(null, { status: 204, headers: { ...headers, "Stream-Closed": "true" } }));
    await result;
    expect(received).toMatchObject([{ body: [], control: { streamClosed: "true" } }]);
  });

  test("gives nothing when the body is cut, and that may be mended", async () => {
    const { exchange, received, result } = poll();
    exchange.open("application/json", headers).send('["a",');
    await turns();
    exchange.cut();
    await expectTemporary(result);
    expect(received).toEqual([]);
  });

  test("200 without Stream-Next-Offset is no answer of ours, and the rest of it is not waited for", async () => {
    const { exchange, result } = poll();
    exchange.open("text/html");
    await expect(result).rejects.toMatchObject({ code: "UNEXPECTED_RESPONSE" });
    expect(exchange.signal.aborted).toBe(true);
  });

  test.each(["head", "body"])("is cut when its %s has not come in 75 s, longer than any long-poll", async (part) => {
    const { exchange, result } = poll();
    if (part === "body") exchange.open("application/json", headers);
    await vi.advanceTimersByTimeAsync(74_999);
    expect(await isPending(result)).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    await expectTemporary(result);
    expect(exchange.signal.aborted).toBe(true);
  });
});

describe.each([
  ["stream", true, "text/event-stream"],
  ["poll", false, "application/json"],
] as const)("%s, in whatever way it ends,", (_name, isStream, type) => {
  const reason = new Error("the user has left");
  const headers = { "Stream-Next-Offset": "0000000000000005" };

  test("throws what an error answer means", async () => {
    const { exchange, result } = take(isStream);
    exchange.respond(new Response("busy", { status: 503 }));
    await expectTemporary(result);
  });

  test.each(["connecting", "reading"])("throws the signal's reason at once when it aborts while %s", async (phase) => {
    const { exchange, controller, result } = take(isStream);
    if (phase === "reading") exchange.open(type, headers).send(":");
    expect(await isPending(result)).toBe(true);
    controller.abort(reason);
    await expect(result).rejects.toBe(reason);
    expect(exchange.signal.aborted).toBe(true);
  });

  test("leaves no timer behind, and its request is over", async () => {
    const ways: ((exchange: Exchange) => unknown)[] = [
      (exchange) => exchange.respond(new Response("busy", { status: 503 })),
      (exchange) => exchange.open("text/html"),
      (exchange) => exchange.open(type, headers).cut(),
      (exchange) => exchange.respond(new Response("[]", { headers: { ...headers, "Content-Type": type } })),
    ];
    for (const end of ways) {
      const { exchange, result } = take(isStream);
      end(exchange);
      await result.catch(() => {});
      expect(exchange.signal.aborted).toBe(true);
      expect(vi.getTimerCount()).toBe(0);
    }
  });

  test("gives its request up when its consumer leaves", async () => {
    const { exchange, pieces } = new Connection(isStream);
    const first = pieces.next();
    if (type === "text/event-stream") exchange.open().send(dataFrame("a") + controlFrame(4));
    else exchange.respond(new Response('["a"]', { headers }));
    expect((await first).value).toMatchObject({ body: ["a"] });
    await pieces.return();
    expect(exchange.signal.aborted).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a page", () => {
  const answered = (response: Response) =>
    requestPage<string[]>(url, { fetch: async () => response }, {}).catch((error: unknown) => error);
  const control = async (headers: Record<string, string>) =>
    ((await answered(new Response("[]", { headers }))) as Received<string[]>).control;

  test("is asked for as the caller says", async () => {
    const inits: unknown[] = [];
    const send: typeof fetch = async (_url, init) => {
      inits.push(init);
      return new Response("{}", { headers: { [headerNames.nextOffset]: "0" } });
    };
    const { signal } = new AbortController();
    const { body } = await requestPage<object>(url, { fetch: send }, { method: "POST", body: "7", signal });
    expect(body).toEqual({});
    expect(inits).toMatchObject([{ method: "POST", body: "7", signal }]);
  });

  test("says in its headers everything that holds for it", async () => {
    const headers = {
      [headerNames.nextOffset]: "0000000000000012",
      [headerNames.cursor]: "77",
      [headerNames.upToDate]: "true",
      [headerNames.closed]: "true",
      [headerNames.status]: "aborted",
      [headerNames.progress]: "12",
      [headerNames.estimatedEnd]: "20",
      [headerNames.abortReason]: "idle",
      [headerNames.errorMessage]: encodeURIComponent("The disk is full: 100 %"),
    };
    expect(await control(headers)).toMatchObject({
      streamNextOffset: "0000000000000012",
      streamCursor: "77",
      streamUpToDate: "true",
      streamClosed: "true",
      runnerStatus: "aborted",
      runnerProgress: "12",
      runnerEstimatedEnd: "20",
      runnerAbortReason: "idle",
      runnerErrorMessage: "The disk is full: 100 %",
    });
  });

  test("leaves out what they do not say", async () => {
    const said = await control({ [headerNames.nextOffset]: "0", [headerNames.status]: "stalled" });
    expect(said).not.toHaveProperty("streamClosed");
    expect(said).not.toHaveProperty("runnerEstimatedEnd");
    expect(said.streamCursor).toBeUndefined();
  });

  test("that is none of ours is UNEXPECTED_RESPONSE", async () => {
    expect(await answered(new Response("[]"))).toMatchObject({ code: "UNEXPECTED_RESPONSE" });
    expect(await answered(new Response("<h1>Please log in</h1>"))).toMatchObject({ code: "UNEXPECTED_RESPONSE" });
  });

  test.each(["%", "100%", "%ff"])(
    "whose error message is not encoded, but %j, is UNEXPECTED_RESPONSE",
    async (text) => {
      const headers = { [headerNames.nextOffset]: "2", [headerNames.errorMessage]: text };
      expect(await answered(new Response("[]", { headers }))).toMatchObject({ code: "UNEXPECTED_RESPONSE" });
    },
  );

  test.each(['["a","', "", "<"])(
    "that is ours, and has the body %j, has been cut off: another try may mend that",
    async (text) => {
      const error = await answered(new Response(text, { headers: { [headerNames.nextOffset]: "2" } }));
      expect(error).toMatchObject({ code: "SERVER_UNAVAILABLE" });
      expect(isTemporary(error)).toBe(true);
    },
  );
});
