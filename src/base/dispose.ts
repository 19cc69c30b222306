/** Disposal of one resource or many: errors are collected and every wait is bounded. */
import { isThenable, type Settlement, settleWithin } from "./async.js";

/**
 * Something that can be released: a disposable (`Symbol.asyncDispose` or `Symbol.dispose`), or a function that does
 * the release.
 */
export type Resource = AsyncDisposable | Disposable | (() => unknown);

/**
 * Key of a method of resources that release themselves with something short-lived, such as a lock that ends with
 * its request. Calling it detaches the resource from that life: from then on the caller must release it. It returns
 * false if the resource has been released already.
 *
 * Registered with `Symbol.for`, so that resources of a second copy of the package work, too.
 */
export const handOver: unique symbol = Symbol.for("active-session.handOver");

/** Receives the error of a clean-up step that failed after its time-out, when no caller is waiting for it any more. */
export type OnLate = (error: unknown) => void;

/** The result of a clean-up. */
export interface CleanupSummary {
  /** True if a step took longer than `cleanupTimeout`. That step may still be running, but it is not waited for. */
  readonly timedOut: boolean;
  /** The errors of all steps, in the order of the steps. */
  readonly errors: readonly unknown[];
}

/** The summary of a clean-up that had nothing to do. */
export const nothingToReport: CleanupSummary = { timedOut: false, errors: [] };

/** True if `value` can be released by {@link disposeOf}. */
export function isResource(value: unknown): value is Resource {
  if (typeof value === "function") return true;
  return typeof value === "object" && value !== null && (Symbol.asyncDispose in value || Symbol.dispose in value);
}

/**
 * Releases one resource. `Symbol.asyncDispose` takes precedence over `Symbol.dispose`.
 * @returns the result of the resource's own method, possibly a promise
 * @throws what the resource throws
 */
export function disposeOf(resource: Resource): unknown {
  if (typeof resource === "function") return resource();
  if (Symbol.asyncDispose in resource) return resource[Symbol.asyncDispose]();
  return resource[Symbol.dispose]();
}

/** The result of steps without errors. Shared, because nearly all clean-ups end this way. */
const done: Settlement = Object.freeze({ timedOut: false, errors: Object.freeze([]) });

/**
 * Runs one clean-up step, which may throw, reject or never settle. Never throws or rejects itself. Returns
 * synchronously if the step does, so that a clean-up without asynchronous work costs no promise.
 * @param timeout milliseconds to wait for the step; `Infinity` waits without a bound
 * @param onLate receives a rejection that arrives after the time-out
 */
export function runStep(step: () => unknown, timeout: number, onLate?: OnLate): Settlement | Promise<Settlement> {
  try {
    const result = step();
    if (!isThenable(result)) return done;
    return settleWithin(new Promise((resolve) => resolve(result)), timeout, onLate);
  } catch (error) {
    return { timedOut: false, errors: [error] };
  }
}

/**
 * Runs the steps one after the other, each bounded by `timeout`. A failure or a time-out does not stop the next
 * step. Returns a promise only if some step does. Never throws or rejects.
 * @param timeout milliseconds to wait for each step
 * @param onLate receives rejections that arrive after a step's time-out
 */
export function runSteps(
  steps: readonly (() => unknown)[],
  timeout: number,
  onLate?: OnLate,
): CleanupSummary | Promise<CleanupSummary> {
  const summaries: CleanupSummary[] = [];
  for (const [i, step] of steps.entries()) {
    const running = runStep(step, timeout, onLate);
    if (running instanceof Promise) return runRest(summaries, running, steps.slice(i + 1), timeout, onLate);
    summaries.push(running);
  }
  return mergeSummaries(summaries);
}

/** The asynchronous part of {@link runSteps}, from the first step that returned a promise. */
async function runRest(
  summaries: CleanupSummary[],
  running: Promise<CleanupSummary>,
  steps: readonly (() => unknown)[],
  timeout: number,
  onLate: OnLate | undefined,
): Promise<CleanupSummary> {
  summaries.push(await running);
  for (const step of steps) summaries.push(await runStep(step, timeout, onLate));
  return mergeSummaries(summaries);
}

/** Returns one step for each resource, in reverse order: the resource acquired last may depend on earlier ones. */
export function toSteps(resources: readonly Resource[]): (() => unknown)[] {
  return resources.map((resource) => () => disposeOf(resource)).reverse();
}

/** Combines summaries into one: timed out if any did, with the errors of all. */
export function mergeSummaries(summaries: readonly CleanupSummary[]): CleanupSummary {
  if (summaries.every((summary) => summary === done)) return done;
  return {
    timedOut: summaries.some((summary) => summary.timedOut),
    errors: summaries.flatMap((summary) => summary.errors),
  };
}
