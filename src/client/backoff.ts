/** Timers between attempts: a pause that the page can cut short, and an exponential back-off. */
import type { CodedError } from "../base/coded-error.js";

/** Upper bound of the exponential back-off, ms. */
const longestBackoff = 10_000;
/** The longest delay given to `setTimeout`, ms. Beyond 2^31 - 1 it would fire at once. */
const longest = 2e9;

/**
 * Calls `callback` when the page is shown, hidden or left, or the network goes or comes back, until `signal` aborts. Outside of a browser
 * (Node) it never does. A page that is left may be frozen in the back/forward cache; when the user returns, a `visibilitychange`
 * event follows.
 * @param callback receives an `online`, `offline`, `visibilitychange` or `pagehide` event
 */
export function onPageChange(callback: (event: Event) => void, signal: AbortSignal): void {
  for (const event of ["online", "offline", "visibilitychange", "pagehide"]) {
    globalThis.addEventListener?.(event, callback, { signal });
  }
}

/**
 * Waits `delay` ms, or less if the network comes back or the page is shown meanwhile. Leaves no timer or listener behind.
 * @param delay ms; cut to about 23 days
 * @throws the reason of `signal`
 */
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
      // A page that is being left becomes hidden next: it must not start a request.
      if (type === "online" || (type === "visibilitychange" && !globalThis.document?.hidden)) end();
    }, over.signal);
    if (signal?.aborted) end();
  });
}

/**
 * Waits before the next attempt: as long as the server asks for with `Retry-After`, else 250 ms doubled by every attempt, at most
 * 10 s. Half of the delay is random, so that clients cut off together do not all return at once.
 * @param attempt how many attempts in a row came before, from 0
 * @param problem the error of the last attempt, if there was one
 * @throws the reason of `signal`
 */
export function backOff(attempt: number, problem: CodedError | undefined, signal: AbortSignal | undefined) {
  const backoff = Math.min(longestBackoff, 250 * 2 ** attempt) * (0.5 + Math.random() / 2);
  return pause((problem?.retryAfter ?? 0) * 1000 || backoff, signal);
}
