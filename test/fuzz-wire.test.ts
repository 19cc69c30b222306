/**
 * Requests of every kind to the handler of runners, most of them nearly right: whatever is asked, the answer is one of those that
 * docs/protocol.md knows, within its limits, and never has anything that is not in the source.
 */
import { connect } from "node:net";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ActiveSessionError } from "../src/base/error.js";
import type { RouteRequest } from "../src/http/request-context.js";
import { createRunnerHandler } from "../src/http/router.js";
import type { WireResponse } from "../src/http/wire-response.js";
import type { Runner } from "../src/runner/runner.js";
import type { ActiveSessions } from "../src/session/active-sessions.js";
import { defineProcessRunner, defineSequenceRunner } from "../src/session/define.js";
import { openHost, turns } from "./support/control.js";
import { assertAll, briefly, inputs } from "./support/fuzz.js";
import { inside } from "./support/inside.js";
import { whileItAdvances } from "./support/patience.js";
import { openApp } from "./support/server.js";
import { wireRequest } from "./support/wire.js";

/** Of each host so many requests are made, one after the other: they change what the later ones find. */
const requestsEach = 50;
const pageLimit = 100;
const bodyLimit = 2000;
const documented = [200, 201, 204, 304, 400, 403, 404, 405, 409, 410, 413, 415, 422, 429, 503];
/** An event holds about so much text, or one item. */
const eventLimit = 66_000;

const itemAt = (n: number) => ({ n, text: `item ${n}` });
const sourceOf = (count: number) => Array.from({ length: count }, (_, n) => itemAt(n));

// --- what there is -------------------------------------------------------------------------------------------------

const seen: unknown[] = [];
const input = {
  "~standard": {
    version: 1 as const,
    vendor: "test",
    validate: (value: unknown) => {
      seen.push(value);
      const isFit = typeof value === "object" && value !== null && "count" in value;
      return isFit ? { value: value as { count: unknown } } : { issues: [{ message: "no count" }] };
    },
  },
};
const numbers = defineSequenceRunner({
  name: "numbers",
  input,
  run: ({ count }: { count: unknown }) => sourceOf(Math.min(300, Number(count) || 0)),
});
const once = defineProcessRunner({ name: "once", run: async () => itemAt(0) });

/** Runners in every state, all of whose items are those of `sourceOf`. */
async function openRunners(sessions: ActiveSessions): Promise<Runner[]> {
  const session = await sessions.get("ann");
  const many = await session.createSequenceRunner(sourceOf(250), { start: "now", retain: "all" });
  const idle = await session.createSequenceRunner(sourceOf(20));
  const limited = await session.createSequenceRunner(sourceOf(50), { aheadLimit: 3, start: "now" });
  const failing = await session.createSequenceRunner(function* () {
    yield* sourceOf(5);
    throw new Error("no more");
  });
  await failing.getRequired({ advance: 10 });
  const aborted = await session.createSequenceRunner(sourceOf(30), { retain: "all" });
  await aborted.getRequired({ advance: 7 });
  await aborted.abort();
  const gone = await session.createSequenceRunner(sourceOf(3));
  await inside(gone).dispose("stopped");
  const process = await session.createProcessRunner(async ({ report }) => {
    report(itemAt(0));
    return itemAt(0);
  });
  const theirs = await (await sessions.get("bob")).createSequenceRunner([{ secret: true }]);
  return [many, idle, limited, failing, aborted, gone, process, theirs];
}

// --- what is asked -------------------------------------------------------------------------------------------------

const odd = [
  "__proto__",
  "constructor",
  "toString",
  "%2e%2e",
  "%00",
  "..",
  "0-1-x",
  "\u0000",
  "ä🙂",
  " ",
  "-1",
  "x".repeat(5000),
];
const oddText = fc.oneof(fc.constantFrom(...odd), fc.string({ unit: "binary", maxLength: 12 }));
const mostly = <T>(usual: fc.Arbitrary<T>, other: fc.Arbitrary<T>, weight = 6) =>
  fc.oneof({ weight, arbitrary: usual }, { weight: 1, arbitrary: other });

