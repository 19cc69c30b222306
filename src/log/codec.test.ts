import { describe, expect, test } from "vitest";
import { openHost, PushSource } from "../../test/support/control.js";
import { inside } from "../../test/support/inside.js";
import { readFrom } from "../../test/support/logs.js";
import { encodeItems, type JsonLimits } from "./codec.js";

const limitsOf = (bytes = 1_000_000_000): JsonLimits => ({ bytes, itemBytes: 1_000_000_000 });
const encode = (items: readonly unknown[], bytes?: number) => {
  const { text, count } = encodeItems(items, limitsOf(bytes));
  return { text, count };
};

const cycle: { self?: unknown } = {};
cycle.self = cycle;
const throwing = {
  toJSON() {
    throw new Error("no JSON form");
  },
};

test("items become one JSON array", () => {
  expect(encode([1, "two", { three: [3] }, null, true])).toEqual({
    text: '[1,"two",{"three":[3]},null,true]',
    count: 5,
  });
});

test("an item that cannot be written a second time ends the text before it", () => {
  let calls = 0;
  const moody = {
    toJSON() {
      calls++;
      if (calls > 1) throw new Error("not again");
      return "x".repeat(100);
    },
  };
  expect(encode(["a", moody, "b"], 90)).toEqual({ text: '["a"]', count: 1 });
});

test("no items are an empty array, and no error", () => {
  expect(encode([])).toEqual({ text: "[]", count: 0 });
});

test.each([
  ["a Date", new Date(Date.UTC(2024, 1, 29, 12)), '["2024-02-29T12:00:00.000Z"]'],
  ["undefined", undefined, "[null]"],
  ["a function", () => 1, "[null]"],
  ["a symbol", Symbol("s"), "[null]"],
  ["NaN", Number.NaN, "[null]"],
  ["an object with toJSON", { toJSON: () => ({ shown: 1 }) }, '[{"shown":1}]'],
  ["a toJSON that gives nothing", { toJSON: () => undefined }, "[null]"],
  ["text with line breaks", "a\r\nb\n\ndata:x", '["a\\r\\nb\\n\\ndata:x"]'],
])("%s has a form", (_, item, text) => {
  expect(encode([item])).toEqual({ text, count: 1 });
});

const unserialisable: [string, unknown][] = [
  ["a BigInt", 5n],
  ["a BigInt deep inside", { a: [{ b: 5n }] }],
  ["a cycle", cycle],
  ["a toJSON that throws", throwing],
];

test.each(unserialisable)("%s ends the slice before it", (_, item) => {
  expect(encode([1, undefined, new Date(0), item, 4])).toEqual({
    text: '[1,null,"1970-01-01T00:00:00.000Z"]',
    count: 3,
  });
});

test.each(unserialisable)("a slice that begins with %s cannot be answered", (_, item) => {
  expect(() => encode([item, 1])).toThrow(
    expect.objectContaining({ code: "RESULT_NOT_SERIALIZABLE", status: 500, cause: expect.any(Error) }),
  );
});

test("the item that cannot be encoded does not show in the error", () => {
  expect(() => encode([{ password: 5n }])).toThrow(/^Cannot answer: the result has no JSON form$/);
});

test.each([1, 10, 50, 100, 390, 391, 1000])(
  "a limit of %d characters gives at least one item, and just the items it counts",
  (limit) => {
    const items = Array.from({ length: 100 }, (_, i) => i + 100);
    const { text, count } = encode(items, limit);
    expect(count).toBeGreaterThanOrEqual(1);
    expect(JSON.parse(text)).toEqual(items.slice(0, count));
    if (count > 1) expect(text.length).toBeLessThanOrEqual(limit + 2);
    if (limit >= 401) expect(count).toBe(100);
  },
);

test("what does not fit into the limit is not encoded, for it would be again with each slice", () => {
  let calls = 0;
  const large = {
    toJSON() {
      calls++;
      return "x".repeat(10_000);
    },
  };
  const { count } = encode(Array(100).fill(large), 65_536);
  expect(count).toBe(6);
  expect(calls).toBe(6);
});

test("items that are larger than those before them do not go beyond the limit", () => {
  const items = [...Array(20).fill(1), ...Array(80).fill("x".repeat(10_000))];
  const { text, count } = encode(items, 65_536);
  expect(text.length).toBeLessThanOrEqual(65_536);
  expect(JSON.parse(text)).toEqual(items.slice(0, count));
  expect(count).toBe(26);
});

test("what has no JSON form does not lift the limit", () => {
  const { text, count } = encode([...Array(50).fill("x".repeat(10_000)), 5n], 65_536);
  expect(text.length).toBeLessThanOrEqual(65_536);
  expect(count).toBe(6);
});

describe("readers that wait at the same place", () => {
  /** Counts how often it is written. */
  const counted = (calls: unknown[], value: unknown) => ({
    toJSON() {
      calls.push(value);
      return value;
    },
  });

  test("share one encoding; a read with less room has another one", async () => {
    const calls: unknown[] = [];
    const session = await openHost().get("ann");
    const source = new PushSource<object>();
    const runner = await session.createSequenceRunner(source, { start: "now" });
    const wait = (json: JsonLimits) => readFrom(inside(runner), { start: 0, min: 2, max: 2, mode: "follow", json });
    const [much, little] = [limitsOf(), limitsOf(8)];
    const reads = Promise.all([wait(much), wait(much), wait(little), wait(little), wait(much)]);
    source.push(counted(calls, "one"), counted(calls, "two"));
    source.end();
    const [both, first] = ['["one","two"]', '["one"]'];
    expect((await reads).map(({ json }) => json?.text)).toEqual([both, both, first, first, both]);
    expect(calls.filter((value) => value === "two")).toHaveLength(2); // once before and once after the small reads
  });

  test("of a process have the value of their moment", async () => {
    const session = await openHost().get("ann");
    const runner = await session.createProcessRunner(({ report }) => {
      report("early");
      return "late";
    });
    const json = limitsOf();
    const slices = await Promise.all(
      [0, 0, 1].map((start) => readFrom(inside(runner), { start, min: 1, max: 9, json })),
    );
    for (const slice of slices)
      expect(slice.json?.text).toBe(JSON.stringify(slice.result === undefined ? [] : [slice.result]));
  });
});
