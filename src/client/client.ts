/** The browser's (or any `fetch` user's) side of the routes of runners. */

import { abortable, noop } from "../base/async.js";
import type { CodedError } from "../base/coded-error.js";
import type { RunnerStateBody } from "../protocol/types.js";
import { backOff, pause } from "./backoff.js";
import { type Received, requestPage } from "./connection.js";
import type { Definitions, InputOf, NameOf, ResultOf, Untyped } from "./definitions.js";
import { type FollowOptions, RunnerFollower, type RunnerUpdate, toUpdate } from "./follower.js";
import { type ClientOptions, queryOf, request, requestJson } from "./request.js";

/** How to ask. */
export interface RequestOptions {
  /** Gives up waiting for the answer; what has been asked for may be done all the same. */
  readonly signal?: AbortSignal | undefined;
}

/** What to read. */
export interface PageOptions extends RequestOptions {
  /** Where to begin. Default: the beginning. */
  readonly offset?: number | undefined;
  /** At most so many items. Default: the server's page limit. */
  readonly maxItems?: number | undefined;
  /** Waits until so many items lie behind `offset`, the end has come, or the time is up. Default: it does not wait. */
  readonly minItems?: number | undefined;
  /** How long it waits, s, at most 60. Default: as the server says. */
  readonly timeout?: number | undefined;
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
export type RunnerState = RunnerStateBody;

/** The body of the answer to a creation. */
interface FirstPage<T> extends RunnerState {
  readonly offset: number;
  readonly items: T[];
  readonly closed: boolean;
}

/** How often a request is made that may be repeated, if no answer comes: a creation, a stop, a removal. */
const tries = 6;
/** How long further creations wait for the first one, ms. */
const longestHold = 5000;

/**
 * Creates, reads, follows and stops the runners behind one URL. Every method throws `RUNNER_GONE` for a runner that is not
 * there, `SERVER_UNAVAILABLE` (or the server's own code) where another try may help, and `UNEXPECTED_RESPONSE`.
 */
export class RunnerClient<D extends Definitions = Untyped> {
  readonly #url: string;
  readonly #options: ClientOptions;
  /** The first creation, while it is not answered: each further one would be given a session, and a cookie, of its own. */
  #first: Promise<unknown> | undefined;
  #hasSession = false;

  /** @internal */
  constructor(url: string, options: ClientOptions) {
    this.#url = url;
    this.#options = options;
  }

