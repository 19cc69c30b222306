/** All runners of the client, looked at again now and then while somebody looks. */
import type { CodedError } from "../base/coded-error.js";
import type { RunnerClient, RunnerState } from "../client/client.js";
import type { Definitions } from "../client/definitions.js";
import { onPageChange } from "../client/waiting.js";
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
  readonly #interval: number;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #offPage: (() => void) | undefined;
  /** Which look is the latest: an answer that comes late is not shown. */
  #look = 0;

  constructor(client: RunnerClient<Definitions>, interval: number) {
    super({ runners: undefined, error: undefined });
    this.#client = client;
    this.#interval = interval;
  }

  /** Looks now. */
  readonly refresh = async (): Promise<void> => {
    const look = ++this.#look;
    clearTimeout(this.#timer);
    const changes = await this.#client.list().then(
      (runners) => ({
        runners: isSame(runners, this.snapshot().runners) ? this.snapshot().runners : runners,
        error: undefined,
      }),
      (error: CodedError) => ({ error }),
    );
    if (look !== this.#look || !this.isAwake) return;
    this.show(changes);
    // A page that nobody sees is looked at again when it is shown.
    if (this.#interval < Number.POSITIVE_INFINITY && !globalThis.document?.hidden) {
      this.#timer = setTimeout(this.refresh, this.#interval);
    }
  };

  protected wake(): void {
    this.#offPage = onPageChange(() => {
      if (!globalThis.document?.hidden) void this.refresh();
    });
    void this.refresh();
  }

  protected sleep(): void {
    this.#look++;
    clearTimeout(this.#timer);
    this.#offPage?.();
  }
}

/** Both are JSON. */
function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
