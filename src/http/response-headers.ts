/** What a slice or a state looks like in headers and in SSE control events: the same facts, in the protocol's two forms. */

import type { ActiveSessionError } from "../base/error.js";
import type { LogState, Slice } from "../log/result-log.js";
import { type ControlEvent, headerNames } from "../protocol/headers.js";
import { formatOffset } from "../protocol/offset.js";
import type { AbortReason } from "../protocol/types.js";
import type { Runner } from "../runner/runner.js";
import { aheadLimitOf } from "../runner/sequence-runner.js";
import type { ResponseHeaders } from "./request-context.js";

/**
 * Adds the headers of a page or a long-poll. To one object step by step: putting objects together of which each may have other names
 * costs as much as the rest of an answer.
 */
export function addReadHeaders(headers: ResponseHeaders, runner: Runner, slice: Slice<unknown>, cursor: string): void {
  addStateHeaders(headers, runner, slice, slice.error);
  headers[headerNames.nextOffset] = formatOffset(slice.position);
  headers[headerNames.cursor] = cursor;
  if (isUpToDate(slice)) headers[headerNames.upToDate] = "true";
  if (slice.closed) headers[headerNames.closed] = "true";
}

/** Adds the headers of HEAD: whoever asks stands at the tail, and has read nothing by it. */
export function addHeadHeaders(headers: ResponseHeaders, runner: Runner, state: LogState): void {
  const error = state.status === "failed" ? state.failure : undefined;
  addStateHeaders(headers, runner, state, error);
  headers[headerNames.nextOffset] = formatOffset(state.progress.current);
  headers[headerNames.upToDate] = "true";
  if (state.ended) headers[headerNames.closed] = "true";
}

/** Adds how far a client may fall behind, where that is limited. */
export function addAheadLimit(headers: ResponseHeaders, runner: Runner): void {
  const aheadLimit = aheadLimitOf(runner);
  if (aheadLimit !== undefined) headers[headerNames.aheadLimit] = String(aheadLimit);
}

/**
 * The control event that follows a data event.
 * @param response the id of the event stream; `undefined`: it has been told
 */
export function controlEvent(
  runner: Runner,
  slice: Slice<unknown>,
  cursor: string,
  response: string | undefined,
): ControlEvent {
  const { progress, error } = slice;
  const abortReason = abortReasonOf(runner, slice);
  const event = { streamNextOffset: formatOffset(slice.position) } as {
    -readonly [Name in keyof ControlEvent]: ControlEvent[Name];
  };
  if (!slice.closed) event.streamCursor = cursor;
  if (isUpToDate(slice)) event.upToDate = true;
  if (slice.closed) event.streamClosed = true;
  event.runnerStatus = slice.status;
  event.runnerProgress = progress.current;
  if (progress.estimatedEnd !== undefined) event.runnerEstimatedEnd = progress.estimatedEnd;
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

function isUpToDate({ position, progress }: Slice<unknown>): boolean {
  return position >= progress.current;
}

/** Only a slice that reaches the end tells how it came to that. */
function abortReasonOf(runner: Runner, { status }: Pick<LogState, "status">): AbortReason | undefined {
  return status === "aborted" ? runner.abortReason : undefined;
}

function addStateHeaders(
  headers: ResponseHeaders,
  runner: Runner,
  state: Pick<LogState, "status" | "progress" | "firstPosition">,
  error: ActiveSessionError | undefined,
): void {
  const { status, progress, firstPosition } = state;
  const abortReason = abortReasonOf(runner, state);
  headers[headerNames.status] = status;
  headers[headerNames.progress] = String(progress.current);
  if (progress.estimatedEnd !== undefined) headers[headerNames.estimatedEnd] = String(progress.estimatedEnd);
  if (error) addErrorHeaders(headers, error);
  if (abortReason) headers[headerNames.abortReason] = abortReason;
  headers[headerNames.firstOffset] = formatOffset(firstPosition);
}

/** Proxies refuse an answer with more headers than 4 kB (nginx) or 8 kB (Apache, Varnish). The state has the whole message. */
const longestMessage = 1000;

/** The message is what the application lets out, in any language and of any length. */
function addErrorHeaders(headers: ResponseHeaders, { code, message }: ActiveSessionError): void {
  headers[headerNames.errorCode] = code;
  let encoded = "";
  for (const character of Buffer.from(message.slice(0, longestMessage)).toString()) {
    const more = encodeURIComponent(character);
    if (encoded.length + more.length > longestMessage) break;
    encoded += more;
  }
  headers[headerNames.errorMessage] = encoded;
}
