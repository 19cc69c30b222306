/** All runners of the client, looked at again now and then while somebody looks. */
import { noop, startTimer } from "../base/async.js";
import type { CodedError } from "../base/coded-error.js";
import { onPageChange } from "../client/backoff.js";
import type { RunnerClient, RunnerState } from "../client/client.js";
import type { Definitions } from "../client/definitions.js";
import { Store } from "./store.js";

/** What is known of a client's runners. */
export interface RunnersView {
  /** In order of creation; `undefined` before the first answer. */
  readonly runners: readonly RunnerState[] | undefined;
  /** Why the last look failed; the runners are those of the last one that did not. */
  readonly error: CodedError | undefined;
}

/** See the top of the file. */
export class RunnersStore extends Store<RunnersView> {
  readonly #client: RunnerClient<Definitions>;
  #interval: number;
  #stopTimer = noop;
  #awake = new AbortController();
  /** Which look is the latest: an answer that comes late is not shown. */
  #look = 0;

  constructor(client: RunnerClient<Definitions>, interval: number) {
    super({ runners: undefined, error: undefined });
    this.#client = client;
    this.#interval = interval;
  }

  /** What the component says by now; it counts from now. */
  use(interval: number): void {
    if (interval === this.#interval) return;
    this.#interval = interval;
    if (this.isAwake) this.#lookLater();
  }

  /** Looks now, if anybody sees it. */
  readonly refresh = async (): Promise<void> => {
    if (!this.isAwake) return;
    const look = ++this.#look;
    this.#stopTimer();
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

  protected wake(): void {
    this.#awake = new AbortController();
    onPageChange(() => {
      if (isHidden()) this.#stopTimer();
      else void this.refresh();
    }, this.#awake.signal);
    void this.refresh();
  }

  protected sleep(): void {
    this.#look++;
    this.#stopTimer();
    this.#awake.abort();
  }

  #lookLater(): void {
    this.#stopTimer();
    // A page that nobody sees is looked at again when it is shown.
    if (!isHidden()) this.#stopTimer = startTimer(this.#interval, () => void this.refresh());
  }
}

function isHidden(): boolean {
  return Boolean(globalThis.document?.hidden);
}

/** Both are JSON. */
function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
