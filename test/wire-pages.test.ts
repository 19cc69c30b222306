/** Pages, HEAD, state, acknowledgement, abort and removal over real HTTP. */
import { describe, expect, test } from "vitest";
import { createDeferred } from "../src/base/async.js";
import type { Runner } from "../src/runner/runner.js";
import type { RunnerOptions } from "../src/session/options.js";
import { atEnd } from "./support/cleanup.js";
import { PushSource, turns } from "./support/control.js";
import { openApp, type TestAppOptions } from "./support/server.js";

const offset = (position: number) => String(position).padStart(16, "0");

/** What an answer says of the stream, without what is always the same or never. */
function facts({ status, headers }: Response) {
  const shown = ["next-offset", "up-to-date", "closed"].map((name) => `stream-${name}`);
  const ours = ["status", "progress", "estimated-end", "error-code", "first-offset"].map((name) => `runner-${name}`);
  const values = [...shown, ...ours].map((name) => [name.replace(/^stream-|^runner-/, ""), headers.get(name)]);
  return { code: status, ...Object.fromEntries(values.filter(([, value]) => value !== null)) };
}

/** Ann's application; `get` asks for a runner of hers. */
async function open(options?: TestAppOptions) {
  const app = await openApp(options);
  const ann = await app.user("ann");
  const ask =
    (method: string) =>
    async (runner: Runner, rest: string, headers: Record<string, string> = {}) => {
      const response = await ann.fetch(`/runners/${runner.key}${rest}`, { method, headers });
      const text = await response.text();
      return { response, ...facts(response), body: text && JSON.parse(text) };
    };
  /** A runner whose source has given these items and ended. */
  const ended = async <T>(items: Iterable<T>, runnerOptions?: RunnerOptions) => {
    const runner = await ann.session.createSequenceRunner<T>(items, runnerOptions);
    await runner.cleanup;
    return runner;
  };
  /** A runner whose source has given these items and goes on. */
  const running = async <T>(items: T[], runnerOptions?: RunnerOptions) => {
    const source = new PushSource<T>();
    const runner = await ann.session.createSequenceRunner(source, runnerOptions);
    source.push(...items);
    await produced(runner, items.length);
    return { runner, source };
  };
  return { ...app, ann, ended, running, get: ask("GET"), post: ask("POST"), head: ask("HEAD"), remove: ask("DELETE") };
}

/** Where a runner stands; the assertions' own way of looking does not work with private fields. */
function standing({ status, position, abortReason }: Runner) {
  return { status, position, abortReason };
}

/** Waits until the producer has come so far. */
async function produced(runner: Runner, count: number): Promise<void> {
  while ((await runner.state()).progress.current < count) await turns(1);
}

