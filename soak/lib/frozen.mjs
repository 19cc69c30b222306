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
