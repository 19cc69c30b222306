import { randomUUID } from "node:crypto";
import { type Ending, noop, onAbort, startTimer } from "../base/async.js";
import { ActiveSessionError } from "../base/error.js";
import type { Lease } from "../base/lease.js";
import type { JsonLimits } from "../log/codec.js";
import { settledWithin } from "../log/pending-read.js";
import { isPending, type PendingRead, type Slice } from "../log/result-log.js";
import { sseComment } from "../protocol/sse.js";
import { LazySignal } from "../runner/lazy-signal.js";
import type { RunnerCore } from "../runner/runner-core.js";
import { aheadLimitOf } from "../runner/sequence-runner.js";
import type { Session } from "../session/session.js";
import type { SseForm } from "./sse-form.js";

/** Maximum number of items in one event. */
const itemsPerEvent = 100;
/** Options of an {@link SseResponse}. */
export interface SseOptions {
  /** The first position to send. */
  readonly start: number | "tail";
  /** Maximum number of items in one event, as the request or the router's `pageLimit` has it. */
  readonly maxItems: number;
  /** Limits of the JSON in one event. */
  readonly limits: JsonLimits;
  /** The text form of the events. */
  readonly form: SseForm;
  /** True if the client acknowledges: when its allowance is used up, the response waits instead of ending. */
  readonly acks: boolean;
  /** Silence after which a comment is written, in ms. `Infinity` disables. */
  readonly heartbeat: number;
  /** Time from the last sign of life to the end of the response, in ms. `Infinity` disables. */
  readonly rotateAfter: number;
  /** Ends when the client has disconnected. */
  readonly over: Ending;
}

/**
 * The reason of `ended`, for internal use. Shared: an error for each response would be a notable part of its cost.
 */
const responseEnded = new ActiveSessionError("RUNNER_GONE", "The response has ended");

/** The body of a response that has ended before its first frame. */
async function* noFrames(): AsyncGenerator<string, void, undefined> {}

/**
 * A live response as Server-Sent Events: follows a runner from a position on, and ends when it has lived long enough.
 *
 *     open ──the runner closes──▶ last frame ──written──▶ ended
 *       ├──the next item is gone or has no JSON form──▶ ended
 *       ├──no sign of life for `rotateAfter`──▶ ended
 *       ├──the allowance is used up (*)──▶ ended
 *       └──the client disconnects, or the session gets another owner──▶ ended
 *
 * - **open**: pins the runner. The body waits at the log, and writes what it gets as one frame of its form.
 * - **ended**: pins nothing; timers and listeners are gone. The signal `ended` has aborted, so that the adapter does
 *   not wait for the client to drain. Nothing is lost: the client reconnects with its own offset.
 * - An open connection is no sign of life. An acknowledgement that names the response is one.
 * - The allowance is the runner's `aheadLimit`: so many items may be sent beyond the furthest acknowledged position.
 * - Rotation and allowance work independently of the body, also while it waits for a client that does not drain.
 * - (*) Not before the `shortestLife` of its form. With `acks` the response waits for an acknowledgement instead;
 *   without one it ends by rotation. An abort is still sent at once.
 */
export class SseResponse {
  /** Names the response in acknowledgements. Must not be guessable, because it renews the response. */
  readonly id = randomUUID();
  readonly #runner: RunnerCore;
  readonly #options: SseOptions;
  readonly #ended = new LazySignal();
  readonly #openedAt = performance.now();
  readonly #lease: Lease;
  /** The allowance counts from here: the start of the response, or the furthest acknowledged position it knows of. */
  #received = 0;
  #offOver: () => void = noop;
  #offHandover: () => void = noop;
  #offAcknowledged: () => void = noop;
  #stopRotation: () => void = noop;
  #stopHeartbeat: () => void = noop;
  /** The latest read that had to wait. */
  #wait: PendingRead<unknown> | undefined;
  /** When the latest read began. */
  #waitsSince = 0;
  /** Resolves the wait for an acknowledgement, if there is one. */
  #onSignOfLife: () => void = noop;

