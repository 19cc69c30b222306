// A million sessions at once, and their end.
import { start } from "../lib/child.mjs";
import { spreadOf } from "../lib/measure.mjs";

export const name = "million";

const figures = {
  memory: { name: "a million idle sessions: RSS, MiB", atMost: 400 },
  stall: { name: "a million sessions expire: longest event-loop delay, ms", atMost: 20 },
  latest: { name: "a million sessions expire: how late the latest of them ends, ms", atMost: 1000 },
};

export async function* run() {
  const runs = [];
  for (let i = 0; i < 3; i++) {
    const child = await start("inline/million.mjs");
    try {
      runs.push((await child.ask("million")).answer);
    } finally {
      await child.stop();
    }
  }
  for (const [figure, limits] of Object.entries(figures))
    yield { ...limits, ...spreadOf(runs.map((one) => one[figure])) };
}
