/** Exclusive locks of one session, by name: the lock itself, and the table of a session's locks. */
import { noop, onAbort, startTimer } from "../base/async.js";
import { handOver } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";

/** Options of `session.lock`. */
export interface LockOptions {
  /** Maximum wait in milliseconds. 0 tries once without waiting. Default: `Infinity`, no time-out. */
  readonly timeout?: number | undefined;
  /**
   * Cancels the wait. After that it releases the lock when it aborts, until the lock is passed to a runner. Pass the signal of the
   * request, so that an abandoned request does not keep the lock. Default: none.
   */
  readonly signal?: AbortSignal | undefined;
}

/**
 * A lock that is held, as returned by `session.lock`. It is a token for one acquisition: only the first release has an effect,
 * so a late second one cannot take the lock away from the next holder.
 *
 * Release it with `release`, `using` or `await using`, or pass it to a runner in `holds`, which releases it after its clean-up.
 * A lock acquired with a signal is released when that aborts, unless a runner has it by then.
 *
 * @example
 * using lock = await session.lock("cart", { timeout: 5000, signal: request.signal });
 * if (!lock) throw new Error("The cart is being changed elsewhere");
 */
export class SessionLock implements AsyncDisposable, Disposable {
  /** The name under which it was acquired. */
  readonly name: string;
  /** Passes the lock on to the next waiter; `undefined` once released. */
  #pass: (() => void) | undefined;
  /** Detaches the lock from its signal. */
  #offSignal: () => void;

  /** Created by {@link SessionLocks.acquire} only. */
  constructor(name: string, signal: AbortSignal | undefined, pass: () => void) {
    this.name = name;
    this.#pass = pass;
    this.#offSignal = onAbort(signal, () => this.release());
  }

  /** True once the lock has been released, by whatever means. */
  get isReleased(): boolean {
    return this.#pass === undefined;
  }

  /** Releases the lock: the longest waiting caller gets it in the same step, before any new one. Idempotent. */
  release(): void {
    const pass = this.#pass;
    this.#pass = undefined;
    this[handOver]();
    pass?.();
  }

  /**
   * Detaches the lock from its signal, because a runner takes it over and releases it from now on.
   * @returns false if it has been released already, so that it protects nothing
   */
  [handOver](): boolean {
    this.#offSignal();
    this.#offSignal = noop;
    return !this.isReleased;
  }

  /** Same as {@link release}, for `using`. */
  [Symbol.dispose](): void {
    this.release();
  }

  /** Same as {@link release}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
  }
}

/** A pending call of {@link SessionLocks.acquire}. */
interface Waiter {
  /** Gives it the lock. */
  grant(): void;
  /** Ends the wait with an error. */
  reject(reason: unknown): void;
}

/**
 * The locks of one session, by name.
 *
 *     free ──acquire──▶ held ──release──▶ held by the next waiter, or free
 *                         └──the session ends──▶ closed: waiters are rejected, a later release does nothing
 *
 * A release passes the lock on in the same step to the longest waiting caller, so nothing can overtake it.
 */
export class SessionLocks {
  /** The waiters of each held lock, in order. A name without an entry is free. */
  readonly #held = new Map<string, Set<Waiter>>();
  /** True once closed: the locks of an ended session are never passed on. */
  #isOver = false;

  /**
   * Acquires a lock, or waits for it.
   * @returns the lock, or `undefined` on time-out
   * @throws `INVALID_ARGUMENT`, the signal's reason, or the error passed to {@link close}
   */
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
          // If the holder used the same signal, its abort released the lock before the listener of this wait has run.
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

  /** Gives the lock to the next waiter, or frees it. */
  #pass(name: string): void {
    if (this.#isOver) return;
    const [next] = this.#held.get(name) ?? [];
    if (next) next.grant();
    else this.#held.delete(name);
  }

  /** Rejects all waiters with `error`. Called when the session ends; the session itself refuses later calls. */
  close(error: ActiveSessionError): void {
    this.#isOver = true;
    for (const waiters of this.#held.values()) for (const waiter of [...waiters]) waiter.reject(error);
    this.#held.clear();
  }
}

/** @throws `INVALID_ARGUMENT`, synchronously; `session.lock` turns it into a rejection */
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
