/**
 * Turns of the event loop. Two jobs: run something after the source has had a whole turn, and keep producers that never
 * wait for I/O from holding the loop.
 */

// Taken once, so that a test that fakes timers does not stop the loop's own turns.
const { setImmediate } = globalThis;

/** How long a producer may keep the loop within one turn, ms; where several wait for their share, they divide it, down to the least. */
const sliceLength = 10;
const leastSliceLength = 1;

let due: (() => void)[] = [];
let following: (() => void)[] = [];

/**
 * Calls `callback` (which must not throw) when one whole event-loop turn has passed: not at the end of the turn that is
 * going on, which may be about to run the source's continuation, but at the end of the next one.
 */
export function afterTurn(callback: () => void): void {
  if (due.length === 0 && following.length === 0) setImmediate(tick);
  following.push(callback);
}

/** How many turns have passed while somebody waited for one: as long as it is the same, no turn has. */
export function turnsPassed(): number {
  return ticks;
}

let ticks = 0;

function tick(): void {
  ticks++;
  const callbacks = due;
  due = following;
  following = [];
  if (due.length > 0) setImmediate(tick);
  for (const callback of callbacks) callback();
}

let sliceEnd = 0;
const waiting: (() => void)[] = [];

/** Whether the producers' share of this turn is used up; then {@link nextSlice} must be awaited before going on. */
export function isSliceOver(): boolean {
  return performance.now() >= sliceEnd;
}

/** Resolves in a later turn, when this producer is next: one producer a turn, in order of asking, so that all advance. */
export function nextSlice(): Promise<void> {
  return new Promise((resolve) => {
    if (waiting.push(resolve) === 1) setImmediate(grantSlice);
  });
}

function grantSlice(): void {
  sliceEnd = performance.now() + Math.max(leastSliceLength, sliceLength / waiting.length);
  waiting.shift()?.();
  if (waiting.length > 0) setImmediate(grantSlice);
}
