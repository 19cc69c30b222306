import { abortable, type Ending, LazyPromise, noop } from "../base/async.js";
import { checkOptions } from "../base/check.js";
import { type CleanupSummary, mergeSummaries, type Resource } from "../base/dispose.js";
import { ActiveSessionError, runnerGone } from "../base/error.js";
import { IdleEntry, type IdleList } from "../base/idle-list.js";
import type { ItemTally } from "../log/result-log.js";
import type { AbortReason } from "../protocol/types.js";
import {
  checkDefinition,
  type ProcessDefinition,
  type RunnerDefinition,
  type SequenceDefinition,
  validateInput,
} from "../runner/definition.js";
import { checkBody, type ProcessBody, type ProcessContext } from "../runner/process-producer.js";
import { createProcess, type ProcessRunner } from "../runner/process-runner.js";
import type { Runner } from "../runner/runner.js";
import { createSequence, type SequenceRunner } from "../runner/sequence-runner.js";
import { checkSource, discardSource, type SequenceContext, type SequenceSource } from "../runner/source.js";
import { checkTimeSeries, type Measurement, measure, type TimeSeries } from "../runner/time-series.js";
import { createDefined, withDefaults } from "./defined-runner.js";
import type { Idempotency } from "./idempotency.js";
import { isOfUser, sessionIdFor, type TaggedIdentity } from "./identity.js";
import type { RunnerOptions } from "./options.js";
import type { Ownership } from "./ownership.js";
import { PendingSave } from "./pending-save.js";
import type { Properties } from "./properties.js";
import type { RunnerEntry } from "./runner-table.js";
import { SessionScope } from "./scope.js";
import type { SessionGroup } from "./session-group.js";
import { type LockOptions, type SessionLock, SessionLocks } from "./session-locks.js";
import { type RunnersHost, SessionRunners } from "./session-runners.js";

/** The part of the host that sessions use: settings, shared lists and counters, limit checks and notifications. */
export interface SessionHost extends RunnersHost {
  /** The lowest generation of this host. Sessions store theirs relative to it. */
  readonly firstGeneration: number;
  /** Confirmed sessions that nothing holds, in order of expiry. */
  readonly idleSessions: IdleList<ActiveSession>;
  /** Unconfirmed sessions that nothing holds, in order of expiry. Their time-out is shorter. */
  readonly idleUnconfirmed: IdleList<ActiveSession>;
  /** Counts the items kept by the runners of confirmed sessions. */
  readonly items: ItemTally;
  /** Counts the items kept by the runners of unconfirmed sessions. */
  readonly unconfirmedItems: ItemTally;
  /** Called once, when an unconfirmed session becomes confirmed. */
  confirmed(session: ActiveSession): void;
  /** Returns the client's group. Creates it if there is none; every live session of the client then joins it. */
  groupOf(identity: TaggedIdentity): SessionGroup<ActiveSession>;
  /**
   * Checks the limits for one more runner; may remove unused ones to make room.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  admitRunner(session: ActiveSession): void;
  /**
   * Checks the limits for one more open read.
   * @throws `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
   */
  admitRead(session: ActiveSession): void;
  /** Called when a session ends: removes it from the tables, so that it is no longer found. */
  forget(session: ActiveSession): void;
  /** Called when the clean-up of an ended session is finished. */
  cleanedUp(session: ActiveSession): void;
}

