/** Who may do what over the wire, and how everything else is refused. */
import { type IncomingHttpHeaders, request } from "node:http";
import { beforeEach, describe, expect, test } from "vitest";
import type { Runner } from "../src/runner/runner.js";
import { openHost, PushSource, turns } from "./support/control.js";
import { openApp, type TestApp, type TestAppOptions } from "./support/server.js";

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

/** Sends just these bytes: `fetch` would tidy the path up, and keep some headers for itself. */
function send(url: string, method: string, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const outgoing = request({ hostname, port, method, path, headers, agent: false }, async (incoming) => {
      let body = "";
      for await (const chunk of incoming.setEncoding("utf8")) body += chunk;
      resolve({ status: incoming.statusCode!, headers: incoming.headers, body });
    });
    outgoing.on("error", reject).end();
  });
}

/** Names for a table of texts some of which are very long. */
function named(texts: readonly string[]): [name: string, text: string][] {
  return texts.map((text) => [text.length > 60 ? `${text.slice(0, 60)}… (${text.length})` : text, text]);
}

/** An application in which Ann has a runner with five items, of which two have been read. */
async function openWithRunner(options: TestAppOptions = {}) {
  const app = await openApp(options);
  const ann = await app.user("ann");
  const source = new PushSource<number>();
  const runner = await ann.session.createSequenceRunner(source);
  source.push(0, 1, 2, 3, 4);
  while ((await runner.state()).progress.current < 5) await turns(1);
  await runner.getRequired({ advance: 2 });
  const as =
    (user: string) =>
    (method: string, rest: string, key = runner.key, headers: Record<string, string> = {}) =>
      send(app.url, method, `/runners/${key}${rest}`, { "x-user": user, ...headers });
  return { ...app, ann, runner, source, askAnn: as("ann"), askBob: as("bob"), as };
}

/** What only Ann may move. */
function standing({ status, position, progress, isBackgroundCompleted }: Runner) {
  return { status, position, progress: progress.current, isBackgroundCompleted };
}

const untouched = { status: "progressed", position: 2, progress: 5, isBackgroundCompleted: false };

/** Every request there is. */
const requests: [name: string, method: string, rest: string][] = [
  ["a page", "GET", "?offset=0"],
  ["a page without parameters", "GET", ""],
  ["a long-poll", "GET", "?offset=0&live=long-poll&timeout=0"],
  ["SSE", "GET", "?offset=0&live=sse"],
  ["a malformed page", "GET", "?offset=zero"],
  ["HEAD", "HEAD", ""],
  ["state", "GET", "/state"],
  ["an acknowledgement", "POST", "/ack?offset=2"],
  ["a malformed acknowledgement", "POST", "/ack"],
  ["abort", "POST", "/abort"],
  ["DELETE", "DELETE", ""],
];

/** Everything an answer shows, but when it was given. */
function comparable({ status, headers: { date: _, ...headers }, body }: Answer) {
  return { status, headers, body };
}

