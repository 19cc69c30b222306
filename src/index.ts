/**
 * Background work that belongs to a web user's session: runners produce items or one value, outlive the request that started them, and
 * end with the session. This module is the server side without HTTP; `active-session/express` and the other adapters add that.
 * @example
 * const sessions = createActiveSessions();
 * const session = await sessions.get("user-7");
 * const runner = await session.createSequenceRunner(search());
 * const { result } = await runner.getRequired({ advance: 20 });
 */

// Errors and clean-up.
export type { CleanupSummary, Resource } from "./base/dispose.js";
export { ActiveSessionError, type ActiveSessionErrorOptions, type ErrorCode, type Issue } from "./base/error.js";
// Logs: what a runner keeps, and the sinks that producers write to.
export type { Retain } from "./log/result-log.js";
export type { SequenceSink } from "./log/sequence-sink.js";
export type { ProcessSink } from "./log/value-log.js";
// Protocol: states of runners, as server and client name them.
export type {
  AbortReason,
  FinalStatus,
  RunnerKind,
  RunnerPhase,
  RunnerProgress,
  RunnerStatus,
} from "./protocol/types.js";
// Runners, and definitions to create them from.
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
export type { SequenceContext, SequenceSource, Source } from "./runner/source.js";
export type { Measurement, TimeSeries } from "./runner/time-series.js";
export type { ReadOptions, RequiredReadOptions, RunnerId, RunnerResult, RunnerState } from "./runner/types.js";
// Sessions and their host.
export type { ActiveSession } from "./session/active-session.js";
// The host: one for each process.
export type {
  ActiveSessions,
  ActiveSessionsStats,
  CloseSummary,
  DrainOptions,
  Health,
} from "./session/active-sessions.js";
export { defineProcessRunner, defineSequenceRunner } from "./session/define.js";
export type { ActiveSessionEvents, Logger } from "./session/events.js";
export { createActiveSessions } from "./session/host.js";
export type { LimitOptions } from "./session/limits.js";
export type { ActiveSessionsOptions, RunnerOptions } from "./session/options.js";
export type { Ownership } from "./session/ownership.js";
export { defineProperty, type Properties, type PropertyDefinition } from "./session/properties.js";
export type { SessionGroup } from "./session/session-group.js";
export type { LockOptions, SessionLock } from "./session/session-locks.js";
