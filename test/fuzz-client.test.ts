/**
 * Our client against servers that answer anything at all: it ends with an error of its own kind, or goes on trying until it is told to
 * stop; it never hangs, and takes no server at its word.
 */
import fc from "fast-check";
import { describe, expect, test, vi } from "vitest";
import { ActiveSessionError, createClient } from "../src/client.js";
import { turns } from "./support/control.js";
import { assertAll, briefly, inputs } from "./support/fuzz.js";
import { whileItAdvances } from "./support/patience.js";

/** So many answers a server has, then it has gone. */
const answersEach = 5;
const url = "http://server.test/runners";

// --- what a server may answer --------------------------------------------------------------------------------------

const offset = fc.constantFrom("0000000000000000", "0000000000000002", "3", "-1", "1e9", "9".repeat(30), "", "x");
const status = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(200, 201, 204) },
  { weight: 2, arbitrary: fc.constantFrom(304, 400, 404, 410, 429, 500, 502, 503) },
  { weight: 1, arbitrary: fc.integer({ min: 200, max: 599 }) },
);
const header = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant("Stream-Next-Offset"), offset) },
  {
    weight: 4,
    arbitrary: fc.tuple(
      fc.constant("Content-Type"),
      fc.constantFrom("text/event-stream", "application/json", "text/html", ""),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom("Stream-Up-To-Date", "Stream-Closed"), fc.constantFrom("true", "false")),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constant("Runner-Status"),
      fc.constantFrom("stalled", "completed", "failed", "aborted", "__proto__"),
    ),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constantFrom("Runner-Progress", "Runner-Ahead-Limit", "Runner-First-Offset", "Stream-Cursor"),
      offset,
    ),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(fc.constant("Retry-After"), fc.constantFrom("0", "1", "-5", "1e9", "soon", "99999999999")),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.constant("Runner-Error-Code"),
      fc.constantFrom("POSITION_GONE", "RUNNER_GONE", "__proto__", "constructor"),
    ),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constant("Runner-Error-Message"), fc.constantFrom("%", "%ff", "a%20b", "%E4%")) },
);
const json = fc.oneof(
  fc.constantFrom(
    "[]",
    "[1,2]",
    "{}",
    "null",
    "[",
    "",
    '{"__proto__":{"polluted":true}}',
    '[{"__proto__":{"polluted":true}}]',
    '"text"',
    "7",
  ),
  fc.json({ maxDepth: 3 }),
);
const control = fc
  .record(
    {
      streamNextOffset: fc.oneof(offset, fc.nat()),
      streamClosed: fc.constantFrom(true, "true", false, null),
      upToDate: fc.boolean(),
      runnerStatus: fc.constantFrom("stalled", "completed", "failed", "aborted", 7),
      runnerErrorCode: fc.constantFrom("RUNNER_FAILED", "__proto__", null),
      runnerAheadLimit: fc.oneof(fc.nat(), fc.constantFrom(-1, "x", null)),
      runnerProgress: fc.oneof(fc.nat(), fc.constant(null)),
    },
    { requiredKeys: [] },
  )
  .map((fields) => JSON.stringify(fields));
const event = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(json, control)
      .map(([data, fields]) => `event: data\ndata:${data}\n\nevent: control\ndata:${fields}\n\n`),
  },
  { weight: 1, arbitrary: json.map((text) => `event: control\ndata:${text}\n\n`) },
  { weight: 1, arbitrary: fc.constantFrom(":\n\n", "\r\n\r", "data\n\n", "event: x\ndata: y\n\n", "\uFEFF", "\0") },
);
const body = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.array(event, { maxLength: 4 }).map((events) => new TextEncoder().encode(events.join(""))),
  },
  { weight: 3, arbitrary: json.map((text) => new TextEncoder().encode(text)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 80 }) },
);
const answer = fc.record({
  status,
  headers: fc.array(header, { maxLength: 5 }),
  body,
  /** Where the body is cut into pieces. */
  cuts: fc.array(fc.nat({ max: 300 }), { maxLength: 4 }),
  end: fc.constantFrom("end", "end", "fail", "stay", "refuse"),
});
type Answer = typeof answer extends fc.Arbitrary<infer A> ? A : never;