describe("a key of another client", () => {
  let opened: Awaited<ReturnType<typeof openWithRunner>>;
  beforeEach(async () => {
    opened = await openWithRunner();
  });

  test.each(requests)("is answered like one that never existed: %s (P14, P17, P155)", async (_, method, rest) => {
    const { runner, user, askBob } = opened;
    const bob = await user("bob");
    const { key: own } = await bob.session.createSequenceRunner([1]);
    const [, generation, bobsId] = own.split("-") as [string, string, string];
    const strange = bobsId.replace(/^./, (c) => (c === "A" ? "B" : "A"));
    const answer = comparable(await askBob(method, rest));
    expect(answer.status).toBe(404);
    if (method !== "HEAD") {
      expect(JSON.parse(answer.body)).toEqual({ code: "RUNNER_NOT_FOUND", message: expect.any(String) });
      expect(answer.body).not.toContain(runner.key);
    }
    const others = [
      runner.key.replace(/^0/, "99"),
      own.replace(/^0/, "7"), // Bob's own, not yet given out
      own.replace(`-${generation}-`, "-9007199254740991-"), // from the future
      `0-${generation}-${strange}`,
      `${runner.key}.tab`,
      `${runner.key}.`,
      "nonsense",
      "0",
    ];
    for (const key of others) expect(comparable(await askBob(method, rest, key)), key).toEqual(answer);
    expect(standing(runner)).toEqual(untouched);
  });

  test.each(requests)(
    "is answered so also without a session, or without any identity: %s (P16, P17)",
    async (_, method, rest) => {
      const { url, runner, sessions, askBob } = opened;
      const known = await askBob(method, rest);
      const anonymous = await send(url, method, `/runners/${runner.key}${rest}`);
      expect(known.status).toBe(404);
      expect(comparable(anonymous)).toEqual(comparable(known));
      expect(anonymous.headers["set-cookie"]).toBeUndefined();
      expect(standing(runner)).toEqual(untouched);
      expect(sessions.stats().sessions).toBe(1);
    },
  );

  test("is answered so also after the runner has ended, been removed, or lost its session", async () => {
    const { askAnn, askBob, ann } = opened;
    const before = comparable(await askBob("GET", ""));
    await askAnn("POST", "/abort");
    expect(comparable(await askBob("GET", ""))).toEqual(before);
    await askAnn("DELETE", "");
    expect(comparable(await askBob("GET", ""))).toEqual(before);
    await ann.session.terminate();
    expect(comparable(await askBob("GET", ""))).toEqual(before);
  });

  test("is not opened by a session of the same name with a suffix of its own", async () => {
    const { sessions, runner, askBob } = opened;
    const tab = await sessions.get("bob", "tab");
    await tab.createSequenceRunner([1]);
    const stolen = `0-${tab.generation}-${runner.key.split("-").slice(2).join("-")}.tab`;
    expect((await askBob("GET", "", stolen)).status).toBe(404);
  });
});

test("a request that names the whole address, as to a proxy, is read like any other", async () => {
  const { url, runner } = await openWithRunner();
  const ask = (query: string) =>
    send(url, "GET", `http://app.example/runners/${runner.key}${query}`, { "x-user": "ann" });
  expect(await ask("?offset=3")).toMatchObject({ status: 200, body: "[3,4]" });
  expect((await ask("?offset=x")).status).toBe(400);
});

test("a runner in a session with a suffix is its client's own", async () => {
  const { sessions, askAnn, askBob } = await openWithRunner();
  const tab = await sessions.get("ann", "tab-2");
  const { key, cleanup } = await tab.createSequenceRunner(["mine"]);
  await cleanup;
  expect((await askAnn("GET", "", key)).body).toBe('["mine"]');
  expect((await askBob("GET", "", key)).status).toBe(404);
});

describe("an own key whose runner is not there any more (P18, P158)", () => {
  const live = requests.filter(([name]) => !name.includes("malformed"));

  test.each(live)("was removed: %s gives 410", async (_, method, rest) => {
    const { askAnn } = await openWithRunner();
    const removal = await askAnn("DELETE", "");
    expect(removal).toMatchObject({ status: 204, body: "" });
    const answer = await askAnn(method, rest);
    expect(answer.status).toBe(410);
    if (method !== "HEAD") expect(JSON.parse(answer.body).code).toBe("RUNNER_GONE");
  });

  test("lost its session", async () => {
    const { askAnn, ann, runner } = await openWithRunner();
    await ann.session.terminate();
    expect((await askAnn("GET", "?offset=0")).status).toBe(410);
    expect(runner.status).toBe("aborted");
  });

  test("belonged to an earlier session", async () => {
    const { askAnn, ann, sessions } = await openWithRunner();
    await ann.session.terminate();
    const { generation } = await sessions.get("ann");
    expect(generation).toBeGreaterThan(ann.session.generation);
    expect((await askAnn("GET", "?offset=0")).status).toBe(410);
    expect((await askAnn("DELETE", "")).status).toBe(410);
  });

  test("was issued before a restart", async () => {
    const secret = "the same one on both sides of the restart";
    const { runner, sessions } = await openWithRunner({ sessions: openHost({ secret }) });
    await sessions.close();
    const { askAnn, askBob } = await openWithRunner({ sessions: openHost({ secret }) });
    expect((await askAnn("GET", "?offset=0", runner.key)).status).toBe(410);
    expect((await askBob("GET", "?offset=0", runner.key)).status).toBe(404);
  });
});

