import type { ErrorCode } from "./error-codes.js";

/** A problem that a validator found in an input. */
export interface Issue {
  /** Description of the problem, as the validator worded it. */
  readonly message: string;
  /** Property names from the root of the input to the invalid value; absent if the input as a whole is invalid. */
  readonly path?: readonly string[];
}

/** Options of {@link ActiveSessionError}. */
export interface ActiveSessionErrorOptions {
  /** The error behind this one. Kept as the standard `cause` property, which is not enumerable. */
  readonly cause?: unknown;
  /** With `POSITION_GONE`: the first position that is still kept. */
  readonly firstPosition?: number;
  /** With `INVALID_INPUT`: the problems the validator found. */
  readonly issues?: readonly Issue[];
  /** With a limit that was reached: seconds after which a retry may succeed. */
  readonly retryAfter?: number;
}

/**
 * The base of all errors of the library, shared by server and client. It has no table of status codes, which keeps
 * that table out of the client's bundle: the client takes the status from the response, the server uses the
 * subclass `ActiveSessionError`. The client exports it under the same name.
 * @example
 * import { ActiveSessionError } from "active-session/client";
 *
 * const page = await client.read(key).catch((error) => {
 *   if (ActiveSessionError.is(error) && error.code === "RUNNER_GONE") return undefined;
 *   throw error;
 * });
 */
export class CodedError extends Error {
  /** Brand by which {@link is} recognises the errors of all copies of the package. */
  override readonly name = "ActiveSessionError";
  /** Stable upper-case code. Codes do not change within a major version. */
  declare readonly code: ErrorCode;
  /** HTTP status that suits the error. */
  declare readonly status: number;
  /** With `POSITION_GONE`: the first position that can still be read. */
  declare readonly firstPosition?: number;
  /** With `INVALID_INPUT`: the problems the validator found. */
  declare readonly issues?: readonly Issue[];
  /** With a limit that was reached: seconds after which a retry may succeed. */
  declare readonly retryAfter?: number;

  /**
   * @param code one of the codes in `error-codes.ts`
   * @param status HTTP status of the response
   * @param message text for developers; a server may send it to clients
   * @param options further properties of the error
   */
  constructor(code: ErrorCode, status: number, message: string, options: ActiveSessionErrorOptions = {}) {
    super(message, options);
    Object.assign(this, { code, status }, options); // super() defines cause as non-enumerable; assigning keeps that
  }

  /**
   * True if `value` is an error of this library, including one from a second copy of the package, for which
   * `instanceof` would be false.
   */
  static is(value: unknown): value is CodedError {
    return (value as CodedError | undefined | null)?.name === "ActiveSessionError";
  }
}
