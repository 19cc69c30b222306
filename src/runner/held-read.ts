import type { PendingRead, Slice } from "../log/result-log.js";

/** A waiting read that holds its runner until it is settled or cancelled. */
export class HeldRead<R> implements PendingRead<R> {
  readonly settled: Promise<Slice<R>>;
  readonly #read: PendingRead<R>;
  #release: (() => void) | undefined;

  /** @param release called once */
  constructor(read: PendingRead<R>, release: () => void) {
    this.#read = read;
    this.#release = release;
    this.settled = read.settled;
    const free = () => this.#free();
    read.settled.then(free, free);
  }

  /** See {@link PendingRead.take}. */
  take(): void {
    this.#read.take();
  }

  /** See {@link PendingRead.cancel}. The runner is released in this step: the next read may take its place in a limit. */
  cancel(reason: unknown): void {
    this.#read.cancel(reason);
    this.#free();
  }

  /** See {@link PendingRead.giveUp}. */
  giveUp(): void {
    this.#read.giveUp();
  }

  #free(): void {
    this.#release?.();
    this.#release = undefined;
  }
}
