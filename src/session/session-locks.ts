/**
 * Exclusive locks of one session, by name.
 *
 *     free ──acquire──▶ held ──release──▶ held by the next in order, or free
 *                         └──the session ends──▶ over: who waits is rejected, who holds may go on to release
 *
 * - A lock is released once, by whoever holds it: it is a token, a second release does nothing, also when somebody else has
 *   got the lock since.
 * - A release hands the lock on in the same step, to the one that has waited longest.
 * - A lock that was acquired with a signal is released when that aborts, unless it has been handed to a runner by `holds`.
 */
import { noop, onAbort, startTimer } from "../base/async.js";
import { handOver } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";

/** How to acquire a lock. */
export interface LockOptions {
  /** How long to wait, ms; 0 only tries. Default: `Infinity`. */
  readonly timeout?: number | undefined;
  /** Cancels the waiting; and, until the lock is handed to a runner, releases it: pass the request's. */
  readonly signal?: AbortSignal | undefined;
}

/** The right to be the only one, until it is disposed or released. */
export class SessionLock implements AsyncDisposable, Disposable {
  readonly name: string;
  #pass: (() => void) | undefined;
  #offSignal: () => void;

  /** @internal */
  constructor(name: string, signal: AbortSignal | undefined, pass: () => void) {
    this.name = name;
    this.#pass = pass;
    this.#offSignal = onAbort(signal, () => this.release());
  }

  get isReleased(): boolean {
    return this.#pass === undefined;
  }

  /** Hands the lock on to the next one that waits. Once; further calls do nothing. */
  release(): void {
    const pass = this.#pass;
    this.#pass = undefined;
    this[handOver]();
    pass?.();
  }

  /** Whatever its signal does, the lock stays held: a runner releases it now. Returns whether it was held. @internal */
  [handOver](): boolean {
    this.#offSignal();
    this.#offSignal = noop;
    return !this.isReleased;
  }

  [Symbol.dispose](): void {
    this.release();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
  }
}

interface Waiter {
  grant(): void;
  reject(reason: unknown): void;
}

/** See the top of the file. */
export class SessionLocks {
  /** Who waits for each lock that is held, in order. */
  readonly #held = new Map<string, Set<Waiter>>();
  #isOver = false;

  /** Rejects with the signal's reason, or with what {@link close} is given; resolves with nothing when the time is up. */
  acquire(name: string, { timeout = Number.POSITIVE_INFINITY, signal }: LockOptions): Promise<SessionLock | undefined> {
    checkLock(name, timeout, signal);
    return new Promise((resolve, reject) => {
      if (signal?.aborted) throw signal.reason;
      const make = () => new SessionLock(name, signal, () => this.#pass(name));
      const waiters = this.#held.get(name);
      if (!waiters) {
        this.#held.set(name, new Set());
        resolve(make());
        return;
      }
      if (timeout === 0) {
        resolve(undefined);
        return;
      }
      const leave = () => {
        waiters.delete(waiter);
        offSignal();
        offTimer();
      };
      const waiter: Waiter = {
        grant: () => {
          // The signal's abort may be what released the lock, before its turn came to end this wait.
          if (signal?.aborted) {
            waiter.reject(signal.reason);
            this.#pass(name);
            return;
          }
          leave();
          resolve(make());
        },
        reject: (reason) => {
          leave();
          reject(reason);
        },
      };
      const offSignal = onAbort(signal, () => waiter.reject(signal?.reason));
      const offTimer = startTimer(timeout, () => {
        leave();
        resolve(undefined);
      });
      waiters.add(waiter);
    });
  }

  #pass(name: string): void {
    if (this.#isOver) return;
    const [next] = this.#held.get(name) ?? [];
    if (next) next.grant();
    else this.#held.delete(name);
  }

  /** Rejects all who wait. */
  close(error: ActiveSessionError): void {
    this.#isOver = true;
    for (const waiters of this.#held.values()) for (const waiter of [...waiters]) waiter.reject(error);
    this.#held.clear();
  }
}

function checkLock(name: unknown, timeout: unknown, signal: unknown): void {
  const fail = (requirement: string, value: unknown) => {
    throw new ActiveSessionError(
      "INVALID_ARGUMENT",
      `Cannot acquire a lock: ${requirement}, received ${describe(value)}`,
    );
  };
  if (typeof name !== "string" || name === "") fail("its name must be a non-empty string", name);
  if (typeof timeout !== "number" || !(timeout >= 0)) {
    fail("timeout must be a number of milliseconds of at least 0, or Infinity", timeout);
  }
  if (signal !== undefined && typeof Object(signal).addEventListener !== "function") {
    fail("signal must be an AbortSignal", signal);
  }
}
