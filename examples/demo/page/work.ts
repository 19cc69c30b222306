import {
  ActiveSessionError,
  type ConnectionState,
  createClient,
  type RunnerClient,
  type RunnerUpdate,
} from "active-session/client";
import { element } from "./dom.js";
import { explain, post, reasonOf, say, unreachable, whyAborted } from "./words.js";

/** What is particular to a page. */
export interface WorkParts<T> {
  /** What the page calls the work: "search". */
  readonly noun: string;
  /** What it does: "Searching". */
  readonly doing: string;
  /** What to say until the server has begun, if that may take a while; then Stop gives up the request itself. */
  readonly waiting?: string;
  /** Where it is started, and with what. */
  readonly path: string;
  input(): unknown;
  /** Shows nothing any more. */
  clear(): void;
  /** Shows what has come. */
  show(items: readonly T[]): void;
  /** How much there is: "12 matches". */
  amount(): string;
  /** The work has ended, in whatever way. */
  ended?(): void;
  /** There is something to follow, as long as `signal` does not abort. */
  opened?(client: RunnerClient, key: string, signal: AbortSignal): void;
}

/** What the server answers when something has been started: the runner's key, and its first page, or value if it has one. */
interface Started<T> {
  readonly key: string;
  readonly result?: readonly T[] | T;
  readonly position: number;
}

type State = "idle" | "starting" | "running" | "completed" | "stopped" | "problem";

/**
 * One runner at a time on a page: starts, follows and stops it, and says in words where it stands. Its key is in the address
 * (`#key`), so that a reload and a second tab find the same work; without a key there is nothing to follow.
 *
 * Each start, and each change of the address, is a turn of its own: whatever an earlier turn still waits for is dropped.
 */
export class Work<T> {
  readonly #parts: WorkParts<T>;
  readonly #client = createClient("/runners");
  readonly #stop = element("stop", HTMLButtonElement);
  readonly #status = element("status", HTMLElement);
  readonly #connection = element("connection", HTMLElement);
  #turn = new AbortController();

  constructor(parts: WorkParts<T>) {
    this.#parts = parts;
    element("form", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#start();
    });
    this.#stop.addEventListener("click", () => void this.#stopWork());
    addEventListener("hashchange", () => void this.#open());
    void this.#open();
  }

  get #key(): string {
    return location.hash.slice(1);
  }

  #nextTurn(): AbortSignal {
    this.#turn.abort();
    this.#turn = new AbortController();
    this.#connection.hidden = true;
    this.#stop.disabled = true;
    return this.#turn.signal;
  }

  async #start(): Promise<void> {
    const { path, doing, noun } = this.#parts;
    if (this.#status.dataset.state === "running" && this.#own === this.#key) this.#give(this.#key);
    const signal = this.#nextTurn();
    this.#parts.clear();
    this.#say("starting", this.#parts.waiting ?? `${doing}…`);
    this.#stop.disabled = false;
    try {
      const given = this.#parts.waiting ? signal : undefined;
      const started = await post<Started<T>>(path, this.#parts.input(), given);
      if (signal.aborted) return this.#give(started.key);
      this.#own = started.key;
      history.replaceState(null, "", `#${started.key}`);
      const { result = [] } = started;
      this.#parts.show(Array.isArray(result) ? result : [result as T]);
      await this.#follow(started.key, started.position, signal);
    } catch (error) {
      if (signal.aborted) return;
      this.#stop.disabled = true;
      this.#say("problem", `The ${noun} could not be started. ${explain(error, noun)}`);
    }
  }

  /** The key of the work that this tab has started last: another start takes its place. Work that it has only joined goes on. */
  get #own(): string {
    return sessionStorage.getItem(`own ${this.#parts.path}`) ?? "";
  }

  set #own(key: string) {
    sessionStorage.setItem(`own ${this.#parts.path}`, key);
  }

  /** Stops work that will not be shown; it may be gone already. */
  #give(key: string): void {
    this.#client.abort(key).catch(() => undefined);
  }

  /** Shows the work in the address from its beginning, or that of this page that runs already. */
  async #open(): Promise<void> {
    const signal = this.#nextTurn();
    this.#parts.clear();
    if (!this.#key) {
      this.#say("idle", this.#status.dataset.idle ?? "");
      const key = await runningHere(signal);
      if (signal.aborted || !key) return;
      history.replaceState(null, "", `#${key}`);
    }
    await this.#follow(this.#key, 0, signal);
  }

  /** Shows what comes from `from` on, until it ends or another turn begins. */
  async #follow(key: string, from: number, signal: AbortSignal): Promise<void> {
    const { noun, doing } = this.#parts;
    this.#say("running", `${doing}…`);
    this.#stop.disabled = false;
    this.#parts.opened?.(this.#client, key, signal);
    for (let offset = from; ; ) {
      try {
        const follower = this.#client.follow<T>(key, { offset, signal, onConnection: (state) => this.#show(state) });
        for await (const update of follower.updates()) {
          this.#parts.show(update.items);
          this.#describe(update);
        }
        break;
      } catch (error) {
        if (signal.aborted) return;
        const first = ActiveSessionError.is(error) ? error.firstPosition : undefined;
        if (first === undefined || first <= offset) {
          this.#say("problem", explain(error, noun));
          break;
        }
        offset = first; // what lies before is not kept any more
      }
    }
    this.#stop.disabled = true;
    this.#connection.hidden = true;
    this.#parts.ended?.();
  }

  async #stopWork(): Promise<void> {
    const { noun } = this.#parts;
    if (this.#status.dataset.state === "starting") {
      this.#nextTurn(); // its key is not known yet; when it comes, it is stopped
      return this.#say("stopped", "Stopped.");
    }
    this.#stop.disabled = true;
    const { signal } = this.#turn;
    try {
      await this.#client.abort(this.#key);
    } catch (error) {
      if (signal.aborted) return;
      this.#stop.disabled = false;
      this.#say("problem", `The ${noun} could not be stopped. ${explain(error, noun)}`);
    }
  }

  #describe({ status, error, closed, abortReason }: RunnerUpdate<T>): void {
    const { noun, doing } = this.#parts;
    const amount = this.#parts.amount();
    if (!closed) this.#say("running", `${doing}… ${amount} so far.`);
    else if (status === "failed") this.#say("problem", `The ${noun} failed after ${amount}. ${reasonOf(error)}`);
    else if (status === "aborted") this.#say("stopped", `${whyAborted(abortReason, noun)} ${amount} until then.`);
    else this.#say("completed", `Finished: ${amount}.`);
  }

  #show(state: ConnectionState): void {
    const waits = state === "retrying" || state === "offline";
    if (waits) this.#connection.textContent = unreachable(state);
    if (waits || state === "open" || state === "closed") this.#connection.hidden = !waits;
  }

  #say(state: State, text: string): void {
    say(this.#status, state, text);
  }
}

/** The key of work of this page that still runs; none is no problem, and neither is a server that does not answer. */
async function runningHere(signal: AbortSignal): Promise<string | undefined> {
  try {
    const response = await fetch(`${location.pathname}/work`, { signal });
    return response.ok ? (await response.json()).key : undefined;
  } catch {
    return undefined;
  }
}