const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe("pages", () => {
  test("lead through a running sequence one after the other (P40, P45, P46, P47, P49, P50, P51, P55, P110)", async () => {
    const { get, running } = await open();
    const { runner, source } = await running(range(0, 5));
    const first = await get(runner, "?offset=-1&max-items=3");
    expect(first).toMatchObject({ code: 200, body: [0, 1, 2], "next-offset": offset(3), status: "progressed" });
    expect(first).not.toHaveProperty("up-to-date");
    expect(first).not.toHaveProperty("closed");
    const second = await get(runner, `?offset=${first["next-offset"]}`);
    expect(second).toMatchObject({ body: [3, 4], "next-offset": offset(5), status: "stalled", "up-to-date": "true" });
    expect(second).not.toHaveProperty("closed");
    expect(second.progress).toBe("5");
    const empty = await get(runner, `?offset=${offset(5)}`);
    expect(empty).toMatchObject({ code: 200, body: [], "next-offset": offset(5), status: "stalled" });
    source.push(5);
    source.end();
    await runner.cleanup;
    const last = await get(runner, `?offset=${offset(5)}`);
    expect(last).toMatchObject({ body: [5], "next-offset": offset(6), status: "completed", closed: "true" });
    expect(last).toMatchObject({ "up-to-date": "true", progress: "6", "estimated-end": "6" });
    expect(await get(runner, "?offset=6")).toMatchObject({ code: 200, body: [], status: "completed", closed: "true" });
  });

  test("speak for themselves: only the one that reaches the end is closed (P54)", async () => {
    const { get, ended } = await open();
    const runner = await ended(range(0, 4), { retain: "all" });
    const part = await get(runner, "?offset=0&max-items=2");
    expect(part).toMatchObject({ status: "progressed", body: [0, 1] });
    expect(part).not.toHaveProperty("closed");
    expect(await get(runner, "?offset=2")).toMatchObject({ status: "completed", closed: "true" });
    expect(await get(runner, "?offset=0&max-items=2")).toMatchObject({ status: "progressed", body: [0, 1] });
  });

  test("tell that the work waits until items are acknowledged, as the state does (P121, P196)", async () => {
    const { get, running } = await open();
    const { runner } = await running([0, 1], { aheadLimit: 2 });
    const { response } = await get(runner, "?offset=0");
    expect(response.headers.get("runner-paused")).toBe("true");
    expect((await get(runner, "/state")).body).toMatchObject({ phase: "running", paused: true });
    expect((await get(runner, "?offset=2")).response.headers.has("runner-paused")).toBe(false);
    expect((await get(runner, "/state")).body).not.toHaveProperty("paused");
  });

  test("tell how many items there will be, once the source has told it (P51)", async () => {
    const { get, ann } = await open();
    const opened = createDeferred<void>();
    const runner = await ann.session.createSequenceRunner(async function* ({ total }) {
      total(3);
      yield 1;
      await opened.promise;
      total(2);
      yield 2;
    });
    await produced(runner, 1);
    expect(await get(runner, "?offset=0")).toMatchObject({ progress: "1", "estimated-end": "3" });
    opened.resolve();
    await runner.cleanup;
    expect(await get(runner, "?offset=1")).toMatchObject({ progress: "2", "estimated-end": "2", closed: "true" });
  });

  test("are JSON", async () => {
    const { get, ended } = await open();
    const { response } = await get(await ended(['ä \u2028 "\n']), "");
    expect(response.headers.get("content-type")).toMatch(/^application\/json/);
  });

  test("without an offset begin at the beginning, as with -1 (P31, P32)", async () => {
    const { get, ended } = await open();
    const runner = await ended(range(0, 3), { retain: "all" });
    for (const query of ["", "?offset=-1", "?offset=0", `?offset=${offset(0)}`]) {
      expect(await get(runner, query)).toMatchObject({ code: 200, body: [0, 1, 2] });
    }
  });

  test("hold as many items as the router allows, and a request may ask for fewer, not more (P41)", async () => {
    const { get, ended } = await open({ router: { pageLimit: 4 } });
    const runner = await ended(range(0, 10), { retain: "all" });
    expect((await get(runner, "?offset=0")).body).toEqual(range(0, 4));
    expect((await get(runner, "?offset=0&max-items=4")).body).toEqual(range(0, 4));
    expect((await get(runner, "?offset=0&max-items=1")).body).toEqual([0]);
    expect((await get(runner, "?offset=0&max-items=5")).code).toBe(400);
  });

  test("hold 1000 items by default (P41)", async () => {
    const { get, ended } = await open();
    const runner = await ended(range(0, 1500), { aheadLimit: 2000 });
    expect((await get(runner, "?offset=0")).body).toEqual(range(0, 1000));
    expect((await get(runner, "?offset=1000")).body).toEqual(range(1000, 1500));
  });

  test("can be read again when their answer was lost, also after the end, perhaps with later items behind them (P44)", async () => {
    const { get, running } = await open();
    const { runner, source } = await running(["a", "b"]);
    expect((await get(runner, "?offset=0")).body).toEqual(["a", "b"]);
    source.push("c");
    source.end();
    await runner.cleanup;
    expect((await get(runner, "?offset=0")).body).toEqual(["a", "b", "c"]);
    expect((await get(runner, "?offset=0")).body).toEqual(["a", "b", "c"]);
    expect((await get(runner, "?offset=2")).body).toEqual(["c"]);
    expect(await get(runner, "?offset=2")).toMatchObject({ body: ["c"], closed: "true", status: "completed" });
  });

  test("before the first item kept are gone, and the answer tells where to go on (P36, P90, P158)", async () => {
    const { get, running } = await open();
    const { runner } = await running(range(0, 5));
    await get(runner, "?offset=0");
    await get(runner, "?offset=3");
    for (const query of [
      "",
      "?offset=-1",
      "?offset=0",
      "?offset=2",
      "?offset=2&live=long-poll",
      "?offset=2&live=sse",
    ]) {
      const answer = await get(runner, query);
      expect(answer, query).toMatchObject({ code: 410, "first-offset": offset(3), body: { code: "POSITION_GONE" } });
    }
    expect((await get(runner, "?offset=3")).body).toEqual([3, 4]);
  });

  test("beyond the progress do not exist (P35)", async () => {
    const { get, running } = await open();
    const { runner } = await running([1, 2]);
    for (const query of ["?offset=3", "?offset=3&live=long-poll&timeout=0", "?offset=9007199254740991&live=sse"]) {
      expect(await get(runner, query)).toMatchObject({ code: 400, body: { code: "POSITION_AHEAD" } });
    }
    expect(runner.position).toBe(0);
  });

  test("keep what retain says (P52, P95)", async () => {
    const { get, running } = await open();
    const { runner } = await running(range(0, 6), { retain: 2 });
    await get(runner, "?offset=0");
    expect(await get(runner, "?offset=5")).toMatchObject({ body: [5], "first-offset": offset(3) });
    expect((await get(runner, "?offset=2")).code).toBe(410);
    expect((await get(runner, "?offset=3")).body).toEqual([3, 4, 5]);
  });

  test("of an aborted sequence show what had been handed out, and nothing behind it (P113)", async () => {
    const { get, running } = await open();
    const { runner } = await running(range(0, 6), { retain: "all" });
    await get(runner, "?offset=0&max-items=2");
    await runner.abort();
    expect(await get(runner, "?offset=0")).toMatchObject({
      body: [0, 1],
      status: "aborted",
      closed: "true",
      progress: "2",
    });
    expect(await get(runner, "?offset=2")).toMatchObject({ body: [], status: "aborted", closed: "true" });
    expect(await get(runner, "?offset=6")).toMatchObject({ body: [], closed: "true", "next-offset": offset(2) });
    expect((await get(runner, "?offset=7")).code).toBe(400);
  });

  test("of an empty sequence are closed at once", async () => {
    const { get, ended } = await open();
    const answer = await get(await ended([]), "?offset=0");
    expect(answer).toMatchObject({
      code: 200,
      body: [],
      closed: "true",
      status: "completed",
      "next-offset": offset(0),
    });
  });
});

