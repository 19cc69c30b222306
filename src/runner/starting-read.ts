import type { Lease } from "../base/lease.js";
import { isPending, type PendingRead, type Slice } from "../log/result-log.js";

/**
 * A read that has to wait until its runner has been started, because before that there is nothing to read.
 *
 *     starting ──started, given up──▶ reading, where the log has to wait ──▶ settled
 *        └───cancelled, not started───────┴──────▶ rejected
 */
export class StartingRead<R> implements PendingRead<R> {
  readonly settled: Promise<Slice<R>>;
  readonly #begin: () => Slice<R> | PendingRead<R>;
  /** Holds the runner; unset when the start is over for this read. */
  #lease: Lease | undefined;
  /** The read at the log, where that has to wait. */
  #read: PendingRead<R> | undefined;
  #resolve!: (slice: Slice<R> | Promise<Slice<R>>) => void;
  #reject!: (reason: unknown) => void;

  /**
   * @param started resolves when the runner has been started; a rejection is that of the read
   * @param lease released when the start is over for this read
   * @param begin begins the read at the log; may throw
   */
  constructor(started: Promise<void>, lease: Lease, begin: () => Slice<R> | PendingRead<R>) {
    this.#lease = lease;
    this.#begin = begin;
    this.settled = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    started.then(
      () => this.#go(),
      (error) => this.cancel(error),
    );
  }

  /** See {@link PendingRead.take}. */
  take(): void {
    this.#read?.take();
  }

  /** See {@link PendingRead.cancel}. */
  cancel(reason: unknown): void {
    this.#read?.cancel(reason);
    this.#leave(() => this.#reject(reason));
  }

  /** See {@link PendingRead.giveUp}. */
  giveUp(): void {
    this.#go();
    this.#read?.giveUp();
  }

  /** Begins the read, once. */
  #go(): void {
    this.#leave(() => {
      try {
        const read = this.#begin();
        if (isPending(read)) this.#read = read;
        this.#resolve(isPending(read) ? read.settled : read);
      } catch (error) {
        this.#reject(error);
      }
    });
  }

  /** Leaves the state `starting`, once. The runner is released afterwards, so that it is held throughout. */
  #leave(act: () => void): void {
    const lease = this.#lease;
    if (!lease) return;
    this.#lease = undefined;
    act();
    lease.release();
  }
}
