/** A source of measurements at fixed times. */
import { onAbort, startTimer } from "../base/async.js";
import { checkInteger } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";

/** An item of a time-series runner. */
export interface Measurement<T> {
  /** When the gauge was called, by the wall clock. */
  readonly time: Date;
  /** The result of the gauge. */
  readonly value: T;
}

/**
 * Describes a time-series runner: what it measures, and when.
 *
 * @example
 * const runner = await session.createTimeSeriesRunner({
 *   gauge: () => process.memoryUsage().rss,
 *   interval: 1000,
 *   count: 60,
 * });
 */
export interface TimeSeries<T> {
  /** Takes one measurement. May be async; calls never overlap. An error fails the runner. */
  readonly gauge: () => T | Promise<T>;
  /** Milliseconds between two measurements; a positive, finite number. The first measurement is taken at once. */
  readonly interval: number;
  /** The total number of measurements; an integer from 1, or `Infinity`. Default: no end. */
  readonly count?: number | undefined;
  /**
   * How to treat measurements that became due while the gauge was busy or back-pressure held the runner up: `"catch-up"` takes
   * them one after the other without waiting, `"skip"` leaves them out and continues with the next one due. Default:
   * `"catch-up"`.
   */
  readonly onLag?: "catch-up" | "skip" | undefined;
}

/**
 * Checks a time series without calling its gauge.
 * @throws `INVALID_ARGUMENT` if a member has a wrong type or is out of range
 */
export function checkTimeSeries(series: unknown): asserts series is TimeSeries<unknown> {
  const action = "create a time-series runner";
  const { gauge, interval, count, onLag }: Record<keyof TimeSeries<unknown>, unknown> = Object(series);
  const fail = (requirement: string, value: unknown): never => {
    throw new ActiveSessionError("INVALID_ARGUMENT", `Cannot ${action}: ${requirement}, received ${describe(value)}`);
  };
  if (typeof gauge !== "function") fail("gauge must be a function", gauge);
  if (typeof interval !== "number" || !(interval > 0) || interval === Number.POSITIVE_INFINITY) {
    fail("interval must be a positive number of milliseconds", interval);
  }
  if (count !== undefined) checkInteger(action, "count", count, { min: 1 });
  if (onLag !== undefined && onLag !== "catch-up" && onLag !== "skip") {
    fail('onLag must be "catch-up" or "skip"', onLag);
  }
}

/**
 * Measures until `count` is reached or `signal` aborts; an abort ends a wait at once.
 *
 * Measurement k is due at `start + k * interval` by the monotonic clock: delays do not add up, and a change of the wall clock has no
 * effect. Under `"skip"`, k jumps to the next measurement that is not overdue.
 * @param signal ends the measuring without an error
 */
export async function* measure<T>(series: TimeSeries<T>, signal: AbortSignal): AsyncGenerator<Measurement<T>, void> {
  const { gauge, interval, count = Number.POSITIVE_INFINITY, onLag = "catch-up" } = series;
  const begin = performance.now();
  let tick = 0;
  for (let taken = 0; taken < count; taken++) {
    if (onLag === "skip" && taken > 0) tick = Math.max(tick, Math.ceil((performance.now() - begin) / interval));
    await sleepUntil(begin + tick * interval, signal);
    if (signal.aborted) return;
    const time = new Date();
    yield { time, value: await gauge() };
    tick++;
  }
}

/**
 * Waits until the monotonic clock shows `due`, or the signal aborts. Never rejects, and leaves neither a timer nor a listener
 * behind.
 */
function sleepUntil(due: number, signal: AbortSignal): Promise<void> {
  const delay = due - performance.now();
  if (delay <= 0 || signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const cancelTimer = startTimer(delay, () => {
      off();
      resolve();
    });
    const off = onAbort(signal, () => {
      cancelTimer();
      resolve();
    });
  });
}
