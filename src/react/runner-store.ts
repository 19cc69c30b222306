/**
 * One runner as a component sees it: followed while somebody looks at it, from where it was left when somebody looks again.
 *
 *     idle ──start──▶ starting ──its first answer──▶ running ──its end, an error──▶ over
 *       ▲                                                                            │
 *       └──────────────── start: what ran is stopped, everything begins anew ────────┘
 *
 * Items are shown in batches, at most once a frame. When the page cannot keep up, no more are asked for.
 */

import { createDeferred, type Deferred, noop } from "../base/async.js";
import type { CodedError } from "../base/coded-error.js";
import type { RunnerClient } from "../client/client.js";
import type { Definitions } from "../client/definitions.js";
import type { FollowOptions, RunnerFollower, RunnerUpdate } from "../client/follower.js";
import type { AbortReason, RunnerProgress, RunnerStatus } from "../protocol/types.js";
import { batch } from "./frame.js";
import { Store } from "./store.js";

/** What is known of a runner. */
export interface RunnerView<T> {
  /** The items that have arrived, in order; of a process its values. */
  readonly items: readonly T[];
  /** The newest of them. */
  readonly latest: T | undefined;
  /** `undefined` before the first answer. */
  readonly status: RunnerStatus | undefined;
  readonly progress: RunnerProgress | undefined;
  /** Why there is nothing more: the runner failed, is gone, could not be created. */
  readonly error: CodedError | undefined;
  /** Why it was stopped, if it was. */
  readonly abortReason: AbortReason | undefined;
  /** Whether an answer is on its way, or more may come. */
  readonly isRunning: boolean;
  /** `undefined` before there is one. */
  readonly key: string | undefined;
}

/** What a component may say of how it follows. */
export interface RunnerHookOptions
  extends Pick<FollowOptions, "live" | "whenHidden" | "offset" | "onPlace" | "onConnection"> {
  /** Keeps only so many of the newest items; another number holds for what comes then. Default: all. */
  readonly keep?: number | undefined;
  /**
   * What happens to a runner that the component has created when it goes: `"stop"` (the default) stops the work, `"leave"` lets it
   * go on for as long as the server keeps what nobody looks at.
   */
  readonly onUnmount?: "stop" | "leave" | undefined;
}

/** What is to be followed. */
export type Target =
  | { readonly key: string | null | undefined }
  | { readonly create: string; readonly input?: unknown; readonly start?: "now" | "manual" | undefined };

/** So many items wait to be shown before no more are asked for. */
const waitingAtMost = 10_000;

const nothing: RunnerView<never> = {
  ...{ items: [], latest: undefined, status: undefined, progress: undefined, error: undefined, abortReason: undefined },
  ...{ isRunning: false, key: undefined },
};

/** See the top of the file. */
export class RunnerStore<T> extends Store<RunnerView<T>> {
  readonly #client: RunnerClient<Definitions>;
  #target: Target;
  #options: RunnerHookOptions;
  readonly #batch = batch(() => this.#flush());
  #waiting: T[] = [];
  #changes: Partial<RunnerView<T>> = {};
  #onFlushed: (() => void)[] = [];
  /** What is being followed; of the one before, nothing is shown any more. */
  #follower: RunnerFollower<T> | undefined;
  /** Settles when the loop under way has been left: only then the next one may begin. */
  #following: Promise<void> = Promise.resolve();
  /** Ends the trying of a stop that has become needless. */
  #stopping: AbortController | undefined;
  #creation: AbortController | undefined;
  #isStarted = false;
  /** Somebody has looked, and nobody does any more. */
  #isLeft = false;
  #firstAnswer: Deferred<void> | undefined;
  /** Is called when nobody looks any more. */
  onSleep: () => void = noop;

  constructor(client: RunnerClient<Definitions>, target: Target, options: RunnerHookOptions) {
    super(nothing);
    this.#client = client;
    this.#target = target;
    this.#options = options;
  }

  /** What the component says by now: the same runner, perhaps with another input for the next start. */
  use(target: Target, options: RunnerHookOptions): void {
    this.#target = target;
    this.#options = options;
  }

  /** Resolves when there is something to be seen, or when whoever waits has to look again. */
  get firstAnswer(): Promise<void> {
    this.#firstAnswer ??= createDeferred();
    return this.#firstAnswer.promise;
  }

