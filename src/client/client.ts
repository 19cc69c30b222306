import { abortable, createDeferred, noop } from "../base/async.js";
import { CodedError } from "../base/coded-error.js";
import { labelHeader } from "../protocol/headers.js";
import type { RunnerStateBody, RunnerStatus } from "../protocol/types.js";
import { backOff } from "./backoff.js";
import { type Received, requestPage } from "./connection.js";
import type { Definitions, InputOf, NameOf, ResultOf, Untyped } from "./definitions.js";
import { RunnerFollower } from "./follower.js";
import { type ClientOptions, checkText, codeOf, queryOf, request, requestJson } from "./request.js";
import type { FollowOptions, RunnerUpdate } from "./types.js";
import { toUpdate } from "./update.js";

/** Options of one request. */
export interface RequestOptions {
  /**
   * Stops waiting for the response: the method rejects with the signal's reason. The server may still carry the request out.
   * Default: none.
   */
  readonly signal?: AbortSignal | undefined;
}

/** Options of reading a page. */
export interface PageOptions extends RequestOptions {
  /** Where the page begins. Default: the beginning. */
  readonly offset?: number | undefined;
  /** The most items on the page. Default: the server's `pageLimit`, which is also the maximum. */
  readonly maxItems?: number | undefined;
  /** Waits until so many items lie behind `offset`, the runner has ended, or the time is up. Default: does not wait. */
  readonly minItems?: number | undefined;
  /** How long to wait for `minItems`, in whole seconds, 0 to 60. Default: the server's `longPollTimeout`, 25. */
  readonly timeout?: number | undefined;
}

/** Options of listing runners: which of them. All conditions have to be met. */
export interface ListOptions extends RequestOptions {
  /** Only those with this label. Default: all. */
  readonly label?: string | undefined;
  /** Only those of the definition with this name. Default: all. */
  readonly name?: string | undefined;
  /** Only those with this status. Default: all. */
  readonly status?: RunnerStatus | undefined;
  /** At most so many, 1 to 1000. Default: 1000. */
  readonly limit?: number | undefined;
  /** Only those created before the runner with this key: the last one of the list before. Default: all. */
  readonly before?: string | undefined;
}

/** Options of a creation. Those of following apply to the new runner, which is followed from the beginning. */
export interface CreateOptions extends Omit<FollowOptions, "offset"> {
  /**
   * Identifies the creation: repeated with the same key and input it returns the same runner. 1 to 255 visible ASCII characters.
   * The runner then stays available after its first page. Default: a random key.
   */
  readonly idempotencyKey?: string | undefined;
  /** What the application knows the work by, 1 to 128 characters: `list` and `follow` find it by that. Default: none. */
  readonly label?: string | undefined;
  /** The response waits for so many items. Default: the runner's `defaultAdvance`. */
  readonly minItems?: number | undefined;
  /** The most items in the response. Default: the server's `pageLimit`. */
  readonly maxItems?: number | undefined;
  /** How long the response waits for `minItems`, in whole seconds, 0 to 60. Default: the server's `firstPageTimeout`, 1. */
  readonly timeout?: number | undefined;
}

/** The complete state of a runner. */
export type RunnerState = RunnerStateBody;

/** The body of the response to a creation. */
interface FirstPage<T> extends RunnerState {
  /** The position of the first of `items`. */
  readonly offset: number;
  /** The first items; for a process its newest value, if it has one. */
  readonly items: T[];
  /** True if nothing follows. */
  readonly closed: boolean;
}

/** How often a creation, a stop or a removal is sent in all if the server cannot be reached. */
const tries = 6;
/** How long further creations wait for the response to the first one, ms. */
const longestHold = 5000;

/**
 * Creates, lists, reads, follows and stops the runners behind one URL, in a browser or wherever there is a `fetch`. Made by
 * {@link createClient}.
 *
 * All methods that send a request reject with `RUNNER_GONE` if the runner does not exist (any more), with `SERVER_UNAVAILABLE` or
 * the server's own code and the status 503 if a further attempt may help, with `UNAUTHORIZED` if the application answered 401, with
 * `UNEXPECTED_RESPONSE`, which names the URL, if the response is not one of the protocol's or may not be read (CORS), with
 * `INVALID_ARGUMENT` if a key or a name is not a text, and with the reason of `signal`.
 * @typeParam D the definitions that the server exposes
 * @example
 * const client = createClient("/runners");
 * for (const { key, name, status } of await client.list()) console.log(key, name, status);
 */
export class RunnerClient<D extends Definitions = Untyped> {
  /** Without a slash at the end. */
  readonly #url: string;
  /** How requests are sent. */
  readonly #options: ClientOptions;
  /**
   * The first creation until it is answered. Creations sent at the same time would each be given a session and a cookie of their
   * own, and the last cookie would win.
   */
  #first: Promise<unknown> | undefined;
  /** False once a creation has succeeded, or further ones have been held for long enough. */
  #mayHold = true;
  /** By the clock, ms: later than that, none is held. */
  #holdUntil: number | undefined;

