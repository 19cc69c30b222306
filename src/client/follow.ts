/**
 * Following a runner: one connection after the other, each from where the last one came to, until the runner has ended.
 *
 *     idle ──iterated──▶ connecting ⇄ open ──the end has arrived, or the runner is gone──▶ closed
 *                            ▲          │
 *                            └─ waiting ┘   (a connection failed: back-off, or what the server asks for)
 *
 * - The offset of the next connection is that of the last complete update, so that a cut neither loses nor repeats an item.
 * - What the application has seen is acknowledged, when it asks for more: what it has not seen is never given up. While it
 *   works its way through what has arrived, acknowledgements are also what tells the server that somebody is here.
 * - Where acknowledgements do not get through, the server ends a connection after its allowance, and the next one follows.
 * - Where SSE has never got through, long-polls take over from the same offset.
 */
import { noop, onAbort } from "../base/async.js";
import { CodedError } from "../base/coded-error.js";
import { type ConnectionRequest, type Control, connect, type LiveMode } from "./connection.js";
import { placesOf, takePlace } from "./places.js";
import { type ClientOptions, request, TemporaryError } from "./request.js";
import { backOff, onPageChange, pause } from "./waiting.js";

/** A runner's status, as the server tells it. */
export type RunnerStatus = "not-started" | "stalled" | "progressed" | "completed" | "failed" | "aborted";

/** How far the work has come, in items (sequence) or reports (process). */
export interface RunnerProgress {
  readonly current: number;
  /** What `current` will be at the end, if known. */
  readonly estimatedEnd?: number;
}

/** What has arrived in one piece, and what holds for it. */
export interface RunnerUpdate<T> {
  /** New items, in order; of a process the newest value, if it is new; often none. */
  readonly items: readonly T[];
  /** The offset to go on from. */
  readonly position: number;
  readonly status: RunnerStatus;
  readonly progress: RunnerProgress;
  /** Nothing will follow. */
  readonly closed: boolean;
  /** Why the runner failed; with the status `failed`. */
  readonly error?: CodedError;
  /** Why the runner was stopped; with the status `aborted`. */
  readonly abortReason?: AbortReason;
}

/** What stopped a runner: a request to, nobody's interest in it, its session's age or end, the server's end, or its application. */
export type AbortReason = "stopped" | "idle" | "lifetime" | "session-ended" | "shutdown" | "signal";

/** What the connection does: it is being made, it stands, it waits for the next try, or it is over. */
export type ConnectionState = "connecting" | "open" | "waiting" | "closed";

/** A runner, and where to go on with it. */
export interface RunnerPlace {
  readonly key: string;
  readonly offset: number;
}

/** How to follow. */
export interface FollowOptions {
  /** Where to begin: a position, or `"now"` for only what comes. Default: the beginning. */
  readonly offset?: number | "now" | undefined;
  /** Ends the following: the iteration throws the signal's reason. The runner goes on. */
  readonly signal?: AbortSignal | undefined;
  /** `"sse"` (the default): SSE, and long-polls where that does not get through. `"long-poll"`: long-polls from the first. */
  readonly live?: "sse" | "long-poll" | undefined;
  /**
   * What happens while the page is hidden: `"follow"` (the default) goes on; `"pause"` holds no connection, only tells the server
   * now and then that somebody will come back, and catches up when the page is seen again.
   */
  readonly whenHidden?: "follow" | "pause" | undefined;
  /**
   * Is told where to go on after a reload, before what lies before that is given up; `saveAs` of `active-session/resume` keeps it
   * for the tab.
   */
  readonly onPlace?: ((place: RunnerPlace) => void) | undefined;
  /** Is told whenever the connection changes; `error` says why it waits. */
  readonly onConnection?: ((state: ConnectionState, error?: unknown) => void) | undefined;
}

/** At least so long lies between two acknowledgements that only say that somebody is here, ms. */
const signOfLifeEvery = 20_000;
/** A connection that held so long, or brought items, is followed by the next one at once, ms. */
const steadyAfter = 1000;
/** Without a place for a connection, so long lies between two requests, ms. */
const turnEvery = 1000;
/** Ends the following without an error. */
const closed = new Error("closed");

