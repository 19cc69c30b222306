/**
 * The background of a sequence runner: opens the source, moves its items into the log, one step at a time, and closes it.
 *
 *     idle ──start──▶ opening ──▶ pumping ──the source ends or throws──▶ closing ──▶ closed
 *       └─────────────stop──┴───────┴──────────────────────────────────────┘
 *
 * - The next item is taken from the source only when the one before lies in the log; that one is taken before there is room
 *   for it, so that a source which has nothing more can say so although the log is full.
 * - `stop` does not wait for a pending step: an async source is closed at once, its late item is ignored. A synchronous one
 *   is closed by the pump, because `stop` may have been called from inside the source itself.
 * - After `stop` the log is not touched. The source is closed exactly once, on every path.
 */
import { createDeferred, type Deferred, isAbort, isThenable } from "../base/async.js";
import type { CleanupSummary } from "../base/dispose.js";
import { isSliceOver, nextSlice } from "../base/event-loop.js";
import type { SequenceSink } from "../log/sequence-log.js";
import type { Producer, ProducerEvents, RunnerContext } from "./producer.js";
import {
  discardSource,
  type OpenSource,
  openSource,
  type SequenceSource,
  type Source,
  type SourcePoint,
} from "./source.js";
import { startFailed } from "./start-failed.js";

/**
 * A look at the clock takes as long as half an item. An async source is asked for so many items before the first look, for twice as
 * many before each further one, up to the most: whatever an item takes, its share of the loop is overdrawn at most once over.
 */
const itemsBeforeLook = 16;
const mostBeforeLook = 256;

/** See the top of the file. */
export class SequenceProducer<T> implements Producer {
  readonly #sink: SequenceSink<T>;
  readonly #closeTimeout: number;
  readonly #closed = createDeferred<CleanupSummary>();
  /** Lets a start that waits for its source go on. */
  #stopping: Deferred<void> | undefined;
  readonly #events: ProducerEvents;
  #source: SequenceSource<T> | undefined;
  #context: RunnerContext | undefined;
  #open: OpenSource<T> | undefined;
  #state: "idle" | "opening" | "pumping" | "closing" = "idle";
  #isResting = false;

  /** @param closeTimeout how long each step of closing the source may take, ms */
  constructor(sink: SequenceSink<T>, source: SequenceSource<T>, closeTimeout: number, events: ProducerEvents) {
    this.#sink = sink;
    this.#source = source;
    this.#closeTimeout = closeTimeout;
    this.#events = events;
  }

  get closed(): Promise<CleanupSummary> {
    return this.#closed.promise;
  }

