/**
 * Validation of values from outside. Each check throws a typed error that names the requirement and the value
 * received. The parameter `action` completes the message "Cannot {action}: …"; `name` is the option or argument
 * being checked.
 */
import { ActiveSessionError, describe, type ErrorCode } from "./error.js";

/**
 * Checks for an integer within a range. Integers above 2^53 - 1 are refused, because arithmetic on them is not
 * exact.
 * @param limits `min` (default 0) and `max` (default `Infinity`), both inclusive. `Infinity` itself is valid only
 * if `max` is `Infinity`. `code` is the code of the error, default `INVALID_ARGUMENT`.
 * @throws {@link ActiveSessionError} with `code`
 */
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

/**
 * Checks for a positive number of milliseconds. `Infinity` is valid and means that the time-out is disabled.
 * @param orNone true if 0 is valid, too
 * @throws `INVALID_OPTION`
 */
export function checkDuration(action: string, name: string, value: unknown, orNone = false): asserts value is number {
  if (typeof value === "number" && (value > 0 || (orNone && value === 0))) return;
  const requirement = `${orNone ? "0, " : ""}a positive number of milliseconds or Infinity`;
  throw new ActiveSessionError(
    "INVALID_OPTION",
    `Cannot ${action}: ${name} must be ${requirement}, received ${describe(value)}`,
  );
}

/**
 * Checks for a function; `undefined` is valid.
 * @throws `INVALID_OPTION`
 */
export function checkFunction(action: string, name: string, value: unknown): void {
  if (value === undefined || typeof value === "function") return;
  throw new ActiveSessionError(
    "INVALID_OPTION",
    `Cannot ${action}: ${name} must be a function, received ${describe(value)}`,
  );
}

/**
 * Checks for an object with known keys only, so that a misspelt option is an error instead of being ignored. The
 * values are not checked.
 * @param known names of all options that exist
 * @throws `INVALID_OPTION`
 */
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
