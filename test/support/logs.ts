/** Reads at logs, as runners and routes make them. */
import { endingOf } from "../../src/base/async.js";
import type { JsonLimits } from "../../src/log/codec.js";
import { settledWithin } from "../../src/log/pending-read.js";
import { isPending, type ReadRequest, type ResultLog, type Slice } from "../../src/log/result-log.js";

/** What can end a wait. */
export interface Patience {
  readonly signal?: AbortSignal;
  /** ms */
  readonly timeout?: number;
}

/** Reads, and waits for as long as its patience lasts. */
export async function readFrom<R>(
  log: Pick<ResultLog<R>, "read">,
  { signal, timeout, ...request }: ReadRequest & Patience,
): Promise<Slice<R>> {
  const read = log.read(request);
  return isPending(read) ? settledWithin(read, signal ? [endingOf(signal)] : [], timeout) : read;
}

/** JSON of any size. */
export const anyJson: JsonLimits = { bytes: 1_000_000_000, itemBytes: 1_000_000_000 };

/** An item of which each encoding runs code; in JSON it is `value`. */
export function withCode<T>(value: T, run: () => unknown): T {
  return {
    toJSON() {
      run();
      return value;
    },
  } as T;
}
