/**
 * A live response as Server-Sent Events: follows a runner from an offset on, and decides when it has lived long enough.
 *
 *     open ──the runner is closed, or the next item is gone──▶ last frame ──written──▶ closed
 *       └──no sign of life for `rotateAfter`, or the allowance is used up (*) (**)──▶ ended ──▶ closed
 *       └──the client has gone, or the session has another owner──▶ closed
 *
 * - **open**: pins the runner. The body waits at the log and writes what lies there as one data and one control event.
 * - A connection alone is no sign of life; an acknowledgement that names the response is. The rotation timer and the allowance work
 *   whatever the body does, also while it waits for a client that does not drain.
 * - (*) A client that says it acknowledges (`acks=true`) is waited for instead: its acknowledgement is on the way, and
 *   without one the rotation timer ends the response as it would end an idle one. An abort is told at once.
 * - (**) Not before it has lived for as long as its form asks.
 * - **ended**: pins nothing any more; `ended` has fired, which tells the adapter not to wait either.
 * - **closed**: timers and listeners are gone. Nothing is lost: the client comes back with its own offset.
 */
import { randomUUID } from "node:crypto";
import { noop, onAbort, startTimer } from "../base/async.js";
import { ActiveSessionError } from "../base/error.js";
import type { Wait } from "../log/result-log.js";
import { sseComment } from "../protocol/sse.js";
import { LazySignal } from "../runner/lazy-signal.js";
import type { Runner } from "../runner/runner.js";
import { aheadLimitOf } from "../runner/sequence-runner.js";
import type { ActiveSession } from "../session/active-session.js";
import { type EncodedSlice, type PageLimits, readEncoded } from "./encode.js";
import type { SseForm } from "./sse-form.js";

/** At most so many items are written in one event. */
const itemsPerEvent = 100;
/** How one response is to be written. */
export interface SseOptions {
  /** Where it starts. */
  readonly start: number | "tail";
  readonly maxItems: number;
  /** Of one event. */
  readonly limits: PageLimits;
  readonly form: SseForm;
  /** The client acknowledges: when its allowance is used up, the response waits for that instead of ending. */
  readonly acks: boolean;
  /** A comment is written when nothing else has been for so long, ms. */
  readonly heartbeat: number;
  /** The response ends so long after its last sign of life, ms. */
  readonly rotateAfter: number;
  /** Aborts when the client has gone. */
  readonly signal: AbortSignal;
}

/** Only we see it; one of its own for each response would cost as much as a part of it. */
const responseEnded = new ActiveSessionError("RUNNER_GONE", "The response has ended");

async function* noFrames(): AsyncGenerator<string, void, undefined> {}

/** Where a runner has its open responses by their ids, for the acknowledgements that arrive on other connections. */
const openResponses = Symbol.for("active-session.responses");

type Followed = Runner & { [openResponses]?: Map<string, SseResponse> };

/**
 * Tells the open responses of a runner of an acknowledgement. The one that it names is renewed; of the others, those that wait for room
 * look whether there is some now.
 */
export function tellResponses(runner: Followed, position: number, id: string | undefined): void {
  const responses = runner[openResponses];
  if (!responses) return;
  if (id !== undefined) responses.get(id)?.renew(position);
  for (const response of responses.values()) response.lookForRoom();
}

/** See the top of the file. */
export class SseResponse {
  /** Unguessable: it renews the response. */
  readonly id = randomUUID();
  readonly #runner: Followed;
  readonly #options: SseOptions;
  readonly #ended = new LazySignal();
  readonly #openedAt = performance.now();
  readonly #release: () => void;
  /** The allowance counts from here: where the response began, or what a client has acknowledged since. */
  #received = 0;
  #offSignal: () => void = noop;
  #offHandover: () => void = noop;
  #stopRotation: () => void = noop;
  #stopHeartbeat: () => void = noop;
  /** The latest read that had to wait, and since when. */
  #wait: Wait | undefined;
  #waitsSince = 0;
  #onSignOfLife: () => void = noop;

  private constructor(runner: Runner, session: ActiveSession, options: SseOptions) {
    this.#runner = runner;
    this.#options = options;
    this.#release = runner.openRead();
    this.#offSignal = onAbort(options.signal, () => this.#end());
    this.#offHandover = onAbort(session.handover, () => this.#end());
    this.#runner[openResponses] ??= new Map();
    this.#runner[openResponses].set(this.id, this);
    this.renew(0);
    this.#beatIn(options.heartbeat);
  }

