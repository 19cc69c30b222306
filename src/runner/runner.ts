import { endingOf, isAbort, noop } from "../base/async.js";
import { checkInteger } from "../base/check.js";
import type { CleanupSummary, Resource } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { LogFactory } from "../log/log-factory.js";
import { settledWithin } from "../log/pending-read.js";
import {
  type AbortResult,
  type ItemTally,
  isPending,
  type LogEvents,
  type LogState,
  type PendingRead,
  type ReadRequest,
  type ResultLog,
  type Slice,
} from "../log/result-log.js";
import type { AbortReason, RunnerKind, RunnerPhase, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import type { RunnerDefinition } from "./definition.js";
import { Execution } from "./execution.js";
import { HeldRead } from "./held-read.js";
import { LazySignal } from "./lazy-signal.js";
import type { Producer, RunnerContext } from "./producer.js";
import { onSharedAbort } from "./shared-listener.js";
import { StartingRead } from "./starting-read.js";
import type { ReadOptions, RequiredReadOptions, RunnerId, RunnerResult, RunnerState } from "./types.js";

/** The owner of a runner: provides its surroundings, counts its uses, and receives its events. In practice, a session. */
export interface RunnerOwner {
  /** The session, for the work's context. */
  readonly session: unknown;
  /** The session's services, for the work's context; created at first use. */
  readonly services: unknown;
  /** Part of the runner's key. */
  readonly sessionId: string;
  /** The session's generation; part of the runner's key. */
  readonly generation: number;
  /** Time limit of each clean-up step, in ms. */
  readonly cleanupTimeout: number;
  /** Makes the logs of new runners. */
  readonly logs: LogFactory;
  /** Counts the items that the runners of many sessions keep. */
  readonly tally: ItemTally;
  /** Suspends the idle time-out of the runner until `release` has been called as often. Both count as a use. */
  hold(runner: Runner): void;
  /** Undoes one `hold`. */
  release(runner: Runner): void;
  /**
   * As `hold`, for a waiting read or an open response.
   * @throws `CLIENT_LIMIT_REACHED` or `SERVER_LIMIT_REACHED`; nothing is held then
   */
  openRead(runner: Runner): void;
  /** Undoes one `openRead`. */
  closeRead(runner: Runner): void;
  /** The runner has been disposed and must not be found any more. Its clean-up goes on until `disposal` resolves. */
  remove(runner: Runner, disposal: Promise<CleanupSummary>): void;
  /** The background has started. */
  started(runner: Runner): void;
  /** The work has been aborted, or its status has become final. Called once; `state.status` is how it has ended. */
  ended(runner: Runner, state: LogState): void;
  /** The work or a clean-up step has failed after the clean-up was over. */
  failedLate(runner: Runner, error: unknown): void;
  /** The work has ended (or its closing timed out), and the holds are released. */
  cleanedUp(runner: Runner, summary: CleanupSummary): void;
}

/** Resolved options of a runner of either kind. */
export interface RunnerSettings {
  /** The runner's number within its session. */
  readonly number: number;
  /** How many positions a read asks for by default. */
  readonly defaultAdvance: number;
  /** Resources to release, in reverse order, after the runner's clean-up. */
  readonly holds: readonly Resource[];
  /** The initial value of `data`. */
  readonly data: unknown;
  /** The definition that the runner is made from, if any. */
  readonly definition: RunnerDefinition | undefined;
}

/** The events of a runner's log and producer. */
interface RunnerEvents extends Required<LogEvents> {
  /** See {@link ProducerEvents}. */
  onErrorAfterStop(error: unknown): void;
  /** See {@link ProducerEvents}. */
  onLateError(error: unknown): void;
}

/**
 * Forwards the events of log and producer to their runner. Both are made before the runner is; until then events are dropped.
 */
export class RunnerLink implements RunnerEvents {
  /** Set by the runner's constructor. */
  runner: RunnerEvents | undefined;

  onStarted(): void {
    this.runner?.onStarted();
  }

  onOverflow(error: ActiveSessionError): void {
    this.runner?.onOverflow(error);
  }

  onFinal(state: LogState): void {
    this.runner?.onFinal(state);
  }

  onErrorAfterStop(error: unknown): void {
    this.runner?.onErrorAfterStop(error);
  }

  onLateError(error: unknown): void {
    this.runner?.onLateError(error);
  }
}

/** The parts that a runner is composed of. */
export interface RunnerParts<R> {
  readonly owner: RunnerOwner;
  /** Holds the results, and the positions of reading. */
  readonly log: ResultLog<R>;
  /** Fills the log. */
  readonly producer: Producer;
  readonly settings: RunnerSettings;
  /** Receives the events of log and producer. */
  readonly link: RunnerLink;
}

/**
 * A background operation and its results. Made by a session; see `createSequenceRunner` and its siblings.
 *
 *     created ──start──▶ running ──▶ background ended ──▶ final          (the log keeps this part)
 *        └──────── abort, or dispose = abort + removal ────┘
 *
 * - A runner starts when it is created, or with its first read other than `getAvailable`.
 * - Order of an abort: the log settles its reads and drops what was not handed out, the signals fire, the work is stopped, the
 *   clean-up runs in the background.
 * - A disposed runner refuses reads with `RUNNER_GONE`. Its `abort` still resolves.
 *
 * @example
 * const runner = await session.createSequenceRunner(search(text));
 * const first = await runner.getRequired({ advance: 20 });
 * const next = await runner.getRequired({ start: first.position, advance: 20 });
 * if (next.status === "progressed") await runner.abort();
 */
export abstract class Runner<R = unknown> implements AsyncDisposable {
  /** `sequence` or `process`. */
  abstract readonly kind: RunnerKind;
  /** Arbitrary data of the application; the library does not read it. */
  data: unknown;

  readonly #parts: RunnerParts<R>;
  readonly #execution: Execution;
  /** Behind the public {@link signal}. */
  readonly #finalSignal = new LazySignal();
  /** Behind {@link removal}. */
  readonly #removal = new LazySignal();
  /** Created at first use. */
  #key: string | undefined;
  /** The argument of the first `abort`, or the reason of a followed signal. */
  #abortCause: unknown = none;
  /** True once the owner has been told of the end. */
  #isEndTold = false;
  /** Set once the runner is disposed. */
  #disposal: Promise<CleanupSummary> | undefined;
  /** Stops following the application's signal. */
  #offSignal: () => void = noop;

  /** Made by `createSequence` and `createProcess`. @internal */
  constructor(parts: RunnerParts<R>) {
    const { owner, producer, settings, link } = parts;
    this.#parts = parts;
    this.data = settings.data;
    this.#execution = new Execution(this, producer, settings.holds, owner.cleanupTimeout);
    link.runner = this;
  }

  // --- identity and state ------------------------------------------------------------------------------------------

  /** Identifies the runner; for logs. */
  get id(): RunnerId {
    const { number } = this;
    const { sessionId, generation } = this.#parts.owner;
    return { sessionId, generation, number, toString: () => `${sessionId}:${generation}#${number}` };
  }

  /** The runner's external id, `{number}-{generation}-{sessionId}`, safe in a URL. Knowing it grants no access. */
  get key(): string {
    const { owner, settings } = this.#parts;
    this.#key ??= `${settings.number}-${owner.generation}-${owner.sessionId}`;
    return this.#key;
  }

  /** The runner's number within its session: from 0, never reused. */
  get number(): number {
    return this.#parts.settings.number;
  }

  /** The definition that the runner was created from, if any. */
  get definition(): RunnerDefinition | undefined {
    return this.#parts.settings.definition;
  }

  /** The last known status; {@link state} returns the exact one. */
  get status(): RunnerStatus {
    return this.#log.status;
  }

  /** How far the work itself is, also if its results have not been read: `starting`, `running`, or how it ended. */
  get phase(): RunnerPhase {
    return phaseOf(this.#log.current);
  }

  /** How many positions have been handed out so far: the end of the furthest item. */
  get position(): number {
    return this.#log.current.position;
  }

  /** How many positions have been produced so far, and the expected total if it is known. */
  get progress(): RunnerProgress {
    return this.#log.current.progress;
  }

  /** True if the background has ended, even if its results have not been read. */
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
    const { status, abortReason } = this.#log.current;
    return status === "aborted" ? abortReason : undefined;
  }

  /**
   * Aborts as soon as the status is final, be it `completed`, `failed` or `aborted`. The reason is the error, or the text
   * `"completed"`. As always in Node, an error in a listener becomes an uncaught exception.
   */
  get signal(): AbortSignal {
    return this.#finalSignal.signal;
  }

  /**
   * Resolves when the background has ended and its source is closed (or that has timed out), even if the results have not been read.
   * Never rejects: errors are in the summary.
   */
  get cleanup(): Promise<CleanupSummary> {
    return this.#execution.closed.promise;
  }

  /** Returns the exact state. Not a read and not a use of the runner: nothing moves, idle timers included. */
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
      phase: phaseOf(state),
      ...(state.paused && { paused: true as const }),
      ...(state.status === "failed" && state.failure && { error: state.failure }),
      ...(state.status === "aborted" && state.abortReason && { abortReason: state.abortReason }),
    };
  }

  // --- reading -----------------------------------------------------------------------------------------------------

  /**
   * Reads what is available, without waiting for more. Never starts the runner. If the result reaches the tail while the background
   * runs, the source gets one turn of the event loop to report its end first.
   * @throws `INVALID_ARGUMENT` for an option out of range, `POSITION_GONE` if `start` is no longer kept, `POSITION_AHEAD` if `start` of
   *   a sequence lies beyond its progress, `READ_CONFLICT` if another read at the default position is pending, `RUNNER_GONE` if the
   *   runner has been removed
   */
  async getAvailable(options: ReadOptions = {}): Promise<RunnerResult<R>> {
    const { start, max } = this.#range("read what is available", options, Number.POSITIVE_INFINITY);
    this.#checkReadable();
    const read = this.#readHeld({ start, max });
    return toResult(isPending(read) ? await settledWithin(read, []) : read);
  }

  /**
   * Waits until the requested number of positions is available, or no more will come. Starts the runner if need be. If the runner
   * ends, fails or is aborted meanwhile, or `timeout` is up, the read resolves with what there is; check `status`.
   * @throws the errors of {@link getAvailable}, `RUNNER_START_FAILED` or `INVALID_SOURCE` if the start fails, `CLIENT_LIMIT_REACHED`
   *   or `SERVER_LIMIT_REACHED` if too many reads are open, or the reason of `signal`
   */
  async getRequired(options: RequiredReadOptions = {}): Promise<RunnerResult<R>> {
    const { start, max } = this.#range("read", options, this.defaultAdvance);
    const { signal, timeout } = options;
    checkTimeout(timeout);
    const request = { start, min: max, max };
    if (signal?.aborted) return toResult(await this.#readUnlessWaiting(request, signal));
    const read = this.read(request);
    if (!isPending(read)) return toResult(read);
    const endings = signal ? [endingOf(signal)] : [];
    return toResult(await settledWithin(read, endings, timeout === never ? undefined : timeout));
  }

  /**
   * A read whose signal has aborted before the call: it succeeds if it need not wait, and otherwise acknowledges nothing.
   * @throws the reason of the signal, or the errors of the log
   */
  async #readUnlessWaiting(request: ReadRequest & { readonly min: number }, signal: AbortSignal): Promise<Slice<R>> {
    this.#checkReadable();
    const { start, min } = request;
    if (this.needsStart && min > 0) throw signal.reason;
    const { position, progress, ended } = this.#log.current;
    const isReached = ended || (typeof start === "number" ? start : position) + min <= progress.current;
    const read = isReached ? this.read(request) : this.#readHeld({ ...request, acknowledge: false });
    if (!isPending(read)) return read;
    if (!isReached) read.cancel(signal.reason);
    read.giveUp(); // has no effect, unless the log is elsewhere and another reader was faster
    return settledWithin(read, []);
  }

  /**
   * Reads as a log does, starting the runner if need be: the slice, where the log has it at hand.
   * @throws (or rejects with) the errors of {@link getRequired}
   * @internal
   */
  read(request: ReadRequest): Slice<R> | PendingRead<R> {
    this.#checkReadable();
    if (!this.needsStart) return this.#readHeld(request);
    if (request.min !== undefined) return this.#readHeld(request, true);
    // Even a read that does not wait for items waits for the start: before it there is nothing to read.
    return new StartingRead(this.#startFor(request), this.hold(), () => {
      this.#checkReadable();
      return this.#readHeld(request);
    });
  }

  /** Starts the work, unless the read lies beyond what there is: the log then refuses it. */
  async #startFor(request: ReadRequest): Promise<void> {
    if (this.#mayBeAhead(request)) {
      const { progress } = await this.#log.state();
      if ((request.start as number) > progress.current) return;
    }
    await this.start();
  }

  /** True if the log may refuse the read with `POSITION_AHEAD`: then the work is not started for it. */
  #mayBeAhead({ start }: ReadRequest): boolean {
    return this.kind === "sequence" && typeof start === "number" && start > 0;
  }

  /**
   * Holds the runner until the read settles.
   * @param isStarting starts the work, too. The read is registered in the log before the first item arrives; a failed start
   *   rejects it
   */
  #readHeld(request: ReadRequest, isStarting = false): Slice<R> | PendingRead<R> {
    const mayBeRefused = this.#mayBeAhead(request);
    this.#holdFor(request); // checks the limits, hence before the start
    let read: Slice<R> | PendingRead<R> | undefined;
    try {
      if (isStarting && !mayBeRefused) {
        this.start().catch(noop); // the error rejects the read
        this.#checkReadable();
      }
      read = this.#log.read(request);
      if (isStarting && mayBeRefused) this.start().catch(noop);
    } finally {
      if (!read || !isPending(read)) this.#releaseFrom(request);
    }
    if (!isPending(read)) return read;
    if (request.min !== undefined) this.#execution.readWaits(read);
    return request.mode === "follow" ? read : new HeldRead(read, () => this.#releaseFrom(request));
  }

  /** A read that follows holds nothing, one that may wait counts against the limits, every other one is a plain use. */
  #holdFor({ min, mode }: ReadRequest): void {
    const { owner } = this.#parts;
    if (mode === "follow") return;
    if (min === undefined) owner.hold(this);
    else owner.openRead(this);
  }

  /** Undoes the hold of a read. */
  #releaseFrom({ min, mode }: ReadRequest): void {
    const { owner } = this.#parts;
    if (mode === "follow") return;
    if (min === undefined) owner.release(this);
    else owner.closeRead(this);
  }

  /** Checks the options of a read and resolves the defaults. `max` 0 is possible for a process only: the exact point `start`. */
  #range(action: string, { advance, start }: ReadOptions, whenOmitted: number) {
    if (advance !== undefined) checkInteger(action, "advance", advance);
    if (start !== undefined) checkInteger(action, "start", start, { max: Number.MAX_SAFE_INTEGER });
    const exact = this.kind === "process" && start !== undefined;
    const max = advance === 0 ? (exact ? 0 : this.defaultAdvance) : (advance ?? whenOmitted);
    return { start, max };
  }

  /** @throws `RUNNER_GONE` once the runner is disposed */
  #checkReadable(): void {
    if (this.#disposal === undefined) return;
    throw new ActiveSessionError(
      "RUNNER_GONE",
      `Cannot read: the runner must not have been removed, received ${this.key}`,
    );
  }

  // --- starting, aborting, ending ----------------------------------------------------------------------------------

  /**
   * Starts the background, once. After a failure the next call tries again.
   * @throws `RUNNER_START_FAILED`, `INVALID_SOURCE`
   * @internal
   */
  start(): Promise<void> {
    return this.needsStart ? this.#execution.start() : Promise.resolve();
  }

  /**
   * Stops the work. Pending reads resolve with what they have. Items that have been handed out stay readable, the rest of a sequence
   * is dropped; a process keeps its newest value. No effect on a runner whose status is final. Does not wait for the clean-up.
   * @param reason becomes the `cause` of the error that the work's signal aborts with
   * @returns the status after the call: `aborted`, or the final status that the runner already had
   */
  async abort(reason?: unknown): Promise<RunnerStatus> {
    const { state } = await this.abortFor("stopped", reason);
    return state.status;
  }

  /**
   * Aborts, as far as {@link ResultLog.abort} has an effect. When the result is there, the work's signal has fired, and the owner has
   * been told of the end, even if it has not been read yet.
   * @returns the result: directly where the log decides by itself
   * @internal
   */
  abortFor(reason: AbortReason, cause?: unknown): AbortResult | Promise<AbortResult> {
    const isFirst = this.#abortCause === none; // set before the log is aborted, since code of its items may abort again
    if (isFirst) this.#abortCause = cause;
    const result = this.#log.abort(reason);
    if (result instanceof Promise) return result.then((late) => this.#onAborted(late, isFirst));
    return this.#onAborted(result, isFirst);
  }

  /** The log has answered to an abort: its reads are settled, and it is cut. Now the work's signal fires. */
  #onAborted(result: AbortResult, isFirst: boolean): AbortResult {
    const { hasEffect, state } = result;
    if (hasEffect) {
      this.#tellEnd(state);
      if (!this.#execution.signal.aborted) this.#execution.signal.abort(this.#abortError(state.abortReason));
      this.#execution.stop();
    } else if (isFirst) this.#abortCause = none;
    return result;
  }

  /** Tells the owner of the end, once. */
  #tellEnd(state: LogState): void {
    if (this.#isEndTold) return;
    this.#isEndTold = true;
    const isFinal = state.outcome === undefined || state.status === state.outcome;
    this.#parts.owner.ended(this, isFinal ? state : { ...state, status: state.outcome });
  }

  /** The error that the signals of an aborted runner abort with. */
  #abortError(reason: AbortReason | undefined): Error {
    return abortError(reason, this.#abortCause === none ? undefined : this.#abortCause);
  }

  /** Aborts the runner, with the reason `signal`, when `signal` aborts or if it has aborted already. @internal */
  follow(signal: AbortSignal | undefined): void {
    if (!signal) return;
    const abort = () => void this.abortFor("signal", signal.reason);
    if (signal.aborted) abort();
    else this.#offSignal = onSharedAbort(signal, abort);
  }

  /** True if a read has to start the background first, or to wait for a pending start. @internal */
  get needsStart(): boolean {
    return this.#execution.needsStart && this.#abortCause === none && !this.#log.current.ended;
  }

  /** The log has been started by its producer. @internal */
  onStarted(): void {
    this.#parts.owner.started(this);
  }

  /** The log is full and has failed the runner: stops the work, with the error as its signal's reason. @internal */
  onOverflow(error: ActiveSessionError): void {
    this.#execution.signal.abort(error);
    this.#execution.stop();
  }

  /** The log's status has become final: informs the owner, then fires the signals. @internal */
  onFinal(state: LogState): void {
    this.#offSignal();
    const { status, failure, abortReason } = state;
    this.#tellEnd(state);
    if (status !== "aborted") {
      this.#finalSignal.abort(failure ?? status);
      return;
    }
    const error = this.#abortError(abortReason);
    this.#execution.signal.abort(error);
    this.#finalSignal.abort(error);
  }

  /** The work has thrown after it was stopped: it is expected to throw the signal's reason, or an `AbortError`. @internal */
  onErrorAfterStop(error: unknown): void {
    if (!isAbort(error, this.#execution.signal)) this.onLateError(error);
  }

  /** See {@link ProducerEvents}. @internal */
  onLateError(error: unknown): void {
    this.#execution.onLateError(error);
  }

  /** The work or a clean-up step has failed after the clean-up was over. @internal */
  onFailedLate(error: unknown): void {
    this.#parts.owner.failedLate(this, error);
  }

  /** The clean-up is over, holds included. @internal */
  onCleanedUp(summary: CleanupSummary): void {
    this.#parts.owner.cleanedUp(this, summary);
  }

  /**
   * Aborts the runner if it is not final, removes it from its session, and resolves when the clean-up is over and the holds are
   * released.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose("stopped");
  }

  /** Disposes the runner with the given reason. Idempotent; every call returns the same promise. @internal */
  dispose(reason: AbortReason): Promise<CleanupSummary> {
    if (this.#disposal === undefined) {
      const released = this.#execution.released.promise;
      this.#disposal = released; // before any code of the application runs
      const aborting = this.abortFor(reason);
      if (aborting instanceof Promise) this.#disposal = aborting.then(() => this.#discard()).then(() => released);
      else this.#discard();
      this.#parts.owner.remove(this, this.#disposal);
      this.#removal.abort(undefined);
    }
    return this.#disposal;
  }

  /** After the abort of a disposal: nothing of the runner will be read any more. */
  #discard(): void {
    // Also where the log has ended before, and the abort had no effect: a producer of the application may wait to be stopped.
    if (!this.#execution.isClosed) this.#execution.stop();
    this.#offSignal();
    this.#log.discard();
  }

  /**
   * Makes the work's context. Its getters create the id, the signal and the services only when the work asks for them.
   * @internal
   */
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

  // --- for the HTTP routes and the session -------------------------------------------------------------------------

  /** How many positions a read asks for by default. @internal */
  get defaultAdvance(): number {
    return this.#parts.settings.defaultAdvance;
  }

  /** How many items the log keeps. @internal */
  get retained(): number {
    return this.#log.size;
  }

  /** Counts the kept items in another tally from now on; called when the session is confirmed. @internal */
  countIn(tally: ItemTally): void {
    this.#log.countIn(tally);
  }

  /** How far the work was at the moment of a slice. @internal */
  workAt({ status, outcome }: Slice<unknown>): Pick<RunnerState, "phase" | "isBackgroundCompleted"> {
    const state = { outcome, started: status !== "not-started", ended: outcome !== undefined };
    return {
      phase: phaseOf(state),
      isBackgroundCompleted: isBackgroundCompleted(state, this.kind, this.#execution.isClosed),
    };
  }

  /** The log's state. Does not reset the idle timer. @internal */
  logState(): Promise<LogState> {
    return this.#log.state();
  }

  /**
   * Acknowledges everything before `position`. Counts as a use of the runner.
   * @throws `POSITION_AHEAD` if the position has not been handed out, `RUNNER_GONE`
   * @internal
   */
  async acknowledge(position: number): Promise<void> {
    this.#checkReadable();
    const release = this.hold();
    try {
      await this.#log.acknowledge(position);
    } finally {
      release();
    }
  }

  /** Suspends the idle time-outs of runner and session until the returned function is called; more calls of it do nothing. @internal */
  hold(): () => void {
    const { owner } = this.#parts;
    owner.hold(this);
    return once(() => owner.release(this));
  }

  /** Aborts when the runner is removed from its session. @internal */
  get removal(): AbortSignal {
    return this.#removal.signal;
  }

  /**
   * As {@link hold}, for a response that stays open.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   * @internal
   */
  openRead(): () => void {
    const { owner } = this.#parts;
    owner.openRead(this);
    return once(() => owner.closeRead(this));
  }
}

/** How far the work is. */
type WorkState = Pick<LogState, "started" | "ended"> & { readonly outcome?: LogState["outcome"] | undefined };

function phaseOf({ outcome, started }: WorkState): RunnerPhase {
  return outcome ?? (started ? "running" : "starting");
}

/** An aborted process counts as completed only when its body has settled: it may ignore the abort. An aborted sequence always does. */
function isBackgroundCompleted(state: WorkState, kind: RunnerKind, closed: boolean): boolean {
  return kind === "process" && state.outcome === "aborted" ? closed : state.ended;
}

/** Makes a function that calls `act` the first time only. */
function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    act();
  };
}

/** The public part of a slice. */
function toResult<R>({ result, status, position, error }: Slice<R>): RunnerResult<R> {
  return error ? { result, status, position, error } : { result, status, position };
}

/** No abort has been asked for; any value may be its cause. */
const none = Symbol("none");

/** Makes the `RUNNER_ABORTED` error: the reason of the signals, and the error of iterating an aborted sequence. */
export function abortError(reason: AbortReason | undefined, cause?: unknown): ActiveSessionError {
  return new ActiveSessionError(
    "RUNNER_ABORTED",
    `The runner was aborted: ${reason ?? "stopped"}`,
    cause === undefined ? {} : { cause },
  );
}

const never = Number.POSITIVE_INFINITY;

/** Throws `INVALID_ARGUMENT` unless it is `undefined` or a number of milliseconds, 0 and `Infinity` included. */
function checkTimeout(timeout: unknown): void {
  if (timeout === undefined || (typeof timeout === "number" && timeout >= 0)) return;
  throw new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot read: the timeout must be a number of milliseconds of at least 0, received ${describe(timeout)}`,
  );
}
