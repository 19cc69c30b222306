import { type CreateOptions, type RunnerClient, randomKey } from "./client.js";
import type { Definitions, InputOf, NameOf, ResultOf, Untyped } from "./definitions.js";
import type { RunnerFollower } from "./follower.js";
import { codeOf, isTemporary } from "./request.js";
import type { FollowOptions, RunnerPlace } from "./types.js";

/** What a tab keeps under a name, as JSON in its `sessionStorage`. */
interface Entry extends Partial<RunnerPlace> {
  /** The creation, stored before it is sent: repeated with the same idempotency key it leads to the same runner. */
  readonly creation: {
    readonly definition: string;
    readonly input: unknown;
    readonly idempotencyKey: string;
    readonly label?: string | undefined;
  };
}

/**
 * One piece of work that a tab finds again after a reload, under a name of the page's choice. Made by {@link savedRunner}.
 *
 *     nothing ──create──▶ creation stored ──its response──▶ place stored, and moved on with each acknowledgement
 *        ▲                      │                                  │
 *        └── forget, or the runner is gone, or the creation is refused ──┘
 *
 * If storage is full or blocked, nothing is stored and nothing fails.
 * @typeParam D the definitions that the server exposes
 */
export class SavedRunner<D extends Definitions = Untyped> {
  readonly #client: RunnerClient<D>;
  /** The key in `sessionStorage`. */
  readonly #entryName: string;

  /** Made by the client. */
  constructor(client: RunnerClient<D>, name: string) {
    this.#client = client;
    this.#entryName = `active-session:${name}`;
  }

  /** Where the page stands in the runner; `undefined` if nothing is stored, or the creation has not been answered yet. */
  get place(): RunnerPlace | undefined {
    const { key, offset = 0 } = this.#entry ?? {};
    return key === undefined ? undefined : { key, offset };
  }

  /** The definition and the input of the stored work; `undefined` if nothing is stored. */
  get creation(): { readonly definition: string; readonly input: unknown } | undefined {
    return this.#entry?.creation;
  }

  /**
   * Creates a runner as `client.create` does and stores it, first its idempotency key: a reload before the response finds it, too.
   * Replaces what was stored; that work goes on until it is stopped or idles out.
   * @param definition the definition's name
   * @param input the definition's input, which is stored with it
   * @param options see {@link CreateOptions}
   * @throws what `client.create` throws
   */
  async create<N extends NameOf<D>>(
    definition: N,
    ...[input, options = {}]: undefined extends InputOf<D, N>
      ? [input?: InputOf<D, N>, options?: CreateOptions]
      : [input: InputOf<D, N>, options?: CreateOptions]
  ): Promise<RunnerFollower<ResultOf<D, N>>> {
    const { idempotencyKey = randomKey(), label } = options;
    const creation = { definition, input, idempotencyKey, label };
    this.#store({ creation });
    const create = this.#client.create as (...args: unknown[]) => Promise<RunnerFollower<ResultOf<D, N>>>;
    try {
      return await create.call(this.#client, definition, input, {
        ...options,
        idempotencyKey,
        onPlace: this.#keepPlace(creation, options.onPlace),
      });
    } catch (error) {
      // After a temporary error the server may have created it all the same.
      if (!isTemporary(error)) this.#forgetOnly(idempotencyKey);
      throw error;
    }
  }

  /**
   * Continues with the stored work: behind what the page has taken, or from `options.offset`. A creation whose response was lost in
   * the reload is repeated, and begins at its first item.
   * @param options see {@link FollowOptions}; `offset: "earliest"` shows everything again that the server still keeps, which is all
   *   with `retain: "all"`
   * @typeParam T type of an item, or of a process's value
   * @returns `undefined` if nothing is stored, or the runner is gone or was stopped before its creation was answered
   * @throws the reason of `signal`; the errors of a creation
   */
  async resume<T = ResultOf<D, NameOf<D>>>(options: FollowOptions = {}): Promise<RunnerFollower<T> | undefined> {
    const entry = this.#entry;
    if (!entry) return undefined;
    const { definition, input, idempotencyKey, label } = entry.creation;
    const { offset = entry.offset, signal, onPlace } = options;
    try {
      if (entry.key === undefined) {
        const again = this.create as (...args: unknown[]) => Promise<RunnerFollower<T>>;
        return await again.call(this, definition, input, { ...options, idempotencyKey, label });
      }
      // Only whether it is gone matters: a follower deals with all other errors.
      await this.#client.state(entry.key, { signal }).catch((error) => {
        if (signal?.aborted || codeOf(error) === "RUNNER_GONE") throw error;
      });
    } catch (error) {
      if (signal?.aborted || !/^(RUNNER_(GONE|ABORTED)|IDEMPOTENCY_KEY_REUSED)$/.test(codeOf(error) ?? "")) throw error;
      this.#forgetOnly(idempotencyKey);
      return undefined;
    }
    return this.#client.follow<T>(entry.key, { ...options, offset, onPlace: this.#keepPlace(entry.creation, onPlace) });
  }

  /** Deletes what is stored: the next {@link resume} gives `undefined`. The work itself goes on. */
  forget(): void {
    try {
      sessionStorage.removeItem(this.#entryName);
    } catch {}
  }

  get #entry(): Entry | undefined {
    try {
      const entry: Entry | null = JSON.parse(sessionStorage.getItem(this.#entryName) ?? "null");
      return entry?.creation ? entry : undefined;
    } catch {
      return undefined;
    }
  }

  #store(entry: Entry): void {
    try {
      sessionStorage.setItem(this.#entryName, JSON.stringify(entry));
    } catch {}
  }

  /** Stores the place, unless other work has taken the name meanwhile. */
  #keepPlace(creation: Entry["creation"], onPlace: FollowOptions["onPlace"]): (place: RunnerPlace) => void {
    return (place) => {
      if (this.#entry?.creation.idempotencyKey === creation.idempotencyKey) this.#store({ creation, ...place });
      onPlace?.(place);
    };
  }

  /** Forgets the creation with this key, not one that has replaced it. */
  #forgetOnly(idempotencyKey: string): void {
    if (this.#entry?.creation.idempotencyKey === idempotencyKey) this.forget();
  }
}

/**
 * Gives access to the work that this tab keeps under a name, to find it again after a reload: in the tab's `sessionStorage`, so
 * that a second tab has its own.
 * @param client made by `createClient`
 * @param name tells apart the works of a page
 * @example
 * const saved = savedRunner(client, "search");
 * const search = (await saved.resume()) ?? (await saved.create("search", { word: "needle" }));
 * for await (const match of search) show(match);
 * saved.forget(); // the next visit starts another one
 */
export function savedRunner<D extends Definitions>(client: RunnerClient<D>, name: string): SavedRunner<D> {
  return new SavedRunner(client, name);
}
