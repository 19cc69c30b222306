/** Interval of the acknowledgements that only keep the runner alive, ms. Below the server's default `rotateAfter` of 60 s. */
export const signOfLifeEvery = 20_000;

/**
 * Decides when a follower acknowledges: early enough that the server's allowance is not used up and the stream does not stop, and often
 * enough to keep the runner alive. There is one request at a time; what is taken meanwhile goes with the next one.
 */
export class AckTracker {
  readonly #allowance: () => number;
  readonly #send: (position: number) => Promise<boolean>;
  /** Everything before this position has been taken: the application has asked for more since. */
  #taken = 0;
  /** The server has confirmed the acknowledgement up to this position. */
  #acknowledged = 0;
  /** When the last request that acknowledges was sent, ms since the epoch. */
  #sentAt = Date.now();
  #isSending = false;

  /**
   * @param allowance how many items the server sends beyond what is acknowledged; NaN where the next request acknowledges in time
   * @param send acknowledges everything before a position; resolves with false if that has failed. Must not reject
   */
  constructor(allowance: () => number, send: (position: number) => Promise<boolean>) {
    this.#allowance = allowance;
    this.#send = send;
  }

  /** A request is sent whose opening offset acknowledges everything before it. */
  begin(position: number): void {
    this.skipTo(position);
    this.#sentAt = Date.now();
  }

  /** What lies before this position will never be received: acknowledgements count from here. */
  skipTo(position: number): void {
    this.#acknowledged = this.#taken = position;
  }

  /** The application has taken everything before `position`. */
  take(position: number): void {
    this.#taken = position;
    this.sendIfDue();
  }

  /** Acknowledges if the allowance, or the time since the last sign of life, requires it. */
  sendIfDue(): void {
    const isDue = this.#isDue || Date.now() - this.#sentAt >= signOfLifeEvery;
    if (isDue && !this.#isSending) void this.#sendAll();
  }

  /** True if half of the allowance has been taken since the last acknowledgement. */
  get #isDue(): boolean {
    return this.#taken - this.#acknowledged >= Math.max(1, this.#allowance() / 2);
  }

  /** Acknowledges until it is no longer due. */
  async #sendAll(): Promise<void> {
    this.#isSending = true;
    let position: number;
    do {
      position = this.#taken;
      this.#sentAt = Date.now();
      if (!(await this.#send(position))) break;
      this.#acknowledged = position;
    } while (this.#isDue);
    this.#isSending = false;
  }
}
