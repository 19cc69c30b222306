// Reads a little and then nothing for a while: what it does not take must not pile up, and a connection that
// takes nothing for too long is cut off (the server's process checks that). It comes back with its offset.
import { isGoneByFreeze } from "../lib/frozen.mjs";
import { readEvents } from "../lib/stream.mjs";
import { router } from "../settings.mjs";

export const share = 1;

/** Longer than a response may last without a sign of life, and be drained after its end; and some time more on a busy machine. */
const tooLong = router.rotateAfter + 5_000 + 5_000;

export async function turn(visitor) {
  const { key, ledger } = await visitor.createQuietly("big", { count: 90 });
  const since = performance.now();
  let place = { offset: 0 };
  if (Math.random() < 0.5)
    place = await readEvents(visitor, { key, offset: 0, ledger, acks: true, onPart: freezing(visitor) });
  try {
    while (!place.closed)
      place = await readEvents(visitor, { key, offset: place.offset, ledger, onPart: slowly(visitor) });
  } catch (error) {
    // It has asked for nothing for longer than work goes on for, if the server stood still meanwhile.
    if (!isGoneByFreeze(error, since)) throw error;
  }
}

function freezing(visitor) {
  let hasFrozen = false;
  return async (bytes) => {
    if (hasFrozen || bytes < 50_000) return;
    hasFrozen = true;
    await visitor.pause(tooLong);
  };
}

function slowly(visitor) {
  let next = 0;
  return async (bytes) => {
    if (bytes < next) return;
    next = bytes + 500_000;
    await visitor.pause(visitor.random(300));
  };
}
