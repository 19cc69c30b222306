/** Length of an interval, in ms. */
const intervalLength = 20_000;
/** The protocol's epoch, from which intervals are counted. */
const epoch = Date.UTC(2024, 9, 9);
/** Maximum step after a collision, in intervals: one hour. The step is random. */
const longestJump = 180;

/**
 * The value of `Stream-Cursor` (Durable Streams protocol, section 8.1): the number of the current 20-second interval.
 * It is greater than the value that the client echoes (unless that leaves no room for a greater one), so that a cache
 * between the two cannot answer in a circle.
 * @param echoed the cursor of the request; `undefined` without one
 */
export function nextCursor(echoed: number | undefined): string {
  const interval = Math.floor((Date.now() - epoch) / intervalLength);
  if (echoed === undefined || echoed < interval || echoed > Number.MAX_SAFE_INTEGER - longestJump)
    return String(interval);
  return String(echoed + 1 + Math.floor(Math.random() * longestJump));
}
