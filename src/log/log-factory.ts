import type { ItemTally, LogEvents, ResultLog } from "./result-log.js";
import { SequenceLog } from "./sequence-log.js";
import type { SequenceLogOptions, SequenceSink } from "./sequence-sink.js";
import { type ProcessSink, ValueLog } from "./value-log.js";

/** The two sides of a log. */
export interface LogSides<R, Sink> {
  /** For the runner and its readers. */
  readonly log: ResultLog<R>;
  /** For the producer. */
  readonly sink: Sink;
}

/** Makes the logs of new runners. */
export interface LogFactory {
  /**
   * A log for the items of a sequence.
   * @param tally counts the items kept by several logs
   */
  sequence<T>(options: SequenceLogOptions, events: LogEvents, tally: ItemTally): LogSides<T[], SequenceSink<T>>;
  /** A log for the value of a process. */
  value<T>(events: LogEvents): LogSides<T | undefined, ProcessSink<T>>;
}

/** Logs in the memory of this process. */
export const memoryLogs: LogFactory = {
  sequence<T>(options: SequenceLogOptions, events: LogEvents, tally: ItemTally) {
    const log = new SequenceLog<T>(options, events, tally);
    return { log, sink: log };
  },
  value<T>(events: LogEvents) {
    const log = new ValueLog<T>(events);
    return { log, sink: log };
  },
};
