/**
 * Runs around every test and fails it if it leaves something behind: a timer or a listening server that our code or the test
 * made, a fake timer, an unhandled rejection (Vitest itself fails on those). What is left is told in one line, and not
 * at all where the test has failed already: it was cut off in the middle.
 */
import { createHook } from "node:async_hooks";
import { resolve } from "node:path";
import { afterEach, beforeEach, vi } from "vitest";
import { cleanUp, forgetSteps, stepsLeft } from "./cleanup.js";
import { advancing } from "./patience.js";

const root = `${resolve(import.meta.dirname, "../..")}/`;
const guarded = new Set(["Timeout", "TCPSERVERWRAP", "PIPESERVERWRAP"]);
const live = new Map<number, string>();

createHook({
  init(id, type) {
    if (!guarded.has(type)) return;
    const holder: { stack?: string } = {};
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 14;
    Error.captureStackTrace(holder);
    Error.stackTraceLimit = limit;
    const stack = (holder.stack ?? "").split("\n");
    // Node sets timers of its own when our code writes a response; ours are those that our code sets itself.
    const setter = stack.findIndex((line) => /at set(Timeout|Interval) \(node:timers/.test(line));
    const made = type === "Timeout" ? stack.slice(setter + 1, setter + 2) : stack;
    if (made.some(isOurs)) live.set(id, [type, ...stack.filter(isOurs)].join("\n"));
  },
  destroy(id) {
    live.delete(id);
  },
}).enable();

function isOurs(frame: string): boolean {
  return frame.includes(root) && !frame.includes("node_modules") && !/support.(leak-guard|patience)/.test(frame);
}

/** Closing takes some turns of the loop, and destroy hooks run in one of their own. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 200 && live.size > 0; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Where it was made, in one line: `Timeout at src/client/follow.ts:12 < src/client/client.ts:34`. */
function brief(made: string): string {
  const [type, ...frames] = made.split("\n");
  const places = frames.map((frame) => frame.slice(frame.indexOf(root) + root.length).replace(/:\d+\)?$/, ""));
  return `${type} at ${places.slice(0, 3).join(" < ")}`;
}

/** What is left, the same things together. */
function tell(left: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const one of left.map(brief)) counts.set(one, (counts.get(one) ?? 0) + 1);
  const told = [...counts].map(([one, count]) => (count > 1 ? `${count} × ${one}` : one));
  return [...told.slice(0, 3), ...(told.length > 3 ? [`${told.length - 3} more`] : [])].join("; ");
}

beforeEach(() => {
  live.clear();
});

afterEach(async ({ task }) => {
  const left: string[] = [];
  try {
    // One that waits for a faked clock, which no test advances any more, must fail and not hang.
    await advancing(
      cleanUp(),
      stepsLeft,
      () => `the clean-up of this test waits for step ${stepsLeft() + 1} from its end`,
    );
    if (vi.isFakeTimers() && vi.getTimerCount() > 0) left.push(`${vi.getTimerCount()} fake timers`);
  } finally {
    forgetSteps();
    vi.useRealTimers();
  }
  await settle();
  if (live.size > 0) left.push(tell([...live.values()]));
  live.clear();
  if (left.length === 0 || task.result?.state === "fail") return;
  const error = new Error(`Left behind by this test: ${left.join("; ")}`);
  error.stack = error.message; // the line above says where
  throw error;
});
