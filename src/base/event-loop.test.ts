import { describe, expect, test, vi } from "vitest";
import { turns } from "../../test/support/control.js";
import { afterTurn, isSliceOver, nextSlice } from "./event-loop.js";

describe("afterTurn", () => {
  test("lets one whole turn pass, in which others get their immediates and promises", async () => {
    const order: string[] = [];
    afterTurn(() => order.push("after the turn"));
    setImmediate(() => {
      order.push("immediate");
      void Promise.resolve().then(() => order.push("promise"));
    });
    expect(order).toEqual([]);
    await turns(4);
    expect(order).toEqual(["immediate", "promise", "after the turn"]);
  });

  test("also lets a whole turn pass when it is called while another call waits", async () => {
    const order: string[] = [];
    afterTurn(() => order.push("first"));
    await turns(1);
    afterTurn(() => order.push("second"));
    setImmediate(() => order.push("immediate"));
    await turns(5);
    expect(order).toHaveLength(3);
    expect(order.at(-1)).toBe("second");
  });

  test("calls back in order, each once", async () => {
    const order: number[] = [];
    for (const n of [1, 2, 3]) afterTurn(() => order.push(n));
    await turns(8);
    expect(order).toEqual([1, 2, 3]);
  });

  test("can be called from a call-back", async () => {
    const order: string[] = [];
    afterTurn(() => {
      order.push("outer");
      afterTurn(() => order.push("inner"));
    });
    await turns(8);
    expect(order).toEqual(["outer", "inner"]);
  });

  test("works while timers are faked", async () => {
    vi.useFakeTimers();
    const done = vi.fn();
    afterTurn(done);
    await turns(4);
    expect(done).toHaveBeenCalledTimes(1);
  });
});

describe("slices", () => {
  test("a slice lasts 10 ms by the clock", async () => {
    vi.useFakeTimers();
    vi.advanceTimersByTime(1_000_000);
    expect(isSliceOver()).toBe(true);
    await nextSlice();
    expect(isSliceOver()).toBe(false);
    vi.advanceTimersByTime(9);
    expect(isSliceOver()).toBe(false);
    vi.advanceTimersByTime(1);
    expect(isSliceOver()).toBe(true);
  });

  test("is shorter where several producers wait for theirs, but not shorter than 1 ms", async () => {
    vi.useFakeTimers();
    vi.advanceTimersByTime(3_000_000);
    const lengths: number[] = [];
    const take = async () => {
      await nextSlice();
      const began = performance.now();
      while (!isSliceOver()) vi.advanceTimersByTime(1);
      lengths.push(performance.now() - began);
    };
    await Promise.all(Array.from({ length: 20 }, take));
    expect(lengths.slice(0, 11)).toEqual(Array(11).fill(1));
    expect(lengths.slice(-4)).toEqual([3, 4, 5, 10]);
  });

  test("one producer a turn goes on, in order of asking", async () => {
    vi.useFakeTimers();
    vi.advanceTimersByTime(2_000_000);
    const order: string[] = [];
    const others = () => order.push("others");
    const ask = async (name: string) => {
      await nextSlice();
      order.push(name);
      setImmediate(others);
    };
    const all = [ask("a"), ask("b"), ask("c")];
    await Promise.all(all);
    await turns();
    expect(order).toEqual(["a", "b", "others", "c", "others", "others"]);
  });
});
