/**
 * A runner: work in the background, a result log and an identity. It starts the work when it is read, stops it, and tells its
 * owner when it is used.
 *
 *     created ──start──▶ running ──▶ background ended ──▶ final          (the log keeps this part)
 *        └──────── abort, or dispose = abort + removal ────┘
 *
 * - **Abort**: the log settles its reads and cuts itself, then the signals fire, then the work is stopped and cleaned up behind.
 * - A disposed runner refuses reads with `RUNNER_GONE`; its abort still answers.
 */

import { abortable, noop } from "../base/async.js";
import { checkInteger } from "../base/check.js";
import type { CleanupSummary, Resource } from "../base/dispose.js";
import { ActiveSessionError } from "../base/error.js";
import type { ItemTally, LogEvents, LogState, ReadRequest, ResultLog, Slice, Wait } from "../log/result-log.js";
import type { AbortReason, RunnerKind, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import type { RunnerDefinition } from "./definition.js";
import { Execution } from "./execution.js";
import { LazySignal } from "./lazy-signal.js";
import type { Producer, RunnerContext } from "./producer.js";
import { onSharedAbort } from "./shared-listener.js";
import type { ReadOptions, RequiredReadOptions, RunnerId, RunnerResult, RunnerState } from "./types.js";

/** What a runner needs of its owner. */
export interface RunnerOwner {
  readonly session: unknown;
  readonly services: unknown;
  readonly sessionId: string;
  readonly generation: number;
  /** How long a clean-up step may take, ms. */
  readonly cleanupTimeout: number;
  /** Counts what the runners of the whole host keep. */
  readonly tally: ItemTally;
  /** Keeps the runner from idling out until `release` has been called as often; both are a use of it. */
  hold(runner: Runner): void;
  release(runner: Runner): void;
  /** As `hold` and `release`, for a read that waits or a response that stays open; throws where there are too many of these. */
  openRead(runner: Runner): void;
  closeRead(runner: Runner): void;
  /** The runner is not to be found any more; its clean-up goes on until `disposal` resolves. */
  remove(runner: Runner, disposal: Promise<CleanupSummary>): void;
  /** The background runs. */
  started(runner: Runner): void;
  /** The status has become final. */
  ended(runner: Runner, state: LogState): void;
  /** The work has failed when its clean-up was over. */
  failedLate(runner: Runner, error: unknown): void;
  /** The work has ended, its source is closed, the holds are released. */
  cleanedUp(runner: Runner, summary: CleanupSummary): void;
}

/** What every runner is made with, resolved. */
export interface RunnerSettings {
  readonly number: number;
  readonly defaultAdvance: number;
  readonly holds: readonly Resource[];
  readonly data: unknown;
  /** What the runner is made from, if it is a defined one. */
  readonly definition: RunnerDefinition | undefined;
}

/** What log and producer tell their runner. */
interface RunnerEvents extends Required<LogEvents> {
  /** The work has thrown something after it was stopped. */
  onLateError(error: unknown): void;
}

/** Tells the runner that is made of them what log and producer tell it; before it is made, nobody hears it. */
export class RunnerLink implements RunnerEvents {
  runner: RunnerEvents | undefined;

  onStarted(): void {
    this.runner?.onStarted();
  }

  onOverflow(error: ActiveSessionError): void {
    this.runner?.onOverflow(error);
  }

  onFinal(): void {
    this.runner?.onFinal();
  }

  onLateError(error: unknown): void {
    this.runner?.onLateError(error);
  }
}

/** What a runner is made of. */
export interface RunnerParts<R> {
  readonly owner: RunnerOwner;
  readonly log: ResultLog<R>;
  readonly producer: Producer;
  readonly settings: RunnerSettings;
  readonly link: RunnerLink;
}

/** A background operation and its results. Made by a session; see `createSequenceRunner` and its siblings. */
export abstract class Runner<R = unknown> implements AsyncDisposable {
  /** What the runner makes. */
  abstract readonly kind: RunnerKind;
  /** The application's own; the library never looks at it. */
  data: unknown;

  readonly #parts: RunnerParts<R>;
  readonly #execution: Execution;
  /** What readers listen to. */
  readonly #finalSignal = new LazySignal();
  readonly #removal = new LazySignal();
  #key: string | undefined;
  #abortReason: AbortReason | undefined;
  #abortCause: unknown;
  #disposal: Promise<CleanupSummary> | undefined;
  #offSignal: () => void = noop;

  /** @internal */
  constructor(parts: RunnerParts<R>) {
    const { owner, producer, settings, link } = parts;
    this.#parts = parts;
    this.data = settings.data;
    this.#execution = new Execution(this, producer, settings.holds, owner.cleanupTimeout);
    link.runner = this;
  }

  // --- who it is and where it stands -------------------------------------------------------------------------------

  /** Which runner this is; for logs. */
  get id(): RunnerId {
    const { number } = this;
    const { sessionId, generation } = this.#parts.owner;
    return { sessionId, generation, number, toString: () => `${sessionId}:${generation}#${number}` };
  }

  /** The runner's external text id, `{number}-{generation}-{sessionId}`, safe in a URL. It gives no permission. */
  get key(): string {
    const { owner, settings } = this.#parts;
    this.#key ??= `${settings.number}-${owner.generation}-${owner.sessionId}`;
    return this.#key;
  }

  /** The runner's number within its session, from 0, never reused. */
  get number(): number {
    return this.#parts.settings.number;
  }

  /** What the runner was made from, if it is a defined one. */
  get definition(): RunnerDefinition | undefined {
    return this.#parts.settings.definition;
  }

  /** The last known status; {@link state} tells the exact one. */
  get status(): RunnerStatus {
    return this.#log.status;
  }

  /** How many positions have been handed out so far: the end of the furthest item. */
  get position(): number {
    return this.#log.current.position;
  }

  /** How many positions have been produced so far, and how many there will be, if known. */
  get progress(): RunnerProgress {
    return this.#log.current.progress;
  }

  /** Whether the background has ended, whether or not its results have been read. */
  get isBackgroundCompleted(): boolean {
    return isBackgroundCompleted(this.#log.current, this.kind, this.#execution.isClosed);
  }

  /** Why the runner failed; only with the status `failed`. */
  get error(): ActiveSessionError | undefined {
    const { status, failure } = this.#log.current;
    return status === "failed" ? failure : undefined;
  }

  /** Why the runner was aborted; only with the status `aborted`. */
  get abortReason(): AbortReason | undefined {
    return this.status === "aborted" ? this.#abortReason : undefined;
  }

  /** Aborts as soon as the status is final, whichever it is. A listener that throws is an uncaught exception, as in Node. */
  get signal(): AbortSignal {
    return this.#finalSignal.signal;
  }

  /** Resolves when the background has ended and its source is closed, whether or not the results have been read. */
  get cleanup(): Promise<CleanupSummary> {
    return this.#execution.closed.promise;
  }

  /** The exact state, also of a runner on another host. */
  async state(): Promise<RunnerState> {
    const state = await this.#log.state();
    return {
      key: this.key,
      ...(this.definition && { name: this.definition.name }),
      kind: this.kind,
      status: state.status,
      position: state.position,
      progress: state.progress,
      isBackgroundCompleted: isBackgroundCompleted(state, this.kind, this.#execution.isClosed),
      ...(state.status === "failed" && state.failure && { error: state.failure }),
      ...(state.status === "aborted" && this.#abortReason && { abortReason: this.#abortReason }),
    };
  }

  // --- reading -----------------------------------------------------------------------------------------------------

  /**
   * Reads what there is, without waiting for more; never starts the runner. If it returns everything and the background
   * still runs, the source gets one turn of the event loop to report its end first.
   * @throws `INVALID_ARGUMENT`, `POSITION_GONE`, `POSITION_AHEAD`, `READ_CONFLICT`, `RUNNER_GONE`
   */
  async getAvailable(options: ReadOptions = {}): Promise<RunnerResult<R>> {
    const { start, max } = this.#range("read what is available", options, Number.POSITIVE_INFINITY);
    this.#checkReadable();
    return toResult(await this.#readHeld({ start, max }));
  }

  /**
   * Waits until as many positions as asked for can be returned, or no more will come; starts the runner if need be. It
   * resolves with what there is when the runner ends, fails or is aborted meanwhile; look at `status`.
   * @throws `INVALID_ARGUMENT`, `POSITION_GONE`, `POSITION_AHEAD`, `READ_CONFLICT`, `RUNNER_GONE`, `RUNNER_START_FAILED`,
   *   or the reason of `signal`
   */
  async getRequired(options: RequiredReadOptions = {}): Promise<RunnerResult<R>> {
    const { start, max } = this.#range("read", options, this.defaultAdvance);
    return toResult(await this.read({ start, min: max, max, signal: options.signal }));
  }

  /**
   * Reads as the request says, starting the runner if need be. Throws or rejects.
   * @internal
   */
  read(request: ReadRequest): Slice<R> | Promise<Slice<R>> {
    this.#checkReadable();
    if (!this.needsStart || this.#isAhead(request)) return this.#readHeld(request);
    return request.min === undefined ? this.#readStarted(request) : this.#readStarting(request);
  }

  /** Whether the log will refuse the read for its start: then there is nothing to be started for it. */
  #isAhead({ start }: ReadRequest): boolean {
    return this.kind === "sequence" && typeof start === "number" && start > this.progress.current;
  }

  /** A read that does not wait for items waits for the start all the same: there is nothing before. */
  async #readStarted(request: ReadRequest): Promise<Slice<R>> {
    request.signal?.throwIfAborted(); // nothing is started for somebody who has gone
    const release = this.hold();
    try {
      await abortable(this.start(), request.signal);
      this.#checkReadable();
      return await this.#log.read(request);
    } finally {
      release();
    }
  }

  /** A read that waits takes its place in the log at once; a start that fails rejects it. */
  #readStarting(request: ReadRequest): Slice<R> | Promise<Slice<R>> {
    if (request.min) request.signal?.throwIfAborted();
    return this.#readHeld(request, true);
  }

  /** Keeps the runner for as long as the read lasts, which mostly is over at once; throws where there are too many that wait. */
  #readHeld(request: ReadRequest, isStarting = false): Slice<R> | Promise<Slice<R>> {
    this.#holdFor(request); // who is refused has started nothing
    let slice: Slice<R> | Promise<Slice<R>> | undefined;
    try {
      if (isStarting) {
        this.start().catch(noop); // the read is told
        this.#checkReadable();
      }
      slice = this.#log.read(request, this);
    } finally {
      if (!(slice instanceof Promise)) this.readSettled(request);
    }
    return slice;
  }

  /** @internal */
  readWaits(wait: Wait): void {
    this.#execution.readWaits(wait);
  }

  #holdFor({ min, passive }: ReadRequest): void {
    const { owner } = this.#parts;
    if (passive) return;
    if (min === undefined) owner.hold(this);
    else owner.openRead(this);
  }

  /** @internal */
  readSettled({ min, passive }: ReadRequest): void {
    const { owner } = this.#parts;
    if (passive) return;
    if (min === undefined) owner.release(this);
    else owner.closeRead(this);
  }

  #range(action: string, { advance, start }: ReadOptions, whenOmitted: number) {
    if (advance !== undefined) checkInteger(action, "advance", advance);
    if (start !== undefined) checkInteger(action, "start", start, { max: Number.MAX_SAFE_INTEGER });
    const exact = this.kind === "process" && start !== undefined;
    const max = advance === 0 ? (exact ? 0 : this.defaultAdvance) : (advance ?? whenOmitted);
    return { start, max };
  }

  #checkReadable(): void {
    if (this.#disposal === undefined) return;
    throw new ActiveSessionError(
      "RUNNER_GONE",
      `Cannot read: the runner must not have been removed, received ${this.key}`,
    );
  }

  // --- starting, aborting, ending ----------------------------------------------------------------------------------

  /**
   * Starts the background, once. Rejects with `RUNNER_START_FAILED` or `INVALID_SOURCE`; the next call tries again then.
   * @internal
   */
  start(): Promise<void> {
    return this.needsStart ? this.#execution.start() : Promise.resolve();
  }

  /**
   * Stops the work. Pending reads resolve with what they have; what has been handed out stays readable, the rest is dropped.
   * A runner whose status is final is left as it is.
   * @param reason becomes the `cause` of the reason that the work's signal aborts with
   * @returns the status that the runner then has
   */
  async abort(reason?: unknown): Promise<RunnerStatus> {
    this.abortFor("stopped", reason);
    return this.status;
  }

  /** @internal */
  abortFor(reason: AbortReason, cause?: unknown): void {
    if (this.#abortReason) return;
    this.#abortReason = reason;
    this.#abortCause = cause;
    if (!this.#log.abort()) {
      this.#abortReason = undefined;
      return;
    }
    this.#execution.stop();
  }

  /** Aborts the runner when `signal` does. @internal */
  follow(signal: AbortSignal | undefined): void {
    if (!signal) return;
    if (signal.aborted) this.abortFor("signal", signal.reason);
    else this.#offSignal = onSharedAbort(signal, () => this.abortFor("signal", signal.reason));
  }

  /** Whether a read has to start the background first, or to wait for a start under way. @internal */
  get needsStart(): boolean {
    return this.#execution.isStarting || this.status === "not-started";
  }

  /** The log takes what the background makes. @internal */
  onStarted(): void {
    this.#parts.owner.started(this);
  }

  /** The log takes no more: the work is told why, and stopped. @internal */
  onOverflow(error: ActiveSessionError): void {
    this.#execution.signal.abort(error);
    this.#execution.stop();
  }

  /** The log's status has become final. @internal */
  onFinal(): void {
    this.#offSignal();
    const { current } = this.#log;
    const { status, failure } = current;
    this.#parts.owner.ended(this, current);
    if (status !== "aborted") {
      this.#finalSignal.abort(failure ?? status);
      return;
    }
    const error = abortError(this.#abortReason, this.#abortCause);
    this.#execution.signal.abort(error);
    this.#finalSignal.abort(error);
  }

  /** The work has thrown something after it was stopped. @internal */
  onLateError(error: unknown): void {
    this.#execution.onLateError(error);
  }

  /** @internal */
  onFailedLate(error: unknown): void {
    this.#parts.owner.failedLate(this, error);
  }

  /** @internal */
  onCleanedUp(summary: CleanupSummary): void {
    this.#parts.owner.cleanedUp(this, summary);
  }

  /** Aborts the runner if it is not final, removes it from its session, and waits for the clean-up and the holds. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose("stopped");
  }

  /** @internal */
  dispose(reason: AbortReason): Promise<CleanupSummary> {
    if (this.#disposal === undefined) {
      this.#disposal = this.#execution.released.promise;
      this.abortFor(reason);
      this.#execution.limitCleanup();
      this.#offSignal();
      this.#log.discard();
      this.#parts.owner.remove(this, this.#disposal);
      this.#removal.abort(undefined);
    }
    return this.#disposal;
  }

  /** What the work is given when it starts. @internal */
  makeContext(): RunnerContext {
    const { owner } = this.#parts;
    const work = this.#execution.signal;
    const name = () => this.id;
    return {
      get id() {
        return name();
      },
      get signal() {
        return work.signal;
      },
      session: owner.session,
      get services() {
        return owner.services;
      },
    };
  }

  get #log(): ResultLog<R> {
    return this.#parts.log;
  }

  // --- for the wire ------------------------------------------------------------------------------------------------

  /** How many positions a read asks for that does not say. @internal */
  get defaultAdvance(): number {
    return this.#parts.settings.defaultAdvance;
  }

  /** How many items the log keeps. @internal */
  get retained(): number {
    return this.#log.size;
  }

  /** From now on the items that it keeps are counted here. @internal */
  countIn(tally: ItemTally): void {
    this.#log.countIn(tally);
  }

  /** @internal */
  get acknowledged(): number {
    return this.#log.acknowledged;
  }

  /** The log's state; taking it is no use of the runner. @internal */
  logState(): Promise<LogState> {
    return this.#log.state();
  }

  /** Acknowledges everything before `position`; it is a use of the runner. @internal */
  async acknowledge(position: number): Promise<void> {
    this.#checkReadable();
    const release = this.hold();
    try {
      await this.#log.acknowledge(position);
    } finally {
      release();
    }
  }

  /** Pins the runner and its session until the returned function is called. @internal */
  hold(): () => void {
    const { owner } = this.#parts;
    owner.hold(this);
    return once(() => owner.release(this));
  }

  /** Aborts when the runner is not to be found any more. @internal */
  get removal(): AbortSignal {
    return this.#removal.signal;
  }

  /** As {@link hold}, for a response that stays open; throws where there are too many. @internal */
  openRead(): () => void {
    const { owner } = this.#parts;
    owner.openRead(this);
    return once(() => owner.closeRead(this));
  }
}

export type { ReadRequest as InternalReadRequest };

/** An aborted sequence has nothing left to produce; an aborted body may still be running. */
function isBackgroundCompleted(state: LogState, kind: RunnerKind, closed: boolean): boolean {
  return kind === "process" && state.outcome === "aborted" ? closed : state.ended;
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    act();
  };
}

function toResult<R>({ result, status, position, error }: Slice<R>): RunnerResult<R> {
  return error ? { result, status, position, error } : { result, status, position };
}

/** The error that stands for an abort: in the work's signal, and where an aborted sequence is iterated. */
export function abortError(reason: AbortReason | undefined, cause?: unknown): ActiveSessionError {
  return new ActiveSessionError(
    "RUNNER_ABORTED",
    `The runner was aborted: ${reason ?? "stopped"}`,
    cause === undefined ? {} : { cause },
  );
}
