/**
 * A read over HTTP that waits: a long-poll, or the first page of a creation. It settles
 *
 * - when there are as many items as it waits for, or no more will come;
 * - when what there is fills a page in bytes;
 * - when its time is up, with what there is;
 * - when the session gets another owner: it rejects with `RUNNER_GONE` in that step.
 *
 * What a client asks for never makes a producer run further ahead than `aheadLimit`.
 */
import { onAbort } from "../base/async.js";
import type { Slice, Wait } from "../log/result-log.js";
import type { Runner } from "../runner/runner.js";
import type { ActiveSession } from "../session/active-session.js";
import { type EncodedSlice, type PageLimits, readEncoded } from "./encode.js";

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
  options: WaitingReadOptions,
): Promise<EncodedSlice> {
  const deadline = performance.now() + options.timeout;
  let wait: Wait | undefined;
  const { handover } = session;
  const off = onAbort(handover, () => wait?.cancel(handover.reason));
  const read = async (min: number) => {
    wait = undefined;
    const { start, max, signal, limits } = options;
    const timeout = Math.max(0, deadline - performance.now());
    const onWait = (begun: Wait) => {
      wait = begun;
    };
    const page = await readEncoded(runner, { start, min, max, timeout, signal, onWait }, limits);
    handover.throwIfAborted(); // what is there at once is not given to a former owner either
    return page;
  };
  try {
    // A sequence is looked at early: a few large items may fill the page, and then nothing more is waited for.
    let page = await read(runner.kind === "sequence" ? Math.min(options.min, 1) : options.min);
    for (let min = nextMinimum(page, options); min > 0; min = nextMinimum(page, options, deadline)) {
      page = await read(min);
    }
    return page;
  } finally {
    off();
  }
}

/** How many items to wait for next; 0: the page can be sent. */
function nextMinimum({ slice, text, isFull }: EncodedSlice, options: WaitingReadOptions, deadline = Infinity): number {
  const { start, min, max, limits, signal } = options;
  const count = countOf(slice);
  const isOver = slice.closed || count === 0 || count >= Math.min(min, max) || isFull;
  if (isOver || start === "tail" || signal.aborted || performance.now() >= deadline) return 0;
  const fitting = Math.floor(limits.bytes / (text.length / count));
  return Math.min(min, Math.max(count + 1, fitting));
}

function countOf({ start, position }: Slice<unknown>): number {
  return position - start;
}
