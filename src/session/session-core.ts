import { type Ending, LazyPromise } from "../base/async.js";
import { type CleanupSummary, mergeSummaries, nothingToReport } from "../base/dispose.js";
import { runnerGone } from "../base/error.js";
import { IdleEntry } from "../base/idle-list.js";
import { Lease } from "../base/lease.js";
import type { ItemTally } from "../log/result-log.js";
import type { AbortReason } from "../protocol/types.js";
import type { Runner } from "../runner/runner.js";
import type { RunnerCore } from "../runner/runner-core.js";
import type { ActiveSession } from "./active-session.js";
import { isOfUser, sessionIdFor, type TaggedIdentity } from "./identity.js";
import type { RunnerEntry } from "./runner-entry.js";
import type { RunnersOwner } from "./runners-owner.js";
import { type ScopeOwner, SessionScope } from "./scope.js";
import { sessionEnded } from "./session-ended.js";
import { SessionExtras } from "./session-extras.js";
import type { GroupCore } from "./session-group.js";
import type { SessionHost } from "./session-host.js";
import { SessionRunners } from "./session-runners.js";

/**
 * The life of a session: its identity, its idle time, its end, and what it holds. {@link ActiveSession} tells the order of things; its
 * subclass `Session` adds what applications use. One object for both, since an idle session should cost little memory.
 */
export abstract class SessionCore<Services = unknown> extends IdleEntry implements RunnersOwner, ScopeOwner {
  /**
   * When `maxLifetime` started to count: at creation or at the last change of owner. Monotonic clock, ms. Rounded, so that V8
   * stores a small integer.
   */
  createdAt = Math.ceil(performance.now());
  /** The identity of the client; changes when a login or logout moves the session. */
  identity: TaggedIdentity;

  readonly #host: SessionHost<SessionCore>;
  /** Relative to the host's first generation, so that V8 stores a small integer: the full number exceeds 31 bits. */
  readonly #generation: number;
  /** Computed on first use: the hash is not free, and most requests never need it. */
  #id: string | undefined;
  /** Number of holds that suspend the idle timer. */
  #holders = 0;
  // The following are created on first use: an idle session should cost little memory.
  #runners: SessionRunners | undefined;
  #extras: SessionExtras<Services, ActiveSession> | undefined;
  #cleanup: LazyPromise<CleanupSummary> | undefined;
  /** Set once, by the first {@link endFor}: the session is live as long as it is `undefined`. */
  #endReason: AbortReason | undefined;
  /** Number of unfinished requests that obtained the session from an adapter. */
  #visitors = 0;
  #isConfirmed: boolean;

  /** Created by the host only, which enters it into its tables. */
  constructor(
    host: SessionHost<SessionCore>,
    identity: TaggedIdentity,
    suffix: string | undefined,
    generation: number,
    isConfirmed = isOfUser(identity),
  ) {
    super();
    this.#host = host;
    this.identity = identity;
    if (suffix !== undefined) this.ensureExtras().suffix = suffix;
    this.#isConfirmed = isConfirmed;
    this.#generation = generation - host.firstGeneration;
  }

  get suffix(): string | undefined {
    return this.#extras?.suffix;
  }

  get id(): string {
    this.#id ??= sessionIdFor(this.#host.settings.secret, this.identity, this.suffix);
    return this.#id;
  }

  get generation(): number {
    return this.#host.firstGeneration + this.#generation;
  }

  get isAvailable(): boolean {
    return this.#endReason === undefined;
  }

  get isFresh(): boolean {
    return this.#runners?.isFresh ?? true;
  }

  get signal(): AbortSignal {
    return this.scope.end.signal;
  }

  get cleanup(): Promise<CleanupSummary> {
    this.#cleanup ??= new LazyPromise();
    return this.#cleanup.promise;
  }

  get services(): Services {
    return this.scope.services;
  }

  // --- runners -----------------------------------------------------------------------------------------------------

  /** Looks up and uses the newest runner with a label. */
  protected findLabelled(label: string): Runner | undefined {
    this.checkAvailable("find a runner");
    return this.#runners?.find(this.#runners.newestWith(label), () => true);
  }