/** The number of a runner, or how its key is altered, or another text. */
const key = fc.oneof(
  { weight: 8, arbitrary: fc.record({ runner: fc.nat({ max: 7 }) }) },
  {
    weight: 2,
    arbitrary: fc.record({ runner: fc.nat({ max: 7 }), at: fc.nat({ max: 60 }), by: fc.string({ maxLength: 2 }) }),
  },
  { weight: 3, arbitrary: fc.record({ text: fc.constantFrom("numbers", "once", "Numbers", "") }) },
  { weight: 1, arbitrary: fc.record({ text: oddText }) },
);
const position = fc.oneof(
  fc.constantFrom(
    "-1",
    "now",
    "0",
    "1",
    "7",
    "0000000000000003",
    "250",
    "251",
    "9007199254740993",
    "1e3",
    "+1",
    "01",
    "",
  ),
  fc.nat({ max: 300 }).map(String),
);
const parameter = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(fc.constant("offset"), mostly(position, oddText)) },
  { weight: 3, arbitrary: fc.tuple(fc.constant("live"), mostly(fc.constantFrom("long-poll", "sse"), oddText)) },
  {
    weight: 3,
    arbitrary: fc.tuple(fc.constantFrom("max-items", "min-items", "timeout", "cursor"), mostly(position, oddText)),
  },
  { weight: 1, arbitrary: fc.tuple(fc.constant("acks"), fc.constantFrom("true", "false", "")) },
  { weight: 1, arbitrary: fc.tuple(oddText, oddText) },
);
const header = fc.oneof(
  fc.tuple(fc.constant("content-type"), mostly(fc.constant("application/json"), oddText)),
  fc.tuple(fc.constant("idempotency-key"), mostly(fc.constantFrom("a", '"b"'), oddText)),
  fc.tuple(fc.constant("origin"), fc.constantFrom("http://server.test", "https://evil.test", "null", "")),
  fc.tuple(fc.constant("sec-fetch-site"), fc.constantFrom("same-origin", "cross-site", "none", "same-site", "odd")),
  fc.tuple(fc.constant("if-none-match"), fc.constantFrom("*", '"x"', 'W/"x", "y"', ",,,")),
  fc.tuple(fc.constantFrom("host", "cookie", "__proto__", "accept"), oddText),
);
const body = fc.oneof(
  fc.nat({ max: 400 }).map((count) => JSON.stringify({ count })),
  fc.constantFrom(
    "",
    "{",
    "null",
    '{"__proto__":{"polluted":true},"count":3}',
    '{"constructor":{"prototype":{"polluted":true}}}',
  ),
  fc.constantFrom("[".repeat(1900), `{"count":${"9".repeat(400)}}`, `"${"x".repeat(bodyLimit)}"`),
  fc.json().map((text) => text.slice(0, bodyLimit + 10)),
  fc.string({ unit: "binary", maxLength: 40 }),
);
const anyRequest = fc.record({
  key,
  method: mostly(
    fc.constantFrom("GET", "GET", "GET", "POST", "HEAD", "DELETE"),
    fc.constantFrom("PUT", "get", "", "OPTIONS", "__proto__"),
  ),
  action: mostly(fc.constantFrom(undefined, undefined, "state", "ack", "abort"), oddText, 9),
  query: fc.array(parameter, { maxLength: 4 }),
  headers: fc.array(header, { maxLength: 3 }),
  body,
  identity: mostly(
    fc.constant<"user:ann" | "user:bob" | undefined>("user:ann"),
    fc.constantFrom("user:bob" as const, undefined),
    12,
  ),
});
/** Without help chance would make few. */
const creation = anyRequest.map((asked) => ({
  ...asked,
  ...{ key: { text: "numbers" }, method: "POST", action: undefined },
  headers: [...asked.headers.slice(1), ["content-type", "application/json"] satisfies [string, string]],
}));
const request = fc.oneof({ weight: 4, arbitrary: anyRequest }, { weight: 1, arbitrary: creation });
type Asked = typeof request extends fc.Arbitrary<infer A> ? A : never;

