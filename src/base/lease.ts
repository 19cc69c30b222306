/**
 * Keeps something in use until it is released, once: a runner and its session while they are read, a session during a request, a group
 * by its sessions. Releasing again does nothing, so that every way out of its holder's code may release it.
 */
export class Lease implements Disposable {
  /** Unset once released. */
  #end: (() => void) | undefined;

  /** @param end undoes the use; called once */
  constructor(end: () => void) {
    this.#end = end;
  }

  /** Ends the use. Idempotent. */
  release(): void {
    const end = this.#end;
    this.#end = undefined;
    end?.();
  }

  /** See {@link release}. */
  [Symbol.dispose](): void {
    this.release();
  }
}
