import { createDeferred, type Deferred, isThenable } from "../base/async.js";
import type { CleanupSummary } from "../base/dispose.js";
import { isSliceOver, nextSlice } from "../base/event-loop.js";
import type { SequenceSink } from "../log/sequence-sink.js";
import { checkEstimate, type ProducerEvents, type RunnerContext, type StartedProducer } from "./producer.js";
import {
  discardSource,
  type OpenSource,
  openSource,
  type SequenceContext,
  type SequenceSource,
  type Source,
  type SourcePoint,
} from "./source.js";
import { startFailed } from "./start-failed.js";

/**
 * How many items an async source may deliver between two looks at the clock. A look costs as much as half an item, so the number
 * doubles from look to look, up to the maximum, and starts again when a time slice is over. It starts small, so that a source with
 * slow items cannot overrun its slice by much.
 */
const itemsBeforeLook = 16;
const mostBeforeLook = 256;

/**
 * The producer of a sequence runner: opens the source, moves its items into the log, one step at a time, and closes it.
 *
 *     idle ──start──▶ opening ──▶ pumping ──the source ends or throws──▶ closing ──▶ closed
 *       └─────────────stop──┴───────┴──────────────────────────────────────┘
 *
 * - The source is asked for an item only after the previous one is in the log. It is asked before there is room for the item: a
 *   source that has no more items can then report its end although the log is full.
 * - `stop` does not wait for a pending step: an async source is closed at once, and its late item is ignored. A synchronous source
 *   is closed by the pump, because `stop` may have been called from inside the source itself.
 * - After `stop` the log is not touched. The source is closed exactly once, on every path.
 */
export class SequenceProducer<T> implements StartedProducer {
  /** The log; not to be touched after the stop. */
  readonly #sink: SequenceSink<T>;
  /** In ms, for each step of closing. */
  readonly #closeTimeout: number;
  readonly #closed = createDeferred<CleanupSummary>();
  /** Resolves at `stop`: releases a start that waits for its source, and a pump that waits for a promised item. */
  #stopping: Deferred<void> | undefined;
  /** Receives errors after the stop. */
  readonly #events: ProducerEvents;
  /** Until the source is open; then it is released for the garbage collector. */
  #source: SequenceSource<T> | undefined;
  /** Set when pumping begins. A source that is opened during a stop is closed without it. */
  #open: OpenSource<T> | undefined;
  /** `closing` is entered once, by `stop` or by the source's end, and never left. */
  #state: "idle" | "opening" | "pumping" | "closing" = "idle";
  /** True while the async pump waits for room or for its time slice: then no step of the source is pending. */
  #isResting = false;

  /**
   * Does not touch the source.
   * @param closeTimeout ms for each step of closing the source
   * @param events receives errors of the source after the stop, and of its closing after the time-out
   */
  constructor(sink: SequenceSink<T>, source: SequenceSource<T>, closeTimeout: number, events: ProducerEvents) {
    this.#sink = sink;
    this.#source = source;
    this.#closeTimeout = closeTimeout;
    this.#events = events;
  }

  /** Resolves when the source is closed, or was discarded without having been opened. */
  get closed(): Promise<CleanupSummary> {
    return this.#closed.promise;
  }

