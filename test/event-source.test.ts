/** `GET {url}/events`: what the browser's own `EventSource`, or `curl -N`, is given. */
import { createParser } from "eventsource-parser";
import { describe, expect, test } from "vitest";
import { createDeferred } from "../src/base/async.js";
import type { Runner } from "../src/runner/runner.js";
import { atEnd } from "./support/cleanup.js";
import { openHost, PushSource, turns } from "./support/control.js";
import { inside } from "./support/inside.js";
import { openApp, type TestAppOptions } from "./support/server.js";

interface Seen {
  readonly name: string;
  readonly data: unknown;
  readonly id: string | undefined;
}

const offset = (position: number) => String(position).padStart(16, "0");

async function open(options: TestAppOptions = {}) {
  const { user, sessions } = await openApp(options);
  const ann = await user("ann");
  const ask = (runner: Runner, query = "", lastId?: string) =>
    ann.fetch(`/runners/${runner.key}/events${query}`, {
      headers: lastId === undefined ? {} : { "last-event-id": lastId },
    });
  /** Reads a response event by event; `lastId` is what a browser would send back. */
  const follow = async (runner: Runner, query?: string, lastId?: string) => {
    const response = await ask(runner, query, lastId);
    expect(response.status).toBe(200);
    const events: Seen[] = [];
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    atEnd(() => reader.cancel());
    const parser = createParser({
      onEvent: ({ event, data, id }) => events.push({ name: event ?? "message", data: JSON.parse(data), id }),
    });
    const more = async () => {
      const { done, value } = await reader.read();
      if (!done) parser.feed(value);
      return !done;
    };
    return {
      response,
      events,
      more,
      next: async (): Promise<Seen> => {
        while (events.length === 0) if (!(await more())) throw new Error("The response is over");
        return events.shift()!;
      },
      rest: async (): Promise<Seen[]> => {
        while (await more());
        return events.splice(0);
      },
    };
  };
  return { ann, ask, follow, sessions };
}

