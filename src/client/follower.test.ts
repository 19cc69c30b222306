import { beforeEach, describe, expect, test, vi } from "vitest";
import { atEnd } from "../../test/support/cleanup.js";
import { isPending, listenerCount, turns } from "../../test/support/control.js";
import { createDeferred, noop } from "../base/async.js";
import { CodedError } from "../base/coded-error.js";
import { headerNames } from "../protocol/headers.js";
import { formatOffset } from "../protocol/offset.js";
import { noStream } from "./connection.js";
import { RunnerFollower } from "./follower.js";
import { isTemporary } from "./request.js";
import type { ConnectionState, FollowOptions, RunnerUpdate } from "./types.js";

const url = "http://server.test/runners/1";

/** One request that the test answers by hand; like a real one it fails, head and body, when its signal aborts. */
class Exchange {
  readonly url: string;
  readonly method: string;
  readonly signal: AbortSignal;
  /** When it was made, ms. */
  readonly at = Date.now();
  readonly #answer = createDeferred<Response>();
  #body: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(url: string, { signal, method = "GET" }: RequestInit) {
    this.url = url;
    this.method = method;
    this.signal = signal!;
    if (this.signal.aborted) this.fail(this.signal.reason);
    this.signal.addEventListener("abort", () => this.fail(this.signal.reason));
  }

  get response(): Promise<Response> {
    return this.#answer.promise;
  }

  /** What was asked for, without the address. */
  get asked(): string {
    return this.url.slice(url.length);
  }

  respond(status: number, body: string | object | null = null, headers: Record<string, string> = {}): void {
    const isError = typeof body === "object" && body && "code" in body;
    const all = isError ? { "Runner-Error-Code": String(body.code), ...headers } : headers;
    const text = typeof body === "object" && body ? JSON.stringify(body) : body;
    this.#answer.resolve(new Response(text, { status, headers: all }));
  }

  /** Opens an event stream, and sends its first pieces. */
  open(...pieces: string[]): this {
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#body = controller;
      },
    });
    this.#answer.resolve(new Response(body, { headers: { "Content-Type": "text/event-stream" } }));
    for (const piece of pieces) this.send(piece);
    return this;
  }

  send(piece: string): void {
    this.#body!.enqueue(new TextEncoder().encode(piece));
  }

  end(): void {
    this.#body!.close();
  }

  /** The network fails, before the answer or within it. */
  fail(error: unknown = new TypeError("terminated")): void {
    this.#answer.reject(error);
    this.#body?.error(error);
  }
}

/** A `fetch` whose requests the test answers by hand, in the order in which they come. */
class Wire {
  readonly all: Exchange[] = [];
  /** Answers requests that the test does not want to see to. */
  answer: (exchange: Exchange) => void = noop;

  readonly fetch: typeof fetch = (url, init) => {
    const exchange = new Exchange(String(url), init ?? {});
    this.all.push(exchange);
    this.answer(exchange);
    return exchange.response;
  };

  get reads(): Exchange[] {
    return this.all.filter(({ asked }) => asked.startsWith("?"));
  }

  get acks(): Exchange[] {
    return this.all.filter(({ asked }) => asked.startsWith("/ack"));
  }

  /** The offsets that were acknowledged. */
  get acknowledged(): number[] {
    return this.acks.map(({ asked }) => Number(asked.slice("/ack?offset=".length)));
  }

  /** The newest read. */
  get read(): Exchange {
    return this.reads.at(-1)!;
  }
}

/** A follower of the runner. */
function followerOn(wire: Wire, options: FollowOptions = {}): RunnerFollower<string> {
  return new RunnerFollower<string>(url, "1", { fetch: wire.fetch }, options);
}

interface Following<R> {
  readonly follower: RunnerFollower<string>;
  /** What the loop has taken. */
  readonly taken: R[];
  /** Settles when the loop has ended. */
  readonly done: Promise<void>;
  readonly states: ConnectionState[];
  readonly errors: unknown[];
  readonly controller: AbortController;
}

/** Follows in a loop that takes everything; what it asks for first has been asked for. */
async function run<R>(
  wire: Wire,
  loop: (follower: RunnerFollower<string>) => AsyncIterable<R>,
  options: FollowOptions = {},
): Promise<Following<R>> {
  const controller = new AbortController();
  const states: ConnectionState[] = [];
  const errors: unknown[] = [];
  const onConnection = (state: ConnectionState, error: unknown) => {
    states.push(state);
    if (error) errors.push(error);
  };
  const follower = followerOn(wire, { signal: controller.signal, onConnection, ...options });
  const taken: R[] = [];
  const takeAll = async () => {
    for await (const part of loop(follower)) taken.push(part);
  };
  const done = takeAll();
  done.catch(noop); // looked at later, by the test
  atEnd(() => {
    controller.abort();
    return done.catch(noop);
  });
  await turns();
  return { follower, taken, done, states, errors, controller };
}

const runItems = (wire: Wire, options?: FollowOptions) => run<string>(wire, (follower) => follower, options);
const runUpdates = (wire: Wire, options?: FollowOptions) =>
  run<RunnerUpdate<string>>(wire, (follower) => follower.updates(), options);

/** A follower whose updates the test takes one by one; given up when the test is over. */
function stepwise(wire: Wire, options: FollowOptions = {}): AsyncGenerator<RunnerUpdate<string>, void, undefined> {
  const controller = new AbortController();
  const updates = followerOn(wire, { signal: controller.signal, ...options }).updates();
  atEnd(async () => {
    controller.abort();
    await updates.return();
  });
  return updates;
}

/** A data event and its control event. */
function frame(items: string[], next: number, more: object = {}): string {
  const control = {
    streamNextOffset: formatOffset(next),
    streamCursor: "42",
    runnerStatus: "progressed",
    runnerProgress: next,
    ...more,
  };
  const data = items.length > 0 ? `event: data\ndata:${JSON.stringify(items)}\n\n` : "";
  return `${data}event: control\ndata:${JSON.stringify(control)}\n\n`;
}

