import { describe, expect, test, vi } from "vitest";
import { isPending, listenerCount, turns } from "../../test/support/control.js";
import { abortable, createDeferred, LazyPromise, noop, onAbort, settleWithin, startTimer } from "./async.js";

describe("createDeferred", () => {
  test("gives a promise that its resolve settles", async () => {
    const deferred = createDeferred<number>();
    expect(await isPending(deferred.promise)).toBe(true);
    deferred.resolve(7);
    expect(await deferred.promise).toBe(7);
  });

  test("gives a promise that its reject settles", async () => {
    const deferred = createDeferred();
    deferred.reject("no");
    await expect(deferred.promise).rejects.toBe("no");
  });
});

describe("a LazyPromise", () => {
  test.each(["before", "after"])("resolves with the first value, asked for %s that has come", async (when) => {
    const lazy = new LazyPromise<number>();
    const early = when === "before" ? lazy.promise : undefined;
    lazy.resolve(1);
    lazy.resolve(2);
    expect(await (early ?? lazy.promise)).toBe(1);
    expect(lazy.promise).toBe(early ?? lazy.promise);
  });

  test("is pending until then", async () => {
    expect(await isPending(new LazyPromise().promise)).toBe(true);
  });
});

describe("onAbort", () => {
  test("calls the listener once, when the signal aborts", () => {
    const controller = new AbortController();
    const listener = vi.fn();
    onAbort(controller.signal, listener);
    expect(listener).not.toHaveBeenCalled();
    controller.abort();
    controller.abort();
    expect(listener).toHaveBeenCalledTimes(1);
    expect(listenerCount(controller.signal)).toBe(0);
  });

  test("returns what takes the listener off again", () => {
    const controller = new AbortController();
    const listener = vi.fn();
    const off = onAbort(controller.signal, listener);
    expect(listenerCount(controller.signal)).toBe(1);
    off();
    expect(listenerCount(controller.signal)).toBe(0);
    controller.abort();
    expect(listener).not.toHaveBeenCalled();
  });

  test("calls nothing for a signal that has aborted before, or for none", () => {
    const listener = vi.fn();
    onAbort(AbortSignal.abort(), listener)();
    onAbort(undefined, listener)();
    expect(listener).not.toHaveBeenCalled();
  });
});

describe("abortable", () => {
  test("settles like the promise and leaves no listener", async () => {
    const { signal } = new AbortController();
    expect(await abortable(Promise.resolve(1), signal)).toBe(1);
    await expect(abortable(Promise.reject("broken"), signal)).rejects.toBe("broken");
    await turns();
    expect(listenerCount(signal)).toBe(0);
  });

  test("rejects with the signal's own reason as soon as it aborts", async () => {
    const controller = new AbortController();
    const waiting = abortable(createDeferred().promise, controller.signal);
    const reason = { any: "value" };
    controller.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    expect(listenerCount(controller.signal)).toBe(0);
  });

  test("rejects at once when the signal has aborted before", async () => {
    await expect(abortable(createDeferred().promise, AbortSignal.abort("early"))).rejects.toBe("early");
  });

  test("leaves a later failure of the promise handled", async () => {
    const deferred = createDeferred();
    const controller = new AbortController();
    const waiting = abortable(deferred.promise, controller.signal);
    controller.abort("enough");
    deferred.reject(new Error("late"));
    await expect(waiting).rejects.toBe("enough");
    await turns(); // an unhandled rejection would fail the run
  });

  test("hands the promise itself back when there is no signal", () => {
    const promise = Promise.resolve();
    expect(abortable(promise, undefined)).toBe(promise);
  });
});

