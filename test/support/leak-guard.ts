/**
 * Runs around every test and fails it if it leaves something behind: a timer or a listening server that our code or the test
 * made, a fake timer, an unhandled rejection (Vitest itself fails on those).
 */
import { createHook } from "node:async_hooks";
import { resolve } from "node:path";
import { afterEach, beforeEach, expect, vi } from "vitest";
import { cleanUp } from "./cleanup.js";

const root = `${resolve(import.meta.dirname, "../..")}/`;
const guarded = new Set(["Timeout", "TCPSERVERWRAP", "PIPESERVERWRAP"]);
const live = new Map<number, string>();
const { setTimeout: realSetTimeout, clearTimeout: realClearTimeout } = globalThis;

createHook({
  init(id, type) {
    if (!guarded.has(type)) return;
    const holder: { stack?: string } = {};
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 14;
    Error.captureStackTrace(holder);
    Error.stackTraceLimit = limit;
    const stack = (holder.stack ?? "").split("\n");
    // Node makes timers of its own on behalf of whoever writes a response; ours are those that our code sets itself.
    const setter = stack.findIndex((line) => /at set(Timeout|Interval) \(node:timers/.test(line));
    const made = type === "Timeout" ? stack.slice(setter + 1, setter + 2) : stack;
    if (made.some(isOurs)) live.set(id, [type, ...stack.filter(isOurs)].join("\n"));
  },
  destroy(id) {
    live.delete(id);
  },
}).enable();

function isOurs(frame: string): boolean {
  return frame.includes(root) && !frame.includes("node_modules") && !frame.includes("leak-guard");
}

/** Closing takes some turns of the loop, and destroy hooks run in one of their own. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 200 && live.size > 0; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A clean-up that waits for a faked clock, which nobody advances any more, must fail and not hang. */
async function withinTime(cleaned: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = realSetTimeout(() => reject(new Error("The clean-up of this test does not end")), 20_000);
  });
  await Promise.race([cleaned, late]).finally(() => realClearTimeout(timer));
}

beforeEach(() => {
  live.clear();
});

afterEach(async () => {
  await withinTime(cleanUp());
  if (vi.isFakeTimers()) {
    const pending = vi.getTimerCount();
    vi.useRealTimers();
    expect(pending, "fake timers left behind").toBe(0);
  }
  await settle();
  const left = [...live.values()];
  live.clear();
  expect(left, "left behind by this test").toEqual([]);
});
