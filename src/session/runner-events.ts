import type { LogState } from "../log/result-log.js";
import type { Runner } from "../runner/runner.js";
import type { ActiveSessionEvents } from "./events.js";

/**
 * The fields that all events of a runner carry. They name the runner and its definition; `data` and results stay out of events.
 */
export function namesOf({ id, kind, definition }: Runner): ActiveSessionEvents["runner.created"] {
  return { runner: String(id), kind, ...(definition && { definition: definition.name }) };
}

/** The payload of `runner.final`. */
export function endOf(runner: Runner, state: LogState): ActiveSessionEvents["runner.final"] {
  const { status, position, progress, failure, abortReason: reason } = state;
  const error = status === "failed" ? { error: failure?.cause ?? failure } : {};
  return { ...namesOf(runner), status, position, progress, ...(reason && { reason }), ...error };
}
