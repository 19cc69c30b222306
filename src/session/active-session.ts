import type { CleanupSummary, Resource } from "../base/dispose.js";
import type { ProcessDefinition, SequenceDefinition } from "../runner/definition.js";
import type { ProcessBody, ProcessContext } from "../runner/process-producer.js";
import type { ProcessRunner } from "../runner/process-runner.js";
import type { Runner } from "../runner/runner.js";
import type { SequenceRunner } from "../runner/sequence-runner.js";
import type { SequenceContext, SequenceSource } from "../runner/source.js";
import type { Measurement, TimeSeries } from "../runner/time-series.js";
import type { RunnerOptions } from "./options.js";
import type { Ownership } from "./ownership.js";
import type { Properties } from "./properties.js";
import type { SessionGroup } from "./session-group.js";
import type { LockOptions, SessionLock } from "./session-locks.js";

/**
 * An active session: the server-side object of one client. It owns the client's runners, resources, locks and properties,
 * and ends with them. Obtained from an adapter (`req.activeSession`) or with `sessions.get(userId)`.
 *
 *     live ──terminate, idle, lifetime, shutdown──▶ ending ──▶ cleaned up
 *
 * - **live**: runners can be created and found. Every use restarts the idle timer; a held runner (a pending read, an open
 *   response) suspends it. A session whose time is up ends with the last of its runners.
 * - **ending** starts synchronously: the session leaves the host's tables, waiting locks are rejected, every runner is
 *   aborted, `signal` fires, and from now on nothing can be created or found. Then, in this order and each step bounded by
 *   `cleanupTimeout`: runners are disposed and their holds released, owned resources are released in reverse order,
 *   services are disposed.
 * - **cleaned up**: `cleanup` resolves with the errors and time-outs that occurred. A failing step never prevents the next.
 *
 * @typeParam Services the type of `services`, as returned by the host's option of that name
 * @example
 * const session = await sessions.get("user-17");
 * const runner = await session.createSequenceRunner([1, 2, 3]);
 * const { result } = await runner.getRequired({ advance: 2 }); // [1, 2]
 * await session.terminate();
 */
export interface ActiveSession<Services = unknown> {
  /** Distinguishes the sessions of one client; `undefined` for the default one. */
  readonly suffix: string | undefined;

  /**
   * The public id of the session: a keyed hash of the identity it was created for, followed by `.suffix` if it has one.
   * Stays the same when the session changes hands, because the keys of its runners contain it.
   */
  readonly id: string;

  /** The number of this incarnation. Later sessions of the same client have larger ones, also after a restart. */
  readonly generation: number;

  /** True while the session is live; false as soon as it starts to end. */
  readonly isAvailable: boolean;

  /** True until a runner has been created or found in this session. */
  readonly isFresh: boolean;

  /** Aborts when the session ends, after its runners have been aborted. The reason is an error with the code `SESSION_ENDED`. */
  readonly signal: AbortSignal;

  /** Resolves when the session has ended and everything it held has been released. Never rejects. */
  readonly cleanup: Promise<CleanupSummary>;

  /**
   * The services of the session, created by the host's option `services` on first use; `undefined` without that option.
   * @throws the error of that option, or `SESSION_ENDED` if they were not created before the end
   */
  readonly services: Services;

  /** Properties shared by all requests of the session. Read-only once it has ended. */
  readonly properties: Properties;

  /**
   * The group of all sessions of the client, with its own properties, services and resources. Created on first use.
   * @throws `SESSION_ENDED` if the session ended before it joined a group
   */
  readonly group: SessionGroup<ActiveSession>;

  // --- creating runners --------------------------------------------------------------------------------------------

  /**
   * Creates a runner that produces a sequence of items. It takes over the source and the `holds`: they are released with the
   * runner, or at once if the creation fails.
   * @param source an iterable, an async iterable, a `ReadableStream`, or a function that returns one
   * @param options see {@link RunnerOptions}; defaults come from the host
   * @returns the runner, started unless `start` is `"on-first-read"`. A source that is slow to open is opened behind it: reads wait for
   *   that, and if it fails, the work has failed
   * @throws `INVALID_SOURCE`, `INVALID_OPTION`, `SESSION_ENDED`, `RUNNER_START_FAILED` (`cause`: what the function of the source has thrown),
   *   `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`, `IDENTITY_NOT_SAVED`
   * @example
   * const runner = await session.createSequenceRunner(async function* ({ signal }) {
   *   for (let page = 1; page <= 3 && !signal.aborted; page++) yield { page };
   * });
   */
  createSequenceRunner<T>(
    source: SequenceSource<T, SequenceContext<ActiveSession<Services>, Services>>,
    options?: RunnerOptions,
  ): Promise<SequenceRunner<T>>;

  /**
   * Creates a sequence runner that takes measurements at fixed times, without drift; its items are `{ time, value }`.
   * @param series the gauge, the interval in milliseconds, and optionally how many measurements to take
   * @param options see {@link RunnerOptions}; defaults come from the host
   * @throws `INVALID_ARGUMENT` (a bad `series`), `INVALID_OPTION`, `SESSION_ENDED`, `CLIENT_LIMIT_REACHED`,
   *   `SERVER_LIMIT_REACHED`, `IDENTITY_NOT_SAVED`
   * @example
   * const gauge = () => process.memoryUsage().rss;
   * const load = await session.createTimeSeriesRunner({ gauge, interval: 1000, count: 60 });
   */
  createTimeSeriesRunner<T>(series: TimeSeries<T>, options?: RunnerOptions): Promise<SequenceRunner<Measurement<T>>>;

