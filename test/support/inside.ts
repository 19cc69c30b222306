import type { ProcessRunner } from "../../src/runner/process-runner.js";
import type { Runner } from "../../src/runner/runner.js";
import type { RunnerCore } from "../../src/runner/runner-core.js";
import type { SequenceRunner } from "../../src/runner/sequence-runner.js";
import type { ActiveSession } from "../../src/session/active-session.js";
import type { ActiveSessions } from "../../src/session/active-sessions.js";
import type { Host } from "../../src/session/host.js";
import type { Session } from "../../src/session/session.js";
import type { GroupCore, SessionGroup } from "../../src/session/session-group.js";

/** Host, session, group and runner with the members that applications do not see. */
export function inside(host: ActiveSessions<unknown>): Host;
export function inside<Services>(session: ActiveSession<Services>): Session<Services>;
export function inside(group: SessionGroup<ActiveSession>): GroupCore<ActiveSession>;
export function inside<T>(runner: SequenceRunner<T>): RunnerCore<T[]> & SequenceRunner<T>;
export function inside<T>(runner: ProcessRunner<T>): RunnerCore<T | undefined> & ProcessRunner<T>;
export function inside(runner: Runner): RunnerCore;
export function inside(outside: unknown): unknown {
  return outside;
}
