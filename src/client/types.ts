/** What following a runner takes and gives. */
import type { CodedError } from "../base/coded-error.js";
import type { AbortReason, RunnerPhase, RunnerProgress, RunnerStatus } from "../protocol/types.js";

/** A piece of a runner's results, with the state after it. */
export interface RunnerUpdate<T> {
  /** New items in order; often none. For a process the newest value, if it has changed. */
  readonly items: readonly T[];
  /** The offset behind `items`, where the next update begins. */
  readonly position: number;
  /** The runner's status at `position`. */
  readonly status: RunnerStatus;
  /** The status in the words of a page: final with the last update, before that `starting` or `running`. */
  readonly phase: RunnerPhase;
  /** True if the work waits until items are acknowledged. */
  readonly paused: boolean;
  /** The state of the follower's connection; `closed` for a page and for the last update. */
  readonly connection: ConnectionState;
  /** How far the work has come, also beyond `position`. */
  readonly progress: RunnerProgress;
  /** True for the last update: nothing follows. */
  readonly closed: boolean;
  /** With the status `failed`: why, as an error with the code `RUNNER_FAILED`. */
  readonly error?: CodedError;
  /** With the status `aborted`: why. */
  readonly abortReason?: AbortReason;
}

/**
 * The state of a follower's connection:
 *
 * - `connecting`: a request is sent, nothing has arrived yet
 * - `open`: bytes have arrived
 * - `retrying`: the connection has failed; the next attempt follows
 * - `offline`: the same while the browser has no network
 * - `closed`: not iterated now, or the page is hidden and `whenHidden` is `"pause"`
 */
export type ConnectionState = "connecting" | "open" | "retrying" | "offline" | "closed";

/** A runner and an offset in it, from which it can be followed again. */
export interface RunnerPlace {
  /** The runner's key. */
  readonly key: string;
  /** The offset behind the items that the application has taken. */
  readonly offset: number;
}

/** Options of following a runner. */
export interface FollowOptions {
  /**
   * Where to begin: a position, `"now"` for new items only, or `"earliest"` for the first item that is still kept. Default: the
   * beginning, which fails with `POSITION_GONE` if its items have been dropped.
   */
  readonly offset?: number | "now" | "earliest" | undefined;
  /** Ends the following: the iteration throws the signal's reason. The runner goes on. Default: none. */
  readonly signal?: AbortSignal | undefined;
  /**
   * `"sse"` uses Server-Sent Events, and long-polls where those do not get through; `"long-poll"` uses long-polls from the start.
   * Default: `"sse"`.
   */
  readonly live?: "sse" | "long-poll" | undefined;
  /**
   * Behaviour while the page is hidden: `"follow"` goes on; `"pause"` keeps no connection, sends a sign of life every 20 s so that
   * the runner does not idle out, and catches up when the page is shown. Default: `"follow"`.
   */
  readonly whenHidden?: "follow" | "pause" | undefined;
  /**
   * Called with the place to continue from after a reload, before the server may drop the items before it. `savedRunner` of
   * `active-session/resume` stores it for the tab. Default: none.
   */
  readonly onPlace?: ((place: RunnerPlace) => void) | undefined;
  /** Called when the state of the connection changes. `error` is the reason for `retrying` and `offline`. Default: none. */
  readonly onConnection?: ((state: ConnectionState, error?: unknown) => void) | undefined;
}

/** The response to a creation, for the follower of the new runner. */
export interface Created<T> {
  /** Where the first update begins. */
  readonly offset: number;
  /** The first page, already received. */
  readonly first: RunnerUpdate<T>;
  /** Called when the first update was also the last one and has been taken. */
  readonly onTaken: () => void;
}

/** Finds a runner by what the application knows it by. Rejects with `RUNNER_GONE` if there is none. */
export type FindRunner = (signal: AbortSignal) => Promise<{ readonly key: string; readonly url: string }>;
