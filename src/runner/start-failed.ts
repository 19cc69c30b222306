/** The error of a background that could not be started. */
import { ActiveSessionError } from "../base/error.js";

/** A foreign error of ours, from within the source, must not look as if this runner's reader had erred. */
export function startFailed(cause: unknown): ActiveSessionError {
  if (ActiveSessionError.is(cause) && cause.code === "INVALID_SOURCE") return cause;
  return new ActiveSessionError("RUNNER_START_FAILED", "Cannot start the runner: its source could not be opened", {
    cause,
  });
}
