import type { Lease } from "../base/lease.js";
import type { PendingRead, Slice } from "../log/result-log.js";

/** A waiting read that holds its runner until it is settled or cancelled. */
export class HeldRead<R> implements PendingRead<R> {
  readonly settled: Promise<Slice<R>>;
  readonly #read: PendingRead<R>;
  readonly #lease: Lease;

  /** @param lease released when the read is over */
  constructor(read: PendingRead<R>, lease: Lease) {
    this.#read = read;
    this.#lease = lease;
    this.settled = read.settled;
    const free = () => lease.release();
    read.settled.then(free, free);
  }

  /** See {@link PendingRead.take}. */
  take(): void {
    this.#read.take();
  }

  /** See {@link PendingRead.cancel}. The runner is released in this step: the next read may take its place in a limit. */
  cancel(reason: unknown): void {
    this.#read.cancel(reason);
    this.#lease.release();
  }

  /** See {@link PendingRead.giveUp}. */
  giveUp(): void {
    this.#read.giveUp();
  }
}
