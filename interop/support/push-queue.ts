/**
 * A source that others push into. A write waits until the runner has taken the items: only then a read that
 * follows the write is sure to see it.
 */
export class PushQueue implements AsyncIterable<unknown> {
  readonly #items: unknown[] = [];
  #isEnded = false;
  #isAbandoned = false;
  #wake: () => void = () => {};
  #writers: (() => void)[] = [];

  /** Resolves when the consumer has taken everything and asks for more, or will not come back. */
  async write(items: readonly unknown[], { end = false } = {}): Promise<void> {
    if (this.#isAbandoned) return;
    this.#items.push(...items);
    this.#isEnded ||= end;
    const taken = new Promise<void>((resolve) => this.#writers.push(resolve));
    this.#wake();
    await taken;
  }

  [Symbol.asyncIterator](): AsyncIterator<unknown, undefined, undefined> {
    return {
      next: async () => {
        while (this.#items.length === 0) {
          this.#release();
          if (this.#isEnded) return { done: true, value: undefined };
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
        return { done: false, value: this.#items.shift() };
      },
      return: async () => {
        this.#isAbandoned = true;
        this.#release();
        return { done: true, value: undefined };
      },
    };
  }

  #release(): void {
    const writers = this.#writers;
    this.#writers = [];
    for (const resolve of writers) resolve();
  }
}