function keyOf(asked: Asked["key"], runners: readonly Runner[]): string {
  if ("text" in asked) return asked.text;
  const { key } = runners[asked.runner]!;
  return "at" in asked ? key.slice(0, asked.at) + asked.by + key.slice(asked.at + 1) : key;
}

// --- what is answered ----------------------------------------------------------------------------------------------

interface Answer {
  readonly asked: Asked;
  readonly response: WireResponse;
  /** The body: as text, or the parts of an event stream. */
  readonly parts: readonly string[];
}

/** Does not wait for long: a request without an answer after some turns, or with only a part of one, is cancelled. */
async function answerTo(
  handle: (request: RouteRequest) => Promise<WireResponse>,
  sessions: ActiveSessions,
  asked: Asked,
  key: string,
) {
  const client = new AbortController();
  const given = wireRequest(sessions, key, {
    ...{
      method: asked.method,
      action: asked.action,
      body: asked.body,
      identity: asked.identity,
      signal: client.signal,
    },
    query: new URLSearchParams(asked.query as [string, string][]),
    headers: Object.fromEntries(asked.headers),
    readBody: async (limit: number) => {
      if (asked.body.length > limit) return Promise.reject(new ActiveSessionError("PAYLOAD_TOO_LARGE", "too large"));
      return { text: asked.body };
    },
  });
  const answered = handle(given);
  let isAnswered = false;
  const settled = answered.then(
    () => {
      isAnswered = true;
    },
    () => {
      isAnswered = true;
    },
  );
  for (let turn = 0; turn < 10 && !isAnswered; turn++) await turns(1);
  client.abort();
  for (let turn = 0; turn < 20 && !isAnswered; turn++) await turns(1);
  expect(isAnswered, "it hangs").toBe(true);
  await settled;
  const response = await answered;
  const parts: string[] = [];
  if (typeof response.body === "string") parts.push(response.body);
  else if (response.body) {
    const stream = response.body[Symbol.asyncIterator]();
    for (let i = 0; i < 3; i++) {
      const part = await stream.next();
      if (part.done) break;
      parts.push(part.value);
    }
    await stream.return?.();
  }
  return { asked, response, parts };
}

function check({ asked, response, parts }: Answer): void {
  const { status, headers } = response;
  const code = headers["Runner-Error-Code"];
  expect(documented).toContain(status);
  new Headers(headers as Record<string, string>); // throws for what no header can be
  if (status >= 400 && asked.method !== "HEAD") checkError(JSON.parse(parts[0]!), code);
  if (status === 204 || status === 304 || asked.method === "HEAD") expect(parts).toEqual([]);
  if (headers["Content-Type"] === "text/event-stream") for (const part of parts) checkEvents(part, asked);
  else if (status < 300 && headers["Stream-Next-Offset"] && parts[0]) checkPage(JSON.parse(parts[0]), headers, asked);
}

function checkError(error: { code: string; message: string }, code: string | undefined): void {
  expect(error.code).toBe(code);
  expect(error.message.length).toBeLessThan(1000);
}

function checkPage(page: unknown, headers: WireResponse["headers"], asked: Asked): void {
  const items = Array.isArray(page) ? page : (page as { items: unknown[] }).items;
  checkItems(items, Number(headers["Stream-Next-Offset"]), asked);
}

function checkEvents(part: string, asked: Asked): void {
  const [, data] = /^event: data\ndata:(.*)$/m.exec(part) ?? [];
  const [, control] = /^event: control\ndata:(.*)$/m.exec(part) ?? [];
  if (part === ":\n\n") return;
  if (data === undefined) return;
  const items = JSON.parse(data);
  if (items.length > 1) expect(data.length).toBeLessThan(eventLimit);
  checkItems(items, Number(JSON.parse(control!).streamNextOffset), asked);
}

