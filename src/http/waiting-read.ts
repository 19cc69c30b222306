import type { Ending } from "../base/async.js";
import type { Wait } from "../log/result-log.js";
import type { Runner } from "../runner/runner.js";
import { type EncodedItems, type EncodedSlice, type PageLimits, readEncoded } from "./encode.js";

/** The runner to be read, on behalf of one owner of its session. */
export interface WaitingReadTarget {
  readonly runner: Runner;
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
  readonly limits: PageLimits;
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
): Promise<EncodedSlice> {
  const endings = [handover, over];
  for (const ending of endings) if (ending.aborted) throw ending.reason; // it would not call back any more
  let wait: Wait | undefined;
  const onWait = (begun: Wait) => {
    wait = begun;
  };
  const offs = endings.map((ending) => ending.onAbort(() => wait?.cancel(ending.reason)));
  try {
    const lookAgainAt = (encoded: EncodedItems) => fullAt(encoded, limits);
    const request = { start, min, max, timeout, raisesBound: false, lookAgainAt, onWait };
    const page = await readEncoded(runner, request, limits);
    if (handover.aborted) throw handover.reason; // `cancel` has no effect on a read that has its items already
    return page;
  } finally {
    for (const off of offs) off();
  }
}

/**
 * Estimates from the average size at how many items the page will be full; 0 if it is. The result is at least 1.5
 * times the present count, so that all checks together cost little more than the last one, and at most twice the
 * count.
 */
function fullAt({ size, count, isFull }: EncodedItems, { bytes }: PageLimits): number {
  if (isFull) return 0;
  const estimate = Math.floor(bytes / (size / count));
  return Math.min(Math.max(estimate, Math.ceil(1.5 * count)), 2 * count);
}
