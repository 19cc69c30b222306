/** What a slice or a state looks like in headers and in SSE control events: the same facts, in the protocol's two forms. */
import type { ActiveSessionError } from "../base/error.js";
import type { LogState, Slice } from "../log/result-log.js";
import type { Runner } from "../runner/runner.js";
import { SequenceRunner } from "../runner/sequence-runner.js";
import type { AbortReason } from "../runner/shapes.js";
import { type ControlEvent, headerNames } from "../wire/names.js";
import { formatOffset } from "../wire/offset.js";

/** The headers of a page or a long-poll. */
export function readHeaders(runner: Runner, slice: Slice<unknown>, cursor: string): Record<string, string> {
  return {
    ...stateHeaders(runner, slice, slice.error),
    [headerNames.nextOffset]: formatOffset(slice.position),
    [headerNames.cursor]: cursor,
    ...(isUpToDate(slice) && { [headerNames.upToDate]: "true" }),
    ...(slice.closed && { [headerNames.closed]: "true" }),
  };
}

/** The headers of HEAD: whoever asks stands at the tail, and has read nothing by it. */
export function headHeaders(runner: Runner, state: LogState): Record<string, string> {
  const error = state.status === "failed" ? state.failure : undefined;
  return {
    ...stateHeaders(runner, state, error),
    [headerNames.nextOffset]: formatOffset(state.progress.current),
    [headerNames.upToDate]: "true",
    ...(state.ended && { [headerNames.closed]: "true" }),
  };
}

/** The control event that follows a data event. */
export function controlEvent(runner: Runner, slice: Slice<unknown>, cursor: string): ControlEvent {
  const { progress, error } = slice;
  const abortReason = abortReasonOf(runner, slice);
  return {
    streamNextOffset: formatOffset(slice.position),
    ...(!slice.closed && { streamCursor: cursor }),
    ...(isUpToDate(slice) && { upToDate: true }),
    ...(slice.closed && { streamClosed: true }),
    runnerStatus: slice.status,
    runnerProgress: progress.current,
    ...(progress.estimatedEnd !== undefined && { runnerEstimatedEnd: progress.estimatedEnd }),
    ...(error && { runnerErrorCode: error.code, runnerErrorMessage: error.message }),
    ...(abortReason && { runnerAbortReason: abortReason }),
    runnerFirstOffset: formatOffset(slice.firstPosition),
    ...(runner instanceof SequenceRunner && { runnerAheadLimit: runner.aheadLimit }),
  };
}

function isUpToDate({ position, progress }: Slice<unknown>): boolean {
  return position >= progress.current;
}

/** Only a slice that reaches the end tells how it came to that. */
function abortReasonOf(runner: Runner, { status }: Pick<LogState, "status">): AbortReason | undefined {
  return status === "aborted" ? runner.abortReason : undefined;
}

function stateHeaders(
  runner: Runner,
  state: Pick<LogState, "status" | "progress" | "firstPosition">,
  error: ActiveSessionError | undefined,
): Record<string, string> {
  const { status, progress, firstPosition } = state;
  const abortReason = abortReasonOf(runner, state);
  return {
    [headerNames.status]: status,
    [headerNames.progress]: String(progress.current),
    ...(progress.estimatedEnd !== undefined && { [headerNames.estimatedEnd]: String(progress.estimatedEnd) }),
    ...(error && errorHeaders(error)),
    ...(abortReason && { [headerNames.abortReason]: abortReason }),
    [headerNames.firstOffset]: formatOffset(firstPosition),
  };
}

/** The message is what the application lets out, in any language and of any length; a cut may leave half a character. */
function errorHeaders({ code, message }: ActiveSessionError): Record<string, string> {
  return {
    [headerNames.errorCode]: code,
    [headerNames.errorMessage]: encodeURIComponent(Buffer.from(message.slice(0, 1000)).toString()),
  };
}
