// What others notice of work that computes and never waits.
import { start } from "../lib/child.mjs";
import { spreadOf } from "../lib/measure.mjs";

export const name = "busy";

export async function* run() {
  const child = await start("inline/busy.mjs");
  try {
    const delays = [];
    for (let i = 0; i < 3; i++) delays.push((await child.ask("delay")).answer);
    const what = "event-loop delay, p99, with 8 CPU-bound synchronous sources, ms";
    yield { name: what, ...spreadOf(delays), atMost: 20 };
  } finally {
    await child.stop();
  }
}
