import { createDeferred, type Deferred, type Ending } from "../base/async.js";
import { disposeOf, isResource } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";

/** The name of a property together with the type of its value; returned by {@link defineProperty}. */
export interface PropertyDefinition<T> {
  /** The key of the property: definitions with equal names share one value. */
  readonly name: string;
  /** Exists only in the type system; never set. */
  readonly type?: T;
}

/**
 * Defines a typed property. The type `T` is a promise of the application; values are not checked at run time.
 * @example
 * const cart = defineProperty<Cart>("cart");
 * session.properties.set(cart, { items: [] });
 * session.properties.get(cart)?.items; // typed
 * @throws `INVALID_ARGUMENT` unless `name` is a non-empty string
 */
export function defineProperty<T>(name: string): PropertyDefinition<T> {
  return Object.freeze({ name: nameOf(name) });
}

/** The session or group that a {@link Properties} object belongs to. */
export interface PropertyOwner {
  /**
   * @param action for the error message: "Cannot {action}: …"
   * @throws `SESSION_ENDED` if the owner has ended
   */
  checkAvailable(action: string): void;
  /** Reports an error of application code that cannot reach any caller. */
  warn(message: string, error: unknown): void;
}

/**
 * Properties of a session or group: a map shared by all requests of the client, in the memory of this process. After the end of its
 * owner it can be read but not changed. Iteration uses a snapshot, so changing the map meanwhile is safe.
 * @example
 * session.properties.set("theme", "dark");
 * session.properties.get("theme"); // unknown; use `defineProperty` for a typed value
 */
export class Properties implements Iterable<[string, unknown]> {
  readonly #owner: PropertyOwner;
  readonly #end: Ending;
  readonly #values = new Map<string, unknown>();
  /** Pending `getOrCreate` calls by name: concurrent calls share one factory call. */
  readonly #beingCreated = new Map<string, Deferred<unknown>>();

  /**
   * Created by the session or group, at the first use of its properties.
   * @param end the end of the owner: makes the properties read-only, and its reason rejects pending calls of `getOrCreate`
   */
  constructor(owner: PropertyOwner, end: Ending) {
    this.#owner = owner;
    this.#end = end;
  }

  /** True once the session or group has ended. */
  get isReadOnly(): boolean {
    return this.#end.aborted;
  }

  /** Number of properties set. */
  get size(): number {
    return this.#values.size;
  }

  /**
   * Returns the value of a property, or `undefined` if it is not set.
   * @throws `INVALID_ARGUMENT` for an empty name
   */
  get<T>(property: PropertyDefinition<T>): T | undefined;
  get(name: string): unknown;
  get(property: string | PropertyDefinition<unknown>): unknown {
    return this.#values.get(nameOf(property));
  }

  /** True if the property is set, even to `undefined`. */
  has(property: string | PropertyDefinition<unknown>): boolean {
    return this.#values.has(nameOf(property));
  }

  /**
   * Sets a property. A value that it replaces is not disposed.
   * @throws `SESSION_ENDED` if the session or group has ended, `INVALID_ARGUMENT` for an empty name
   */
  set<T>(property: PropertyDefinition<T>, value: T): this;
  set(name: string, value: unknown): this;
  set(property: string | PropertyDefinition<unknown>, value: unknown): this {
    this.#owner.checkAvailable("set a property");
    this.#values.set(nameOf(property), value);
    return this;
  }

  /**
   * Removes a property. Its value is not disposed.
   * @returns false if it was not set
   * @throws `SESSION_ENDED` if the session or group has ended, `INVALID_ARGUMENT` for an empty name
   */
  delete(property: string | PropertyDefinition<unknown>): boolean {
    this.#owner.checkAvailable("delete a property");
    return this.#values.delete(nameOf(property));
  }

  /**
   * Returns the value of a property, or creates it with `factory`, which may be async. Concurrent calls for one property share a
   * single call of `factory` and its outcome. After a failure the next call tries again. If the property is set or the session ends
   * while `factory` runs, its value is discarded, and disposed if it is disposable; callers get the value that was set.
   * @throws errors of `factory`; `SESSION_ENDED`, also when the session ends meanwhile; `INVALID_ARGUMENT` for an empty name
   */
  async getOrCreate<T>(property: PropertyDefinition<T>, factory: () => T | Promise<T>): Promise<T>;
  async getOrCreate<T>(name: string, factory: () => T | Promise<T>): Promise<T>;
  async getOrCreate<T>(property: string | PropertyDefinition<T>, factory: () => T | Promise<T>): Promise<T> {
    const name = nameOf(property);
    if (this.#values.has(name)) return this.#values.get(name) as T;
    this.#owner.checkAvailable("create a property");
    let creation = this.#beingCreated.get(name);
    if (!creation) {
      creation = createDeferred();
      this.#beingCreated.set(name, creation);
      void this.#create(name, factory, creation);
    }
    return creation.promise as Promise<T>;
  }

  /** Runs the factory and settles the shared promise. Never rejects. */
  async #create(name: string, factory: () => unknown, { resolve, reject }: Deferred<unknown>): Promise<void> {
    const end = this.#end;
    const off = end.onAbort(() => reject(end.reason));
    try {
      await undefined; // so that calls made in the same tick share the outcome, even if the factory throws synchronously
      const value = await factory();
      if (end.aborted || this.#values.has(name)) await this.#discard(value);
      else this.#values.set(name, value);
      resolve(this.#values.get(name)); // no effect after the owner's end, which has rejected it
    } catch (error) {
      reject(error);
    } finally {
      off();
      this.#beingCreated.delete(name);
    }
  }

  /** Disposes a value that came too late. A failure is only reported: it does not concern the callers of `getOrCreate`. */
  async #discard(value: unknown): Promise<void> {
    try {
      if (typeof value === "object" && isResource(value)) await disposeOf(value);
    } catch (error) {
      this.#owner.warn("a property that came too late could not be disposed", error);
    }
  }

  /** A snapshot of the names, in order of insertion. */
  keys(): IterableIterator<string> {
    return [...this.#values.keys()].values();
  }

  /** A snapshot of the values, in order of insertion. */
  values(): IterableIterator<unknown> {
    return [...this.#values.values()].values();
  }

  /** A snapshot of the entries, in order of insertion. */
  entries(): IterableIterator<[string, unknown]> {
    return [...this.#values.entries()].values();
  }

  /** Same as {@link entries}. */
  [Symbol.iterator](): IterableIterator<[string, unknown]> {
    return this.entries();
  }
}

/** Resolves a name or definition; throws `INVALID_ARGUMENT` unless the result is a non-empty string. */
function nameOf(property: string | PropertyDefinition<unknown>): string {
  const name: unknown = typeof property === "string" ? property : Object(property).name;
  if (typeof name === "string" && name !== "") return name;
  const requirement = "its name must be a non-empty string or come from defineProperty";
  throw new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot use a property: ${requirement}, received ${describe(property)}`,
  );
}
