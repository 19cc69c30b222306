/**
 * A slice or a state as response headers, and as the fields of an SSE control event: the same facts in two
 * forms.
 */
import type { ActiveSessionError } from "../base/error.js";
import type { LogState, Slice } from "../log/result-log.js";
import { type ControlEvent, headerNames } from "../protocol/headers.js";
import { formatOffset } from "../protocol/offset.js";
import type { AbortReason } from "../protocol/types.js";
import type { RunnerCore } from "../runner/runner-core.js";
import { aheadLimitOf } from "../runner/sequence-runner.js";
import type { ResponseHeaders } from "./wire-response.js";

/**
 * Adds the headers of a page or a long-poll (Durable Streams protocol, and our `Runner-…`): `Stream-Up-To-Date`
 * if the slice reaches the tail, `Stream-Closed` if it reaches the end.
 *
 * Adds to one object in place: merging objects with different names costs as much as the rest of the response.
 * @param headers is changed in place
 * @param slice gives status and progress as of the read; the runner may have moved on since
 * @param cursor the value of `Stream-Cursor`
 */
export function addReadHeaders(headers: ResponseHeaders, slice: Slice<unknown>, cursor: string): void {
  addStateHeaders(headers, slice, slice.error);
  headers[headerNames.nextOffset] = formatOffset(slice.position);
  headers[headerNames.cursor] = cursor;
  if (isUpToDate(slice)) headers[headerNames.upToDate] = "true";
  if (slice.closed) headers[headerNames.closed] = "true";
}

/**
 * Adds the headers of a HEAD response. It stands for the tail, so it is always up to date, and it counts
 * nothing as read. `Stream-Closed` says that the background has ended.
 * @param headers is changed in place
 */
export function addHeadHeaders(headers: ResponseHeaders, state: LogState): void {
  const error = state.status === "failed" ? state.failure : undefined;
  addStateHeaders(headers, state, error);
  headers[headerNames.nextOffset] = formatOffset(state.progress.current);
  headers[headerNames.upToDate] = "true";
  if (state.ended) headers[headerNames.closed] = "true";
}

/** Adds `Runner-Ahead-Limit`: how far a client may fall behind. A process has none. */
export function addAheadLimit(headers: ResponseHeaders, runner: RunnerCore): void {
  const aheadLimit = aheadLimitOf(runner);
  if (aheadLimit !== undefined) headers[headerNames.aheadLimit] = String(aheadLimit);
}

/**
 * Makes the data of the control event that follows a data event (Durable Streams protocol). Always flat.
 * @param cursor the value of `streamCursor`, which a closed stream does not have
 * @param response the id of the event stream in its first control event, else `undefined`
 */
export function controlEvent(
  runner: RunnerCore,
  slice: Slice<unknown>,
  cursor: string,
  response: string | undefined,
): ControlEvent {
  const { progress, error } = slice;
  const abortReason = abortReasonOf(slice);
  // Properties are added one by one: absent ones must not appear in the JSON, and no copy is made.
  const event = { streamNextOffset: formatOffset(slice.position) } as {
    -readonly [Name in keyof ControlEvent]: ControlEvent[Name];
  };
  if (!slice.closed) event.streamCursor = cursor;
  if (isUpToDate(slice)) event.upToDate = true;
  if (slice.closed) event.streamClosed = true;
  event.runnerStatus = slice.status;
  event.runnerProgress = progress.current;
  if (progress.estimatedEnd !== undefined) event.runnerEstimatedEnd = progress.estimatedEnd;
  if (slice.paused) event.runnerPaused = true;
  if (error) {
    event.runnerErrorCode = error.code;
    event.runnerErrorMessage = error.message;
  }
  if (abortReason) event.runnerAbortReason = abortReason;
  event.runnerFirstOffset = formatOffset(slice.firstPosition);
  const aheadLimit = aheadLimitOf(runner);
  if (aheadLimit !== undefined) event.runnerAheadLimit = aheadLimit;
  if (response !== undefined) event.runnerResponse = response;
  return event;
}

/** The facts that slices and states have in common. */
type ReadState = Pick<LogState, "status" | "progress" | "firstPosition" | "paused"> & {
  readonly abortReason?: AbortReason | undefined;
};

/** True if the slice reaches the tail as of its own moment. */
function isUpToDate({ position, progress }: Slice<unknown>): boolean {
  return position >= progress.current;
}

/** The reason of an abort; only for a slice or state that reaches the end, as its status says. */
function abortReasonOf({ status, abortReason }: ReadState): AbortReason | undefined {
  return status === "aborted" ? abortReason : undefined;
}

/**
 * Adds the headers that reads and HEAD have in common.
 * @param error the failure; only with the status `failed`
 */
function addStateHeaders(headers: ResponseHeaders, state: ReadState, error: ActiveSessionError | undefined): void {
  const { status, progress, firstPosition, paused } = state;
  const abortReason = abortReasonOf(state);
  headers[headerNames.status] = status;
  headers[headerNames.progress] = String(progress.current);
  if (progress.estimatedEnd !== undefined) headers[headerNames.estimatedEnd] = String(progress.estimatedEnd);
  if (paused) headers[headerNames.paused] = "true";
  if (error) addErrorHeaders(headers, error);
  if (abortReason) headers[headerNames.abortReason] = abortReason;
  headers[headerNames.firstOffset] = formatOffset(firstPosition);
}

/**
 * Maximum length of the encoded message, in characters. Proxies refuse a response with more than 4 kB (nginx)
 * or 8 kB (Apache, Varnish) of headers. `GET {mount}/{key}/state` has the whole message.
 */
const longestMessage = 1000;

/**
 * Adds code and message of a failure. The message is percent-encoded, because the application chooses it: it
 * may have any language and any length.
 */
function addErrorHeaders(headers: ResponseHeaders, { code, message }: ActiveSessionError): void {
  headers[headerNames.errorCode] = code;
  let encoded = "";
  // `Buffer` replaces lone surrogates, for which `encodeURIComponent` throws.
  for (const character of Buffer.from(message.slice(0, longestMessage)).toString()) {
    const more = encodeURIComponent(character);
    // Whole characters only: a cut escape sequence could not be decoded.
    if (encoded.length + more.length > longestMessage) break;
    encoded += more;
  }
  headers[headerNames.errorMessage] = encoded;
}
