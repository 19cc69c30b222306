import { isAbort, noop } from "../base/async.js";
import type { CleanupSummary } from "../base/dispose.js";
import { ActiveSessionError } from "../base/error.js";
import type { Lease } from "../base/lease.js";
import type {
  AbortResult,
  ItemTally,
  LogState,
  PendingRead,
  ReadRequest,
  ResultLog,
  Slice,
} from "../log/result-log.js";
import type { AbortReason, RunnerKind, RunnerPhase, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import { contextOf } from "./context.js";
import type { RunnerDefinition } from "./definition.js";
import { Execution } from "./execution.js";
import { LazySignal } from "./lazy-signal.js";
import type { RunnerContext } from "./producer.js";
import type { Runner } from "./runner.js";
import type { PartEvents, RunnerParts } from "./runner-link.js";
import { RunnerReader } from "./runner-reader.js";
import { abortError, isBackgroundCompleted, phaseOf, workStateOf } from "./runner-state.js";
import { onSharedAbort } from "./shared-listener.js";
import type { ReadOptions, RequiredReadOptions, RunnerId, RunnerResult, RunnerState } from "./types.js";

/** See {@link RunnerCore.onAcknowledged}. */
type AcknowledgementCallback = (position: number, response: string | undefined) => void;

/**
 * The runner as sessions and routes use it: a {@link Runner}, which tells the order of things, with the members that applications do not
 * see. It joins a log, which has the results, and an execution, which has the work.
 */
export abstract class RunnerCore<R = unknown> implements Runner<R>, PartEvents {
  abstract readonly kind: RunnerKind;
  data: unknown;

  readonly #parts: RunnerParts<R>;
  readonly #execution: Execution;
  readonly #reader: RunnerReader<R>;
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
  /** The result of every further abort, once the status is final. */
  #lastAbort: AbortResult | undefined;
  /** Set once the runner is disposed. */
  #disposal: Promise<CleanupSummary> | undefined;
  /** Created with the first {@link onAcknowledged}. */
  #onAcknowledged: Set<AcknowledgementCallback> | undefined;
  /** Stops following the application's signal. */
  #offSignal: () => void = noop;

  /** Use `createSequence` and `createProcess`. */
  constructor(parts: RunnerParts<R>) {
    const { owner, producer, settings, link } = parts;
    this.#parts = parts;
    this.data = settings.data;
    this.#execution = new Execution(this, producer, settings.holds, owner.cleanupTimeout);
    this.#reader = new RunnerReader(this, parts.log, this.#execution);
    link.runner = this;
  }

  // --- identity and state ------------------------------------------------------------------------------------------

  get id(): RunnerId {
    const { number } = this;
    const { sessionId, generation } = this.#parts.owner;
    return { sessionId, generation, number, toString: () => `${sessionId}:${generation}#${number}` };
  }

  get key(): string {
    const { owner, settings } = this.#parts;
    this.#key ??= `${settings.number}-${owner.generation}-${owner.sessionId}`;
    return this.#key;
  }

  get number(): number {
    return this.#parts.settings.number;
  }

  get definition(): RunnerDefinition | undefined {
    return this.#parts.settings.definition;
  }

  get label(): string | undefined {
    return this.#parts.settings.label;
  }

  get status(): RunnerStatus {
    return this.#log.status;
  }

  get phase(): RunnerPhase {
    return phaseOf(this.#log.current);
  }

  get position(): number {
    return this.#log.current.position;
  }

  get progress(): RunnerProgress {
    return this.#log.current.progress;
  }

  get isBackgroundCompleted(): boolean {
    return isBackgroundCompleted(this.#log.current, this.kind, this.#execution.isClosed);
  }

  get error(): ActiveSessionError | undefined {
    const { status, failure } = this.#log.current;
    return status === "failed" ? failure : undefined;
  }

  get abortReason(): AbortReason | undefined {
    const { status, abortReason } = this.#log.current;
    return status === "aborted" ? abortReason : undefined;
  }

  get signal(): AbortSignal {
    return this.#finalSignal.signal;
  }

  get cleanup(): Promise<CleanupSummary> {
    return this.#execution.closed.promise;
  }

  async state(): Promise<RunnerState> {
    const state = await this.#log.state();
    return {
      key: this.key,
      ...(this.definition && { name: this.definition.name }),
      ...(this.label !== undefined && { label: this.label }),
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

  /** The log's state. Does not reset the idle timer. */
  logState(): Promise<LogState> {
    return this.#log.state();
  }

  /** How far the work was at the moment of a slice. */
  workAt(slice: Slice<unknown>): Pick<RunnerState, "phase" | "isBackgroundCompleted"> {
    const state = workStateOf(slice);
    return {
      phase: phaseOf(state),
      isBackgroundCompleted: isBackgroundCompleted(state, this.kind, this.#execution.isClosed),
    };
  }

  /** How many positions a read asks for by default. */
  get defaultAdvance(): number {
    return this.#parts.settings.defaultAdvance;
  }

  /** How many items the log keeps. */
  get retained(): number {
    return this.#log.size;
  }

  /** Counts the kept items in another tally from now on; called when the session is confirmed. */
  countIn(tally: ItemTally): void {
    this.#log.countIn(tally);
  }

  // --- reading -----------------------------------------------------------------------------------------------------

  getAvailable(options?: ReadOptions): Promise<RunnerResult<R>> {
    return this.#reader.getAvailable(options);
  }

  getRequired(options?: RequiredReadOptions): Promise<RunnerResult<R>> {
    return this.#reader.getRequired(options);
  }

  /** See {@link RunnerReader.read}. */
  read(request: ReadRequest): Slice<R> | PendingRead<R> {
    return this.#reader.read(request);
  }

  /**
   * Acknowledges everything before `position`, and tells the responses that follow. Counts as a use of the runner.
   * @param response the response that the client names, as the one that has brought it this far
   * @throws `POSITION_AHEAD` if the position has not been handed out, `RUNNER_GONE`
   */
  async acknowledge(position: number, response?: string): Promise<void> {
    this.checkReadable();
    const lease = this.hold();
    try {
      await this.#log.acknowledge(position);
    } finally {
      lease.release();
    }
    if (this.#onAcknowledged) for (const tell of [...this.#onAcknowledged]) tell(position, response);
  }

  /**
   * Calls back after each acknowledgement by a client, on whatever connection it has come.
   * @param callback gets the position, and the id of the response that the client has named, if any. Must not throw
   * @returns removes the callback
   */
  onAcknowledged(callback: AcknowledgementCallback): () => void {
    this.#onAcknowledged ??= new Set();
    const callbacks = this.#onAcknowledged.add(callback);
    return () => callbacks.delete(callback);
  }

  /** Suspends the idle time-outs of runner and session. */
  hold(): Lease {
    return this.#parts.owner.hold(this);
  }

  /**
   * As {@link hold}, for a read that may wait, or a response that stays open.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  openRead(): Lease {
    return this.#parts.owner.openRead(this);
  }

  /** Call it before a read. @throws `RUNNER_GONE` once the runner is disposed */
  checkReadable(): void {
    if (this.#disposal === undefined) return;
    throw new ActiveSessionError(
      "RUNNER_GONE",
      `Cannot read: the runner must not have been removed, received ${this.key}`,
    );
  }

  get #log(): ResultLog<R> {
    return this.#parts.log;
  }

  // --- starting, aborting, ending ----------------------------------------------------------------------------------

  /** True if a read has to start the background first, or to wait for a pending start. */
  get needsStart(): boolean {
    return this.#execution.needsStart && this.#abortCause === none && !this.#log.current.ended;
  }

  /**
   * Starts the background, once. After a failure the next call tries again.
   * @returns `undefined` if nothing is to be waited for
   * @throws (rejects with) `RUNNER_START_FAILED`, `INVALID_SOURCE`
   */
  start(): Promise<void> | undefined {
    return this.needsStart ? this.#execution.start() : undefined;
  }

  async abort(reason?: unknown): Promise<RunnerStatus> {
    const { state } = await this.abortFor("stopped", reason);
    return state.status;
  }

  /**
   * Aborts, as far as {@link ResultLog.abort} has an effect. When the result is there, the work's signal has fired, and the owner has
   * been told of the end, even if it has not been read yet.
   * @returns the result: directly where the log decides by itself
   */
  abortFor(reason: AbortReason, cause?: unknown): AbortResult | Promise<AbortResult> {
    if (this.#lastAbort) return this.#lastAbort;
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

  /** Aborts the runner, with the reason `signal`, when `signal` aborts or if it has aborted already. */
  follow(signal: AbortSignal | undefined): void {
    if (!signal) return;
    const abort = () => void this.abortFor("signal", signal.reason);
    if (signal.aborted) abort();
    else this.#offSignal = onSharedAbort(signal, abort);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose("stopped");
  }

  /** Disposes the runner with the given reason. Idempotent; every call returns the same promise. */
  dispose(reason: AbortReason): Promise<CleanupSummary> {
    if (this.#disposal === undefined) {
      const released = this.#execution.released.promise;
      this.#disposal = released; // before any code of the application runs
      const aborting = this.abortFor(reason);
      if (aborting instanceof Promise) this.#disposal = aborting.then(() => this.#discard()).then(() => released);
      else this.#discard();
      this.#parts.owner.removed(this, this.#disposal);
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

  /** Aborts when the runner is removed from its session. */
  get removal(): AbortSignal {
    return this.#removal.signal;
  }

  // --- events of log, producer and execution -----------------------------------------------------------------------

  /** The log has been started by its producer. */
  onStarted(): void {
    this.#parts.owner.started(this);
  }

  /** The log is full and has failed the runner: stops the work, with the error as its signal's reason. */
  onOverflow(error: ActiveSessionError): void {
    this.#execution.signal.abort(error);
    this.#execution.stop();
  }

  /** The log's status has become final: informs the owner, then fires the signals. */
  onFinal(state: LogState): void {
    this.#offSignal();
    this.#lastAbort = { hasEffect: false, state };
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

  /** The work has thrown after it was stopped: it is expected to throw the signal's reason, or an `AbortError`. */
  onErrorAfterStop(error: unknown): void {
    if (!isAbort(error, this.#execution.signal)) this.onLateError(error);
  }

  /** See {@link ProducerEvents}. */
  onLateError(error: unknown): void {
    this.#execution.onLateError(error);
  }

  /** See {@link RunnerObserver.failedLate}. */
  onFailedLate(error: unknown): void {
    this.#parts.owner.failedLate(this, error);
  }

  /** See {@link RunnerObserver.cleanedUp}. */
  onCleanedUp(summary: CleanupSummary): void {
    this.#parts.owner.cleanedUp(this, summary);
  }

  makeContext(): RunnerContext {
    return contextOf(this, this.#parts.owner, this.#execution.signal);
  }
}

/** No abort has been asked for; any value may be its cause. */
const none = Symbol("none");
