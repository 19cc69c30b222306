/**
 * docs/protocol.md: what is stated there and proved nowhere else, and that the document, its tests and the code know the same names.
 * Its examples are run by protocol-examples.test.ts.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { describe, expect, test, vi } from "vitest";
import { z } from "zod";
import { errorCodes, statusByCode } from "../src/base/error-codes.js";
import { createClient } from "../src/client.js";
import { runnerRouter } from "../src/express.js";
import { createRunnerHandler } from "../src/http/router.js";
import { defineProcessRunner, defineSequenceRunner } from "../src/index.js";
import { headerNames, labelHeader } from "../src/protocol/headers.js";
import type { ActiveSessionsOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { isPending, openHost, PushSource, turns } from "./support/control.js";
import { inside } from "./support/inside.js";
import { openApp, type TestAppOptions } from "./support/server.js";
import { type WireOptions, wireRequest } from "./support/wire.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const text = readFileSync(`${root}docs/protocol.md`, "utf8");
const offset = (position: number) => String(position).padStart(16, "0");
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

/** Definitions for clients to create from: `count` gives 1 to `to`, `echo` its input, `live` what the test pushes to its source. */
function definitions() {
  const sources: PushSource<unknown>[] = [];
  let failures = 0;
  const count = defineSequenceRunner({
    name: "count",
    input: z.object({ to: z.number().int().positive() }),
    run: ({ to }) => range(1, to + 1),
  });
  const echo = defineSequenceRunner({ name: "echo", run: (input: unknown) => [input] });
  const live = defineSequenceRunner({ name: "live", run: () => sources[sources.push(new PushSource()) - 1]! });
  const job = defineProcessRunner({ name: "job", run: async () => "done" });
  const shaky = defineSequenceRunner({
    name: "shaky",
    run: () => {
      if (failures++ === 0) throw new Error("the password is swordfish");
      return [1];
    },
  });
  return { sources, expose: [count, echo, live, job, shaky] };
}

const json = { "content-type": "application/json" };

/** An application that exposes the definitions; Ann's requests and Bob's. */
async function open({ router, ...options }: TestAppOptions = {}) {
  const { expose } = definitions();
  const app = await openApp({ ...options, router: { expose, ...router } });
  const as =
    (user: string) =>
    async (method: string, path: string, more: RequestInit = {}) => {
      const headers = { "x-user": user, ...(more.headers as Record<string, string>) };
      const response = await fetch(`${app.url}/runners${path}`, { ...more, method, headers });
      const body = await response.text();
      const isJson = response.headers.get("content-type")?.startsWith("application/json") && body !== "";
      return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(body) : body };
    };
  const ann = as("ann");
  const create = (path: string, input?: unknown, headers: Record<string, string> = {}, ask = ann) =>
    ask("POST", path, { headers: { ...json, ...headers }, body: JSON.stringify(input) ?? "" });
  /** Creates from `count`, and waits until everything is there. */
  const count = async (to: number) => {
    const { body } = await create("/count?max-items=1", { to });
    while (!(await ann("GET", `/${body.key}/state`)).body.isBackgroundCompleted);
    return body.key as string;
  };
  return { ...app, ann, bob: as("bob"), create, count };
}

/** The handler without a server; requests are Ann's. */
function openHandler(host: ActiveSessionsOptions = {}) {
  const sessions = openHost({ cleanupTimeout: Number.POSITIVE_INFINITY, ...(host as object) });
  const { sources, expose } = definitions();
  const handle = createRunnerHandler(inside(sessions), { expose });
  const ask = (method: string, path: string, more: WireOptions = {}) => {
    const [address, query] = path.split("?");
    const [key, action] = address!.split("/");
    return handle(wireRequest(sessions, key!, { method, action, query: new URLSearchParams(query), ...more }));
  };
  return { sessions, sources, ask };
}

