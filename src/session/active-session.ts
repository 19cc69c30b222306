/**
 * An active session: what one client has running on the server.
 *
 *     live ──terminate, idle, lifetime, shutdown──▶ ending ──▶ cleaned up
 *
 * - **live**: runners are made and found. Any use slides the idle time; a held runner (a pending read, an open response)
 *   stops it altogether.
 * - **ending** begins in one step: the session is out of the host's tables, creates and finds nothing any more, every runner
 *   is aborted and its signal fires. Then, one after the other, each bounded by `cleanupTimeout`: the runners are disposed
 *   and their holds released, the owned resources given back in reverse order, the services disposed.
 * - **cleaned up**: `cleanup` resolves, with what went wrong on the way. A step that failed never stopped the next one.
 */

import { abortable, LazyPromise, noop } from "../base/async.js";
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
import type { RunnerContext } from "../runner/producer.js";
import type { Runner } from "../runner/runner.js";
import { createSequence, type SequenceRunner } from "../runner/sequence-runner.js";
import { checkSource, discardSource, type SequenceSource } from "../runner/source.js";
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

/** What a session needs of its host. */
export interface SessionHost extends RunnersHost {
  /** No session of this host has a smaller one. */
  readonly firstGeneration: number;
  /** The list in which idle sessions wait for their end. */
  readonly idleSessions: IdleList<ActiveSession>;
  /** The same for those whose client has not come back yet. */
  readonly idleUnconfirmed: IdleList<ActiveSession>;
  /** Count what runners keep, of confirmed sessions and of the others. */
  readonly items: ItemTally;
  readonly unconfirmedItems: ItemTally;
  /** The client has come back. */
  confirmed(session: ActiveSession): void;
  /** The group of a client, made if there is none; every live session of the client holds it then. */
  groupOf(identity: TaggedIdentity): SessionGroup<ActiveSession>;
  /** Throws where this session, or the host, may not have one more runner. */
  admitRunner(session: ActiveSession): void;
  /** Throws where this session, or the host, may not have one more open read. */
  admitRead(session: ActiveSession): void;
  /** The session has ended and must not be found any more. */
  forget(session: ActiveSession): void;
  /** The clean-up of an ended session is over. */
  cleanedUp(session: ActiveSession): void;
}

/** The server-side object of one client: its runners, its resources, its lifetime. */
export class ActiveSession<Services = unknown> extends IdleEntry {
  /** Tells apart the sessions of one client; `undefined` for the plain one. */
  readonly suffix: string | undefined;
  /** When it was made, or changed hands, by the monotonic clock, in whole ms: a fraction would be an object of its own. @internal */
  createdAt = Math.ceil(performance.now());
  /** @internal */
  identity: TaggedIdentity;

  readonly #host: SessionHost;
  /** Counted from the host's first: as large as a generation is, a number would be an object of its own. */
  readonly #generation: number;
  #id: string | undefined;
  #holders = 0;
  #runners: SessionRunners | undefined;
  #belongings: SessionScope<Services> | undefined;
  #locks: SessionLocks | undefined;
  #group: { readonly group: SessionGroup<ActiveSession>; readonly release: () => void } | undefined;
  #cleanup: LazyPromise<CleanupSummary> | undefined;
  #endReason: AbortReason | undefined;
  #publication: PendingSave | undefined;
  /** Requests that have got the session from an adapter and are not over. */
  #visitors = 0;
  #isConfirmed: boolean;

  /** @internal */
  constructor(host: SessionHost, identity: TaggedIdentity, suffix: string | undefined, generation: number) {
    super();
    this.#host = host;
    this.identity = identity;
    this.suffix = suffix;
    this.#isConfirmed = isOfUser(identity);
    this.#generation = generation - host.firstGeneration;
  }

  /** The session's public id: a keyed hash of the identity that it was made for, followed by `.suffix` if it has one. */
  get id(): string {
    this.#id ??= sessionIdFor(this.#host.settings.secret, this.identity, this.suffix);
    return this.#id;
  }

  /** The number of this incarnation: later sessions of the same client have larger ones, also after a restart. */
  get generation(): number {
    return this.#host.firstGeneration + this.#generation;
  }

  /** False from the moment the session ends. */
  get isAvailable(): boolean {
    return this.#endReason === undefined;
  }

  /** True until a runner has been created or found in it. */
  get isFresh(): boolean {
    return this.#runners?.isFresh ?? true;
  }

  /** Aborts when the session ends, after its runners have been aborted. */
  get signal(): AbortSignal {
    return this.#own.end.signal;
  }

  /** Resolves when the session has ended and everything it held has been released. */
  get cleanup(): Promise<CleanupSummary> {
    this.#cleanup ??= new LazyPromise();
    return this.#cleanup.promise;
  }

