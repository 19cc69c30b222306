/** What a slice or a state looks like in headers and in SSE control events: the same facts, in the protocol's two forms. */
import type { ActiveSessionError } from "../base/error.js";
import type { LogState, RunnerProgress, RunnerStatus, Slice } from "../log/result-log.js";
import type { Runner } from "../runner/runner.js";
import { SequenceRunner } from "../runner/sequence-runner.js";
import { type ControlEvent, headerNames } from "../wire/names.js";
import { formatOffset } from "../wire/offset.js";
import { encodeItems } from "./encode.js";

/** A slice as it is sent: its items as JSON, and what holds for just these. */
export interface EncodedSlice {
  readonly start: number;
  readonly end: number;
  /** The items as a JSON array. */
  readonly text: string;
  readonly isEmpty: boolean;
  readonly status: RunnerStatus;
  readonly closed: boolean;
  readonly upToDate: boolean;
  readonly error?: ActiveSessionError | undefined;
  readonly progress: RunnerProgress;
  readonly firstPosition: number;
}

/**
 * Encodes a slice. Items that JSON cannot carry are left for the next read, and the slice ends before them.
 * @throws `RESULT_NOT_SERIALIZABLE` if the first one is such an item
 */
export function encodeSlice(runner: Runner, slice: Slice<unknown>): EncodedSlice {
  const { start, progress, firstPosition, error } = slice;
  const isSequence = runner.kind === "sequence";
  const value = slice.position > start ? [slice.result] : [];
  const items = isSequence ? (slice.result as unknown[]) : value;
  const { text, count } = encodeItems(items);
  const isWhole = count === items.length;
  const end = isWhole ? slice.position : start + count;
  const verdict = isWhole ? slice : { status: "progressed" as const, closed: false };
  return {
    ...{ start, end, text, progress, firstPosition },
    isEmpty: count === 0,
    status: verdict.status,
    closed: verdict.closed,
    upToDate: end >= progress.current,
    error: isWhole ? error : undefined,
  };
}

/** The headers of a page or a long-poll. */
export function readHeaders(slice: EncodedSlice, cursor: string): Record<string, string> {
  return {
    ...stateHeaders(slice.status, slice.progress, slice.firstPosition, slice.error),
    [headerNames.nextOffset]: formatOffset(slice.end),
    [headerNames.cursor]: cursor,
    ...(slice.upToDate && { [headerNames.upToDate]: "true" }),
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
export function controlEvent(runner: Runner, slice: EncodedSlice, cursor: string): ControlEvent {
  const { progress, error } = slice;
  return {
    streamNextOffset: formatOffset(slice.end),
    ...(!slice.closed && { streamCursor: cursor }),
    ...(slice.upToDate && { upToDate: true }),
    ...(slice.closed && { streamClosed: true }),
    runnerStatus: slice.status,
    runnerProgress: progress.current,
    ...(progress.estimatedEnd !== undefined && { runnerEstimatedEnd: progress.estimatedEnd }),
    ...(error && { runnerErrorCode: error.code }),
    runnerFirstOffset: formatOffset(slice.firstPosition),
    ...(runner instanceof SequenceRunner && { runnerAheadLimit: runner.aheadLimit }),
  };
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
