// When the server was frozen: what it is to do by its clock it then does later.
let latest = Number.NEGATIVE_INFINITY;

/** It will be frozen at once, or has just been. */
export function noteFreeze() {
  latest = performance.now();
}

/** Whether it was frozen at a time since then (by `performance.now()`), or is so now; what it is late with takes it some seconds more. */
export function wasFrozenSince(since) {
  return latest > since - 10_000;
}

/** Whether an error says that a runner is gone which has idled out while the server was frozen. */
export function isGoneByFreeze(error, since) {
  return wasFrozenSince(since) && /RUNNER_GONE/.test(error.message);
}
