import { type Ending, startTimer } from "../base/async.js";
import type { PendingRead, Slice } from "./result-log.js";

/**
 * Waits for a read, and takes it. Leaves no listener and no timer behind.
 * @param endings each of them cancels the read, with its reason
 * @param timeout ms, after which the read settles with what is there. Default: no limit
 * @throws the errors of the read, or the reason of an ending
 */
export async function settledWithin<R>(
  read: PendingRead<R>,
  endings: readonly Ending[],
  timeout?: number,
): Promise<Slice<R>> {
  const offs: (() => void)[] = [];
  try {
    for (const ending of endings) {
      if (ending.aborted) read.cancel(ending.reason); // it would not call back
      offs.push(ending.onAbort(() => read.cancel(ending.reason)));
    }
    if (timeout !== undefined) offs.push(startTimer(timeout, () => read.giveUp()));
  } catch (error) {
    read.cancel(error); // a signal that is none
  }
  try {
    const slice = await read.settled;
    read.take();
    return slice;
  } finally {
    for (const off of offs) off();
  }
}
