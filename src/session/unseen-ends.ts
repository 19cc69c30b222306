import { startTimer } from "../base/async.js";
import type { Runner } from "../runner/runner.js";

/** Default of `unseenAfter`, ms. */
const defaultUnseenAfter = 30_000;

/**
 * Calls `onUnseen` of a definition when the work has ended by itself and no one has seen that for `unseenAfter`.
 *
 *     ended ──▶ waiting ──the time is up──▶ called
 *                  └──seen, or removed──▶ over
 *
 * Only runners whose definition has `onUnseen` take a place here, and only while they wait.
 */
export class UnseenEnds {
  readonly #warn: (message: string, error: unknown) => void;
  /** Cancel the timers, by the runner's number. */
  readonly #waiting = new Map<number, () => void>();

  /** @param warn reports what the application's function throws */
  constructor(warn: (message: string, error: unknown) => void) {
    this.#warn = warn;
  }

  /** The work has ended by itself. Called once for a runner. */
  ended(runner: Runner): void {
    const { onUnseen, unseenAfter = defaultUnseenAfter } = runner.definition ?? {};
    if (!onUnseen) return;
    const call = async () => {
      this.#waiting.delete(runner.number);
      try {
        await (onUnseen as (runner: Runner) => unknown)(runner);
      } catch (error) {
        this.#warn("onUnseen of a definition failed", error);
      }
    };
    this.#waiting.set(
      runner.number,
      startTimer(unseenAfter, () => void call(), { unref: true }),
    );
  }

  /** The end was seen, or the runner is removed. */
  over(runner: Runner): void {
    this.#waiting.get(runner.number)?.();
    this.#waiting.delete(runner.number);
  }
}