describe("offset=now", () => {
  test("gives no items, only where the tail is (P33, P43, P56)", async () => {
    const { get, running } = await open();
    const { runner } = await running(range(0, 5));
    const answer = await get(runner, "?offset=now");
    expect(answer).toMatchObject({ code: 200, body: [], "next-offset": offset(5), "up-to-date": "true" });
    expect(answer).not.toHaveProperty("closed");
    expect(answer.response.headers.get("etag")).toBeNull();
  });

  test("acknowledges nothing and moves nothing, also at the end (P94)", async () => {
    const { get, ended } = await open();
    const runner = await ended(range(0, 5));
    expect(await get(runner, "?offset=now")).toMatchObject({ body: [], closed: "true", "next-offset": offset(5) });
    expect(standing(runner)).toMatchObject({ position: 0, status: "progressed" });
    expect((await get(runner, "?offset=0")).body).toEqual(range(0, 5));
  });
});

describe("the ETag", () => {
  const etagOf = ({ response }: { response: Response }) => response.headers.get("etag")!;

  test("spares a page that the client has (P56)", async () => {
    const { get, running } = await open();
    const { runner } = await running([1, 2]);
    const etag = etagOf(await get(runner, "?offset=0"));
    expect(etag).toMatch(/^"[^"]+"$/);
    for (const held of [etag, `"x", ${etag}`, `W/${etag}`, "*"]) {
      const answer = await get(runner, "?offset=0", { "if-none-match": held });
      expect(answer, held).toMatchObject({ code: 304, body: "", "next-offset": offset(2) });
      expect(etagOf(answer)).toBe(etag);
    }
    expect((await get(runner, "?offset=0", { "if-none-match": '"another"' })).code).toBe(200);
  });

  test("changes with new items, another slice, and another runner", async () => {
    const { get, running } = await open();
    const { runner, source } = await running([1, 2]);
    const { runner: other } = await running([1, 2]);
    const seen = [etagOf(await get(runner, "?offset=0")), etagOf(await get(other, "?offset=0"))];
    seen.push(etagOf(await get(runner, "?offset=0&max-items=1")));
    source.push(3);
    await produced(runner, 3);
    seen.push(etagOf(await get(runner, "?offset=0")), etagOf(await get(runner, "?offset=1")));
    expect(new Set(seen).size).toBe(seen.length);
  });

  test.each(["end", "fail", "abort"] as const)(
    "changes when the stream closes (%s), though no item is added (P57)",
    async (way) => {
      const { get, running } = await open();
      const { runner, source } = await running([1, 2]);
      const etag = etagOf(await get(runner, "?offset=0"));
      if (way === "abort") await runner.abort();
      else if (way === "end") source.end();
      else source.fail(new Error("broken"));
      await runner.cleanup;
      const answer = await get(runner, "?offset=0", { "if-none-match": etag });
      expect(answer).toMatchObject({ code: 200, body: [1, 2], closed: "true" });
      expect((await get(runner, "?offset=0", { "if-none-match": etagOf(answer) })).code).toBe(304);
    },
  );

  test("of a process changes with its value", async () => {
    const { get, ann } = await open();
    const more = createDeferred();
    const runner = await ann.session.createProcessRunner(async ({ report }) => {
      report("one");
      await more.promise;
      return "two";
    });
    const first = await get(runner, "?offset=0");
    expect((await get(runner, "?offset=0", { "if-none-match": etagOf(first) })).code).toBe(304);
    more.resolve();
    await runner.cleanup;
    expect((await get(runner, "?offset=0", { "if-none-match": etagOf(first) })).body).toEqual(["two"]);
  });
});