/**
 * An active session: the server-side object of one client. It owns the client's runners, resources, locks and properties,
 * and ends with them. Obtained from an adapter (`req.activeSession`) or with `sessions.get(userId)`.
 *
 *     live ──terminate, idle, lifetime, shutdown──▶ ending ──▶ cleaned up
 *
 * - **live**: runners can be created and found. Every use restarts the idle timer; a held runner (a pending read, an open
 *   response) suspends it.
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
export class ActiveSession<Services = unknown> extends IdleEntry {
  /**
   * When `maxLifetime` started to count: at creation or at the last change of owner. Monotonic clock, ms. Rounded, so that V8
   * stores a small integer.
   * @internal
   */
  createdAt = Math.ceil(performance.now());
  /** The identity of the client; changes when a login or logout moves the session. @internal */
  identity: TaggedIdentity;

  readonly #host: SessionHost;
  /** Relative to the host's first generation, so that V8 stores a small integer: the full number exceeds 31 bits. */
  readonly #generation: number;
  /** Computed on first use: the hash is not free, and most requests never need it. */
  #id: string | undefined;
  /** Number of holds that suspend the idle timer. */
  #holders = 0;
  // The following are created on first use: an idle session should cost little memory.
  #runners: SessionRunners | undefined;
  #extras: Extras<Services> | undefined;
  #cleanup: LazyPromise<CleanupSummary> | undefined;
  /** Set once, by the first {@link endFor}: the session is live as long as it is `undefined`. */
  #endReason: AbortReason | undefined;
  /** Number of unfinished requests that obtained the session from an adapter. */
  #visitors = 0;
  #isConfirmed: boolean;

  /** Created by the host only, which enters it into its tables. @internal */
  constructor(
    host: SessionHost,
    identity: TaggedIdentity,
    suffix: string | undefined,
    generation: number,
    isConfirmed = isOfUser(identity),
  ) {
    super();
    this.#host = host;
    this.identity = identity;
    if (suffix !== undefined) this.#ensureExtras().suffix = suffix;
    this.#isConfirmed = isConfirmed;
    this.#generation = generation - host.firstGeneration;
  }

  /** Distinguishes the sessions of one client; `undefined` for the default one. */
  get suffix(): string | undefined {
    return this.#extras?.suffix;
  }

  /**
   * The public id of the session: a keyed hash of the identity it was created for, followed by `.suffix` if it has one.
   * Stays the same when the session changes hands, because the keys of its runners contain it.
   */
  get id(): string {
    this.#id ??= sessionIdFor(this.#host.settings.secret, this.identity, this.suffix);
    return this.#id;
  }

  /** The number of this incarnation. Later sessions of the same client have larger ones, also after a restart. */
  get generation(): number {
    return this.#host.firstGeneration + this.#generation;
  }

  /** True while the session is live; false as soon as it starts to end. */
  get isAvailable(): boolean {
    return this.#endReason === undefined;
  }

  /** True until a runner has been created or found in this session. */
  get isFresh(): boolean {
    return this.#runners?.isFresh ?? true;
  }

  /** Aborts when the session ends, after its runners have been aborted. The reason is an error with the code `SESSION_ENDED`. */
  get signal(): AbortSignal {
    return this.#own.end.signal;
  }

  /** Resolves when the session has ended and everything it held has been released. Never rejects. */
  get cleanup(): Promise<CleanupSummary> {
    this.#cleanup ??= new LazyPromise();
    return this.#cleanup.promise;
  }

  /**
   * The services of the session, created by the host's option `services` on first use; `undefined` without that option.
   * @throws the error of that option, or `SESSION_ENDED` if they were not created before the end
   */
  get services(): Services {
    return this.#own.services;
  }

  /** Properties shared by all requests of the session. Read-only once it has ended. */
  get properties(): Properties {
    return this.#own.properties;
  }

  /**
   * The group of all sessions of the client, with its own properties, services and resources. Created on first use.
   * @throws `SESSION_ENDED` if the session ended before it joined a group
   */
  get group(): SessionGroup<ActiveSession> {
    if (!this.#extras?.group) {
      this.#checkAvailable("look at the group");
      this.#host.groupOf(this.identity);
    }
    return this.#extras!.group!.group;
  }

  // --- creating runners --------------------------------------------------------------------------------------------

  /**
   * Creates a runner that produces a sequence of items. It takes over the source and the `holds`: they are released with the
   * runner, or at once if the creation fails.
   * @param source an iterable, an async iterable, a `ReadableStream`, or a function that returns one
   * @param options see {@link RunnerOptions}; defaults come from the host
   * @returns the runner, started unless `start` is `"on-first-read"`
   * @throws `INVALID_SOURCE`, `INVALID_OPTION`, `SESSION_ENDED`, `RUNNER_START_FAILED` (`cause`: the error of the source),
   *   `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`, `IDENTITY_NOT_SAVED`
   * @example
   * const runner = await session.createSequenceRunner(async function* ({ signal }) {
   *   for (let page = 1; page <= 3 && !signal.aborted; page++) yield { page };
   * });
   */
  createSequenceRunner<T>(
    source: SequenceSource<T, SequenceContext<ActiveSession<Services>, Services>>,
    options: RunnerOptions = {},
  ): Promise<SequenceRunner<T>> {
    return this.#ensureRunners().create("create a sequence runner", options, {
      check: () => checkSource(source),
      make: (owner, settings) => createSequence(owner, source as SequenceSource<T>, settings),
      discard: (timeout, onLate) => discardSource(source, timeout, onLate),
    });
  }

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
  createTimeSeriesRunner<T>(
    series: TimeSeries<T>,
    options: RunnerOptions = {},
  ): Promise<SequenceRunner<Measurement<T>>> {
    const source = ({ signal, total }: SequenceContext) => {
      if (series.count !== undefined && series.count < Number.POSITIVE_INFINITY) total(series.count);
      return measure(series, signal);
    };
    return this.#ensureRunners().create("create a time-series runner", options, {
      check: () => checkTimeSeries(series),
      make: (owner, settings) => createSequence(owner, source, settings),
    });
  }

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
    options: RunnerOptions = {},
  ): Promise<ProcessRunner<T>> {
    return this.#ensureRunners().create("create a process runner", options, {
      check: () => checkBody(body),
      make: (owner, settings) => createProcess(owner, body as ProcessBody<T>, settings),
      kind: "process",
    });
  }

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
  createRunner(definition: RunnerDefinition, input: unknown, options: RunnerOptions = {}): Promise<Runner> {
    const given = withDefaults(options, definition);
    let checked: unknown;
    return this.#ensureRunners().create("create a runner", given, {
      check: async () => {
        checkDefinition(definition);
        checked = await validateInput(definition, input);
      },
      make: (owner, settings) => createDefined(owner, definition, checked, settings),
      definition,
      kind: Object(definition).kind,
    });
  }

  /**
   * Creates a runner from a definition and an input that is already validated.
   * @param once makes the call idempotent: a repeated one gets the runner of the first
   * @throws as {@link createRunner}; with `once` also `IDEMPOTENCY_KEY_REUSED`, `RUNNER_GONE`, and `RUNNER_ABORTED` if the
   *   key was stopped before
   * @internal
   */
  createChecked(definition: RunnerDefinition, checked: unknown, once?: Idempotency): Promise<Runner> {
    const given = withDefaults({}, definition);
    const create = (onMade: (runner: Runner) => void): Promise<Runner> =>
      this.#ensureRunners().create("create a runner", given, {
        make: (owner, settings) => {
          const runner = createDefined(owner, definition, checked, settings);
          onMade(runner);
          return runner;
        },
        definition,
        kind: definition.kind,
      });
    if (!once) return create(noop);
    this.#checkAvailable("create a runner");
    return this.#ensureRunners().once.create(once, create);
  }

  /**
   * The runner created, or being created, under an idempotency key. Rejects like {@link createChecked}.
   * @returns `undefined` if the key is unknown or forgotten
   * @internal
   */
  findCreated(once: Idempotency): Promise<Runner> | undefined {
    return this.#runners?.once.find(once);
  }

  /**
   * Stops the runner of an idempotency key. If its creation has not arrived yet, prevents it.
   * @returns the stopped runner, or `undefined` if there is none yet
   * @throws `RUNNER_GONE`, `SESSION_ENDED`
   * @internal
   */
  stopCreated(key: string): Runner | undefined {
    this.#checkAvailable("stop a runner");
    return this.#ensureRunners().once.stop(key);
  }

  // --- finding runners ---------------------------------------------------------------------------------------------

  /**
   * Finds a runner of this session. Restarts the idle timers of the runner and the session.
   * @param key the runner's key, or its number within the session; with a definition as the first argument, only a runner
   *   created from that definition is found, and has its type
   * @returns `undefined` if there is none, or the key belongs to another session or generation
   * @throws `SESSION_ENDED`, `INVALID_ARGUMENT` (no definition)
   */
  async findRunner(key: string | number): Promise<Runner | undefined>;
  async findRunner<T>(
    definition: SequenceDefinition<T, never>,
    key: string | number,
  ): Promise<SequenceRunner<T> | undefined>;
  async findRunner<T>(
    definition: ProcessDefinition<T, never>,
    key: string | number,
  ): Promise<ProcessRunner<T> | undefined>;
  async findRunner(first: RunnerDefinition | string | number, second?: string | number): Promise<Runner | undefined> {
    const definition = typeof first === "object" ? first : undefined;
    if (definition !== undefined) checkDefinition(definition);
    const key = typeof first === "object" ? second! : first;
    return this.#find(key, (runner) => !definition || runner.definition === definition);
  }

  /** Looks up and uses a runner; one that does not fit is not used. */
  #find(key: string | number, fits: (runner: Runner) => boolean): Runner | undefined {
    this.#checkAvailable("find a runner");
    return this.#runners?.find(key, fits);
  }

  /**
   * Like {@link findRunner}, for a sequence runner. The item type `T` is the caller's claim and is not checked.
   * @returns `undefined` if there is none, or it is of another kind
   * @throws `SESSION_ENDED`
   */
  async findSequenceRunner<T>(key: string | number): Promise<SequenceRunner<T> | undefined> {
    return this.#find(key, ({ kind }) => kind === "sequence") as SequenceRunner<T> | undefined;
  }

  /**
   * Like {@link findRunner}, for a process runner. The value type `T` is the caller's claim and is not checked.
   * @returns `undefined` if there is none, or it is of another kind
   * @throws `SESSION_ENDED`
   */
  async findProcessRunner<T>(key: string | number): Promise<ProcessRunner<T> | undefined> {
    return this.#find(key, ({ kind }) => kind === "process") as ProcessRunner<T> | undefined;
  }

  /** The session's runners in order of creation: a snapshot, taken at the first step. Listing does not reset idle timers. */
  async *runners(): AsyncGenerator<Runner, void, undefined> {
    yield* this.allRunners();
  }

  /** Like {@link runners}, but synchronous. @internal */
  allRunners(): Runner[] {
    return this.#runners?.all() ?? [];
  }

  /** True if this number has been given to a runner, present or removed. @internal */
  hasIssued(number: number): boolean {
    return this.#runners?.hasIssued(number) ?? false;
  }

  /** The runner with this number. Does not reset idle timers. @internal */
  peek(number: number): Runner | undefined {
    return this.#runners?.peek(number);
  }

  /** Number of items its sequence runners keep in memory. @internal */
  get retained(): number {
    return this.allRunners().reduce((sum, { kind, retained }) => sum + (kind === "sequence" ? retained : 0), 0);
  }

  /** Number of runners, finished ones included. @internal */
  get runnerCount(): number {
    return this.#runners?.size ?? 0;
  }

  /** Number of waiting reads and open responses. @internal */
  get openReadCount(): number {
    return this.#runners?.openReads ?? 0;
  }

  /** The least recently used runner without a hold, if there is one. @internal */
  idlestRunner(): RunnerEntry | undefined {
    return this.#runners?.idlest();
  }

  // --- resources and lifetime --------------------------------------------------------------------------------------

  /**
   * Takes over a resource: a disposable, which is disposed when the session ends, or a function, which is called then.
   * Resources are released in reverse order.
   * @returns a handle; disposing it releases the resource earlier
   * @throws `INVALID_ARGUMENT`, `SESSION_ENDED`; the resource is then left untouched
   */
  own(resource: Resource): Ownership {
    return this.#own.own(resource);
  }

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
  async lock(name: string, options: LockOptions = {}): Promise<SessionLock | undefined> {
    this.#checkAvailable("acquire a lock");
    checkOptions("acquire a lock", options, ["timeout", "signal"]);
    const extras = this.#ensureExtras();
    extras.locks ??= new SessionLocks();
    this.hold();
    try {
      return await extras.locks.acquire(name, options);
    } finally {
      this.release();
    }
  }

  /**
   * Ends the session, as a logout does. Idempotent.
   * @returns the promise of {@link cleanup}
   */
  terminate(): Promise<CleanupSummary> {
    return this.end("session-ended");
  }

  /** The reason of the end; `undefined` while the session is live. @internal */
  get endReason(): AbortReason | undefined {
    return this.#endReason;
  }

  /**
   * Registers an attempt to save the framework's session that identifies the client. Creations wait for it and fail with it:
   * without a saved session the client could never come back to its runner.
   * @internal
   */
  publish(attempt: Promise<void>): void {
    const extras = this.#ensureExtras();
    extras.pendingSave ??= new PendingSave();
    extras.pendingSave.add(attempt);
    attempt.catch((error: unknown) => this.#warn("the framework's session could not be saved", error));
  }

  /** True if all attempts to save the framework's session failed; the next request has to try again. @internal */
  get needsPublication(): boolean {
    return this.#extras?.pendingSave?.isNeeded ?? false;
  }

  /** Joins the client's group and holds it until this session is cleaned up. Has no effect if it is already in one. @internal */
  join(group: SessionGroup<ActiveSession>): void {
    this.#ensureExtras().group ??= { group, release: group.hold() };
  }

  /**
   * Gives the session to another identity. The lifetime starts again; the id stays, because the keys of the runners contain it.
   * @internal
   */
  moveTo(identity: TaggedIdentity): void {
    this.#id = this.id;
    this.identity = identity;
    this.createdAt = Math.ceil(performance.now());
    if (isOfUser(identity)) this.confirm();
  }

  /** Ends when the session changes hands: responses opened by the former owner must end. @internal */
  get handover(): Ending {
    return this.#ensureRunners().handover;
  }

  /**
   * Ends responses and reads that the former owner opened. Call after {@link moveTo}, once the host's tables are consistent:
   * listeners run here.
   * @internal
   */
  endFormerOpenings(): void {
    this.#runners?.handOver(runnerGone());
  }

  /** Leaves its current group, if any, and joins this one. @internal */
  joinInstead(group: SessionGroup<ActiveSession>): void {
    const extras = this.#ensureExtras();
    const former = extras.group;
    extras.group = { group, release: group.hold() };
    former?.release();
  }

  /**
   * Registers a request that obtained the session: it is not ended to make room, and its group outlives the request, even if
   * the session ends before.
   * @returns unregisters the request; call it exactly once
   * @internal
   */
  visit(): () => void {
    this.#visitors++;
    return () => {
      this.#visitors--;
      this.#leaveGroup();
    };
  }

  /** True while a request uses the session. @internal */
  get isVisited(): boolean {
    return this.#visitors > 0;
  }

  /** Releases the group once both the clean-up and the last request are finished. */
  #leaveGroup(): void {
    if (this.#cleanup?.isResolved && this.#visitors === 0) this.#extras?.group?.release();
  }

  /**
   * True if the client has proved that it can come back: its identity is a user of the application, or a later request brought
   * it back. Unconfirmed sessions have stricter limits, since a client that drops its cookies can create any number of them.
   * @internal
   */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  /** Marks the session as confirmed; moves it, and the items of its runners, to the lists and counters of those. @internal */
  confirm(): void {
    if (this.#isConfirmed) return;
    const { idleUnconfirmed, items } = this.#host;
    idleUnconfirmed.remove(this);
    this.#isConfirmed = true;
    for (const runner of this.allRunners()) runner.countIn(items);
    this.#host.confirmed(this);
    this.touch();
  }

  /** The counter for items of its runners. @internal */
  get items(): ItemTally {
    return this.#isConfirmed ? this.#host.items : this.#host.unconfirmedItems;
  }

  /** The list it waits in while nothing holds it. */
  get #idleList(): IdleList<ActiveSession> {
    return this.#isConfirmed ? this.#host.idleSessions : this.#host.idleUnconfirmed;
  }

  /** Restarts the idle timer, unless something holds the session. @internal */
  touch(): void {
    if (this.#holders === 0 && this.isAvailable) this.#idleList.touch(this);
  }

  /** Suspends the idle timer until {@link release} has been called as often. @internal */
  hold(): void {
    if (this.#holders++ === 0) this.#idleList.remove(this);
  }

  /** Undoes one {@link hold}. Counts as a use: the idle timer starts from now. @internal */
  release(): void {
    this.#holders--;
    this.touch();
  }

  /** Ends the session and returns the promise of {@link cleanup}. Idempotent; the first reason wins. @internal */
  end(reason: AbortReason): Promise<CleanupSummary> {
    this.endFor(reason);
    return this.cleanup;
  }

  /**
   * Like {@link end}, for callers that do not wait: creates no promise, which matters when thousands of sessions idle out at once.
   * The order matters: tables first, since events, abort listeners and `signal` run application code.
   * @internal
   */
  endFor(reason: AbortReason): void {
    if (this.#endReason) return;
    this.#endReason = reason;
    this.#idleList.remove(this);
    this.#host.forget(this);
    const runners = this.#runners?.all() ?? [];
    this.#host.events.emit("session.ended", () => ({ ...this.#names, reason, runners: runners.length }));
    this.#extras?.locks?.close(sessionEnded("acquire a lock", reason));
    const aborting = runners.map((runner) => runner.abortFor(reason)).filter((result) => result instanceof Promise);
    // With logs in memory none is pending.
    if (aborting.length > 0) void Promise.allSettled(aborting).then(() => this.#afterAborts(reason));
    else this.#afterAborts(reason);
  }

  /** All work has been stopped: the session's signal fires, and the clean-up begins. */
  #afterAborts(reason: AbortReason): void {
    this.#extras?.scope?.close(sessionEnded("go on", reason));
    if (this.#runners || this.#extras?.scope) void this.#cleanUp(reason);
    else this.#finishCleanup(nothingReleased, nothingReleased);
  }

  /** Releases everything the session held, each step bounded by `cleanupTimeout`. Never rejects. */
  async #cleanUp(reason: AbortReason): Promise<void> {
    const timeout = this.#host.settings.cleanupTimeout;
    this.#runners?.dispose(reason);
    const ofRunners = (await this.#runners?.disposed()) ?? [];
    const ofBelongings = (await this.#extras?.scope?.release(timeout)) ?? nothingReleased;
    this.#finishCleanup(mergeSummaries([...ofRunners, ofBelongings]), ofBelongings);
  }

  /**
   * Publishes the end of the clean-up.
   * @param summary of everything; resolves {@link cleanup}
   * @param ofBelongings of resources and services only: runners and failed creations have emitted events of their own
   */
  #finishCleanup(summary: CleanupSummary, ofBelongings: CleanupSummary): void {
    const isTrouble = ofBelongings.timedOut || ofBelongings.errors.length > 0;
    this.#host.events.emit("session.cleaned-up", () => ({ ...this.#names, ...ofBelongings }), isTrouble);
    this.#host.cleanedUp(this);
    this.#cleanup ??= new LazyPromise();
    this.#cleanup.resolve(summary);
    this.#leaveGroup();
  }

  /** Reports an error that no caller can receive. */
  #warn(message: string, error: unknown): void {
    this.#host.events.emit("warning", () => ({ message, ...this.#names, ...(error !== undefined && { error }) }));
  }

  /** Identifies the session in events. */
  get #names(): { session: string; generation: number } {
    return { session: this.id, generation: this.generation };
  }

  /**
   * Properties, services, owned resources and the end signal. Created on first use; after the end it is created closed, so that
   * a late `signal` is aborted and late properties are read-only.
   */
  get #own(): SessionScope<Services> {
    const extras = this.#ensureExtras();
    if (!extras.scope) {
      extras.scope = new SessionScope({
        makeServices: () => (this.#host.settings.services as ((session: this) => unknown) | undefined)?.(this),
        checkAvailable: (action) => this.#checkAvailable(action),
        warn: (message, error) => this.#warn(message, error),
      });
      if (this.#endReason) extras.scope.close(sessionEnded("go on", this.#endReason));
    }
    return extras.scope;
  }

  #ensureExtras(): Extras<Services> {
    this.#extras ??= new Extras();
    return this.#extras;
  }

  /** @throws `SESSION_ENDED` */
  #checkAvailable(action: string): void {
    if (this.#endReason) throw sessionEnded(action, this.#endReason);
  }

  /** The runners, created on first use. Not refused after the end: a creation must still take over and release its source. */
  #ensureRunners(): SessionRunners {
    this.#runners ??= new SessionRunners({
      session: this,
      host: this.#host,
      checkAvailable: (action) => this.#checkAvailable(action),
      admitRunner: () => this.#host.admitRunner(this),
      published: () => this.#published(),
      warn: (message, error) => this.#warn(message, error),
    });
    return this.#runners;
  }

  /**
   * Waits until the framework's session is saved: a client must be able to come back to a runner it learns of.
   * @throws `IDENTITY_NOT_SAVED` (`cause`: the error of the store), `SESSION_ENDED`
   */
  async #published(): Promise<void> {
    const pending = this.#extras?.pendingSave?.pending;
    if (!pending) return;
    try {
      await abortable(pending, this.signal);
    } catch (cause) {
      this.#checkAvailable("create a runner");
      const message = "Cannot create a runner: the framework's session could not be saved";
      throw new ActiveSessionError("IDENTITY_NOT_SAVED", message, { cause });
    }
  }
}

/** Parts that most sessions never have, in an object of their own: each field of an idle session counts. All are created on first use. */
class Extras<Services> {
  suffix: string | undefined;
  /** Properties, services, owned resources and the end signal. */
  scope: SessionScope<Services> | undefined;
  locks: SessionLocks | undefined;
  /** The client's group, and the function that ends this session's hold on it. */
  group: { readonly group: SessionGroup<ActiveSession>; readonly release: () => void } | undefined;
  /** The saving of the framework's session, if the client is identified by one. */
  pendingSave: PendingSave | undefined;
}

/** The summary of a clean-up that had nothing to do. */
const nothingReleased: CleanupSummary = { timedOut: false, errors: [] };

/** The error of an action on a session that has ended; also the reason its `signal` aborts with. */
function sessionEnded(action: string, reason: AbortReason): ActiveSessionError {
  return new ActiveSessionError(
    "SESSION_ENDED",
    `Cannot ${action}: the session must be live, received ended (${reason})`,
  );
}
