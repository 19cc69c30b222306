import { ActiveSessionError, type RunnerClient } from "active-session/client";

interface Milestone {
  readonly at: number;
  readonly output: HTMLElement;
}

const retryAfter = 1000;

/**
 * "Tell me at N files", for several N at the same time, with one waiting request: the one for the nearest N. A browser has
 * only six connections to a server over HTTP/1.1, for all its tabs together, and Stop needs one of them.
 */
export class Milestones<T> {
  readonly #filesOf: (value: T) => number;
  readonly #describe: (value: T) => string;
  #waiting: readonly Milestone[] = [];
  /** Ends the request under way: another milestone has become the nearest. */
  #change: () => void = () => {};

  /**
   * @param filesOf how many files the value stands for; the position does not tell, as the end counts there, too
   * @param describe what to say of the value that a milestone was reached with
   */
  constructor(filesOf: (value: T) => number, describe: (value: T) => string) {
    this.#filesOf = filesOf;
    this.#describe = describe;
  }

  get #nearest(): number {
    return Math.min(...this.#waiting.map(({ at }) => at));
  }

  /** Waits for the `at`-th file; an output waits for one at a time. */
  add(at: number, output: HTMLElement): void {
    const before = this.#nearest;
    this.#waiting = [...this.#waiting.filter((other) => other.output !== output), { at, output }];
    this.#say(output, "waiting", "Waiting…");
    if (this.#nearest !== before) this.#change();
  }

  /** Waits for the milestones of one runner until it ends, or the signal aborts. Those that are left wait for the next runner. */
  async watch(client: RunnerClient, key: string, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const nearest = this.#nearest;
      const change = new AbortController();
      this.#change = () => change.abort();
      const both = AbortSignal.any([signal, change.signal]);
      try {
        if (nearest === Number.POSITIVE_INFINITY) await aborted(both);
        const page = await client.read<T>(key, { offset: nearest - 1, minItems: 1, timeout: 60, signal: both });
        const [value] = page.items;
        if (value !== undefined) this.#reach(value);
        if (page.closed) return this.#end();
      } catch (error) {
        if (both.aborted) continue;
        if (!ActiveSessionError.is(error) || error.code !== "SERVER_UNAVAILABLE") return this.#end();
        await aborted(AbortSignal.any([both, AbortSignal.timeout(retryAfter)]));
      }
    }
  }

  #reach(value: T): void {
    const isReached = ({ at }: Milestone) => at <= this.#filesOf(value);
    for (const { output } of this.#waiting.filter(isReached)) {
      this.#say(output, "reached", `Reached: ${this.#describe(value)}`);
    }
    this.#waiting = this.#waiting.filter((milestone) => !isReached(milestone));
  }

  /** The runner has ended: the milestones that still wait are missed. */
  #end(): void {
    for (const { output } of this.#waiting) this.#say(output, "missed", "It ended before that.");
    this.#waiting = [];
    this.#change = () => {};
  }

  #say(output: HTMLElement, state: string, text: string): void {
    output.dataset.state = state;
    output.textContent = text;
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