describe("the cursor", () => {
  test.each(["?offset=0", "?offset=now", "?offset=0&live=long-poll"])(
    "of %s runs ahead of the one echoed (P48, P58)",
    async (query) => {
      const { get, running } = await open();
      const { runner, source } = await running([1], { retain: "all" });
      const cursorOf = ({ response }: { response: Response }) => Number(response.headers.get("stream-cursor"));
      const first = cursorOf(await get(runner, query));
      expect(first).toBeGreaterThan(0);
      expect(cursorOf(await get(runner, `${query}&cursor=${first + 1000}`))).toBeGreaterThan(first + 1000);
      expect(cursorOf(await get(runner, `${query}&cursor=${first - 1000}`))).toBeGreaterThanOrEqual(first);
      for (const odd of ["x", "", "-5", "9".repeat(300)]) {
        expect((await get(runner, `${query}&cursor=${odd}`)).code).toBe(200);
      }
      source.end();
    },
  );
});

describe("what JSON cannot carry", () => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;

  test.each<[string, unknown]>([
    ["a BigInt", 5n],
    ["a cycle", cycle],
  ])("%s ends the page before it, and is refused when it is asked for (P116, P162)", async (_, item) => {
    const { get, ended } = await open();
    const runner = await ended([1, 2, item, 4], { retain: "all" });
    const first = await get(runner, "?offset=0");
    expect(first).toMatchObject({ code: 200, body: [1, 2], "next-offset": offset(2), status: "progressed" });
    expect(first).not.toHaveProperty("closed");
    expect(first).not.toHaveProperty("up-to-date");
    for (const mode of ["", "&live=long-poll", "&live=sse"]) {
      const answer = await get(runner, `?offset=2${mode}`);
      expect(answer).toMatchObject({ code: 500, body: { code: "RESULT_NOT_SERIALIZABLE" } });
    }
    expect((await get(runner, "?offset=3")).body).toEqual([4]);
  });

  test("is not handed out by a page that ends before it", async () => {
    const { get, ended, post } = await open();
    const runner = await ended([1, 2, 5n, 4]);
    await get(runner, "?offset=0");
    expect(standing(runner)).toMatchObject({ position: 2, status: "progressed" });
    expect(await post(runner, "/ack?offset=4")).toMatchObject({ code: 400, body: { code: "POSITION_AHEAD" } });
  });

  test("has a form where JSON knows one: a Date is its ISO text, undefined is null (P117)", async () => {
    const { get, ended } = await open();
    const runner = await ended([new Date(Date.UTC(2024, 1, 29)), undefined, Number.NaN]);
    expect((await get(runner, "")).body).toEqual(["2024-02-29T00:00:00.000Z", null, null]);
  });

  test("as the value of a process is refused", async () => {
    const { get, ann } = await open();
    const runner = await ann.session.createProcessRunner(async () => 5n);
    await runner.cleanup;
    expect(await get(runner, "?offset=0")).toMatchObject({ code: 500, body: { code: "RESULT_NOT_SERIALIZABLE" } });
    expect(await get(runner, "?offset=1")).toMatchObject({ code: 200, body: [], closed: "true" });
  });
});

