import type { PendingRead } from "./result-log.js";
import type { DefaultPosition } from "./waiting-reads.js";

/**
 * How far a sequence has been handed out, where reads without a start go on. It never moves back, but where such a read is undone
 * before it is taken: then it is what reads and acknowledgements of others have made of it.
 */
export class ReadPosition<R> implements DefaultPosition<R> {
  /** End of the furthest item handed out or skipped. Set only where the log is cut. */
  end = 0;
  /** True once nothing is given back any more. */
  isFinal = false;
  /** The read at this position that is settled and not yet taken. */
  #untaken: PendingRead<R> | undefined;
  /** What the position would be without the latest read at it. */
  #endOfOthers = 0;

  /** True while a read at this position is settled and not yet taken. A final position has nothing to give back. */
  get isKept(): boolean {
    return this.#untaken !== undefined && !this.isFinal;
  }

  /** Moves forward, for a read with a start or an acknowledgement. */
  moveTo(position: number): void {
    this.end = Math.max(this.end, position);
    if (this.#untaken) this.#endOfOthers = Math.max(this.#endOfOthers, position);
  }

  /** Moves forward, for a read without a start. */
  moveByDefault(position: number): void {
    this.#endOfOthers = this.end;
    this.end = Math.max(this.end, position);
  }

  /** See {@link DefaultPosition.keep}. */
  keep(read: PendingRead<R>): void {
    this.#untaken = read;
  }

  /** See {@link DefaultPosition.free}. */
  free(read: PendingRead<R>): void {
    if (this.#untaken === read) this.#untaken = undefined;
  }

  /** See {@link DefaultPosition.giveBack}. */
  giveBack(read: PendingRead<R>): boolean {
    if (this.isFinal || this.#untaken !== read) return false;
    this.end = this.#endOfOthers;
    return true;
  }
}
