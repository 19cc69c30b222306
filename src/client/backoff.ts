/** Waiting for the next try, no longer than it makes sense. */
import type { CodedError } from "../base/coded-error.js";

const longestBackoff = 10_000;
/** About what a timer can hold, ms. */
const longest = 2e9;

/**
 * Calls back when the page is shown, hidden or left, or the network is back, until `signal` aborts. Node has no page. A page that
 * is left may be kept, frozen, for the user to come back to: then it is shown again.
 */
export function onPageChange(callback: (event: Event) => void, signal: AbortSignal): void {
  for (const event of ["online", "visibilitychange", "pagehide"]) {
    globalThis.addEventListener?.(event, callback, { signal });
  }
}

/** Waits `delay` ms; less, if the network is back or the page is shown meanwhile. Rejects when `signal` aborts. */
export function pause(delay: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const over = new AbortController();
    const end = () => {
      clearTimeout(timer);
      over.abort();
      if (signal?.aborted) reject(signal.reason);
      resolve();
    };
    const timer = setTimeout(end, Math.min(delay, longest));
    signal?.addEventListener("abort", end, over);
    onPageChange(({ type }) => {
      // A page that is left is hidden next, and must not begin anything.
      if (type === "online" || (type === "visibilitychange" && !globalThis.document?.hidden)) end();
    }, over.signal);
    if (signal?.aborted) end();
  });
}

/** Waits as long as the server asks for, or longer with every attempt. */
export function backOff(attempt: number, problem: CodedError | undefined, signal: AbortSignal | undefined) {
  const backoff = Math.min(longestBackoff, 250 * 2 ** attempt) * (0.5 + Math.random() / 2);
  return pause((problem?.retryAfter ?? 0) * 1000 || backoff, signal);
}
