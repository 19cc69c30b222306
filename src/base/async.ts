/** Small promise and timer helpers. None of them leaves a listener or a timer behind once it has settled. */

/** A promise together with the functions that settle it. Create one with {@link createDeferred}. */
export interface Deferred<T> {
  /** Settles with the first call of `resolve` or `reject`; later calls have no effect. */
  readonly promise: Promise<T>;
  /** Resolves the promise. */
  readonly resolve: (value: T) => void;
  /** Rejects the promise. */
  readonly reject: (reason: unknown) => void;
}

/** Creates a {@link Deferred}. Replaces `Promise.withResolvers`, which Node 20 does not have. */
export function createDeferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

/**
 * A promise that is allocated on first access only. The value may be set before or after that, so an owner can
 * offer a promise that most callers never read at almost no cost.
 */
export class LazyPromise<T> {
  #deferred: Deferred<T> | undefined;
  #result: { readonly value: T } | undefined;

  /** The promise; the same object on every access. */
  get promise(): Promise<T> {
    if (!this.#deferred) {
      this.#deferred = createDeferred<T>();
      if (this.#result) this.#deferred.resolve(this.#result.value);
    }
    return this.#deferred.promise;
  }

  /** True once {@link resolve} has been called, even if the promise has not been accessed. */
  get isResolved(): boolean {
    return this.#result !== undefined;
  }

  /** Sets the value. Only the first call counts. */
  resolve(value: T): void {
    this.#result ??= { value };
    this.#deferred?.resolve(value);
  }
}

/**
 * True if `await` would wait for `value`, i.e. it has a `then` method.
 * @throws what a getter of the value throws
 */
export function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof Object(value).then === "function";
}

/**
 * Calls `listener` once when `signal` aborts.
 *
 * A signal that has aborted already does not call the listener: check `signal.aborted` first where that matters. A
 * signal supplied by the application may have a `removeEventListener` that throws. The error is swallowed and the
 * listener, which stays registered, does nothing: clean-up must not break the work that caused it.
 * @returns a function that removes the listener; idempotent
 */
export function onAbort(signal: AbortSignal | undefined, listener: () => void): () => void {
  if (!signal || signal.aborted) return noop;
  let call = listener;
  const listen = () => call();
  signal.addEventListener("abort", listen, { once: true });
  return () => {
    call = noop;
    try {
      signal.removeEventListener("abort", listen);
    } catch {
      // Nothing more can be done: the listener is disarmed anyway.
    }
  };
}

/**
 * Something that ends once, as an `AbortSignal` does. Without a signal behind it, it costs a tenth: an `AbortController` and the event
 * of its abort are a notable part of a short request.
 */
export interface Ending {
  /** True once it has ended. */
  readonly aborted: boolean;
  /** Why it has ended. */
  readonly reason: unknown;
  /**
   * Calls `callback` once at the end; not if it has ended already: check `aborted` first where that matters.
   * @returns removes the callback; idempotent
   */
  onAbort(callback: () => void): () => void;
}

/** Presents a signal as an {@link Ending}. */
export function endingOf(signal: AbortSignal): Ending {
  return {
    get aborted() {
      return signal.aborted;
    },
    get reason(): unknown {
      return signal.reason;
    },
    onAbort: (callback) => onAbort(signal, callback),
  };
}

/**
 * Waits for `promise`, or rejects with the signal's reason as soon as the signal aborts. The underlying work is not
 * cancelled; its later result is ignored.
 * @param signal without one, the promise is returned as it is
 */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return signal ? unless(promise, signal, (end) => onAbort(signal, end)) : promise;
}

/** As {@link abortable}, for an {@link Ending}. */
export function unlessEnded<T>(promise: Promise<T>, ending: Ending): Promise<T> {
  return unless(promise, ending, (end) => ending.onAbort(end));
}

function unless<T>(
  promise: Promise<T>,
  ending: Pick<Ending, "aborted" | "reason">,
  onEnd: (end: () => void) => () => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (ending.aborted) reject(ending.reason);
    const release = onEnd(() => reject(ending.reason));
    promise.then(resolve, reject).finally(release);
  });
}

/**
 * True if stopped work failed only because it was stopped: the error is the signal's reason or an `AbortError`.
 * Such an error is expected and need not be reported.
 */
export function isAbort(error: unknown, signal: Pick<Ending, "reason">): boolean {
  return error === signal.reason || (error instanceof Error && error.name === "AbortError");
}

/** The result of a bounded wait. */
export interface Settlement {
  /** True if the time-out elapsed before the promise settled. */
  readonly timedOut: boolean;
  /** The rejection, as the only element; empty if the promise resolved or timed out. */
  readonly errors: readonly unknown[];
}

/**
 * Waits for `promise`, but not longer than `timeout`. Never rejects.
 * @param timeout milliseconds; `Infinity` waits without a bound
 * @param onLate receives a rejection that arrives after the time-out, which would otherwise be lost
 */
export function settleWithin(
  promise: Promise<unknown>,
  timeout: number,
  onLate: (error: unknown) => void = noop,
): Promise<Settlement> {
  return new Promise((resolve) => {
    let isLate = false;
    const release = startTimer(timeout, () => {
      isLate = true;
      resolve({ timedOut: true, errors: [] });
    });
    promise.then(
      () => finish([]),
      (error: unknown) => (isLate ? onLate(error) : finish([error])),
    );
    function finish(errors: unknown[]) {
      release();
      resolve({ timedOut: false, errors });
    }
  });
}

/** The longest delay that `setTimeout` can hold, ms. It treats a longer one as 1 ms and would fire at once. */
const longestTimeout = 0x7fff_ffff;

/**
 * Calls `callback` after `delay` milliseconds. Unlike `setTimeout` it is right for any delay: long ones are split
 * into steps, `Infinity` never fires, negative ones fire as soon as possible.
 * @param options `unref: true` lets the process exit while the timer is pending (Node; ignored in browsers)
 * @returns a function that cancels the timer; idempotent
 */
export function startTimer(delay: number, callback: () => void, { unref = false } = {}): () => void {
  if (delay === Number.POSITIVE_INFINITY) return noop;
  let timer: unknown; // a number in browsers, an object in Node
  const arm = (left: number) => {
    const step = Math.min(left, longestTimeout);
    timer = setTimeout(() => (left > step ? arm(left - step) : callback()), step);
    if (unref) (timer as { unref?: () => void }).unref?.();
  };
  arm(Math.max(0, delay));
  return () => clearTimeout(timer as number);
}

/** Does nothing. Shared, so that unset call-backs need no closure of their own. */
export function noop(): void {}