describe("a failed runner", () => {
  const secret = Object.assign(new Error("the password is swordfish"), { host: "db.internal" });

  test("shows its items first, then that it failed (P53, P111)", async () => {
    const { get, running } = await open();
    const { runner, source } = await running([1, 2, 3]);
    source.fail(secret);
    await runner.cleanup;
    const first = await get(runner, "?offset=0&max-items=2");
    expect(first).toMatchObject({ code: 200, body: [1, 2], status: "progressed" });
    expect(first).not.toHaveProperty("error-code");
    expect((await get(runner, "/state")).body).toMatchObject({ status: "progressed", isBackgroundCompleted: true });
    const last = await get(runner, "?offset=2");
    expect(last).toMatchObject({
      code: 200,
      body: [3],
      status: "failed",
      "error-code": "RUNNER_FAILED",
      closed: "true",
    });
    expect(await get(runner, "?offset=3")).toMatchObject({ code: 200, body: [], "error-code": "RUNNER_FAILED" });
  });

  test("does not tell why, unless the error is meant to be shown (P112)", async () => {
    const { get, running } = await open();
    const { runner, source } = await running([]);
    source.fail(secret);
    await runner.cleanup;
    const state = await get(runner, "/state");
    expect(state.body).toMatchObject({
      status: "failed",
      error: { code: "RUNNER_FAILED", message: "The runner failed" },
    });
    expect(JSON.stringify([state.body, [...state.response.headers]])).not.toMatch(/swordfish|db\.internal/);
    const { runner: open2, source: source2 } = await running([]);
    source2.fail(Object.assign(new Error("The file is not a spreadsheet"), { expose: true, path: "/etc/passwd" }));
    await open2.cleanup;
    expect((await get(open2, "/state")).body.error).toEqual({
      code: "RUNNER_FAILED",
      message: "The file is not a spreadsheet",
    });
  });
});

