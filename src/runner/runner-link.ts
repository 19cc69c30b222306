import type { ActiveSessionError } from "../base/error.js";
import type { LogEvents, LogState, ResultLog } from "../log/result-log.js";
import type { FinalStatus } from "../protocol/types.js";
import type { ProducerEvents, StartedProducer } from "./producer.js";
import type { RunnerOwner, RunnerSettings } from "./runner-owner.js";

/** The events of a runner's log and producer. */
export type PartEvents = Required<LogEvents> & ProducerEvents;

/**
 * Forwards the events of log and producer to their runner. Both are made before the runner is; until then events are dropped,
 * but for the end.
 */
export class RunnerLink implements PartEvents {
  /** Set by the runner's constructor. */
  runner: PartEvents | undefined;
  /** How the work has ended before there was a runner, by a custom producer that was done at once. */
  earlyEnd: FinalStatus | undefined;

  onStarted(): void {
    this.runner?.onStarted();
  }

  onOverflow(error: ActiveSessionError): void {
    this.runner?.onOverflow(error);
  }

  onEnded(outcome: FinalStatus): void {
    if (this.runner) this.runner.onEnded(outcome);
    else this.earlyEnd = outcome;
  }

  onFinal(state: LogState): void {
    this.runner?.onFinal(state);
  }

  onErrorAfterStop(error: unknown): void {
    this.runner?.onErrorAfterStop(error);
  }

  onBroken(cause: unknown): void {
    this.runner?.onBroken(cause);
  }

  onLateError(error: unknown): void {
    this.runner?.onLateError(error);
  }
}

/** The parts that a runner is composed of. */
export interface RunnerParts<R> {
  readonly owner: RunnerOwner;
  /** Holds the results, and the positions of reading. */
  readonly log: ResultLog<R>;
  /** Fills the log. */
  readonly producer: StartedProducer;
  readonly settings: RunnerSettings;
  /** Receives the events of log and producer. */
  readonly link: RunnerLink;
}
