/** The contract between a runner and what works for it in the background. */
import type { CleanupSummary } from "../base/dispose.js";
import type { RunnerId } from "./types.js";

/** What the work gets to know of its surroundings. `Session` and `Services` are the owner's. */
export interface RunnerContext<Session = unknown, Services = unknown> {
  /** Aborts when the work must stop: the runner was aborted, or its session has ended. */
  readonly signal: AbortSignal;
  /** The session that the runner belongs to. */
  readonly session: Session;
  /** The session's services; made at first use. */
  readonly services: Services;
  /** Which runner this is; for logs. */
  readonly id: RunnerId;
}

/** What a producer makes known. */
export interface ProducerEvents {
  /** The work has thrown something after it was stopped: however late, it is told. */
  onLateError(error: unknown): void;
}

/**
 * A producer fills a log, which it has been given at its creation.
 *
 *     idle ──start──▶ running ──the work ends──▶ closing ──▶ closed
 *       └──────────────stop──────┴───────────────┘
 *
 * `start` may fail, which leaves the producer idle and ready for another try. `closed` settles when the work has ended and
 * everything it held has been closed. A stopped producer never touches its log again.
 */
export interface Producer {
  /** Starts the work; resolves when it runs in the background, or was stopped meanwhile. */
  start(context: RunnerContext): Promise<void>;
  /** Ends the work and closes what it holds, started or not. Never throws; further calls do nothing. */
  stop(): void;
  /** Settles with how the closing went. Never rejects. */
  readonly closed: Promise<CleanupSummary>;
}
