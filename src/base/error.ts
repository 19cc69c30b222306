import { type ActiveSessionErrorOptions, CodedError, type Issue } from "./coded-error.js";
import { type ErrorCode, statusByCode } from "./error-codes.js";

export type { ActiveSessionErrorOptions, Issue } from "./coded-error.js";
export { type ErrorCode, errorCodes } from "./error-codes.js";

/**
 * The error class of the library. Every failure caused by a rule of the library has a stable `code` and a suitable
 * HTTP `status`; errors of other origin are wrapped and kept as `cause`.
 *
 * `instanceof` and {@link ActiveSessionError.is} also recognise errors of a second copy of the package.
 * @example
 * const page = await runner.getRequired({ start }).catch((error) => {
 *   if (!ActiveSessionError.is(error) || error.code !== "POSITION_GONE") throw error;
 *   return runner.getRequired({ start: error.firstPosition }); // skips what is no longer kept
 * });
 */
export class ActiveSessionError extends CodedError {
  /**
   * @param code determines the HTTP status
   * @param message text for developers; sent to clients if the status is below 500
   */
  constructor(code: ErrorCode, message: string, options: ActiveSessionErrorOptions = {}) {
    super(code, statusByCode[code], message, options);
  }

  /**
   * True if the message may be sent to the client, i.e. the status is below 500. The name follows the convention of
   * the package http-errors, which Koa and others read.
   */
  get expose(): boolean {
    return this.status < 500;
  }

  /** Response headers of the error (`Retry-After`), under the name that frameworks with HTTP errors expect. */
  get headers(): Record<string, string> {
    return this.retryAfter === undefined ? {} : { "Retry-After": String(this.retryAfter) };
  }

  /**
   * Returns the error as a response, under the name that frameworks of the web platform expect (Hono). A failure
   * inside the application is reported without its message.
   */
  getResponse(): Response {
    const headers = { "Content-Type": "application/json", ...this.headers };
    return new Response(JSON.stringify(answerBody(this)), { status: this.status, headers });
  }

  /** Returns the part that may leave the process: code, message and issues, never the cause. */
  toJSON(): { code: ErrorCode; message: string; issues?: readonly Issue[] } {
    const { code, message, issues } = this;
    return issues ? { code, message, issues } : { code, message };
  }

  /** Makes `instanceof` work across copies of the package. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: a subclass has instances of its own
    return this === ActiveSessionError ? ActiveSessionError.is(value) : super[Symbol.hasInstance](value);
  }

  /**
   * True if `value` is an error of this library, including one from a second copy of the package. Never throws.
   * Functions are excluded: the class itself has the name that serves as brand.
   */
  static override is(value: unknown): value is ActiveSessionError {
    try {
      return typeof value === "object" && CodedError.is(value);
    } catch {
      return false; // thrown values can be anything, such as an object with throwing getters
    }
  }
}

/** Returns the JSON body for an error response. A 5xx message may reveal internals and is replaced by a general one. */
export function answerBody(error: ActiveSessionError): object {
  return error.expose ? error.toJSON() : { code: error.code, message: "The server has failed" };
}

/**
 * Returns the error for a runner that has been removed, or that belongs to another owner since the session was
 * handed over.
 */
export function runnerGone(): ActiveSessionError {
  return new ActiveSessionError("RUNNER_GONE", "The runner is not available any more");
}

/**
 * Wraps an error thrown by a runner's work. The original stays on the server as `cause`. Its message is passed on
 * only if the error has a property `expose` that is true, the convention of HTTP error libraries.
 */
export function runnerFailed(cause: unknown): ActiveSessionError {
  return new ActiveSessionError("RUNNER_FAILED", exposedMessage(cause) ?? "The runner failed", { cause });
}

/** Returns the message of an error marked with `expose`, otherwise `undefined`. */
function exposedMessage(cause: unknown): string | undefined {
  try {
    if (typeof cause !== "object" || cause === null || !("expose" in cause) || cause.expose !== true) return undefined;
    return "message" in cause && typeof cause.message === "string" ? cause.message : undefined;
  } catch {
    return undefined; // getters may throw; there is no message to expose then
  }
}

/**
 * Formats a value for an error message: short, and without calling a `toString` of the application. Strings are
 * quoted and cut at 60 characters.
 */
export function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return String(value);
}

/** True for an error of the server. One of the client's, thrown by a handler that calls another server, cannot answer a request. */
export function isAnswerable(error: unknown): error is ActiveSessionError {
  return ActiveSessionError.is(error) && typeof error.getResponse === "function";
}
