/**
 * The one error class of the library. Whatever fails by a rule of ours is an {@link ActiveSessionError} with a stable
 * `code` and the HTTP status that fits it; foreign errors travel as `cause`.
 */

/** HTTP status for each error code: 4xx when the caller of the route can mend it, 5xx when the application must. */
const statusByCode = {
  /** A number, position or query parameter is malformed or out of its range. */
  INVALID_ARGUMENT: 400,
  /** The input of a defined runner is not what its validator wants; `issues` says why. */
  INVALID_INPUT: 422,
  /** An option has a wrong type, is out of range or unknown. */
  INVALID_OPTION: 500,
  /** What should produce items is not an iterable, an async iterable, a stream or a function that returns one. */
  INVALID_SOURCE: 500,
  /** `identify` gave something that is neither a non-empty string nor `undefined` or `null`. */
  INVALID_IDENTITY: 500,
  /** A session cookie would be needed, but the response's headers have been sent. */
  IDENTITY_TOO_LATE: 500,
  /** The framework's session, to which this one belongs, could not be saved; `cause` is its store's error. */
  IDENTITY_NOT_SAVED: 503,
  /** No scope of the adapter gives this request a session. */
  OUT_OF_SCOPE: 500,
  /** The client has as many sessions, runners or open reads as it may have. */
  CLIENT_LIMIT_REACHED: 429,
  /** The process has as many sessions, runners, open reads or items as it may have. */
  SERVER_LIMIT_REACHED: 503,
  /** An adapter is used before its middleware, or with another host object. */
  NOT_INSTALLED: 500,
  /** The position lies before the first one that is still kept. */
  POSITION_GONE: 410,
  /** The position lies beyond what has been produced (or, for an acknowledgement, handed out). */
  POSITION_AHEAD: 400,
  /** Another read at the default position is pending. */
  READ_CONFLICT: 409,
  /** The runner's own work failed; `cause` is what it threw. */
  RUNNER_FAILED: 500,
  /** The runner was aborted. */
  RUNNER_ABORTED: 409,
  /** The source could not be opened; the runner is not started and the start can be tried again. */
  RUNNER_START_FAILED: 500,
  /** No such runner for this identity: malformed key, another client's key, or one that was never issued. */
  RUNNER_NOT_FOUND: 404,
  /** The runner existed and has been removed, or its session has ended. */
  RUNNER_GONE: 410,
  /** The session has ended. */
  SESSION_ENDED: 410,
  /** The host is closing or closed. */
  HOST_CLOSED: 503,
  /** The item at this position has no JSON form. */
  RESULT_NOT_SERIALIZABLE: 500,
  /** The body of a request is larger than it may be. */
  PAYLOAD_TOO_LARGE: 413,
  /** The body of a request is not of the type that is understood, `application/json`. */
  UNSUPPORTED_MEDIA_TYPE: 415,
  /** The idempotency key stands for another input. */
  IDEMPOTENCY_KEY_REUSED: 422,
  /** A request that changes something came from another site. */
  CROSS_SITE_REQUEST: 403,
  /** The method or the action is not one of the runner's. */
  METHOD_NOT_ALLOWED: 405,
  /** The server's answer is not one of the protocol's. */
  UNEXPECTED_RESPONSE: 502,
  /** The server cannot be reached, is busy, or its answer was cut off; another try may help. */
  SERVER_UNAVAILABLE: 503,
} as const;

/** Stable code of an {@link ActiveSessionError}. */
export type ErrorCode = keyof typeof statusByCode;

/** Every code there is. */
export const errorCodes = /* @__PURE__ */ Object.keys(statusByCode) as readonly ErrorCode[];

/** Whether a text, from wherever it comes, is one of the codes. */
export function isErrorCode(text: unknown): text is ErrorCode {
  return typeof text === "string" && Object.hasOwn(statusByCode, text);
}

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

const brand = Symbol.for("active-session.error");

/** Every error that the library itself raises. Recognise it with {@link ActiveSessionError.is}, not by `instanceof`. */
export class ActiveSessionError extends Error {
  override readonly name = "ActiveSessionError";
  /** Stable, upper-case; never changes within a major version. */
  readonly code: ErrorCode;
  /** HTTP status that suits the error. */
  readonly status: number;
  /** For `POSITION_GONE`: the first position that can still be read. */
  readonly firstPosition?: number;
  /** For `INVALID_INPUT`: what the validator found. */
  readonly issues?: readonly Issue[];
  /** For a limit that was reached: in how many seconds another try may make sense. */
  readonly retryAfter?: number;

  constructor(code: ErrorCode, message: string, options: ActiveSessionErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.status = statusByCode[code];
    if (options.firstPosition !== undefined) this.firstPosition = options.firstPosition;
    if (options.issues !== undefined) this.issues = options.issues;
    if (options.retryAfter !== undefined) this.retryAfter = options.retryAfter;
    Object.defineProperty(this, brand, { value: true });
  }

  /** Whether the message may be shown to the client, as frameworks that know HTTP errors ask. */
  get expose(): boolean {
    return this.status < 500;
  }

  /** Headers for the answer, as frameworks that know HTTP errors ask. */
  get headers(): Record<string, string> {
    return this.retryAfter === undefined ? {} : { "Retry-After": String(this.retryAfter) };
  }

  /** What may leave the process: code, message and issues, never the cause. */
  toJSON(): { code: ErrorCode; message: string; issues?: readonly Issue[] } {
    const { code, message, issues } = this;
    return issues ? { code, message, issues } : { code, message };
  }

  /** Whether `value` is an error of this library, also when it comes from a second copy of the package. */
  static is(value: unknown): value is ActiveSessionError {
    return typeof value === "object" && value !== null && brand in value;
  }
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
