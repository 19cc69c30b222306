/**
 * One listener on a signal of the application, however many runners follow it: Node warns of a leak from the eleventh on, and the
 * signal's own limit is the application's to set.
 */
import { onAbort } from "../base/async.js";

interface Shared {
  readonly callbacks: Set<() => void>;
  readonly off: () => void;
}

const bySignal = new WeakMap<AbortSignal, Shared>();

/** Calls `callback` when `signal`, which has not aborted yet, does; returns what takes it off again. */
export function onSharedAbort(signal: AbortSignal, callback: () => void): () => void {
  const shared = bySignal.get(signal) ?? share(signal);
  shared.callbacks.add(callback);
  return () => {
    if (!shared.callbacks.delete(callback) || shared.callbacks.size > 0) return;
    shared.off();
    if (bySignal.get(signal) === shared) bySignal.delete(signal);
  };
}

function share(signal: AbortSignal): Shared {
  const callbacks = new Set<() => void>();
  const off = onAbort(signal, () => {
    for (const callback of [...callbacks]) callback();
  });
  const shared = { callbacks, off };
  bySignal.set(signal, shared);
  return shared;
}
