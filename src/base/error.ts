/**
 * The one error class of the library. Whatever fails by a rule of ours is an {@link ActiveSessionError} with a stable
 * `code` and the HTTP status that fits it; foreign errors travel as `cause`.
 */
import { type ActiveSessionErrorOptions, CodedError, type Issue } from "./coded-error.js";
import { type ErrorCode, statusByCode } from "./error-codes.js";

export type { ActiveSessionErrorOptions, Issue } from "./coded-error.js";
export { type ErrorCode, errorCodes } from "./error-codes.js";

/** Every error that the library itself raises; `instanceof` and {@link ActiveSessionError.is} know those of a second copy of it, too. */
export class ActiveSessionError extends CodedError {
  constructor(code: ErrorCode, message: string, options: ActiveSessionErrorOptions = {}) {
    super(code, statusByCode[code], message, options);
  }

  /** Whether the message may be shown to the client, as frameworks that know HTTP errors ask. */
  get expose(): boolean {
    return this.status < 500;
  }

  /** Headers for the answer, as frameworks that know HTTP errors ask. */
  get headers(): Record<string, string> {
    return this.retryAfter === undefined ? {} : { "Retry-After": String(this.retryAfter) };
  }

  /** The answer, as frameworks of the web platform ask; what went wrong within the application is not told. */
  getResponse(): Response {
    const headers = { "Content-Type": "application/json", ...this.headers };
    return new Response(JSON.stringify(answerBody(this)), { status: this.status, headers });
  }

  /** What may leave the process: code, message and issues, never the cause. */
  toJSON(): { code: ErrorCode; message: string; issues?: readonly Issue[] } {
    const { code, message, issues } = this;
    return issues ? { code, message, issues } : { code, message };
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return ActiveSessionError.is(value);
  }

  /** Whether `value` is an error of this library, also when it comes from a second copy of the package. */
  static override is(value: unknown): value is ActiveSessionError {
    try {
      return typeof value === "object" && CodedError.is(value);
    } catch {
      return false; // what an application throws may be anything: an object, say, whose getters throw
    }
  }
}

/** What an answer says of an error; what went wrong within the application is not told. */
export function answerBody(error: ActiveSessionError): object {
  return error.expose ? error.toJSON() : { code: error.code, message: "The server has failed" };
}

/** What a client is told of a runner that is not there any more, or is another one's since. */
export function runnerGone(): ActiveSessionError {
  return new ActiveSessionError("RUNNER_GONE", "The runner is not available any more");
}

/**
 * Wraps what a runner's work threw. The original stays on the server as `cause`; its message is passed on only when it
 * is marked with a true property `expose`, the convention of HTTP error libraries.
 */
export function runnerFailed(cause: unknown): ActiveSessionError {
  return new ActiveSessionError("RUNNER_FAILED", exposedMessage(cause) ?? "The runner failed", { cause });
}

function exposedMessage(cause: unknown): string | undefined {
  try {
    if (typeof cause !== "object" || cause === null || !("expose" in cause) || cause.expose !== true) return undefined;
    return "message" in cause && typeof cause.message === "string" ? cause.message : undefined;
  } catch {
    return undefined; // a foreign object's getters may throw; then it has nothing to expose
  }
}

/** A value as it may stand in an error's message: short, and never running a foreign `toString`. */
export function describe(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (typeof value === "function") return "a function";
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "an array" : "an object";
  return String(value);
}