  /**
   * Creates a runner for work that computes one value and may report intermediate ones.
   * @param body an async function, which reports with `report`, or an async generator, which yields its reports; an error
   *   that it throws fails the runner, not its creation
   * @param options see {@link RunnerOptions}; `aheadLimit` and `retain` have no effect on a process
   * @throws `INVALID_SOURCE` (no function), `INVALID_OPTION`, `SESSION_ENDED`, `CLIENT_LIMIT_REACHED`,
   *   `SERVER_LIMIT_REACHED`, `IDENTITY_NOT_SAVED`
   * @example
   * const runner = await session.createProcessRunner(async ({ report }) => {
   *   report("half way", 2);
   *   return "done";
   * });
   */
  createProcessRunner<T>(
    // biome-ignore lint/suspicious/noExplicitAny: a T here would be inferred from what is reported, not from the result
    body: ProcessBody<T, ProcessContext<any, ActiveSession<Services>, Services>>,
    options?: RunnerOptions,
  ): Promise<ProcessRunner<T>>;

  /**
   * Creates a runner from a definition.
   * @param definition the result of `defineSequenceRunner` or `defineProcessRunner`
   * @param input validated by the definition's schema, which may transform it
   * @param options override the options of the definition, which override those of the host
   * @throws `INVALID_INPUT` (`issues` lists the reasons), `INVALID_ARGUMENT` (no definition), `INVALID_OPTION`,
   *   `SESSION_ENDED`, `RUNNER_START_FAILED`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`, `IDENTITY_NOT_SAVED`
   */
  createRunner<T, Given>(
    definition: SequenceDefinition<T, Given>,
    input: Given,
    options?: RunnerOptions,
  ): Promise<SequenceRunner<T>>;
  createRunner<T, Given>(
    definition: ProcessDefinition<T, Given>,
    input: Given,
    options?: RunnerOptions,
  ): Promise<ProcessRunner<T>>;

  // --- finding runners ---------------------------------------------------------------------------------------------

  /**
   * Finds a runner of this session. Restarts the idle timers of the runner and the session.
   * @param key the runner's key, or its number within the session; with a definition as the first argument, only a runner
   *   created from that definition is found, and has its type; `{ label }` finds the newest runner with that label
   * @returns `undefined` if there is none, or the key belongs to another session or generation
   * @throws `SESSION_ENDED`, `INVALID_ARGUMENT` (no definition, no label)
   * @example
   * const answer = await session.findRunner({ label: "chat-7" });
   */
  findRunner(key: string | number): Promise<Runner | undefined>;
  findRunner(by: { readonly label: string }): Promise<Runner | undefined>;
  findRunner<T>(definition: SequenceDefinition<T, never>, key: string | number): Promise<SequenceRunner<T> | undefined>;
  findRunner<T>(definition: ProcessDefinition<T, never>, key: string | number): Promise<ProcessRunner<T> | undefined>;

  /**
   * Like {@link findRunner}, for a sequence runner. The item type `T` is the caller's claim and is not checked.
   * @returns `undefined` if there is none, or it is of another kind
   * @throws `SESSION_ENDED`
   */
  findSequenceRunner<T>(key: string | number): Promise<SequenceRunner<T> | undefined>;

  /**
   * Like {@link findRunner}, for a process runner. The value type `T` is the caller's claim and is not checked.
   * @returns `undefined` if there is none, or it is of another kind
   * @throws `SESSION_ENDED`
   */
  findProcessRunner<T>(key: string | number): Promise<ProcessRunner<T> | undefined>;

  /** The session's runners in order of creation: a snapshot, taken at the first step. Listing does not reset idle timers. */
  runners(): AsyncGenerator<Runner, void, undefined>;

  // --- resources and lifetime --------------------------------------------------------------------------------------

  /**
   * Takes over a resource: a disposable, which is disposed when the session ends, or a function, which is called then.
   * Resources are released in reverse order.
   * @returns a handle; disposing it releases the resource earlier
   * @throws `INVALID_ARGUMENT`, `SESSION_ENDED`; the resource is then left untouched
   */
  own(resource: Resource): Ownership;

  /**
   * Acquires a lock of this session. It has one holder at a time; further callers wait in order. Waiting keeps the session from
   * idling out, holding the lock does not. Pass the lock to a runner in `holds`, or dispose it.
   * @param name any non-empty string
   * @param options time-out in milliseconds and signal for the wait; waits without limit by default
   * @returns the lock, or `undefined` on time-out
   * @throws `INVALID_ARGUMENT`, `INVALID_OPTION`, `SESSION_ENDED` (also while waiting), or the reason of `signal`
   * @example
   * const lock = await session.lock("export", { timeout: 0 });
   * if (lock) await session.createProcessRunner(exportAll, { holds: [lock] });
   */
  lock(name: string, options?: LockOptions): Promise<SessionLock | undefined>;

  /**
   * Ends the session, as a logout does. Idempotent.
   * @returns the promise of {@link cleanup}
   */
  terminate(): Promise<CleanupSummary>;
}