describe("settleWithin", () => {
  test("tells that a promise settled in time, and takes the timer away", async () => {
    vi.useFakeTimers();
    expect(await settleWithin(Promise.resolve(), 100)).toEqual({ timedOut: false, errors: [] });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("collects the error of a promise that rejected, and never rejects itself", async () => {
    vi.useFakeTimers();
    const error = new Error("broken");
    expect(await settleWithin(Promise.reject(error), 100)).toEqual({ timedOut: false, errors: [error] });
    expect(vi.getTimerCount()).toBe(0);
  });

  test("gives up exactly when the time is up; a later rejection is handled", async () => {
    vi.useFakeTimers();
    const deferred = createDeferred();
    const waiting = settleWithin(deferred.promise, 100);
    vi.advanceTimersByTime(99);
    expect(await isPending(waiting)).toBe(true);
    vi.advanceTimersByTime(1);
    expect(await waiting).toEqual({ timedOut: true, errors: [] });
    deferred.reject(new Error("late"));
    await turns();
  });

  test("waits as long as it takes with Infinity, without a timer", async () => {
    vi.useFakeTimers();
    const deferred = createDeferred();
    const waiting = settleWithin(deferred.promise, Number.POSITIVE_INFINITY);
    expect(vi.getTimerCount()).toBe(0);
    deferred.resolve();
    expect(await waiting).toEqual({ timedOut: false, errors: [] });
  });
});

describe("startTimer", () => {
  test("calls back once, after the delay and not before", () => {
    vi.useFakeTimers();
    const ring = vi.fn();
    startTimer(1000, ring);
    vi.advanceTimersByTime(999);
    expect(ring).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(ring).toHaveBeenCalledTimes(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("calls back without delay when the time has passed already", () => {
    vi.useFakeTimers();
    const ring = vi.fn();
    startTimer(-5, ring);
    vi.advanceTimersByTime(1);
    expect(ring).toHaveBeenCalledTimes(1);
  });

  test("calls nothing after it was cancelled", () => {
    vi.useFakeTimers();
    const ring = vi.fn();
    startTimer(1000, ring)();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(5000);
    expect(ring).not.toHaveBeenCalled();
  });

  test("sets no timer at all for Infinity", () => {
    vi.useFakeTimers();
    const cancel = startTimer(Number.POSITIVE_INFINITY, noop);
    expect(vi.getTimerCount()).toBe(0);
    cancel();
  });

  test("is right for delays beyond what setTimeout can hold", () => {
    vi.useFakeTimers();
    const ring = vi.fn();
    const delay = 3 * 2 ** 31;
    startTimer(delay, ring);
    vi.advanceTimersByTime(delay - 1);
    expect(ring).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(ring).toHaveBeenCalledTimes(1);
  });

  test("never asks setTimeout for more than 2^31 - 1 ms", () => {
    vi.useFakeTimers();
    const set = vi.spyOn(globalThis, "setTimeout");
    const cancel = startTimer(2 ** 40, noop);
    vi.advanceTimersByTime(2 ** 31 - 1);
    expect(set.mock.calls.map(([, delay]) => delay)).toEqual([2 ** 31 - 1, 2 ** 31 - 1]);
    cancel();
    set.mockRestore();
  });

  test("can be cancelled in a later part of a long delay too", () => {
    vi.useFakeTimers();
    const ring = vi.fn();
    const cancel = startTimer(2 ** 33, ring);
    vi.advanceTimersByTime(2 ** 32);
    cancel();
    expect(vi.getTimerCount()).toBe(0);
    vi.advanceTimersByTime(2 ** 33);
    expect(ring).not.toHaveBeenCalled();
  });

  test.each([
    { unref: true, keepsAlive: false },
    { unref: false, keepsAlive: true },
  ])("keeps the process alive only without unref: $unref", ({ unref, keepsAlive }) => {
    vi.useFakeTimers();
    const set = vi.spyOn(globalThis, "setTimeout");
    const cancel = startTimer(1000, noop, { unref });
    const timer = set.mock.results[0]?.value as NodeJS.Timeout;
    expect(timer.hasRef()).toBe(keepsAlive);
    cancel();
    set.mockRestore();
  });
});
