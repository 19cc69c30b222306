import { beforeEach, describe, expect, test, vi } from "vitest";
import { isPending, turns } from "../../test/support/control.js";
import { createDeferred, type Deferred } from "../base/async.js";
import { headerNames } from "../wire/names.js";
import { type ConnectionRequest, connect, controlOf, type Received } from "./connection.js";
import { TemporaryError } from "./request.js";

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

interface Asked {
  readonly exchange: Exchange;
  readonly controller: AbortController;
  readonly request: ConnectionRequest;
  readonly bytes: { count: number };
}

function ask(over: Partial<ConnectionRequest> = {}): Asked {
  const exchange = new Exchange();
  const controller = new AbortController();
  const bytes = { count: 0 };
  const request: ConnectionRequest = {
    url: "http://server.test/runners/1",
    live: "sse",
    offset: 3,
    cursor: undefined,
    acks: true,
    cut: controller,
    options: { fetch: exchange.fetch },
    onBytes: () => {
      bytes.count++;
    },
    ...over,
  };
  return { exchange, controller, request, bytes };
}

/** Follows by SSE; tells at the end whether that gets through. */
async function* stream<T = string>(request: ConnectionRequest): AsyncGenerator<Received<T>, boolean, undefined> {
  const asked = { ...request, live: "sse" as const, isUseless: false };
  yield* connect<T>(asked);
  return !asked.isUseless;
}

/** Follows by one long-poll. */
async function* poll<T = string>(request: ConnectionRequest): AsyncGenerator<Received<T>, boolean, undefined> {
  yield* connect<T>({ ...request, live: "long-poll" });
  return true;
}

interface Outcome {
  readonly received: Received<string>[];
  /** Settles when the connection is over, with what it returned. */
  readonly result: Promise<boolean>;
}

/** Takes everything that a connection gives. */
function takeAll(connection: AsyncGenerator<Received<string>, boolean, undefined>): Outcome {
  const received: Received<string>[] = [];
  const run = async () => {
    for (;;) {
      const step = await connection.next();
      if (step.done) return step.value;
      received.push(step.value);
    }
  };
  const result = run();
  result.catch(() => {}); // looked at later, by the test
  return { received, result };
}

const dataFrame = (...items: string[]) => `event: data\ndata:${JSON.stringify(items)}\n\n`;
const controlFrame = (next: number, more: object = {}) =>
  `event: control\ndata:${JSON.stringify({ streamNextOffset: String(next), runnerStatus: "progressed", runnerProgress: next, ...more })}\n\n`;
const itemsOf = ({ received }: Outcome) => received.map(({ items }) => items);

beforeEach(() => {
  vi.useFakeTimers();
});