describe("the document", () => {
  test.each([
    ["- One (P1)\n- Two\n  lines (P2)", ["a (P1)", "b P2"], ""],
    ["- One (P1)\n\n| two | (P2) |", ["P1, P2: a"], ""],
    ["- One (P1)\n- Two (P2)", ["a (P1)"], "P2 has no test"],
    ["- One (P1)\n- Two", ["a (P1)"], "has no number: - Two"],
    ["- One (P1)\n- Two (P1)", ["a (P1)"], "P1 is there twice"],
    ["- One (P1)", ["a (P1)", "b (P2)"], "test/some.test.ts: b (P2): there is no P2"],
  ])("is checked: %j with the tests %j", (document, names, problem) => {
    const folder = mkdtempSync(join(tmpdir(), "active-session-protocol-"));
    atEnd(() => rmSync(folder, { recursive: true, force: true }));
    mkdirSync(join(folder, "docs"));
    writeFileSync(join(folder, "docs/protocol.md"), `${document}\n`);
    const tests = names.map((title) => ({ ancestorTitles: [], title, status: "passed" }));
    const report = { testResults: [{ name: join(folder, "test/some.test.ts"), assertionResults: tests }] };
    writeFileSync(join(folder, ".test-report.json"), JSON.stringify(report));
    const script = join(root, "scripts/protocol.mjs");
    const { status, stderr } = spawnSync(process.execPath, [script], { cwd: folder, encoding: "utf8" });
    expect([status, stderr.trim()]).toEqual([problem === "" ? 0 : 1, problem]);
  });

  test("gives each code its status (P153, P154, P155, P156, P157, P158, P159, P160, P161, P162, P163)", () => {
    const rows = [...text.matchAll(/^\| (\d{3}(?:, \d{3})*) \| (.*) \|$/gm)];
    const listed = rows.flatMap(([, statuses, cell]) => {
      const codes = [...cell!.matchAll(/`([A-Z]+(?:_[A-Z]+)+)`/g)].map(([, code]) => code as keyof typeof statusByCode);
      for (const code of codes) expect(statuses!.split(", ")).toContain(String(statusByCode[code]));
      return codes;
    });
    // The others are never an answer of these routes: they are the application's own, a client's, or not of HTTP at all.
    const others = ["INVALID_OPTION", "INVALID_SOURCE", "INVALID_IDENTITY", "IDENTITY_TOO_LATE", "OUT_OF_SCOPE"].concat(
      "IDENTITY_PENDING",
      "NO_IDENTITY",
    );
    const ofWork = ["RUNNER_FAILED", "RUNNER_TOO_LARGE"];
    const more = [
      "NOT_INSTALLED",
      "READ_CONFLICT",
      "UNAUTHORIZED",
      "UNEXPECTED_RESPONSE",
      "SERVER_UNAVAILABLE",
      ...ofWork,
    ];
    expect([...listed, ...others, ...more].sort()).toEqual([...errorCodes].sort());
  });

  test("names all headers, and each answer exposes them (P166)", async () => {
    const { ann } = await open();
    const { headers } = await ann("GET", "");
    const exposed = headers.get("access-control-expose-headers")!.split(", ");
    expect(exposed.sort()).toEqual(["ETag", "Location", "Retry-After", ...Object.values(headerNames)].sort());
    for (const name of exposed) expect(text).toContain(`\`${name}`);
    const named = new Set([...text.matchAll(/`((?:Stream|Runner)-[A-Z][A-Za-z-]+)/g)].map(([, name]) => name!));
    const ofTheWritePath = ["Stream-TTL", "Stream-Expires-At", "Stream-Seq", "Stream-Forked-From"];
    const ofRequests = [labelHeader];
    expect([...named].filter((name) => !exposed.includes(name)).sort()).toEqual(
      [...ofTheWritePath, ...ofRequests].sort(),
    );
  });
});

describe("addresses", () => {
  test("P1, P122: the mount itself lists the client's runners, the newest first", async () => {
    const { ann, bob, create } = await open();
    const keys = [await create("/live?timeout=0"), await create("/count?max-items=1", { to: 5 })].map(
      (it) => it.body.key,
    );
    const { status, body } = await ann("GET", "");
    expect([status, body.map(({ key }: { key: string }) => key)]).toEqual([200, keys.reverse()]);
    for (const state of body) expect(state).toEqual((await ann("GET", `/${state.key}/state`)).body);
    expect((await ann("GET", "/")).body).toEqual(body);
    expect(await bob("GET", "")).toMatchObject({ status: 200, body: [] });
  });

  test("P10: other methods than GET there are the application's, and so is its home page", async () => {
    const { ann } = await open({ routes: (app) => void app.use((_, response) => void response.status(418).end()) });
    for (const method of ["POST", "PUT", "DELETE", "HEAD"]) expect((await ann(method, "")).status).toBe(418);
    const sessions = openHost();
    const { url } = await openApp({
      sessions,
      routes: (app) => void app.use(runnerRouter(sessions)).use((_, response) => void response.status(418).end()),
    });
    expect((await fetch(`${url}/`)).status).toBe(418);
  });

  test("P8, P9, P11: a definition's address is for POST, and so is its abort; there is nothing else", async () => {
    const { ann } = await open();
    for (const [method, path] of [
      ["GET", ""],
      ["HEAD", ""],
      ["PUT", ""],
      ["DELETE", ""],
      ["GET", "/abort"],
    ] as const) {
      const { status, headers } = await ann(method, `/count${path}`);
      expect([status, headers.get("allow"), headers.get("runner-error-code")]).toEqual([
        405,
        "POST",
        "METHOD_NOT_ALLOWED",
      ]);
    }
    for (const path of ["/count/state", "/count/ack", "/count/", "/count/abort/x", "/COUNT", "/%63ount", "/other"]) {
      expect((await ann("POST", path, { headers: json })).status, path).toBe(path === "/%63ount" ? 405 : 404);
    }
    for (const path of ["/COUNT", "/other"]) {
      const { headers } = await ann("POST", path, { headers: json });
      expect(headers.get("runner-error-code")).toBe("UNKNOWN_DEFINITION");
    }
  });

  test("P12: unknown parameters are ignored", async () => {
    const { ann, count } = await open();
    const key = await count(3);
    for (const live of ["", "&live=long-poll", "&live=sse"]) {
      expect((await ann("GET", `/${key}?offset=0${live}&new=1&new=2&min-itms=x`)).status).toBe(200);
    }
  });

  test("P13: a key goes into an address as it is", async () => {
    const { sessions } = openHandler();
    for (const session of [await sessions.get("Ann/ä?"), await sessions.get("ann", "a_Z-9")]) {
      const { key } = await session.createSequenceRunner([1]);
      expect(key).toMatch(/^\d[A-Za-z0-9._-]+$/);
      expect(new URL(key, "http://x/runners/").pathname).toBe(`/runners/${key}`);
    }
  });
});

describe("reading", () => {
  test("P67: a long-poll has an ETag, and does not look at one", async () => {
    const { ann, count } = await open();
    const key = await count(3);
    const first = await ann("GET", `/${key}?offset=0&live=long-poll`);
    const etag = first.headers.get("etag")!;
    expect(etag).toMatch(/^".+"$/);
    const headers = { "if-none-match": etag };
    expect(await ann("GET", `/${key}?offset=0&live=long-poll`, { headers })).toMatchObject({
      status: 200,
      body: [1, 2, 3],
    });
  });

  test("P73, P74: an event holds a quarter of the ahead limit, about 64 KiB, one item at least; no id is looked at", async () => {
    const { ann, user } = await open();
    const { session } = await user("ann");
    const sizes = async (items: unknown[], aheadLimit: number, headers = {}) => {
      const runner = await session.createSequenceRunner(items, { aheadLimit, retain: "all" });
      while ((await runner.state()).progress.current < Math.min(items.length, aheadLimit)) await turns(1);
      const { body } = await ann("GET", `/${runner.key}?offset=0&live=sse`, { headers });
      return [...String(body).matchAll(/^data:(\[.*\])$/gm)].map(([, data]) => JSON.parse(data!).length);
    };
    expect(await sizes(range(0, 100), 40)).toEqual([10, 10, 10, 10]);
    expect(await sizes(range(0, 10), 3)).toEqual([1, 1, 1]);
    expect(await sizes(Array(8).fill("x".repeat(30_000)), 1000)).toEqual([2, 2, 2, 2]);
    expect(await sizes(["x", "x".repeat(200_000), "x"], 1000)).toEqual([1, 1, 1]);
    expect(await sizes(range(0, 5), 1000, { "last-event-id": offset(3) })).toEqual([5]);
  });

  test("P94, P123: state and list acknowledge nothing and are no use", async () => {
    vi.useFakeTimers();
    const { sessions, ask } = openHandler({ finishedTimeout: 10_000 });
    const runner = await (await sessions.get("ann")).createSequenceRunner([1, 2]);
    await runner.getRequired({ advance: 2 });
    vi.advanceTimersByTime(9_999);
    await ask("GET", `${runner.key}/state`);
    expect(JSON.parse(String((await ask("GET", "")).body))).toHaveLength(1);
    expect([(await inside(runner).logState()).acknowledged, inside(runner).retained]).toEqual([0, 2]);
    vi.advanceTimersByTime(1);
    expect(JSON.parse(String((await ask("GET", "")).body))).toHaveLength(0);
  });

  test("P56: a 304 acknowledges as its page does", async () => {
    const { ann, count } = await open();
    const key = await count(3);
    const { headers } = await ann("GET", `/${key}?offset=2`);
    await ann("GET", `/${key}?offset=2`, { headers: { "if-none-match": headers.get("etag")! } });
    expect((await ann("GET", `/${key}?offset=1`)).status).toBe(410);
  });

  test("P97: an acknowledgement holds for every reader; only a runner that retains has something for a second one", async () => {
    const { ann, user } = await open();
    const { session } = await user("ann");
    for (const retain of ["unacknowledged", "all"] as const) {
      const { key } = await session.createSequenceRunner(range(0, 5), { retain });
      await ann("GET", `/${key}?offset=0`);
      await ann("POST", `/${key}/ack?offset=4`);
      const { status, headers } = await ann("GET", `/${key}?offset=1`);
      expect([status, headers.get("runner-first-offset")]).toEqual(
        retain === "all" ? [200, offset(0)] : [410, offset(4)],
      );
    }
  });

  test("P112: a failure's message is percent-encoded in the header, and as it is in the event", async () => {
    const { ann, user } = await open();
    const { session } = await user("ann");
    for (const [message, shown] of [
      ["Größe: 100 %, “Ω” 😀\r\nX: y", "Größe: 100 %, “Ω” 😀\r\nX: y"],
      ["x".repeat(1500), "x".repeat(1000)],
    ] as const) {
      const failing = () => Promise.reject(Object.assign(new Error(message), { expose: true }));
      const { key } = await session.createProcessRunner(failing);
      const { status, headers } = await ann("GET", `/${key}?offset=0&live=long-poll`);
      expect([status, headers.get("runner-error-code")]).toEqual([204, "RUNNER_FAILED"]);
      expect(headers.get("runner-error-message")).toMatch(/^[\x21-\x7e]+$/);
      expect(decodeURIComponent(headers.get("runner-error-message")!)).toBe(shown);
      expect(headers.get("x")).toBeNull();
      const events = String((await ann("GET", `/${key}?offset=0&live=sse`)).body);
      expect(JSON.parse(/^data:(\{.*)$/m.exec(events)![1]!).runnerErrorMessage).toBe(message);
    }
  });

  test.each(["completed", "failed", "aborted"])(
    "P115: a %s runner can be read until it was not used for its time",
    async (status) => {
      vi.useFakeTimers();
      const { sessions, ask } = openHandler({ finishedTimeout: 10_000 });
      const source = new PushSource<number>();
      const runner = await (await sessions.get("ann")).createSequenceRunner(source);
      source.push(1);
      while ((await runner.state()).progress.current < 1) await turns(1);
      await ask("GET", `${runner.key}?offset=0`);
      if (status === "completed") source.end();
      else if (status === "failed") source.fail(new Error("broken"));
      else await runner.abort();
      await runner.cleanup;
      for (let i = 0; i < 3; i++) {
        vi.advanceTimersByTime(9_999);
        const page = await ask("GET", `${runner.key}?offset=0`);
        expect(page).toMatchObject({ status: 200, body: "[1]", headers: { "Runner-Status": status } });
      }
      vi.advanceTimersByTime(10_000);
      expect((await ask("GET", `${runner.key}?offset=0`)).status).toBe(410);
    },
  );
});

describe("creation", () => {
  test("P2, P130: takes JSON only, uncompressed; nothing is no input", async () => {
    const { ann, create } = await open();
    const types = [
      "text/plain",
      "application/x-www-form-urlencoded",
      "application/json; charset=latin1",
      "application/jsonx",
      "",
    ];
    for (const type of types) {
      const { status, body } = await create("/echo", 1, { "content-type": type });
      expect([type, status, body.code]).toEqual([type, 415, "UNSUPPORTED_MEDIA_TYPE"]);
    }
    const zipped = { headers: { ...json, "content-encoding": "gzip" }, body: gzipSync("1") };
    expect((await ann("POST", "/echo", zipped)).status).toBe(415);
    for (const type of ["application/json", 'Application/JSON; charset="UTF-8"', "application/json;charset=utf-8"]) {
      expect((await create("/echo", { ä: 1 }, { "content-type": type })).body.items).toEqual([{ ä: 1 }]);
    }
    expect((await create("/echo")).body.items).toEqual([null]);
  });

  test("P131, P159: a body has its limit", async () => {
    const { create } = await open();
    expect((await create("/echo", "x".repeat(102_398))).status).toBe(200);
    const { status, body } = await create("/echo", "x".repeat(102_399));
    expect([status, body.code]).toEqual([413, "PAYLOAD_TOO_LARGE"]);
  });

  test("P132, P160: what is not valid is told with its issues, and makes nothing", async () => {
    const { ann, create, sessions } = await open();
    const malformed = await ann("POST", "/count", { headers: json, body: "{" });
    expect(malformed).toMatchObject({
      status: 422,
      body: { code: "INVALID_INPUT", issues: [{ message: expect.any(String) }] },
    });
    const wrong = await create("/count", { to: -1 });
    expect(wrong).toMatchObject({ status: 422, body: { code: "INVALID_INPUT", issues: [{ path: ["to"] }] } });
    expect(sessions.stats()).toMatchObject({ sessions: 0, runners: 0 });
  });

  test("P133: waits a second for as many items as a read gives by default, or as the request says", async () => {
    vi.useFakeTimers();
    const { sources, ask } = openHandler();
    const create = async (query: string) => {
      const answer = ask("POST", `live${query}`, { headers: json });
      await turns();
      return { answer, source: sources.at(-1)! };
    };
    const none = await create("");
    vi.advanceTimersByTime(999);
    expect(await isPending(none.answer)).toBe(true);
    vi.advanceTimersByTime(1);
    expect(await none.answer).toMatchObject({ status: 201, body: expect.stringContaining('"items":[]') });
    const byDefault = await create("?timeout=60");
    byDefault.source.push(...range(0, 19));
    expect(await isPending(byDefault.answer)).toBe(true);
    byDefault.source.push(19);
    expect(JSON.parse(String((await byDefault.answer).body)).items).toEqual(range(0, 20));
    const two = await create("?min-items=2&max-items=2&timeout=60");
    two.source.push("a");
    expect(await isPending(two.answer)).toBe(true);
    two.source.push("b");
    expect(JSON.parse(String((await two.answer).body)).items).toEqual(["a", "b"]);
    for (const query of ["?timeout=61", "?timeout=x", "?min-items=0", "?min-items=10001", "?max-items=0"]) {
      expect((await (await create(query)).answer).status, query).toBe(400);
    }
    expect(JSON.parse(String((await ask("POST", "job", { headers: json })).body)).items).toEqual(["done"]);
  });

  test("P134, P136: is answered with the first page, and where to go on", async () => {
    const { ann, create, url } = await open();
    const { status, headers, body } = await create("/count?max-items=2", { to: 5 });
    const { key } = body;
    expect(status).toBe(201);
    expect(body).toEqual({
      ...{ key, name: "count", kind: "sequence", status: "progressed", offset: 0, position: 2 },
      ...{ progress: expect.objectContaining({ current: expect.any(Number) }), closed: false, items: [1, 2] },
      phase: expect.any(String),
      isBackgroundCompleted: expect.any(Boolean),
    });
    const location = new URL(headers.get("location")!, `${url}/runners/count?max-items=2`);
    expect(location.href).toBe(`${url}/runners/${key}`);
    const shown = [
      "stream-next-offset",
      "runner-status",
      "runner-progress",
      "runner-first-offset",
      "stream-closed",
      "etag",
    ];
    expect(shown.map((name) => headers.get(name))).toEqual([
      ...[offset(2), "progressed", String(body.progress.current), offset(0), null, null],
    ]);
    expect(headers.get("stream-cursor")).toMatch(/^\d+$/);
    const rest = await ann("GET", `/${key}?offset=${body.position}&live=long-poll&min-items=3`);
    expect(rest.body).toEqual([3, 4, 5]);
  });

  test("P135: of what has fitted keeps nothing, unless it may be repeated", async () => {
    const { create, sessions } = await open();
    const whole = await create("/count", { to: 3 });
    expect(whole).toMatchObject({ status: 200, body: { items: [1, 2, 3], closed: true, status: "completed" } });
    expect(whole.body).not.toHaveProperty("key");
    expect([whole.headers.get("location"), sessions.stats().runners]).toEqual([null, 0]);
    const kept = await create("/count", { to: 3 }, { "idempotency-key": "a" });
    expect(kept).toMatchObject({ status: 200, body: { items: [1, 2, 3], closed: true, key: expect.any(String) } });
    expect([kept.headers.get("location"), sessions.stats().runners]).toEqual([kept.body.key, 1]);
  });

  test("P137: with an idempotency key gives the same runner, from what it still keeps", async () => {
    const { ann, create, sessions } = await open();
    const ask = (key: string) => create("/count?max-items=2", { to: 5 }, { "idempotency-key": key });
    const first = await ask("7f3a!#'~");
    expect((await ask('"7f3a!#\'~"')).body).toMatchObject({ key: first.body.key, offset: 0, items: [1, 2] });
    await ann("GET", `/${first.body.key}?offset=1&live=long-poll&min-items=4`);
    expect((await ask("7f3a!#'~")).body).toMatchObject({ key: first.body.key, offset: 1, position: 3, items: [2, 3] });
    expect((await ask("x".repeat(255))).status).toBe(201);
    expect(sessions.stats().runners).toBe(2);
    for (const key of ["", '""', "a b", 'a"b', "ä", "x".repeat(256)]) {
      expect(await ask(key), key).toMatchObject({ status: 400, body: { code: "INVALID_ARGUMENT" } });
    }
  });

  test("P138, P160: an idempotency key stands for one body, of one definition, of one identity", async () => {
    const { bob, create } = await open();
    const once = { "idempotency-key": "a" };
    const first = await create("/count?max-items=1", { to: 5 }, once);
    const other = await create("/count?max-items=1", { to: 6 }, once);
    expect([other.status, other.body.code]).toEqual([422, "IDEMPOTENCY_KEY_REUSED"]);
    const keys = [first, await create("/echo", 1, once), await create("/count", { to: 6 }, once, bob)].map(
      (it) => it.body.key,
    );
    expect(new Set(keys).size).toBe(3);
  });

  test("P139: a runner that is gone is not made again; what has failed may be", async () => {
    const { ann, create, sessions } = await open();
    const once = { "idempotency-key": "a" };
    const { key } = (await create("/count", { to: 5 }, once)).body;
    await ann("DELETE", `/${key}`);
    const again = await create("/count", { to: 5 }, once);
    expect([again.status, again.body.code, sessions.stats().runners]).toEqual([410, "RUNNER_GONE", 0]);
    const failed = await create("/shaky", 1, once);
    expect(failed.status).toBe(500);
    expect(JSON.stringify(failed.body)).not.toContain("swordfish");
    expect(await create("/shaky", 1, once)).toMatchObject({ status: 200, body: { items: [1] } });
  });

  test("P139: of those that are over, the last 256 are remembered", async () => {
    const { ask } = openHandler();
    const headers = (key: number) => ({ ...json, "idempotency-key": String(key) });
    for (const key of range(0, 257)) await ask("POST", "echo/abort", { headers: headers(key) });
    expect((await ask("POST", "echo", { headers: headers(1) })).status).toBe(409);
    expect((await ask("POST", "echo", { headers: headers(0) })).status).toBe(200);
  });

  test("P3, P16, P140, P157: is stopped by its idempotency key, before or after it was asked for", async () => {
    const { ann, bob, create, sessions } = await open();
    const stop = (key: string | undefined, ask = ann) =>
      ask("POST", "/live/abort", { headers: key === undefined ? {} : { "idempotency-key": key } });
    const { key } = (await create("/live?timeout=0", undefined, { "idempotency-key": "a" })).body;
    expect(await stop("a")).toMatchObject({ status: 200, body: { key, status: "aborted", abortReason: "stopped" } });
    expect(await stop("b")).toMatchObject({ status: 204, body: "" });
    const late = await create("/live?timeout=0", undefined, { "idempotency-key": "b" });
    expect([late.status, late.body.code]).toEqual([409, "RUNNER_ABORTED"]);
    expect((await stop(undefined)).status).toBe(400);
    expect((await stop("a", bob)).status).toBe(204); // his own key, which stands for nothing yet
    expect(sessions.stats().sessions).toBe(2);
    const { ask } = openHandler();
    const stranger = await ask("POST", "live/abort", { identity: undefined, headers: { "idempotency-key": "a" } });
    expect(stranger.status).toBe(404);
  });

  test("P20, P24: may not come from another site", async () => {
    const { create, sessions } = await open();
    const { status, body } = await create("/count", { to: 5 }, { "sec-fetch-site": "cross-site" });
    expect([status, body.code]).toEqual([403, "CROSS_SITE_REQUEST"]);
    expect(sessions.stats().sessions).toBe(0);
  });

  test("P15, P16, P141: sets the cookie of a client that has none, and knows it by that only", async () => {
    const { create, ann, sessions } = await open({ middleware: {} });
    const once = { "idempotency-key": "a" };
    const first = await create("/count?max-items=1", { to: 5 }, once);
    const [cookie, ...more] = first.headers.getSetCookie().map((header) => header.split(";", 1)[0]!);
    expect([cookie, more]).toEqual([expect.stringMatching(/^active-session=[\w.-]{34}$/), []]);
    const again = await create("/count?max-items=1", { to: 5 }, { ...once, cookie: cookie! });
    expect([again.body.key, again.headers.getSetCookie()]).toEqual([first.body.key, []]);
    const lost = await create("/count?max-items=1", { to: 5 }, once);
    expect(lost.headers.getSetCookie()).toHaveLength(1);
    expect([lost.body.key === first.body.key, sessions.stats().sessions]).toEqual([false, 2]);
    for (const [method, path] of [
      ["GET", ""],
      ["GET", `/${first.body.key}`],
      ["POST", "/count/abort"],
    ] as const) {
      expect((await ann(method, path, { headers: once })).headers.getSetCookie()).toEqual([]);
    }
    expect(sessions.stats().sessions).toBe(2);
  });
});

describe("errors", () => {
  test("P150: have their code in the body and in a header; HEAD in the header", async () => {
    const { ann, create, count } = await open();
    const key = await count(5);
    const answers = [
      await ann("GET", `/${key}?offset=x`),
      await ann("GET", `/${key}?offset=9`),
      await ann("POST", `/${key}/abort`, { headers: { "sec-fetch-site": "cross-site" } }),
      await ann("GET", "/unknown"),
      await ann("PUT", `/${key}`),
      await create("/count", 1, { "content-type": "text/plain" }),
      await create("/count", 1),
      await create("/shaky"),
    ];
    await ann("DELETE", `/${key}`);
    answers.push(await ann("GET", `/${key}`));
    expect(answers.map(({ status }) => status)).toEqual([400, 400, 403, 404, 405, 415, 422, 500, 410]);
    for (const { headers, body } of answers) {
      expect(body).toMatchObject({ code: headers.get("runner-error-code"), message: expect.any(String) });
    }
    const head = await ann("HEAD", `/${key}`);
    expect([head.status, head.headers.get("runner-error-code"), head.body]).toEqual([410, "RUNNER_GONE", ""]);
  });

  test("P151: of the application have no such header", async () => {
    const sessions = openHost();
    const { url } = await openApp({ sessions, routes: (app) => void app.use("/bare", runnerRouter(openHost())) });
    for (const [path, status] of [
      ["/nothing", 404],
      ["/bare/0-1-x", 500],
    ] as const) {
      const response = await fetch(url + path);
      expect([response.status, response.headers.get("runner-error-code")]).toEqual([status, null]);
      await response.text();
    }
  });

  test.each([
    ["P161", { runnersPerClient: 1 }, 429, "CLIENT_LIMIT_REACHED"],
    ["P163", { runners: 1 }, 503, "SERVER_LIMIT_REACHED"],
  ])("%s: a limit that is reached says when to come back: %o (P161, P163)", async (_, limits, status, code) => {
    const { create } = await open({ sessions: openHost({ limits }) });
    expect((await create("/live?timeout=0")).status).toBe(201);
    const refused = await create("/live?timeout=0");
    expect([refused.status, refused.body.code, refused.headers.get("retry-after")]).toEqual([status, code, "5"]);
  });

  test("P163, P181: a server that closes creates nothing, and keeps nothing", async () => {
    const { ann, create, sessions } = await open();
    const { key } = (await create("/count?max-items=1", { to: 5 })).body;
    await sessions.close();
    const { status, body, headers } = await create("/count", { to: 5 });
    expect([status, body.code, headers.get("retry-after")]).toEqual([503, "HOST_CLOSED", "5"]);
    expect((await ann("GET", `/${key}`)).status).toBe(410);
  });
});

describe("a robust client", () => {
  test("P172, P170: takes a stream that has gone silent as dead, and goes on from the last control event", async () => {
    vi.useFakeTimers();
    const control = { streamNextOffset: offset(2), runnerStatus: "stalled", runnerProgress: 2 };
    const piece = `event: data\ndata:[1,2]\n\nevent: control\ndata:${JSON.stringify(control)}\n\nevent: data\ndata:[3]\n\n`;
    const asked: (string | null)[] = [];
    const silent = async (url: string | URL | Request, init?: RequestInit) => {
      asked.push(new URL(String(url)).searchParams.get("offset"));
      const start = (body: ReadableStreamDefaultController<Uint8Array>) => {
        body.enqueue(new TextEncoder().encode(piece));
        init?.signal?.addEventListener("abort", () => body.error(init.signal?.reason), { once: true });
      };
      const body = new ReadableStream({ start });
      return new Response(body, { headers: { "content-type": "text/event-stream" } });
    };
    const follower = createClient("http://server.example/runners", { fetch: silent }).follow<number>("0-1-x");
    const updates = follower.updates();
    expect((await updates.next()).value).toMatchObject({ items: [1, 2] });
    const next = updates.next();
    await turns();
    vi.advanceTimersByTime(44_999);
    expect(await isPending(next)).toBe(true);
    vi.advanceTimersByTime(1);
    await turns();
    vi.advanceTimersByTime(10_000); // its back-off
    await next;
    expect(asked.map(Number)).toEqual([-1, 2]);
    await updates.return();
  });
});

describe("what is not there", () => {
  test("P180, P181: nothing can be appended, closed, forked or given another life or type", async () => {
    const { ann, count } = await open();
    const key = await count(2);
    const headers = {
      ...json,
      "stream-closed": "true",
      "stream-ttl": "1",
      "stream-seq": "1",
      "stream-forked-from": "/x",
    };
    const producer = { "producer-id": "a", "producer-epoch": "0", "producer-seq": "0" };
    for (const method of ["PUT", "POST", "PATCH"]) {
      expect((await ann(method, `/${key}`, { headers: { ...headers, ...producer }, body: "[3]" })).status).toBe(405);
    }
    const page = await ann("GET", `/${key}?offset=0`, { headers: { ...headers, accept: "text/plain" } });
    expect([page.body, page.headers.get("content-type")]).toEqual([
      [1, 2],
      expect.stringMatching(/^application\/json/),
    ]);
    expect(page.headers.get("stream-ttl")).toBeNull();
  });
});
