/** Small promise tools. None of them leaves a listener or a timer behind, whichever way it settles. */

/** A promise with its two ends apart. */
export interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (reason: unknown) => void;
}

/** Makes a {@link Deferred}. Node 20 has no `Promise.withResolvers`. */
export function createDeferred<T = void>(): Deferred<T> {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

/** A promise that costs nothing until somebody asks for it; what it resolves with may come before or after. */
export class LazyPromise<T> {
  #deferred: Deferred<T> | undefined;
  #result: { readonly value: T } | undefined;

  get promise(): Promise<T> {
    if (!this.#deferred) {
      this.#deferred = createDeferred<T>();
      if (this.#result) this.#deferred.resolve(this.#result.value);
    }
    return this.#deferred.promise;
  }

  get isResolved(): boolean {
    return this.#result !== undefined;
  }

  /** Only the first call counts. */
  resolve(value: T): void {
    this.#result ??= { value };
    this.#deferred?.resolve(value);
  }
}

/** Whether there is something to wait for, as `await` sees it. Throws what a getter of the value throws. */
export function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof Object(value).then === "function";
}

/**
 * Calls `listener` once when `signal` aborts; returns what takes it off again. An aborted signal calls nothing. A signal of the
 * application's own may refuse to let go: then the listener stays, does nothing, and what was under way goes on.
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
      // It has been taken off as far as it can be.
    }
  };
}

/** Waits for `promise`, or rejects with the signal's reason as soon as that aborts. The promise itself goes on. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise<T>((resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    const release = onAbort(signal, () => reject(signal.reason));
    promise.then(resolve, reject).finally(release);
  });
}

/** Whether work that has failed just says that it has stopped, as its signal told it. */
export function isAbort(error: unknown, signal: AbortSignal): boolean {
  return error === signal.reason || (error instanceof Error && error.name === "AbortError");
}

/** How a bounded wait ended: in time or not, and with which error if the promise rejected. */
export interface Settlement {
  readonly timedOut: boolean;
  readonly errors: readonly unknown[];
}

/**
 * Waits for `promise`, at most `timeout` milliseconds (`Infinity`: as long as it takes). Never rejects.
 * @param onLate is told what the promise rejects with when its time is up
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

/** `setTimeout` holds 2^31 - 1 ms at most; a longer delay would fire at once. */
const longestTimeout = 0x7fff_ffff;

/** Calls `callback` after `delay` milliseconds, right for any delay (`Infinity`: never). Returns what cancels it. */
export function startTimer(delay: number, callback: () => void, { unref = false } = {}): () => void {
  if (delay === Number.POSITIVE_INFINITY) return noop;
  let timer: unknown; // a number here, an object there
  const arm = (left: number) => {
    const step = Math.min(left, longestTimeout);
    timer = setTimeout(() => (left > step ? arm(left - step) : callback()), step);
    if (unref) (timer as { unref?: () => void }).unref?.();
  };
  arm(Math.max(0, delay));
  return () => clearTimeout(timer as number);
}

export function noop(): void {}
