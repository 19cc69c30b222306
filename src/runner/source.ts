/**
 * What a sequence can be made from, and how each kind is opened, stepped and closed.
 *
 * Closing is the hard part, because a step may be pending that never ends. An async generator queues `return()` behind its
 * pending `next()`, a stream's own iterator does the same; so a stream is cancelled, and a Node stream destroyed, which
 * settles the pending step. A synchronous iterator must not be closed while it runs; its producer sees to that.
 */
import { type CleanupSummary, mergeSummaries, type OnLate, runSteps } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { RunnerContext } from "./producer.js";

/** What produces items by itself. */
export type Source<T> = Iterable<T> | AsyncIterable<T> | ReadableStream<T>;

/** What a sequence runner is made from: a source, or a function that makes one when the runner starts. */
export type SequenceSource<T, Context = RunnerContext> =
  | Source<T>
  | ((context: Context) => Source<T> | Promise<Source<T>>);

/** An open source. */
export interface OpenSource<T> {
  /** True: a step is a promise. */
  readonly isAsync: boolean;
  /** The source's own iterator, where it has one: a call between would be made for every item. */
  readonly steps: { next(): IteratorResult<T> | Promise<IteratorResult<T>> };
  /** Closes the iterator, unless it has ended by itself, and the source, if that can be disposed; each within `timeout` ms. */
  close(at: SourcePoint, timeout: number, onLate?: OnLate): CleanupSummary | Promise<CleanupSummary>;
}

/** Where a source stands when it is closed: ended by itself, between two steps, or within a step that is pending. */
export type SourcePoint = "ended" | "between" | "stepping";

/** Throws `INVALID_SOURCE` unless `source` is one of the kinds above. Opens nothing. */
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

/** Opens `source`. Throws what the source's own methods throw, or `INVALID_SOURCE`. */
export function openSource<T>(source: Source<T>): OpenSource<T> {
  checkSource(source);
  if (isReadableStream(source)) return openStream(source);
  if (Symbol.asyncIterator in Object(source)) {
    return new OpenIterator(source, true, (source as AsyncIterable<T>)[Symbol.asyncIterator]());
  }
  return new OpenIterator(source, false, (source as Iterable<T>)[Symbol.iterator]());
}

/** Releases a source that has never been opened, within `timeout` ms. One that somebody else reads is left to them. */
export async function discardSource(source: unknown, timeout: number, onLate?: OnLate): Promise<CleanupSummary> {
  if (!isObject(source) || (isReadableStream(source) && source.locked)) return { timedOut: false, errors: [] };
  if (isReadableStream(source)) return runSteps([() => source.cancel()], timeout, onLate);
  return runSteps([...generatorReturn(source), () => disposeSource(source)], timeout, onLate);
}

/** A generator that never ran is its own iterator: `return()` completes it without running any of it. */
function generatorReturn(source: object): (() => unknown)[] {
  const { next, return: end } = source as { next?: unknown; return?: unknown };
  return typeof next === "function" && typeof end === "function" ? [() => end.call(source)] : [];
}

function openStream<T>(stream: ReadableStream<T>): OpenSource<T> {
  const reader = stream.getReader();
  return {
    isAsync: true,
    steps: { next: () => reader.read() as Promise<IteratorResult<T>> },
    close: (at, timeout, onLate) =>
      runSteps([() => (at === "ended" ? undefined : reader.cancel()), () => reader.releaseLock()], timeout, onLate),
  };
}

class OpenIterator<T> implements OpenSource<T> {
  constructor(
    readonly source: Source<T>,
    readonly isAsync: boolean,
    readonly steps: OpenSource<T>["steps"] & { return?(): unknown },
  ) {}

  close(at: SourcePoint, timeout: number, onLate?: OnLate): CleanupSummary | Promise<CleanupSummary> {
    const { source, steps } = this;
    const end = () => (at === "ended" || isNodeStream(source) ? undefined : steps.return?.());
    const dispose = () => disposeSource(source);
    if (at !== "stepping") return runSteps([end, dispose], timeout, onLate);
    // `return()` may be queued behind the pending step, and only the source's own end may settle that.
    return Promise.all([runSteps([end], timeout, onLate), runSteps([dispose], timeout, onLate)]).then(mergeSummaries);
  }
}

function disposeSource(source: unknown): unknown {
  if (isNodeStream(source)) return source.destroy();
  const disposable = Object(source) as Partial<AsyncDisposable & Disposable>;
  return disposable[Symbol.asyncDispose] ? disposable[Symbol.asyncDispose]?.() : disposable[Symbol.dispose]?.();
}

function isObject(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

function isReadableStream<T>(value: unknown): value is ReadableStream<T> {
  return isObject(value) && "getReader" in value && typeof value.getReader === "function";
}

function isNodeStream(value: unknown): value is { destroy(): void } {
  return isObject(value) && "pipe" in value && "destroy" in value && typeof value.destroy === "function";
}

function invalid(required: string, received: string): ActiveSessionError {
  return new ActiveSessionError(
    "INVALID_SOURCE",
    `Cannot create a sequence runner: the source must be ${required}, received ${received}`,
  );
}