  /** What the host's `services` makes for this session, at first use. Throws what that throws, or `SESSION_ENDED`. */
  get services(): Services {
    return this.#own.services;
  }

  /** Shared by all requests of the session; read-only from its end on. */
  get properties(): Properties {
    return this.#own.properties;
  }

  /** All sessions of the client, and what belongs to them together. Throws `SESSION_ENDED` if it was never asked for before. */
  get group(): SessionGroup<ActiveSession> {
    if (!this.#group) {
      this.#checkAvailable("look at the group");
      this.#host.groupOf(this.identity);
    }
    return this.#group!.group;
  }

  // --- creating runners --------------------------------------------------------------------------------------------

  /**
   * Creates a runner over an iterable, an async iterable, a stream, or a function that returns one. What is given, the runner
   * closes; if it cannot be created, the source is closed here.
   * @throws `INVALID_SOURCE`, `INVALID_OPTION`, `SESSION_ENDED`, `RUNNER_START_FAILED` (its `cause`: what the function threw)
   */
  createSequenceRunner<T>(
    source: SequenceSource<T, RunnerContext<ActiveSession<Services>, Services>>,
    options: RunnerOptions = {},
  ): Promise<SequenceRunner<T>> {
    return this.#ensureRunners().create("create a sequence runner", options, {
      check: () => checkSource(source),
      make: (owner, settings) => createSequence(owner, source as SequenceSource<T>, settings),
      discard: (timeout, onLate) => discardSource(source, timeout, onLate),
    });
  }

  /**
   * Creates a sequence runner that measures something at fixed times; its items are `{ time, value }`.
   * @throws `INVALID_ARGUMENT`, `INVALID_OPTION`, `SESSION_ENDED`
   */
  createTimeSeriesRunner<T>(
    series: TimeSeries<T>,
    options: RunnerOptions = {},
  ): Promise<SequenceRunner<Measurement<T>>> {
    const source = ({ signal }: RunnerContext) => measure(series, signal);
    return this.#ensureRunners().create("create a time-series runner", options, {
      check: () => checkTimeSeries(series),
      make: (owner, settings) => createSequence(owner, source, settings),
    });
  }

  /**
   * Creates a runner for a body that works towards one value and may report intermediate ones.
   * @throws `INVALID_SOURCE`, `INVALID_OPTION`, `SESSION_ENDED`
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
   * Creates a runner from a definition; its input is checked by the definition's validator.
   * @throws `INVALID_INPUT`, `INVALID_ARGUMENT`, `INVALID_OPTION`, `SESSION_ENDED`, `RUNNER_START_FAILED`
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
      kind: (Object(definition) as RunnerDefinition).kind,
    });
  }

  /**
   * Creates a runner from a definition and an input that has been checked; under an idempotency key only once.
   * @throws as {@link createRunner}, `IDEMPOTENCY_KEY_REUSED`, `RUNNER_GONE`, `RUNNER_ABORTED` if it has been stopped before
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

  /** What has been created under an idempotency key, as far as it is remembered. @internal */
  findCreated(once: Idempotency): Promise<Runner> | undefined {
    return this.#runners?.once.find(once);
  }

  /**
   * Stops what has been, is being or will be created under an idempotency key.
   * @returns the runner; `undefined`: there is none yet, and there will be none
   * @throws `RUNNER_GONE`
   * @internal
   */
  stopCreated(key: string): Runner | undefined {
    this.#checkAvailable("stop a runner");
    return this.#ensureRunners().once.stop(key);
  }

  // --- finding runners ---------------------------------------------------------------------------------------------

  /**
   * Finds a runner of this session by its key or number; it is a use of both. With a definition, only one that was made from it.
   * @returns `undefined` if there is none, or it belongs to another session or generation, or was made from something else
   * @throws `SESSION_ENDED`, `INVALID_ARGUMENT`
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

  #find(key: string | number, fits: (runner: Runner) => boolean): Runner | undefined {
    this.#checkAvailable("find a runner");
    return this.#runners?.find(key, fits);
  }

  /** Like {@link findRunner}, for a sequence runner with items of type `T`; `undefined` if it is of another kind. */
  async findSequenceRunner<T>(key: string | number): Promise<SequenceRunner<T> | undefined> {
    return this.#find(key, ({ kind }) => kind === "sequence") as SequenceRunner<T> | undefined;
  }

  /** Like {@link findRunner}, for a process runner with a value of type `T`; `undefined` if it is of another kind. */
  async findProcessRunner<T>(key: string | number): Promise<ProcessRunner<T> | undefined> {
    return this.#find(key, ({ kind }) => kind === "process") as ProcessRunner<T> | undefined;
  }

  /** The session's runners in order of creation, as of the call. Looking at them is no use. */
  async *runners(): AsyncGenerator<Runner, void, undefined> {
    yield* this.allRunners();
  }

  /** As {@link runners}, at once. @internal */
  allRunners(): Runner[] {
    return this.#runners?.all() ?? [];
  }

  /** Whether a runner with this number has been created, and is there or is not any more. @internal */
  hasIssued(number: number): boolean {
    return this.#runners?.hasIssued(number) ?? false;
  }

  /** The runner with this number, without using it. @internal */
  peek(number: number): Runner | undefined {
    return this.#runners?.peek(number);
  }

  /** How many items its runners keep. @internal */
  get retained(): number {
    return this.allRunners().reduce((sum, { kind, retained }) => sum + (kind === "sequence" ? retained : 0), 0);
  }

  /** How many runners it has. @internal */
  get runnerCount(): number {
    return this.#runners?.size ?? 0;
  }

  /** How many reads wait and responses are open. @internal */
  get openReadCount(): number {
    return this.#runners?.openReads ?? 0;
  }

  /** The least recently used runner of those that nobody is using. @internal */
  idlestRunner(): RunnerEntry | undefined {
    return this.#runners?.idlest();
  }

  // --- resources and lifetime --------------------------------------------------------------------------------------

  /**
   * Takes over a disposable or a function: it is disposed (called) when the session ends, the last one first, or sooner by
   * disposing what this returns.
   * @throws `INVALID_ARGUMENT`, or `SESSION_ENDED`; the resource is not touched then
   */
  own(resource: Resource): Ownership {
    return this.#own.own(resource);
  }

  /**
   * Acquires the lock of this name: of all who ask for it in this session one holds it, the others wait in order. Waiting is a
   * use of the session. Hand the lock to a runner by `holds`, or dispose it.
   * @returns `undefined` when the time is up
   * @throws `INVALID_ARGUMENT`, `INVALID_OPTION`, `SESSION_ENDED` (also while it waits), or the reason of `signal`
   */
  async lock(name: string, options: LockOptions = {}): Promise<SessionLock | undefined> {
    this.#checkAvailable("acquire a lock");
    checkOptions("acquire a lock", options, ["timeout", "signal"]);
    this.#locks ??= new SessionLocks();
    this.hold();
    try {
      return await this.#locks.acquire(name, options);
    } finally {
      this.release();
    }
  }

  /** Ends the session. Returns the clean-up promise; further calls get the same one. */
  terminate(): Promise<CleanupSummary> {
    return this.end("session-ended");
  }

  /** Why the session has ended, if it has. @internal */
  get endReason(): AbortReason | undefined {
    return this.#endReason;
  }

  /** IdempotentCreations wait until the client can come back, and fail if it never can: `attempt` is to see to that. @internal */
  publish(attempt: Promise<void>): void {
    this.#publication ??= new PendingSave();
    this.#publication.add(attempt);
    attempt.catch((error: unknown) => this.#warn("the framework's session could not be saved", error));
  }

  /** Whether it could not be saved so far that the session is this client's; then the next request tries again. @internal */
  get needsPublication(): boolean {
    return this.#publication?.isNeeded ?? false;
  }

  /** The group has been made, or is there already: this session keeps it until it is cleaned up. @internal */
  join(group: SessionGroup<ActiveSession>): void {
    this.#group ??= { group, release: group.hold() };
  }

  /** The session changes hands; its id, which its runners' keys have, stays, and its lifetime begins anew. @internal */
  moveTo(identity: TaggedIdentity): void {
    this.#id = this.id;
    this.identity = identity;
    this.createdAt = Math.ceil(performance.now());
    if (isOfUser(identity)) this.confirm();
  }

  /** Aborts when the session gets another owner: what was opened by the former one ends with it. @internal */
  get handover(): AbortSignal {
    return this.#ensureRunners().handover.signal;
  }

  /** Ends what the former owner has opened; to be called after {@link moveTo}, when the host's tables are right. @internal */
  endFormerOpenings(): void {
    this.#runners?.handOver(runnerGone());
  }

  /** It leaves the group that it was in for this one. @internal */
  joinInstead(group: SessionGroup<ActiveSession>): void {
    const former = this.#group;
    this.#group = { group, release: group.hold() };
    former?.release();
  }

  /** A request has got the session: its group stays as long as the request, also if the session ends. @internal */
  visit(): () => void {
    this.#visitors++;
    return () => {
      this.#visitors--;
      this.#leaveGroup();
    };
  }

  /** Whether a request is using the session. @internal */
  get isVisited(): boolean {
    return this.#visitors > 0;
  }

  #leaveGroup(): void {
    if (this.#cleanup?.isResolved && this.#visitors === 0) this.#group?.release();
  }

  /**
   * Whether its client has proved that it can come back: by an identity that the application knows, or by a later request. Until then
   * the session is not given much: anyone can have any number of them. @internal
   */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  /** A request has brought the identity of the session back. @internal */
  confirm(): void {
    if (this.#isConfirmed) return;
    const { idleUnconfirmed, items } = this.#host;
    idleUnconfirmed.remove(this);
    this.#isConfirmed = true;
    for (const runner of this.allRunners()) runner.countIn(items);
    this.#host.confirmed(this);
    this.touch();
  }

  /** Where the items of its runners are counted. @internal */
  get items(): ItemTally {
    return this.#isConfirmed ? this.#host.items : this.#host.unconfirmedItems;
  }

  get #idleList(): IdleList<ActiveSession> {
    return this.#isConfirmed ? this.#host.idleSessions : this.#host.idleUnconfirmed;
  }

  /** Starts the idle time anew, unless something holds the session. @internal */
  touch(): void {
    if (this.#holders === 0 && this.isAvailable) this.#idleList.touch(this);
  }

  /** Keeps the session from idling out until {@link release} has been called as often. @internal */
  hold(): void {
    if (this.#holders++ === 0) this.#idleList.remove(this);
  }

  /** @internal */
  release(): void {
    this.#holders--;
    this.touch();
  }

  /** @internal */
  end(reason: AbortReason): Promise<CleanupSummary> {
    this.endFor(reason);
    return this.cleanup;
  }

  /** As {@link end}, for who does not wait: of very many sessions that idle out, nobody does. @internal */
  endFor(reason: AbortReason): void {
    if (this.#endReason) return;
    this.#endReason = reason;
    this.#idleList.remove(this);
    this.#host.forget(this);
    const runners = this.#runners?.all() ?? [];
    this.#host.events.emit("session.ended", () => ({ ...this.#names, reason, runners: runners.length }));
    this.#locks?.close(sessionEnded("acquire a lock", reason));
    for (const runner of runners) runner.abortFor(reason);
    this.#belongings?.close(sessionEnded("go on", reason));
    if (this.#runners || this.#belongings) void this.#cleanUp(reason);
    else this.#finishCleanup(nothingReleased, nothingReleased);
  }

  async #cleanUp(reason: AbortReason): Promise<void> {
    const timeout = this.#host.settings.cleanupTimeout;
    this.#runners?.dispose(reason);
    const ofRunners = (await this.#runners?.disposed()) ?? [];
    const ofBelongings = (await this.#belongings?.release(timeout)) ?? nothingReleased;
    this.#finishCleanup(mergeSummaries([...ofRunners, ofBelongings]), ofBelongings);
  }

  /** The runners and the creations that failed have told of their own. */
  #finishCleanup(summary: CleanupSummary, ofBelongings: CleanupSummary): void {
    const isTrouble = ofBelongings.timedOut || ofBelongings.errors.length > 0;
    this.#host.events.emit("session.cleaned-up", () => ({ ...this.#names, ...ofBelongings }), isTrouble);
    this.#host.cleanedUp(this);
    this.#cleanup ??= new LazyPromise();
    this.#cleanup.resolve(summary);
    this.#leaveGroup();
  }

  #warn(message: string, error: unknown): void {
    this.#host.events.emit("warning", () => ({ message, ...this.#names, ...(error !== undefined && { error }) }));
  }

  get #names(): { session: string; generation: number } {
    return { session: this.id, generation: this.generation };
  }

  get #own(): SessionScope<Services> {
    if (!this.#belongings) {
      this.#belongings = new SessionScope({
        makeServices: () => (this.#host.settings.services as ((session: this) => unknown) | undefined)?.(this),
        checkAvailable: (action) => this.#checkAvailable(action),
        warn: (message, error) => this.#warn(message, error),
      });
      if (this.#endReason) this.#belongings.close(sessionEnded("go on", this.#endReason));
    }
    return this.#belongings;
  }

  #checkAvailable(action: string): void {
    if (this.#endReason) throw sessionEnded(action, this.#endReason);
  }

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

  /** A client must be able to come back to what it is told of. */
  async #published(): Promise<void> {
    const pending = this.#publication?.pending;
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

const nothingReleased: CleanupSummary = { timedOut: false, errors: [] };

function sessionEnded(action: string, reason: AbortReason): ActiveSessionError {
  return new ActiveSessionError(
    "SESSION_ENDED",
    `Cannot ${action}: the session must be live, received ended (${reason})`,
  );
}