describe("a process", () => {
  /** A process that reports what the test says. */
  async function openProcess() {
    const opened = await open();
    const end = createDeferred<string | undefined>();
    atEnd(() => end.resolve(undefined));
    let report!: (value: string, estimatedEnd?: number) => void;
    const runner = await opened.ann.session.createProcessRunner<string>((context) => {
      report = context.report;
      return end.promise;
    });
    return { ...opened, runner, report, end: end.resolve, fail: end.reject };
  }

  test("gives its newest value to a read from an earlier offset, else nothing (P100, P101, P103)", async () => {
    const { get, runner, report, end } = await openProcess();
    expect(await get(runner, "?offset=0")).toMatchObject({ code: 200, body: [], "next-offset": offset(0) });
    report("one", 4);
    report("two", 4);
    const newest = { code: 200, body: ["two"], "next-offset": offset(2), progress: "2", "estimated-end": "4" };
    for (const query of ["", "?offset=-1", "?offset=0", "?offset=1", "?offset=0&max-items=1"]) {
      expect(await get(runner, query), query).toMatchObject(newest);
    }
    const seen = await get(runner, "?offset=2");
    expect(seen).toMatchObject({
      code: 200,
      body: [],
      "next-offset": offset(2),
      "up-to-date": "true",
      status: "stalled",
    });
    expect(seen).not.toHaveProperty("closed");
    expect(await get(runner, "?offset=now")).toMatchObject({ code: 200, body: [], "next-offset": offset(2) });
    end("final");
    await runner.cleanup;
    const last = {
      body: ["final"],
      "next-offset": offset(3),
      status: "completed",
      closed: "true",
      "estimated-end": "3",
    };
    expect(await get(runner, "?offset=2")).toMatchObject(last);
    expect(await get(runner, "?offset=-1")).toMatchObject(last); // never 410
    expect(await get(runner, "?offset=3")).toMatchObject({ body: [], status: "completed", closed: "true" });
  });

  test("that ends without any value gives null (P104)", async () => {
    const { get, runner, end } = await openProcess();
    end(undefined);
    await runner.cleanup;
    expect(await get(runner, "?offset=0")).toMatchObject({ body: [null], "next-offset": offset(1), closed: "true" });
  });

  test("that fails keeps its last value, and says that it failed (P104)", async () => {
    const { get, runner, report, fail } = await openProcess();
    report("half");
    fail(new Error("broken"));
    await runner.cleanup;
    const failed = { status: "failed", "error-code": "RUNNER_FAILED", closed: "true", "next-offset": offset(1) };
    expect(await get(runner, "?offset=0")).toMatchObject({ body: ["half"], ...failed });
    expect(await get(runner, "?offset=1")).toMatchObject({ body: [], ...failed });
  });

  test("that was aborted keeps its last value (P104)", async () => {
    const { get, post, runner, report, end } = await openProcess();
    report("half");
    expect((await post(runner, "/abort")).body).toMatchObject({ status: "aborted", position: 1 });
    const aborted = { status: "aborted", closed: "true", "next-offset": offset(1) };
    expect(await get(runner, "?offset=0")).toMatchObject({ body: ["half"], ...aborted });
    end("late");
    await runner.cleanup;
    expect(await get(runner, "?offset=0")).toMatchObject({ body: ["half"], ...aborted });
  });

  test("is not acknowledged; it is a sign of life only, wherever it points (P106)", async () => {
    const { get, post, runner, report, end } = await openProcess();
    report("one");
    expect((await post(runner, "/ack?offset=5")).code).toBe(204);
    expect((await get(runner, "?offset=0")).body).toEqual(["one"]);
    end("two");
    await runner.cleanup;
  });
});

describe("acknowledging", () => {
  test("drops what lies before, once, and says nothing (P6, P92, P95)", async () => {
    const { get, post, running } = await open();
    const { runner } = await running(range(0, 5));
    await get(runner, "?offset=0&max-items=4");
    expect(await post(runner, "/ack?offset=3")).toMatchObject({ code: 204, body: "" });
    expect(await post(runner, "/ack?offset=3")).toMatchObject({ code: 204 });
    expect(await post(runner, "/ack?offset=1")).toMatchObject({ code: 204 });
    expect((await get(runner, "?offset=2")).code).toBe(410);
    expect((await get(runner, "?offset=3")).body).toEqual([3, 4]);
  });

  test("beyond what was handed out is refused, and acknowledges nothing (P93)", async () => {
    const { get, post, running } = await open();
    const { runner } = await running(range(0, 5));
    await get(runner, "?offset=0&max-items=2");
    for (const position of [3, 5, 6, Number.MAX_SAFE_INTEGER]) {
      const answer = await post(runner, `/ack?offset=${position}`);
      expect(answer).toMatchObject({ code: 400, body: { code: "POSITION_AHEAD" } });
    }
    expect((await get(runner, "?offset=0")).body).toEqual(range(0, 5));
    expect((await post(runner, "/ack?offset=5")).code).toBe(204);
  });

  test("makes room for the producer (P91, P96)", async () => {
    const { get, post, running } = await open();
    const { runner, source } = await running(range(0, 3), { aheadLimit: 3 });
    source.push(3, 4, 5);
    await turns(10);
    expect(runner.progress.current).toBe(3);
    await get(runner, "?offset=0");
    await turns(10);
    expect(runner.progress.current).toBe(3); // what the server writes acknowledges nothing
    await post(runner, "/ack?offset=2");
    await produced(runner, 5);
  });

  test("neither starts a runner nor needs one that runs (P118)", async () => {
    const { post, ann, ended } = await open();
    const lazy = await ann.session.createSequenceRunner([1], { start: "on-first-read" });
    expect((await post(lazy, "/ack?offset=0")).code).toBe(204);
    expect(lazy.status).toBe("not-started");
    const runner = await ended([1, 2]);
    await runner.getRequired();
    expect((await post(runner, "/ack?offset=2")).code).toBe(204);
  });
});

