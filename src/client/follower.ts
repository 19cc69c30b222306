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
 * - Where an acknowledgement does not get through, the connection is made anew: its offset says the same.
 * - Where SSE does not get through, long-polls take over from the same offset.
 */

import { CodedError } from "../base/coded-error.js";
import type { AbortReason, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import { backOff, onPageChange, pause } from "./backoff.js";
import { type Control, connect, noStream } from "./connection.js";
import { takePlace } from "./connection-slots.js";
import { type ClientOptions, isTemporary, notOfARunner, queryOf, request, temporary } from "./request.js";

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
/** A connection that lasted so long and was alive, or brought items, is followed by the next one at once, ms. */
const steadyAfter = 1000;
/** Without a place for a connection, so long lies between two requests, ms. */
const turnEvery = 1000;
/**
 * A runner that answered before and is gone may be there again so much later, ms: a login ends what was opened by the former cookie, and
 * the new one comes with its answer.
 */
const goneRetryAfter = 2000;
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
  /** The runner's key. */
  readonly key: string;
  readonly #url: string;
  readonly #client: ClientOptions;
  readonly #options: FollowOptions;
  /** Ends what is going on: a connection, or the wait for the next one. */
  #round = new AbortController();
  #isClosed = false;
  /** Where the next connection begins, behind what has been given out; -1 is the beginning. */
  #from: number | "now";
  #isStream: boolean;
  /** What came with the creation and has not been taken. */
  #created: Created<T> | undefined;
  #last: RunnerUpdate<T> | undefined;
  /** What came with it. */
  #control: Control = {};
  #connection: ConnectionState = "closed";
  /** Which event stream it is that acknowledgements keep open. */
  #response: string | undefined;
  /** Behind what the application has taken: it has asked for more since. */
  #taken = 0;
  #acknowledged = 0;
  #acknowledgedAt = Date.now();
  #acknowledging = false;
  /** Whether anything has come in this round. */
  #hasBytes = false;
  /** Whether anything has been given out since the runner was gone. */
  #isKnown = false;
  #iterating = false;

  /** @internal */
  constructor(url: string, key: string, client: ClientOptions, options: FollowOptions, created?: Created<T>) {
    this.key = key;
    this.#url = url;
    this.#client = client;
    this.#options = options;
    this.#isStream = options.live !== "long-poll";
    this.#created = created;
    this.#from = created?.offset ?? options.offset ?? -1;
    if (created) this.#tellPlace(this.position); // nobody else knows of the runner
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
      let next = update.position - update.items.length;
      for (const item of update.items) {
        if (this.#isClosed) return;
        this.#options.signal?.throwIfAborted();
        this.#from = ++next; // whoever leaves here goes on with the next item
        yield item;
        if (next < update.position) this.#take(next); // the last one is taken with the update
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
    this.#isClosed = true;
    this.#round.abort(closed);
  }

  /**
   * What arrives, piece by piece, the last one with a final status, whichever it is. May be iterated again after an error, or
   * when the loop was left: it goes on behind what has been given out.
   * @throws `RUNNER_GONE` (removed, its session ended, or never there), `POSITION_GONE`, `RESULT_NOT_SERIALIZABLE`,
   *   `UNEXPECTED_RESPONSE`, `READ_CONFLICT` if it is being iterated already, or the reason of `signal`
   */
  async *updates(): AsyncGenerator<RunnerUpdate<T>, void, undefined> {
    if (this.#iterating) throw new CodedError("READ_CONFLICT", 409, "Followed already");
    this.#iterating = true;
    this.#isClosed = false;
    try {
      this.#begin();
      const created = this.#created;
      this.#created = undefined;
      if (created) {
        yield this.#give(created.first);
        if (created.first.closed) {
          this.#tellPlace(this.position);
          return created.onTaken();
        }
      }
      for (let attempt = 0; ; attempt++) {
        const began = Date.now();
        let problem: CodedError | undefined;
        let isGone = false;
        let place: (() => void) | undefined;
        try {
          while (this.#isUnseen) {
            const { signal } = this.#begin();
            this.#setConnection("waiting");
            this.#take(this.position); // somebody will come back
            await pause(signOfLifeEvery, signal);
          }
          place = await takePlace(this.#client.connections);
          for await (const update of this.#connect(place !== undefined)) {
            if (update.items.length > 0) attempt = 0;
            yield update;
            this.#tellPlace(update.position);
            if (update.closed) return;
          }
        } catch (error) {
          isGone = this.#isKnown && (error as CodedError | undefined)?.code === "RUNNER_GONE";
          if (!isTemporary(error) && !isGone) throw error;
          problem = error as CodedError;
          if (error === noStream) this.#isStream = false;
        } finally {
          place?.();
        }
        if (this.#hasBytes && Date.now() - began >= steadyAfter) attempt = 0;
        if (isGone) {
          this.#isKnown = false;
          this.#setConnection("waiting", problem);
          await pause(goneRetryAfter, this.#begin().signal);
        } else if (problem || (place && attempt > 0)) {
          this.#setConnection("waiting", problem);
          await backOff(attempt, problem, this.#begin().signal);
        } else if (!place) {
          attempt = 0;
          if (this.#control.streamUpToDate) await pause(turnEvery, this.#begin().signal);
        }
      }
    } catch (error) {
      if (error === closed) return;
      throw error;
    } finally {
      this.#round.abort();
      this.#iterating = false;
      this.#setConnection("closed");
    }
  }

  /** One round ends, the next one begins. Throws where the following ends. */
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

  /** @param mayStand whether the connection may stay open */
  async *#connect(mayStand: boolean): AsyncGenerator<RunnerUpdate<T>, void, undefined> {
    const cut = this.#begin();
    this.#setConnection("connecting");
    this.#hasBytes = false;
    this.#response = undefined;
    const isStream = mayStand && this.#isStream;
    onPageChange(({ type }) => {
      // Frozen, it would hold its connection, and with it the runner, until the server ends that.
      if (type === "pagehide" || this.#isUnseen) cut.abort(temporary("Hidden"));
    }, cut.signal);
    const onBytes = () => {
      this.#hasBytes = true;
      this.#setConnection("open");
      if (isStream) this.#acknowledgeIfDue();
    };
    const url = this.#url + this.#ask(mayStand && (isStream ? "sse" : "long-poll"));
    for await (const { body, control } of connect<T>(url, isStream, this.#client, cut, onBytes)) {
      const update = toUpdate(body, control);
      cut.signal.throwIfAborted();
      if (this.#from === "now") this.#acknowledged = this.#taken = update.position - body.length;
      this.#control = control;
      this.#response = control.runnerResponse ?? this.#response;
      yield this.#give(update);
      if (isStream) this.#take(update.position); // the next request of the others says it itself
    }
  }

  /** The query of the next request. Asking from an offset on is an acknowledgement and a sign of life in itself. */
  #ask(live: "sse" | "long-poll" | false): string {
    this.#acknowledged = this.#taken = this.position;
    this.#tellPlace(this.position);
    this.#acknowledgedAt = Date.now();
    return queryOf({ offset: this.#from, ...(live && { live, cursor: this.#control.streamCursor, acks: true }) });
  }

  /** From here on it counts as given out. */
  #give(update: RunnerUpdate<T>): RunnerUpdate<T> {
    this.#last = update;
    this.#isKnown = true;
    this.#from = update.position;
    return update;
  }

  #tellPlace(offset: number): void {
    if (this.#from === "now") return; // nobody knows yet where that is
    this.#options.onPlace?.({ key: this.key, offset });
  }

  // --- acknowledgement ---------------------------------------------------------------------------------------------

  /** The application has taken everything before `position`; the server is told before the allowance is used up, or in time. */
  #take(position: number): void {
    this.#taken = position;
    this.#acknowledgeIfDue();
  }

  get #isDue(): boolean {
    const limit = Number(this.#control.runnerAheadLimit); // NaN, which nothing exceeds, of a process
    return this.#isStream && this.#taken - this.#acknowledged >= Math.max(1, limit / 2);
  }

  #acknowledgeIfDue(): void {
    const isDue = this.#isDue || Date.now() - this.#acknowledgedAt >= signOfLifeEvery;
    if (isDue && !this.#acknowledging) void this.#acknowledge(this.#round);
  }

  /**
   * Acknowledges what the application has taken; one such request after the other. The server may be waiting for just this one:
   * where it does not get through, for whatever reason, the connection is made anew, which says the same.
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

  /** Whether the page is hidden, and is not to be followed then. */
  get #isUnseen(): boolean {
    return this.#options.whenHidden === "pause" && globalThis.document?.hidden;
  }

  #setConnection(state: ConnectionState, error?: unknown): void {
    if (state === this.#connection) return;
    this.#connection = state;
    this.#options.onConnection?.(state, error);
  }
}

/** What holds for what has arrived. */
export function toUpdate<T>(items: T[], control: Control): RunnerUpdate<T> {
  const { runnerEstimatedEnd: end, runnerErrorMessage, runnerProgress, streamNextOffset, streamClosed } = control;
  if (!Array.isArray(items)) throw notOfARunner();
  const status = control.runnerStatus as RunnerStatus;
  return {
    ...{ items, position: Number(streamNextOffset), status, closed: Boolean(streamClosed) },
    progress: { current: Number(runnerProgress), ...(end !== undefined && { estimatedEnd: Number(end) }) },
    ...(status === "failed" && {
      error: new CodedError("RUNNER_FAILED", 500, runnerErrorMessage || "The runner failed"),
    }),
    ...(status === "aborted" && { abortReason: control.runnerAbortReason as AbortReason }),
  };
}
