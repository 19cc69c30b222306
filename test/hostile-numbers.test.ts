/** Numbers that a client asks for: none of them makes the work run further ahead than its owner allows. */
import { describe, expect, test } from "vitest";
import { createRunnerHandler } from "../src/http/router.js";
import { defineSequenceRunner } from "../src/session/define.js";
import { atEnd } from "./support/cleanup.js";
import { isPending, openHost, PushSource, turns } from "./support/control.js";
import { inside } from "./support/inside.js";
import { openApp } from "./support/server.js";
import { wireRequest } from "./support/wire.js";

const aheadLimit = 10;
const json = { "content-type": "application/json" };

/** Work without end, which counts what it has made. */
function endless() {
  const figures = { produced: 0 };
  const run = function* () {
    for (;;) yield figures.produced++;
  };
  return { figures, run };
}

/** What counts of 10,000: as much as the request takes, as a page has, as the work may run ahead. */
const cases: [what: string, { query?: string; pageLimit: number; counts: number }][] = [
  ["max-items=1", { query: "&max-items=1", pageLimit: 1000, counts: 1 }],
  ["max-items=7", { query: "&max-items=7", pageLimit: 1000, counts: 7 }],
  ["a page limit of 4", { pageLimit: 4, counts: 4 }],
  ["an ahead limit of 10", { pageLimit: 1000, counts: aheadLimit }],
  ["an ahead limit of 10, although max-items=500", { query: "&max-items=500", pageLimit: 1000, counts: aheadLimit }],
];

describe.each(cases)("min-items=10000 with %s", (_what, { query = "", pageLimit, counts }) => {
  /** What is asked for may lie beyond what the work may run ahead; and it takes one item before there is room for it. */
  const most = aheadLimit + counts + 1;

  test("lets the work of a long-poll run no further ahead, and gets what that allows", async () => {
    const { figures, run } = endless();
    const { user } = await openApp({ sessions: openHost({ aheadLimit }), router: { pageLimit } });
    const ann = await user("ann");
    const { key } = await ann.session.createSequenceRunner(run);
    const response = await ann.fetch(`/runners/${key}?live=long-poll&offset=0&min-items=10000${query}`);
    const items = (await response.json()) as number[];
    await turns(20);
    expect(figures.produced).toBeLessThanOrEqual(most);
    expect(items).toEqual(Array.from(items, (_, i) => i));
    expect(items.length).toBeGreaterThanOrEqual(counts);
    expect(Number(response.headers.get("stream-next-offset"))).toBe(items.length);
  });

  test("lets the work of a long-poll in the middle run no further ahead", async () => {
    const { figures, run } = endless();
    const { user } = await openApp({ sessions: openHost({ aheadLimit }), router: { pageLimit } });
    const ann = await user("ann");
    const { key } = await ann.session.createSequenceRunner(run);
    await (await ann.fetch(`/runners/${key}?live=long-poll&offset=0&min-items=4&max-items=4`)).text();
    const response = await ann.fetch(`/runners/${key}?live=long-poll&offset=4&min-items=10000${query}`);
    const items = (await response.json()) as number[];
    await turns(20);
    expect(figures.produced).toBeLessThanOrEqual(4 + most);
    expect(items.length).toBeGreaterThanOrEqual(counts);
    expect(items[0]).toBe(4);
  });

  test("lets work that is created run no further ahead, and gets what that allows", async () => {
    const { figures, run } = endless();
    const count = defineSequenceRunner({ name: "count", run });
    const { user } = await openApp({ sessions: openHost({ aheadLimit }), router: { pageLimit, expose: [count] } });
    const ann = await user("ann");
    const init = { method: "POST", headers: json, body: "{}" };
    const response = await ann.fetch(`/runners/count?min-items=10000${query}`, init);
    const { items } = (await response.json()) as { items: number[] };
    await turns(20);
    expect(figures.produced).toBeLessThanOrEqual(most);
    expect(items.length).toBeGreaterThanOrEqual(counts);
  });

  test("is answered as soon as what counts is there, however slow the rest is", async () => {
    const sessions = openHost({ aheadLimit });
    const source = new PushSource<number>();
    const runner = await (await sessions.get("ann")).createSequenceRunner(source);
    source.push(...Array.from({ length: counts }, (_, i) => i));
    const gone = new AbortController();
    atEnd(() => gone.abort());
    const search = new URLSearchParams(`live=long-poll&offset=0&min-items=10000&timeout=60${query}`);
    const handle = createRunnerHandler(inside(sessions), { pageLimit });
    const answer = handle(wireRequest(sessions, runner.key, { query: search, signal: gone.signal }));
    expect(await isPending(answer)).toBe(false);
    expect((await answer).body).toBe(JSON.stringify(Array.from({ length: counts }, (_, i) => i)));
  });
});
