/**
 * A source of measurements at fixed times. Measurement k is due at `start + k * interval` by the monotonic clock, so that
 * delays do not add up and a change of the wall clock moves nothing.
 */
import { onAbort, startTimer } from "../base/async.js";
import { checkInteger } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";

/** One measurement. */
export interface Measurement<T> {
  /** When it was taken, that is, when the gauge was called. */
  readonly time: Date;
  readonly value: T;
}

/** What a time-series runner measures, and when. */
export interface TimeSeries<T> {
  /** Takes one measurement; may be async, is never called again before the one before has settled. */
  readonly gauge: () => T | Promise<T>;
  /** Milliseconds between two measurements; the first is taken at once. */
  readonly interval: number;
  /** How many measurements are taken in all. Default: no end. */
  readonly count?: number | undefined;
  /**
   * What happens to measurements that became due while the gauge was busy or the reader stayed behind: `"catch-up"` takes
   * them one after the other without waiting, `"skip"` leaves them out and goes on with the next one due. Default:
   * `"catch-up"`.
   */
  readonly onLag?: "catch-up" | "skip" | undefined;
}

/** Throws `INVALID_ARGUMENT` unless `series` can be measured. */
export function checkTimeSeries(series: unknown): asserts series is TimeSeries<unknown> {
  const action = "create a time-series runner";
  const { gauge, interval, count, onLag } = Object(series) as Record<keyof TimeSeries<unknown>, unknown>;
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

/** Measures until `count` is reached or `signal` aborts; the abort ends a wait at once. */
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

/** Waits until the monotonic clock shows `due`, or the signal aborts. */
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