describe("a malformed key", () => {
  const keys = [
    ...["%", "%zz", "%00", "%2F", "%2e%2e", "%E0%A4%A", "%ED%A0%80", "%c0%ae", "+", ";", "a,b", "0--", "--", "-1-1-x"],
    ...[
      "null",
      "undefined",
      "NaN",
      "__proto__",
      "constructor",
      "toString",
      "hasOwnProperty",
      "0-0-0",
      "00-1-x",
      "0x0-1-y",
    ],
    ...["9".repeat(400), "-".repeat(4000), "a".repeat(8000), `0-1-${"A".repeat(5000)}`, `0-1-${"A".repeat(22)}.`],
    ...[`0-1-${"A".repeat(22)}.${"a".repeat(65)}`, `0-9007199254740993-${"A".repeat(22)}`, `1e3-1-${"A".repeat(22)}`],
  ];

  test.each(named(keys))("%s is not found (P17)", async (_, key) => {
    const { askAnn } = await openWithRunner();
    for (const [method, rest] of [
      ["GET", ""],
      ["GET", "/state"],
      ["POST", "/abort"],
      ["DELETE", ""],
    ] as const) {
      const answer = await askAnn(method, rest, key);
      expect(answer.status, `${method} ${rest}`).toBe(404);
      expect(JSON.parse(answer.body).code).toBe("RUNNER_NOT_FOUND");
    }
  });

  test.each([
    ["encoded", (key: string) => `%${key.charCodeAt(0).toString(16)}${key.slice(1)}`],
    ["with a space around it", (key: string) => `%20${key}`],
    ["with a zero before it", (key: string) => `0${key}`],
    ["with a line break behind it", (key: string) => `${key}%0A`],
    ["with a parameter behind it", (key: string) => `${key};x=1`],
    ["with a plus sign", (key: string) => `+${key}`],
    ["in capitals", (key: string) => key.toUpperCase()],
  ])("the own key %s is not the key (P11)", async (_, disguise) => {
    const { askAnn, runner } = await openWithRunner();
    expect((await askAnn("GET", "", disguise(runner.key))).status).toBe(404);
  });
});

