import type { Ending } from "../base/async.js";
import type { JsonLimits } from "../log/codec.js";
import { settledWithin } from "../log/pending-read.js";
import { isPending, type Slice } from "../log/result-log.js";
import type { RunnerCore } from "../runner/runner-core.js";

/** The runner to be read, on behalf of one owner of its session. */
export interface WaitingReadTarget {
  readonly runner: RunnerCore;
  /** The session's handover as of the request: each owner has another. */
  readonly handover: Ending;
}

/** Options of {@link readWaiting}. */
export interface WaitingReadOptions {
  /** The first position to read. */
  readonly start: number | "tail";
  /** Number of items (reports of a process) to wait for. */
  readonly min: number;
  /** Maximum number of items. */
  readonly max: number;
  /** Time-out of the wait, in ms. */
  readonly timeout: number;
  /** Ends when the client has disconnected. */
  readonly over: Ending;
  /** Limits of the page in bytes. */
  readonly limits: JsonLimits;
}

/**
 * Reads a long-poll or the first page of a creation. The read settles
 *
 * - when `min` items exist, or no more will follow;
 * - when the existing items fill a page in bytes;
 * - at the time-out, with what exists.
 *
 * If the session gets another owner, it rejects with `RUNNER_GONE` in that step.
 * @throws what a read throws, `RESULT_NOT_SERIALIZABLE`, `ITEM_TOO_LARGE`, `RUNNER_GONE`, or the reason of `over`
 */
export async function readWaiting(
  { runner, handover }: WaitingReadTarget,
  { start, min, max, timeout, over, limits }: WaitingReadOptions,
): Promise<Slice<unknown>> {
  const endings = [handover, over];
  for (const ending of endings) if (ending.aborted) throw ending.reason; // before the read acknowledges
  const read = runner.read({ start, min, max, mode: "bounded", json: limits });
  const slice = isPending(read) ? await settledWithin(read, endings, timeout) : read;
  if (handover.aborted) throw handover.reason; // it may have moved after the read was settled
  if (slice.closed && (start !== "tail" || slice.position > slice.start)) runner.endSeen();
  return slice;
}