/** A `fetch` that gives these answers, then fails. */
function scripted(answers: readonly Answer[], requests: string[]): typeof fetch {
  let next = 0;
  return async (asked, init) => {
    requests.push(`${init?.method ?? "GET"} ${asked}`);
    const signal = init?.signal ?? undefined;
    signal?.throwIfAborted();
    const given = answers[next++];
    if (!given || given.end === "refuse") throw new TypeError("fetch failed");
    const isBodiless = [204, 205, 304].includes(given.status);
    return new Response(isBodiless ? null : streamOf(given, signal), {
      status: given.status,
      headers: given.headers as [string, string][],
    });
  };
}

function streamOf({ body, cuts, end }: Answer, signal: AbortSignal | undefined): ReadableStream<Uint8Array> {
  const places = [0, ...cuts.map((cut) => Math.min(cut, body.length)).sort((a, b) => a - b), body.length];
  const pieces = places.slice(1).map((place, i) => body.subarray(places[i], place));
  return new ReadableStream<Uint8Array>({
    start(controller) {
      const fail = () => controller.error(signal?.reason);
      signal?.addEventListener("abort", fail, { once: true });
    },
    pull(controller) {
      const piece = pieces.shift();
      if (piece) return controller.enqueue(piece);
      if (end === "fail") controller.error(new TypeError("terminated"));
      else if (end === "end") controller.close();
      return undefined;
    },
  });
}

// --- what the client makes of it -----------------------------------------------------------------------------------

/** Lets time pass until the promise has settled; gives up after some hours. */
async function settles(promise: Promise<unknown>): Promise<boolean> {
  let isSettled = false;
  const settle = () => {
    isSettled = true;
  };
  promise.then(settle, settle);
  for (let i = 0; i < 40; i++) {
    await turns(2);
    if (isSettled) return true;
    await vi.advanceTimersByTimeAsync(i < 20 ? 5000 : 600_000);
  }
  await turns(2);
  return isSettled;
}

const call = fc.constantFrom("follow sse", "follow long-poll", "follow", "read", "state", "list", "create", "abort");

function act(client: ReturnType<typeof createClient>, what: string, signal: AbortSignal): Promise<unknown> {
  const follow = async (live?: "sse" | "long-poll") => {
    let taken = 0;
    for await (const items of client.follow("1-1-key", { signal, ...(live && { live }) }))
      taken += Array.isArray(items) ? items.length : 1;
    return taken;
  };
  switch (what) {
    case "follow sse":
      return follow("sse");
    case "follow long-poll":
      return follow("long-poll");
    case "follow":
      return follow();
    case "read":
      return client.read("1-1-key", { signal });
    case "state":
      return client.state("1-1-key");
    case "list":
      return client.list();
    case "abort":
      return client.abort("1-1-key", { signal });
    default:
      return (client as { create(...given: unknown[]): Promise<unknown> }).create("name", {}, { signal });
  }
}

describe("whatever a server answers", () => {
  test("the client ends with an error that says why, or goes on until it is stopped", whileItAdvances, async () => {
    const outcomes = new Set<string>();
    await assertAll(
      fc.asyncProperty(
        call,
        fc.array(answer, { minLength: answersEach, maxLength: answersEach }),
        async (what, answers) => {
          vi.useFakeTimers();
          const requests: string[] = [];
          // These take no signal: an answer that does not come is the network's to time out.
          const mustEnd = ["state", "list"].includes(what);
          const given = answers.map((one) => (mustEnd && one.end === "stay" ? { ...one, end: "end" as const } : one));
          const client = createClient(url, { fetch: scripted(given, requests) });
          const stop = new AbortController();
          const outcome = act(client, what, stop.signal).then(
            () => "ended",
            (error: unknown) => {
              if (ActiveSessionError.is(error)) return "failed";
              if (error === stop.signal.reason) return "stopped";
              throw new Error(`${what} with ${JSON.stringify({ answers, requests }).slice(0, 1500)}`, { cause: error });
            },
          );
          outcome.catch(() => {}); // looked at below
          if (!(await settles(outcome))) stop.abort(new Error("enough"));
          expect(await settles(outcome), `${what} hangs: ${requests}`).toBe(true);
          outcomes.add(await outcome);
          expect(requests.length, `${what} asks without end`).toBeLessThan(3000);
          expect(vi.getTimerCount(), `${what} leaves a timer`).toBe(0);
          vi.useRealTimers();
          expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
        },
      ),
      briefly(Math.ceil(inputs(15_000) / answersEach)),
    );
    expect([...outcomes].sort()).toEqual(["ended", "failed", "stopped"]);
  });
});
