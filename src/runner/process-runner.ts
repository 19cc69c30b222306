import type { ProcessSink } from "../log/value-log.js";
import { CustomProducer, isProduced, type Produced } from "./custom-producer.js";
import { type ProcessBody, ProcessProducer } from "./process-producer.js";
import type { Runner } from "./runner.js";
import { RunnerCore } from "./runner-core.js";
import { RunnerLink } from "./runner-link.js";
import type { RunnerOwner, RunnerSettings } from "./runner-owner.js";

/**
 * A runner whose result is one value that changes until it is final. A position is a number of reports; only the newest value
 * is kept.
 *
 * @example
 * const runner = await session.createProcessRunner<number>(async ({ report }) => {
 *   report(1, 2); // the first of two reports
 *   return 2;
 * });
 * const { result, status } = await runner.getRequired({ advance: Infinity }); // 2, "completed"
 */
export interface ProcessRunner<T = unknown> extends Runner<T | undefined> {
  readonly kind: "process";
}

/** The process runner with the members that applications do not see. */
class ProcessCore<T> extends RunnerCore<T | undefined> implements ProcessRunner<T> {
  readonly kind = "process";
}

/**
 * Makes a process runner that is not started yet.
 * @param body the work, or a factory of a custom producer
 * @throws `RUNNER_START_FAILED` or `INVALID_SOURCE` if a custom producer cannot be made
 */
export function createProcess<T>(
  owner: RunnerOwner,
  body: ProcessBody<T> | Produced<ProcessSink<T>>,
  settings: RunnerSettings,
): RunnerCore<T | undefined> & ProcessRunner<T> {
  const link = new RunnerLink();
  const { log, sink } = owner.logs.value<T>(link);
  const producer = isProduced(body) ? new CustomProducer(sink, body, link) : new ProcessProducer(sink, body, link);
  return new ProcessCore<T>({ owner, log, producer, settings, link });
}