  /** Pins the runner and starts the timers. Every way out must call `#end`. */
  private constructor(runner: RunnerCore, session: Session, options: SseOptions) {
    this.#runner = runner;
    this.#options = options;
    this.#lease = runner.openRead();
    this.#offOver = options.over.onAbort(() => this.#end());
    this.#offHandover = session.handover.onAbort(() => this.#end());
    this.#offAcknowledged = runner.onAcknowledged((position, response) => {
      // Only the response that is named: an acknowledgement from another device of the same user is no sign of life of this one.
      if (response === this.id) this.renew(position);
      else this.#makeRoom(position);
    });
    this.renew(0);
    this.#beatIn(options.heartbeat);
  }

  /**
   * Opens a response. Its first read decides if there is a response at all, or an error instead. If the read is not
   * done when the response ends (the source of the runner does not open), the body is empty.
   * @throws what a read of the runner throws, `RESULT_NOT_SERIALIZABLE`, `ITEM_TOO_LARGE`, `RUNNER_GONE` after a
   *   handover, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`, or the reason of `over`
   * @returns the id, the body, and the end of the response
   */
  static async open(
    runner: RunnerCore,
    session: Session,
    options: SseOptions,
  ): Promise<{ id: string; body: AsyncIterable<string>; ended: Ending }> {
    const { handover } = session;
    const response = new SseResponse(runner, session, options);
    const { id } = response;
    try {
      if (options.over.aborted) throw options.over.reason;
      const first = await response.#open();
      if (handover.aborted) throw handover.reason;
      response.renew(first.start);
      return { id, body: { [Symbol.asyncIterator]: () => response.#parts(first) }, ended: response.ended };
    } catch (error) {
      const { isTimeUp, ended } = response;
      response.#end();
      if (handover.aborted) throw handover.reason;
      if (options.over.aborted) throw options.over.reason;
      if (isTimeUp) return { id, body: { [Symbol.asyncIterator]: noFrames }, ended };
      throw error;
    }
  }

  /** True if the response has ended. */
  get isTimeUp(): boolean {
    return this.#ended.aborted;
  }

  /** The end of the response, even if its client has not drained it. */
  get ended(): Ending {
    return this.#ended;
  }

  /** Everything before `position` has been acknowledged, by any client: there may be room. */
  #makeRoom(position: number): void {
    this.#received = Math.max(this.#received, position);
    this.#onSignOfLife();
  }

  /** A sign of life: the client has received everything before `position`. Restarts the rotation timer. */
  renew(position: number): void {
    if (this.#ended.aborted) return;
    this.#makeRoom(position);
    this.#stopRotation();
    this.#stopRotation = startTimer(this.#options.rotateAfter, () => this.#end());
  }

  /**
   * The parts of the body. `return` ends the response, also if no part has been requested. No error leaves the body:
   * the client's next request gets it as a response with a status.
   */
  #parts(first: Slice<unknown>): AsyncIterator<string, undefined> {
    let latest: Slice<unknown> | undefined;
    const over = { done: true, value: undefined } as const;
    return {
      next: async () => {
        try {
          const read = latest ? await this.#after(latest) : first;
          if (read === "silence") return { done: false, value: sseComment };
          if (read) {
            const part = this.#part(read, latest === undefined);
            latest = read;
            return { done: false, value: typeof part === "string" ? part : await part };
          }
        } catch {
          // The response has ended, or the next item is gone or has no JSON form: the next request gets the error.
        }
        this.#end();
        return over;
      },
      return: async () => {
        this.#end();
        return over;
      },
    };
  }

  /** The next slice after the one written; `undefined` at the end, `"silence"` when a heartbeat is due. */
  #after({
    position,
    closed,
  }: Slice<unknown>): Slice<unknown> | undefined | Promise<Slice<unknown> | "silence" | undefined> {
    if (closed || this.#ended.aborted) return undefined;
    return this.#isAllowanceUsed(position) ? this.#afterSignOfLife(position) : this.#read(position);
  }

  /** Waits until an acknowledgement makes room, then reads on. */
  async #afterSignOfLife(position: number): Promise<Slice<unknown> | "silence" | undefined> {
    for (;;) {
      const sign = this.#nextSignOfLife(); // before the look: a sign that comes during it must not be missed
      if (!(await this.#isHeldBack(position))) break;
      if (!(await sign)) return "silence";
    }
    this.#onSignOfLife(); // removes its listeners
    return this.#ended.aborted ? undefined : this.#read(position);
  }

  /**
   * True if the client must acknowledge something before it gets what follows `position`. False if there is nothing
   * left that an acknowledgement could make room for: the runner was aborted or removed, or everything has been sent.
   */
  async #isHeldBack(position: number): Promise<boolean> {
    if (this.#ended.aborted || this.#runner.removal.aborted) return false;
    const { status, progress, ended, acknowledged } = await this.#runner.logState();
    this.#received = Math.max(this.#received, acknowledged);
    if (this.#ended.aborted || status === "aborted") return false;
    return this.#isAllowanceUsed(position) && !(ended && position >= progress.current);
  }

  /** The text for a slice. A slice that uses up the allowance is still written in full. */
  #part(slice: Slice<unknown>, isFirst: boolean): string | Promise<string> {
    const { position, closed, acknowledged, json } = slice;
    this.#received = Math.max(this.#received, acknowledged);
    if (this.#isAllowanceUsed(position) && !closed && !this.#options.acks) this.#endForReconnect();
    if (!isFirst && json?.count === 0 && !closed) return sseComment;
    return this.#options.form.frame(this.#runner, slice, isFirst ? this.id : undefined);
  }

  /**
   * Waits for an acknowledgement or for the end of the runner or the response.
   * @returns false if the next heartbeat is due first
   */
  #nextSignOfLife(): Promise<boolean> {
    return new Promise((resolve) => {
      const settle = (hasCome: boolean) => {
        stopHeartbeat();
        offFinal();
        offRemoval();
        resolve(hasCome);
      };
      const stopHeartbeat = startTimer(this.#options.heartbeat, () => settle(false));
      const offFinal = onAbort(this.#runner.signal, () => settle(true));
      const offRemoval = onAbort(this.#runner.removal, () => settle(true));
      this.#onSignOfLife = () => settle(true);
    });
  }

  /**
   * The opening read: it acknowledges, by the offset that the client has sent. Only the start of its runner can make it
   * wait; the end of the response cancels that.
   */
  async #open(): Promise<Slice<unknown>> {
    const { start, limits: json } = this.#options;
    const read = this.#runner.read({ start, max: this.#mostItems, mode: "follow", json });
    return isPending(read) ? settledWithin(read, [this.#ended]) : read;
  }

  /**
   * Reads the next slice. It starts where the server has written, which proves nothing about the client: it does not
   * acknowledge.
   */
  #read(start: number): Slice<unknown> | Promise<Slice<unknown>> {
    this.#waitsSince = performance.now();
    const json = this.#options.limits;
    const read = this.#runner.read({ start, min: 1, max: this.#mostItems, mode: "follow", acknowledge: false, json });
    if (!isPending(read)) return read;
    this.#wait = read; // so that a heartbeat or the end can settle it
    return read.settled;
  }

  /**
   * Settles a wait of `heartbeat` ms, so that a comment is written. One timer for all waits: nearly all of them end
   * long before.
   */
  #beatIn(delay: number): void {
    const { heartbeat } = this.#options;
    this.#stopHeartbeat = startTimer(delay, () => {
      const left = this.#waitsSince + heartbeat - performance.now();
      if (left <= 0) this.#wait?.giveUp();
      this.#beatIn(left > 0 ? left : heartbeat);
    });
  }

  /**
   * Maximum number of items in an event. Of a sequence at most a quarter of the allowance, so that the client can
   * acknowledge in between; a process has one value.
   */
  get #mostItems(): number {
    const aheadLimit = aheadLimitOf(this.#runner);
    if (aheadLimit === undefined) return Number.POSITIVE_INFINITY;
    const quarter = Math.max(1, Math.floor(aheadLimit / 4));
    return Math.min(this.#options.maxItems, itemsPerEvent, quarter);
  }

  /** True if `aheadLimit` items before `end` have been sent and not been acknowledged, as far as the response knows. */
  #isAllowanceUsed(end: number): boolean {
    const aheadLimit = aheadLimitOf(this.#runner);
    return aheadLimit !== undefined && end - this.#received >= aheadLimit;
  }

  /**
   * Ends the response when it is old enough for its form: only the client's next request makes room. An
   * acknowledgement before that renews it.
   */
  #endForReconnect(): void {
    const left = this.#options.form.shortestLife - (performance.now() - this.#openedAt);
    this.#stopRotation();
    if (left <= 0) this.#end();
    else this.#stopRotation = startTimer(Math.min(left, this.#options.rotateAfter), () => this.#end());
  }

  /** Ends the response: unpins the runner, and removes every timer and listener. Idempotent. */
  #end(): void {
    this.#stopRotation();
    this.#stopHeartbeat();
    this.#offOver();
    this.#offHandover();
    this.#lease.release();
    this.#onSignOfLife();
    this.#offAcknowledged();
    this.#ended.abort(responseEnded);
    this.#wait?.cancel(responseEnded);
  }
}