describe("a request that changes something", () => {
  const changes = requests.filter(([name, method]) => (method === "POST" || method === "DELETE") && !/malf/.test(name));
  const foreign = { "sec-fetch-site": "cross-site", origin: "https://evil.example" };

  test.each(changes)("from another site is refused: %s (P20, P24, P154)", async (_, method, rest) => {
    const { askAnn, runner } = await openWithRunner();
    for (const headers of [
      foreign,
      { "sec-fetch-site": "cross-site" },
      { origin: "https://evil.example" },
      { origin: "null" },
    ]) {
      const answer = await askAnn(method, rest, runner.key, headers as Record<string, string>);
      expect(answer.status).toBe(403);
      expect(JSON.parse(answer.body).code).toBe("CROSS_SITE_REQUEST");
    }
    expect(standing(runner)).toEqual(untouched);
    expect((await askAnn("GET", "?offset=0&max-items=2")).body).toBe("[0,1]"); // nothing was acknowledged
  });

  test.each<[string, Record<string, string>, number]>([
    ["same-origin", { "sec-fetch-site": "same-origin", origin: "https://proxied.example" }, 200],
    ["none", { "sec-fetch-site": "none" }, 200],
    ["same-site without Origin", { "sec-fetch-site": "same-site" }, 200],
    ["same-site from another port", { "sec-fetch-site": "same-site", origin: "http://127.0.0.1:1" }, 403],
    ["same-site from a sibling", { "sec-fetch-site": "same-site", origin: "https://x.app.example" }, 403],
    ["same-site from null", { "sec-fetch-site": "same-site", origin: "null" }, 403],
    ["same-site from an allowed origin", { "sec-fetch-site": "same-site", origin: "https://ok.example" }, 200],
    ["same-site from an allowed host", { "sec-fetch-site": "same-site", origin: "http://fine.example" }, 200],
    ["cross-site from an allowed origin", { "sec-fetch-site": "cross-site", origin: "https://ok.example" }, 403],
    ["an allowed origin", { origin: "https://ok.example" }, 200],
    ["an allowed origin with another scheme", { origin: "http://ok.example" }, 403],
    ["an allowed host with another port", { origin: "http://fine.example:81" }, 403],
    ["the own origin", { host: "app.example", origin: "https://app.example" }, 200],
    ["the own name with another port", { host: "app.example", origin: "https://app.example:8443" }, 403],
    ["null", { origin: "null" }, 403],
    ["no origin at all", { origin: "::::" }, 403],
    ["an empty origin", { origin: "" }, 403],
    ["no page", {}, 200],
  ])("%s (P21, P22, P23)", async (_, headers, status) => {
    const router = { allowedOrigins: ["https://ok.example", "fine.example"] };
    const { askAnn, runner } = await openWithRunner({ router });
    expect((await askAnn("POST", "/abort", runner.key, headers)).status).toBe(status);
    expect(runner.status).toBe(status === 200 ? "aborted" : "progressed");
  });

  test.each(changes)(
    "tells a stranger, or a client that comes too late, nothing about sites: %s (P19)",
    async (_, method, rest) => {
      const { askAnn, askBob, runner } = await openWithRunner();
      expect((await askBob(method, rest, runner.key, foreign)).status).toBe(404);
      await askAnn("DELETE", "");
      expect((await askAnn(method, rest, runner.key, foreign)).status).toBe(410);
    },
  );

  test("is refused for where it comes from before its parameters are looked at (P19)", async () => {
    const { askAnn, runner } = await openWithRunner();
    expect((await askAnn("POST", "/ack?offset=x", runner.key, foreign)).status).toBe(403);
  });

  test("is unlike a request that only reads, which may come from anywhere (P20)", async () => {
    const { askAnn, runner } = await openWithRunner();
    expect((await askAnn("GET", "?offset=0", runner.key, foreign)).status).toBe(200);
    expect((await askAnn("HEAD", "", runner.key, foreign)).status).toBe(200);
    expect((await askAnn("GET", "/state", runner.key, foreign)).status).toBe(200);
    expect((await askAnn("GET", "?offset=0&live=long-poll", runner.key, foreign)).status).toBe(200);
  });
});

describe("methods and actions", () => {
  test.each<[string, string, string]>([
    ["POST", "", "GET, HEAD, DELETE"],
    ["PUT", "", "GET, HEAD, DELETE"],
    ["PATCH", "", "GET, HEAD, DELETE"],
    ["OPTIONS", "", "GET, HEAD, DELETE"],
    ["PROPFIND", "", "GET, HEAD, DELETE"],
    ["POST", "/state", "GET"],
    ["DELETE", "/state", "GET"],
    ["PUT", "/state", "GET"],
    ["GET", "/ack?offset=0", "POST"],
    ["DELETE", "/ack?offset=0", "POST"],
    ["GET", "/abort", "POST"],
    ["HEAD", "/abort", "POST"],
    ["DELETE", "/abort", "POST"],
  ])("%s %s is not allowed (P9, P19, P156)", async (method, rest, allow) => {
    const { askAnn, askBob, runner } = await openWithRunner();
    const answer = await askAnn(method, rest);
    expect(answer.status).toBe(405);
    expect(answer.headers.allow).toBe(allow);
    if (method !== "HEAD") expect(JSON.parse(answer.body).code).toBe("METHOD_NOT_ALLOWED");
    for (const other of [await askBob(method, rest), await askAnn(method, rest, "0-nonsense")]) {
      expect(comparable(other)).toEqual(comparable(answer));
    }
    expect(standing(runner)).toEqual(untouched);
  });

  const actions = [
    ...[
      "nope",
      "__proto__",
      "constructor",
      "toString",
      "valueOf",
      "hasOwnProperty",
      "STATE",
      "Abort",
      "%73tate",
      "state%20",
    ],
    ...["%00", "%zz", "abort;x", ".", "ack%2F", "a".repeat(4000)],
  ];

  test.each(named(actions))("there is no action %s (P8)", async (_, action) => {
    const { askAnn, runner } = await openWithRunner();
    for (const method of ["GET", "POST", "DELETE", "PUT"]) {
      expect((await askAnn(method, `/${action}`)).status, method).toBe(404);
    }
    expect(standing(runner)).toEqual(untouched);
  });

  test.each(["/state/", "/state/more", "/", "//state", "/abort/abort"])("there is nothing at %s (P8)", async (rest) => {
    const { askAnn, runner } = await openWithRunner();
    for (const method of ["GET", "POST", "DELETE"]) expect((await askAnn(method, rest)).status, method).toBe(404);
    expect(standing(runner)).toEqual(untouched);
  });
});