/** They are the source's own, at the place that the answer says, and no more than asked for. */
function checkItems(items: readonly unknown[], end: number, { identity, query }: Asked): void {
  const limits = query.filter(([name]) => name === "max-items").map(([, value]) => Number(value));
  expect(items.length).toBeLessThanOrEqual(Math.min(pageLimit, ...limits));
  if (items.length === 0) return;
  const [first] = items as [{ n?: number; secret?: true }];
  if (first.secret) {
    expect(identity).toBe("user:bob");
    return;
  }
  const start = first.n!;
  expect(items).toEqual(items.map((_, i) => itemAt(start + i)));
  if (start > 0) expect(end).toBe(start + items.length);
}

function checkPrototypes(): void {
  expect(Object.keys(Object.prototype)).toEqual([]);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  for (const value of seen.splice(0)) {
    if (typeof value === "object" && value !== null && !Array.isArray(value))
      expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  }
}

describe("whatever is asked", () => {
  test("the handler answers with what is documented, at once or when its client goes", whileItAdvances, async () => {
    const statuses = new Set<number>();
    await assertAll(
      fc.asyncProperty(fc.array(request, { minLength: requestsEach, maxLength: requestsEach }), async (all) => {
        const sessions: ActiveSessions = openHost();
        const handle = createRunnerHandler(inside(sessions), {
          pageLimit,
          bodyLimit,
          expose: [numbers, once],
          firstPageTimeout: 0,
        });
        const runners = await openRunners(sessions);
        for (const asked of all) {
          const answer = await answerTo(handle, sessions, asked, keyOf(asked.key, runners));
          statuses.add(answer.response.status);
          try {
            check(answer);
          } catch (cause) {
            throw new Error(JSON.stringify(answer).slice(0, 1500), { cause });
          }
        }
        checkPrototypes();
        await sessions.close();
        expect(sessions.stats()).toMatchObject({ sessions: 0, runners: 0, openReads: 0, items: 0 });
      }),
      briefly(Math.ceil(inputs(50_000) / requestsEach)),
    );
    // Random requests that never get anywhere would show nothing.
    expect([...statuses].sort()).toEqual(
      expect.arrayContaining([200, 201, 204, 400, 403, 404, 405, 410, 413, 415, 422]),
    );
  });

  test("a server lives on, and never answers with 500", whileItAdvances, async () => {
    const app = await openApp();
    const { port } = new URL(app.url);
    const line = fc.tuple(
      fc.constantFrom("GET", "POST", "HEAD", "DELETE", "BREW"),
      fc.oneof(
        fc.constantFrom(
          "/runners",
          "/runners/",
          "/runners/x",
          "/runners/%",
          "/runners//x",
          "/runners/x/state?offset=%zz",
          "*",
        ),
        fc.webPath({ size: "small" }).map((path) => `/runners${path}`),
      ),
    );
    const headerLine = fc
      .tuple(fc.constantFrom("Host", "Cookie", "Content-Length", "Transfer-Encoding", "Accept"), oddText)
      .map(([name, value]) => `${name}: ${value}\r\n`);
    const bytes = fc.oneof(
      fc
        .tuple(line, fc.array(headerLine, { maxLength: 3 }), body)
        .map(
          ([[method, path], headers, text]) =>
            `${method} ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers.join("")}\r\n${text}`,
        ),
      fc.string({ unit: "binary", maxLength: 60 }),
    );
    await assertAll(
      fc.asyncProperty(bytes, async (text) => {
        const answer = await exchange(Number(port), text);
        expect(answer).not.toMatch(/^HTTP\/1\.1 5/);
      }),
      briefly(inputs(3000)),
    );
    expect((await fetch(`${app.url}/runners`)).status).toBe(200);
  });
});

/** Sends the bytes and nothing more; gives what comes until the connection is over. */
function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let answer = "";
    const socket = connect({ port, host: "127.0.0.1" });
    socket.on("data", (bytes) => {
      answer += bytes.toString("latin1");
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer));
    socket.end(text);
  });
}
