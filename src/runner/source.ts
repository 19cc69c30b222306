/** The sources of sequence runners: how each kind is checked, opened, stepped and closed. */
import { type CleanupSummary, mergeSummaries, type OnLate, runSteps } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { RunnerContext } from "./producer.js";

/** An object that produces items. An async iterable may be a Node stream; a `ReadableStream` must not be locked. */
export type Source<T> = Iterable<T> | AsyncIterable<T> | ReadableStream<T>;

/** The context that the function behind a sequence runner receives. */
export interface SequenceContext<Session = unknown, Services = unknown> extends RunnerContext<Session, Services> {
  /**
   * Sets how many items there will be in all, as soon as that is known: readers see it as `progress.estimatedEnd`. May be called
   * again with a better estimate, or with `undefined` if it is not known any more. The end of the source makes it exact.
   * @throws `INVALID_ARGUMENT` unless it is a finite number of at least 0, or `undefined`
   */
  total(count: number | undefined): void;
}

/**
 * A source, or a function that makes one when the runner starts. The runner closes the source, on every path. Text and binary data
 * are refused, although they are iterable.
 *
 * @example
 * const source: SequenceSource<string> = async function* ({ signal }) {
 *   const response = await fetch("https://example.com/lines", { signal });
 *   for (const line of (await response.text()).split("\n")) yield line;
 * };
 */
export type SequenceSource<T, Context = SequenceContext> =
  | Source<T>
  | ((context: Context) => Source<T> | Promise<Source<T>>);

/**
 * An open source.
 *
 * Closing has to cope with a step that never settles. An async generator queues `return()` behind its pending `next()`, and so does
 * the iterator of a stream. Therefore a web stream is cancelled and a Node stream destroyed, which settles the pending step.
 */
export interface OpenSource<T> {
  /** True if `next` of {@link steps} returns a promise. */
  readonly isAsync: boolean;
  /** The source's own iterator where it has one, because a wrapper would cost a call per item. */
  readonly steps: { next(): IteratorResult<T> | Promise<IteratorResult<T>> };
  /**
   * Closes the iterator, unless it has ended by itself, and disposes the source if it is disposable. A synchronous iterator must not
   * be closed from within its own `next`; the producer ensures that.
   * @param at where the source stands
   * @param timeout ms for each of the steps
   * @param onLate receives an error that comes after the time-out
   * @returns a promise only if a step has to be awaited
   */
  close(at: SourcePoint, timeout: number, onLate?: OnLate): CleanupSummary | Promise<CleanupSummary>;
}

/** The point at which a source is closed: after its own end, between two steps, or while a step is pending. */
export type SourcePoint = "ended" | "between" | "stepping";

/**
 * Checks that `source` is a {@link SequenceSource}. Does not open it.
 * @throws `INVALID_SOURCE`, also for text, binary data and a locked stream
 */
export function checkSource(source: unknown): void {
  if (typeof source === "function") return;
  if (typeof source === "string") {
    throw invalid("more than one text", 'a text. For its lines give text.split("\\n"), for its characters [...text]');
  }
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) {
    throw invalid("no bytes", "some. Decode them (new TextDecoder().decode(bytes)), or give [...bytes] for numbers");
  }
  if (isObject(source)) {
    if (isReadableStream(source)) {
      if (!source.locked) return;
      throw invalid("an unlocked ReadableStream", "a locked one");
    }
    if (Symbol.asyncIterator in source || Symbol.iterator in source) return;
  }
  throw invalid("an iterable, an async iterable, a ReadableStream or a function that returns one", describe(source));
}

/**
 * Opens a source: gets its iterator, or locks the stream with a reader.
 * @throws `INVALID_SOURCE`, or an error of the source's own methods
 */
export function openSource<T>(source: Source<T>): OpenSource<T> {
  checkSource(source);
  if (isReadableStream(source)) return openStream(source);
  if (Symbol.asyncIterator in Object(source)) {
    return new OpenIterator(source, true, (source as AsyncIterable<T>)[Symbol.asyncIterator]());
  }
  return new OpenIterator(source, false, (source as Iterable<T>)[Symbol.iterator]());
}

/**
 * Releases a source that was never opened: cancels a stream, ends a generator, disposes a disposable. A locked stream is left alone,
 * because another reader uses it.
 * @param timeout ms for each of the steps
 * @param onLate receives an error that comes after the time-out
 */
export async function discardSource(source: unknown, timeout: number, onLate?: OnLate): Promise<CleanupSummary> {
  if (!isObject(source) || (isReadableStream(source) && source.locked)) return { timedOut: false, errors: [] };
  if (isReadableStream(source)) return runSteps([() => source.cancel()], timeout, onLate);
  return runSteps([...generatorReturn(source), () => disposeSource(source)], timeout, onLate);
}

/** A generator is its own iterator. If it never ran, `return()` completes it without running any of its code. */
function generatorReturn(source: object): (() => unknown)[] {
  const { next, return: end } = source as { next?: unknown; return?: unknown };
  return typeof next === "function" && typeof end === "function" ? [() => end.call(source)] : [];
}

/** Opens a web stream. A reader is used instead of the stream's iterator: its `cancel` does not wait for a pending read. */
function openStream<T>(stream: ReadableStream<T>): OpenSource<T> {
  const reader = stream.getReader();
  return {
    isAsync: true,
    steps: { next: () => reader.read() as Promise<IteratorResult<T>> },
    close: (at, timeout, onLate) =>
      runSteps([() => (at === "ended" ? undefined : reader.cancel()), () => reader.releaseLock()], timeout, onLate),
  };
}

/** An open iterable, synchronous or async. */
class OpenIterator<T> implements OpenSource<T> {
  constructor(
    readonly source: Source<T>,
    readonly isAsync: boolean,
    readonly steps: OpenSource<T>["steps"] & { return?(): unknown },
  ) {}

  close(at: SourcePoint, timeout: number, onLate?: OnLate): CleanupSummary | Promise<CleanupSummary> {
    const { source, steps } = this;
    // A Node stream's iterator is not closed: its `return()` would wait for the pending step, which only `destroy` settles.
    const end = () => (at === "ended" || isNodeStream(source) ? undefined : steps.return?.());
    const dispose = () => disposeSource(source);
    if (at !== "stepping") return runSteps([end, dispose], timeout, onLate);
    // At the same time: `return()` may be queued behind the pending step, which perhaps only the disposal settles.
    return Promise.all([runSteps([end], timeout, onLate), runSteps([dispose], timeout, onLate)]).then(mergeSummaries);
  }
}

/** Disposes a source if it is disposable, preferably asynchronously. A Node stream is destroyed instead. */
function disposeSource(source: unknown): unknown {
  if (isNodeStream(source)) return source.destroy();
  const disposable: Partial<AsyncDisposable & Disposable> = Object(source);
  return disposable[Symbol.asyncDispose] ? disposable[Symbol.asyncDispose]?.() : disposable[Symbol.dispose]?.();
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

/** By its shape, so that streams of another realm or of a polyfill pass. */
function isReadableStream<T>(value: unknown): value is ReadableStream<T> {
  return isObject(value) && "getReader" in value && typeof value.getReader === "function";
}

/** By its shape, which does not need an import of `node:stream`. */
function isNodeStream(value: unknown): value is { destroy(): void } {
  return isObject(value) && "pipe" in value && "destroy" in value && typeof value.destroy === "function";
}

function invalid(required: string, received: string): ActiveSessionError {
  return new ActiveSessionError(
    "INVALID_SOURCE",
    `Cannot create a sequence runner: the source must be ${required}, received ${received}`,
  );
}