  /** Looks up and uses a runner; one that does not fit is not used. */
  protected find(key: string | number, fits: (runner: Runner) => boolean): Runner | undefined {
    this.checkAvailable("find a runner");
    return this.#runners?.find(key, fits);
  }

  /** In order of creation. Listing does not reset idle timers. */
  allRunners(): RunnerCore[] {
    return this.#runners?.all() ?? [];
  }

  /** The runners with their uses, in order of creation. */
  runnerEntries(): Iterable<RunnerEntry> {
    return this.#runners?.entries() ?? [];
  }

  /** True if this number has been given to a runner, present or removed. */
  hasIssued(number: number): boolean {
    return this.#runners?.hasIssued(number) ?? false;
  }

  /** The runner with this number. Does not reset idle timers. */
  peek(number: number): RunnerCore | undefined {
    return this.#runners?.peek(number);
  }

  /** Number of items its sequence runners keep in memory. */
  get retained(): number {
    return this.allRunners().reduce((sum, { kind, retained }) => sum + (kind === "sequence" ? retained : 0), 0);
  }

  /** Number of runners, finished ones included. */
  get runnerCount(): number {
    return this.#runners?.size ?? 0;
  }

  /** Number of waiting reads and open responses. */
  get openReadCount(): number {
    return this.#runners?.openReads ?? 0;
  }

  /** See {@link SessionRunners.working} and {@link SessionRunners.running}. */
  countWork(which: "working" | "running"): number {
    return this.#runners?.[which] ?? 0;
  }

  // --- identity and confirmation -----------------------------------------------------------------------------------

  /** The reason of the end; `undefined` while the session is live. */
  get endReason(): AbortReason | undefined {
    return this.#endReason;
  }

  /**
   * Registers an attempt to save the framework's session that identifies the client. Creations wait for it and fail with it:
   * without a saved session the client could never come back to its runner.
   */
  publish(attempt: Promise<void>): void {
    this.ensureExtras().addSave(attempt);
    attempt.catch((error: unknown) => this.warn("the framework's session could not be saved", error));
  }

  /** True if all attempts to save the framework's session failed; the next request has to try again. */
  get needsPublication(): boolean {
    return this.#extras?.needsSave ?? false;
  }

  get group(): GroupCore<ActiveSession> {
    const { group } = this.#extras ?? {};
    if (group) return group;
    this.checkAvailable("look at the group");
    const own = this.#host.groupOf(this.identity);
    this.join(own); // a new group has let it join; one that is there may be about to
    return own;
  }

  /** Joins the client's group and holds it until this session is cleaned up. Has no effect if it is already in one. */
  join(group: GroupCore<ActiveSession>): void {
    this.ensureExtras().join(group);
  }

  /**
   * Gives the session to another identity. The lifetime starts again; the id stays, because the keys of the runners contain it.
   */
  moveTo(identity: TaggedIdentity): void {
    this.#id = this.id;
    this.identity = identity;
    this.createdAt = Math.ceil(performance.now());
    if (isOfUser(identity)) this.confirm();
  }

  /** Ends when the session changes hands: responses opened by the former owner must end. */
  get handover(): Ending {
    return this.ensureRunners().handover;
  }

  /**
   * Ends responses and reads that the former owner opened. Call after {@link moveTo}, once the host's tables are consistent:
   * listeners run here.
   */
  endFormerOpenings(): void {
    this.#runners?.handOver(runnerGone());
  }

  /** Leaves its current group, if any, and joins this one. */
  joinInstead(group: GroupCore<ActiveSession>): void {
    this.ensureExtras().joinInstead(group);
  }

  /**
   * Registers a request that obtained the session: it is not ended to make room, and its group outlives the request, even if
   * the session ends before.
   */
  visit(): Lease {
    this.#visitors++;
    return Lease.of(() => {
      this.#visitors--;
      this.#leaveGroup();
    });
  }

  /** True while a request uses the session. */
  get isVisited(): boolean {
    return this.#visitors > 0;
  }

  /** Releases the group once both the clean-up and the last request are finished. */
  #leaveGroup(): void {
    if (this.#cleanup?.isResolved && this.#visitors === 0) this.#extras?.leaveGroup();
  }

  /**
   * True if the client has proved that it can come back: its identity is a user of the application, or a later request brought
   * it back. Unconfirmed sessions have stricter limits, since a client that drops its cookies can create any number of them.
   */
  get isConfirmed(): boolean {
    return this.#isConfirmed;
  }

