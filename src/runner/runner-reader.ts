import { endingOf, noop } from "../base/async.js";
import type { Lease } from "../base/lease.js";
import { settledWithin } from "../log/pending-read.js";
import { isPending, type PendingRead, type ReadRequest, type ResultLog, type Slice } from "../log/result-log.js";
import type { Execution } from "./execution.js";
import { HeldRead } from "./held-read.js";
import { checkTimeout, type ReadDefaults, rangeOf } from "./read-options.js";
import { toResult } from "./runner-state.js";
import { StartingRead } from "./starting-read.js";
import type { ReadOptions, RequiredReadOptions, RunnerResult } from "./types.js";

/** The runner as its {@link RunnerReader} sees it. */
export interface ReadableRunner extends ReadDefaults {
  /** True if a read has to start the work first, or to wait for a pending start. */
  readonly needsStart: boolean;
  /** Starts the work, unless that has been done. Rejects with the error of a failed start; `undefined`: nothing to wait for. */
  start(): Promise<void> | undefined;
  /** @throws `RUNNER_GONE` once the runner is disposed */
  checkReadable(): void;
  /** Suspends the idle time-outs of runner and session. */
  hold(): Lease;
  /** The user has seen the end of the work. */
  endSeen(): void;
  /** As `hold`, counted against the limits. @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED` */
  openRead(): Lease;
}

/**
 * Reads a runner: starts the work where it has to, and holds the runner while the read waits.
 *
 *     checked ──▶ held ──started, where needed──▶ at the log ──settled or cancelled──▶ released
 */
export class RunnerReader<R> {
  readonly #runner: ReadableRunner;
  readonly #log: ResultLog<R>;
  readonly #execution: Execution;

  constructor(runner: ReadableRunner, log: ResultLog<R>, execution: Execution) {
    this.#runner = runner;
    this.#log = log;
    this.#execution = execution;
  }

  /** See {@link Runner.getAvailable}, and the errors there. */
  async getAvailable(options: ReadOptions = {}): Promise<RunnerResult<R>> {
    const { start, max } = rangeOf(this.#runner, "read what is available", options, Number.POSITIVE_INFINITY);
    this.#runner.checkReadable();
    const read = this.#readHeld({ start, max });
    return this.#resultOf(isPending(read) ? await settledWithin(read, []) : read);
  }

  /** See {@link Runner.getRequired}, and the errors there. */
  async getRequired(options: RequiredReadOptions = {}): Promise<RunnerResult<R>> {
    const { start, max } = rangeOf(this.#runner, "read", options, this.#runner.defaultAdvance);
    const { signal } = options;
    const timeout = checkTimeout(options.timeout);
    const request = { start, min: max, max };
    if (signal?.aborted) return this.#resultOf(await this.#readUnlessWaiting(request, signal));
    const isStarting = this.#runner.needsStart;
    if (signal || timeout !== undefined || (isStarting && this.#mayBeRefused(request))) {
      const read = this.read(request);
      if (!isPending(read)) return this.#resultOf(read);
      return this.#resultOf(await settledWithin(read, signal ? [endingOf(signal)] : [], timeout));
    }
    // Nothing can cancel it: that takes fewer objects.
    this.#runner.checkReadable();
    const lease = this.#runner.openRead();
    try {
      const read = this.#begin(request, isStarting);
      if (!isPending(read)) return this.#resultOf(read);
      const slice = await read.settled;
      read.take();
      return this.#resultOf(slice);
    } finally {
      lease.release();
    }
  }

  #resultOf(slice: Slice<R>): RunnerResult<R> {
    if (slice.closed) this.#runner.endSeen();
    return toResult(slice);
  }

  /**
   * A read whose signal has aborted before the call: it succeeds if it need not wait, and otherwise acknowledges nothing.
   * @throws the reason of the signal, or the errors of the log
   */
  async #readUnlessWaiting(request: ReadRequest & { readonly min: number }, signal: AbortSignal): Promise<Slice<R>> {
    this.#runner.checkReadable();
    const { start, min } = request;
    if (this.#runner.needsStart && min > 0) throw signal.reason;
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
   */
  read(request: ReadRequest): Slice<R> | PendingRead<R> {
    this.#runner.checkReadable();
    if (!this.#runner.needsStart) return this.#readHeld(request);
    if (request.min !== undefined && !this.#mayBeRefused(request)) return this.#readHeld(request, true);
    // Even a read that does not wait for items waits for the start: before it there is nothing to read. One that may be refused waits for
    // the log to say so, and then starts nothing.
    return new StartingRead(this.#startFor(request), this.#runner.hold(), () => {
      this.#runner.checkReadable();
      return this.#readHeld(request);
    });
  }

  /** Starts the work, unless the read lies beyond what there is: the log then refuses it. */
  async #startFor(request: ReadRequest): Promise<void> {
    if (this.#mayBeAhead(request)) {
      const { progress } = await this.#log.state();
      if ((request.start as number) > progress.current) return;
    }
    await this.#runner.start();
  }

  /** True if the work is not to be started for the read before the log has said that it is not ahead. A pending start goes on anyway. */
  #mayBeRefused(request: ReadRequest): boolean {
    return !this.#execution.isStarting && this.#mayBeAhead(request);
  }

  /** True if the log may refuse the read with `POSITION_AHEAD`. */
  #mayBeAhead({ start }: ReadRequest): boolean {
    return this.#runner.kind === "sequence" && typeof start === "number" && start > 0;
  }

  /** Holds the runner until the read settles. See {@link #begin}. */
  #readHeld(request: ReadRequest, isStarting = false): Slice<R> | PendingRead<R> {
    const lease = this.#leaseFor(request); // checks the limits, hence before the start
    let read: Slice<R> | PendingRead<R> | undefined;
    try {
      read = this.#begin(request, isStarting);
    } finally {
      if (!read || !isPending(read)) lease?.release();
    }
    return lease && isPending(read) ? new HeldRead(read, lease) : read;
  }

  /**
   * Begins the read at the log.
   * @param isStarting starts the work, too. The read is registered in the log before the first item arrives; a failed start
   *   rejects it
   */
  #begin(request: ReadRequest, isStarting: boolean): Slice<R> | PendingRead<R> {
    if (isStarting) {
      this.#runner.start()?.catch(noop); // the error rejects the read
      this.#runner.checkReadable();
    }
    const read = this.#log.read(request);
    if (isPending(read) && request.min !== undefined) this.#execution.readWaits(read);
    return read;
  }

  /** A read that follows holds nothing, one that may wait counts against the limits, every other one is a plain use. */
  #leaseFor({ min, mode }: ReadRequest): Lease | undefined {
    if (mode === "follow") return undefined;
    return min === undefined ? this.#runner.hold() : this.#runner.openRead();
  }
}
