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
};
