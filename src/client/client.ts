/** The browser's (or any `fetch` user's) side of the routes of runners. */
import { noop } from "../base/async.js";
import { CodedError } from "../base/coded-error.js";
import { controlOf } from "./connection.js";
import type { Definitions, InputOf, NameOf, ResultOf, Untyped } from "./definitions.js";
import {
  type AbortReason,
  type FollowOptions,
  RunnerFollower,
  type RunnerProgress,
  type RunnerStatus,
  runnerFailed,
} from "./follow.js";
import { type ClientOptions, queryOf, readJson, receive, request, requestJson } from "./request.js";
import { backOff } from "./waiting.js";

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

/** How to create. */
export interface CreateOptions extends Omit<FollowOptions, "offset"> {
  /** What the creation is known by: repeated with the same key it gives the same runner. Default: a new one. */
  readonly idempotencyKey?: string | undefined;
  /** The answer waits for so many items. Default: as many as a read of the runner asks for. */
  readonly minItems?: number | undefined;
  /** The answer brings at most so many items. Default: the server's page limit. */
  readonly maxItems?: number | undefined;
  /** How long the answer waits for them, s, at most 60. Default: as the server says, 1. */
  readonly timeout?: number | undefined;
}

/** The whole state of a runner. */
export interface RunnerState {
  readonly key: string;
  /** The name of the definition that it was created from, if it is a defined one. */
  readonly name?: string;
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

/** The body of the answer to a creation. */
interface FirstPage<T> extends RunnerState {
  readonly offset: number;
  readonly items: T[];
  readonly closed: boolean;
}

/** So often a creation is tried whose answer does not come; the first time counts. */
const tries = 6;

/**
 * Creates, reads, follows and stops the runners behind one URL. Every method throws `RUNNER_GONE` for a runner that is not
 * there, `SERVER_UNAVAILABLE` (or the server's own code) where another try may help, and `UNEXPECTED_RESPONSE`.
 */
export class RunnerClient<D extends Definitions = Untyped> {
  readonly #url: string;
  readonly #options: ClientOptions;

  /** @internal */
  constructor(url: string, options: ClientOptions) {
    this.#url = url;
    this.#options = options;
  }

  /**
   * Creates a runner from a definition that the server exposes, and resolves with its first page: iterate what you get for that
   * and everything that follows. A creation whose answer is lost is repeated, and still makes one runner. If `signal` aborts
   * before the answer, the runner is stopped, also if it has not been created yet.
   * @throws `INVALID_INPUT`, `CLIENT_LIMIT_REACHED` and the other codes of the server, `RUNNER_ABORTED`, the reason of `signal`
   */
  async create<N extends NameOf<D>>(
    name: N,
    ...[input, options = {}]: undefined extends InputOf<D, N>
      ? [input?: InputOf<D, N>, options?: CreateOptions]
      : [input: InputOf<D, N>, options?: CreateOptions]
  ): Promise<RunnerFollower<ResultOf<D, N>>> {
    const { idempotencyKey = randomKey(), minItems, maxItems, timeout, ...following } = options;
    const { signal } = following;
    signal?.throwIfAborted();
    const query = queryOf({ "min-items": minItems, "max-items": maxItems, timeout });
    const key = { "idempotency-key": idempotencyKey };
    const init = {
      ...{ method: "POST", body: JSON.stringify(input) ?? "", signal: signal ?? null },
      headers: { ...key, "content-type": "application/json" },
    };
    const page = await this.#create<ResultOf<D, N>>(`${this.#urlOf(name)}${query}`, init).catch((error) => {
      if (signal?.aborted) {
        // Nobody waits for this one, and it may outlive the page.
        const stop = { method: "POST", headers: key, keepalive: true };
        request(`${this.#urlOf(name)}/abort`, this.#options, stop).catch(noop);
      }
      throw error;
    });
    const { error, offset, ...state } = page;
    const first = { ...state, ...(error && { error: runnerFailed(error.message) }) };
    const onTaken = () => {
      // It has been taken as a whole. Whoever wants to come back to it has said so.
      if (!options.idempotencyKey && !following.onPlace) this.remove(page.key).catch(noop);
    };
    return new RunnerFollower(this.#urlOf(page.key), this.#options, following, { first, offset, onTaken });
  }

