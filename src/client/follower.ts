import { noop } from "../base/async.js";
import { CodedError } from "../base/coded-error.js";
import type { RunnerPhase, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import { AckTracker, signOfLifeEvery } from "./ack-tracker.js";
import { backOff, onPageChange, pause } from "./backoff.js";
import { type Control, connect, noStream } from "./connection.js";
import { takePlace } from "./connection-slots.js";
import { type ClientOptions, codeOf, isTemporary, queryOf, request, temporary } from "./request.js";
import type { ConnectionState, Created, FindRunner, FollowOptions, RunnerUpdate } from "./types.js";
import { toUpdate } from "./update.js";

/** From this age on, ms, a connection on which bytes arrived counts as steady: the next one needs no back-off. */
const steadyAfter = 1000;
/** Interval of the short requests of a follower without a place for a connection, ms. */
const turnEvery = 1000;
/**
 * Delay before a runner that answered before and is now gone is asked for once more, ms. A login ends the connections opened with
 * the former cookie; the new cookie arrives with the login's response.
 */
const goneRetryAfter = 2000;
/** Time-out of the search for a runner by its label, and of telling that the end was seen, ms. */
const longestSearch = 10_000;
/** The reason of a round that `close` ends; the iteration returns instead of throwing it. */
const closed = new Error("closed");

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
  #key: string;
  #url: string;
  /** Finds the runner by its label, before the first request to it. */
  #find: FindRunner | undefined;
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
  /** What the application has taken, and what the server knows of that. */
  readonly #acks = new AckTracker(
    () => (this.#isStream ? Number(this.#control.runnerAheadLimit) : Number.NaN),
    (position) => this.#acknowledge(position),
  );
  /** True if anything has arrived on the current connection. */
  #hasBytes = false;
  /** True if the runner has answered since the last time it was gone. Only then is it asked for again. */
  #isKnown = false;
  /** Guards against two iterations at once. */
  #iterating = false;

  /** Made by the client's `follow` and `create`. */
  constructor(
    url: string,
    key: string,
    client: ClientOptions,
    options: FollowOptions,
    created?: Created<T>,
    find?: FindRunner,
  ) {
    this.#key = key;
    this.#url = url;
    this.#find = find;
    this.#client = client;
    this.#options = options;
    this.#isStream = options.live !== "long-poll";
    this.#created = created;
    const { offset = -1 } = options;
    this.#from = created?.offset ?? (offset === "earliest" ? -1 : offset);
    if (created) this.#tellPlace(this.position); // only this response names the new runner
  }

  /** The runner's key. Empty before the first response where it is followed by its label. */
  get key(): string {
    return this.#key;
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
        if (next < update.position) this.#acks.take(next); // the last one is taken with the update
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
          if (!this.#find) this.#acks.take(this.position);
          await pause(signOfLifeEvery, signal);
        }
        await this.#locate();
        if (this.#isUnseen) continue; // the page was hidden meanwhile
        // Taken for each connection and given back after it, so that followers without a place get a turn.
        place = await takePlace(this.#client.connections);
        // Between two updates the application has the turn; the place is reported once it has asked for more.
        for await (const update of this.#connect(place !== undefined)) {
          if (update.items.length > 0) attempt = 0;
          yield update;
          this.#tellPlace(update.position);
          if (update.closed) {
            // What a stream has only written, no one has seen; of a stream the response has a name.
            // Tried once, and not waited for: a server that cannot be told keeps the runner for as long as it would anyway.
            if (this.#response) {
              const signal = AbortSignal.timeout?.(longestSearch); // older browsers have none
              const url = `${this.#url}/ack${queryOf({ offset: update.position, closed: true })}`;
              request(url, this.#client, { method: "POST", keepalive: true, signal }).catch(noop);
            }
            return;
          }
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

  /** Finds the runner, once, where it is followed by its label. */
  async #locate(): Promise<void> {
    if (!this.#find) return;
    const cut = this.#begin();
    this.#setConnection("connecting");
    const late = setTimeout(() => cut.abort(temporary("Late")), longestSearch);
    const { key, url } = await this.#find(cut.signal).finally(() => clearTimeout(late));
    this.#key = key;
    this.#url = url;
    this.#find = undefined;
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
      if (isStream) this.#acks.sendIfDue();
    };
    const url = this.#url + this.#ask(mayStand && (isStream ? "sse" : "long-poll"));
    for await (const { body, control } of connect<T>(url, isStream, this.#client, cut, onBytes)) {
      const update = toUpdate(body, control, url);
      // One chunk may hold several updates; stop between them if the round has ended meanwhile.
      cut.signal.throwIfAborted();
      // What lies before the tail was never received: acknowledgements count from here.
      if (this.#from === "now") this.#acks.skipTo(update.position - body.length);
      this.#control = control;
      // Only the first control event of a stream names it.
      this.#response = control.runnerResponse ?? this.#response;
      yield this.#give(update);
      if (isStream) this.#acks.take(update.position); // of a poll or a page, the next request says it
    }
  }

  /**
   * The query of the next request. The opening offset acknowledges everything before it and is a sign of life, so the counters
   * start again here.
   * @param live how the server waits; `false` for a page at once
   */
  #ask(live: "sse" | "long-poll" | false): string {
    this.#tellPlace(this.position);
    this.#acks.begin(this.position);
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
    // The position, or the key, is unknown until the first response.
    if (this.#from === "now" || this.#find) return;
    this.#options.onPlace?.({ key: this.key, offset });
  }

  /**
   * Acknowledges everything before a position. If that fails for any reason, the connection is replaced: its opening offset acknowledges
   * the same. Never rejects.
   * @returns false if it has failed
   */
  async #acknowledge(position: number): Promise<boolean> {
    const round = this.#round; // its end cancels the request
    try {
      this.#tellPlace(position);
      const url = `${this.#url}/ack${queryOf({ offset: position, response: this.#response })}`;
      await request(url, this.#client, { method: "POST", signal: round.signal });
      return true;
    } catch (cause) {
      round.abort(temporary("Connection failed", { cause }));
      return false;
    }
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
