import { CodedError } from "../base/coded-error.js";
import type { AbortReason, RunnerPhase, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import { backOff, onPageChange, pause } from "./backoff.js";
import { type Control, connect, noStream } from "./connection.js";
import { takePlace } from "./connection-slots.js";
import { type ClientOptions, codeOf, isTemporary, notOfARunner, queryOf, request, temporary } from "./request.js";

/** A piece of a runner's results, with the state after it. */
export interface RunnerUpdate<T> {
  /** New items in order; often none. For a process the newest value, if it has changed. */
  readonly items: readonly T[];
  /** The offset behind `items`, where the next update begins. */
  readonly position: number;
  /** The runner's status at `position`. */
  readonly status: RunnerStatus;
  /** The status in the words of a page: final with the last update, before that `starting` or `running`. */
  readonly phase: RunnerPhase;
  /** True if the work waits until items are acknowledged. */
  readonly paused: boolean;
  /** The state of the follower's connection; `closed` for a page and for the last update. */
  readonly connection: ConnectionState;
  /** How far the work has come, also beyond `position`. */
  readonly progress: RunnerProgress;
  /** True for the last update: nothing follows. */
  readonly closed: boolean;
  /** With the status `failed`: why, as an error with the code `RUNNER_FAILED`. */
  readonly error?: CodedError;
  /** With the status `aborted`: why. */
  readonly abortReason?: AbortReason;
}

/**
 * The state of a follower's connection:
 *
 * - `connecting`: a request is sent, nothing has arrived yet
 * - `open`: bytes have arrived
 * - `retrying`: the connection has failed; the next attempt follows
 * - `offline`: the same while the browser has no network
 * - `closed`: not iterated now, or the page is hidden and `whenHidden` is `"pause"`
 */
export type ConnectionState = "connecting" | "open" | "retrying" | "offline" | "closed";

/** A runner and an offset in it, from which it can be followed again. */
export interface RunnerPlace {
  /** The runner's key. */
  readonly key: string;
  /** The offset behind the items that the application has taken. */
  readonly offset: number;
}

/** Options of following a runner. */
export interface FollowOptions {
  /**
   * Where to begin: a position, `"now"` for new items only, or `"earliest"` for the first item that is still kept. Default: the
   * beginning, which fails with `POSITION_GONE` if its items have been dropped.
   */
  readonly offset?: number | "now" | "earliest" | undefined;
  /** Ends the following: the iteration throws the signal's reason. The runner goes on. Default: none. */
  readonly signal?: AbortSignal | undefined;
  /**
   * `"sse"` uses Server-Sent Events, and long-polls where those do not get through; `"long-poll"` uses long-polls from the start.
   * Default: `"sse"`.
   */
  readonly live?: "sse" | "long-poll" | undefined;
  /**
   * Behaviour while the page is hidden: `"follow"` goes on; `"pause"` keeps no connection, sends a sign of life every 20 s so that
   * the runner does not idle out, and catches up when the page is shown. Default: `"follow"`.
   */
  readonly whenHidden?: "follow" | "pause" | undefined;
  /**
   * Called with the place to continue from after a reload, before the server may drop the items before it. `savedRunner` of
   * `active-session/resume` stores it for the tab. Default: none.
   */
  readonly onPlace?: ((place: RunnerPlace) => void) | undefined;
  /** Called when the state of the connection changes. `error` is the reason for `retrying` and `offline`. Default: none. */
  readonly onConnection?: ((state: ConnectionState, error?: unknown) => void) | undefined;
}

/** Interval of the acknowledgements that only keep the runner alive, ms. Below the server's default `rotateAfter` of 60 s. */
const signOfLifeEvery = 20_000;
/** From this age on, ms, a connection on which bytes arrived counts as steady: the next one needs no back-off. */
const steadyAfter = 1000;
/** Interval of the short requests of a follower without a place for a connection, ms. */
const turnEvery = 1000;
/**
 * Delay before a runner that answered before and is now gone is asked for once more, ms. A login ends the connections opened with
 * the former cookie; the new cookie arrives with the login's response.
 */
const goneRetryAfter = 2000;
/** The reason of a round that `close` ends; the iteration returns instead of throwing it. */
const closed = new Error("closed");

/** The response to a creation, for the follower of the new runner. */
export interface Created<T> {
  /** Where the first update begins. */
  readonly offset: number;
  /** The first page, already received. */
  readonly first: RunnerUpdate<T>;
  /** Called when the first update was also the last one and has been taken. */
  readonly onTaken: () => void;
}

/**
 * Follows a runner over any number of connections, each from where the last one ended, until the runner has ended. Iterate it for
 * items, or {@link updates} for items with status and progress.
 *
 *     closed ──iterated──▶ connecting ⇄ open ──the end has arrived, or the runner is gone──▶ closed
 *                              ▲          │
 *                              └ retrying ┘   (a connection failed: back-off, or what the server asks for)
 *
 * - The next connection starts at the offset of the last complete update: a cut neither loses nor repeats an item.
 * - Items are acknowledged after the application has asked for more, never before. While the application works through what has
 *   arrived, acknowledgements also keep the runner alive.
 * - If an acknowledgement fails, the connection is replaced: its opening offset acknowledges the same.
 * - If SSE does not get through, long-polls take over at the same offset.
 * @typeParam T type of an item, or of a process's value
 * @example
 * const follower = client.follow<string>(key, { onConnection: (state) => console.log(state) });
 * for await (const { items, status, progress } of follower.updates()) {
 *   console.log(status, progress.current, items);
 * }
 */
export class RunnerFollower<T = unknown> implements AsyncIterable<T> {
  /** The runner's key. */
  readonly key: string;
  readonly #url: string;
  readonly #client: ClientOptions;
  readonly #options: FollowOptions;
  /** Aborts the current step: a connection with its acknowledgements, or the wait before the next one. */
  #round = new AbortController();
  /** Set by `close`, reset by the next iteration. */
  #isClosed = false;
  /** Opening offset of the next connection, behind what has been yielded; -1 is the beginning. */
  #from: number | "now";
  /** False for good once SSE has failed to get through. */
  #isStream: boolean;
  /** The response to the creation, until it is yielded. */
  #created: Created<T> | undefined;
  /** The latest update that was yielded. */
  #last: RunnerUpdate<T> | undefined;
  /** The control data of {@link #last}: its cursor and its limit are needed later. */
  #control: Control = {};
  /** State last reported to `onConnection`. */
  #connection: ConnectionState = "closed";
  /** Id of the open event stream; acknowledgements that carry it keep the stream open. */
  #response: string | undefined;
  /** Everything before this position has been taken: the application has asked for more since. */
  #taken = 0;
  /** The server has confirmed the acknowledgement up to this position. */
  #acknowledged = 0;
  /** When the last request that acknowledges was sent, ms since the epoch. */
  #acknowledgedAt = Date.now();
  /** True while an acknowledgement is under way: there is one at a time. */
  #acknowledging = false;
  /** True if anything has arrived on the current connection. */
  #hasBytes = false;
  /** True if the runner has answered since the last time it was gone. Only then is it asked for again. */
  #isKnown = false;
  /** Guards against two iterations at once. */
  #iterating = false;

  /** Made by the client's `follow` and `create`. */
  constructor(url: string, key: string, client: ClientOptions, options: FollowOptions, created?: Created<T>) {
    this.key = key;
    this.#url = url;
    this.#client = client;
    this.#options = options;
    this.#isStream = options.live !== "long-poll";
    this.#created = created;
    const { offset = -1 } = options;
    this.#from = created?.offset ?? (offset === "earliest" ? -1 : offset);
    if (created) this.#tellPlace(this.position); // only this response names the new runner
  }

  /** The latest status; `undefined` before the first response. */
  get status(): RunnerStatus | undefined {
    return this.#last?.status;
  }

  /** The latest phase; `undefined` before the first response. */
  get phase(): RunnerPhase | undefined {
    return this.#last?.phase;
  }

  /** True if the work waited for acknowledgements at the latest update. */
  get paused(): boolean {
    return Boolean(this.#last?.paused);
  }

  /** The latest progress; `undefined` before the first response. */
  get progress(): RunnerProgress | undefined {
    return this.#last?.progress;
  }

  /** The position after everything that has been yielded; 0 at first. */
  get position(): number {
    return Math.max(0, Number(this.#from) || 0);
  }

  /** Why the runner failed; `undefined` unless it did. */
  get error(): CodedError | undefined {
    return this.#last?.error;
  }

  /** The state of the connection; `"closed"` while the follower is not iterated. */
  get connection(): ConnectionState {
    return this.#connection;
  }

  /**
   * Yields the items one by one, and returns when the runner is completed or was stopped, by this page or another one. If the loop
   * is left, the next iteration continues with the next item.
   * @throws `RUNNER_FAILED` after the last item; `RUNNER_ABORTED` if the work was ended otherwise than by a stop; what
   *   {@link updates} throws
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    let last: RunnerUpdate<T> | undefined;
    for await (const update of this.updates()) {
      last = update;
      // The items of an update end at its position, so its first one lies `items.length` before.
      let next = update.position - update.items.length;
      for (const item of update.items) {
        // `close` and `signal` take effect between two items of one update.
        if (this.#isClosed) return;
        this.#options.signal?.throwIfAborted();
        this.#from = ++next; // a loop left here continues with the next item
        yield item;
        if (next < update.position) this.#take(next); // the last one is taken with the update
      }
    }
    if (last?.status === "failed") throw last.error;
    if (last?.status === "aborted" && last.abortReason !== "stopped") {
      throw new CodedError("RUNNER_ABORTED", 409, `The runner was aborted: ${last.abortReason}`);
    }
  }

  /**
   * Calls `callback` for each update, awaits its result, and resolves after the last update.
   * @throws what {@link updates} and `callback` throw
   */
  async forEach(callback: (update: RunnerUpdate<T>) => unknown): Promise<void> {
    for await (const update of this.updates()) await callback(update);
  }

  /**
   * Ends the iteration under way as if the runner had ended. The runner goes on, and the follower may be iterated again. Has no
   * effect on a follower that is not iterated.
   */
  close(): void {
    this.#isClosed = true;
    this.#round.abort(closed);
  }

  /**
   * Yields updates as they arrive; the last one has a final status, including `failed` and `aborted`. May be iterated again after
   * an error or after the loop was left: it continues behind what has been yielded. Nothing is requested before the first
   * iteration.
   * @throws `RUNNER_GONE` if the runner was removed, its session ended, or it never existed; `POSITION_GONE`;
   *   `RESULT_NOT_SERIALIZABLE`; `UNEXPECTED_RESPONSE`; `READ_CONFLICT` if it is iterated already; the reason of `signal`
   */
  async *updates(): AsyncGenerator<RunnerUpdate<T>, void, undefined> {
    if (this.#iterating) throw new CodedError("READ_CONFLICT", 409, "Followed already");
    this.#iterating = true;
    this.#isClosed = false;
    try {
      // Check `signal` and `close` before the first page is yielded.
      this.#begin();
      const isOver = yield* this.#takeCreated();
      if (!isOver) yield* this.#connectAgainAndAgain();
    } catch (error) {
      if (error === closed) return;
      throw error;
    } finally {
      // Cancels an acknowledgement under way and removes the listener from `signal`.
      this.#round.abort();
      this.#iterating = false;
      this.#setConnection("closed");
    }
  }

  /** Yields the first page, which was received with the creation: no request is needed for it. Returns true if it is the last. */
  async *#takeCreated(): AsyncGenerator<RunnerUpdate<T>, boolean, undefined> {
    const created = this.#created;
    this.#created = undefined;
    if (!created) return false;
    yield this.#give(created.first);
    if (!created.first.closed) return false;
    this.#tellPlace(this.position);
    created.onTaken();
    return true;
  }

  /** One round of the loop is one connection. Returns after the last update. */
  async *#connectAgainAndAgain(): AsyncGenerator<RunnerUpdate<T>, void, undefined> {
    // `attempt` counts the rounds in a row that brought nothing.
    for (let attempt = 0; ; attempt++) {
      const began = Date.now();
      let problem: CodedError | undefined;
      let isGone = false;
      let place: (() => void) | undefined;
      try {
        // A paused follower holds no place. Its acknowledgement is a sign of life at the current position.
        while (this.#isUnseen) {
          const { signal } = this.#begin();
          this.#setConnection("closed");
          this.#take(this.position);
          await pause(signOfLifeEvery, signal);
        }
        // Taken for each connection and given back after it, so that followers without a place get a turn.
        place = await takePlace(this.#client.connections);
        // Between two updates the application has the turn; the place is reported once it has asked for more.
        for await (const update of this.#connect(place !== undefined)) {
          if (update.items.length > 0) attempt = 0;
          yield update;
          this.#tellPlace(update.position);
          if (update.closed) return;
        }
      } catch (error) {
        // A known runner that is gone is asked for once more: it may just have changed its cookie.
        isGone = this.#isKnown && codeOf(error) === "RUNNER_GONE";
        const { firstPosition } = error as CodedError;
        if (firstPosition && !this.#last && this.#options.offset === "earliest") {
          this.#from = firstPosition;
          attempt = -1;
          continue;
        }
        if (!isTemporary(error) && !isGone) throw error;
        problem = error as CodedError;
        // The same offset is asked for by long-poll next, after a short back-off.
        if (error === noStream) this.#isStream = false;
      } finally {
        place?.();
      }
      if (this.#isUnseen) continue; // no back-off: the loop above waits for the page
      // A connection that stood for a while is no sign of trouble: connect again without a delay.
      if (this.#hasBytes && Date.now() - began >= steadyAfter) attempt = 0;
      // After an error, or a fruitless connection, back off. Without a place, wait for the next turn, unless the last page was
      // not the newest one.
      if (isGone) {
        this.#isKnown = false;
        this.#setConnection("retrying", problem);
        await pause(goneRetryAfter, this.#begin().signal);
      } else if (problem || (place && attempt > 0)) {
        this.#setConnection("retrying", problem);
        await backOff(attempt, problem, this.#begin().signal);
      } else if (!place) {
        attempt = 0;
        if (this.#control.streamUpToDate) await pause(turnEvery, this.#begin().signal);
      }
    }
  }

  /**
   * Ends the current round and starts the next one. Every wait and every request belongs to a round, so that `close`, `signal` and
   * a page change can end it.
   * @throws the reason of `signal`, or {@link closed}
   */
  #begin(): AbortController {
    const { signal } = this.#options;
    this.#round.abort();
    signal?.throwIfAborted();
    if (this.#isClosed) throw closed;
    const round = new AbortController();
    signal?.addEventListener("abort", () => round.abort(signal.reason), { signal: round.signal });
    this.#round = round;
    return round;
  }

  /**
   * Opens one connection and yields its updates.
   * @param mayStand true if the connection may stay open: a place was free
   */
  async *#connect(mayStand: boolean): AsyncGenerator<RunnerUpdate<T>, void, undefined> {
    const cut = this.#begin();
    this.#setConnection("connecting");
    this.#hasBytes = false;
    this.#response = undefined;
    const isStream = mayStand && this.#isStream;
    // A frozen page would hold its connection, and with it the runner, until the server ends that.
    onPageChange(({ type }) => {
      if (type === "pagehide" || type === "offline" || this.#isUnseen) cut.abort(temporary(type));
    }, cut.signal);
    const onBytes = () => {
      this.#hasBytes = true;
      this.#setConnection("open");
      if (isStream) this.#acknowledgeIfDue();
    };
    const url = this.#url + this.#ask(mayStand && (isStream ? "sse" : "long-poll"));
    for await (const { body, control } of connect<T>(url, isStream, this.#client, cut, onBytes)) {
      const update = toUpdate(body, control, url);
      // One chunk may hold several updates; stop between them if the round has ended meanwhile.
      cut.signal.throwIfAborted();
      // What lies before the tail was never received: acknowledgements count from here.
      if (this.#from === "now") this.#acknowledged = this.#taken = update.position - body.length;
      this.#control = control;
      // Only the first control event of a stream names it.
      this.#response = control.runnerResponse ?? this.#response;
      yield this.#give(update);
      if (isStream) this.#take(update.position); // of a poll or a page, the next request says it
    }
  }

  /**
   * The query of the next request. The opening offset acknowledges everything before it and is a sign of life, so the counters
   * start again here.
   * @param live how the server waits; `false` for a page at once
   */
  #ask(live: "sse" | "long-poll" | false): string {
    this.#acknowledged = this.#taken = this.position;
    this.#tellPlace(this.position);
    this.#acknowledgedAt = Date.now();
    return queryOf({ offset: this.#from, ...(live && { live, cursor: this.#control.streamCursor, acks: true }) });
  }

  /** Records the update as yielded: the next connection starts behind it. */
  #give(update: RunnerUpdate<T>): RunnerUpdate<T> {
    this.#last = update.closed ? update : { ...update, connection: this.#connection };
    this.#isKnown = true;
    this.#from = update.position;
    return this.#last;
  }

  /** Reports the place to `onPlace`, always before any request that lets the server drop what lies before. */
  #tellPlace(offset: number): void {
    if (this.#from === "now") return; // the position is unknown until the first response
    this.#options.onPlace?.({ key: this.key, offset });
  }

  // --- acknowledgement ---------------------------------------------------------------------------------------------

  /**
   * Records that the application has taken everything before `position`, and acknowledges it if due: early enough that the server's
   * allowance is not used up and the stream does not stop.
   */
  #take(position: number): void {
    this.#taken = position;
    this.#acknowledgeIfDue();
  }

  /**
   * True if half of the server's allowance has been taken since the last acknowledgement. Event streams only: with long-polls the
   * next request acknowledges.
   */
  get #isDue(): boolean {
    const limit = Number(this.#control.runnerAheadLimit); // absent for a process: NaN, which nothing exceeds
    return this.#isStream && this.#taken - this.#acknowledged >= Math.max(1, limit / 2);
  }

  /** Acknowledges if the allowance or the time since the last sign of life requires it. */
  #acknowledgeIfDue(): void {
    const isDue = this.#isDue || Date.now() - this.#acknowledgedAt >= signOfLifeEvery;
    if (isDue && !this.#acknowledging) void this.#acknowledge(this.#round);
  }

  /**
   * Acknowledges what the application has taken, with one request at a time. The server may be waiting for this very
   * acknowledgement: if it fails for any reason, the connection is replaced, whose opening offset acknowledges the same. Never
   * rejects.
   * @param round of the connection that is to be replaced on failure; its end cancels the request
   */
  async #acknowledge(round: AbortController): Promise<void> {
    this.#acknowledging = true;
    try {
      do {
        const position = this.#taken;
        this.#acknowledgedAt = Date.now();
        this.#tellPlace(position);
        const url = `${this.#url}/ack${queryOf({ offset: position, response: this.#response })}`;
        await request(url, this.#client, { method: "POST", signal: round.signal });
        this.#acknowledged = position;
      } while (this.#isDue);
    } catch (cause) {
      round.abort(temporary("Not acknowledged", { cause }));
    }
    this.#acknowledging = false;
  }

  // --- waiting -----------------------------------------------------------------------------------------------------

  /** True if the page is hidden and `whenHidden` is `"pause"`. */
  get #isUnseen(): boolean {
    return this.#options.whenHidden === "pause" && globalThis.document?.hidden;
  }

  /**
   * Changes the state and reports it; repeated states are not reported. Without a network attempts go on, because the server may be
   * on this machine, but they are no news.
   */
  #setConnection(state: ConnectionState, error?: unknown): void {
    if (globalThis.navigator?.onLine === false && /ing/.test(state)) state = "offline";
    if (state === this.#connection) return;
    this.#connection = state;
    this.#options.onConnection?.(state, error);
  }
}

/** The phase that belongs to the status of an update. */
function phaseOf(status: RunnerStatus): RunnerPhase {
  if (status === "not-started") return "starting";
  return status === "stalled" || status === "progressed" ? "running" : status;
}

/**
 * Converts a piece into an update. Headers carry every value as text, so numbers and flags are converted.
 * @throws `UNEXPECTED_RESPONSE` if `items` is not an array
 */
export function toUpdate<T>(items: T[], control: Control, url: string): RunnerUpdate<T> {
  const { runnerEstimatedEnd: end, runnerErrorMessage, runnerProgress, streamNextOffset, streamClosed } = control;
  if (!Array.isArray(items)) throw notOfARunner(url);
  const status = control.runnerStatus as RunnerStatus;
  return {
    ...{ items, position: Number(streamNextOffset), status, phase: phaseOf(status), closed: Boolean(streamClosed) },
    ...{ paused: Boolean(control.runnerPaused), connection: "closed" },
    progress: { current: Number(runnerProgress), ...(end !== undefined && { estimatedEnd: Number(end) }) },
    ...(status === "failed" && {
      error: new CodedError("RUNNER_FAILED", 500, runnerErrorMessage || "The runner failed"),
    }),
    ...(status === "aborted" && { abortReason: control.runnerAbortReason as AbortReason }),
  };
}