  async start(context: RunnerContext): Promise<void> {
    if (this.#state !== "idle") return;
    this.#state = "opening";
    this.#context = context;
    let opened: Source<T> | undefined;
    try {
      const made = typeof this.#source === "function" ? this.#source(context) : this.#source!;
      const source = isThenable(made) ? await this.#unlessStopped(made) : made;
      if (this.#isStopped()) return this.#discard(made);
      opened = source as Source<T>; // without it the race has been won only if we are stopped
      const open = openSource(opened); // runs code of the source, which may stop us
      if (this.#isStopped()) return this.#close(open, "between");
      this.#open = open;
    } catch (cause) {
      if (this.#isStopped()) return this.#discard(opened);
      this.#state = "idle";
      if (typeof this.#source === "function") void discardSource(opened, this.#closeTimeout, this.#tellLate); // the next try makes another one
      throw startFailed(cause);
    }
    this.#source = undefined;
    this.#state = "pumping";
    this.#sink.start();
    void (this.#open.isAsync ? this.#pumpAsync(this.#open) : this.#pumpSync(this.#open));
  }

  /** What was promised, or nothing if we are stopped before. */
  #unlessStopped(made: PromiseLike<Source<T>>): Promise<Source<T> | void> {
    this.#stopping = createDeferred();
    if (this.#isStopped()) this.#stopping.resolve();
    return Promise.race([made, this.#stopping.promise]);
  }

  /** A promise among the items of a synchronous source is awaited, as `for await` does it; a stop does not wait for it. */
  #settled(item: PromiseLike<unknown>): Promise<unknown> {
    this.#stopping = createDeferred();
    return Promise.race([item, this.#stopping.promise]);
  }

  stop(): void {
    const state = this.#state;
    if (state === "closing") return;
    this.#state = "closing";
    this.#stopping?.resolve();
    if (state === "idle") this.#discard(typeof this.#source === "function" ? undefined : this.#source);
    if (this.#open?.isAsync) this.#close(this.#open, this.#isResting ? "between" : "stepping");
  }

  #isStopped(): boolean {
    return this.#state === "closing";
  }

  /** Releases a source that will not be opened, also one that is still being made; the start does not wait for it. */
  #discard(made: Source<T> | Promise<Source<T>> | undefined): void {
    void Promise.resolve(made)
      .then(
        (source) => discardSource(source, this.#closeTimeout, this.#tellLate),
        () => ({ timedOut: false, errors: [] }),
      )
      .then(this.#closed.resolve);
  }

  async #pumpAsync(open: OpenSource<T>): Promise<void> {
    const sink = this.#sink;
    const { steps } = open;
    let stride = itemsBeforeLook;
    let untilLook = stride;
    try {
      for (;;) {
        const step = await steps.next();
        if (this.#isStopped()) return;
        if (step.done) break;
        if (sink.isFull) {
          await this.#rest(sink.room());
          if (this.#isStopped()) return;
        }
        sink.append(step.value); // runs code of its readers, which may stop us
        if (--untilLook <= 0) {
          const isOver = isSliceOver();
          if (isOver) await this.#rest(this.#yield());
          stride = isOver ? itemsBeforeLook : Math.min(2 * stride, mostBeforeLook);
          untilLook = stride;
        }
        if (this.#isStopped()) return;
      }
      this.#finish(() => sink.end());
    } catch (error) {
      if (this.#isStopped()) return this.#tellUnlessAbort(error); // the late answer of a source that has been closed
      this.#finish(() => sink.fail(error));
    }
    this.#close(open, "ended");
  }

  readonly #tellLate = (error: unknown): void => this.#events.onLateError(error);

  /** A stopped source mostly throws what its signal told it, which is no news. */
  #tellUnlessAbort(error: unknown): void {
    if (!this.#context || !isAbort(error, this.#context.signal)) this.#events.onLateError(error);
  }

  /** Lets everybody else have the event loop. */
  async #yield(): Promise<void> {
    this.#sink.isYielding = true;
    await nextSlice();
    this.#sink.isYielding = false;
  }

  /** Waits for something other than the source: if we are stopped now, no step of the source is pending. */
  async #rest(wait: Promise<void>): Promise<void> {
    this.#isResting = true;
    await wait;
    this.#isResting = false;
  }

  async #pumpSync(open: OpenSource<T>): Promise<void> {
    const sink = this.#sink;
    let hasEnded = false;
    await undefined; // the read that starts a runner takes its place in the log before there is anything
    try {
      while (!this.#isStopped()) {
        if (isSliceOver()) await this.#yield();
        if (this.#isStopped()) break;
        const step = open.steps.next() as IteratorResult<T>;
        hasEnded = step.done === true;
        if (this.#isStopped() || step.done) break;
        const { value } = step;
        const item =
          typeof value === "object" && value !== null && isThenable(value) ? await this.#settled(value) : value;
        if (this.#isStopped()) break;
        if (sink.isFull) await sink.room();
        if (!this.#isStopped()) sink.append(item as T);
      }
      this.#finish(() => sink.end());
    } catch (error) {
      hasEnded = true;
      if (this.#isStopped()) this.#tellUnlessAbort(error);
      this.#finish(() => sink.fail(error));
    }
    this.#close(open, hasEnded ? "ended" : "between");
  }

  /** The source has ended by itself, unless it was stopped before: then the log is told nothing. */
  #finish(tell: () => void): void {
    if (this.#isStopped()) return;
    this.#state = "closing";
    tell();
  }

  #close(open: OpenSource<T>, at: SourcePoint): void {
    const closing = open.close(at, this.#closeTimeout, this.#tellLate);
    if (closing instanceof Promise) void closing.then(this.#closed.resolve);
    else this.#closed.resolve(closing);
  }
}
