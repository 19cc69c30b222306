// A million idle sessions: what memory they take, and how others fare while all of them expire.
import { monitorEventLoopDelay } from "node:perf_hooks";
import { setImmediate as turn, setTimeout as wait } from "node:timers/promises";
import { answerAll } from "../lib/answer.mjs";
import { library } from "../lib/library.mjs";

const { createActiveSessions } = await library("index");

const number = 1_000_000;
const idleTimeout = 15_000;
const many = Number.POSITIVE_INFINITY;

/** @returns MiB of memory, ms of the longest delay and of the latest end, each against what was asked */
async function million() {
  globalThis.gc();
  const before = process.memoryUsage().rss;
  const sessions = createActiveSessions({ idleTimeout, limits: { sessions: many, sessionsPerClient: many } });
  const dueAt = new Float64Array(number);
  for (let i = 0; i < number; i++) {
    await sessions.get(`user-${i}`);
    dueAt[i] = performance.now() + idleTimeout;
    if (i % 200 === 0) await turn();
  }
  const memory = (process.memoryUsage().rss - before) / 2 ** 20;

  const delays = monitorEventLoopDelay({ resolution: 1 });
  delays.enable();
  let latest = 0;
  for (let left = number; left > 0; left = sessions.stats().sessions) {
    await wait(5);
    const oldest = dueAt[number - left]; // they end in the order in which they were made
    latest = Math.max(latest, performance.now() - oldest);
  }
  delays.disable();
  await sessions.close();
  return { memory, stall: delays.max / 1e6, latest };
}

answerAll({ million });