const last = (status = "completed") => ({ streamClosed: true, streamCursor: undefined, runnerStatus: status });
const heartbeat = ":\n\n";

/** The headers of a page or a long-poll. */
const headersOf = (next: number, more: Record<string, string> = {}) => ({
  [headerNames.nextOffset]: formatOffset(next),
  [headerNames.status]: "progressed",
  [headerNames.progress]: String(next),
  ...more,
});

beforeEach(() => {
  vi.useFakeTimers();
});

describe("what is given", () => {
  test("are items with their position, status and progress", async () => {
    const wire = new Wire();
    const { taken, done, follower } = await runUpdates(wire);
    expect([follower.status, follower.progress, follower.position]).toEqual([undefined, undefined, 0]);
    wire.read.open(frame(["a", "b"], 2, { runnerProgress: 5, runnerEstimatedEnd: 9 }));
    await turns();
    const first = { items: ["a", "b"], position: 2, status: "progressed", progress: { current: 5, estimatedEnd: 9 } };
    const running = { phase: "running", paused: false, connection: "open" };
    expect(taken).toEqual([{ ...first, ...running, closed: false }]);
    expect([follower.phase, follower.paused]).toEqual(["running", false]);
    expect(follower.status).toBe("progressed");
    expect(follower.progress).toEqual({ current: 5, estimatedEnd: 9 });
    expect(follower.position).toBe(2);
    wire.read.send(frame(["c"], 3, last()));
    await done;
    const ended = { phase: "completed", paused: false, connection: "closed", closed: true };
    const second = { items: ["c"], position: 3, status: "completed", progress: { current: 3 }, ...ended };
    expect(taken[1]).toEqual(second);
    expect(follower.status).toBe("completed");
  });

  test("are the items alone where the follower itself is iterated", async () => {
    const wire = new Wire();
    const { taken, done } = await runItems(wire);
    wire.read.open(frame([], 0), frame(["a", "b"], 2), frame(["c"], 3, last()));
    await done;
    expect(taken).toEqual(["a", "b", "c"]);
  });

  test("begins where the options say", async () => {
    const offsets: [FollowOptions, string][] = [
      [{}, "-1"],
      [{ offset: 20 }, "20"],
      [{ offset: "now" }, "now"],
    ];
    for (const [options, offset] of offsets) {
      const wire = new Wire();
      const { done } = await runItems(wire, options);
      expect(wire.read.asked).toBe(`?offset=${offset}&live=sse&acks=true`);
      wire.read.open(frame([], 0, last()));
      await done;
    }
  });

  test("nothing is asked for before it is iterated", async () => {
    const wire = new Wire();
    followerOn(wire);
    await turns();
    expect(wire.all).toEqual([]);
  });
});

describe("after a cut", () => {
  test("it goes on from its own offset and echoes the cursor", async () => {
    const wire = new Wire();
    const { taken, done } = await runItems(wire);
    wire.read.open(frame(["a", "b"], 2));
    await turns();
    wire.read.fail();
    await vi.advanceTimersByTimeAsync(250);
    expect(wire.read.asked).toBe("?offset=2&live=sse&cursor=42&acks=true");
    wire.read.open(frame(["c"], 3, last()));
    await done;
    expect(taken).toEqual(["a", "b", "c"]);
  });

  test("items whose control event was cut off are read again and given once", async () => {
    const wire = new Wire();
    const { taken, done } = await runItems(wire);
    wire.read.open(frame(["a"], 1), frame(["b", "c"], 3).slice(0, -1));
    await turns();
    wire.read.fail();
    await vi.advanceTimersByTimeAsync(250);
    expect(wire.read.asked).toContain("offset=1&");
    wire.read.open(frame(["b", "c"], 3, last()));
    await done;
    expect(taken).toEqual(["a", "b", "c"]);
  });

  test("updates of one piece that were not taken yet are not lost", async () => {
    const wire = new Wire();
    const updates = stepwise(wire);
    const first = updates.next();
    await turns();
    wire.read.open(frame(["a"], 1) + frame(["b"], 2));
    expect((await first).value).toMatchObject({ items: ["a"] });
    wire.read.fail();
    expect((await updates.next()).value).toMatchObject({ items: ["b"] });
    const third = updates.next();
    await vi.advanceTimersByTimeAsync(250);
    expect(wire.read.asked).toContain("offset=2&");
    wire.read.open(frame(["c"], 3, last()));
    expect((await third).value).toMatchObject({ items: ["c"] });
    await updates.next();
  });

  test("a connection on which nothing comes for 45 s is given up, and the next one goes on from the same offset", async () => {
    const wire = new Wire();
    const { taken, done, states, errors } = await runItems(wire);
    wire.read.open(frame(["a"], 1));
    await vi.advanceTimersByTimeAsync(44_999);
    expect(wire.reads).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1 + 250);
    expect(wire.reads.map(({ asked }) => asked.slice(0, 24))).toEqual([
      "?offset=-1&live=sse&acks",
      "?offset=1&live=sse&curso",
    ]);
    expect(wire.reads[0]!.signal.aborted).toBe(true);
    expect(states).toEqual(["connecting", "open", "retrying", "connecting"]);
    expect(isTemporary(errors[0])).toBe(true);
    wire.read.open(frame(["b"], 2, last()));
    await done;
    expect(taken).toEqual(["a", "b"]);
  });
});

