import { noop, startTimer } from "../base/async.js";
import type { CodedError } from "../base/coded-error.js";
import { onPageChange } from "../client/backoff.js";
import type { RunnerClient, RunnerState } from "../client/client.js";
import type { Definitions } from "../client/definitions.js";
import { Store } from "./store.js";

/** The state of the list of a client's runners. */
export interface RunnersView {
  /**
   * The runners, the newest first; `undefined` before the first response. The array is the same as
   * long as nothing in it has changed.
   */
  readonly runners: readonly RunnerState[] | undefined;
  /** The error of the last request; `runners` is then from the last one that succeeded. */
  readonly error: CodedError | undefined;
}

/**
 * The list of a client's runners, requested at an interval while it has subscribers and the page is
 * visible.
 *
 * The interval is counted from a response to the next request, so that a slow server is not asked faster
 * than it answers.
 */
export class RunnersStore extends Store<RunnersView> {
  readonly #client: RunnerClient<Definitions>;
  /** ms; `Infinity` disables the timer. */
  #interval: number;
  /** Cancels the timer of the next request. */
  #stopTimer = noop;
  /** Removes the page's listeners when the store falls asleep. */
  #awake = new AbortController();
  /**
   * Number of the latest request: responses to earlier ones, and to those before the store fell asleep,
   * are dropped.
   */
  #look = 0;

  constructor(client: RunnerClient<Definitions>, interval: number) {
    super({ runners: undefined, error: undefined });
    this.#client = client;
    this.#interval = interval;
  }

  /** Takes the interval of the latest render. If it has changed, the time starts again. */
  use(interval: number): void {
    if (interval === this.#interval) return;
    this.#interval = interval;
    if (this.isAwake) this.#lookLater();
  }

  /** Requests the list now and shows the response. Does nothing without subscribers. Never rejects. */
  readonly refresh = async (): Promise<void> => {
    if (!this.isAwake) return;
    const look = ++this.#look;
    this.#stopTimer();
    // Keep the former array if nothing has changed: the view then is the same, and nothing is rendered.
    const changes = await this.#client.list().then(
      (runners) => ({
        runners: isSame(runners, this.snapshot().runners) ? this.snapshot().runners : runners,
        error: undefined,
      }),
      (error: CodedError) => ({ error }),
    );
    if (look !== this.#look) return;
    this.show(changes);
    this.#lookLater();
  };

  /** Requests the list at once, and whenever the page is shown again or the network comes back. */
  protected wake(): void {
    this.#awake = new AbortController();
    onPageChange(() => {
      if (isHidden()) this.#stopTimer();
      else void this.refresh();
    }, this.#awake.signal);
    void this.refresh();
  }

  /** Stops all requests; a response that is still awaited will be dropped. */
  protected sleep(): void {
    this.#look++;
    this.#stopTimer();
    this.#awake.abort();
  }

  /** Starts the timer of the next request. A hidden page has none: it requests the list when it is shown. */
  #lookLater(): void {
    this.#stopTimer();
    if (!isHidden()) this.#stopTimer = startTimer(this.#interval, () => void this.refresh());
  }
}

/** False outside of a page. */
function isHidden(): boolean {
  return Boolean(globalThis.document?.hidden);
}

/**
 * Compares values that came from JSON. The server writes properties in a fixed order, so texts can be
 * compared.
 */
function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
