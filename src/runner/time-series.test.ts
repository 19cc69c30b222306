import { beforeEach, describe, expect, test, vi } from "vitest";
import { isPending, openHost, turns } from "../../test/support/control.js";
import type { RunnerOptions } from "../session/options.js";
import type { TimeSeries } from "./time-series.js";

beforeEach(() => {
  vi.useFakeTimers({ now: 1_000_000 });
});

async function measureWith<T>(series: TimeSeries<T>, options: RunnerOptions = {}) {
  const none = Number.POSITIVE_INFINITY; // so that all timers are those of the series
  const timeouts = { idleTimeout: none, maxLifetime: none, runnerIdleTimeout: none, finishedTimeout: none };
  const session = await openHost(timeouts).get("user");
  const runner = await session.createTimeSeriesRunner(series, options);
  await turns();
  return runner;
}

/** Lets time pass and everything happen that follows from it. */
async function pass(ms: number): Promise<void> {
  vi.advanceTimersByTime(ms);
  await turns(6);
}

/** A gauge that counts, and the times at which it was called, in ms from the start. */
function countingGauge(duration = 0) {
  const begin = performance.now();
  const times: number[] = [];
  const gauge = () => {
    times.push(performance.now() - begin);
    if (duration > 0) vi.advanceTimersByTime(duration);
    return times.length;
  };
  return { gauge, times };
}

describe("the schedule", () => {
  test("begins with a measurement at once and goes on at start + k * interval (#61, #62)", async () => {
    const { gauge, times } = countingGauge();
    const runner = await measureWith({ gauge, interval: 100, count: 4 });
    expect(times).toEqual([0]);
    await pass(99);
    expect(times).toEqual([0]);
    await pass(1);
    expect(times).toEqual([0, 100]);
    await pass(100);
    await pass(100);
    expect(times).toEqual([0, 100, 200, 300]);
    expect(await runner.getRequired({ advance: 4 })).toMatchObject({ position: 4, status: "completed" });
  });

  test("items carry the time of their measurement", async () => {
    const runner = await measureWith({ gauge: () => "x", interval: 250, count: 2 });
    await pass(250);
    expect((await runner.getRequired({ advance: 2 })).result).toEqual([
      { time: new Date(1_000_000), value: "x" },
      { time: new Date(1_000_250), value: "x" },
    ]);
  });

  test("delays do not add up (#62)", async () => {
    const { gauge, times } = countingGauge(30);
    await measureWith({ gauge, interval: 100, count: 4 });
    for (let i = 0; i < 4; i++) await pass(70);
    expect(times).toEqual([0, 100, 200, 300]);
  });

  test("does not follow the wall clock (#68)", async () => {
    const { gauge, times } = countingGauge();
    const runner = await measureWith({ gauge, interval: 100, count: 2 });
    vi.setSystemTime(5); // the clock is set back
    await pass(100);
    expect(times).toEqual([0, 100]);
    expect((await runner.getRequired({ advance: 2 })).result.map(({ time }) => time.getTime())).toEqual([
      1_000_000, 105,
    ]);
  });

  test("starts with the first read when the runner does (#61)", async () => {
    const { gauge, times } = countingGauge();
    const runner = await measureWith({ gauge, interval: 100, count: 2 }, { start: "on-first-read" });
    await pass(1000);
    expect(times).toEqual([]);
    const reading = runner.getRequired({ advance: 2 });
    await pass(0);
    await pass(100);
    expect((await reading).status).toBe("completed");
    expect(times).toEqual([1000, 1100]);
  });

  test("is right for intervals beyond 2^31 ms (#70)", async () => {
    const { gauge, times } = countingGauge();
    const interval = 2 ** 31 + 5000;
    await measureWith({ gauge, interval, count: 2 });
    await pass(interval - 1);
    expect(times).toEqual([0]);
    await pass(1);
    expect(times).toEqual([0, interval]);
  });
});

describe("the count", () => {
  test("is exact, and the end does not wait for another interval (#63)", async () => {
    const { gauge, times } = countingGauge();
    const runner = await measureWith({ gauge, interval: 100, count: 1 });
    expect(await runner.getRequired({ advance: 5 })).toMatchObject({ position: 1, status: "completed" });
    expect(times).toHaveLength(1);
  });

  test("left out means no end (#63, #65; design §4)", async () => {
    const { gauge, times } = countingGauge();
    const runner = await measureWith({ gauge, interval: 1 });
    for (let i = 0; i < 50; i++) await pass(1);
    expect(times).toHaveLength(51);
    expect((await runner.state()).isBackgroundCompleted).toBe(false);
  });
});