  /** Marks the session as confirmed; moves it, and the items of its runners, to the lists and counters of those. */
  confirm(): void {
    if (this.#isConfirmed) return;
    const { idle, items } = this.#host;
    idle.remove(this);
    this.#isConfirmed = true;
    for (const runner of this.allRunners()) runner.countIn(items);
    this.#host.confirmed(this);
    this.touch();
  }

  /** The counter for items of its runners. */
  get items(): ItemTally {
    return this.#isConfirmed ? this.#host.items : this.#host.unconfirmedItems;
  }

  /**
   * Restarts the idle timer, unless something holds the session.
   * @param now monotonic clock, ms
   */
  touch(now = performance.now()): void {
    if (this.#holders === 0 && this.isAvailable) this.#host.idle.touch(this, now);
  }

  /** Suspends the idle timer until {@link release} has been called as often. */
  hold(): void {
    if (this.#holders++ === 0) this.#host.idle.remove(this);
  }

  /** Undoes one {@link hold}. Counts as a use: the idle timer starts from now. */
  release(now = performance.now()): void {
    this.#holders--;
    this.touch(now);
  }

  /** Ends the session and returns the promise of {@link cleanup}. Idempotent; the first reason wins. */
  end(reason: AbortReason): Promise<CleanupSummary> {
    this.endFor(reason);
    return this.cleanup;
  }

  /**
   * Like {@link end}, for callers that do not wait: creates no promise, which matters when thousands of sessions idle out at once.
   * The order matters: tables first, since events, abort listeners and `signal` run application code.
   */
  endFor(reason: AbortReason): void {
    if (this.#endReason) return;
    this.#endReason = reason;
    this.#host.idle.remove(this);
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
    else this.#finishCleanup(nothingToReport, nothingToReport);
  }

  /** Releases everything the session held, each step bounded by `cleanupTimeout`. Never rejects. */
  async #cleanUp(reason: AbortReason): Promise<void> {
    const timeout = this.#host.settings.cleanupTimeout;
    this.#runners?.dispose(reason);
    const ofRunners = (await this.#runners?.disposed()) ?? [];
    const ofBelongings = (await this.#extras?.scope?.release(timeout)) ?? nothingToReport;
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

  /** Identifies the session in events. */
  get #names(): { session: string; generation: number } {
    return { session: this.id, generation: this.generation };
  }

  /**
   * Properties, services, owned resources and the end signal. Created on first use; after the end it is created closed, so that
   * a late `signal` is aborted and late properties are read-only.
   */
  protected get scope(): SessionScope<Services> {
    const extras = this.ensureExtras();
    if (!extras.scope) {
      extras.scope = new SessionScope(this);
      if (this.#endReason) extras.scope.close(sessionEnded("go on", this.#endReason));
    }
    return extras.scope;
  }

  protected ensureExtras(): SessionExtras<Services, ActiveSession> {
    this.#extras ??= new SessionExtras();
    return this.#extras;
  }

  /** The runners, if there have been any. */
  protected get runnersSoFar(): SessionRunners | undefined {
    return this.#runners;
  }

  /** The runners, created on first use. Not refused after the end: a creation must still take over and release its source. */
  protected ensureRunners(): SessionRunners {
    this.#runners ??= new SessionRunners(this, this.#host);
    return this.#runners;
  }

  // --- what its runners and its scope ask for ------------------------------------------------------------------------

  checkAvailable(action: string): void {
    if (this.#endReason) throw sessionEnded(action, this.#endReason);
  }

  admitRunner(): void {
    this.#host.admitRunner(this);
  }

  runnersGone(): void {
    this.#host.idle.hasNoRunners(this);
  }

  admitRead(): void {
    this.#host.admitRead(this);
  }

  published(): Promise<void> | undefined {
    return this.#extras?.saved(this, () => this.checkAvailable("create a runner"));
  }

  makeServices(): unknown {
    return (this.#host.settings.services as ((session: this) => unknown) | undefined)?.(this);
  }

  warn(message: string, error: unknown): void {
    this.#host.events.emit("warning", () => ({ message, ...this.#names, ...(error !== undefined && { error }) }));
  }
}
