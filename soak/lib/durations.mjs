// How long event streams last. Only the server can tell: what a client has not read may be in the buffers of the kernel, and these
// hold up to tens of megabytes.
import { router } from "../settings.mjs";

/** After its end a response may take so long to drain, ms. */
const drainTimeout = 5_000;
/** A busy server is late by so much at most, ms. */
const late = 5_000;

/** How long the process has run, ms: while it is frozen, this stands still. */
let ran = 0;
let last = performance.now();
setInterval(() => {
  const now = performance.now();
  ran += Math.min(now - last, 1_000);
  last = now;
}, 250).unref();

/**
 * Reports a stream that has not been ended in time, or has not been cut off although its client did not take what it was sent.
 * Acknowledgements renew a stream that asks for them, so that it may be open for any time.
 */
export function watchDurations(res, { acks, report }) {
  const began = ran;
  let ended;
  res.once("prefinish", () => {
    ended = ran;
  });
  res.once("close", () => {
    const open = (ended ?? ran) - began;
    const draining = ran - (ended ?? ran);
    if (!acks && open > router.rotateAfter + late) report(`an event stream was open for ${Math.round(open)} ms`);
    if (draining > drainTimeout + late)
      report(`an event stream was drained for ${Math.round(draining)} ms after its end`);
  });
}