describe("lag", () => {
  test("is caught up by default: what became due is measured at once, nothing is left out (#62)", async () => {
    const { gauge, times } = countingGauge();
    let first = true;
    const slowOnce = () => {
      const value = gauge();
      if (first) vi.advanceTimersByTime(250);
      first = false;
      return value;
    };
    await measureWith({ gauge: slowOnce, interval: 100, count: 5 });
    expect(times).toEqual([0, 250, 250]);
    await pass(50);
    await pass(100);
    expect(times).toEqual([0, 250, 250, 300, 400]);
  });

  test("leaves out with `skip` what became due, and goes on with the next one due (#69)", async () => {
    const { gauge, times } = countingGauge();
    let first = true;
    const slowOnce = () => {
      const value = gauge();
      if (first) vi.advanceTimersByTime(250);
      first = false;
      return value;
    };
    const runner = await measureWith({ gauge: slowOnce, interval: 100, count: 3, onLag: "skip" });
    expect(times).toEqual([0]);
    await pass(50);
    await pass(100);
    expect(times).toEqual([0, 300, 400]);
    expect((await runner.getRequired({ advance: 9 })).result.map(({ value }) => value)).toEqual([1, 2, 3]);
  });

  test.each([
    { onLag: "catch-up", expected: [0, 100, 200, 550, 550, 550, 600] },
    { onLag: "skip", expected: [0, 100, 200, 600] },
  ] as const)("of a reader that stays behind: $onLag", async ({ onLag, expected }) => {
    const { gauge, times } = countingGauge();
    const runner = await measureWith({ gauge, interval: 100, onLag }, { aheadLimit: 2 });
    for (let i = 0; i < 5; i++) await pass(100); // paused from 200 on, with one measurement in hand
    expect(times).toEqual([0, 100, 200]);
    await pass(50);
    await runner.getRequired({ advance: 2 });
    const next = runner.getRequired({ advance: 5 }); // acknowledges two and waits for five more
    await pass(0);
    await pass(50);
    expect(times).toEqual(expected);
    await runner.abort();
    await next;
  });

  test("an unpunctual schedule keeps its grid with `skip` when nothing is late", async () => {
    const { gauge, times } = countingGauge();
    await measureWith({ gauge, interval: 100, count: 3, onLag: "skip" });
    await pass(100);
    await pass(100);
    expect(times).toEqual([0, 100, 200]);
  });
});

describe("the gauge", () => {
  test("may be asynchronous, and is never called again before it has settled (#71)", async () => {
    let settle: ((value: string) => void) | undefined;
    const gauge = vi.fn(
      () =>
        new Promise<string>((resolve) => {
          settle = resolve;
        }),
    );
    const runner = await measureWith({ gauge, interval: 100, count: 2 });
    await pass(350);
    expect(gauge).toHaveBeenCalledTimes(1);
    settle?.("slow");
    await pass(0);
    expect(gauge).toHaveBeenCalledTimes(2);
    settle?.("late");
    // The time is that of the call, not of the answer.
    expect((await runner.getRequired({ advance: 2 })).result).toEqual([
      { time: new Date(1_000_000), value: "slow" },
      { time: new Date(1_000_350), value: "late" },
    ]);
  });

  test.each(["throws", "rejects"])("that %s fails the runner, behind the earlier items (#67)", async (how) => {
    const cause = new Error("no reading");
    let calls = 0;
    const gauge = () => {
      if (++calls < 3) return calls;
      if (how === "rejects") return Promise.reject(cause);
      throw cause;
    };
    const runner = await measureWith({ gauge, interval: 100 });
    await pass(100);
    await pass(100);
    const { result, status, error } = await runner.getRequired({ advance: 9 });
    expect(result.map(({ value }) => value)).toEqual([1, 2]);
    expect([status, error?.cause]).toEqual(["failed", cause]);
    expect(vi.getTimerCount()).toBe(0);
  });
});

test("an abort ends the wait at once: no timer, no further call of the gauge (#66)", async () => {
  const { gauge, times } = countingGauge();
  const runner = await measureWith({ gauge, interval: 100 });
  expect(vi.getTimerCount()).toBe(1);
  await runner.abort();
  expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
  expect(vi.getTimerCount()).toBe(0);
  await pass(1000);
  expect(times).toEqual([0]);
});

test("an abort while the gauge works waits for it in the clean-up only", async () => {
  let settle: ((value: number) => void) | undefined;
  const gauge = () =>
    new Promise<number>((resolve) => {
      settle = resolve;
    });
  const runner = await measureWith({ gauge, interval: 100 });
  expect(await runner.abort()).toBe("aborted");
  expect(await isPending(runner.cleanup)).toBe(true);
  settle?.(1);
  expect(await runner.cleanup).toEqual({ timedOut: false, errors: [] });
  expect((await runner.state()).progress.current).toBe(0);
});

describe("is checked at creation (#64)", () => {
  const gauge = () => 1;
  test.each<[string, unknown]>([
    ["gauge must be", { interval: 5 }],
    ["gauge must be", { gauge: 5, interval: 5 }],
    ["gauge must be", undefined],
    ["interval must be", { gauge }],
    ["interval must be", { gauge, interval: 0 }],
    ["interval must be", { gauge, interval: -1 }],
    ["interval must be", { gauge, interval: Number.NaN }],
    ["interval must be", { gauge, interval: Number.POSITIVE_INFINITY }],
    ["interval must be", { gauge, interval: "5" }],
    ["count must be", { gauge, interval: 5, count: 0 }],
    ["count must be", { gauge, interval: 5, count: 1.5 }],
    ["count must be", { gauge, interval: 5, count: null }],
    ["onLag must be", { gauge, interval: 5, onLag: "wait" }],
  ])("%s …: %o", async (requirement, series) => {
    await expect(measureWith(series as TimeSeries<number>)).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(`Cannot create a time-series runner: ${requirement}`),
    });
  });
});
