/**
 * Names and shapes that server and client share. `Stream-…` are headers of the Durable Streams protocol, `Runner-…`
 * are additions of this library.
 */

/** Request header of a creation: the label, percent-encoded as UTF-8. */
export const labelHeader = "Runner-Label";

/** Response headers of a read. Header names are case-insensitive in Node and in `fetch`. */
export const headerNames = {
  /** Offset of the next read. */
  nextOffset: "Stream-Next-Offset",
  /** `true` if the response reaches the tail. */
  upToDate: "Stream-Up-To-Date",
  /** Value to send back as the query parameter `cursor`; for caches between server and client. */
  cursor: "Stream-Cursor",
  /** `true` if the response reaches the end: nothing will follow. */
  closed: "Stream-Closed",
  /** Status of the slice, a `RunnerStatus`. */
  status: "Runner-Status",
  /** Number of items (reports) produced so far, digits. */
  progress: "Runner-Progress",
  /** Progress expected at the end; absent while unknown. */
  estimatedEnd: "Runner-Estimated-End",
  /** `true` if the work waits until items are acknowledged; otherwise absent. */
  paused: "Runner-Paused",
  /** Code of the error; of a failed runner or of an error response. */
  errorCode: "Runner-Error-Code",
  /** Message of a failed runner, percent-encoded and cut to about 1000 characters. */
  errorMessage: "Runner-Error-Message",
  /** Reason of an abort, an `AbortReason`. */
  abortReason: "Runner-Abort-Reason",
  /** First offset that can still be read. */
  firstOffset: "Runner-First-Offset",
  /** Number of items that may be sent beyond the furthest acknowledged one. Absent for a process. */
  aheadLimit: "Runner-Ahead-Limit",
  /** Id of an event stream, to be named by the acknowledgements that renew it. */
  response: "Runner-Response",
} as const;

/**
 * The data of an SSE event `control`. It has the facts that a page has in its headers, for the data event before
 * it. The object is flat, and its fields are named after the headers in camel case.
 */
export interface ControlEvent {
  /** Offset behind the data event; a reconnect continues there. */
  readonly streamNextOffset: string;
  /** Cursor for caches; absent when the stream is closed. */
  readonly streamCursor?: string;
  /** True if the data reaches the tail; otherwise absent. */
  readonly upToDate?: true;
  /** True if the data reaches the end; otherwise absent. */
  readonly streamClosed?: true;
  /** Status of the slice, a `RunnerStatus`. */
  readonly runnerStatus: string;
  /** Number of items (reports) produced so far. */
  readonly runnerProgress: number;
  /** Progress expected at the end; absent while unknown. */
  readonly runnerEstimatedEnd?: number;
  /** True if the work waits until items are acknowledged; otherwise absent. */
  readonly runnerPaused?: true;
  /** Only with the status `failed`. */
  readonly runnerErrorCode?: string;
  /** Only with the status `failed`. Complete and not encoded, unlike the header. */
  readonly runnerErrorMessage?: string;
  /** Only with the status `aborted`. */
  readonly runnerAbortReason?: string;
  /** First offset that can still be read. */
  readonly runnerFirstOffset?: string;
  /** Id of the event stream, for the acknowledgements that renew it. Only in the first control event of a response. */
  readonly runnerResponse?: string;
  /** Number of items that may be sent on a response beyond the furthest acknowledged one. Absent for a process. */
  readonly runnerAheadLimit?: number;
}

/** The JSON body of every error response. */
export interface ErrorBody {
  /** Stable error code; the header `Runner-Error-Code` has the same. */
  readonly code?: string;
  /** Text for developers. General if the server failed. */
  readonly message: string;
  /** Only with `INVALID_INPUT`: the problems the validator found, each with its path in the input. */
  readonly issues?: readonly { readonly message: string; readonly path?: readonly string[] }[];
}