describe("where SSE does not get through", () => {
  const lastHeaders = { [headerNames.closed]: "true", [headerNames.status]: "completed" };

  test("another content type leads to long-polls from the same offset, after one short back-off, and for good", async () => {
    const wire = new Wire();
    const { taken, done, states, errors } = await runItems(wire, { offset: 5 });
    wire.read.respond(200, "<h1>Hello</h1>", { "Content-Type": "text/html" });
    await turns();
    expect([states, errors]).toEqual([["connecting", "retrying"], [noStream]]);
    await vi.advanceTimersByTimeAsync(250);
    expect(wire.read.asked).toBe("?offset=5&live=long-poll&acks=true");
    wire.read.respond(200, ["a"], headersOf(6, { [headerNames.cursor]: "9" }));
    await turns();
    expect(wire.read.asked).toBe("?offset=6&live=long-poll&cursor=9&acks=true");
    wire.read.fail();
    await vi.advanceTimersByTimeAsync(500);
    expect(wire.reads).toHaveLength(4);
    expect(wire.read.asked).toBe("?offset=6&live=long-poll&cursor=9&acks=true");
    wire.read.respond(200, ["b"], headersOf(7, lastHeaders));
    await done;
    expect(taken).toEqual(["a", "b"]);
  });

  test("so does an answer whose first byte has not come in 10 s", async () => {
    const wire = new Wire();
    const { errors } = await runItems(wire);
    wire.read.open();
    await vi.advanceTimersByTimeAsync(9999);
    expect(wire.reads).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1 + 250);
    expect(wire.read.asked).toBe("?offset=-1&live=long-poll&acks=true");
    expect(wire.reads[0]!.signal.aborted).toBe(true);
    expect(errors).toEqual([noStream]);
  });

  test("it loses nothing when that shows only at a later connection", async () => {
    const wire = new Wire();
    const { taken, done } = await runItems(wire);
    wire.read.open(frame(["a", "b"], 2)).end();
    await turns();
    expect(wire.read.asked).toBe("?offset=2&live=sse&cursor=42&acks=true");
    await vi.advanceTimersByTimeAsync(10_000 + 500);
    expect(wire.read.asked).toBe("?offset=2&live=long-poll&cursor=42&acks=true");
    wire.read.respond(200, ["c"], headersOf(3, lastHeaders));
    await done;
    expect(taken).toEqual(["a", "b", "c"]);
    expect(wire.reads).toHaveLength(3);
  });

  test("200 without Stream-Next-Offset ends it", async () => {
    const wire = new Wire();
    const { done } = await runItems(wire);
    for (let i = 0; i < 2; i++) {
      wire.read.respond(200, "<h1>Please log in</h1>", { "Content-Type": "text/html" });
      await vi.advanceTimersByTimeAsync(250);
    }
    await expect(done).rejects.toMatchObject({ code: "UNEXPECTED_RESPONSE" });
    expect(wire.reads).toHaveLength(2);
  });
});

describe("by long-poll", () => {
  test("each poll goes on from where the last one came to, also when it brought nothing", async () => {
    const wire = new Wire();
    const { taken, done } = await runUpdates(wire, { live: "long-poll" });
    wire.read.respond(200, ["a"], headersOf(1));
    await turns();
    await vi.advanceTimersByTimeAsync(25_000);
    wire.read.respond(204, null, headersOf(1));
    await turns();
    wire.read.respond(204, null, headersOf(1, { [headerNames.closed]: "true", [headerNames.status]: "completed" }));
    await done;
    expect(taken.map(({ items }) => items)).toEqual([["a"], [], []]);
    expect(taken.at(-1)).toMatchObject({ closed: true, status: "completed" });
    expect(wire.all.map(({ asked }) => asked)).toEqual([
      "?offset=-1&live=long-poll&acks=true",
      "?offset=1&live=long-poll&acks=true",
      "?offset=1&live=long-poll&acks=true",
    ]);
  });

  test("an answer whose body was cut off is asked for again", async () => {
    const wire = new Wire();
    const { taken, done } = await runItems(wire, { live: "long-poll" });
    const headers = headersOf(2, { [headerNames.closed]: "true", [headerNames.status]: "completed" });
    wire.read.respond(200, '["a","', headers); // what a half-closed connection without a length leaves
    await turns();
    await vi.advanceTimersByTimeAsync(250);
    expect(wire.read.asked).toBe("?offset=-1&live=long-poll&acks=true");
    wire.read.respond(200, ["a", "b"], headers);
    await done;
    expect(taken).toEqual(["a", "b"]);
  });

  test("nothing is ever acknowledged on its own: the next poll does that", async () => {
    const wire = new Wire();
    await runItems(wire, { live: "long-poll" });
    for (let position = 1; position <= 5; position++) {
      wire.read.respond(200, ["a"], headersOf(position, { [headerNames.aheadLimit]: "2" }));
      await turns();
      await vi.advanceTimersByTimeAsync(21_000);
    }
    expect(wire.acks).toEqual([]);
  });
});