  /** Begins anew, with this input or that of the component. What ran before is stopped. For a component that has gone, nothing. */
  readonly start = (input?: unknown): void => {
    if (!("create" in this.#target) || this.#isLeft) return;
    this.stop();
    this.#forget();
    this.#isStarted = true;
    this.show({ ...nothing, isRunning: true });
    this.remind();
    void this.#create(this.#target.create, input === undefined ? this.#target.input : input);
  };

  /** Stops the work; what has arrived stays. */
  readonly stop = (): void => {
    const { key, isRunning } = this.snapshot();
    if (!isRunning) return;
    if (key === undefined) this.#creation?.abort(new DOMException("The runner was stopped", "AbortError"));
    else this.#stopRunner(key);
  };

  protected wake(): void {
    this.#isLeft = false;
    const target = this.#target;
    if (this.#follower) {
      if (this.snapshot().isRunning) this.#follow(this.#follower);
    } else if ("create" in target) {
      if (!this.#isStarted && target.start !== "manual") this.start();
    } else if (target.key) {
      this.show({ isRunning: true });
      this.#follow(this.#client.follow<T>(target.key, { ...this.#followOptions, offset: this.#options.offset }));
    }
  }

  protected override remind(): void {
    this.#firstAnswer?.resolve();
    this.#firstAnswer = undefined;
  }

  protected sleep(): void {
    this.#isLeft = true;
    this.onSleep();
    if (!("create" in this.#target) || this.#options.onUnmount === "leave") {
      this.#follower?.close();
      this.#showWaiting();
      return;
    }
    // Whoever comes back to what was stopped begins anew.
    this.stop();
    this.#forget();
    this.#isStarted = false;
    this.show(nothing);
  }

  /** Nothing of what has been followed so far is shown any more. */
  #forget(): void {
    this.#follower?.close();
    this.#follower = undefined;
    this.#creation = undefined;
    this.#waiting = [];
    this.#changes = {};
    this.#showWaiting();
  }

  /** Now, without waiting for a frame. */
  #showWaiting(): void {
    this.#batch.cancel();
    this.#flush();
  }

  /** The callbacks are those that the component names by the time. */
  get #followOptions(): FollowOptions {
    const { live, whenHidden, onPlace } = this.#options;
    return {
      ...{ live, whenHidden },
      onPlace: onPlace && ((place) => this.#options.onPlace?.(place)),
      onConnection: (state, error) => this.#options.onConnection?.(state, error),
    };
  }

  /** Tried again while the server cannot be reached, until the runner has ended. A stop that fails for good is shown. */
  #stopRunner(key: string): void {
    const stopping = new AbortController();
    this.#stopping = stopping;
    this.#client.abort(key, { signal: stopping.signal }).catch((error) => {
      const isShown = this.isAwake && this.#stopping === stopping && this.snapshot().isRunning;
      if (isShown && error.code !== "RUNNER_GONE" && !stopping.signal.aborted) this.show({ error });
    });
  }

  async #create(name: string, input: unknown): Promise<void> {
    const creation = new AbortController();
    this.#creation = creation;
    const options = { ...this.#followOptions, signal: creation.signal };
    try {
      const follower = (await this.#client.create(name as never, input as never, options)) as RunnerFollower<T>;
      if (creation.signal.aborted) this.#stopRunner(follower.key); // a moment too late for the client to do it
      creation.signal.throwIfAborted();
      this.#follower = follower;
      this.show({ key: follower.key });
      if (this.isAwake) this.#follow(follower);
    } catch (error) {
      if (this.#creation === creation) this.#end(creation.signal.aborted ? { abortReason: "stopped" } : { error });
    }
  }

  #follow(follower: RunnerFollower<T>): void {
    this.#follower = follower;
    this.show({ key: follower.key });
    this.#following = this.#following.then(() => this.#takeAll(follower));
  }

  async #takeAll(follower: RunnerFollower<T>): Promise<void> {
    try {
      const isOver = !(this.#changes.isRunning ?? this.snapshot().isRunning);
      if (this.#follower !== follower || !this.isAwake || isOver) return;
      for await (const update of follower.updates()) {
        if (this.#follower !== follower) return;
        this.#take(update);
        if (this.#waiting.length >= waitingAtMost) await new Promise<void>((resolve) => this.#onFlushed.push(resolve));
      }
    } catch (error) {
      if (this.#follower === follower) this.#end({ error });
    }
  }

  #take({ items, status, progress, closed, error, abortReason }: RunnerUpdate<T>): void {
    for (const item of items) this.#waiting.push(item);
    const known = this.#changes.progress ?? this.snapshot().progress;
    const isKnown = known?.current === progress.current && known.estimatedEnd === progress.estimatedEnd;
    this.#changes = { status, progress: isKnown ? known : progress, error, abortReason, isRunning: !closed };
    if (closed) this.#stopping?.abort();
    this.#batch.soon();
  }

  #end({ error, abortReason }: { readonly error?: unknown; readonly abortReason?: AbortReason }): void {
    this.#changes = { ...this.#changes, error: error as CodedError | undefined, abortReason, isRunning: false };
    this.#stopping?.abort();
    if (this.isAwake) this.#batch.soon();
    else this.#showWaiting();
  }

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