  /**
   * Opens the source and starts to pump. A failure leaves the producer idle; a stop meanwhile resolves the start.
   * @param once see {@link StartedProducer.start}
   * @returns a promise only where the source is promised
   * @throws (or rejects with) `RUNNER_START_FAILED`, `INVALID_SOURCE`
   */
  start(context: RunnerContext, once: boolean): Promise<void> | undefined {
    if (this.#state !== "idle") return undefined;
    this.#state = "opening";
    let made: Source<T> | PromiseLike<Source<T>>;
    try {
      // In this very step, so that a synchronous error is an error of the start.
      made = typeof this.#source === "function" ? this.#source(this.#withTotal(context)) : this.#source!;
      if (isThenable(made)) return this.#openLater(made, once);
    } catch (cause) {
      this.#failStart(cause, undefined);
      return undefined;
    }
    this.#openAndPump(made);
    return undefined;
  }

  /** As {@link #openAndPump}, for a promised source. */
  async #openLater(made: PromiseLike<Source<T>>, once: boolean): Promise<void> {
    let source: Source<T> | void;
    try {
      source = await this.#unlessStopped(made);
    } catch (cause) {
      this.#failStart(cause, undefined, once);
      return;
    }
    if (this.#isStopped()) this.#discard(made);
    else this.#openAndPump(source as Source<T>, once); // undefined only after a stop, see #unlessStopped
  }

  /** From here on errors of the source are failures of the runner, not of the start. */
  #openAndPump(source: Source<T>, once = false): void {
    if (this.#isStopped()) {
      this.#discard(source);
      return;
    }
    let open: OpenSource<T>;
    try {
      open = openSource(source); // runs code of the source, which may stop the runner
    } catch (cause) {
      this.#failStart(cause, source, once);
      return;
    }
    if (this.#isStopped()) {
      this.#close(open, "between");
      return;
    }
    this.#open = open;
    this.#source = undefined;
    this.#state = "pumping";
    this.#sink.start();
    void (open.isAsync ? this.#pumpAsync(open) : this.#pumpSync(open));
  }

  /**
   * A start has failed: the next try calls the function again. A source that was passed as an object is kept for it.
   * @param opened the source, if there is one
   * @param isLast there is no next try: the work has failed
   * @throws `RUNNER_START_FAILED`, `INVALID_SOURCE`, unless the runner has been stopped, or the work has failed
   */
  #failStart(cause: unknown, opened: Source<T> | undefined, isLast = false): void {
    if (isLast) this.#finish(() => this.#sink.fail(cause));
    if (this.#isStopped()) {
      this.#discard(opened);
      return;
    }
    this.#state = "idle";
    if (typeof this.#source === "function") void discardSource(opened, this.#closeTimeout, this.#tellLate);
    throw startFailed(cause);
  }

  /** Adds `total` to a context, which each start makes for itself. After a stop it has no effect. */
  #withTotal(context: RunnerContext): SequenceContext {
    const total = (count: number | undefined) => {
      checkEstimate("set the total", "it", count);
      if (!this.#isStopped()) this.#sink.total(count);
    };
    return Object.assign(context, { total });
  }

  /**
   * Awaits a promised source; resolves with `undefined` if the runner is stopped first. The source function may have stopped the
   * runner before it returned, hence the check.
   */
  #unlessStopped(made: PromiseLike<Source<T>>): Promise<Source<T> | void> {
    this.#stopping = createDeferred();
    if (this.#isStopped()) this.#stopping.resolve();
    return Promise.race([made, this.#stopping.promise]);
  }

  /** Awaits a promise among the items of a synchronous source, as `for await` does. A stop does not wait for it. */
  #settled(item: PromiseLike<unknown>): Promise<unknown> {
    this.#stopping = createDeferred();
    return Promise.race([item, this.#stopping.promise]);
  }

  /** Closes an async source at once, leaves a synchronous one to the pump, and discards a source that is not open. */
  stop(): void {
    const state = this.#state;
    if (state === "closing") return;
    this.#state = "closing";
    this.#stopping?.resolve();
    if (state === "idle") this.#discard(typeof this.#source === "function" ? undefined : this.#source);
    // While it rests no step is pending, and the iterator can be closed before the source is disposed.
    if (this.#open?.isAsync) this.#close(this.#open, this.#isResting ? "between" : "stepping");
  }

  /** A method, so that the compiler does not narrow the state over an await. Also true once the source has ended. */
  #isStopped(): boolean {
    return this.#state === "closing";
  }

  /**
   * Releases a source that will not be opened, also if it is only promised so far, and then resolves {@link closed}. The start does
   * not wait for it.
   */
  #discard(made: Source<T> | PromiseLike<Source<T>> | undefined): void {
    void Promise.resolve(made)
      .then(
        (source) => discardSource(source, this.#closeTimeout, this.#tellLate),
        () => ({ timedOut: false, errors: [] }),
      )
      .then(this.#closed.resolve);
  }

  /**
   * Moves items until the source ends or the runner is stopped. Every await and every call into foreign code may be followed by a
   * stop, hence the checks. After a stop, `stop` has closed the source already.
   */
  async #pumpAsync(open: OpenSource<T>): Promise<void> {
    const sink = this.#sink;
    const { steps } = open;
    let stride = itemsBeforeLook; // how many items lie between the next two looks at the clock
    let untilLook = stride;
    try {
      for (;;) {
        const step = await steps.next();
        if (this.#isStopped()) return;
        if (step.done) break;
        if (sink.isFull) {
          // After the step, see above: only a source that has another item waits for room.
          await this.#rest(this.#roomOrStop());
          if (this.#isStopped()) return;
        }
        const isWanted = sink.append(step.value); // runs code of the readers, which may stop the runner
        if (!isWanted) await this.#rest(this.#stopIfEnded());
        if (this.#isStopped()) return;
        if (--untilLook > 0) continue;
        const isOver = isSliceOver();
        if (isOver) await this.#rest(this.#yield());
        if (this.#isStopped()) return;
        stride = isOver ? itemsBeforeLook : Math.min(2 * stride, mostBeforeLook);
        untilLook = stride;
      }
      this.#finish(() => sink.end());
    } catch (error) {
      if (this.#isStopped()) return this.#events.onErrorAfterStop(error); // from a source that is closed already
      this.#finish(() => sink.fail(error));
    }
    this.#close(open, "ended");
  }

  /** A bound function, because it is passed on as a callback. */
  readonly #tellLate = (error: unknown): void => this.#events.onLateError(error);

  /**
   * Gives up the event loop until the next time slice. The flag makes the log keep a ready read waiting for some more turns, since
   * the source may yet report its end.
   */
  async #yield(): Promise<void> {
    this.#sink.isYielding = true;
    await nextSlice();
    this.#sink.isYielding = false;
    await this.#stopIfEnded();
  }

  /** Waits for room. */
  async #roomOrStop(): Promise<void> {
    await this.#sink.room();
    await this.#stopIfEnded();
  }

  /** Where a log elsewhere has ended before the stop comes here, the source must not be asked for more meanwhile. */
  async #stopIfEnded(): Promise<void> {
    if (!this.#sink.ended || this.#isStopped()) return;
    this.#stopping ??= createDeferred();
    await this.#stopping.promise;
  }

  /** Waits for something other than the source, so that a stop meanwhile knows that no step is pending. */
  async #rest(wait: Promise<void>): Promise<void> {
    this.#isResting = true;
    await wait;
    this.#isResting = false;
  }

  /** As {@link #pumpAsync} for a synchronous source, which it closes itself, and whose items may be promises. */
  async #pumpSync(open: OpenSource<T>): Promise<void> {
    const sink = this.#sink;
    let hasEnded = false; // by its end or by an error; then the iterator must not be closed
    await undefined; // the read that starts the runner must wait in the log before the first item arrives
    try {
      while (!this.#isStopped()) {
        // A look at the clock per item: a synchronous source never gives up the loop by itself.
        if (isSliceOver()) await this.#yield();
        if (this.#isStopped()) break;
        const step = open.steps.next() as IteratorResult<T>;
        hasEnded = step.done === true;
        if (this.#isStopped() || step.done) break;
        const { value } = step;
        // The type is checked first: most items may be primitives, which `isThenable` would box.
        const item =
          typeof value === "object" && value !== null && isThenable(value) ? await this.#settled(value) : value;
        if (this.#isStopped()) break;
        if (sink.isFull) await this.#roomOrStop();
        if (!this.#isStopped() && !sink.append(item as T)) await this.#stopIfEnded();
      }
      this.#finish(() => sink.end());
    } catch (error) {
      hasEnded = true;
      if (this.#isStopped()) this.#events.onErrorAfterStop(error);
      this.#finish(() => sink.fail(error));
    }
    this.#close(open, hasEnded ? "ended" : "between");
  }

  /**
   * Reports the source's end to the log, unless the runner was stopped before. The state changes first: the log may run code of its
   * readers that calls `stop`, which then has nothing to do.
   */
  #finish(tell: () => void): void {
    if (this.#isStopped()) return;
    this.#state = "closing";
    tell();
  }

  /**
   * Closes the open source and resolves {@link closed}: in the same step if nothing has to be awaited.
   * @param at decides if the iterator itself still has to be closed
   */
  #close(open: OpenSource<T>, at: SourcePoint): void {
    // Finished runners are kept for a while: nothing more comes of this source, so they need not keep what it was started with.
    if (at === "ended") this.#open = undefined;
    const closing = open.close(at, this.#closeTimeout, this.#tellLate);
    if (closing instanceof Promise) void closing.then(this.#closed.resolve);
    else this.#closed.resolve(closing);
  }
}
