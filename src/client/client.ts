/** The browser's (or any `fetch` user's) side of the routes of runners. */
import { checkInteger } from "../base/check.js";
import { ActiveSessionError, describe } from "../base/error.js";
import { controlOf } from "./connection.js";
import {
  type AbortReason,
  type FollowOptions,
  RunnerFollower,
  type RunnerProgress,
  type RunnerStatus,
} from "./follow.js";
import { type ClientOptions, parseJson, receive, request } from "./request.js";

/** One page of a runner. */
export interface RunnerPage<T> {
  /** The items, in order; of a process the newest value, if there is one. */
  readonly items: T[];
  /** The offset of the next page. */
  readonly position: number;
  /** The runner's status as far as this page goes: final only on the last one. */
  readonly status: RunnerStatus;
  /** Nothing will follow. */
  readonly closed: boolean;
}

/** What to read. */
export interface PageOptions {
  /** Where to begin. Default: the beginning. */
  readonly offset?: number | undefined;
  /** At most so many items. Default: the server's page limit. */
  readonly maxItems?: number | undefined;
  /** Waits until so many items lie behind `offset`, the end has come, or the time is up. Default: it does not wait. */
  readonly minItems?: number | undefined;
  /** How long it waits, s, at most 60. Default: as the server says. */
  readonly timeout?: number | undefined;
  /** Gives up the request; the runner goes on. */
  readonly signal?: AbortSignal | undefined;
}

/** The whole state of a runner. */
export interface RunnerState {
  readonly key: string;
  /** What it makes: items, or one value that changes. */
  readonly kind: "sequence" | "process";
  readonly status: RunnerStatus;
  /** How many items (reports) have been handed out. */
  readonly position: number;
  readonly progress: RunnerProgress;
  /** Whether the work has ended, whether or not its results have been read. */
  readonly isBackgroundCompleted: boolean;
  /** Why it failed; with the status `failed`. */
  readonly error?: { readonly code: string; readonly message: string };
  /** Why it was stopped; with the status `aborted`. */
  readonly abortReason?: AbortReason;
}

/**
 * Reads, follows and stops the runners behind one URL. Every method throws `RUNNER_GONE` for a runner that is not there,
 * `SERVER_UNAVAILABLE` where another try may help, and `UNEXPECTED_RESPONSE`.
 */
export class RunnerClient {
  readonly #url: string;
  readonly #options: ClientOptions;

  /** @internal */
  constructor(url: string, options: ClientOptions) {
    this.#url = url;
    this.#options = options;
  }

  /** Follows a runner from an offset on; nothing happens before it is iterated. */
  follow<T>(key: string, options: FollowOptions = {}): RunnerFollower<T> {
    if (options.offset !== undefined && options.offset !== "now") checkOffset(options.offset);
    return new RunnerFollower<T>(this.#urlOf(key), this.#options, options);
  }

  /** Reads one page of what is there, or, with `minItems`, waits for one. */
  async read<T>(
    key: string,
    { offset, maxItems, minItems, timeout, signal }: PageOptions = {},
  ): Promise<RunnerPage<T>> {
    if (offset !== undefined) checkOffset(offset);
    const query = new URLSearchParams({ offset: String(offset ?? -1) });
    if (maxItems !== undefined) query.set("max-items", String(maxItems));
    if (minItems !== undefined) {
      query.set("live", "long-poll");
      query.set("min-items", String(minItems));
      if (timeout !== undefined) query.set("timeout", String(timeout));
    }
    const response = await request(`${this.#urlOf(key)}?${query}`, signal ? { signal } : {}, this.#options);
    const { streamNextOffset, runnerStatus, streamClosed = false } = controlOf(response.headers);
    const items = response.status === 204 ? [] : parseJson<T[]>(await receive(() => response.text(), signal));
    return { items, position: Number(streamNextOffset), status: runnerStatus as RunnerStatus, closed: streamClosed };
  }

  /** The runner's state; asking is no use of the runner. */
  async state(key: string): Promise<RunnerState> {
    return this.#stateFrom(`${this.#urlOf(key)}/state`, {});
  }

  /** Stops the work. The producer's signal has fired when this resolves, with the state that the runner then has. */
  async abort(key: string): Promise<RunnerState> {
    return this.#stateFrom(`${this.#urlOf(key)}/abort`, { method: "POST" });
  }

  /** Stops the work and removes the runner. */
  async remove(key: string): Promise<void> {
    await request(this.#urlOf(key), { method: "DELETE" }, this.#options);
  }

  async #stateFrom(url: string, init: RequestInit): Promise<RunnerState> {
    const response = await request(url, init, this.#options);
    return parseJson<RunnerState>(await receive(() => response.text()));
  }

  #urlOf(key: string): string {
    return `${this.#url}/${encodeURIComponent(key)}`;
  }
}

function checkOffset(offset: number): void {
  checkInteger("read a runner", "offset", offset, { max: Number.MAX_SAFE_INTEGER });
}

/**
 * Makes a client for the runners served at `url`.
 * @param url where the server has mounted its `runnerRouter`; outside of a page it must be absolute
 * @example
 * const client = createClient("/runners");
 * for await (const match of client.follow<Match>(key, { offset: 20 })) show(match);
 * @throws `INVALID_OPTION`
 */
export function createClient(url: string, options: ClientOptions = {}): RunnerClient {
  const isAbsolute = /^https?:\/\//i.test(url);
  if (typeof url !== "string" || (!isAbsolute && typeof location === "undefined")) {
    const requirement = "the URL must be absolute outside of a page";
    throw new ActiveSessionError("INVALID_OPTION", `Cannot create a client: ${requirement}, received ${describe(url)}`);
  }
  return new RunnerClient(url.replace(/\/+$/, ""), options);
}
