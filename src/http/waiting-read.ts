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
import type { ActiveSession } from "../session/active-session.js";
import { type EncodedSlice, encodeItems, type PageLimits, readEncoded } from "./encode.js";

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
  runner: Runner,
  session: ActiveSession,
  { limits, ...options }: WaitingReadOptions,
): Promise<EncodedSlice> {
  let wait: Wait | undefined;
  const onWait = (begun: Wait) => {
    wait = begun;
  };
  const { handover } = session;
  const off = onAbort(handover, () => wait?.cancel(handover.reason));
  try {
    const probe = (items: readonly unknown[]) => untilFull(items, limits);
    const page = await readEncoded(runner, { ...options, probe, onWait }, limits);
    handover.throwIfAborted(); // a read that had what it waited for could not be cancelled any more
    return page;
  } finally {
    off();
  }
}

/** At how many items, all about as large as these, a page is full; 0: it is. */
function untilFull(items: readonly unknown[], limits: PageLimits): number {
  try {
    const { text, count, isFull } = encodeItems(items, limits);
    return isFull ? 0 : Math.floor(limits.bytes / (text.length / count));
  } catch {
    return 0; // the read itself says what is wrong
  }
}