/** What a follower is told of a runner that has just been created. */
export interface Created<T> {
  /** Where its first update begins. */
  readonly offset: number;
  readonly first: RunnerUpdate<T>;
  /** Is called when the first update has been taken, and was the last one. */
  readonly onTaken: () => void;
}

/** See the top of the file. Iterate it for items, or {@link updates} for items with status and progress. */
export class RunnerFollower<T = unknown> implements AsyncIterable<T> {
  readonly #url: string;
  readonly #client: ClientOptions;
  readonly #options: FollowOptions;
  /** Ends all that belongs to the iteration under way. */
  #stop = new AbortController();
  /** Where the next connection begins, behind what has been given out; -1 is the beginning. */
  #from: number | "now";
  #cursor: string | undefined;
  #live: LiveMode;
  /** What came with the creation and has not been taken. */
  #created: Created<T> | undefined;
  #last: RunnerUpdate<T> | undefined;
  #connection: ConnectionState = "closed";
  /** Behind what the application has taken: it has asked for more since. */
  #taken = 0;
  #acknowledged = 0;
  #acknowledgedAt = Date.now();
  /** How much may lie between the two; a process sets no limit. */
  #aheadLimit = Number.POSITIVE_INFINITY;
  #isUpToDate = false;
  #acknowledging = false;
  /** Whether acknowledgements get through. */
  #canAcknowledge = true;
  /** Cuts the connection, for the next one to be made. */
  #cut: AbortController | undefined;
  /** Whether anything has come on this connection. */
  #hasBytes = false;
  /** How many event streams in a row may yet fail to begin before long-polls take over. */
  #mayFailToStream = 0;
  #iterating = false;

  /** @internal */
  constructor(url: string, client: ClientOptions, options: FollowOptions, created?: Created<T>) {
    this.#url = url;
    this.#client = client;
    this.#options = options;
    this.#live = options.live ?? "sse";
    this.#created = created;
    this.#from = created?.offset ?? options.offset ?? -1;
    if (created) this.#tellPlace(this.position); // nobody else knows of the runner
  }

