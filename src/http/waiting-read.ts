/**
 * A read over HTTP that waits: a long-poll, or the first page of a creation. It settles
 *
 * - when there are as many items as it waits for, or no more will come;
 * - when what there is fills a page in bytes;
 * - when its time is up, with what there is;
 * - when the session gets another owner: it rejects with `RUNNER_GONE` in that step.
 */
import { onAbort } from "../base/async.js";
import type { Wait } from "../log/result-log.js";
import type { Runner } from "../runner/runner.js";
import { type EncodedItems, type EncodedSlice, type PageLimits, readEncoded } from "./encode.js";

/** What is read, and the signal of the session's handover as it was when the request came. */
export interface WaitingReadTarget {
  readonly runner: Runner;
  readonly handover: AbortSignal;
}

/** What is waited for. */
export interface WaitingReadOptions {
  readonly start: number | "tail";
  /** How many items (reports) are waited for. */
  readonly min: number;
  /** At most so many are taken. */
  readonly max: number;
  /** ms */
  readonly timeout: number;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
  readonly limits: PageLimits;
}

/**
 * Reads as the options say.
 * @throws what a read throws, `RESULT_NOT_SERIALIZABLE`, `ITEM_TOO_LARGE`, `RUNNER_GONE`
 */
export async function readWaiting(
  { runner, handover }: WaitingReadTarget,
  { start, min, max, timeout, signal, limits }: WaitingReadOptions,
): Promise<EncodedSlice> {
  let wait: Wait | undefined;
  const onWait = (begun: Wait) => {
    wait = begun;
  };
  const off = onAbort(handover, () => wait?.cancel(handover.reason));
  try {
    const lookAgainAt = (encoded: EncodedItems) => fullAt(encoded, limits);
    const request = { start, min, max, timeout, signal, raisesBound: false, lookAgainAt, onWait };
    const page = await readEncoded(runner, request, limits);
    handover.throwIfAborted(); // a read that had what it waited for could not be cancelled any more
    return page;
  } finally {
    off();
  }
}

/**
 * At how many items a page might be full, if the next ones are about as large as these; 0: it is. The next look comes after half as many
 * more at the earliest, so that all looks together cost little more than the last one, and after twice as many at the latest.
 */
function fullAt({ size, count, isFull }: EncodedItems, { bytes }: PageLimits): number {
  if (isFull) return 0;
  const estimate = Math.floor(bytes / (size / count));
  return Math.min(Math.max(estimate, Math.ceil(1.5 * count)), 2 * count);
}