  async #create<T>(url: string, init: RequestInit & { signal: AbortSignal | null }): Promise<FirstPage<T>> {
    for (let attempt = 0; ; attempt++) {
      try {
        const response = await request(url, this.#options, init);
        // What is ours, and no JSON, has been cut off.
        const isOurs = response.headers.has("Stream-Next-Offset");
        return await (isOurs ? receive(() => response.json(), init.signal) : readJson(response, init.signal));
      } catch (error) {
        if ((error as CodedError)?.code !== "SERVER_UNAVAILABLE" || attempt === tries - 1) throw error;
        await backOff(attempt, error as never, init.signal ?? undefined);
      }
    }
  }

  /** Follows a runner from an offset on; nothing happens before it is iterated. */
  follow<T>(key: string, options: FollowOptions = {}): RunnerFollower<T> {
    if (options.offset !== "now") checkOffset(options.offset);
    return new RunnerFollower<T>(this.#urlOf(key), this.#options, options);
  }

  /** Reads one page of what is there, or, with `minItems`, waits for one. */
  async read<T>(
    key: string,
    { offset, maxItems, minItems, timeout, signal }: PageOptions = {},
  ): Promise<RunnerPage<T>> {
    checkOffset(offset);
    const isLive = minItems !== undefined;
    const query = queryOf({
      ...{ offset: offset ?? -1, "max-items": maxItems },
      ...(isLive && { live: "long-poll", "min-items": minItems, timeout }),
    });
    const response = await request(this.#urlOf(key) + query, this.#options, { signal: signal ?? null });
    const { streamNextOffset, runnerStatus, streamClosed } = controlOf(response.headers);
    const items = response.status === 204 ? [] : await readJson<T[]>(response, signal);
    const status = runnerStatus as RunnerStatus;
    return { items, position: Number(streamNextOffset), status, closed: Boolean(streamClosed) };
  }

  /** The client's runners, in order of creation; asking is no use of them. */
  list(): Promise<RunnerState[]> {
    return requestJson(this.#url, this.#options);
  }

  /** The runner's state; asking is no use of the runner. */
  state(key: string): Promise<RunnerState> {
    return requestJson(`${this.#urlOf(key)}/state`, this.#options);
  }

  /** Stops the work. The producer's signal has fired when this resolves, with the state that the runner then has. */
  abort(key: string): Promise<RunnerState> {
    return requestJson(`${this.#urlOf(key)}/abort`, this.#options, { method: "POST" });
  }

  /** Stops the work and removes the runner. */
  async remove(key: string): Promise<void> {
    await request(this.#urlOf(key), this.#options, { method: "DELETE", keepalive: true });
  }

  #urlOf(key: string): string {
    return `${this.#url}/${encodeURIComponent(key)}`;
  }
}

/** Pages that are not served securely have no `randomUUID`. */
function randomKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

function checkOffset(offset: number | undefined): void {
  if (offset === undefined || (Number.isSafeInteger(offset) && offset >= 0)) return;
  throw new CodedError("INVALID_ARGUMENT", 400, `The offset must be a position, received ${offset}`);
}

/**
 * Makes a client for the runners served at `url`.
 * @param url where the server has mounted its `runnerRouter`; outside of a page it must be absolute
 * @typeParam D what the server exposes, for `create` to know names, inputs and results: `typeof definitions`
 * @example
 * const client = createClient<typeof definitions>("/runners");
 * const search = await client.create("search", { word: "needle" });
 * for await (const match of search) show(match);
 * @throws `INVALID_OPTION`
 */
export function createClient<D extends Definitions = Untyped>(
  url: string,
  options: ClientOptions = {},
): RunnerClient<D> {
  const isAbsolute = /^https?:\/\//i.test(url);
  if (typeof url !== "string" || (!isAbsolute && typeof location === "undefined")) {
    throw new CodedError("INVALID_OPTION", 500, `The URL must be absolute outside of a page, received ${url}`);
  }
  return new RunnerClient<D>(url.replace(/\/+$/, ""), options);
}