  /**
   * Creates a runner from a definition that the server exposes, and resolves with its first page: iterate what you get for that
   * and everything that follows. A creation whose answer is lost is repeated, and still makes one runner. If `signal` aborts
   * before the answer, the runner is stopped, also if it has not been created yet. Creations wait for the answer to the client's
   * first one, 5 s at most: a user who is new has no session before it.
   * @throws `INVALID_INPUT`, `CLIENT_LIMIT_REACHED` and the other codes of the server, `RUNNER_ABORTED`, the reason of `signal`
   */
  async create<N extends NameOf<D>>(
    name: N,
    ...[input, options = {}]: undefined extends InputOf<D, N>
      ? [input?: InputOf<D, N>, options?: CreateOptions]
      : [input: InputOf<D, N>, options?: CreateOptions]
  ): Promise<RunnerFollower<ResultOf<D, N>>> {
    const { idempotencyKey, minItems, maxItems, timeout, ...following } = options;
    const { signal } = following;
    signal?.throwIfAborted();
    const url = this.#urlOf(name);
    const key = { "idempotency-key": idempotencyKey ?? randomKey() };
    const headers = { ...key, "content-type": "application/json" };
    const details = { method: "POST", body: JSON.stringify(input) ?? "", headers, signal };
    const query = queryOf({ "min-items": minItems, "max-items": maxItems, timeout });
    while (this.#first !== undefined) await abortable(this.#first, signal);
    const asking = this.#repeat<Received<FirstPage<ResultOf<D, N>>>>(
      () => requestPage(url + query, this.#options, details),
      signal,
    );
    this.#holdOthers(asking);
    const { body, control } = await asking.catch((error) => {
      if (signal?.aborted) {
        // Nobody waits for this one, and it may outlive the page.
        request(`${url}/abort`, this.#options, { method: "POST", headers: key, keepalive: true }).catch(noop);
      }
      throw error;
    });
    const onTaken = () => {
      // It has been taken as a whole. Whoever wants to come back to it has said so.
      if (!idempotencyKey && !following.onPlace) this.#remove(body.key, {}).catch(noop);
    };
    const created = { first: toUpdate(body?.items, control), offset: body.offset, onTaken };
    return new RunnerFollower(this.#urlOf(body.key), body.key, this.#options, following, created);
  }

  #holdOthers(asking: Promise<unknown>): void {
    if (this.#hasSession) return;
    const answered = new AbortController();
    const first = pause(longestHold, answered.signal)
      .catch(noop)
      .then(() => {
        if (this.#first === first) this.#first = undefined;
      });
    this.#first = first;
    void asking
      .then(() => {
        this.#hasSession = true;
      }, noop)
      .then(() => answered.abort());
  }

  /** Follows a runner from an offset on; nothing happens before it is iterated. */
  follow<T>(key: string, options: FollowOptions = {}): RunnerFollower<T> {
    return new RunnerFollower<T>(this.#urlOf(key), key, this.#options, options);
  }

  /** Reads one page of what is there, or, with `minItems`, waits for one. Its status is final only on the last page. */
  async read<T>(
    key: string,
    { offset = -1, maxItems, minItems, timeout, signal }: PageOptions = {},
  ): Promise<RunnerUpdate<T>> {
    const query = queryOf({
      ...{ offset, "max-items": maxItems },
      ...(minItems !== undefined && { live: "long-poll", "min-items": minItems, timeout }),
    });
    const { body, control } = await requestPage<T[]>(this.#urlOf(key) + query, this.#options, { signal });
    return toUpdate(body, control);
  }

  /** The client's runners, in order of creation; asking is no use of them. */
  list(options: RequestOptions = {}): Promise<RunnerState[]> {
    return requestJson(this.#url, this.#options, options);
  }

  /** The runner's state; asking is no use of the runner. */
  state(key: string, options: RequestOptions = {}): Promise<RunnerState> {
    return requestJson(`${this.#urlOf(key)}/state`, this.#options, options);
  }

  /** Stops the work. The producer's signal has fired when this resolves, with the state that the runner then has. */
  abort(key: string, options: RequestOptions = {}): Promise<RunnerState> {
    const details = { ...options, method: "POST" };
    return this.#repeat(() => requestJson(`${this.#urlOf(key)}/abort`, this.#options, details), options.signal);
  }

  /** Stops the work and removes the runner. A request whose answer is lost is repeated, as with {@link abort}. */
  async remove(key: string, options: RequestOptions = {}): Promise<void> {
    let isRepeated = false;
    const ask = async () => {
      try {
        await this.#remove(key, options);
      } catch (error) {
        // The one whose answer was lost has done it.
        if (!isRepeated || (error as CodedError)?.code !== "RUNNER_GONE") throw error;
      } finally {
        isRepeated = true;
      }
    };
    await this.#repeat(ask, options.signal);
  }

  async #remove(key: string, options: RequestOptions): Promise<void> {
    await request(this.#urlOf(key), this.#options, { ...options, method: "DELETE", keepalive: true });
  }

  /** Makes a request that may be repeated, again and again while the server cannot be reached; rejects with its last error. */
  async #repeat<R>(ask: () => Promise<R>, signal: AbortSignal | undefined): Promise<R> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await ask();
      } catch (error) {
        if ((error as CodedError)?.code !== "SERVER_UNAVAILABLE" || attempt === tries - 1) throw error;
        await backOff(attempt, error as CodedError, signal);
      }
    }
  }

  #urlOf(key: string): string {
    return `${this.#url}/${encodeURIComponent(key)}`;
  }
}

/** Pages that are not served securely have no `randomUUID`. */
function randomKey(): string {
  return String(crypto.getRandomValues(new Uint32Array(4)));
}

/**
 * Makes a client for the runners served at `url`.
 * @param url where the server has mounted its `runnerRouter`; outside of a page requests throw a `TypeError` unless it is absolute
 * @typeParam D what the server exposes, for `create` to know names, inputs and results: `typeof definitions`
 * @example
 * const client = createClient<typeof definitions>("/runners");
 * const search = await client.create("search", { word: "needle" });
 * for await (const match of search) show(match);
 */
export function createClient<D extends Definitions = Untyped>(
  url: string,
  options: ClientOptions = {},
): RunnerClient<D> {
  return new RunnerClient<D>(url.replace(/\/+$/, ""), options);
}
