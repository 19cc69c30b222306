import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { RingBuffer } from "./ring-buffer.js";

function windowOf(count: number): RingBuffer<number> {
  const window = new RingBuffer<number>();
  for (let i = 0; i < count; i++) window.push(i);
  return window;
}

test("a new window is empty and starts at 0", () => {
  const window = new RingBuffer<string>();
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

describe("the array behind the window does not keep alive", () => {
  /** Which of its numbers the array holds. */
  function held(window: RingBuffer<{ n: number }>): number[] {
    const seen: ({ n: number } | undefined)[] = [];
    const { slice } = Array.prototype;
    try {
      Array.prototype.slice = function (this: (typeof seen)[number][], ...range) {
        seen.push(...this);
        return slice.apply(this, range);
      };
      window.slice(window.first, window.first + 1);
    } finally {
      Array.prototype.slice = slice;
    }
    const numbers = seen.flatMap((item) => item?.n ?? []);
    return numbers.sort((a, b) => a - b);
  }

  function push(window: RingBuffer<{ n: number }>, end: number): void {
    for (let n = window.end; n < end; n++) window.push({ n });
  }

  test("what was dropped", () => {
    const window = new RingBuffer<{ n: number }>();
    push(window, 20);
    window.dropBefore(10);
    expect(held(window)).toEqual([10, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
  });

  test.each<[string, (window: RingBuffer<{ n: number }>) => void, number[]]>([
    ["was dropped", (window) => window.dropBefore(20), [20, 21, 22, 23]],
    ["was cut off", (window) => window.cutAt(14), [12, 13]],
    [
      "was dropped after it had found a place in a larger one",
      (window) => {
        push(window, 29);
        window.dropBefore(28);
      },
      [28],
    ],
  ])("what %s, where the window goes on at the array's beginning", (_what, letGo, left) => {
    const window = new RingBuffer<{ n: number }>();
    push(window, 14);
    window.dropBefore(12);
    push(window, 24);
    expect(held(window)).toEqual([12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23]);
    letGo(window);
    expect(held(window)).toEqual(left);
  });
});

test("whatever is pushed, dropped and cut, it holds what a plain array would", () => {
  const push = fc.record({ kind: fc.constant("push" as const), by: fc.integer({ min: 1, max: 60 }) });
  const drop = fc.record({ kind: fc.constant("drop" as const), by: fc.integer({ min: 0, max: 80 }) });
  const cut = fc.record({ kind: fc.constant("cut" as const), by: fc.integer({ min: 0, max: 10 }) });
  fc.assert(
    fc.property(fc.array(fc.oneof(push, push, drop, cut), { maxLength: 60 }), (operations) => {
      const window = new RingBuffer<number>();
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
