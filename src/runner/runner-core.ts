import { isAbort, noop } from "../base/async.js";
import type { CleanupSummary } from "../base/dispose.js";
import { ActiveSessionError } from "../base/error.js";
import type { Lease } from "../base/lease.js";
import type { AbortResult, ItemTally, LogState, PendingRead, ReadRequest, Slice } from "../log/result-log.js";
import { cuts } from "../log/status.js";
import type { AbortReason, FinalStatus, RunnerStatus } from "../protocol/types.js";
import { type Acknowledgement, type AcknowledgementCallback, Acknowledgements } from "./acknowledgements.js";
import { contextOf } from "./context.js";
import { Execution } from "./execution.js";
import { LazySignal } from "./lazy-signal.js";
import type { RunnerContext } from "./producer.js";
import type { Runner } from "./runner.js";
import type { PartEvents, RunnerParts } from "./runner-link.js";
import { RunnerReader } from "./runner-reader.js";
import { abortError, describeRunner, isBackgroundCompleted, isFinal, phaseOf, workStateOf } from "./runner-state.js";
import { onSharedAbort } from "./shared-listener.js";
import { ToldRunner } from "./told-runner.js";
import type { ReadOptions, RequiredReadOptions, RunnerResult, RunnerState } from "./types.js";

/**
 * The runner as sessions and routes use it: a {@link Runner}, which tells the order of things, with the members that applications do not
 * see. It joins a log, which has the results, and an execution, which has the work.
 */
export abstract class RunnerCore<R = unknown> extends ToldRunner<R> implements Runner<R>, PartEvents {
  data: unknown;

  readonly #execution: Execution;
  readonly #reader: RunnerReader<R>;
  #acknowledged: Acknowledgements | undefined;
  /** Behind the public {@link signal}. */
  readonly #finalSignal = new LazySignal();
  /** Behind {@link removal}. */
  readonly #removal = new LazySignal();
  /** The argument of the first `abort`, or the reason of a followed signal. */
  #abortCause: unknown = none;
  /** True once the owner has been told of the end. */
  #isEndTold = false;
  #isStopTold = false;
  /** The result of every further abort, once the status is final. */
  #lastAbort: AbortResult | undefined;
  /** Set once the runner is disposed. */
  #disposal: Promise<CleanupSummary> | undefined;
  /** Stops following the application's signal. */
  #offSignal: () => void = noop;

  /** Use `createSequence` and `createProcess`. */
  constructor(parts: RunnerParts<R>) {
    super(parts);
    const { owner, producer, settings, link } = parts;
    this.data = settings.data;
    this.#execution = new Execution(this, producer, settings.holds, owner.cleanupTimeout);
    this.#reader = new RunnerReader(this, parts.log, this.#execution);
    link.runner = this;
  }

  // --- identity and state ------------------------------------------------------------------------------------------

