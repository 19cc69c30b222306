import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Window } from "./window.js";

function windowOf(count: number): Window<number> {
  const window = new Window<number>();
  for (let i = 0; i < count; i++) window.push(i);
  return window;
}

test("a new window is empty and starts at 0", () => {
  const window = new Window<string>();
  expect([window.first, window.end, window.slice(0, 0)]).toEqual([0, 0, []]);
});

test("items keep their positions while the front is dropped", () => {
  const window = windowOf(10);
  window.dropBefore(4);
  expect([window.first, window.end]).toEqual([4, 10]);
  expect(window.slice(4, 7)).toEqual([4, 5, 6]);
  window.push(10);
  expect(window.slice(9, 11)).toEqual([9, 10]);
});

test("dropping to a position before the window changes nothing", () => {
  const window = windowOf(5);
  window.dropBefore(3);
  window.dropBefore(1);
  window.dropBefore(-4);
  expect([window.first, window.slice(3, 5)]).toEqual([3, [3, 4]]);
});

test("dropping beyond the end empties the window and leaves it at its end", () => {
  const window = windowOf(5);
  window.dropBefore(99);
  expect([window.first, window.end]).toEqual([5, 5]);
  window.push(5);
  expect(window.slice(5, 6)).toEqual([5]);
});

test("a slice is a copy of its own", () => {
  const window = windowOf(3);
  window.slice(0, 3).length = 0;
  const slice = window.slice(0, 3);
  window.dropBefore(3);
  expect(slice).toEqual([0, 1, 2]);
});

describe("cutAt", () => {
  test("drops everything from the position on, also behind a dropped front", () => {
    const window = windowOf(10);
    window.dropBefore(4);
    window.cutAt(7);
    expect([window.first, window.end, window.slice(4, 7)]).toEqual([4, 7, [4, 5, 6]]);
  });

  test("at the end or beyond changes nothing", () => {
    const window = windowOf(3);
    window.cutAt(3);
    window.cutAt(9);
    expect([window.end, window.slice(0, 3)]).toEqual([3, [0, 1, 2]]);
  });

  test("before the window leaves it empty where it starts", () => {
    const window = windowOf(10);
    window.dropBefore(6);
    window.cutAt(2);
    expect([window.first, window.end, window.slice(6, 6)]).toEqual([6, 6, []]);
  });
});

test("dropped items are not kept alive by the array behind the window", () => {
  const window = new Window<{ n: number }>();
  for (let n = 0; n < 20; n++) window.push({ n });
  window.dropBefore(10); // fewer than are cut off in one go
  const seen: unknown[] = [];
  const { slice } = Array.prototype;
  try {
    Array.prototype.slice = function (this: unknown[], ...range) {
      seen.push(...this);
      return slice.apply(this, range);
    };
    window.slice(10, 11);
  } finally {
    Array.prototype.slice = slice;
  }
  const alive = seen.filter((item) => item !== undefined) as { n: number }[];
  expect(alive.map(({ n }) => n)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
});

test("whatever is pushed, dropped and cut, it holds what a plain array would", () => {
  const push = fc.record({ kind: fc.constant("push" as const), by: fc.integer({ min: 1, max: 60 }) });
  const drop = fc.record({ kind: fc.constant("drop" as const), by: fc.integer({ min: 0, max: 80 }) });
  const cut = fc.record({ kind: fc.constant("cut" as const), by: fc.integer({ min: 0, max: 10 }) });
  fc.assert(
    fc.property(fc.array(fc.oneof(push, push, drop, cut), { maxLength: 60 }), (operations) => {
      const window = new Window<number>();
      let items: number[] = [];
      let first = 0;
      let next = 1000;
      for (const { kind, by } of operations) {
        if (kind === "push") {
          for (let i = 0; i < by; i++) {
            window.push(next);
            items.push(next++);
          }
        } else if (kind === "drop") {
          window.dropBefore(first + by);
          const count = Math.min(by, items.length);
          items = items.slice(count);
          first += count;
        } else {
          window.cutAt(first + items.length - by);
          items = items.slice(0, Math.max(0, items.length - by));
        }
        expect([window.first, window.end]).toEqual([first, first + items.length]);
        expect(window.slice(first, first + items.length)).toEqual(items);
      }
    }),
    { seed: 20, numRuns: 300 },
  );
});