  /** The runner's key. */
  get key(): string {
    return decodeURIComponent(this.#url.slice(this.#url.lastIndexOf("/") + 1));
  }

  /** The latest status; `undefined` before the first answer. */
  get status(): RunnerStatus | undefined {
    return this.#last?.status;
  }

  /** The latest progress; `undefined` before the first answer. */
  get progress(): RunnerProgress | undefined {
    return this.#last?.progress;
  }

  /** The position after everything that has been given out. */
  get position(): number {
    return Math.max(0, Number(this.#from) || 0);
  }

  /** Why the runner failed, if it did. */
  get error(): CodedError | undefined {
    return this.#last?.error;
  }

  /** What the connection does at the moment. */
  get connection(): ConnectionState {
    return this.#connection;
  }

  /**
   * The items, one by one. Ends when the runner is completed.
   * @throws `RUNNER_FAILED` after the last item, `RUNNER_ABORTED`, and what {@link updates} throws
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    let last: RunnerUpdate<T> | undefined;
    for await (const update of this.updates()) {
      last = update;
      const { items, position } = update;
      for (const [index, item] of items.entries()) {
        if (this.#stop.signal.reason === closed) return;
        this.#options.signal?.throwIfAborted();
        this.#from = position - (items.length - index - 1); // whoever leaves here goes on with the next item
        yield item;
        if (index < items.length - 1) this.#take(this.#from); // the last one is taken with the update
      }
    }
    if (last?.status === "failed") throw last.error;
    if (last?.status === "aborted") {
      throw new CodedError("RUNNER_ABORTED", 409, `The runner was aborted: ${last.abortReason}`);
    }
  }

  /** Calls back for each update, awaits what that returns, and resolves after the last one. Rejects as {@link updates} throws. */
  async forEach(callback: (update: RunnerUpdate<T>) => unknown): Promise<void> {
    for await (const update of this.updates()) await callback(update);
  }

  /** Ends the iteration under way, as if there were nothing more. The runner goes on. */
  close(): void {
    this.#stop.abort(closed);
  }

  /**
   * What arrives, piece by piece, the last one with a final status, whichever it is. May be iterated again after an error, or
   * when the loop was left: it goes on behind what has been given out.
   * @throws `RUNNER_GONE` (removed, its session ended, or never there), `POSITION_GONE`, `RESULT_NOT_SERIALIZABLE`,
   *   `UNEXPECTED_RESPONSE`, `READ_CONFLICT` if it is being iterated already, or the reason of `signal`
   */
  async *updates(): AsyncGenerator<RunnerUpdate<T>, void, undefined> {
    if (this.#iterating) throw new CodedError("READ_CONFLICT", 409, "It is being followed already");
    this.#iterating = true;
    const stop = new AbortController();
    this.#stop = stop;
    const { signal } = this.#options;
    const off = onAbort(signal, () => stop.abort(signal?.reason));
    try {
      signal?.throwIfAborted();
      const created = this.#created;
      this.#created = undefined;
      if (created) {
        yield this.#give(created.first);
        this.#tellPlace(this.position);
        if (created.first.closed) return created.onTaken();
      }
      for (let attempt = 0; ; attempt++) {
        while (this.#isUnseen) await this.#waitUnseen(stop.signal);
        const places = placesOf(this.#client.connections);
        const place = places < Number.POSITIVE_INFINITY ? await takePlace(places) : noop;
        const began = Date.now();
        let problem: TemporaryError | undefined;
        try {
          for await (const update of this.#connect(place ? this.#live : "page", stop.signal)) {
            if (update.items.length > 0) attempt = 0;
            yield update;
            if (update.closed) return;
          }
        } catch (error) {
          if (!(error instanceof TemporaryError)) throw error;
          problem = error;
        } finally {
          place?.();
        }
        if ((!problem || this.#hasBytes) && Date.now() - began >= steadyAfter) attempt = 0;
        if (problem || (place && attempt > 0)) {
          this.#setConnection("waiting", problem);
          await backOff(attempt, problem, stop.signal);
        } else if (!place) {
          attempt = 0;
          if (this.#isUpToDate) await pause(turnEvery, stop.signal);
        }
      }
    } catch (error) {
      if (error === closed) return;
      throw error;
    } finally {
      off();
      stop.abort();
      this.#iterating = false;
      this.#setConnection("closed");
    }
  }

  async *#connect(live: LiveMode, signal: AbortSignal): AsyncGenerator<RunnerUpdate<T>, void, undefined> {
    signal.throwIfAborted();
    this.#setConnection("connecting");
    this.#hasBytes = false;
    const cut = new AbortController();
    this.#cut = cut;
    const off = onAbort(signal, () => cut.abort(signal.reason));
    const offPage = onPageChange(({ type }) => {
      // Frozen, it would hold its connection, and with it the runner, until the server ends that.
      if (type === "pagehide" || this.#isUnseen) cut.abort(new TemporaryError("The page is hidden"));
    });
    const asked = this.#request(live, cut);
    try {
      for await (const { items, control } of connect<T>(asked)) {
        const update = toUpdate(items, control);
        signal.throwIfAborted();
        if (this.#from === "now") this.#acknowledged = this.#taken = update.position - items.length;
        this.#cursor = control.streamCursor;
        this.#aheadLimit = Number(control.runnerAheadLimit ?? Number.POSITIVE_INFINITY);
        this.#isUpToDate = Boolean(control.upToDate ?? control.streamUpToDate);
        yield this.#give(update);
        this.#tellPlace(update.position);
        if (live === "sse") this.#take(update.position); // the next request of the others says it itself
      }
    } finally {
      off();
      offPage();
    }
    if (!asked.isUseless) return;
    if (this.#mayFailToStream-- > 0) throw new TemporaryError("The stream does not begin");
    this.#live = "long-poll";
  }

  /** From here on it counts as given out. */
  #give(update: RunnerUpdate<T>): RunnerUpdate<T> {
    this.#last = update;
    this.#from = update.position;
    return update;
  }

  #tellPlace(offset: number): void {
    this.#options.onPlace?.({ key: this.key, offset });
  }

  /** Asking from an offset on is an acknowledgement and a sign of life in itself. */
  #request(live: LiveMode, cut: AbortController): ConnectionRequest {
    const from = this.#from;
    if (from !== "now") {
      this.#acknowledged = this.#taken = this.position;
      this.#tellPlace(this.position);
    }
    this.#acknowledgedAt = Date.now();
    return {
      ...{ url: this.#url, live, offset: from, cursor: this.#cursor, cut, options: this.#client },
      acks: this.#canAcknowledge,
      onBytes: () => {
        this.#hasBytes = true;
        this.#mayFailToStream = 1;
        this.#setConnection("open");
        if (live === "sse") this.#acknowledgeIfDue();
      },
    };
  }

  // --- acknowledgement ---------------------------------------------------------------------------------------------

  /** The application has taken everything before `position`; the server is told before the allowance is used up, or in time. */
  #take(position: number): void {
    this.#taken = position;
    this.#acknowledgeIfDue();
  }

  get #isDue(): boolean {
    return this.#live === "sse" && this.#taken - this.#acknowledged >= Math.max(1, this.#aheadLimit / 2);
  }

  #acknowledgeIfDue(): void {
    if (this.#isDue || Date.now() - this.#acknowledgedAt >= signOfLifeEvery) void this.#acknowledge(this.#stop.signal);
  }

  /**
   * Acknowledges what the application has taken; at most one such request is under way. The server may be waiting for just this
   * one: where it did not get through, it is sent again; and where more has been taken meanwhile, the next one follows.
   */
  async #acknowledge(signal: AbortSignal): Promise<void> {
    if (this.#acknowledging || !this.#canAcknowledge) return;
    this.#acknowledging = true;
    try {
      for (let attempt = 0; !signal.aborted; ) {
        const position = this.#taken;
        this.#acknowledgedAt = Date.now();
        this.#tellPlace(position);
        try {
          await request(`${this.#url}/ack?offset=${position}`, this.#client, { method: "POST", signal });
          this.#acknowledged = Math.max(this.#acknowledged, position);
          if (!this.#isDue) break;
          attempt = 0;
        } catch (error) {
          if (!(error instanceof TemporaryError)) throw error;
          await backOff(attempt++, error, signal);
        }
      }
    } catch (error) {
      // A runner that is gone, and the end of the following, come to light without this; a refusal is worked around.
      if (!signal.aborted && (error as CodedError).code !== "RUNNER_GONE") {
        this.#canAcknowledge = false;
        if (this.#live === "sse") this.#cut?.abort(new TemporaryError("Acknowledgements are refused", error));
      }
    }
    this.#acknowledging = false;
  }

  // --- waiting -----------------------------------------------------------------------------------------------------

  /** Whether the page is hidden, and is not to be followed then. */
  get #isUnseen(): boolean {
    return this.#options.whenHidden === "pause" && globalThis.document?.hidden;
  }

  /** The server is told now and then that somebody will come back. */
  #waitUnseen(signal: AbortSignal): Promise<void> {
    this.#setConnection("waiting");
    this.#acknowledgeIfDue();
    return pause(signOfLifeEvery, signal);
  }

  #setConnection(state: ConnectionState, error?: unknown): void {
    if (state === this.#connection) return;
    this.#connection = state;
    this.#options.onConnection?.(state, error);
  }
}

function toUpdate<T>(items: T[], control: Control): RunnerUpdate<T> {
  const { runnerEstimatedEnd: end, runnerProgress, streamNextOffset, streamClosed } = control;
  const status = control.runnerStatus as RunnerStatus;
  return {
    ...{ items, position: Number(streamNextOffset), status, closed: Boolean(streamClosed) },
    progress: { current: Number(runnerProgress), ...(end !== undefined && { estimatedEnd: Number(end) }) },
    ...(status === "failed" && { error: runnerFailed(control.runnerErrorMessage) }),
    ...(status === "aborted" && { abortReason: control.runnerAbortReason as AbortReason }),
  };
}

export function runnerFailed(message: string | undefined): CodedError {
  return new CodedError("RUNNER_FAILED", 500, message || "The runner failed");
}
