/** The options of reads: checked, and with their defaults. */
import { checkInteger } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { RunnerKind } from "../protocol/types.js";
import type { ReadOptions } from "./types.js";

/** What the defaults depend on. */
export interface ReadDefaults {
  readonly kind: RunnerKind;
  readonly defaultAdvance: number;
}

/**
 * The range of a read. Its `max` is 0 for a process only: the exact point `start`.
 * @param action for the message: "read"
 * @param whenOmitted the default of `advance`
 * @throws `INVALID_ARGUMENT`
 */
export function rangeOf(
  { kind, defaultAdvance }: ReadDefaults,
  action: string,
  { advance, start }: ReadOptions,
  whenOmitted: number,
): { readonly start: number | undefined; readonly max: number } {
  if (advance !== undefined) checkInteger(action, "advance", advance);
  if (start !== undefined) checkInteger(action, "start", start, { max: Number.MAX_SAFE_INTEGER });
  const exact = kind === "process" && start !== undefined;
  const max = advance === 0 ? (exact ? 0 : defaultAdvance) : (advance ?? whenOmitted);
  return { start, max };
}

/**
 * Checks the time-out of a read.
 * @returns in ms; `undefined` without a limit
 * @throws `INVALID_ARGUMENT` unless it is `undefined` or a number of milliseconds, 0 and `Infinity` included
 */
export function checkTimeout(timeout: unknown): number | undefined {
  if (timeout === undefined || timeout === Number.POSITIVE_INFINITY) return undefined;
  if (typeof timeout === "number" && timeout >= 0) return timeout;
  throw new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot read: the timeout must be a number of milliseconds of at least 0, received ${describe(timeout)}`,
  );
}
