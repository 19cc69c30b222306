import { onAbort } from "../base/async.js";

/** The callbacks of one signal, and the function that removes the listener behind them. */
interface Shared {
  readonly callbacks: Set<() => void>;
  readonly off: () => void;
}

/** Weak: must not keep an application's signal alive. */
const bySignal = new WeakMap<AbortSignal, Shared>();

/**
 * Calls `callback` when `signal` aborts.
 *
 * All callbacks of a signal share one listener. Node warns of a leak from the eleventh listener on, many runners may follow the
 * same signal, and the limit of an application's signal is not ours to raise.
 * @param signal must not have aborted yet
 * @returns removes the callback, and the listener after the last callback
 */
export function onSharedAbort(signal: AbortSignal, callback: () => void): () => void {
  const shared = bySignal.get(signal) ?? share(signal);
  shared.callbacks.add(callback);
  return () => {
    if (!shared.callbacks.delete(callback) || shared.callbacks.size > 0) return;
    shared.off();
    if (bySignal.get(signal) === shared) bySignal.delete(signal);
  };
}

/** Adds the one listener. It iterates over a copy, because a callback may remove itself or others. */
function share(signal: AbortSignal): Shared {
  const callbacks = new Set<() => void>();
  const off = onAbort(signal, () => {
    for (const callback of [...callbacks]) callback();
  });
  const shared = { callbacks, off };
  bySignal.set(signal, shared);
  return shared;
}
