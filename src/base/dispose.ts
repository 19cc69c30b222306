/** Giving back what was held: one resource or many, with errors collected and every wait bounded. */
import { isThenable, type Settlement, settleWithin } from "./async.js";

/** Something to be given back: a disposable, or a function that does it. */
export type Resource = AsyncDisposable | Disposable | (() => unknown);

/**
 * The method of a resource that is bound to something short-lived, a request for one: whoever calls it gives the resource back from
 * now on. It returns false if that has been done already.
 */
export const handOver: unique symbol = Symbol.for("active-session.handOver");

/** Is told what a step of a clean-up throws that is not waited for any more. */
export type OnLate = (error: unknown) => void;

/** How a clean-up went. */
export interface CleanupSummary {
  /** Some step took longer than `cleanupTimeout`; it may still be going on, nobody waits for it any more. */
  readonly timedOut: boolean;
  /** What the steps threw, in order. */
  readonly errors: readonly unknown[];
}

/** Whether `value` can be given back. */
export function isResource(value: unknown): value is Resource {
  if (typeof value === "function") return true;
  return typeof value === "object" && value !== null && (Symbol.asyncDispose in value || Symbol.dispose in value);
}

/** Gives one resource back, asynchronously where it can be. Throws and rejects as the resource does. */
export function disposeOf(resource: Resource): unknown {
  if (typeof resource === "function") return resource();
  if (Symbol.asyncDispose in resource) return resource[Symbol.asyncDispose]();
  return resource[Symbol.dispose]();
}

/** Nothing was to be done, or all of it went well. */
const done: Settlement = Object.freeze({ timedOut: false, errors: Object.freeze([]) });

/**
 * Runs one step, which may throw, reject or never settle; waits at most `timeout` ms, if there is anything to wait for. Never rejects.
 * @param onLate is told what it rejects with when its time is up
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
 * Runs the steps one after the other, each bounded by `timeout` ms, whatever becomes of those before it. The promise is only there
 * where a step has something to wait for.
 * @param onLate is told what a step rejects with when its time is up
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

/** The steps that give resources back, the last one first. */
export function toSteps(resources: readonly Resource[]): (() => unknown)[] {
  return resources.map((resource) => () => disposeOf(resource)).reverse();
}

/** One summary for many. */
export function mergeSummaries(summaries: readonly CleanupSummary[]): CleanupSummary {
  if (summaries.every((summary) => summary === done)) return done;
  return {
    timedOut: summaries.some((summary) => summary.timedOut),
    errors: summaries.flatMap((summary) => summary.errors),
  };
}
