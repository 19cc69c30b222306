/**
 * What a client knows of the definitions of its server: names, inputs and results. `npm run types` is what fails if it does not;
 * that the types tell the truth, real answers show.
 */
import { describe, expect, expectTypeOf, test } from "vitest";
import { z } from "zod";
import { type AsJson, createClient, type RunnerFollower } from "../src/client.js";
import { defineProcessRunner, defineSequenceRunner, type Producer, type SequenceSink } from "../src/index.js";
import { openApp } from "./support/server.js";

class Money {
  readonly #cents: number;
  readonly paidAt = new Date(0);

  constructor(cents: number) {
    this.#cents = cents;
  }

  double(): Money {
    return new Money(2 * this.#cents);
  }
}

class Coded {
  toJSON(key: string): { key: string; at: Date } {
    return { key, at: new Date(0) };
  }
}

const searchInput = z.object({ word: z.string(), since: z.coerce.date().optional(), limit: z.number().default(10) });

const search = defineSequenceRunner({
  name: "search",
  input: searchInput,
  *run({ word, since, limit }) {
    yield { word, since, limit, found: new Date(0), tags: new Set([word]) };
  },
});
const price = defineProcessRunner({
  name: "price",
  input: z.object({ of: z.string() }).optional(),
  run: async (): Promise<Money> => new Money(7),
});
const plain = defineSequenceRunner({
  name: "plain",
  run: (to: number) => Array.from({ length: to }, (_, i) => String(i)),
});
const idle = defineProcessRunner({ name: "idle", run: async () => {} });
const filled = defineSequenceRunner({
  name: "filled",
  produce: (_to: number, _sink: SequenceSink<Date>): Producer => {
    throw new Error("never called");
  },
});

const list = [search, price, plain, idle];
const tuple = [search, price, plain, idle] as const;
const named = { search, price, plain, idle };
const url = "http://server.test/runners";

/** A client whose creations are all refused: what it sends does not matter here. */
function refusing<Client>(make: (url: string, options: { fetch: typeof fetch }) => Client): Client {
  return make(url, { fetch: async () => new Response("no", { status: 403 }) });
}
/** Only for the compiler: creations that are all refused. */
const refused = (...creations: Promise<unknown>[]) =>
  Promise.all(creations.map((creation) => expect(creation).rejects.toMatchObject({ code: "UNEXPECTED_RESPONSE" })));

type Match = {
  word: string;
  since: string | undefined;
  limit: number;
  found: string;
  tags: Record<string, never>;
};

test("names and inputs are checked", async () => {
  const client = refusing(createClient<typeof list>);
  await refused(
    client.create("search", { word: "tea" }),
    client.create("search", { word: "tea", limit: 5, since: new Date() }, { minItems: 1 }),
    client.create("price"),
    client.create("price", undefined, { timeout: 0 }),
    client.create("price", { of: "tea" }),
    client.create("plain", 5),
    client.create("idle"),
    // @ts-expect-error there is no such definition
    client.create("serach", { word: "tea" }),
    // @ts-expect-error an input is needed
    client.create("search"),
    // @ts-expect-error the word is missing
    client.create("search", {}),
    // @ts-expect-error a number is no text
    client.create("search", { word: 5 }),
    // @ts-expect-error an unknown property
    client.create("search", { word: "tea", wrod: "tea" }),
    // @ts-expect-error a text is no number
    client.create("plain", "5"),
    // @ts-expect-error an input is needed
    client.create("plain"),
    // @ts-expect-error it is not that definition's input
    client.create("price", { word: "tea" }),
    // @ts-expect-error an offset is for following
    client.create("plain", 5, { offset: 5 }),
  );
});

test("results are those of the definition, after they have been JSON", () => {
  const ofList = refusing(createClient<typeof list>);
  const ofTuple = refusing(createClient<typeof tuple>);
  const ofObject = refusing(createClient<typeof named>);
  const matches = () => ofList.create("search", { word: "" });
  expectTypeOf(matches).returns.resolves.toEqualTypeOf<RunnerFollower<Match>>();
  const matchesOfTuple = () => ofTuple.create("search", { word: "" });
  expectTypeOf(matchesOfTuple).returns.resolves.toEqualTypeOf<RunnerFollower<Match>>();
  const matchesOfObject = () => ofObject.create("search", { word: "" });
  expectTypeOf(matchesOfObject).returns.resolves.toEqualTypeOf<RunnerFollower<Match>>();
  const texts = () => ofObject.create("plain", 5);
  expectTypeOf(texts).returns.resolves.toEqualTypeOf<RunnerFollower<string>>();
  const prices = () => ofObject.create("price");
  expectTypeOf(prices).returns.resolves.toEqualTypeOf<RunnerFollower<{ readonly paidAt: string }>>();
  const dates = () => refusing(createClient<[typeof filled]>).create("filled", 5);
  expectTypeOf(dates).returns.resolves.toEqualTypeOf<RunnerFollower<string>>();
});

test("names are checked for an object and a tuple, too, and are those of the definitions, not of the properties", async () => {
  const ofTuple = refusing(createClient<typeof tuple>);
  const ofObject = refusing(createClient<{ find: typeof search }>);
  await refused(
    ofObject.create("search", { word: "" }),
    // @ts-expect-error that is what the property is called
    ofObject.create("find", { word: "" }),
    // @ts-expect-error an input is needed
    ofObject.create("search"),
    // @ts-expect-error there is no such definition
    ofTuple.create("serach", { word: "" }),
    // @ts-expect-error a number is no text
    ofTuple.create("search", { word: 5 }),
  );
});

test("a client that knows nothing of its server takes any name and input, and gives what it is told", async () => {
  const client = createClient(url, { fetch: async () => new Response("no", { status: 403 }) });
  await refused(client.create("any"), client.create("any", 5, { minItems: 1 }), client.create("any", null));
  const anything = async () => {
    for await (const item of await client.create("any")) return item.what.ever as number;
    return 0;
  };
  expectTypeOf(anything).returns.resolves.toEqualTypeOf<number>();
  expectTypeOf(client.follow<{ line: number }>("1")).toEqualTypeOf<RunnerFollower<{ line: number }>>();
  // @ts-expect-error a name is a text
  await client.create(5).catch(() => {});
});

test("what is no definition does not compile as one", () => {
  // @ts-expect-error a number is no definition
  refusing(createClient<[number]>);
  // @ts-expect-error it is neither a sequence nor a process
  refusing(createClient<[{ kind: "other"; name: "x" }]>);
});

describe("as JSON", () => {
  test("simple values stay as they are", () => {
    expectTypeOf<AsJson<string>>().toEqualTypeOf<string>();
    expectTypeOf<AsJson<"a" | 5 | true | null>>().toEqualTypeOf<"a" | 5 | true | null>();
    expectTypeOf<AsJson<unknown>>().toEqualTypeOf<unknown>();
    expectTypeOf<AsJson<never>>().toEqualTypeOf<never>();
    expectTypeOf<AsJson<string & { readonly brand: "id" }>>().toEqualTypeOf<string & { readonly brand: "id" }>();
  });

  test("what says itself what it is does so: a Date, and any class with toJSON", () => {
    expectTypeOf<AsJson<Date>>().toEqualTypeOf<string>();
    expectTypeOf<AsJson<{ toJSON(): Date[] }>>().toEqualTypeOf<string[]>();
    expectTypeOf<AsJson<Coded>>().toEqualTypeOf<{ key: string; at: string }>();
    expectTypeOf<AsJson<URL>>().toEqualTypeOf<string>();
  });

  test("a property that is undefined is left out, an item that is becomes null", () => {
    expectTypeOf<AsJson<{ a?: Date; b: number | undefined }>>().toEqualTypeOf<{
      a?: string;
      b: number | undefined;
    }>();
    expectTypeOf<AsJson<(Date | undefined)[]>>().toEqualTypeOf<(string | null)[]>();
    expectTypeOf<AsJson<undefined>>().toEqualTypeOf<null>();
    expectTypeOf<AsJson<void>>().toExtend<null | undefined | void>();
  });

  test("functions and symbols are gone", () => {
    expectTypeOf<AsJson<{ a: number; f(): void; g: () => Date; s: symbol }>>().toEqualTypeOf<{ a: number }>();
    expectTypeOf<AsJson<{ a: number; f?: () => void }>>().toEqualTypeOf<{ a: number }>();
    expectTypeOf<AsJson<{ a: number; [Symbol.toStringTag]: string }>>().toEqualTypeOf<{ a: number }>();
    expectTypeOf<AsJson<Money>>().toEqualTypeOf<{ readonly paidAt: string }>();
  });

  test("it goes all the way down", () => {
    type Tree = { at: Date; children: Tree[] };
    expectTypeOf<AsJson<Tree>["children"][number]["children"][number]["at"]>().toEqualTypeOf<string>();
    expectTypeOf<AsJson<readonly [Date, { readonly a: Date }]>>().toEqualTypeOf<
      readonly [string, { readonly a: string }]
    >();
    expectTypeOf<AsJson<Date[][]>>().toEqualTypeOf<string[][]>();
    expectTypeOf<AsJson<Record<string, Date>>>().toEqualTypeOf<Record<string, string>>();
    type Either = { kind: "a"; at: Date } | { kind: "b"; by: URL };
    expectTypeOf<AsJson<Either>>().toEqualTypeOf<{ kind: "a"; at: string } | { kind: "b"; by: string }>();
  });

  test("a Map and a Set are empty objects, without a size", () => {
    expectTypeOf<AsJson<Map<string, Date>>>().toEqualTypeOf<Record<string, never>>();
    expectTypeOf<AsJson<ReadonlySet<number>>>().toEqualTypeOf<Record<string, never>>();
    expectTypeOf<AsJson<{ byWord: Map<string, number> }>>().toEqualTypeOf<{ byWord: Record<string, never> }>();
  });
});

test("what really comes is what the types say", async () => {
  const app = await openApp({ router: { expose: list } });
  const client = createClient<typeof list>(`${app.url}/runners`, { headers: { "x-user": "ann" } });
  for await (const match of await client.create("search", { word: "tea" })) {
    expectTypeOf(match).toEqualTypeOf<Match>();
    expect(match).toEqual({ word: "tea", limit: 10, found: "1970-01-01T00:00:00.000Z", tags: {} });
  }
  const texts: string[] = [];
  for await (const text of await client.create("plain", 3)) texts.push(text);
  expect(texts).toEqual(["0", "1", "2"]);
  for await (const { paidAt } of await client.create("price")) expect(paidAt).toBe("1970-01-01T00:00:00.000Z");
  expect(JSON.parse(JSON.stringify({ a: new Coded() }))).toEqual({ a: { key: "a", at: "1970-01-01T00:00:00.000Z" } });
});