describe("acknowledgement", () => {
  const limit = (runnerAheadLimit: number) => ({ runnerAheadLimit });

  test("comes when half of the allowance has been taken", async () => {
    const wire = new Wire();
    const updates = stepwise(wire);
    const first = updates.next();
    await turns();
    wire.read.open(frame(["a", "b", "c", "d"], 4, limit(10)) + frame(["e"], 5, limit(10)));
    await first;
    await updates.next();
    await turns();
    expect(wire.acks).toEqual([]); // four are taken, the fifth is just being looked at
    updates.next().catch(noop);
    await turns();
    expect(wire.acks.map(({ method, asked }) => [method, asked])).toEqual([["POST", "/ack?offset=5"]]);
  });

  test("comes again after another half", async () => {
    const wire = new Wire();
    wire.answer = (exchange) => exchange.asked.startsWith("/ack") && exchange.respond(204);
    await runItems(wire);
    wire.read.open();
    for (let position = 1; position <= 10; position++) {
      wire.read.send(frame(["a"], position, limit(4)));
      await turns();
    }
    expect(wire.acknowledged).toEqual([2, 4, 6, 8, 10]);
  });

  test.each([1, 2])("comes after every item where the allowance is %i", async (aheadLimit) => {
    const wire = new Wire();
    wire.answer = (exchange) => exchange.asked.startsWith("/ack") && exchange.respond(204);
    await runItems(wire);
    wire.read.open();
    for (let position = 1; position <= 3; position++) {
      wire.read.send(frame(["a"], position, limit(aheadLimit)));
      await turns();
    }
    expect(wire.acknowledged).toEqual([1, 2, 3]);
  });

  test("is not sent for what the application has not taken, however long it takes", async () => {
    const wire = new Wire();
    const updates = stepwise(wire);
    const first = updates.next();
    await turns();
    wire.read.open(frame(["a", "b"], 2, limit(2)) + frame(["c", "d"], 4, limit(2)));
    await first;
    await vi.advanceTimersByTimeAsync(30_000);
    expect(wire.acks).toEqual([]);
    await updates.next();
    await turns();
    expect(wire.acknowledged).toEqual([2]);
  });

  test("is under way only once at a time; what has been taken meanwhile is acknowledged next", async () => {
    const wire = new Wire();
    await runItems(wire);
    wire.read.open();
    for (let position = 1; position <= 3; position++) {
      wire.read.send(frame(["a"], position, limit(1)));
      await turns();
    }
    expect(wire.acks).toHaveLength(1);
    wire.acks[0]!.respond(204);
    await turns();
    expect(wire.acknowledged).toEqual([1, 3]);
    wire.read.send(frame(["a"], 4, limit(1)));
    await turns();
    expect(wire.acknowledged).toEqual([1, 3]);
    wire.acks[1]!.respond(204);
    await turns();
    expect(wire.acknowledged).toEqual([1, 3, 4]);
  });

  test("is sent as a sign of life with the first bytes 20 s after the last one", async () => {
    const wire = new Wire();
    wire.answer = (exchange) => exchange.asked.startsWith("/ack") && exchange.respond(204);
    await runItems(wire);
    wire.read.open(frame(["a", "b"], 2, limit(4)) + frame(["c"], 3, limit(4)));
    await turns();
    expect(wire.acknowledged).toEqual([2]);
    await vi.advanceTimersByTimeAsync(19_999);
    wire.read.send(heartbeat);
    await turns();
    expect(wire.acks).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(wire.acks).toHaveLength(1);
    wire.read.send(heartbeat);
    wire.read.send(heartbeat);
    await turns();
    expect(wire.acknowledged).toEqual([2, 3]);
  });

  test("is not due in the first 20 s: that the connection was opened is a sign of life", async () => {
    const wire = new Wire();
    await runItems(wire);
    wire.read.open(frame(["a"], 1, limit(1000)));
    await turns();
    wire.read.send(frame(["b"], 2, limit(1000)));
    await vi.advanceTimersByTimeAsync(15_000);
    wire.read.send(heartbeat);
    await turns();
    expect(wire.acks).toEqual([]);
  });

  test("counts from where the following began: the opening acknowledges what lies before", async () => {
    const wire = new Wire();
    const updates = stepwise(wire, { offset: 500 });
    const first = updates.next();
    await turns();
    wire.read.open(frame(["a"], 501, limit(10)) + frame(["b"], 502, limit(10)));
    await first;
    await updates.next();
    await turns();
    expect(wire.acks).toEqual([]); // one has been taken of the five that half the allowance is
  });

  test("counts from the tail where the following began there: what it never got is not its own to acknowledge", async () => {
    const wire = new Wire();
    await runItems(wire, { offset: "now" });
    wire.read.open(frame([], 5000, limit(10)), frame(["a"], 5001, limit(10)));
    await turns();
    expect(wire.acks).toEqual([]);
  });

  test("of a process is only a sign of life", async () => {
    const wire = new Wire();
    wire.answer = (exchange) => exchange.asked.startsWith("/ack") && exchange.respond(204);
    await runItems(wire);
    wire.read.open(Array.from({ length: 50 }, (_, i) => frame([`value ${i}`], i + 1)).join(""));
    await turns();
    expect(wire.acks).toEqual([]);
    await vi.advanceTimersByTimeAsync(20_000);
    wire.read.send(heartbeat);
    await turns();
    expect(wire.acknowledged).toEqual([50]);
  });

  test("that is under way is given up when the loop is left", async () => {
    const wire = new Wire();
    const updates = stepwise(wire);
    const first = updates.next();
    await turns();
    wire.read.open(frame(["a"], 1, limit(1)) + frame(["b"], 2, limit(1)));
    await first;
    await updates.next();
    await updates.return();
    expect(wire.acks.map(({ signal }) => signal.aborted)).toEqual([true]);
  });
});

describe("an application that is slow to take what has arrived", () => {
  const items = Array.from({ length: 10 }, (_, i) => String(i));

  /** Takes an item of one long update every 9 s. */
  async function takeSlowly(wire: Wire, follower: RunnerFollower<string>, count: number): Promise<void> {
    wire.answer = (exchange) => exchange.asked.startsWith("/ack") && exchange.respond(204);
    const walk = follower[Symbol.asyncIterator]();
    atEnd(() => walk.return());
    for (let taken = 0; taken < count; taken++) {
      const next = walk.next();
      await turns();
      if (taken === 0) answerWith(wire);
      await next;
      await vi.advanceTimersByTimeAsync(9000);
    }
  }
  function answerWith(wire: Wire): void {
    if (wire.read.asked.includes("sse")) wire.read.open(frame(items, 10, { runnerAheadLimit: 1000 }));
    else wire.read.respond(200, items, headersOf(10));
  }

  test.each(["sse", "long-poll"] as const)("tells every 20 s at most that it is there, by %s", async (live) => {
    const wire = new Wire();
    await takeSlowly(wire, followerOn(wire, { live }), 10);
    expect(wire.acknowledged).toEqual([3, 6, 9]); // after 27 s, 54 s and 81 s
    expect(wire.reads).toHaveLength(1);
  });

  test("acknowledges by half allowances within one update", async () => {
    const wire = new Wire();
    wire.answer = (exchange) => exchange.asked.startsWith("/ack") && exchange.respond(204);
    await runItems(wire);
    wire.read.open(frame(items, 10, { runnerAheadLimit: 6 }));
    await turns();
    expect(wire.acknowledged).toEqual([3, 6, 9]);
  });
});