  /**
   * Opens a response: its first read decides whether there is one at all. If that takes too long (the runner's source does
   * not open), the response ends like any other, without a word.
   * @throws what a read of the runner throws, and `RESULT_NOT_SERIALIZABLE`
   */
  static async open(
    runner: Runner,
    session: ActiveSession,
    options: SseOptions,
  ): Promise<{ id: string; body: AsyncIterable<string>; ended: AbortSignal }> {
    const { handover } = session;
    const response = new SseResponse(runner, session, options);
    const { id } = response;
    try {
      if (options.signal.aborted) throw options.signal.reason;
      const first = await response.#read(options.start, true);
      handover.throwIfAborted();
      response.renew(first.slice.start);
      return { id, body: { [Symbol.asyncIterator]: () => response.#parts(first) }, ended: response.ended };
    } catch (error) {
      const { isTimeUp, ended } = response;
      response.#end();
      if (handover.aborted) throw handover.reason;
      if (isTimeUp && !options.signal.aborted) return { id, body: { [Symbol.asyncIterator]: noFrames }, ended };
      throw error;
    }
  }

  /** Whether it has ended by itself. */
  get isTimeUp(): boolean {
    return this.#ended.aborted;
  }

  /** Aborts when the response is to be ended, whatever its client does. */
  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  /** What another response's client has acknowledged may have made room for this one. */
  lookForRoom(): void {
    this.#onSignOfLife();
  }

  /** A sign of life of its client, which has received everything before `position`: it may go on for another `rotateAfter`. */
  renew(position: number): void {
    if (this.#ended.aborted) return;
    this.#received = Math.max(this.#received, position);
    this.#onSignOfLife();
    this.#stopRotation();
    this.#stopRotation = startTimer(this.#options.rotateAfter, () => this.#end());
  }

  /** The body's parts. Closing them ends the response also when none has been asked for. */
  #parts(first: EncodedSlice): AsyncIterator<string, undefined> {
    let latest: EncodedSlice | undefined;
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
          // Ended, the next item is gone or cannot be encoded: whichever it is, the client's next request gets the answer.
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

  /** What there is after what was written, once there is something; nothing at the end. */
  #after(written: EncodedSlice): EncodedSlice | undefined | Promise<EncodedSlice | "silence" | undefined> {
    const { position, closed } = written.slice;
    if (closed || this.#ended.aborted) return undefined;
    return this.#isHeldBack(position) ? this.#afterSignOfLife(written) : this.#read(position, false);
  }

  async #afterSignOfLife(written: EncodedSlice): Promise<EncodedSlice | "silence" | undefined> {
    do {
      if (!(await this.#nextSignOfLife())) return "silence";
    } while (!this.#ended.aborted && this.#isHeldBack(written.slice.position));
    return this.#after(written);
  }

  /** Whether the client has to acknowledge something before it gets what is after `position`. */
  #isHeldBack(position: number): boolean {
    return this.#isAllowanceUsed(position) && !this.#isOver(position);
  }

  #part(read: EncodedSlice, isFirst: boolean): string | Promise<string> {
    const { position, closed } = read.slice;
    if (this.#isAllowanceUsed(position) && !closed && !this.#options.acks) this.#endForReconnect();
    if (!isFirst && read.isEmpty && !closed) return sseComment;
    return this.#options.form.frame(this.#runner, read, isFirst ? this.id : undefined);
  }

  /** Whether nothing that an acknowledgement could make room for will follow. */
  #isOver(position: number): boolean {
    const { status, progress, removal, isBackgroundCompleted } = this.#runner;
    return status === "aborted" || removal.aborted || (isBackgroundCompleted && position >= progress.current);
  }

  /** Whether an acknowledgement, the runner's or the response's end comes before the next heartbeat is due. */
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

  /** The opening read takes what is there and acknowledges; the later ones wait, and acknowledge nothing. */
  #read(start: number | "tail", isOpening: boolean): EncodedSlice | Promise<EncodedSlice> {
    const max = this.#mostItems;
    const { limits } = this.#options;
    if (isOpening) return readEncoded(this.#runner, { start, max, passive: true, signal: this.ended }, limits);
    this.#waitsSince = performance.now();
    const waiting = { start, min: 1, max, passive: true, acknowledge: false, eager: true, onWait: this.#onWait };
    return readEncoded(this.#runner, waiting, limits);
  }

  readonly #onWait = (wait: Wait): void => {
    this.#wait = wait;
  };

  /** Ends a wait of `heartbeat`, for a comment to be written. One timer for all waits: nearly every one is over long before. */
  #beatIn(delay: number): void {
    const { heartbeat } = this.#options;
    this.#stopHeartbeat = startTimer(delay, () => {
      const left = this.#waitsSince + heartbeat - performance.now();
      if (left <= 0) this.#wait?.giveUp();
      this.#beatIn(left > 0 ? left : heartbeat);
    });
  }

  /** A process has one value. Of a sequence, some events must fit into the allowance, for the client to acknowledge between. */
  get #mostItems(): number {
    const aheadLimit = aheadLimitOf(this.#runner);
    if (aheadLimit === undefined) return Number.POSITIVE_INFINITY;
    const quarter = Math.max(1, Math.floor(aheadLimit / 4));
    return Math.min(this.#options.maxItems, itemsPerEvent, quarter);
  }

  /** Whether as many items have been sent here, and not been acknowledged since, as a client may leave unacknowledged. */
  #isAllowanceUsed(end: number): boolean {
    const aheadLimit = aheadLimitOf(this.#runner);
    return aheadLimit !== undefined && end - Math.max(this.#runner.acknowledged, this.#received) >= aheadLimit;
  }

  /** Room will come with the client's next request only, unless it acknowledges before that. */
  #endForReconnect(): void {
    const left = this.#options.form.shortestLife - (performance.now() - this.#openedAt);
    this.#stopRotation();
    if (left <= 0) this.#end();
    else this.#stopRotation = startTimer(Math.min(left, this.#options.rotateAfter), () => this.#end());
  }

  /** From here on the response pins nothing, and no timer or listener of it is left. */
  #end(): void {
    this.#stopRotation();
    this.#stopHeartbeat();
    this.#offSignal();
    this.#offHandover();
    this.#release();
    this.#onSignOfLife();
    this.#runner[openResponses]?.delete(this.id);
    this.#ended.abort(responseEnded);
    this.#wait?.cancel(responseEnded);
  }
}
