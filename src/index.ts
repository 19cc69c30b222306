/** Background work that belongs to a web user's session. */

export type { CleanupSummary, Resource } from "./base/dispose.js";
export { ActiveSessionError, type ActiveSessionErrorOptions, type ErrorCode, type Issue } from "./base/error.js";
export type { Retain } from "./log/result-log.js";
export type { SequenceSink } from "./log/sequence-log.js";
export type { ProcessSink } from "./log/value-log.js";
export type { AbortReason, FinalStatus, RunnerKind, RunnerProgress, RunnerStatus } from "./protocol/types.js";
export type {
  DefinitionOptions,
  ProcessDefinition,
  RunnerDefinition,
  SequenceDefinition,
  StandardSchema,
} from "./runner/definition.js";
export type { ProcessBody, ProcessContext } from "./runner/process-producer.js";
export type { ProcessRunner } from "./runner/process-runner.js";
export type { Producer, RunnerContext } from "./runner/producer.js";
export type { Runner } from "./runner/runner.js";
export type { SequenceRunner } from "./runner/sequence-runner.js";
export type { SequenceSource, Source } from "./runner/source.js";
export type { Measurement, TimeSeries } from "./runner/time-series.js";
export type { ReadOptions, RequiredReadOptions, RunnerId, RunnerResult, RunnerState } from "./runner/types.js";
export type { ActiveSession } from "./session/active-session.js";
export { defineProcessRunner, defineSequenceRunner } from "./session/define.js";
export type { ActiveSessionEvents, Logger } from "./session/events.js";
export {
  type ActiveSessions,
  type ActiveSessionsStats,
  type CloseSummary,
  createActiveSessions,
} from "./session/host.js";
export type { LimitOptions } from "./session/limits.js";
export type { ActiveSessionsOptions, RunnerOptions } from "./session/options.js";
export type { Ownership } from "./session/ownership.js";
export { defineProperty, type Properties, type PropertyDefinition } from "./session/properties.js";
export type { SessionGroup } from "./session/session-group.js";
export type { LockOptions, SessionLock } from "./session/session-locks.js";
