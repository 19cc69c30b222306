/** Turns of the event loop: waiting for a whole turn, and sharing the loop among producers that never wait for I/O. */

// Taken once at load: tests that fake timers must not stop the loop's turns.
const { setImmediate } = globalThis;

/**
 * How long a producer may keep the loop within one turn, ms. Several waiting producers divide it among them, down
 * to the least length.
 */
const sliceLength = 10;
const leastSliceLength = 1;

/** Call-backs for the next tick. Their turn began with the previous tick. */
let due: (() => void)[] = [];
/** Call-backs registered during the current turn. They become due with the next tick and run with the one after it. */
let following: (() => void)[] = [];

/**
 * Calls `callback` after one whole turn of the event loop: not at the end of the current turn, but at the end of
 * the next one. The current turn may be about to run the continuation that the caller is waiting for; after a whole
 * turn it has run for certain.
 * @param callback must not throw
 */
export function afterTurn(callback: () => void): void {
  if (due.length === 0 && following.length === 0) setImmediate(tick);
  following.push(callback);
}

/**
 * Returns the number of ticks so far. Ticks only happen while a call-back of {@link afterTurn} is pending; two
 * equal results, taken while one is pending, mean that no turn has begun in between.
 */
export function turnsPassed(): number {
  return ticks;
}

let ticks = 0;

/**
 * Runs the call-backs whose whole turn is over and makes the next ones due. Continues only while there is something
 * to wait for, so that an idle process can exit.
 */
function tick(): void {
  ticks++;
  const callbacks = due;
  due = following;
  following = [];
  if (due.length > 0) setImmediate(tick);
  for (const callback of callbacks) callback();
}

/** End of the current slice by the monotonic clock, ms. */
let sliceEnd = 0;
/** Resolvers of the producers that wait for a slice, in order of arrival. */
const waiting: (() => void)[] = [];

/**
 * True if the producers' share of this turn is used up. The caller must await {@link nextSlice} before it
 * continues.
 */
export function isSliceOver(): boolean {
  return performance.now() >= sliceEnd;
}

/**
 * Resolves in a later turn with a slice for this producer. One producer is served in each turn, first come, first
 * served, so that all of them advance and I/O is handled in between.
 */
export function nextSlice(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(grantSlice);
  });
}

/** Starts a slice for the producer that has waited longest. */
function grantSlice(): void {
  sliceEnd = performance.now() + Math.max(leastSliceLength, sliceLength / waiting.length);
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(grantSlice);
}
