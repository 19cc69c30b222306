/**
 * Never lose or repeat an item: whatever the network does to the answers, the client gets the source's items, in order, each
 * once. Hundreds of runs behind a proxy that cuts connections at random bytes: within the head, a chunk, an event, a character.
 *
 * `LOST_RESPONSES_SEED=… npx vitest run test/lost-responses.test.ts` repeats the random choices of a run; `LOST_RESPONSES=…` changes how
 * many are lost where there are ten thousand.
 */
import { randomInt } from "node:crypto";
import { describe, expect, test } from "vitest";
import { ActiveSessionError, createClient, type FollowOptions, type RunnerClient } from "../src/client.js";
import type { Runner } from "../src/runner/runner.js";
import { defineSequenceRunner } from "../src/session/define.js";
import type { RunnerOptions } from "../src/session/options.js";
import { turns } from "./support/control.js";
import { type Cut, openCuttingProxy } from "./support/cutting-proxy.js";
import { advancing, whileItAdvances } from "./support/patience.js";
import { openApp, type TestApp, type TestAppOptions } from "./support/server.js";

const seed = Number(process.env.LOST_RESPONSES_SEED ?? randomInt(2 ** 31));
const lostInAll = Number(process.env.LOST_RESPONSES ?? 10_000);
/** Random numbers that a seed repeats (mulberry32). */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** From 0, less than 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** An integer from `min` to `max`. */
  between(min: number, max: number): number {
    return min + Math.floor(this.next() * (max - min + 1));
  }

  chance(share: number): boolean {
    return this.next() < share;
  }
}

/** How many items have come to clients in all: as long as some do, nothing hangs. A try that brings nothing is no progress. */
let brought = 0;

interface Item {
  readonly n: number;
  readonly text: string;
}

const alphabet = [...'abc \n"\\<>:äöß€日本語🙂👩‍👩‍👧\u2028\u0000'];

function makeItems(random: Random, count: number, shareOfLarge = 0.005): Item[] {
  return Array.from({ length: count }, (_, n) => {
    const length = random.chance(shareOfLarge)
      ? random.between(2000, 8000)
      : random.between(0, random.chance(0.1) ? 300 : 20);
    const letter = () => alphabet[random.between(0, alphabet.length - 1)]!;
    const pattern = Array.from({ length: Math.min(length, 60) }, letter).join("");
    return { n, text: pattern.repeat(Math.ceil(length / 60)) };
  });
}

/** Gives the items, and now and then lets the event loop turn. */
async function* produce<T>(items: readonly T[], random: Random): AsyncGenerator<T, void, undefined> {
  for (const item of items) {
    if (random.chance(0.2)) await turns(1);
    yield item;
  }
}

/**
 * Up to six connections are cut: before, within and behind the head, in the first events, far behind. After three they get
 * far, or else the back-off, which doubles with every try that brings nothing, takes most of the time.
 */
function planCuts(random: Random): () => Cut | undefined {
  let left = random.between(0, 6);
  let made = 0;
  const reach = [0, 400, 1500, 8000, 60_000];
  return () => {
    if (left === 0) return undefined;
    left--;
    const how = random.chance(0.5) ? "destroy" : "end";
    if (++made > 3) return { after: random.between(60_000, 150_000), how };
    return { after: random.chance(0.05) ? -1 : random.between(0, reach[random.between(0, reach.length - 1)]!), how };
  };
}

interface Run {
  readonly name: string;
  readonly random: Random;
  readonly app: TestApp;
  readonly client: RunnerClient;
  readonly cuts: readonly Cut[];
  /** Makes the run's sequence runner. */
  sequence(items: readonly Item[], options?: RunnerOptions): Promise<string>;
  /** Makes the run's process runner. */
  process(values: readonly number[]): Promise<string>;
}

/** Every connection is cut, mostly when something has come through: a back-off that doubles would take all the time. */
function cutEvery(random: Random): () => Cut {
  return () => {
    const how = random.chance(0.5) ? "destroy" : "end";
    const after = random.chance(0.04) ? random.between(-1, 1200) : random.between(4000, 12_000);
    return { after, how, isSlow: random.chance(0.1) };
  };
}

async function openRun(app: TestApp, number: number, plan: typeof planCuts): Promise<Run> {
  const random = new Random(seed + number * 7919);
  const proxy = await openCuttingProxy(app.url, plan(random));
  const user = await app.user(`user-${number}`);
  const keyOf = async (runner: Promise<Runner>) => (await runner).key;
  return {
    ...{ name: `seed ${seed}, run ${number}`, random, app, cuts: proxy.cuts },
    client: createClient(`${proxy.url}/runners`, { headers: user.headers }),
    sequence: (items, options) => keyOf(user.session.createSequenceRunner(produce(items, random), options)),
    process: (values) => keyOf(user.session.createProcessRunner(() => produceReports(values, random))),
  };
}