describe("stream", () => {
  test("asks for events from the offset on, and echoes the cursor", async () => {
    const first = ask();
    const outcome = takeAll(stream(first.request));
    expect(first.exchange.url).toBe("http://server.test/runners/1?offset=3&live=sse&acks=true");
    first.exchange.open().end();
    await outcome.result;

    const second = ask({ offset: "now", cursor: "42" });
    const other = takeAll(stream(second.request));
    expect(second.exchange.url).toBe("http://server.test/runners/1?offset=now&live=sse&cursor=42&acks=true");
    second.exchange.open().end();
    await other.result;
  });

  test("gives items together with what their control event says", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(stream(request));
    exchange.open().send(dataFrame("a", "b") + controlFrame(5, { streamCursor: "9", runnerAheadLimit: 10 }));
    exchange.end();
    expect(await outcome.result).toBe(true);
    const control = { streamNextOffset: "5", streamCursor: "9", runnerAheadLimit: 10, runnerProgress: 5 };
    expect(outcome.received).toMatchObject([{ items: ["a", "b"], control }]);
  });

  test("gives several updates that come in one piece, and updates without items", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(stream(request));
    exchange.open().send(controlFrame(3) + dataFrame("a") + controlFrame(4) + dataFrame("b") + controlFrame(5));
    exchange.end();
    await outcome.result;
    expect(itemsOf(outcome)).toEqual([[], ["a"], ["b"]]);
  });

  test("puts together what comes byte by byte, within a character too", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(stream(request));
    exchange.open();
    for (const byte of new TextEncoder().encode(dataFrame("ä 日本 🙂") + controlFrame(4))) {
      exchange.send(Uint8Array.of(byte));
    }
    exchange.end();
    await outcome.result;
    expect(itemsOf(outcome)).toEqual([["ä 日本 🙂"]]);
  });

  test("keeps back items until their control event has come", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(stream(request));
    exchange.open().send(dataFrame("a") + controlFrame(4).slice(0, -1));
    await turns();
    expect(outcome.received).toEqual([]);
    exchange.send("\n");
    await turns();
    expect(itemsOf(outcome)).toEqual([["a"]]);
    exchange.end();
    await outcome.result;
  });

  test("drops items whose control event was cut off", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(stream(request));
    exchange.open().send(dataFrame("a") + controlFrame(4) + dataFrame("b") + controlFrame(5).slice(0, 30));
    await turns();
    exchange.cut();
    await expect(outcome.result).rejects.toBeInstanceOf(TemporaryError);
    expect(itemsOf(outcome)).toEqual([["a"]]);
  });

  test("drops them too when the server ends before it", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(stream(request));
    exchange.open().send(dataFrame("a"));
    exchange.end();
    expect(await outcome.result).toBe(true);
    expect(outcome.received).toEqual([]);
  });

  test.each([
    ["a control event that is no JSON", "event: control\ndata:{\n\n"],
    ["a control event without an offset", "event: control\ndata:{}\n\n"],
    ["a data event that is no JSON", `event: data\ndata:[\n\n${controlFrame(4)}`],
  ])("%s is no answer of ours", async (_name, text) => {
    const { exchange, request } = ask();
    const outcome = takeAll(stream(request));
    exchange.open().send(text);
    const end = await Promise.race([outcome.result.catch((error: unknown) => error), turns(20).then(() => "waiting")]);
    exchange.cut();
    expect(end).toMatchObject({ code: "UNEXPECTED_RESPONSE" });
    expect(outcome.received).toEqual([]);
  });

  test("tells of every piece that arrives, a heartbeat too", async () => {
    const { exchange, request, bytes } = ask();
    const outcome = takeAll(stream(request));
    exchange.open();
    await turns();
    expect(bytes.count).toBe(0);
    exchange.send(controlFrame(3));
    exchange.send(":\n\n");
    await turns();
    expect(bytes.count).toBe(2);
    exchange.end();
    await outcome.result;
  });

  test.each(["text/html", "application/json"])(
    "says that it does not work where %s comes, and gives up",
    async (type) => {
      const { exchange, request } = ask();
      const outcome = takeAll(stream(request));
      exchange.open(type);
      expect(await outcome.result).toBe(false);
      expect(exchange.signal.aborted).toBe(true);
    },
  );

  test("says that it does not work without a body", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(stream(request));
    exchange.respond(new Response(null, { headers: { "Content-Type": "text/event-stream" } }));
    expect(await outcome.result).toBe(false);
  });

  test.each(["head", "body"])("says that it does not work when no %s has come in 10 s, and gives up", async (part) => {
    const { exchange, request } = ask();
    const outcome = takeAll(stream(request));
    if (part === "body") exchange.open();
    await vi.advanceTimersByTimeAsync(9999);
    expect(await isPending(outcome.result)).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    expect(await outcome.result).toBe(false);
    expect(exchange.signal.aborted).toBe(true);
  });

  test("is cut when nothing has come for 45 s, and that may be mended", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(stream(request));
    exchange.open().send(controlFrame(3));
    await vi.advanceTimersByTimeAsync(44_999);
    expect(await isPending(outcome.result)).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    await expect(outcome.result).rejects.toBeInstanceOf(TemporaryError);
    expect(exchange.signal.aborted).toBe(true);
  });

  test("stands as long as heartbeats come", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(stream(request));
    exchange.open();
    for (let i = 0; i < 10; i++) {
      exchange.send(":\n\n");
      await vi.advanceTimersByTimeAsync(44_000);
    }
    expect(await isPending(outcome.result)).toBe(true);
    exchange.end();
    expect(await outcome.result).toBe(true);
  });
});

