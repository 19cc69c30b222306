/**
 * A session's or a group's properties: a map shared by all requests of the client, in the memory of this process. When its
 * owner has ended it can still be read, but not changed. Iterating sees the entries as of its beginning.
 */
import { createDeferred, type Deferred } from "../base/async.js";
import { disposeOf, isResource } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";

/** The name of a property together with the type of its value. See {@link defineProperty}. */
export interface PropertyDefinition<T> {
  readonly name: string;
  /** Only for the compiler. */
  readonly type?: T;
}

/**
 * Names a property whose values are of type `T`.
 * @example
 * const cart = defineProperty<Cart>("cart");
 * session.properties.set(cart, { items: [] });
 * session.properties.get(cart)?.items; // typed
 */
export function defineProperty<T>(name: string): PropertyDefinition<T> {
  return Object.freeze({ name: nameOf(name) });
}

/** Whose properties they are. */
export interface PropertyOwner {
  /** Throws when the owner has ended. */
  checkAvailable(action: string): void;
  /** Something of the application's own code went wrong where nobody could be told. */
  warn(message: string, error: unknown): void;
}

/** See the top of the file. */
export class Properties implements Iterable<[string, unknown]> {
  readonly #owner: PropertyOwner;
  readonly #values = new Map<string, unknown>();
  readonly #beingCreated = new Map<string, Deferred<unknown>>();
  #isReadOnly = false;

  /** @internal */
  constructor(owner: PropertyOwner) {
    this.#owner = owner;
  }

  /** True from the end of the session (the group) on. */
  get isReadOnly(): boolean {
    return this.#isReadOnly;
  }

  get size(): number {
    return this.#values.size;
  }

  /** The property's value, or `undefined`. */
  get<T>(property: PropertyDefinition<T>): T | undefined;
  get(name: string): unknown;
  get(property: string | PropertyDefinition<unknown>): unknown {
    return this.#values.get(nameOf(property));
  }

  has(property: string | PropertyDefinition<unknown>): boolean {
    return this.#values.has(nameOf(property));
  }

  /** Sets the property. Throws `SESSION_ENDED` (for a group: when it has ended). */
  set<T>(property: PropertyDefinition<T>, value: T): this;
  set(name: string, value: unknown): this;
  set(property: string | PropertyDefinition<unknown>, value: unknown): this {
    this.#owner.checkAvailable("set a property");
    this.#values.set(nameOf(property), value);
    return this;
  }

  /** Removes the property; returns whether it was there. Its value is not disposed. Throws `SESSION_ENDED`. */
  delete(property: string | PropertyDefinition<unknown>): boolean {
    this.#owner.checkAvailable("delete a property");
    return this.#values.delete(nameOf(property));
  }

  /**
   * The property's value; if there is none, what `factory` makes, which may be async. However many ask at the same time, it runs
   * once, and all get the same value; if it fails, all of them fail and the next call tries again. A value that comes too late,
   * because one has been set or the session has ended meanwhile, is disposed if it can be.
   * @throws `SESSION_ENDED`, or what `factory` throws
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

  async #create(name: string, factory: () => unknown, { resolve, reject }: Deferred<unknown>): Promise<void> {
    try {
      await undefined; // whoever asks in this very step shares the outcome, also that of a factory that throws at once
      const value = await factory();
      if (this.#isReadOnly || this.#values.has(name)) await this.#discard(value);
      else this.#values.set(name, value);
      resolve(this.#values.get(name)); // at the end of the session all who wait have been rejected already
    } catch (error) {
      reject(error);
    } finally {
      this.#beingCreated.delete(name);
    }
  }

  /** A value that came too late; that it cannot be disposed is no matter of those who asked for the property. */
  async #discard(value: unknown): Promise<void> {
    try {
      if (typeof value === "object" && isResource(value)) await disposeOf(value);
    } catch (error) {
      this.#owner.warn("a property that came too late could not be disposed", error);
    }
  }

  keys(): IterableIterator<string> {
    return [...this.#values.keys()].values();
  }

  values(): IterableIterator<unknown> {
    return [...this.#values.values()].values();
  }

  entries(): IterableIterator<[string, unknown]> {
    return [...this.#values.entries()].values();
  }

  [Symbol.iterator](): IterableIterator<[string, unknown]> {
    return this.entries();
  }

  /** The owner has ended: who waits for a value need wait no longer. @internal */
  close(error: unknown): void {
    this.#isReadOnly = true;
    for (const { reject } of this.#beingCreated.values()) reject(error);
  }
}

function nameOf(property: string | PropertyDefinition<unknown>): string {
  const name: unknown = typeof property === "string" ? property : Object(property).name;
  if (typeof name === "string" && name !== "") return name;
  const requirement = "its name must be a non-empty string or come from defineProperty";
  throw new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot use a property: ${requirement}, received ${describe(property)}`,
  );
}
