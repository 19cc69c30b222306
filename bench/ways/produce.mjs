// The items of every way of sending: a producer that lets the loop go every 50 items, or makes one every so many ms.
import { setImmediate as turn, setTimeout as wait } from "node:timers/promises";

/** @param {{ count: number, every?: number }} wanted `every`: ms from one item to the next */
export async function* produce({ count, every = 0 }) {
  const began = performance.now();
  for (let n = 0; n < count; n++) {
    if (every > 0) await wait(Math.max(0, began + n * every - performance.now()));
    else if (n % 50 === 49) await turn();
    yield { n, at: clock(), text: `This is item number ${n}` };
  }
}

/** µs, by a clock that is the same in all processes. */
export function clock() {
  return Number(process.hrtime.bigint() / 1000n);
}

export const eventStream = { "content-type": "text/event-stream", "cache-control": "no-cache" };
