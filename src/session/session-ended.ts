import { ActiveSessionError } from "../base/error.js";
import type { AbortReason } from "../protocol/types.js";

/** The error of an action on a session that has ended; also the reason its `signal` aborts with. */
export function sessionEnded(action: string, reason: AbortReason): ActiveSessionError {
  return new ActiveSessionError(
    "SESSION_ENDED",
    `Cannot ${action}: the session must be live, received ended (${reason})`,
  );
}
