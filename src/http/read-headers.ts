/** What a slice or a state looks like in headers and in SSE control events: the same facts, in the protocol's two forms. */
import type { ActiveSessionError } from "../base/error.js";
import type { LogState, RunnerProgress, RunnerStatus, Slice } from "../log/result-log.js";
import type { Runner } from "../runner/runner.js";
import { SequenceRunner } from "../runner/sequence-runner.js";
import { type ControlEvent, headerNames } from "../wire/names.js";
import { formatOffset } from "../wire/offset.js";

/** The headers of a page or a long-poll. */
export function readHeaders(slice: Slice<unknown>, cursor: string): Record<string, string> {
  return {
    ...stateHeaders(slice.status, slice.progress, slice.firstPosition, slice.error),
    [headerNames.nextOffset]: formatOffset(slice.position),
    [headerNames.cursor]: cursor,
    ...(isUpToDate(slice) && { [headerNames.upToDate]: "true" }),
    ...(slice.closed && { [headerNames.closed]: "true" }),
  };
}

/** The headers of HEAD: whoever asks stands at the tail, and has read nothing by it. */
export function headHeaders(state: LogState): Record<string, string> {
  const error = state.status === "failed" ? state.failure : undefined;
  return {
    ...stateHeaders(state.status, state.progress, state.firstPosition, error),
    [headerNames.nextOffset]: formatOffset(state.progress.current),
    [headerNames.upToDate]: "true",
    ...(state.ended && { [headerNames.closed]: "true" }),
  };
}

/** The control event that follows a data event. */
export function controlEvent(runner: Runner, slice: Slice<unknown>, cursor: string): ControlEvent {
  const { progress, error } = slice;
  return {
    streamNextOffset: formatOffset(slice.position),
    ...(!slice.closed && { streamCursor: cursor }),
    ...(isUpToDate(slice) && { upToDate: true }),
    ...(slice.closed && { streamClosed: true }),
    runnerStatus: slice.status,
    runnerProgress: progress.current,
    ...(progress.estimatedEnd !== undefined && { runnerEstimatedEnd: progress.estimatedEnd }),
    ...(error && { runnerErrorCode: error.code }),
    runnerFirstOffset: formatOffset(slice.firstPosition),
    ...(runner instanceof SequenceRunner && { runnerAheadLimit: runner.aheadLimit }),
  };
}

function isUpToDate({ position, progress }: Slice<unknown>): boolean {
  return position >= progress.current;
}

function stateHeaders(
  status: RunnerStatus,
  progress: RunnerProgress,
  firstPosition: number,
  error: ActiveSessionError | undefined,
): Record<string, string> {
  return {
    [headerNames.status]: status,
    [headerNames.progress]: String(progress.current),
    ...(progress.estimatedEnd !== undefined && { [headerNames.estimatedEnd]: String(progress.estimatedEnd) }),
    ...(error && { [headerNames.errorCode]: error.code }),
    [headerNames.firstOffset]: formatOffset(firstPosition),
  };
}