describe("a native event stream", () => {
  test("gives one unnamed event for each item, with the offset behind it as its id, and at the end the state (P191, P193)", async () => {
    const { ann, follow } = await open();
    const runner = await ann.session.createSequenceRunner(["a", { b: 1 }, null, "line\nbreak"]);
    const { response, rest } = await follow(runner);
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("cache-control")).toBe("private, no-cache, no-store, no-transform");
    const events = await rest();
    expect(events.slice(0, 4)).toEqual([
      { name: "message", data: "a", id: offset(1) },
      { name: "message", data: { b: 1 }, id: offset(2) },
      { name: "message", data: null, id: offset(3) },
      { name: "message", data: "line\nbreak", id: offset(4) },
    ]);
    expect(events.slice(4)).toEqual([
      { name: "end", id: `${offset(4)}.end`, data: expect.objectContaining({ key: runner.key, status: "completed" }) },
    ]);
  });

  test("has an id and a short retry on its opening comment, before anything has come (P192)", async () => {
    const { ann, ask } = await open();
    const runner = await ann.session.createSequenceRunner(new PushSource<number>());
    const reader = (await ask(runner)).body!.pipeThrough(new TextDecoderStream()).getReader();
    atEnd(() => reader.cancel());
    expect((await reader.read()).value).toBe(`:\nretry: 250\nid: ${offset(0)}\n\n`);
  });

  test("starts at an offset, or behind the last event that its client has seen, which wins (P190)", async () => {
    const { ann, follow } = await open();
    const runner = await ann.session.createSequenceRunner([0, 1, 2, 3, 4], { retain: "all" });
    const data = async (query: string, lastId?: string) => {
      const events = await (await follow(runner, query, lastId)).rest();
      return events.filter(({ name }) => name === "message").map(({ data }) => data);
    };
    expect(await data("?offset=3")).toEqual([3, 4]);
    expect(await data("?offset=-1")).toEqual([0, 1, 2, 3, 4]);
    expect(await data("?offset=1", offset(4))).toEqual([4]);
    expect(await data("?offset=1", "")).toEqual([1, 2, 3, 4]);
  });

  test("naming an event acknowledges what came before it", async () => {
    const { ann, follow } = await open();
    const source = new PushSource<number>();
    source.push(1, 2, 3, 4, 5);
    const runner = await ann.session.createSequenceRunner(source, { retain: "unacknowledged" });
    const first = await follow(runner);
    for (let i = 0; i < 3; i++) await first.next();
    expect((await runner.state()).position).toBe(5);
    await follow(runner, "", offset(3));
    expect((await inside(runner).logState()).acknowledged).toBe(3);
  });

  test("a client that comes after its end gets 204, which is the end for a browser; one that has not seen the end gets it", async () => {
    const { ann, ask, follow } = await open();
    const runner = await ann.session.createSequenceRunner([1, 2], { retain: "all" });
    await (await follow(runner)).rest();
    const after = await ask(runner, "", `${offset(2)}.end`);
    expect([after.status, await after.text()]).toEqual([204, ""]);
    const cutBefore = await (await follow(runner, "", offset(2))).rest();
    expect(cutBefore.map(({ name }) => name)).toEqual(["end"]);
  });

  test("tells of a failure in the state, and of why a runner was stopped", async () => {
    const { ann, follow } = await open();
    const failing = await ann.session.createSequenceRunner(
      (function* () {
        yield 1;
        throw Object.assign(new Error("no more"), { expose: true });
      })(),
    );
    expect((await (await follow(failing)).rest()).at(-1)).toMatchObject({
      name: "end",
      data: { status: "failed", error: { message: "no more" } },
    });
    const stopped = await ann.session.createSequenceRunner(new PushSource<number>());
    const { rest } = await follow(stopped);
    await stopped.abort();
    expect((await rest()).at(-1)).toMatchObject({ name: "end", data: { status: "aborted", abortReason: "stopped" } });
  });

  test("of a process gives each newest value, its id the progress", async () => {
    const { ann, follow } = await open();
    const report = createDeferred<(value: string) => void>();
    const end = createDeferred<string>();
    const runner = await ann.session.createProcessRunner<string>(async (context) => {
      report.resolve((value: string) => context.report(value));
      return end.promise;
    });
    const { next, rest } = await follow(runner);
    const tell = await report.promise;
    tell("first");
    expect(await next()).toEqual({ name: "message", data: "first", id: offset(1) });
    tell("second");
    expect(await next()).toEqual({ name: "message", data: "second", id: offset(2) });
    end.resolve("result");
    expect(await rest()).toEqual([
      { name: "message", data: "result", id: offset(3) },
      expect.objectContaining({ name: "end", id: `${offset(3)}.end` }),
    ]);
  });

  test("ends when its allowance is used up; over the connections that follow each item comes once", async () => {
    const { ann, follow } = await open();
    const all = Array.from({ length: 50 }, (_, i) => i);
    const runner = await ann.session.createSequenceRunner(all, { aheadLimit: 8 });
    const got: unknown[] = [];
    let lastId: string | undefined;
    let connections = 0;
    for (let isOver = false; !isOver; connections++) {
      for (const { name, data, id } of await (await follow(runner, "", lastId)).rest()) {
        if (name === "end") isOver = true;
        else got.push(data);
        lastId = id;
      }
    }
    expect(got).toEqual(all);
    expect(connections).toBeGreaterThan(5);
  });

  test.each(["x", "-1", "now", "1.end.end", ".end", "99999999999999999"])(
    "refuses an id that is none of its own: %s",
    async (id) => {
      const { ann, ask } = await open();
      const runner = await ann.session.createSequenceRunner([1]);
      const response = await ask(runner, "", id);
      expect([response.status, response.headers.get("runner-error-code")]).toEqual([400, "INVALID_ARGUMENT"]);
      expect(await response.text()).toContain("the header Last-Event-ID must be the id of an event");
    },
  );

  test("is there for no other user, for no other method, and ends when the session is handed over", async () => {
    const { ann, ask, follow, sessions } = await open({ sessions: openHost() });
    const runner = await ann.session.createSequenceRunner(new PushSource<number>());
    const foreign = await ann.fetch(`/runners/${runner.key}/events`, { headers: { "x-user": "eve" } });
    expect([foreign.status, await foreign.text()]).toEqual([404, expect.any(String)]);
    const posted = await ann.fetch(`/runners/${runner.key}/events`, { method: "POST" });
    expect([posted.status, posted.headers.get("allow")]).toEqual([405, "GET"]);
    await posted.text();
    const { rest } = await follow(runner);
    await inside(sessions).directory.move("user:ann", "user:bea");
    expect(await rest()).toEqual([]);
    await turns(3);
    const gone = await ask(runner, "", offset(0));
    expect([404, 410]).toContain(gone.status);
    await gone.text();
  });

  test("ends before an item that JSON cannot carry, and says then what it was", async () => {
    const { ann, ask, follow } = await open();
    const runner = await ann.session.createSequenceRunner(["a", 1n, "b"], { retain: "all" });
    const { rest } = await follow(runner);
    expect(await rest()).toEqual([{ name: "message", data: "a", id: offset(1) }]);
    const again = await ask(runner, "", offset(1));
    expect([again.status, again.headers.get("runner-error-code")]).toEqual([500, "RESULT_NOT_SERIALIZABLE"]);
    await again.text();
  });
});
