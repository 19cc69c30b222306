/** Waiting for the next try, no longer than it makes sense. */
import { abortable, noop } from "../base/async.js";
import type { TemporaryError } from "./request.js";

const longestBackoff = 10_000;
/** About what a timer can hold, ms. */
const longest = 2e9;

/**
 * Calls back when the page is shown, hidden or left, or the network is back; returns what ends that. Node has no page. A page that
 * is left may be kept, frozen, for the user to come back to: then it is shown again.
 */
export function onPageChange(callback: (event: Event) => void): () => void {
  const events = ["online", "visibilitychange", "pagehide"];
  for (const event of events) globalThis.addEventListener?.(event, callback);
  return () => {
    for (const event of events) globalThis.removeEventListener?.(event, callback);
  };
}

/** Waits `delay` ms; less, if the network is back or the page is shown meanwhile. Rejects when `signal` aborts. */
export async function pause(delay: number, signal: AbortSignal | undefined): Promise<void> {
  let wake: () => void = noop;
  const woken = new Promise<void>((resolve) => {
    wake = resolve;
  });
  const off = onPageChange(({ type }) => {
    // A page that is left is hidden next, and must not begin anything.
    if (type === "online" || (type === "visibilitychange" && !globalThis.document?.hidden)) wake();
  });
  const timer = setTimeout(wake, Math.min(delay, longest));
  try {
    await abortable(woken, signal);
  } finally {
    clearTimeout(timer);
    off();
  }
}

/** Waits as long as the server asks for, or longer with every attempt. */
export function backOff(attempt: number, problem: TemporaryError | undefined, signal: AbortSignal | undefined) {
  const backoff = Math.min(longestBackoff, 250 * 2 ** attempt) * (0.5 + Math.random() / 2);
  return pause((problem?.retryAfter ?? 0) * 1000 || backoff, signal);
}
