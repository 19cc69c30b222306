/** What every error of the library is, on the server and in the client, apart from which codes there are. */
import type { ErrorCode } from "./error-codes.js";

/** What a validator finds fault with. */
export interface Issue {
  readonly message: string;
  /** Where in the input. */
  readonly path?: readonly string[];
}

/** Options of {@link ActiveSessionError}. */
export interface ActiveSessionErrorOptions {
  /** What led to this error; kept as the standard, not enumerable, `cause`. */
  readonly cause?: unknown;
  /** For `POSITION_GONE`: the first position that is still kept. */
  readonly firstPosition?: number;
  /** For `INVALID_INPUT`: what the validator found. */
  readonly issues?: readonly Issue[];
  /** For a limit that was reached: in how many seconds another try may make sense. */
  readonly retryAfter?: number;
}

/** See `ActiveSessionError`, which knows the status of each code; a client is told it. */
export class CodedError extends Error {
  override readonly name = "ActiveSessionError";
  /** Stable, upper-case; never changes within a major version. */
  declare readonly code: ErrorCode;
  /** HTTP status that suits the error. */
  declare readonly status: number;
  /** For `POSITION_GONE`: the first position that can still be read. */
  declare readonly firstPosition?: number;
  /** For `INVALID_INPUT`: what the validator found. */
  declare readonly issues?: readonly Issue[];
  /** For a limit that was reached: in how many seconds another try may make sense. */
  declare readonly retryAfter?: number;

  constructor(code: ErrorCode, status: number, message: string, options: ActiveSessionErrorOptions = {}) {
    super(message, options);
    Object.assign(this, { code, status }, options); // the cause has become a property that is not enumerable, and stays so
  }

  /** Whether `value` is an error of this library, also when it comes from a second copy of the package. */
  static is(value: unknown): value is CodedError {
    return (value as CodedError | undefined | null)?.name === "ActiveSessionError";
  }
}
