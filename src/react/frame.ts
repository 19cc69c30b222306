/** Delay of a flush, ms, where there are no animation frames: in a hidden page or outside of a browser. */
const unseenEvery = 250;

/**
 * Coalesces calls: however often `soon` is called, `flush` runs once, in the next animation frame.
 *
 * A hidden page has no frames, so a timer runs beside the frame; the first of the two calls `flush` and
 * cancels the other.
 * @param flush renders what has changed
 * @returns `soon` requests a call of `flush`; `cancel` withdraws the request
 */
export function batch(flush: () => void): { readonly soon: () => void; readonly cancel: () => void } {
  let frame: number | undefined;
  /** Set while a call is requested. */
  let timer: ReturnType<typeof setTimeout> | undefined;
  const cancel = () => {
    clearTimeout(timer);
    if (frame !== undefined) cancelAnimationFrame(frame);
    timer = frame = undefined;
  };
  const run = () => {
    cancel();
    flush();
  };
  return {
    cancel,
    soon: () => {
      if (timer !== undefined) return;
      timer = setTimeout(run, unseenEvery);
      if (typeof requestAnimationFrame === "function") frame = requestAnimationFrame(run);
    },
  };
}
