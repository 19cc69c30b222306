/** Tools with which a test decides itself what happens when: no sleeping, no polling of the clock. */
import { getEventListeners } from "node:events";
import type { ActiveSession } from "../../src/session/active-session.js";
import type { ActiveSessions } from "../../src/session/active-sessions.js";
import { createActiveSessions } from "../../src/session/host.js";
import type { ActiveSessionsOptions } from "../../src/session/options.js";
import type { SessionGroup } from "../../src/session/session-group.js";
import { atEnd } from "./cleanup.js";

const { setImmediate: nextTurn } = globalThis;

/** Lets `count` whole turns of the event loop pass; works with fake timers too. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise<void>((resolve) => nextTurn(resolve));
}

/** Whether a promise has settled by now, after some turns of the loop. */
export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  let pending = true;
  const settled = () => {
    pending = false;
  };
  promise.then(settled, settled);
  await turns(5);
  return pending;
}

/** How many listeners wait for a signal's abort. */
export function listenerCount(signal: AbortSignal): number {
  return getEventListeners(signal, "abort").length;
}

/** Node reports what an event listener throws as an uncaught exception; here the test takes it. */
export function catchUncaught(): unknown[] {
  const caught: unknown[] = [];
  const usual = process.rawListeners("uncaughtException") as NodeJS.UncaughtExceptionListener[];
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", (error) => caught.push(error));
  atEnd(() => {
    process.removeAllListeners("uncaughtException");
    for (const listener of usual) process.on("uncaughtException", listener);
  });
  return caught;
}

/** A source whose items, end and failure the test gives by hand; it also tells what was done to it. */
export class PushSource<T> implements AsyncIterable<T> {
  /** How often the consumer has asked for an item. */
  pulls = 0;
  /** How often `return()` was called. */
  returns = 0;
  /** What `return()` does; by default it settles at once. */
  onReturn: () => Promise<void> = async () => {};
  readonly #queue: (() => IteratorResult<T, undefined>)[] = [];
  #waiting: ((step: () => IteratorResult<T, undefined>) => void) | undefined;

  /** Gives the next items. */
  push(...items: T[]): void {
    for (const value of items) this.#give(() => ({ done: false, value }));
  }

  /** Ends the source. */
  end(): void {
    this.#give(() => ({ done: true, value: undefined }));
  }

  /** Lets the source fail. */
  fail(error: unknown): void {
    this.#give(() => {
      throw error;
    });
  }

  [Symbol.asyncIterator](): AsyncIterator<T, undefined, undefined> {
    return {
      next: async () => {
        this.pulls++;
        const step =
          this.#queue.shift() ??
          (await new Promise<() => IteratorResult<T, undefined>>((resolve) => {
            this.#waiting = resolve;
          }));
        return step();
      },
      return: async () => {
        this.returns++;
        await this.onReturn();
        return { done: true, value: undefined };
      },
    };
  }

  #give(step: () => IteratorResult<T, undefined>): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (waiting) waiting(step);
    else this.#queue.push(step);
  }
}

/** A host that is closed when the test is over. */
export function openHost<Services = unknown>(
  options: ActiveSessionsOptions<ActiveSession, Services, SessionGroup<ActiveSession>> = {},
): ActiveSessions<Services> {
  const host = createActiveSessions<Services>(options);
  atEnd(() => host.close());
  return host;
}

/** A promise for what may be had at once, or thrown; one that it gives is passed on as it is. */
export function promised<T>(get: () => T | Promise<T>): Promise<T> {
  try {
    return Promise.resolve(get());
  } catch (error) {
    return Promise.reject(error);
  }
}
