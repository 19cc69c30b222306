// Eight sources that compute and never wait for anything: how long the event loop then keeps others waiting.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setTimeout as wait } from "node:timers/promises";
import { answerAll } from "../lib/answer.mjs";
import { library } from "../lib/library.mjs";

const { createActiveSessions } = await library("index");

const sources = 8;
const measured = 4000;

function* compute() {
  for (;;) {
    const until = performance.now() + 0.05;
    while (performance.now() < until);
    yield 1;
  }
}

async function delay() {
  const sessions = createActiveSessions({ limits: { retainedItems: Number.POSITIVE_INFINITY } });
  const session = await sessions.get("ann");
  for (let i = 0; i < sources; i++) await session.createSequenceRunner(compute, { start: "now", aheadLimit: 1e9 });
  await wait(300);
  const histogram = monitorEventLoopDelay({ resolution: 1 });
  histogram.enable();
  await wait(measured);
  histogram.disable();
  await sessions.close();
  return histogram.percentile(99) / 1e6;
}

answerAll({ delay });
