/**
 * Keeps something in use until it is released, once: a runner and its session while they are read, a session during a request, a group
 * by its sessions. Releasing again does nothing, so that every way out of its holder's code may release it.
 */
export abstract class Lease implements Disposable {
  #isHeld = true;

  /** A lease that calls a function when it is released. */
  static of(end: () => void): Lease {
    return new FunctionLease(end);
  }

  /** Ends the use. Idempotent. */
  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.end();
  }

  /** Undoes the use. Called once. */
  protected abstract end(): void;

  /** See {@link release}. */
  [Symbol.dispose](): void {
    this.release();
  }
}

class FunctionLease extends Lease {
  constructor(protected readonly end: () => void) {
    super();
  }
}