describe("a malformed parameter is 400, and moves nothing", () => {
  const offsets = [
    ...[
      "offset=",
      "offset=x",
      "offset=-2",
      "offset=1.5",
      "offset=1e1",
      "offset=0x1",
      "offset=+1",
      "offset=%201",
      "offset=-0",
    ],
    ...[
      "offset=9007199254740992",
      `offset=${"9".repeat(3000)}`,
      "offset=%00",
      "offset=%zz",
      "offset=%E0%A4%A",
      "offset=NaN",
    ],
    ...[
      "offset=0&offset=0",
      "offset=0&offset=now",
      "offset[]=0&offset=",
      "offset=null",
      "offset=%EF%BC%91",
      "offset=Infinity",
    ],
    ...["offset=0?x", "offset=0?offset=0", "offset=6"],
  ];

  const reads = [
    ...offsets,
    ...offsets.map((offset) => `${offset}&live=long-poll&timeout=0`),
    ...offsets.map((offset) => `${offset}&live=sse`),
    ...["live=sse", "live=long-poll", "live=&offset=0", "live=page&offset=0", "live=x&offset=0", "live=SSE&offset=0"],
    ...["live=sse&live=sse&offset=0", "live=__proto__&offset=0", `live=${"x".repeat(3000)}&offset=0`],
  ];

  test.each(named(reads))("%s (P34, P35, P37, P153)", async (_, query) => {
    const { askAnn, runner } = await openWithRunner();
    const answer = await askAnn("GET", `?${query}`);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body).code).toBe(query.startsWith("offset=6") ? "POSITION_AHEAD" : "INVALID_ARGUMENT");
    expect(answer.headers["content-type"]).toMatch(/^application\/json/);
    expect(standing(runner)).toEqual(untouched);
  });

  const values = [
    "",
    "0",
    "-1",
    "+5",
    "1.5",
    "1e1",
    "0x5",
    "abc",
    "%00",
    "%zz",
    "%205",
    "NaN",
    "Infinity",
    "9".repeat(500),
  ];
  const bad = ["max-items", "min-items", "timeout"].flatMap((name) => [
    ...values.filter((value) => !(name === "timeout" && value === "0")).map((value) => `${name}=${value}`),
    `${name}=1&${name}=1`,
    `${name}=10001`,
    `${name}=99999999999999999999`,
  ]);

  test.each(named(bad))("a long-poll with %s (P42, P62, P153)", async (_, pair) => {
    const { askAnn, runner } = await openWithRunner();
    const answer = await askAnn("GET", `?offset=0&live=long-poll&${pair}`);
    expect(answer.status).toBe(400);
    expect(JSON.parse(answer.body).code).toBe("INVALID_ARGUMENT");
    expect(standing(runner)).toEqual(untouched);
  });

  const sizes = bad.filter((pair) => pair.startsWith("max-items"));

  test.each(named(sizes))("a page or SSE with %s (P42)", async (_, pair) => {
    const { askAnn, runner } = await openWithRunner();
    expect((await askAnn("GET", `?offset=0&${pair}`)).status).toBe(400);
    expect((await askAnn("GET", `?offset=0&live=sse&${pair}`)).status).toBe(400);
    expect(standing(runner)).toEqual(untouched);
  });

  const positions = ["", "?offset=", "?offset=x", "?offset=-1", "?offset=now", "?offset=1&offset=1"];

  test.each(named([...positions, `?offset=${"9".repeat(400)}`]))(
    "an acknowledgement with '%s' (P93)",
    async (_, query) => {
      const { askAnn, runner } = await openWithRunner();
      const answer = await askAnn("POST", `/ack${query}`);
      expect(answer.status).toBe(400);
      expect(JSON.parse(answer.body).code).toBe("INVALID_ARGUMENT");
      expect((await askAnn("GET", "?offset=0&max-items=2")).body).toBe("[0,1]");
      expect(standing(runner)).toEqual(untouched);
    },
  );
});

