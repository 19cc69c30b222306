/** When a page is to be told of what has changed: at most once a frame, and also when it is hidden and has no frames. */

/** A page that shows nothing is told so often, ms. */
const unseenEvery = 250;

/** Makes a function that lets `flush` be called soon, once however often it is asked for; and one that cancels that. */
export function batch(flush: () => void): { readonly soon: () => void; readonly cancel: () => void } {
  let frame: number | undefined;
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
