import { createDeferred, type Deferred, noop } from "../base/async.js";
import type { CodedError } from "../base/coded-error.js";
import type { CreateOptions, RunnerClient } from "../client/client.js";
import type { Definitions } from "../client/definitions.js";
import type { RunnerFollower } from "../client/follower.js";
import { savedRunner } from "../client/saved-runner.js";
import type { ConnectionState, FollowOptions, RunnerUpdate } from "../client/types.js";
import type { AbortReason } from "../protocol/types.js";
import { batch } from "./frame.js";
import {
  type Creation,
  nothing,
  type RunnerHookOptions,
  type RunnerView,
  starting,
  type Target,
} from "./runner-view.js";
import { Store } from "./store.js";

/** Back-pressure: with so many items not yet shown, no more are taken until the next frame. */
const waitingAtMost = 10_000;

/**
 * One runner, as a component renders it: followed while the store has subscribers, and continued from the
 * same place when it has some again.
 *
 *     idle ──start──▶ starting ──its first response──▶ running ──its end, an error──▶ over
 *       ▲                                                                               │
 *       └──────────────── start: the former runner is stopped, the view is reset ───────┘
 *
 * - Items are shown in batches, at most once a frame. If the page cannot keep up, no more are taken.
 * - Only the latest follower and the latest creation change the view; late responses of former ones are
 *   dropped.
 * @typeParam T type of an item, or of a process's value
 */
export class RunnerStore<T> extends Store<RunnerView<T>> {
  readonly #client: RunnerClient<Definitions>;
  /** Of the latest render. */
  #target: Target;
  #options: RunnerHookOptions;
  /** Schedules {@link #flush}. */
  readonly #batch = batch(() => this.#flush());
  /** Items not yet shown. */
  #waiting: T[] = [];
  /** Changes of the view not yet shown, apart from its items. */
  #changes: Partial<RunnerView<T>> = {};
  /** Resume the loop that waits for room, after the next flush. */
  #onFlushed: (() => void)[] = [];
  /** The current follower. Updates of any other are dropped. */
  #follower: RunnerFollower<T> | undefined;
  /**
   * Settles when the current loop has been left. The next one waits for it: a follower allows one
   * iteration at a time.
   */
  #following: Promise<void> = Promise.resolve();
  /** Cancels the retries of a stop once the runner has ended. */
  #stopping: AbortController | undefined;
  /** Cancels the creation under way. */
  #creation: AbortController | undefined;
  /** True once `start` was called; reset when the store falls asleep and stops the runner. */
  #isStarted = false;
  /** True while the store is asleep after having been awake: `start` then does nothing. */
  #isLeft = false;
  /** Counts the runners shown one after the other: the connection of a former one is of no interest. */
  #turn = 0;
  /** True if the component that used the store has another one now, because its input has changed. */
  #isReplaced = false;
  /** True once a runner is to be stopped that is still being looked for by its label. */
  #stopsWhenFound = false;
  /** Exists only while a component is suspended. */
  #firstAnswer: Deferred<void> | undefined;
  /** Called when the store falls asleep. */
  onSleep: () => void = noop;

  constructor(client: RunnerClient<Definitions>, target: Target, options: RunnerHookOptions) {
    super(nothing);
    this.#client = client;
    this.#target = target;
    this.#options = options;
  }

  /**
   * Takes target and options of the latest render. The target is the same runner, perhaps with another
   * input for the next start.
   */
  use(target: Target, options: RunnerHookOptions): void {
    this.#target = target;
    this.#options = options;
  }

  /** The component uses another store now: the runner is stopped, unless other components still use this one. */
  replace(): void {
    this.#isReplaced = !this.isWatched;
  }

  /** Resolves when there is something to render, or when a waiting component has to look again. */
  get firstAnswer(): Promise<void> {
    this.#firstAnswer ??= createDeferred();
    return this.#firstAnswer.promise;
  }

