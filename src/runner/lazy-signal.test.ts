import { expect, test, vi } from "vitest";
import { LazySignal } from "./lazy-signal.js";

test("the signal is made at the first look, and is the same ever after", () => {
  const lazy = new LazySignal();
  expect(lazy.signal).toBe(lazy.signal);
  expect(lazy.signal.aborted).toBe(false);
  expect(lazy.aborted).toBe(false);
});

test("abort fires a signal that has been read, with the reason", () => {
  const lazy = new LazySignal();
  const listener = vi.fn();
  lazy.signal.addEventListener("abort", listener);
  lazy.abort("enough");
  expect(listener).toHaveBeenCalledTimes(1);
  expect(lazy.signal.reason).toBe("enough");
});

test("a signal looked at after the abort is aborted already, with the reason", () => {
  const lazy = new LazySignal();
  const reason = new Error("enough");
  lazy.abort(reason);
  expect(lazy.aborted).toBe(true);
  expect(lazy.signal.aborted).toBe(true);
  expect(lazy.signal.reason).toBe(reason);
});

test("only the first abort counts, looked at or not", () => {
  const seen = new LazySignal();
  const listener = vi.fn();
  seen.signal.addEventListener("abort", listener);
  const unseen = new LazySignal();
  for (const lazy of [seen, unseen]) {
    lazy.abort("first");
    lazy.abort("second");
    expect(lazy.signal.reason).toBe("first");
  }
  expect(listener).toHaveBeenCalledTimes(1);
});

test("a listener already sees aborted as true", () => {
  const lazy = new LazySignal();
  const seen: boolean[] = [];
  lazy.signal.addEventListener("abort", () => seen.push(lazy.aborted));
  lazy.abort("x");
  expect(seen).toEqual([true]);
});

test("call-backs run once, in order, before the signal fires, and create no signal", () => {
  const lazy = new LazySignal();
  const calls: string[] = [];
  lazy.onAbort(() => calls.push(`first, ${lazy.reason}`));
  lazy.onAbort(() => calls.push("second"));
  lazy.signal.addEventListener("abort", () => calls.push("signal"));
  lazy.abort("enough");
  lazy.abort("again");
  expect(calls).toEqual(["first, enough", "second", "signal"]);
  const abortController = vi.spyOn(globalThis, "AbortController");
  const unread = new LazySignal();
  unread.onAbort(() => {});
  unread.abort("enough");
  expect(abortController).not.toHaveBeenCalled();
  abortController.mockRestore();
});

test("a call-back that is removed does not run; the same function given twice is removed once", () => {
  const lazy = new LazySignal();
  const callback = vi.fn();
  const off = lazy.onAbort(callback);
  lazy.onAbort(callback);
  off();
  off();
  lazy.abort("enough");
  expect(callback).toHaveBeenCalledTimes(1);
});

test("a call-back that removes the next one keeps it from running; one given after the end never runs", () => {
  const lazy = new LazySignal();
  const [next, late] = [vi.fn(), vi.fn()];
  lazy.onAbort(() => offNext());
  const offNext = lazy.onAbort(next);
  lazy.abort("enough");
  lazy.onAbort(late);
  expect([next.mock.calls.length, late.mock.calls.length]).toEqual([0, 0]);
});

test("a call-back that throws keeps no other one, and not the signal, from its turn; its error is an uncaught one", async () => {
  const lazy = new LazySignal();
  const [next, signal] = [vi.fn(), vi.fn()];
  const thrown = new Error("broken");
  const uncaught = new Promise((resolve) => {
    vi.spyOn(globalThis, "queueMicrotask").mockImplementationOnce((task) => {
      try {
        task();
      } catch (error) {
        resolve(error);
      }
    });
  });
  lazy.onAbort(() => {
    throw thrown;
  });
  lazy.onAbort(next);
  lazy.signal.addEventListener("abort", signal);
  lazy.abort("enough");
  expect([next.mock.calls.length, signal.mock.calls.length]).toEqual([1, 1]);
  expect(await uncaught).toBe(thrown);
  vi.restoreAllMocks();
});
