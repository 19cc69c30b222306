/** How far a runner is, told from the state of its log. */
import { ActiveSessionError } from "../base/error.js";
import type { LogState, Slice } from "../log/result-log.js";
import type { AbortReason, RunnerKind, RunnerPhase } from "../protocol/types.js";
import type { Runner } from "./runner.js";
import type { RunnerResult, RunnerState } from "./types.js";

/** What tells how far the work is. */
export type WorkState = Pick<LogState, "started" | "ended"> & { readonly outcome?: LogState["outcome"] | undefined };

/** The state of the work at the moment of a slice. */
export function workStateOf({ status, outcome }: Slice<unknown>): WorkState {
  return { outcome, started: status !== "not-started", ended: outcome !== undefined };
}

/** See {@link Runner.phase}. */
export function phaseOf({ outcome, started }: WorkState): RunnerPhase {
  return outcome ?? (started ? "running" : "starting");
}

/**
 * See {@link Runner.isBackgroundCompleted}. An aborted process counts as completed only when its body has settled: it may ignore the
 * abort. An aborted sequence always does.
 * @param isClosed true if the body has settled
 */
export function isBackgroundCompleted(state: WorkState, kind: RunnerKind, isClosed: boolean): boolean {
  return kind === "process" && state.outcome === "aborted" ? isClosed : state.ended;
}

/** True if the way in which the work ended has become the runner's status. */
export function isFinal({ status, outcome }: Pick<LogState, "status" | "outcome">): boolean {
  return status === outcome;
}

/**
 * The state of a runner, from that of its log.
 * @param isClosed see {@link isBackgroundCompleted}
 */
export function describeRunner(runner: NamedRunner, state: LogState, isClosed: boolean): RunnerState {
  const { key, kind, definition, label } = runner;
  return {
    key,
    ...(definition && { name: definition.name }),
    ...(label !== undefined && { label }),
    kind,
    status: state.status,
    position: state.position,
    progress: state.progress,
    isBackgroundCompleted: isBackgroundCompleted(state, kind, isClosed),
    phase: phaseOf(state),
    ...(state.paused && { paused: true as const }),
    ...(state.status === "failed" && state.failure && { error: state.failure }),
    ...(state.status === "aborted" && state.abortReason && { abortReason: state.abortReason }),
  };
}

/** What a runner is called. */
type NamedRunner = Pick<Runner, "key" | "kind" | "definition" | "label">;

/** The public part of a slice. */
export function toResult<R>({ result, status, position, error }: Slice<R>): RunnerResult<R> {
  return error ? { result, status, position, error } : { result, status, position };
}

/** Makes the `RUNNER_ABORTED` error: the reason of the signals, and the error of iterating an aborted sequence. */
export function abortError(reason: AbortReason | undefined, cause?: unknown): ActiveSessionError {
  return new ActiveSessionError(
    "RUNNER_ABORTED",
    `The runner was aborted: ${reason ?? "stopped"}`,
    cause === undefined ? {} : { cause },
  );
}