  /** Use {@link createClient}. */
  constructor(url: string, options: ClientOptions) {
    this.#url = url;
    this.#options = options;
  }

  /**
   * Creates a runner from a definition that the server exposes, and resolves with its follower once the first page has arrived.
   * Iterating the follower yields that page and everything after it.
   *
   * A creation whose response is lost is repeated and still creates one runner. If `signal` aborts before the response, the runner
   * is stopped, even if the server has not created it yet. Concurrent creations wait for the client's first one, 5 s at most,
   * because a new user has no session before that. A runner that ends within its first page is removed once that has been taken,
   * unless `idempotencyKey`, `label` or `onPlace` is given.
   * @param name the definition's name
   * @param input the definition's input, sent as JSON
   * @param options see {@link CreateOptions}
   * @throws `INVALID_INPUT`, `CLIENT_LIMIT_REACHED` and other codes of the server; `IDEMPOTENCY_KEY_REUSED` with another input;
   *   `RUNNER_ABORTED` if the creation with this key was stopped before; the reason of `signal`; a `URIError` for a label that ends within
   *   a character
   * @example
   * const report = await client.create("report", { year: 2025 }, { idempotencyKey: "report-2025" });
   * await report.forEach(({ items, progress }) => console.log(progress.current, items));
   */
  async create<N extends NameOf<D>>(
    name: N,
    ...[input, options = {}]: undefined extends InputOf<D, N>
      ? [input?: InputOf<D, N>, options?: CreateOptions]
      : [input: InputOf<D, N>, options?: CreateOptions]
  ): Promise<RunnerFollower<ResultOf<D, N>>> {
    const { idempotencyKey, label, minItems, maxItems, timeout, ...following } = options;
    const { signal } = following;
    signal?.throwIfAborted();
    const url = this.#urlOf(name);
    // One key for all attempts: it makes the creation idempotent and lets it be stopped without the runner's key.
    const key = { "idempotency-key": idempotencyKey ?? randomKey() };
    const labelled = label !== undefined && { [labelHeader]: encodeURIComponent(label) };
    const headers = { ...key, ...labelled, "content-type": "application/json" };
    const details = { method: "POST", body: JSON.stringify(input) ?? "", headers, signal };
    const query = queryOf({ "min-items": minItems, "max-items": maxItems, timeout });
    // A loop: when the first creation fails, one of those that wait becomes the next first one.
    while (this.#first !== undefined) await abortable(this.#first, signal);
    const asking = this.#repeat<Received<FirstPage<ResultOf<D, N>>>>(
      () => requestPage(url + query, this.#options, details),
      signal,
    );
    this.#holdOthers(asking);
    const { body, control } = await asking.catch((error) => {
      // Not awaited: the caller has given up, and `keepalive` lets the request outlive the page. The idempotency key names the
      // runner, whose own key is unknown.
      if (signal?.aborted) {
        request(`${url}/abort`, this.#options, { method: "POST", headers: key, keepalive: true }).catch(noop);
      }
      throw error;
    });
    // All items have been taken and the place was not kept: free the server's memory.
    const onTaken = () => {
      if (!idempotencyKey && label === undefined && !following.onPlace) this.#remove(body.key, {}).catch(noop);
    };
    const created = { first: toUpdate(body?.items, control, url), offset: body.offset, onTaken };
    return new RunnerFollower(this.#urlOf(body.key), body.key, this.#options, following, created);
  }

  /**
   * Holds further creations back until this one is answered, or for {@link longestHold}. Does nothing once the client has a
   * session.
   */
  #holdOthers(asking: Promise<unknown>): void {
    if (!this.#mayHold) return;
    this.#holdUntil ??= Date.now() + longestHold;
    const first = createDeferred<void>();
    this.#first = first.promise;
    const over = () => {
      clearTimeout(timer);
      if (this.#first === first.promise) this.#first = undefined;
      first.resolve();
    };
    const timer = setTimeout(() => {
      this.#mayHold = false;
      over();
    }, this.#holdUntil - Date.now());
    void asking
      .then(() => {
        this.#mayHold = false;
      }, noop)
      .then(over);
  }

  /**
   * Follows a runner. Nothing is requested before the follower is iterated.
   * @param runner the runner's key, or the label of it: the newest runner with that label is followed then, and there being none is the
   *   error `RUNNER_GONE`
   * @param options see {@link FollowOptions}; by a label `offset` is `"earliest"` by default, since the page has none
   * @typeParam T type of an item, or of a process's value
   */
  follow<T>(runner: string | { readonly label: string }, options: FollowOptions = {}): RunnerFollower<T> {
    if (typeof runner !== "object" || runner === null)
      return new RunnerFollower<T>(this.#urlOf(runner), runner, this.#options, options);
    const { label } = runner;
    checkText("a label", label);
    const find = async (signal: AbortSignal) => {
      const [found] = await this.list({ label, limit: 1, signal });
      if (!found) throw new CodedError("RUNNER_GONE", 410, "The runner is gone");
      return { key: found.key, url: this.#urlOf(found.key) };
    };
    const { offset = "earliest" } = options;
    return new RunnerFollower<T>("", "", this.#options, { ...options, offset }, undefined, find);
  }

  /**
   * Reads one page: what is there at once or, with `minItems`, what arrives in time. A final status comes with the last page only.
   * Reading from an offset acknowledges everything before it.
   * @throws `POSITION_GONE`, `POSITION_AHEAD`, `RESULT_NOT_SERIALIZABLE` and what all methods throw
   */
  async read<T>(
    key: string,
    { offset = -1, maxItems, minItems, timeout, signal }: PageOptions = {},
  ): Promise<RunnerUpdate<T>> {
    const query = queryOf({
      ...{ offset, "max-items": maxItems },
      // `min-items` and `timeout` apply to long-polls only.
      ...(minItems !== undefined && { live: "long-poll", "min-items": minItems, timeout }),
    });
    const url = this.#urlOf(key) + query;
    const { body, control } = await requestPage<T[]>(url, this.#options, { signal });
    return toUpdate(body, control, url);
  }

  /** Lists the client's runners, the newest first. Does not reset their idle timers. */
  list({ signal, ...which }: ListOptions = {}): Promise<RunnerState[]> {
    return requestJson(this.#url + queryOf(which).replace(/\?$/, ""), this.#options, { signal });
  }

  /** Returns the state of a runner. Does not reset its idle timer. */
  async state(key: string, options: RequestOptions = {}): Promise<RunnerState> {
    return requestJson(`${this.#urlOf(key)}/state`, this.#options, options);
  }

  /**
   * Stops the work of a runner, which stays readable. Idempotent: repeated if the server cannot be reached.
   * @returns the state after the stop; the producer's signal has fired by then
   */
  abort(key: string, options: RequestOptions = {}): Promise<RunnerState> {
    const details = { ...options, method: "POST" };
    return this.#repeat(() => requestJson(`${this.#urlOf(key)}/abort`, this.#options, details), options.signal);
  }

  /** Stops the work of a runner and removes the runner. Repeated if the server cannot be reached. */
  async remove(key: string, options: RequestOptions = {}): Promise<void> {
    let isRepeated = false;
    const ask = async () => {
      try {
        await this.#remove(key, options);
      } catch (error) {
        // An earlier attempt, whose response was lost, has removed it.
        if (!isRepeated || codeOf(error) !== "RUNNER_GONE") throw error;
      } finally {
        isRepeated = true;
      }
    };
    await this.#repeat(ask, options.signal);
  }

  /** One attempt to remove a runner. `keepalive` lets it outlive the page. */
  async #remove(key: string, options: RequestOptions): Promise<void> {
    await request(this.#urlOf(key), this.#options, { ...options, method: "DELETE", keepalive: true });
  }

  /**
   * Sends an idempotent request again while the server cannot be reached, with a back-off between the attempts.
   * @throws the error of the last attempt; any other error at once; the reason of `signal`
   */
  async #repeat<R>(ask: () => Promise<R>, signal: AbortSignal | undefined): Promise<R> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await ask();
      } catch (error) {
        if (codeOf(error) !== "SERVER_UNAVAILABLE" || attempt === tries - 1) throw error;
        await backOff(attempt, error as CodedError, signal);
      }
    }
  }

  /**
   * The URL of a runner, or of a definition by its name. Encoded, so that a key cannot reach another address.
   * @throws `INVALID_ARGUMENT` unless it is a text and not empty
   */
  #urlOf(key: string): string {
    checkText("a key or a name", key);
    return `${this.#url}/${encodeURIComponent(key)}`;
  }
}

/** A random idempotency key of 128 bits. `crypto.randomUUID` exists in secure contexts only. */
export function randomKey(): string {
  return String(crypto.getRandomValues(new Uint32Array(4)));
}

/**
 * Creates a client for the runners served at `url`.
 * @param url where the server mounts its `runnerRouter`. Outside of a page it must be absolute unless `options.fetch` is given:
 *   requests throw a `TypeError` otherwise
 * @param options apply to every request
 * @typeParam D what the server exposes, as `typeof definitions`: gives `create` its names, inputs and results
 * @example
 * const client = createClient<typeof definitions>("/runners");
 * const search = await client.create("search", { word: "needle" });
 * for await (const match of search) show(match);
 */
export function createClient<D extends Definitions = Untyped>(
  url: string,
  options: ClientOptions = {},
): RunnerClient<D> {
  if (typeof url !== "string") {
    throw new CodedError(
      "INVALID_OPTION",
      500,
      `Cannot create a client: url must be a text like "/runners", received ${url}`,
    );
  }
  return new RunnerClient<D>(url.replace(/\/+$/, ""), options);
}