/** The last value is the body's result, the others are reports. */
async function* produceReports(values: readonly number[], random: Random): AsyncGenerator<number, number, undefined> {
  for await (const value of produce(values.slice(0, -1), random)) yield value;
  return values.at(-1)!;
}

/**
 * Runs `body` many times, all at once: where a run waits before it tries again, the others go on.
 * @returns how many connections were cut in all
 */
async function runMany(
  count: number,
  options: TestAppOptions,
  body: (run: Run) => Promise<void>,
  firstNumber: number,
  plan: typeof planCuts = planCuts,
): Promise<number> {
  const app = await openApp(options);
  const runs = await Promise.all(Array.from({ length: count }, (_, i) => openRun(app, firstNumber + i, plan)));
  const unfinished = new Set(runs.map(({ name }) => name));
  const errors: unknown[] = [];
  const work = runs.map(async (run) => {
    await body(run).catch((error: unknown) => errors.push(error)); // the others go on to their end, so that they leave nothing
    unfinished.delete(run.name);
  });
  const cuts = () => runs.reduce((sum, run) => sum + run.cuts.length, 0);
  const isAt = () => `${unfinished.size} runs have not ended, the first of them is ${[...unfinished][0]}`;
  await advancing(Promise.all(work), () => brought - unfinished.size, isAt);
  if (errors.length > 0) throw errors[0];
  return cuts();
}

/** Reads page after page from the client's own offset, and a page whose answer was lost once more. */
async function readPages(run: Run, key: string, most = 100): Promise<Item[]> {
  const taken: Item[] = [];
  let failures = 0;
  for (let closed = false; !closed; ) {
    try {
      const maxItems = run.random.between(3, most);
      const page = await run.client.read<Item>(key, { offset: taken.length, maxItems });
      taken.push(...page.items);
      brought += page.items.length;
      expect(page.position, run.name).toBe(taken.length);
      closed = page.closed;
      if (page.items.length === 0 && !closed) await turns(1);
    } catch (error) {
      if (ActiveSessionError.is(error) && error.code !== "SERVER_UNAVAILABLE")
        throw new Error(run.name, { cause: error });
      failures++;
      expect(failures, `${run.name}: more failures than cuts`).toBeLessThanOrEqual(run.cuts.length);
    }
  }
  return taken;
}

/** Follows to the end; a connection that was cut is the follower's own business. */
async function follow<T>(run: Run, key: string, options: FollowOptions = {}): Promise<T[]> {
  const taken: T[] = [];
  try {
    for await (const item of run.client.follow<T>(key, options)) {
      taken.push(item);
      brought++;
      if (run.random.chance(0.02)) await turns(1);
    }
  } catch (error) {
    throw new Error(`${run.name}: the follower gave up after ${taken.length} items`, { cause: error });
  }
  return taken;
}

/** Compares without printing hundreds of items. */
function expectSame(taken: readonly Item[], items: readonly Item[], { name, cuts }: Run): void {
  const told = `${name}, ${cuts.length} cuts`;
  const wrong = items.findIndex(({ n }, i) => taken[i]?.n !== n);
  expect(wrong, `${told}: the first item that is another one: ${JSON.stringify(taken[wrong])?.slice(0, 100)}`).toBe(-1);
  expect(taken.length, `${told}: how many items`).toBe(items.length);
  const altered = items.findIndex(({ text }, i) => taken[i]!.text !== text);
  expect(altered, `${told}: the first item with another content`).toBe(-1);
}

describe("with answers cut at random bytes, the client gets every item once and in order (P170, P171)", () => {
  test("page by page", async () => {
    const cuts = await runMany(
      110,
      {},
      async (run) => {
        const items = makeItems(run.random, run.random.between(50, 400));
        expectSame(await readPages(run, await run.sequence(items)), items, run);
      },
      0,
    );
    expect(cuts).toBeGreaterThan(110);
  });

  test("by long-poll", async () => {
    const cuts = await runMany(
      110,
      {},
      async (run) => {
        const items = makeItems(run.random, run.random.between(50, 400));
        expectSame(await follow(run, await run.sequence(items), { live: "long-poll" }), items, run);
      },
      1000,
    );
    expect(cuts).toBeGreaterThan(110);
  });

  test("by SSE", async () => {
    const cuts = await runMany(
      110,
      {},
      async (run) => {
        const items = makeItems(run.random, run.random.between(50, 400));
        expectSame(await follow(run, await run.sequence(items)), items, run);
      },
      2000,
    );
    expect(cuts).toBeGreaterThan(110);
  });

  test("by SSE and long-poll where few items may be unacknowledged, and acknowledgements get lost too", async () => {
    const cuts = await runMany(
      60,
      {},
      async (run) => {
        const items = makeItems(run.random, run.random.between(50, 120));
        const key = await run.sequence(items, { aheadLimit: run.random.between(1, 20) });
        const live = run.random.chance(0.7) ? "sse" : "long-poll";
        expectSame(await follow(run, key, { live }), items, run);
      },
      3000,
    );
    expect(cuts).toBeGreaterThan(30);
  });

  test("by SSE whose heartbeats come all the time and whose connections the server itself ends all the time", async () => {
    const cuts = await runMany(
      40,
      { router: { heartbeat: 1, rotateAfter: 20, pageLimit: 7 } },
      async (run) => {
        const items = makeItems(run.random, run.random.between(50, 200));
        expectSame(await follow(run, await run.sequence(items)), items, run);
      },
      4000,
    );
    expect(cuts).toBeGreaterThan(20);
  });

  test("of two clients that follow the same runner, each", async () => {
    await runMany(
      30,
      {},
      async (run) => {
        const items = makeItems(run.random, run.random.between(50, 200));
        const key = await run.sequence(items, { retain: "all" });
        const both = await Promise.all([follow<Item>(run, key), follow<Item>(run, key, { live: "long-poll" })]);
        for (const taken of both) expectSame(taken, items, run);
      },
      5000,
    );
  });
});

