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
import { abortable, noop, onAbort, startTimer } from "../base/async.js";
import { ActiveSessionError } from "../base/error.js";
import { formatOffset } from "../wire/offset.js";
import { type ConnectionRequest, poll, type Received, stream, Watchdog } from "./connection.js";
import { type ClientOptions, request, TemporaryError } from "./request.js";

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
  readonly error?: ActiveSessionError;
  /** Why the runner was stopped; with the status `aborted`. */
  readonly abortReason?: AbortReason;
}

/** What stopped a runner: a request to, nobody's interest in it, its session's age or end, the server's end, or its application. */
export type AbortReason = "stopped" | "idle" | "lifetime" | "session-ended" | "shutdown" | "signal";

/** What the connection does: it is being made, it stands, it waits for the next try, or it is over. */
export type ConnectionState = "connecting" | "open" | "waiting" | "closed";

/** How to follow. */
export interface FollowOptions {
  /** Where to begin: a position, or `"now"` for only what comes. Default: the beginning. */
  readonly offset?: number | "now" | undefined;
  /** Ends the following: the iteration throws the signal's reason. The runner goes on. */
  readonly signal?: AbortSignal | undefined;
  /** `"sse"` (the default): SSE, and long-polls where that does not get through. `"long-poll"`: long-polls from the first. */
  readonly live?: "sse" | "long-poll" | undefined;
  /** Is told whenever the connection changes; `error` says why it waits. */
  readonly onConnection?: ((state: ConnectionState, error?: unknown) => void) | undefined;
}

/** At least so long lies between two acknowledgements that only say that somebody is here, ms. */
const signOfLifeEvery = 20_000;
/** A connection that held so long, or brought items, is followed by the next one at once, ms. */
const steadyAfter = 1000;
const longestBackoff = 10_000;
/** How long the last update of a failed runner waits for the failure's message, ms. */
const stateWithin = 5000;

/** See the top of the file. Iterate it for items, or {@link updates} for items with status and progress. */
export class RunnerFollower<T = unknown> implements AsyncIterable<T> {
  readonly #url: string;
  readonly #client: ClientOptions;
  readonly #options: FollowOptions;
  /** Ends all that belongs to the iteration under way. */
  #stop = new AbortController();
  /** Where the next connection begins: behind what has been given out. */
  #from: number | "now" | "beginning";
  #cursor: string | undefined;
  #live: "sse" | "long-poll";
  #last: RunnerUpdate<T> | undefined;
  #connection: ConnectionState = "closed";
  /** Behind what the application has taken: it has asked for more since. */
  #taken = 0;
  #acknowledged = 0;
  #acknowledgedAt = 0;
  /** How much may lie between the two; a process sets no limit. */
  #aheadLimit = Number.POSITIVE_INFINITY;
  #acknowledging = false;
  /** Whether acknowledgements get through. */
  #canAcknowledge = true;
  /** Cuts the connection, for the next one to be made. */
  #cut: (reason: TemporaryError) => void = noop;
  /** When the first bytes came on this connection, ms; `Infinity` before. */
  #openSince = Number.POSITIVE_INFINITY;
  /** How many event streams in a row may yet fail to begin before long-polls take over. */
  #mayFailToStream = 0;
  #iterating = false;

  /** @internal */
  constructor(url: string, client: ClientOptions, options: FollowOptions) {
    this.#url = url;
    this.#client = client;
    this.#options = options;
    this.#live = options.live ?? "sse";
    this.#from = options.offset ?? "beginning";
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
    return typeof this.#from === "number" ? this.#from : 0;
  }

  /** Why the runner failed, if it did. */
  get error(): ActiveSessionError | undefined {
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
    for await (const { items, position, status, error, abortReason } of this.updates()) {
      for (const [index, item] of items.entries()) {
        this.#options.signal?.throwIfAborted();
        this.#from = position - (items.length - index - 1); // whoever leaves here goes on with the next item
        yield item;
        if (index < items.length - 1) this.#take(this.#from); // the last one is taken with the update
      }
      if (status === "failed") throw error;
      if (status === "aborted")
        throw new ActiveSessionError("RUNNER_ABORTED", `The runner was aborted: ${abortReason}`);
    }
  }