describe("a runner that starts with its first read", () => {
  const reads = [
    "",
    "?offset=0",
    "?offset=now",
    "?offset=0&live=long-poll",
    "?offset=0&live=sse",
    "?offset=now&live=sse",
  ];

  test.each(reads)("is started by GET '%s' (P118)", async (rest) => {
    const { ann } = await open();
    const started = createDeferred();
    const runner = await ann.session.createSequenceRunner(
      () => {
        started.resolve();
        return [1, 2];
      },
      { start: "on-first-read" },
    );
    const response = await ann.fetch(`/runners/${runner.key}${rest}`);
    expect(response.status).toBe(200);
    await response.text();
    await started.promise;
    expect(runner.status).not.toBe("not-started");
  });

  test("is not started by HEAD or state (P118)", async () => {
    const { ann, head, get } = await open();
    const runner = await ann.session.createSequenceRunner([1], { start: "on-first-read" });
    expect(await head(runner, "")).toMatchObject({ code: 200, status: "not-started", "next-offset": offset(0) });
    expect((await get(runner, "/state")).body).toMatchObject({ status: "not-started", isBackgroundCompleted: false });
    expect(runner.status).toBe("not-started");
  });

  test("whose source cannot be opened says so without saying why, and can be tried again (P152, P162)", async () => {
    const { ann, get } = await open();
    let attempts = 0;
    const runner = await ann.session.createSequenceRunner(
      () => {
        if (attempts++ === 0) throw new Error("the password is swordfish");
        return ["at last"];
      },
      { start: "on-first-read" },
    );
    const answer = await get(runner, "?offset=0");
    expect(answer).toMatchObject({ code: 500, body: { code: "RUNNER_START_FAILED" } });
    expect(JSON.stringify(answer.body)).not.toContain("swordfish");
    expect((await get(runner, "?offset=0&live=long-poll")).body).toEqual(["at last"]);
  });
});

describe("HEAD", () => {
  test("tells where the tail is, and moves nothing (P4, P80, P94, P120)", async () => {
    const { head, get, running } = await open();
    const { runner } = await running(range(0, 5));
    const answer = await head(runner, "");
    expect(answer).toMatchObject({
      code: 200,
      body: "",
      "next-offset": offset(5),
      progress: "5",
      status: "progressed",
    });
    expect(answer.response.headers.get("content-type")).toMatch(/^application\/json/);
    expect(answer.response.headers.get("runner-ahead-limit")).toBe("1000");
    expect(answer).not.toHaveProperty("closed");
    expect(runner.position).toBe(0);
    expect((await get(runner, "?offset=0")).body).toEqual(range(0, 5));
  });

  test("is closed as soon as the background has ended, but the runner is not final by it (P120)", async () => {
    const { head, ended } = await open();
    const runner = await ended([1, 2]);
    expect(await head(runner, "")).toMatchObject({ closed: "true", "next-offset": offset(2), status: "progressed" });
    expect(standing(runner)).toMatchObject({ position: 0, status: "progressed" });
    await runner.getRequired();
    expect(await head(runner, "")).toMatchObject({ closed: "true", status: "completed" });
  });

  test("tells of a failure once it has been read (P120)", async () => {
    const { head, running } = await open();
    const { runner, source } = await running([1]);
    source.fail(new Error("broken"));
    await runner.cleanup;
    expect(await head(runner, "")).not.toHaveProperty("error-code");
    await runner.getRequired();
    expect(await head(runner, "")).toMatchObject({ status: "failed", "error-code": "RUNNER_FAILED" });
  });
});

