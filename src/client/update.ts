import { CodedError } from "../base/coded-error.js";
import type { AbortReason, RunnerPhase, RunnerStatus } from "../protocol/types.js";
import type { Control } from "./connection.js";
import { notOfARunner } from "./request.js";
import type { RunnerUpdate } from "./types.js";

/** The phase that belongs to the status of an update. */
function phaseOf(status: RunnerStatus): RunnerPhase {
  if (status === "not-started") return "starting";
  return status === "stalled" || status === "progressed" ? "running" : status;
}

/**
 * Converts a piece into an update. Headers carry every value as text, so numbers and flags are converted.
 * @throws `UNEXPECTED_RESPONSE` if `items` is not an array
 */
export function toUpdate<T>(items: T[], control: Control, url: string): RunnerUpdate<T> {
  const { runnerEstimatedEnd: end, runnerErrorMessage, runnerProgress, streamNextOffset, streamClosed } = control;
  if (!Array.isArray(items)) throw notOfARunner(url);
  const status = control.runnerStatus as RunnerStatus;
  return {
    ...{ items, position: Number(streamNextOffset), status, phase: phaseOf(status), closed: Boolean(streamClosed) },
    ...{ paused: Boolean(control.runnerPaused), connection: "closed" },
    progress: { current: Number(runnerProgress), ...(end !== undefined && { estimatedEnd: Number(end) }) },
    ...(status === "failed" && {
      error: new CodedError("RUNNER_FAILED", 500, runnerErrorMessage || "The runner failed"),
    }),
    ...(status === "aborted" && { abortReason: control.runnerAbortReason as AbortReason }),
  };
}