  /**
   * What arrives, piece by piece, the last one with a final status, whichever it is. May be iterated again after an error, or
   * when the loop was left: it goes on behind what has been given out.
   * @throws `RUNNER_GONE` (removed, its session ended, or never there), `POSITION_GONE`, `RESULT_NOT_SERIALIZABLE`,
   *   `UNEXPECTED_RESPONSE`, `READ_CONFLICT` if it is being iterated already, or the reason of `signal`
   */
  async *updates(): AsyncGenerator<RunnerUpdate<T>, void, undefined> {
    if (this.#iterating) throw new ActiveSessionError("READ_CONFLICT", "Cannot follow: it is being followed already");
    this.#iterating = true;
    const stop = new AbortController();
    this.#stop = stop;
    const { signal } = this.#options;
    const off = onAbort(signal, () => stop.abort(signal?.reason));
    try {
      for (let attempt = 0; ; attempt++) {
        signal?.throwIfAborted();
        const began = Date.now();
        let problem: TemporaryError | undefined;
        try {
          for await (const update of this.#connect(stop.signal)) {
            if (update.items.length > 0) attempt = 0;
            yield update;
            if (update.closed) return;
          }
        } catch (error) {
          if (!(error instanceof TemporaryError)) throw error;
          problem = error;
        }
        if (Date.now() - (problem ? this.#openSince : began) >= steadyAfter) attempt = 0;
        await this.#pause(attempt, problem, stop.signal);
      }
    } finally {
      off();
      stop.abort();
      this.#iterating = false;
      this.#setConnection("closed");
    }
  }

  async *#connect(signal: AbortSignal): AsyncGenerator<RunnerUpdate<T>, void, undefined> {
    this.#setConnection("connecting");
    this.#openSince = Number.POSITIVE_INFINITY;
    const cut = new AbortController();
    const off = onAbort(signal, () => cut.abort(signal.reason));
    this.#cut = (reason) => cut.abort(reason);
    const connection = (this.#live === "sse" ? stream<T> : poll<T>)(this.#request(cut.signal));
    try {
      for (let step = await connection.next(); ; step = await connection.next()) {
        if (step.done) {
          if (step.value) return;
          if (this.#mayFailToStream-- > 0) throw new TemporaryError("The event stream does not begin", undefined);
          this.#live = "long-poll";
          return;
        }
        const update = await this.#toUpdate(step.value, signal);
        signal.throwIfAborted();
        if (this.#from === "now") this.#acknowledged = this.#taken = update.position - update.items.length;
        this.#last = update;
        this.#from = update.position;
        this.#cursor = step.value.control.streamCursor;
        this.#aheadLimit = step.value.control.runnerAheadLimit ?? Number.POSITIVE_INFINITY;
        yield update;
        if (this.#live === "sse") this.#take(update.position); // the next long-poll says it itself
      }
    } finally {
      off();
      await connection.return(true);
    }
  }

  /** Asking from an offset on is an acknowledgement and a sign of life in itself. */
  #request(signal: AbortSignal): ConnectionRequest {
    const from = this.#from;
    if (typeof from === "number") this.#acknowledged = this.#taken = from;
    this.#acknowledgedAt = Date.now();
    const offset = typeof from === "number" ? formatOffset(from) : from === "now" ? from : "-1";
    return {
      ...{ url: this.#url, offset, cursor: this.#cursor, signal, options: this.#client },
      acks: this.#canAcknowledge,
      onBytes: () => {
        this.#openSince = Math.min(this.#openSince, Date.now());
        this.#mayFailToStream = 1;
        this.#setConnection("open");
        if (this.#live === "sse" && this.#isSignOfLifeDue) this.#signOfLife();
      },
    };
  }

  async #toUpdate({ items, control }: Received<T>, signal: AbortSignal): Promise<RunnerUpdate<T>> {
    const { runnerEstimatedEnd, runnerProgress, streamNextOffset, streamClosed = false } = control;
    const status = control.runnerStatus as RunnerStatus;
    const progress = {
      current: runnerProgress,
      ...(runnerEstimatedEnd !== undefined && { estimatedEnd: runnerEstimatedEnd }),
    };
    const update = {
      ...{ items, position: Number(streamNextOffset), status, progress, closed: streamClosed },
      ...(status === "aborted" && { abortReason: control.runnerAbortReason as AbortReason }),
    };
    return status === "failed" ? { ...update, error: await this.#failure(signal) } : update;
  }

  /** The wire's events carry only the code of a failure; its message is in the state. */
  async #failure(signal: AbortSignal): Promise<ActiveSessionError> {
    let message = "The runner failed";
    const watchdog = new Watchdog(signal);
    watchdog.expectWithin(stateWithin);
    try {
      const response = await request(`${this.#url}/state`, { signal: watchdog.signal }, this.#client);
      const { error } = (await response.json()) as { error?: { message?: string } };
      message = error?.message ?? message;
    } catch {
      signal.throwIfAborted(); // else the failure is known without its message; the runner may be gone by now
    } finally {
      watchdog.close();
    }
    return new ActiveSessionError("RUNNER_FAILED", message);
  }

  // --- acknowledgement ---------------------------------------------------------------------------------------------

  /** The application has taken everything before `position`; the server is told before the allowance is used up, or in time. */
  #take(position: number): void {
    this.#taken = position;
    if (this.#isAcknowledgementDue || this.#isSignOfLifeDue) this.#signOfLife();
  }

  get #isAcknowledgementDue(): boolean {
    return this.#live === "sse" && this.#taken - this.#acknowledged >= Math.max(1, this.#aheadLimit / 2);
  }

  get #isSignOfLifeDue(): boolean {
    return Date.now() - this.#acknowledgedAt >= signOfLifeEvery;
  }

  /** Acknowledges what the application has taken; at most one such request is under way. */
  #signOfLife(): void {
    const { signal } = this.#stop;
    if (this.#acknowledging || !this.#canAcknowledge || signal.aborted) return;
    this.#acknowledging = true;
    this.#sendAcknowledgement(signal)
      .catch((error: unknown) => {
        // A runner that is gone, and the end of the following, come to light without this; a refusal is worked around.
        if (signal.aborted || (ActiveSessionError.is(error) && error.code === "RUNNER_GONE")) return;
        this.#canAcknowledge = false;
        if (this.#live === "sse") this.#cut(new TemporaryError("Acknowledgements are refused", error));
      })
      .finally(() => {
        this.#acknowledging = false;
      });
  }

  /**
   * The server may be waiting for just this one: where it did not get through, it is sent again; and where more has been taken
   * while it was under way, the next one follows.
   */
  async #sendAcknowledgement(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      const position = this.#taken;
      this.#acknowledgedAt = Date.now();
      try {
        await request(`${this.#url}/ack?offset=${formatOffset(position)}`, { method: "POST", signal }, this.#client);
        this.#acknowledged = Math.max(this.#acknowledged, position);
        if (!this.#isAcknowledgementDue) return;
        attempt = -1;
      } catch (error) {
        if (!(error instanceof TemporaryError)) throw error;
        await backOff(attempt, error, signal);
      }
    }
  }

  // --- waiting -----------------------------------------------------------------------------------------------------

  /** Waits before the next connection: not at all after one that worked, else longer with every try. */
  async #pause(attempt: number, problem: TemporaryError | undefined, signal: AbortSignal): Promise<void> {
    if (attempt === 0 && !problem) return;
    this.#setConnection("waiting", problem);
    await backOff(attempt, problem, signal);
  }

  #setConnection(state: ConnectionState, error?: unknown): void {
    if (state === this.#connection) return;
    this.#connection = state;
    this.#options.onConnection?.(state, error);
  }
}

/** Waits as long as the server asks for, or longer with every attempt. */
async function backOff(attempt: number, problem: TemporaryError | undefined, signal: AbortSignal): Promise<void> {
  const backoff = Math.min(longestBackoff, 250 * 2 ** attempt) * (0.5 + Math.random() / 2);
  let cancel = noop;
  const elapsed = new Promise<void>((resolve) => {
    cancel = startTimer((problem?.retryAfter ?? 0) * 1000 || backoff, resolve);
  });
  try {
    await abortable(elapsed, signal);
  } finally {
    cancel();
  }
}