describe("poll", () => {
  const headers = {
    "Stream-Next-Offset": "0000000000000005",
    "Runner-Status": "progressed",
    "Runner-Progress": "7",
    "Stream-Cursor": "9",
  };

  test("asks from the offset on and gives the one answer", async () => {
    const { exchange, request, bytes } = ask({ cursor: "42" });
    const outcome = takeAll(poll(request));
    expect(exchange.url).toBe("http://server.test/runners/1?offset=3&live=long-poll&cursor=42");
    exchange.respond(new Response('["a","b"]', { headers }));
    expect(await outcome.result).toBe(true);
    const control = { streamNextOffset: "0000000000000005", runnerStatus: "progressed", streamCursor: "9" };
    expect(outcome.received).toMatchObject([{ items: ["a", "b"], control: { ...control, runnerProgress: "7" } }]);
    expect(bytes.count).toBe(1);
  });

  test("gives an update without items for 204", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(poll(request));
    exchange.respond(new Response(null, { status: 204, headers: { ...headers, "Stream-Closed": "true" } }));
    await outcome.result;
    expect(outcome.received).toMatchObject([{ items: [], control: { streamClosed: "true" } }]);
  });

  test("gives nothing when the body is cut, and that may be mended", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(poll(request));
    exchange.open("application/json", headers).send('["a",');
    await turns();
    exchange.cut();
    await expect(outcome.result).rejects.toBeInstanceOf(TemporaryError);
    expect(outcome.received).toEqual([]);
  });

  test("200 without Stream-Next-Offset is no answer of ours, and the rest of it is not waited for", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(poll(request));
    exchange.open("text/html");
    await expect(outcome.result).rejects.toMatchObject({ code: "UNEXPECTED_RESPONSE" });
    expect(exchange.signal.aborted).toBe(true);
  });

  test.each(["head", "body"])("is cut when its %s has not come in 75 s, longer than any long-poll", async (part) => {
    const { exchange, request } = ask();
    const outcome = takeAll(poll(request));
    if (part === "body") exchange.open("application/json", headers);
    await vi.advanceTimersByTimeAsync(74_999);
    expect(await isPending(outcome.result)).toBe(true);
    await vi.advanceTimersByTimeAsync(1);
    await expect(outcome.result).rejects.toBeInstanceOf(TemporaryError);
    expect(exchange.signal.aborted).toBe(true);
  });
});

describe.each([
  ["stream", stream<string>, "text/event-stream"],
  ["poll", poll<string>, "application/json"],
] as const)("%s, whichever way it ends,", (_name, connect, type) => {
  const reason = new Error("the user has left");
  const headers = { "Stream-Next-Offset": "0000000000000005" };

  test("throws what an error answer means", async () => {
    const { exchange, request } = ask();
    const outcome = takeAll(connect(request));
    exchange.respond(new Response("busy", { status: 503 }));
    await expect(outcome.result).rejects.toBeInstanceOf(TemporaryError);
  });

  test.each(["connecting", "reading"])("throws the signal's reason at once when it aborts while %s", async (phase) => {
    const { exchange, controller, request } = ask();
    const outcome = takeAll(connect(request));
    if (phase === "reading") exchange.open(type, headers).send(":");
    expect(await isPending(outcome.result)).toBe(true);
    controller.abort(reason);
    await expect(outcome.result).rejects.toBe(reason);
    expect(exchange.signal.aborted).toBe(true);
  });

  test("leaves no timer behind, and its request is over", async () => {
    const ways: ((asked: Asked) => void)[] = [
      ({ exchange }) => exchange.respond(new Response("busy", { status: 503 })),
      ({ exchange }) => exchange.open("text/html"),
      ({ exchange }) => exchange.open(type, headers).cut(),
      ({ exchange }) => exchange.respond(new Response("[]", { headers: { ...headers, "Content-Type": type } })),
    ];
    for (const end of ways) {
      const asked = ask();
      const { result } = takeAll(connect(asked.request));
      end(asked);
      await result.catch(() => {});
      expect(asked.exchange.signal.aborted).toBe(true);
      expect(vi.getTimerCount()).toBe(0);
    }
  });

  test("gives its request up when whoever takes from it leaves", async () => {
    const { exchange, request } = ask();
    const connection = connect(request);
    const first = connection.next();
    if (type === "text/event-stream") exchange.open().send(dataFrame("a") + controlFrame(4));
    else exchange.respond(new Response('["a"]', { headers }));
    expect((await first).value).toMatchObject({ items: ["a"] });
    await connection.return(true);
    expect(exchange.signal.aborted).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("controlOf", () => {
  test("reads everything that the headers of a page say", () => {
    const headers = new Headers({
      [headerNames.nextOffset]: "0000000000000012",
      [headerNames.cursor]: "77",
      [headerNames.upToDate]: "true",
      [headerNames.closed]: "true",
      [headerNames.status]: "aborted",
      [headerNames.progress]: "12",
      [headerNames.estimatedEnd]: "20",
      [headerNames.abortReason]: "idle",
      [headerNames.errorMessage]: encodeURIComponent("The disk is full: 100 %"),
    });
    expect(controlOf(headers)).toEqual({
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

  test("leaves out what they do not say", () => {
    const headers = new Headers({ [headerNames.nextOffset]: "0", [headerNames.status]: "stalled" });
    expect(controlOf(headers)).not.toHaveProperty("streamClosed");
    expect(controlOf(headers)).not.toHaveProperty("runnerEstimatedEnd");
    expect(controlOf(headers).streamCursor).toBeUndefined();
  });

  test("throws UNEXPECTED_RESPONSE without Stream-Next-Offset", () => {
    expect(() => controlOf(new Headers())).toThrow(expect.objectContaining({ code: "UNEXPECTED_RESPONSE" }));
  });
});
