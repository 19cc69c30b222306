/** What a component gives and renders. */
import type { CodedError } from "../base/coded-error.js";
import type { ConnectionState, FollowOptions } from "../client/types.js";
import type { AbortReason, RunnerPhase, RunnerProgress, RunnerStatus } from "../protocol/types.js";

/** The state of a runner, as a component renders it. */
export interface RunnerView<T> {
  /** The items that have arrived, in order; for a process its values. At most `keep` of them. */
  readonly items: readonly T[];
  /** The last of `items`; `undefined` if there is none. */
  readonly latest: T | undefined;
  /** The runner's status; `undefined` before the first response. */
  readonly status: RunnerStatus | undefined;
  /**
   * What to tell the user: `starting` until the first response, then `running`, then how it ended. `failed` also if `error` is why
   * nothing more comes. `undefined` before the start.
   */
  readonly phase: RunnerPhase | undefined;
  /** True if the work waits until items are acknowledged. */
  readonly paused: boolean;
  /** The state of the connection to the server. */
  readonly connection: ConnectionState;
  /** How far the work has come; `undefined` before the first response. */
  readonly progress: RunnerProgress | undefined;
  /**
   * Why nothing more comes: the runner failed, is gone or could not be created. Also set if it could not
   * be stopped.
   */
  readonly error: CodedError | undefined;
  /** Why the runner was aborted; `undefined` unless it was. */
  readonly abortReason: AbortReason | undefined;
  /** True while a response is awaited or more items may come. */
  readonly isRunning: boolean;
  /** The runner's key; `undefined` before it is known. */
  readonly key: string | undefined;
}

/**
 * Options of following a runner in a component. Callbacks are those of the latest render. `offset`
 * applies to a runner followed by its key.
 */
export interface RunnerHookOptions
  extends Pick<FollowOptions, "live" | "whenHidden" | "offset" | "onPlace" | "onConnection"> {
  /**
   * The most items to keep; older ones are dropped. A change applies from the next update on. Default:
   * all.
   */
  readonly keep?: number | undefined;
  /**
   * When the component is unmounted, for a runner that it has created: `"leave"` lets it go on for as long
   * as the server keeps a runner without readers, `"stop"` stops the work. A runner followed by its key
   * or label always goes on. Default: `"leave"`.
   */
  readonly onUnmount?: "stop" | "leave" | undefined;
}

/** A runner to create, or to find again under the name in `resume`. */
export interface Creation {
  readonly create: string;
  readonly input?: unknown;
  readonly start?: "now" | "manual" | undefined;
  readonly resume?: string | undefined;
  readonly label?: string | undefined;
}

/** The runner of a component: one that exists, by its key or label, or one to create. */
export type Target = { readonly key: string | null | undefined } | { readonly label: string } | Creation;

/** The view before the start. */
export const nothing: RunnerView<never> = {
  ...{ items: [], latest: undefined, status: undefined, progress: undefined, error: undefined, abortReason: undefined },
  ...{ phase: undefined, paused: false, connection: "closed", isRunning: false, key: undefined },
};

/** What a view shows from the start to the first response. */
export const starting = { phase: "starting", connection: "connecting", isRunning: true } as const;