describe("state", () => {
  test("is the whole state as JSON (P5, P121)", async () => {
    const { get, running } = await open();
    const { runner, source } = await running([1, 2, 3]);
    await get(runner, "?offset=0&max-items=1");
    const answer = await get(runner, "/state");
    expect(answer.response.headers.get("content-type")).toMatch(/^application\/json/);
    expect(answer.body).toEqual({
      key: runner.key,
      kind: "sequence",
      status: "progressed",
      position: 1,
      progress: { current: 3 },
      ...{ isBackgroundCompleted: false, phase: "running" },
    });
    source.end();
    await runner.cleanup;
    await get(runner, "?offset=1");
    expect((await get(runner, "/state")).body).toMatchObject({
      status: "completed",
      position: 3,
      progress: { current: 3, estimatedEnd: 3 },
      isBackgroundCompleted: true,
    });
  });
});

describe("stopping", () => {
  test("has stopped the work before it answers, and leaves the runner readable (P7, P124)", async () => {
    const { ann, get, post } = await open();
    const events: string[] = [];
    const runner = await ann.session.createSequenceRunner(({ signal }) => {
      signal.addEventListener("abort", () => events.push("signal"));
      const source = new PushSource<number>();
      source.push(1, 2, 3);
      return source;
    });
    await produced(runner, 3);
    await get(runner, "?offset=0&max-items=2");
    const answer = await post(runner, "/abort");
    events.push("answer");
    expect(events).toEqual(["signal", "answer"]);
    expect(answer).toMatchObject({ code: 200, body: { status: "aborted", abortReason: "stopped", position: 2 } });
    expect(answer.body.progress).toEqual({ current: 2, estimatedEnd: 2 });
    expect(await get(runner, "?offset=0")).toMatchObject({ code: 200, body: [1, 2], status: "aborted" });
    expect(await post(runner, "/abort")).toMatchObject({ code: 200, body: { status: "aborted" } });
  });

  test("does not wait for a clean-up that takes long", async () => {
    const { running, post, remove, get } = await open();
    const { runner, source } = await running([1]);
    const cleaned = createDeferred();
    source.onReturn = () => cleaned.promise;
    expect(await post(runner, "/abort")).toMatchObject({ code: 200, body: { status: "aborted" } });
    expect(await remove(runner, "")).toMatchObject({ code: 204 });
    expect((await get(runner, "")).code).toBe(410);
    cleaned.resolve();
    await runner.cleanup;
  });

  test("leaves a runner that has ended as it is (P124)", async () => {
    const { ended, post, get } = await open();
    const runner = await ended([1]);
    await get(runner, "?offset=0");
    expect((await post(runner, "/abort")).body).toMatchObject({ status: "completed", position: 1 });
  });
});

describe("removing", () => {
  test("stops the work, answers 204, and then there is only 410 (P4, P125)", async () => {
    const { running, remove, get, head, post, sessions } = await open();
    const { runner, source } = await running([1, 2]);
    expect(await remove(runner, "")).toMatchObject({ code: 204, body: "" });
    expect(runner.signal.aborted).toBe(true);
    expect(source.returns).toBe(1);
    expect(sessions.stats()).toMatchObject({ runners: 0, items: 0 });
    expect(await get(runner, "")).toMatchObject({ code: 410, body: { code: "RUNNER_GONE" } });
    expect((await head(runner, "")).code).toBe(410);
    expect((await post(runner, "/abort")).code).toBe(410);
    expect((await remove(runner, "")).code).toBe(410);
  });

  test("takes away one runner only", async () => {
    const { ended, remove, get } = await open();
    const [one, two] = [await ended(["one"]), await ended(["two"])];
    await remove(one, "");
    expect((await get(two, "")).body).toEqual(["two"]);
  });
});