/** Creates over the wire, and counts how often that has come to a runner. */
function exposed() {
  let creations = 0;
  const items = defineSequenceRunner({
    name: "items",
    run: ({ seed, count }: { readonly seed: number; readonly count: number }) => {
      creations++;
      const random = new Random(seed);
      return produce(makeItems(random, count, 0), random);
    },
  });
  return { definitions: [items], creations: () => creations };
}

describe("ten thousand times cut within the head, the body, an event, slowly, by a reset or an early end, the client gets all", () => {
  const runs = 100;
  /** Some events come through before the cut. */
  const router = { pageLimit: 10 };
  const perMode = Math.ceil(lostInAll / 4 / runs);

  /** Reads one sequence after the other until enough connections have been cut. */
  async function cutAll(number: number, read: (run: Run, key: string) => Promise<Item[]>): Promise<number> {
    const body = async (run: Run) => {
      while (run.cuts.length < perMode) {
        const items = makeItems(run.random, 400, 0);
        expectSame(await read(run, await run.sequence(items)), items, run);
      }
    };
    return runMany(runs, { router }, body, number, cutEvery);
  }

  test("page by page", whileItAdvances, async () => {
    expect(await cutAll(8000, (run, key) => readPages(run, key, 10))).toBeGreaterThanOrEqual(lostInAll / 4);
  });

  test("by long-poll", whileItAdvances, async () => {
    const byLongPoll = (run: Run, key: string) => follow<Item>(run, key, { live: "long-poll" });
    expect(await cutAll(8100, byLongPoll)).toBeGreaterThanOrEqual(lostInAll / 4);
  });

  test("by SSE", whileItAdvances, async () => {
    expect(await cutAll(8200, follow)).toBeGreaterThanOrEqual(lostInAll / 4);
  });

  test(
    "created, followed now so and now so, and left in between; and each creation makes one runner",
    whileItAdvances,
    async () => {
      const { definitions, creations } = exposed();
      let asked = 0;
      const body = async (run: Run) => {
        while (run.cuts.length < perMode) {
          const input = { seed: run.random.between(0, 2 ** 31), count: 400 };
          asked++;
          const live = run.random.chance(0.5) ? "sse" : "long-poll";
          const created = await run.client.create("items", input, { live, maxItems: 5, minItems: 5 });
          const taken: Item[] = [];
          const leaveAt = run.random.between(0, 300);
          for await (const item of created) {
            brought++;
            if (taken.push(item as Item) > leaveAt) break;
          }
          const rest = { offset: created.position, live: run.random.chance(0.5) ? "sse" : "long-poll" } as const;
          taken.push(...(await follow<Item>(run, created.key, rest)));
          expectSame(taken, makeItems(new Random(input.seed), input.count, 0), run);
        }
      };
      const options = { router: { ...router, expose: definitions } };
      expect(await runMany(runs, options, body, 8300, cutEvery)).toBeGreaterThanOrEqual(lostInAll / 4);
      expect(creations()).toBe(asked);
    },
  );
});

describe("with answers cut at random bytes, the client gets the last value of a process, and never an older one again", () => {
  test.each(["sse", "long-poll"] as const)("by %s", async (live) => {
    const cuts = await runMany(
      40,
      {},
      async (run) => {
        const values = Array.from({ length: run.random.between(10, 300) }, (_, i) => i);
        const taken = await follow<number>(run, await run.process(values), { live });
        expect(taken.at(-1), run.name).toBe(values.at(-1));
        const isGrowing = taken.every((value, i) => i === 0 || value > taken[i - 1]!);
        expect(isGrowing, `${run.name}: ${JSON.stringify(taken).slice(0, 500)}`).toBe(true);
      },
      live === "sse" ? 6000 : 7000,
    );
    expect(cuts).toBeGreaterThan(0);
  });
});