test.each([0, -5])(
  "an allowance of %i, which no server of ours gives, is not acknowledged without end",
  async (runnerAheadLimit) => {
    const wire = new Wire();
    // Else it would be asked in one turn of the loop, and the test would never end.
    wire.answer = (exchange) => exchange.asked.startsWith("/ack") && wire.acks.length < 20 && exchange.respond(204);
    await runItems(wire);
    wire.read.open(frame(["a", "b"], 2, { runnerAheadLimit }));
    await turns(20);
    expect(wire.acknowledged).toEqual([1, 2]);
  },
);

describe("an acknowledgement that fails", () => {
  const limit = { runnerAheadLimit: 4 };

  test.each<[string, (ack: Exchange) => void]>([
    ["as the network does", (ack) => ack.fail()],
    ["by 503", (ack) => ack.respond(503)],
    ["by a refusal of the server", (ack) => ack.respond(403, { code: "CROSS_SITE_REQUEST", message: "no" })],
    ["by that of a proxy", (ack) => ack.respond(401, "<h1>No</h1>")],
  ])("%s cuts the connection; the next one says the same by its offset, after a back-off", async (_name, fail) => {
    const wire = new Wire();
    const { taken, done, states, errors } = await runItems(wire);
    wire.read.open(frame(["a", "b"], 2, limit));
    await turns();
    expect(wire.acknowledged).toEqual([2]);
    wire.read.send(frame(["c"], 3, limit));
    await turns();
    fail(wire.acks[0]!);
    await turns();
    expect(wire.reads[0]!.signal.aborted).toBe(true);
    expect(states).toEqual(["connecting", "open", "retrying"]);
    expect(errors).toMatchObject([
      { code: "SERVER_UNAVAILABLE", message: "Connection failed", cause: expect.any(Error) },
    ]);
    expect(wire.reads).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(250);
    expect(wire.read.asked).toBe("?offset=3&live=sse&cursor=42&acks=true");
    expect(wire.acks).toHaveLength(1);
    wire.read.open(frame(["d", "e"], 5, limit));
    await turns();
    expect(wire.acknowledged).toEqual([2, 5]);
    wire.read.send(frame([], 5, last()));
    await done;
    expect(taken).toEqual(["a", "b", "c", "d", "e"]);
  });

  test("says nothing yet of a runner that is gone: the next connection does", async () => {
    const wire = new Wire();
    const { taken, done } = await runItems(wire);
    wire.read.open(frame(["a", "b"], 2, limit));
    await turns();
    const gone = { code: "RUNNER_GONE", message: "Gone" };
    wire.acks[0]!.respond(410, gone);
    await vi.advanceTimersByTimeAsync(250);
    expect(wire.reads).toHaveLength(2);
    wire.read.respond(410, gone);
    await vi.advanceTimersByTimeAsync(2000); // it was there a moment ago: it is asked for once more
    wire.read.respond(410, gone);
    await expect(done).rejects.toMatchObject({ code: "RUNNER_GONE" });
    expect(taken).toEqual(["a", "b"]);
  });

  test("is made up for by one late try: a login has ended the connection, and its cookie has come since", async () => {
    const wire = new Wire();
    const { taken, done } = await runItems(wire);
    wire.read.open(frame(["a"], 1)).end();
    await turns();
    wire.read.respond(410, { code: "RUNNER_GONE", message: "Gone" });
    await vi.advanceTimersByTimeAsync(1999);
    expect(wire.reads).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1);
    expect(wire.read.asked).toContain("?offset=1&");
    wire.read.open(frame(["b"], 2, last()));
    await done;
    expect(taken).toEqual(["a", "b"]);
  });

  test("loses nothing that the application has not taken yet", async () => {
    const wire = new Wire();
    const updates = stepwise(wire);
    const first = updates.next();
    await turns();
    wire.read.open(frame(["a", "b"], 2, limit) + frame(["c"], 3, limit) + frame(["d"], 4, limit));
    await first;
    expect((await updates.next()).value).toMatchObject({ items: ["c"] });
    wire.acks[0]!.fail();
    await turns();
    const next = updates.next();
    await vi.advanceTimersByTimeAsync(250);
    expect(wire.read.asked).toContain("?offset=3&");
    wire.read.open(frame(["d"], 4, last()));
    expect((await next).value).toMatchObject({ items: ["d"], closed: true });
    await updates.next();
  });

  test.each(["sse", "long-poll"] as const)(
    "while the application takes its time with what has arrived costs it nothing of that, by %s",
    async (live) => {
      const wire = new Wire();
      const walk = followerOn(wire, { live })[Symbol.asyncIterator]();
      atEnd(() => walk.return());
      const first = walk.next();
      await turns();
      if (live === "sse") wire.read.open(frame(["a", "b", "c"], 3));
      else wire.read.respond(200, ["a", "b", "c"], headersOf(3));
      expect((await first).value).toBe("a");
      await vi.advanceTimersByTimeAsync(20_000);
      expect((await walk.next()).value).toBe("b");
      expect(wire.acknowledged).toEqual([1]);
      wire.acks[0]!.fail();
      await turns();
      expect((await walk.next()).value).toBe("c");
      const next = walk.next();
      await vi.advanceTimersByTimeAsync(250);
      expect(wire.reads.map(({ asked }) => asked.split("&")[0])).toEqual(["?offset=-1", "?offset=3"]);
      if (live === "sse") wire.read.open(frame(["d"], 4, last()));
      else wire.read.respond(200, ["d"], headersOf(4, { [headerNames.closed]: "true" }));
      expect((await next).value).toBe("d");
    },
  );

  test("after its connection is over changes nothing", async () => {
    const wire = new Wire();
    const { taken, done, states } = await runItems(wire);
    wire.read.open(frame(["a", "b"], 2, limit)).end();
    await turns();
    expect([wire.acknowledged, wire.acks[0]!.signal.aborted, wire.reads.length]).toEqual([[2], true, 2]);
    wire.read.open(frame(["c", "d"], 4, limit));
    await turns();
    expect(wire.acknowledged).toEqual([2, 4]);
    wire.read.send(frame([], 4, last()));
    await done;
    expect(taken).toEqual(["a", "b", "c", "d"]);
    expect(states).not.toContain("retrying");
  });
});

