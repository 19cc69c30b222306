import { ActiveSessionError } from "../base/error.js";

/**
 * Wraps an error of a start in `RUNNER_START_FAILED`.
 *
 * `INVALID_SOURCE` passes unchanged. Every other error of this library is wrapped too: it comes from inside the source, for
 * example from a read of another runner, and its status must not be taken for a mistake in the request at hand.
 */
export function startFailed(cause: unknown): ActiveSessionError {
  if (ActiveSessionError.is(cause) && cause.code === "INVALID_SOURCE") return cause;
  return new ActiveSessionError("RUNNER_START_FAILED", "Cannot start the runner: its source could not be opened", {
    cause,
  });
}
