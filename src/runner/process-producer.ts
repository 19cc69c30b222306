import { createDeferred } from "../base/async.js";
import type { CleanupSummary } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import type { ProcessSink } from "../log/value-log.js";
import { checkEstimate, type ProducerEvents, type RunnerContext, type StartedProducer } from "./producer.js";

/** The context that the body of a process runner receives. */
export interface ProcessContext<T, Session = unknown, Services = unknown> extends RunnerContext<Session, Services> {
  /**
   * Replaces the runner's value and adds 1 to its progress.
   * @param value the intermediate result
   * @param estimatedEnd the expected number of reports, the final value included; omitted: unknown
   * @throws the reason of the `signal`, once the work must stop; `INVALID_ARGUMENT` unless the estimate is a finite number of at
   *   least 0. Nothing changes then.
   */
  report(value: T, estimatedEnd?: number): void;
}

/**
 * The work of a process runner: an async function that reports intermediate values, or an async generator that yields them. Its
 * return value is the final one; `undefined` keeps the last reported value.
 *
 * @example
 * const body: ProcessBody<number> = async function* () {
 *   yield 1;
 *   return 2;
 * };
 */
export type ProcessBody<T, Context = ProcessContext<T>> = (
  context: Context,
) => Promise<T | undefined | void> | AsyncGenerator<T, T | undefined | void, undefined> | T | undefined | void;

/**
 * Checks the body of a process runner without calling it.
 * @throws `INVALID_SOURCE` unless `body` is a function
 */
export function checkBody(body: unknown): void {
  if (typeof body === "function") return;
  throw new ActiveSessionError(
    "INVALID_SOURCE",
    `Cannot create a process runner: the body must be a function, received ${describe(body)}`,
  );
}

type BodyGenerator<T> = AsyncGenerator<T, T | undefined | void, undefined>;

/**
 * The producer of a process runner: runs the body and passes its reports to the log.
 *
 *     idle ──start──▶ running ──the body returns or throws──▶ closed
 *       └────stop───────┴──stop──▶ stopped ──the body returns or throws──▶ closed
 *
 * - The body is called within `start`. An error, thrown at once or later, fails the runner.
 * - A generator is stepped like a source: its yields are reports, its return value is the final one.
 * - After `stop`, a report throws the signal's reason into the body. A report after the body has ended is ignored: it comes from
 *   a call-back that outlived the body, where no code would catch an error.
 */
export class ProcessProducer<T> implements StartedProducer {
  readonly #sink: ProcessSink<T>;
  readonly #body: ProcessBody<T>;
  readonly #closed = createDeferred<CleanupSummary>();
  #state: "idle" | "running" | "stopped" | "closed" = "idle";
  /** The generator being stepped, so that `stop` can end it. */
  #generator: BodyGenerator<T> | undefined;
  /** Set once the generator's `return` has been called. */
  #returned: Promise<void> | undefined;
  readonly #events: ProducerEvents;

  /** @param events receives errors that the body throws after it was stopped */
  constructor(sink: ProcessSink<T>, body: ProcessBody<T>, events: ProducerEvents) {
    this.#sink = sink;
    this.#body = body;
    this.#events = events;
  }

  /** Resolves when the body has settled, also after a stop. */
  get closed(): Promise<CleanupSummary> {
    return this.#closed.promise;
  }

  /** Calls the body and does not wait for it. Never fails. */
  start(context: RunnerContext): undefined {
    if (this.#state !== "idle") return;
    this.#state = "running";
    this.#sink.start();
    void this.#run(context);
  }

  /** Stops listening to the body and ends its generator. A plain function has only its signal to stop by. */
  stop(): void {
    const state = this.#state;
    if (state !== "idle" && state !== "running") return;
    this.#state = "stopped";
    if (state === "idle") this.#closed.resolve(allWell);
    if (this.#generator) void this.#return(this.#generator);
  }

  /** Runs the body to its end. After a stop, its result is dropped and its error is a late one. */
  async #run(context: RunnerContext): Promise<void> {
    try {
      const outcome = this.#body(this.#contextFor(context));
      const value = isGenerator(outcome) ? await this.#step(outcome) : await outcome;
      if (this.#state === "running") this.#sink.end(value as T | undefined);
    } catch (error) {
      if (this.#state === "running") this.#sink.fail(error);
      else this.#events.onErrorAfterStop(error);
    }
    this.#state = "closed";
    this.#closed.resolve(allWell);
  }

  /** @returns the generator's return value; nothing after a stop */
  async #step(generator: BodyGenerator<T>): Promise<T | undefined | void> {
    this.#generator = generator;
    while (this.#state === "running") {
      const step = await generator.next();
      if (step.done) return step.value;
      if (this.#state === "running") this.#sink.report(step.value);
    }
    await this.#return(generator);
  }

  /**
   * Ends the generator, once. An async generator queues `return` behind a pending `next`, so its `finally` blocks run when that
   * step has settled.
   */
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

  /** Adds `report` by inheritance, which keeps the getters of the context lazy. */
  #contextFor(context: RunnerContext): ProcessContext<T> {
    const report = (value: T, estimatedEnd?: number) => {
      checkEstimate("report", "the estimated end", estimatedEnd);
      if (this.#state === "stopped") throw context.signal.reason;
      if (this.#state === "running") this.#sink.report(value, estimatedEnd);
    };
    return Object.create(context, { report: { value: report, enumerable: true } }) as ProcessContext<T>;
  }
}

/** Late errors are reported one by one through `onLateError`, never in the summary. */
const allWell: CleanupSummary = { timedOut: false, errors: [] };

function isGenerator<T>(value: unknown): value is BodyGenerator<T> {
  return typeof value === "object" && value !== null && Symbol.asyncIterator in value && "next" in value;
}