describe("reconnecting", () => {
  test("starts with a short back-off after a connection that had stood for a second", async () => {
    const wire = new Wire();
    await runItems(wire);
    for (let cuts = 0; cuts < 6; cuts++) {
      wire.read.open(heartbeat);
      await vi.advanceTimersByTimeAsync(1000);
      wire.read.fail();
      await vi.advanceTimersByTimeAsync(250);
      expect(wire.reads).toHaveLength(cuts + 2);
    }
  });

  test("happens at once when the server has ended a connection that brought items", async () => {
    const wire = new Wire();
    const { states } = await runItems(wire);
    for (let position = 1; position <= 5; position++) {
      wire.read.open(frame(["a"], position)).end();
      await turns();
    }
    expect(wire.reads).toHaveLength(6);
    expect(states).not.toContain("retrying");
  });

  test("happens at once when the server has ended a connection that held for a second", async () => {
    const wire = new Wire();
    const { states } = await runItems(wire);
    for (let i = 0; i < 5; i++) {
      wire.read.open(frame([], 0));
      await vi.advanceTimersByTimeAsync(1000);
      wire.read.end();
      await turns();
    }
    expect(wire.reads).toHaveLength(6);
    expect(states).not.toContain("retrying");
  });

  test.each([
    ["999 ms, though something has come on it", 999, [heartbeat]],
    ["long, if nothing at all has come on it", 9000, []],
  ])("goes on to back off after a connection that has lasted %s", async (_name, time, pieces) => {
    vi.spyOn(Math, "random").mockReturnValue(0);
    atEnd(() => vi.restoreAllMocks());
    const wire = new Wire();
    await runItems(wire);
    for (const delay of [125, 250, 500, 1000]) {
      wire.read.open(...pieces);
      await vi.advanceTimersByTimeAsync(time);
      wire.read.fail();
      const { length } = wire.reads;
      await vi.advanceTimersByTimeAsync(delay - 1);
      expect(wire.reads).toHaveLength(length);
      await vi.advanceTimersByTimeAsync(1);
      expect(wire.reads).toHaveLength(length + 1);
    }
  });

  test("slows down when connections end at once and bring nothing", async () => {
    const wire = new Wire();
    wire.answer = (exchange) => exchange.open(frame([], 0)).end();
    await runItems(wire);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(wire.reads.length).toBeGreaterThan(3);
    expect(wire.reads.length).toBeLessThan(10);
  });

  test.each([
    [0, [125, 250, 500, 1000, 2000, 4000, 5000, 5000]],
    [1, [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]],
  ])("backs off longer with every failure; with the jitter %d by %j ms", async (random, delays) => {
    vi.spyOn(Math, "random").mockReturnValue(random);
    atEnd(() => vi.restoreAllMocks());
    const wire = new Wire();
    wire.answer = (exchange) => exchange.fail();
    await runItems(wire);
    await vi.advanceTimersByTimeAsync(delays.reduce((sum, delay) => sum + delay));
    const times = wire.reads.map(({ at }) => at);
    expect(times.slice(1).map((at, i) => at - times[i]!)).toEqual(delays);
  });

  test("starts with a short back-off again once items have come", async () => {
    const wire = new Wire();
    wire.answer = (exchange) => exchange.fail();
    await runItems(wire);
    await vi.advanceTimersByTimeAsync(5000);
    wire.answer = noop;
    await vi.advanceTimersByTimeAsync(10_000);
    wire.read.open(frame(["a"], 1));
    await turns();
    const count = wire.reads.length;
    wire.read.fail();
    await vi.advanceTimersByTimeAsync(250);
    expect(wire.reads).toHaveLength(count + 1);
  });

  test.each([
    ["in seconds", () => "7"],
    ["as a date", () => new Date(Math.ceil(Date.now() / 1000) * 1000 + 7000).toUTCString()],
  ])("waits as long as Retry-After says %s", async (_form, value) => {
    vi.setSystemTime(Date.UTC(2026, 0, 1));
    const wire = new Wire();
    await runItems(wire);
    wire.read.respond(503, null, { "Retry-After": value() });
    await vi.advanceTimersByTimeAsync(6999);
    expect(wire.reads).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(wire.reads).toHaveLength(2);
  });

  test.each(["500", "502", "503", "429", "a network error"])("follows %s, and tells that it waits", async (problem) => {
    const wire = new Wire();
    const { taken, done, states, errors } = await runItems(wire, { offset: 3 });
    if (problem === "a network error") wire.read.fail();
    else wire.read.respond(Number(problem), "busy");
    await turns();
    expect(states).toEqual(["connecting", "retrying"]);
    expect(isTemporary(errors[0])).toBe(true);
    await vi.advanceTimersByTimeAsync(250);
    expect(wire.read.asked).toBe("?offset=3&live=sse&acks=true");
    wire.read.open(frame(["d"], 4, last()));
    await done;
    expect(taken).toEqual(["d"]);
    expect(states).toEqual(["connecting", "retrying", "connecting", "open", "closed"]);
  });
});

