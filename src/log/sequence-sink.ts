import type { Retain } from "./result-log.js";

/** How much a sequence log keeps and how far its producer may run ahead. */
export interface SequenceLogOptions {
  /** The producer pauses when this many items are not acknowledged. A positive integer. */
  readonly aheadLimit: number;
  /** Which acknowledged items to keep. */
  readonly retain: Retain;
  /**
   * Maximum number of items to keep. Where acknowledgements cannot make room, a runner that exceeds it fails with
   * `RUNNER_TOO_LARGE`. Default: `Infinity`, no limit.
   */
  readonly mostItems?: number;
}

/** The producer's side of a sequence log. */
export interface SequenceSink<T> {
  /** The producer is running. */
  start(): void;
  /**
   * Adds the next item. Ignored after the end, so a producer that is late to stop does no harm.
   * @returns false if nothing more is wanted: the producer will be stopped, if it has not been already
   */
  append(item: T): boolean;
  /**
   * Sets the number of items expected at the end, which readers see as `progress.estimatedEnd`. May be called again. Once the source
   * has ended, the number of its items counts instead.
   * @param count `undefined`: not known (any more)
   */
  total(count: number | undefined): void;
  /**
   * Set by the producer while it waits for its share of the event loop. It may then still have something to report,
   * so reads that could be settled wait for it.
   */
  isYielding: boolean;
  /** True if the producer must await {@link room} before it appends. */
  readonly isFull: boolean;
  /** Resolves when there is room, or when nothing more is wanted. Never rejects. */
  room(): Promise<void>;
  /** True once nothing more is wanted, see {@link append}. */
  readonly ended: boolean;
  /** The source has ended by itself. */
  end(): void;
  /**
   * The source has failed.
   * @param cause what it threw
   */
  fail(cause: unknown): void;
}