  get isBackgroundCompleted(): boolean {
    return isBackgroundCompleted(this.log.current, this.kind, this.#execution.isClosed);
  }

  get signal(): AbortSignal {
    return this.#finalSignal.signal;
  }

  get cleanup(): Promise<CleanupSummary> {
    return this.#execution.closed.promise;
  }

  async state(): Promise<RunnerState> {
    const state = await this.log.state();
    return describeRunner(this, state, this.#execution.isClosed);
  }

  /** The log's state. Does not reset the idle timer. */
  logState(): Promise<LogState> {
    return this.log.state();
  }

  /** How far the work was at the moment of a slice. */
  workAt(slice: Slice<unknown>): Pick<RunnerState, "phase" | "isBackgroundCompleted"> {
    const state = workStateOf(slice);
    return {
      phase: phaseOf(state),
      isBackgroundCompleted: isBackgroundCompleted(state, this.kind, this.#execution.isClosed),
    };
  }

  /** The user has seen the end of the work. */
  endSeen(): void {
    this.parts.owner.endSeen(this);
  }

  /** How many positions a read asks for by default. */
  get defaultAdvance(): number {
    return this.parts.settings.defaultAdvance;
  }

  /** How many items the log keeps. */
  get retained(): number {
    return this.log.size;
  }

  /** Counts the kept items in another tally from now on; called when the session is confirmed. */
  countIn(tally: ItemTally): void {
    this.log.countIn(tally);
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
   * See {@link Acknowledgements.acknowledge}. Counts as a use of the runner.
   * @throws `POSITION_AHEAD`, `RUNNER_GONE`
   */
  async acknowledge(position: number, said?: Acknowledgement): Promise<void> {
    this.checkReadable();
    const lease = this.hold();
    try {
      await this.#acknowledgements.acknowledge(position, said);
      if (said?.closed) this.endSeen();
    } finally {
      lease.release();
    }
  }

  /** See {@link Acknowledgements.onEach}. */
  onAcknowledged(callback: AcknowledgementCallback): () => void {
    return this.#acknowledgements.onEach(callback);
  }

  /** Suspends the idle time-outs of runner and session. */
  hold(): Lease {
    return this.parts.owner.hold(this);
  }

  /**
   * As {@link hold}, for a read that may wait, or a response that stays open.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  openRead(): Lease {
    return this.parts.owner.openRead(this);
  }

  /** Call it before a read. @throws `RUNNER_GONE` once the runner is disposed */
  checkReadable(): void {
    if (this.#disposal === undefined) return;
    throw new ActiveSessionError(
      "RUNNER_GONE",
      `Cannot read: the runner must not have been removed, received ${this.key}`,
    );
  }

  /** Created with the first client that acknowledges, or wants to know. */
  get #acknowledgements(): Acknowledgements {
    this.#acknowledged ??= new Acknowledgements(this.log);
    return this.#acknowledged;
  }

  // --- starting, aborting, ending ----------------------------------------------------------------------------------

  /** True if the work waits for its first read. */
  get isUnbegun(): boolean {
    return this.needsStart && !this.#execution.isStarting;
  }

  /** True if a read has to start the background first, or to wait for a pending start. */
  get needsStart(): boolean {
    return this.#execution.needsStart && this.#abortCause === none && !this.log.current.ended;
  }

  /**
   * Starts the background, once. After a failure the next call tries again.
   * @returns `undefined` if nothing is to be waited for
   * @throws (rejects with) `RUNNER_START_FAILED`, `INVALID_SOURCE`
   */
  start(): Promise<void> | undefined {
    return this.needsStart ? this.#execution.start() : undefined;
  }

  /**
   * Starts the background with the creation, unless it has been aborted. A source that takes its time is opened behind it: if that fails,
   * the work has failed.
   * @throws `RUNNER_START_FAILED`, `INVALID_SOURCE` for what fails in this step
   */
  begin(): void {
    if (this.needsStart) this.#execution.begin();
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
    const result = this.log.abort(reason);
    if (result instanceof Promise) return result.then((late) => this.#onAborted(late, isFirst));
    return this.#onAborted(result, isFirst);
  }

  /** The log has answered to an abort: its reads are settled, and it is cut. Now the work's signal fires. */
  #onAborted(result: AbortResult, isFirst: boolean): AbortResult {
    const { hasEffect, state } = result;
    if (hasEffect) {
      if (state.abortReason !== undefined && cuts(state.abortReason)) this.endSeen(); // it was asked for
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
    const { outcome } = state;
    this.parts.owner.ended(this, isFinal(state) || !outcome ? state : { ...state, status: outcome });
  }

  /** The error that the signals of an aborted runner abort with. */
  #abortError(reason: AbortReason | undefined): Error {
    return abortError(reason, this.#abortCause === none ? undefined : this.#abortCause);
  }

  /** Aborts the runner, with the reason `signal`, when `signal` aborts or if it has aborted already. */
  follow(signal: AbortSignal | undefined): void {
    if (!signal) return;
    const abort = async () => {
      try {
        await this.abortFor("signal", signal.reason);
      } catch {
        await this.dispose("signal"); // its log refuses the abort
      }
    };
    if (signal.aborted) void abort();
    else this.#offSignal = onSharedAbort(signal, () => void abort());
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
      if (aborting instanceof Promise) this.#disposal = this.#discardAfter(aborting, reason).then(() => released);
      else this.#discard();
      this.parts.owner.removed(this, this.#disposal);
      this.#removal.abort(undefined);
    }
    return this.#disposal;
  }

  /** A log that refuses the abort is given up, too. */
  async #discardAfter(aborting: Promise<AbortResult>, reason: AbortReason): Promise<void> {
    try {
      await aborting;
    } catch (error) {
      this.onLateError(error);
      const aborted = this.#abortError(reason);
      this.#execution.signal.abort(aborted);
      this.#finalSignal.abort(aborted);
    }
    this.#discard();
  }

  /**
   * No one has used the runner for too long: aborts its work; what that has found can still be read. A runner whose log refuses the abort
   * is removed.
   */
  async abortIdle(): Promise<void> {
    const aborting = this.abortFor("idle");
    this.onEnded("aborted"); // whatever the log answers, and whenever
    if (aborting instanceof Promise) await aborting.catch(() => this.dispose("idle"));
  }

  /** After the abort of a disposal: nothing of the runner will be read any more. */
  #discard(): void {
    // Also where the log has ended before, and the abort had no effect: a producer of the application may wait to be stopped.
    if (!this.#execution.isClosed) this.#execution.stop();
    this.#offSignal();
    this.log.discard();
  }

  /** Aborts when the runner is removed from its session. */
  get removal(): AbortSignal {
    return this.#removal.signal;
  }

  // --- events of log, producer and execution -----------------------------------------------------------------------

  /** The log has been started by its producer. */
  onStarted(): void {
    this.parts.owner.started(this);
  }

  /** The log is full and has failed the runner: stops the work, with the error as its signal's reason. */
  onOverflow(error: ActiveSessionError): void {
    this.onBroken(error);
  }

  /** See {@link ProducerEvents}. The cause is the reason of the work's signal. */
  onBroken(cause: unknown): void {
    this.#execution.signal.abort(cause);
    this.#execution.stop();
  }

  /** Tells the owner of an end that came before the runner was there. */
  catchUp(): void {
    const { earlyEnd } = this.parts.link;
    if (earlyEnd) this.onEnded(earlyEnd);
  }

  /** The work has ended; its results can be read. */
  onEnded(outcome: FinalStatus): void {
    this.parts.owner.workEnded(this, outcome);
    if (outcome !== "aborted") this.onStopped(); // by itself; a custom producer may wait to be stopped before it is closed
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

  /** See {@link RunnerObserver.workStopped}. */
  onStopped(): void {
    if (this.#isStopTold) return;
    this.#isStopTold = true;
    this.parts.owner.workStopped();
  }

  /** See {@link RunnerObserver.startFailed}. */
  onStartFailed(): void {
    this.parts.owner.startFailed(this);
  }

  /** See {@link RunnerObserver.failedLate}. */
  onFailedLate(error: unknown): void {
    this.parts.owner.failedLate(this, error);
  }

  /** See {@link RunnerObserver.cleanedUp}. */
  onCleanedUp(summary: CleanupSummary): void {
    this.parts.owner.cleanedUp(this, summary);
  }

  makeContext(): RunnerContext {
    return contextOf(this, this.parts.owner, this.#execution.signal);
  }
}

/** No abort has been asked for; any value may be its cause. */
const none = Symbol("none");
