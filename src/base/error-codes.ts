/** Which errors there are. */

/** HTTP status for each error code: 4xx when the caller of the route can mend it, 5xx when the application must. */
export const statusByCode = {
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
  /** `identify` is asynchronous and gave no user at first: `await resolveIdentity(request)` before the session is used. */
  IDENTITY_PENDING: 500,
  /** The request has no user, and with `anonymous: "none"` no session. */
  NO_IDENTITY: 401,
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
  /** The JSON of the item at this position is larger than it may be. */
  ITEM_TOO_LARGE: 500,
  /** The runner would keep more items than it may: `limits.itemsPerRunner`. */
  RUNNER_TOO_LARGE: 500,
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