describe("it ends with an error, asks no more and is closed when", () => {
  test.each([
    ["the runner was never there", 404, { code: "RUNNER_NOT_FOUND", message: "no" }, "RUNNER_GONE"],
    ["the runner has been removed", 410, { code: "RUNNER_GONE", message: "no" }, "RUNNER_GONE"],
    ["a proxy does not know the address", 404, "<h1>Not found</h1>", "UNEXPECTED_RESPONSE"],
    ["the position is not kept any more", 410, { code: "POSITION_GONE", message: "no" }, "POSITION_GONE"],
    ["an item has no JSON form", 500, { code: "RESULT_NOT_SERIALIZABLE", message: "no" }, "RESULT_NOT_SERIALIZABLE"],
    ["a proxy refuses", 403, "<h1>No</h1>", "UNEXPECTED_RESPONSE"],
  ])("%s", async (_name, status, body, code) => {
    const wire = new Wire();
    const { taken, done, states, follower } = await runItems(wire);
    wire.read.open(frame(["a"], 1)).end();
    await turns();
    wire.read.respond(status, body);
    const isLate = code === "RUNNER_GONE"; // asked for once more, later
    if (isLate) {
      await vi.advanceTimersByTimeAsync(2000);
      wire.read.respond(status, body);
    }
    await expect(done).rejects.toMatchObject({ code });
    expect(taken).toEqual(["a"]);
    expect(states.at(-1)).toBe("closed");
    expect(follower.connection).toBe("closed");
    expect(wire.all).toHaveLength(isLate ? 3 : 2);
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("the end of the runner", () => {
  test("a completed one ends the loop without another request", async () => {
    const wire = new Wire();
    const { taken, done, states } = await runItems(wire);
    wire.read.open(frame(["a"], 1, last()));
    await done;
    expect(taken).toEqual(["a"]);
    expect(wire.all).toHaveLength(1);
    expect(wire.read.signal.aborted).toBe(true);
    expect(states).toEqual(["connecting", "open", "closed"]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("a failed one gives its items first, then throws with its message", async () => {
    const wire = new Wire();
    const { taken, done, follower } = await runItems(wire);
    const failure = { runnerErrorCode: "RUNNER_FAILED", runnerErrorMessage: "The disk is full" };
    wire.read.open(frame(["a", "b"], 2, { ...last("failed"), ...failure }));
    await expect(done).rejects.toMatchObject({ code: "RUNNER_FAILED", message: "The disk is full" });
    expect(taken).toEqual(["a", "b"]);
    expect(follower.error).toMatchObject({ code: "RUNNER_FAILED", message: "The disk is full" });
    expect(follower.status).toBe("failed");
    expect(wire.all).toHaveLength(1);
  });

  test("a failed one is the last update, with its error", async () => {
    const wire = new Wire();
    const { taken, done } = await runUpdates(wire);
    wire.read.open(frame(["a"], 1, { ...last("failed"), runnerErrorMessage: "The disk is full" }));
    await done;
    expect(taken).toMatchObject([{ items: ["a"], status: "failed", closed: true }]);
    expect(CodedError.is(taken[0]!.error)).toBe(true);
    expect(taken[0]!.error).toMatchObject({ code: "RUNNER_FAILED", message: "The disk is full" });
  });

  test("a failed one of a long-poll tells its message, too, in whatever language", async () => {
    const wire = new Wire();
    const { done } = await runItems(wire, { live: "long-poll" });
    const failure = {
      [headerNames.status]: "failed",
      [headerNames.errorMessage]: encodeURIComponent("Die Platte läuft über"),
    };
    wire.read.respond(200, ["a"], headersOf(1, { ...failure, [headerNames.closed]: "true" }));
    await expect(done).rejects.toMatchObject({ code: "RUNNER_FAILED", message: "Die Platte läuft über" });
  });

  test("a failure without a message has one of ours", async () => {
    const wire = new Wire();
    const { done } = await runItems(wire);
    wire.read.open(frame(["a"], 1, last("failed")));
    await expect(done).rejects.toMatchObject({ code: "RUNNER_FAILED", message: "The runner failed" });
  });

  test("an aborted one gives its items first, then throws", async () => {
    const wire = new Wire();
    const { taken, done } = await runItems(wire);
    wire.read.open(frame(["a"], 1, last("aborted")));
    await expect(done).rejects.toMatchObject({ code: "RUNNER_ABORTED" });
    expect(taken).toEqual(["a"]);
  });

  test("an aborted one is the last update, and no error", async () => {
    const wire = new Wire();
    const { taken, done } = await runUpdates(wire);
    wire.read.open(frame([], 0, { ...last("aborted"), runnerAbortReason: "idle" }));
    await done;
    expect(taken).toMatchObject([{ items: [], status: "aborted", closed: true, abortReason: "idle" }]);
  });
});

describe("the caller's signal", () => {
  const reason = new Error("the user has left");

  test("that has aborted already lets nothing be asked for", async () => {
    const wire = new Wire();
    const { done } = await runItems(wire, { signal: AbortSignal.abort(reason) });
    await expect(done).rejects.toBe(reason);
    expect(wire.all).toEqual([]);
  });

  test.each([
    ["connecting", noop],
    ["reading", (wire: Wire) => void wire.read.open(frame(["a"], 1))],
    ["waiting for the next try", (wire: Wire) => wire.read.fail()],
    ["waiting as Retry-After asked for", (wire: Wire) => wire.read.respond(503, null, { "Retry-After": "1000" })],
  ])("ends it at once, with its reason, while %s", async (_phase, lead) => {
    const wire = new Wire();
    const { done, controller, states } = await runItems(wire);
    lead(wire);
    expect(await isPending(done)).toBe(true);
    controller.abort(reason);
    await expect(done).rejects.toBe(reason);
    expect(wire.all.every(({ signal }) => signal.aborted)).toBe(true);
    expect(states.at(-1)).toBe("closed");
    expect(listenerCount(controller.signal)).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("ends it at once when it aborts within the loop: what has come in the same piece is not given", async () => {
    const wire = new Wire();
    const controller = new AbortController();
    const follower = followerOn(wire, { signal: controller.signal });
    const taken: string[] = [];
    const loop = async () => {
      for await (const item of follower) {
        taken.push(item);
        if (item === "b") controller.abort(reason);
      }
    };
    const done = loop();
    await turns();
    wire.read.open(frame(["a", "b"], 2) + frame(["c"], 3) + frame(["d"], 4, last()));
    await expect(done).rejects.toBe(reason);
    expect(taken).toEqual(["a", "b"]);
  });

  test("ends it at once when it aborts within the loop: the other items of the same update are not given", async () => {
    const wire = new Wire();
    const controller = new AbortController();
    const follower = followerOn(wire, { signal: controller.signal });
    const taken: string[] = [];
    const loop = async () => {
      for await (const item of follower) {
        taken.push(item);
        controller.abort(reason);
      }
    };
    const done = loop();
    await turns();
    wire.read.open(frame(["a", "b", "c"], 3));
    await expect(done).rejects.toBe(reason);
    expect(taken).toEqual(["a"]);
  });

  test("has no listener of ours any more when the loop was left, and the request is given up", async () => {
    const wire = new Wire();
    const controller = new AbortController();
    const follower = followerOn(wire, { signal: controller.signal });
    const loop = async () => {
      for await (const item of follower) if (item === "b") break;
    };
    const done = loop();
    await turns();
    expect(listenerCount(controller.signal)).toBe(1);
    wire.read.open(frame(["a", "b", "c"], 3));
    await done;
    expect(listenerCount(controller.signal)).toBe(0);
    expect(wire.all.map(({ signal }) => signal.aborted)).toEqual([true]);
    expect(follower.connection).toBe("closed");
    expect(vi.getTimerCount()).toBe(0);
  });

  test("has no listener of ours any more when the body of the loop threw", async () => {
    const wire = new Wire();
    const controller = new AbortController();
    const follower = followerOn(wire, { signal: controller.signal });
    const problem = new Error("cannot show that");
    const loop = async () => {
      for await (const _ of follower) throw problem;
    };
    const done = loop();
    await turns();
    wire.read.open(frame(["a"], 1));
    await expect(done).rejects.toBe(problem);
    expect(listenerCount(controller.signal)).toBe(0);
    expect(wire.read.signal.aborted).toBe(true);
  });
});

describe("iterating more than once", () => {
  test("at the same time is refused with READ_CONFLICT, and the first loop goes on", async () => {
    const wire = new Wire();
    const { follower, taken, done } = await runItems(wire);
    await expect(follower.updates().next()).rejects.toMatchObject({ code: "READ_CONFLICT" });
    await expect(follower[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: "READ_CONFLICT" });
    wire.read.open(frame(["a"], 1, last()));
    await done;
    expect(taken).toEqual(["a"]);
  });

  test("goes on behind the last update that was given out, also when more had come in the same piece", async () => {
    const wire = new Wire();
    const follower = followerOn(wire);
    const updates = follower.updates();
    const first = updates.next();
    await turns();
    wire.read.open(frame(["a"], 1) + frame(["b"], 2));
    await first;
    await updates.return();
    const again = follower.updates();
    const next = again.next();
    await turns();
    expect(wire.read.asked).toContain("offset=1&");
    wire.read.open(frame(["b"], 2));
    expect((await next).value).toMatchObject({ items: ["b"] });
    await again.return();
  });

  test("goes on after an error", async () => {
    const wire = new Wire();
    const { follower, done } = await runItems(wire);
    wire.read.open(frame(["a"], 1)).end();
    await turns();
    wire.read.respond(403);
    await expect(done).rejects.toMatchObject({ code: "UNEXPECTED_RESPONSE" });
    const updates = follower.updates();
    const next = updates.next();
    await turns();
    expect(wire.read.asked).toContain("offset=1&");
    wire.read.open(frame(["b"], 2, last()));
    expect((await next).value).toMatchObject({ items: ["b"] });
    await updates.next();
  });

  test("repeats nothing when everything has been given", async () => {
    const wire = new Wire();
    const { follower, done } = await runItems(wire);
    wire.read.open(frame(["a"], 1) + frame(["b", "c"], 3, last()));
    await done;
    wire.answer = (exchange) => {
      // as the server does: from the offset that is asked for
      const start = Number(new URL(exchange.url).searchParams.get("offset"));
      exchange.open(frame(["a", "b", "c"].slice(Math.max(0, start)), 3, last()));
    };
    const again: string[] = [];
    for await (const item of follower) again.push(item);
    expect(again).toEqual([]);
  });

  test("neither loses nor repeats an item when the loop was left within an update", async () => {
    const wire = new Wire();
    wire.answer = (exchange) => {
      const start = Number(new URL(exchange.url).searchParams.get("offset"));
      exchange.open(frame(["a", "b", "c"].slice(Math.max(0, start)), 3, last()));
    };
    const follower = followerOn(wire);
    const taken: string[] = [];
    for await (const item of follower) {
      taken.push(item);
      break;
    }
    for await (const item of follower) taken.push(item);
    expect(taken).toEqual(["a", "b", "c"]);
  });

  test("the position to go on from elsewhere does not skip items that the loop was not given", async () => {
    const wire = new Wire();
    const follower = followerOn(wire);
    const loop = async () => {
      for await (const _ of follower) break;
    };
    const done = loop();
    await turns();
    wire.read.open(frame(["a", "b", "c"], 3));
    await done;
    expect(follower.position).toBeLessThanOrEqual(1);
  });
});

describe("the end of a stream", () => {
  const ends = [frame(["a"], 1, { runnerResponse: "r1" }), frame(["b"], 2, last())];

  test("is told to the server once the application has taken it, and the place is not told twice", async () => {
    const wire = new Wire();
    const places: number[] = [];
    const { done } = await runItems(wire, { onPlace: ({ offset }) => void places.push(offset) });
    wire.answer = (exchange) => exchange.respond(204);
    wire.read.open(...ends);
    await done;
    expect(wire.acks.map(({ asked }) => asked)).toEqual(["/ack?offset=2&closed=true"]);
    expect(places).toEqual([0, 1, 2]);
  });

  test("is told once, whatever the server answers, and the follower does not wait for that", async () => {
    const wire = new Wire();
    const { done, errors } = await runItems(wire);
    wire.read.open(...ends);
    await done;
    wire.acks[0]!.respond(503);
    await vi.advanceTimersByTimeAsync(60_000);
    expect([wire.acks.length, errors]).toEqual([1, []]);
  });

  test("is not told by what no response has named: a page or a long-poll tells it by its answer", async () => {
    const wire = new Wire();
    const { done } = await runItems(wire);
    wire.read.open(frame(["a"], 1), frame(["b"], 2, last()));
    await done;
    expect(wire.acks).toEqual([]);
  });
});
