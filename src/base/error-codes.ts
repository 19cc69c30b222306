/**
 * HTTP status of each error code: 4xx where the caller of the route can correct the request, 5xx where the
 * application has to change or a later retry may help.
 */
export const statusByCode = {
  /** A number, position or query parameter is malformed or out of range. */
  INVALID_ARGUMENT: 400,
  /** The validator of a defined runner rejects the input; `issues` has the details. */
  INVALID_INPUT: 422,
  /** An option has the wrong type, is out of range or unknown. */
  INVALID_OPTION: 500,
  /** A source of items is not an iterable, an async iterable, a stream or a function that returns one. */
  INVALID_SOURCE: 500,
  /** `identify` returned something other than a non-empty string, `undefined` or `null`. */
  INVALID_IDENTITY: 500,
  /** A session cookie has to be set, but the response headers have been sent. */
  IDENTITY_TOO_LATE: 500,
  /**
   * `identify` is asynchronous and gave no user at first: `await resolveIdentity(request)` before using the
   * session.
   */
  IDENTITY_PENDING: 500,
  /** No definition of this name is exposed to clients. */
  UNKNOWN_DEFINITION: 404,
  /** The request has no user and, with `anonymous: "none"`, no session. */
  NO_IDENTITY: 401,
  /** The framework's session, which this session is bound to, could not be saved; `cause` is the error of its store. */
  IDENTITY_NOT_SAVED: 503,
  /** No scope of the adapter gives this request a session. */
  OUT_OF_SCOPE: 500,
  /** The client has reached its limit of sessions, runners or open reads. */
  CLIENT_LIMIT_REACHED: 429,
  /** The process has reached its limit of sessions, runners, open reads or items. */
  SERVER_LIMIT_REACHED: 503,
  /** An adapter is used before its middleware ran, or with another host object. */
  NOT_INSTALLED: 500,
  /** The position lies before the first one that is still kept. */
  POSITION_GONE: 410,
  /** The position lies beyond what has been produced or, for an acknowledgement, handed out. */
  POSITION_AHEAD: 400,
  /** Another read at the default position is pending. */
  READ_CONFLICT: 409,
  /** The work of the runner failed; `cause` is the error it threw. */
  RUNNER_FAILED: 500,
  /** The runner was aborted. */
  RUNNER_ABORTED: 409,
  /** The source could not be opened. The runner is not started; starting it again is allowed. */
  RUNNER_START_FAILED: 500,
  /** No such runner for this identity: the key is malformed, belongs to another client or was never issued. */
  RUNNER_NOT_FOUND: 404,
  /** The runner existed but has been removed, or its session has ended. */
  RUNNER_GONE: 410,
  /** The session has ended. */
  SESSION_ENDED: 410,
  /** The host is closing or closed. */
  HOST_CLOSED: 503,
  /** The item at this position has no JSON form. */
  RESULT_NOT_SERIALIZABLE: 500,
  /** The JSON of the item at this position exceeds the size limit. */
  ITEM_TOO_LARGE: 500,
  /** The runner would keep more items than `limits.itemsPerRunner` allows. */
  RUNNER_TOO_LARGE: 500,
  /** The body of the request exceeds the size limit. */
  PAYLOAD_TOO_LARGE: 413,
  /** The body of the request is not `application/json`. */
  UNSUPPORTED_MEDIA_TYPE: 415,
  /** The idempotency key was used before with another input. */
  IDEMPOTENCY_KEY_REUSED: 422,
  /** A request that changes state came from another site. */
  CROSS_SITE_REQUEST: 403,
  /** The route does not support the method or the action. */
  METHOD_NOT_ALLOWED: 405,
  /** Client only: the application answered 401, so the user has to log in. */
  UNAUTHORIZED: 401,
  /** Client only: the server's response does not follow the protocol, or may not be read for want of CORS headers. */
  UNEXPECTED_RESPONSE: 502,
  /** The server is unreachable or busy, or its response was cut off; a retry may help. */
  SERVER_UNAVAILABLE: 503,
} as const;

/** Stable code of an {@link ActiveSessionError}. */
export type ErrorCode = keyof typeof statusByCode;

/** All error codes. */
export const errorCodes = /* @__PURE__ */ Object.keys(statusByCode) as readonly ErrorCode[];
