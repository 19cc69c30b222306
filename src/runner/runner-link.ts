import type { ActiveSessionError } from "../base/error.js";
import type { LogEvents, LogState } from "../log/result-log.js";
import type { ProducerEvents } from "./producer.js";

/** The events of a runner's log and producer. */
export type PartEvents = Required<LogEvents> & ProducerEvents;

/**
 * Forwards the events of log and producer to their runner. Both are made before the runner is; until then events are dropped.
 */
export class RunnerLink implements PartEvents {
  /** Set by the runner's constructor. */
  runner: PartEvents | undefined;

  onStarted(): void {
    this.runner?.onStarted();
  }

  onOverflow(error: ActiveSessionError): void {
    this.runner?.onOverflow(error);
  }

  onFinal(state: LogState): void {
    this.runner?.onFinal(state);
  }

  onErrorAfterStop(error: unknown): void {
    this.runner?.onErrorAfterStop(error);
  }

  onLateError(error: unknown): void {
    this.runner?.onLateError(error);
  }
}
