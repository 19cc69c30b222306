/**
 * The background of a process runner: runs the body and passes its reports on.
 *
 *     idle ──start──▶ running ──the body returns or throws──▶ closed
 *       └────stop───────┴──stop──▶ stopped ──the body returns or throws──▶ closed
 *
 * - The body is called within `start`; what it throws, at once or later, is the failure of the runner.
 * - A generator is stepped like a source: its yields are reports, its return value is the final one.
 * - After `stop` a report throws the signal's reason into the body; a report after the body's own end is ignored, since it
 *   comes from a call-back that outlived the body and an error there would hit nobody who could handle it.
 */
import { createDeferred, isAbort } from "../base/async.js";
import type { CleanupSummary } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { ProcessSink } from "../log/value-log.js";
import type { Producer, ProducerEvents, RunnerContext } from "./producer.js";

/** What the body of a process runner gets. */
export interface ProcessContext<T, Session = unknown, Services = unknown> extends RunnerContext<Session, Services> {
  /**
   * Replaces the runner's value and adds 1 to its progress.
   * @param value the intermediate result
   * @param estimatedEnd how many reports there will be in all, the final value included; absent: unknown
   * @throws the reason of the `signal`, once the work must stop; `INVALID_ARGUMENT` if the estimate is no number from 0;
   *   nothing changes then
   */
  report(value: T, estimatedEnd?: number): void;
}

/** The work of a process runner: an async function, or an async generator that yields intermediate results. */
export type ProcessBody<T, Context = ProcessContext<T>> = (
  context: Context,
) => Promise<T | undefined | void> | AsyncGenerator<T, T | undefined | void, undefined> | T | undefined | void;

/** Throws `INVALID_SOURCE` unless `body` is a function. */
export function checkBody(body: unknown): void {
  if (typeof body === "function") return;
  throw new ActiveSessionError(
    "INVALID_SOURCE",
    `Cannot create a process runner: the body must be a function, received ${describe(body)}`,
  );
}

function checkEstimate(estimatedEnd: unknown): void {
  if (estimatedEnd === undefined) return;
  if (typeof estimatedEnd === "number" && estimatedEnd >= 0 && estimatedEnd < Number.POSITIVE_INFINITY) return;
  throw new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot report: the estimated end must be a number of at least 0, received ${describe(estimatedEnd)}`,
  );
}

type BodyGenerator<T> = AsyncGenerator<T, T | undefined | void, undefined>;

/** See the top of the file. */
export class ProcessProducer<T> implements Producer {
  readonly #sink: ProcessSink<T>;
  readonly #body: ProcessBody<T>;
  readonly #closed = createDeferred<CleanupSummary>();
  #state: "idle" | "running" | "stopped" | "closed" = "idle";
  #generator: BodyGenerator<T> | undefined;
  #returned: Promise<void> | undefined;
  readonly #events: ProducerEvents;

  constructor(sink: ProcessSink<T>, body: ProcessBody<T>, events: ProducerEvents) {
    this.#sink = sink;
    this.#body = body;
    this.#events = events;
  }

  get closed(): Promise<CleanupSummary> {
    return this.#closed.promise;
  }

  async start(context: RunnerContext): Promise<void> {
    if (this.#state !== "idle") return;
    this.#state = "running";
    this.#sink.start();
    void this.#run(context);
  }

  stop(): void {
    const state = this.#state;
    if (state !== "idle" && state !== "running") return;
    this.#state = "stopped";
    if (state === "idle") this.#closed.resolve(allWell);
    if (this.#generator) void this.#return(this.#generator);
  }

  async #run(context: RunnerContext): Promise<void> {
    try {
      const outcome = this.#body(this.#contextFor(context));
      const value = isGenerator(outcome) ? await this.#step(outcome) : await outcome;
      if (this.#state === "running") this.#sink.end(value as T | undefined);
    } catch (error) {
      if (this.#state === "running") this.#sink.fail(error);
      else if (!isAbort(error, context.signal)) this.#events.onLateError(error);
    }
    this.#state = "closed";
    this.#closed.resolve(allWell);
  }

  async #step(generator: BodyGenerator<T>): Promise<T | undefined | void> {
    this.#generator = generator;
    while (this.#state === "running") {
      const step = await generator.next();
      if (step.done) return step.value;
      if (this.#state === "running") this.#sink.report(step.value);
    }
    await this.#return(generator);
  }

  /** Ends the generator, once; that is queued behind a pending step, and its own clean-up runs within. */
  #return(generator: BodyGenerator<T>): Promise<void> {
    this.#returned ??= (async () => {
      try {
        await generator.return?.(undefined);
      } catch (error) {
        this.#events.onLateError(error);
      }
      this.#closed.resolve(allWell);
    })();
    return this.#returned;
  }

  #contextFor(context: RunnerContext): ProcessContext<T> {
    const report = (value: T, estimatedEnd?: number) => {
      checkEstimate(estimatedEnd);
      if (this.#state === "stopped") throw context.signal.reason;
      if (this.#state === "running") this.#sink.report(value, estimatedEnd);
    };
    return Object.create(context, { report: { value: report, enumerable: true } }) as ProcessContext<T>;
  }
}

/** What went wrong late has been told by itself. */
const allWell: CleanupSummary = { timedOut: false, errors: [] };

function isGenerator<T>(value: unknown): value is BodyGenerator<T> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value && "next" in value;
}
