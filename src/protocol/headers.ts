/** The names that server and client agree on. `Stream-…` are those of the Durable Streams protocol, `Runner-…` are ours. */

/** Response headers of a read. Node and `fetch` treat them without regard to case. */
export const headerNames = {
  nextOffset: "Stream-Next-Offset",
  upToDate: "Stream-Up-To-Date",
  cursor: "Stream-Cursor",
  closed: "Stream-Closed",
  status: "Runner-Status",
  progress: "Runner-Progress",
  estimatedEnd: "Runner-Estimated-End",
  errorCode: "Runner-Error-Code",
  errorMessage: "Runner-Error-Message",
  abortReason: "Runner-Abort-Reason",
  firstOffset: "Runner-First-Offset",
  aheadLimit: "Runner-Ahead-Limit",
  response: "Runner-Response",
} as const;

/** The data of an SSE event `control`: what the headers say of a response, for the data event before it. Always flat. */
export interface ControlEvent {
  readonly streamNextOffset: string;
  /** Absent when the stream is closed. */
  readonly streamCursor?: string;
  readonly upToDate?: true;
  readonly streamClosed?: true;
  readonly runnerStatus: string;
  readonly runnerProgress: number;
  readonly runnerEstimatedEnd?: number;
  /** With the status `failed`. */
  readonly runnerErrorCode?: string;
  readonly runnerErrorMessage?: string;
  /** With the status `aborted`. */
  readonly runnerAbortReason?: string;
  readonly runnerFirstOffset?: string;
  /** In the first control event of a response: its id, for the acknowledgements that renew it. */
  readonly runnerResponse?: string;
  /** Items that may be sent on a response beyond the furthest acknowledged one; absent for a process. */
  readonly runnerAheadLimit?: number;
}

/** The body of every error response. */
export interface ErrorBody {
  readonly code?: string;
  readonly message: string;
  /** With `INVALID_INPUT`: what the validator found. */
  readonly issues?: readonly { readonly message: string; readonly path?: readonly string[] }[];
}
