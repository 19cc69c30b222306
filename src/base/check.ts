/** Checks of values that come from outside. Each throws a typed error that names what was asked for and received. */
import { ActiveSessionError, describe, type ErrorCode } from "./error.js";

/** Throws `code` unless `value` is an integer from `min` to `max`, where `max` is `Infinity` by default and included. */
export function checkInteger(
  action: string,
  name: string,
  value: unknown,
  { min = 0, max = Number.POSITIVE_INFINITY, code = "INVALID_ARGUMENT" as ErrorCode } = {},
): asserts value is number {
  const fits = typeof value === "number" && value >= min && value <= max;
  if (fits && (Number.isSafeInteger(value) || (value === Number.POSITIVE_INFINITY && max === value))) return;
  const range = max === Number.POSITIVE_INFINITY ? `an integer of at least ${min}` : `an integer from ${min} to ${max}`;
  throw new ActiveSessionError(code, `Cannot ${action}: ${name} must be ${range}, received ${describe(value)}`);
}

/** Throws `INVALID_OPTION` unless `value` is a positive number of milliseconds; `Infinity` is one. */
export function checkDuration(action: string, name: string, value: unknown): asserts value is number {
  if (typeof value === "number" && value > 0) return;
  throw new ActiveSessionError(
    "INVALID_OPTION",
    `Cannot ${action}: ${name} must be a positive number of milliseconds or Infinity, received ${describe(value)}`,
  );
}

/** Throws `INVALID_OPTION` unless `value` is a function or `undefined`. */
export function checkFunction(action: string, name: string, value: unknown): void {
  if (value === undefined || typeof value === "function") return;
  throw new ActiveSessionError(
    "INVALID_OPTION",
    `Cannot ${action}: ${name} must be a function, received ${describe(value)}`,
  );
}

/** Throws `INVALID_OPTION` unless `value` is an object all of whose keys are among `known`: a misspelt option is an error. */
export function checkOptions(action: string, value: unknown, known: readonly string[]): asserts value is object {
  if (typeof value !== "object" || value === null) {
    throw new ActiveSessionError(
      "INVALID_OPTION",
      `Cannot ${action}: options must be an object, received ${describe(value)}`,
    );
  }
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    throw new ActiveSessionError(
      "INVALID_OPTION",
      `Cannot ${action}: an option must be one of ${known.join(", ")}, received ${describe(key)}`,
    );
  }
}
