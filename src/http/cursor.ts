/**
 * The cursor of the Durable Streams protocol (section 8.1): the number of a 20-second interval, which a client echoes and
 * which never falls behind what it echoed, so that a cache between the two cannot answer in a circle.
 */

const intervalLength = 20_000;
const epoch = Date.UTC(2024, 9, 9);
/** A collision moves the cursor on by up to an hour, at random. */
const longestJump = 180;

/** The cursor for a response to a request that echoed `echoed`. */
export function nextCursor(echoed: number | undefined): string {
  const interval = Math.floor((Date.now() - epoch) / intervalLength);
  if (echoed === undefined || echoed < interval || echoed > Number.MAX_SAFE_INTEGER - longestJump)
    return String(interval);
  return String(echoed + 1 + Math.floor(Math.random() * longestJump));
}