  /**
   * Creates the runner with this input or that of the component. A former one is stopped, and nothing of
   * it is shown any more. Does nothing for a runner followed by its key, or after the component was
   * unmounted.
   */
  readonly start = (input?: unknown): void => {
    if (this.#isLeft) return;
    if (!("create" in this.#target)) {
      if ("label" in this.#target && !this.#follower) this.wake(); // there may be one now
      return;
    }
    this.stop();
    this.#forget();
    this.#isStarted = true;
    this.show({ ...nothing, ...starting });
    this.remind();
    void this.#create(this.#target.create, input === undefined ? this.#target.input : input);
  };

  /**
   * Stops the work; the items stay. Before the first response the creation is cancelled. Does nothing if
   * the runner is not running.
   */
  readonly stop = (): void => {
    const { key = this.#follower?.key || undefined, isRunning } = this.snapshot();
    if (!isRunning) return;
    this.#stopsWhenFound = key === undefined && this.#follower !== undefined;
    if (key === undefined) this.#creation?.abort(new DOMException("The runner was stopped", "AbortError"));
    else this.#stopRunner(key);
  };

  /** Starts, or continues with the runner that was left. */
  protected wake(): void {
    this.#isLeft = this.#isReplaced = false;
    const target = this.#target;
    // Back from sleep: the follower continues behind what it has yielded.
    if (this.#follower) {
      if (this.snapshot().isRunning) this.#follow(this.#follower);
    } else if ("create" in target) {
      if (!this.#isStarted && !this.#join() && target.start !== "manual") this.start();
    } else {
      const runner = "label" in target ? target.label && target : target.key;
      if (!runner) return;
      this.show(starting);
      this.#follow(this.#client.follow<T>(runner, { ...this.#followOptions, offset: this.#options.offset }));
    }
  }

  /** Resolves the promise of suspended components; the next call of {@link firstAnswer} makes a new one. */
  protected override remind(): void {
    this.#firstAnswer?.resolve();
    this.#firstAnswer = undefined;
  }

  /** Closes the connection. A created runner is stopped unless it is to be left. */
  protected sleep(): void {
    this.#isLeft = true;
    this.onSleep();
    if (!("create" in this.#target) || !(this.#isReplaced || this.#options.onUnmount === "stop")) {
      this.#follower?.close();
      this.#showWaiting();
      return;
    }
    // A component that comes back after the stop starts from the beginning.
    this.stop();
    this.#forget();
    this.#isStarted = false;
    this.show(nothing);
  }

  /** Drops the follower and everything that is not yet shown. */
  #forget(): void {
    this.#turn++;
    this.#stopsWhenFound = false;
    this.#follower?.close();
    this.#follower = undefined;
    this.#creation = undefined;
    this.#waiting = [];
    this.#changes = {};
    this.#showWaiting();
  }

  /** Shows what waits at once, without a frame. */
  #showWaiting(): void {
    this.#batch.cancel();
    this.#flush();
  }

  /** Options for the client. The callbacks look up those of the latest render at the time of the call. */
  get #followOptions(): FollowOptions {
    const { live, whenHidden, onPlace } = this.#options;
    const turn = this.#turn;
    return {
      ...{ live, whenHidden },
      onPlace: onPlace && ((place) => this.#options.onPlace?.(place)),
      onConnection: (connection, error) => {
        if (turn === this.#turn && connection !== this.#connection) this.#change({ connection });
        this.#options.onConnection?.(connection, error);
      },
    };
  }

  /**
   * Stops the runner; repeated while the server cannot be reached, until the runner has ended. A final
   * failure is shown as `error`.
   */
  #stopRunner(key: string): void {
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#client.abort(key, { signal: stopping.signal }).catch((error) => {
      const isShown = this.isAwake && this.#stopping === stopping && this.snapshot().isRunning;
      if (isShown && error.code !== "RUNNER_GONE" && !stopping.signal.aborted) this.show({ error });
    });
  }

  /** The work that the tab keeps under the target's name, or `undefined`. */
  get #saved() {
    const { resume } = this.#target as Creation;
    return resume === undefined ? undefined : savedRunner<Definitions>(this.#client, resume);
  }

  /**
   * Continues with the work that the tab has kept, from the first item that the server still has. Work of
   * another definition or input is stopped, unless `start` is `"manual"`: then it has an input of its own.
   * @returns false if there is none
   */
  #join(): boolean {
    const target = this.#target as Creation;
    const saved = this.#saved;
    const kept = saved?.creation;
    if (!saved || !kept) return false;
    const isSame =
      kept.definition === target.create &&
      (target.start === "manual" || JSON.stringify(kept.input) === JSON.stringify(target.input));
    if (!isSame) {
      if (saved.place) this.#client.abort(saved.place.key).catch(noop);
      saved.forget();
      return false;
    }
    this.#isStarted = true;
    this.show({ ...starting, key: saved.place?.key });
    void this.#open(async (options) => {
      const { offset = "earliest" } = this.#options;
      const follower = await saved.resume<T>({ ...options, offset });
      if (follower || target.start === "manual") return follower;
      this.show({ key: undefined });
      return createBy<T>(saved, target.create, target.input, { ...options, label: target.label });
    });
    return true;
  }

  /** Creates the runner and follows it. */
  #create(name: string, input: unknown): Promise<void> {
    const by = this.#saved ?? this.#client;
    const { label } = this.#target as Creation;
    return this.#open((options) => createBy<T>(by, name, input, { ...options, label }));
  }

  /**
   * Follows what `open` gives. Never rejects: an error is shown if this is still the latest attempt.
   * @param open creates a runner or finds one again; `undefined` if there is none, and none is to be created
   */
  async #open(open: (options: FollowOptions) => Promise<RunnerFollower<T> | undefined>): Promise<void> {
    const creation = new AbortController();
    this.#creation = creation;
    try {
      const follower = await open({ ...this.#followOptions, signal: creation.signal });
      if (creation.signal.aborted && follower) this.#stopRunner(follower.key); // too late for the client to stop it: the response had arrived
      creation.signal.throwIfAborted();
      if (this.#creation !== creation) return; // another start has replaced it; what it has found was stopped then
      if (!follower) {
        this.#isStarted = false;
        this.show(nothing);
        return this.remind();
      }
      this.#follower = follower;
      this.show({ key: follower.key });
      if (this.isAwake) this.#follow(follower); // otherwise `wake` does it
    } catch (error) {
      if (this.#creation === creation) this.#end(creation.signal.aborted ? { abortReason: "stopped" } : { error });
    }
  }

  /** Follows after the loop under way has been left. */
  #follow(follower: RunnerFollower<T>): void {
    this.#follower = follower;
    this.show({ key: follower.key || undefined });
    this.#following = this.#following.then(() => this.#takeAll(follower));
  }

  /** Takes updates to the end, or until another follower is current. Never rejects. */
  async #takeAll(follower: RunnerFollower<T>): Promise<void> {
    try {
      // Several calls may be queued; only one that is still wanted opens a connection.
      const isOver = !(this.#changes.isRunning ?? this.snapshot().isRunning);
      if (this.#follower !== follower || !this.isAwake || isOver) return;
      for await (const update of follower.updates()) {
        if (this.#follower !== follower) return;
        this.#take(update);
        // Until the loop goes on, the follower neither reads nor acknowledges.
        if (this.#waiting.length >= waitingAtMost) await new Promise<void>((resolve) => this.#onFlushed.push(resolve));
      }
    } catch (error) {
      if (this.#follower !== follower) return;
      // There is no runner with the label, or none yet: nothing to show, and no failure.
      if (follower.key === "" && (error as CodedError).code === "RUNNER_GONE") this.#showNothing();
      else this.#end({ error });
    }
  }

  /** The view before the start; `start` looks again, and so does a component that is shown again. */
  #showNothing(): void {
    this.#forget();
    this.show(nothing);
    this.remind();
  }

  /**
   * Records an update for the next flush. Progress that is the same keeps its object, so that nothing is
   * rendered for it.
   */
  #take({ items, status, phase, paused, progress, closed, error, abortReason }: RunnerUpdate<T>): void {
    for (const item of items) this.#waiting.push(item);
    const known = this.#changes.progress ?? this.snapshot().progress;
    const isKnown = known?.current === progress.current && known.estimatedEnd === progress.estimatedEnd;
    this.#changes = {
      ...{ key: this.#follower?.key, connection: this.#connection, status, phase, paused },
      ...{ progress: isKnown ? known : progress, error, abortReason, isRunning: !closed },
    };
    if (closed) this.#stopping?.abort();
    else if (this.#stopsWhenFound && this.#follower) this.#stopRunner(this.#follower.key);
    this.#stopsWhenFound = false;
    this.#batch.soon();
  }

  /**
   * Records the end without a further update. Without subscribers it is shown at once: no frame is
   * scheduled.
   */
  #end({ error, abortReason }: { readonly error?: unknown; readonly abortReason?: AbortReason }): void {
    const phase = error ? "failed" : "aborted";
    this.#stopping?.abort();
    this.#change({
      error: error as CodedError | undefined,
      abortReason,
      phase,
      connection: "closed",
      isRunning: false,
    });
  }

  /** The state of the connection, shown or about to be. */
  get #connection(): ConnectionState {
    return this.#changes.connection ?? this.snapshot().connection;
  }

  /** Changes the view with the next frame, or at once where there will be none. */
  #change(changes: Partial<RunnerView<T>>): void {
    this.#changes = { ...this.#changes, ...changes };
    if (this.isAwake) this.#batch.soon();
    else this.#showWaiting();
  }

  /** Shows everything that waits in one change of the snapshot, and lets a paused loop go on. */
  #flush(): void {
    const { keep = Number.POSITIVE_INFINITY } = this.#options;
    const { items } = this.snapshot();
    const all = this.#waiting.length > 0 ? [...items, ...this.#waiting] : items;
    const kept = all.length > keep ? all.slice(all.length - keep) : all;
    this.show({ ...this.#changes, items: kept, latest: kept.at(-1) });
    this.#waiting = [];
    this.#changes = {};
    for (const resolve of this.#onFlushed.splice(0)) resolve();
    const { status, isRunning } = this.snapshot();
    if (status !== undefined || !isRunning) this.remind();
  }
}

/** Creates a runner whose types are not known here, by a client or under a name of the tab. */
function createBy<T>(
  by: { create(definition: never, input: never, options: CreateOptions): Promise<unknown> },
  definition: string,
  input: unknown,
  options: CreateOptions,
): Promise<RunnerFollower<T>> {
  return by.create(definition as never, input as never, options) as Promise<RunnerFollower<T>>;
}
