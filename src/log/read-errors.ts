/** Why a read of a sequence is refused. */
import { ActiveSessionError } from "../base/error.js";

/** `READ_CONFLICT`: another read at the default position is pending. */
export function readConflict(): ActiveSessionError {
  return new ActiveSessionError(
    "READ_CONFLICT",
    "Cannot read: only one read at the default position may be pending, received another one without a start",
  );
}

/** `POSITION_AHEAD` of a read. */
export function startAhead(progress: number, start: number): ActiveSessionError {
  return new ActiveSessionError(
    "POSITION_AHEAD",
    `Cannot read: the start must not lie beyond the progress (${progress}), received ${start}`,
  );
}

/** `POSITION_AHEAD` of an acknowledgement. */
export function acknowledgedAhead(handedOut: number, position: number): ActiveSessionError {
  return new ActiveSessionError(
    "POSITION_AHEAD",
    `Cannot acknowledge: the position must have been handed out (${handedOut}), received ${position}`,
  );
}

/** `POSITION_GONE`, with the first position that can be read. */
export function positionGone(firstPosition: number, start: number): ActiveSessionError {
  return new ActiveSessionError(
    "POSITION_GONE",
    `Cannot read: the start must not lie before the first item kept (${firstPosition}), received ${start}`,
    { firstPosition },
  );
}

/** `RUNNER_TOO_LARGE`: the work is stopped. */
export function tooManyItems(mostItems: number | undefined): ActiveSessionError {
  const message = `Cannot keep more items: limits.itemsPerRunner is ${mostItems}. Retain fewer, or read and acknowledge them`;
  return new ActiveSessionError("RUNNER_TOO_LARGE", message);
}