describe("every answer of the routes", () => {
  const cases: [string, number, (app: TestApp & { runner: Runner }) => [string, string, Record<string, string>?]][] = [
    ["a page", 200, () => ["GET", ""]],
    ["a long-poll", 200, () => ["GET", "?offset=0&live=long-poll"]],
    ["a long-poll without anything", 204, () => ["GET", "?offset=5&live=long-poll&timeout=0"]],
    ["HEAD", 200, () => ["HEAD", ""]],
    ["state", 200, () => ["GET", "/state"]],
    ["an acknowledgement", 204, () => ["POST", "/ack?offset=1"]],
    ["abort", 200, () => ["POST", "/abort"]],
    ["DELETE", 204, () => ["DELETE", ""]],
    ["a malformed request", 400, () => ["GET", "?offset=x"]],
    ["a position that does not exist yet", 400, () => ["GET", "?offset=6"]],
    ["a cross-site request", 403, () => ["DELETE", "", { "sec-fetch-site": "cross-site" }]],
    ["an unknown action", 404, () => ["GET", "/nope"]],
    ["a stranger's request", 404, () => ["GET", "", { "x-user": "bob" }]],
    ["a wrong method", 405, () => ["PUT", ""]],
  ];

  function expectSafe(headers: IncomingHttpHeaders) {
    const isStream = headers["content-type"]?.startsWith("text/event-stream");
    expect(headers["cache-control"]).toBe(`private, no-cache, no-store${isStream ? ", no-transform" : ""}`);
    expect(headers["x-content-type-options"]).toBe("nosniff");
    expect(headers["cross-origin-resource-policy"]).toBe("same-origin");
    const exposed = headers["access-control-expose-headers"];
    for (const name of ["Stream-Next-Offset", "Stream-Up-To-Date", "Stream-Cursor", "Stream-Closed", "ETag"]) {
      expect(exposed).toContain(name);
    }
    for (const name of ["Status", "Progress", "Estimated-End", "Error-Code", "First-Offset", "Ahead-Limit"]) {
      expect(exposed).toContain(`Runner-${name}`);
    }
  }

  test.each(cases)("is safe in a browser: %s (P165, P166)", async (_, status, make) => {
    const opened = await openWithRunner();
    const [method, rest, headers] = make(opened);
    const answer = await opened.askAnn(method, rest, opened.runner.key, headers);
    expect(answer.status).toBe(status);
    expectSafe(answer.headers);
  });

  test("is safe in a browser: SSE, 304, 410 and 500 (P165, P166)", async () => {
    const { askAnn, ann } = await openWithRunner();
    const runner = await ann.session.createSequenceRunner<unknown>([1, 5n]);
    await runner.cleanup;
    const sse = await askAnn("GET", "?offset=0&live=sse", runner.key);
    expect(sse).toMatchObject({
      status: 200,
      headers: { "content-type": expect.stringMatching(/^text\/event-stream/) },
    });
    const page = await askAnn("GET", "?offset=0", runner.key);
    const unchanged = await askAnn("GET", "?offset=0", runner.key, { "if-none-match": String(page.headers.etag) });
    expect(unchanged).toMatchObject({ status: 304, body: "" });
    const broken = await askAnn("GET", "?offset=1", runner.key);
    expect(broken.status).toBe(500);
    const trimmed = await askAnn("GET", "?offset=0", runner.key);
    expect(trimmed.status).toBe(410);
    await askAnn("DELETE", "", runner.key);
    const gone = await askAnn("GET", "", runner.key);
    expect(gone.status).toBe(410);
    for (const { headers } of [sse, page, unchanged, broken, trimmed, gone]) expectSafe(headers);
  });

  test("shows neither an identity nor a stack (P152)", async () => {
    const { askAnn, runner } = await openWithRunner();
    for (const [, method, rest] of requests.filter(([, , rest]) => !rest.includes("sse"))) {
      const { body, headers } = await askAnn(method, rest, runner.key);
      expect(body + JSON.stringify(headers)).not.toMatch(/user:|\bann\b|\bat .+:\d+:\d+/);
    }
  });
});
