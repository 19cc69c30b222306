/** Types that carry a server's definitions to its client. No code of the server is imported. */

/**
 * A definition as the client's types see it: the common shape of `SequenceDefinition` and `ProcessDefinition`. `item`, `value` and
 * `given` exist only for the compiler; no object has them.
 */
interface Definition {
  /** Decides whether the result is `item` or `value`. */
  readonly kind: "sequence" | "process";
  /** The last segment of the URL that creates such runners. */
  readonly name: string;
  /** Type of the items of a sequence. */
  readonly item?: unknown;
  /** Type of the value of a process. */
  readonly value?: unknown;
  /** Takes an input of the type that clients send. */
  readonly given?: (input: never) => void;
}

/**
 * The definitions that a server exposes: `typeof` the array that its router takes as `expose`, or `typeof` an object whose values
 * are definitions, such as a module.
 * @example
 * import type * as definitions from "../server/definitions.js";
 * const client = createClient<typeof definitions>("/runners");
 */
export type Definitions = readonly Definition[] | { readonly [name: string]: Definition };

/** The definitions of an unknown server: any name, any input, results of type `any`. */
export type Untyped = readonly {
  readonly kind: "sequence";
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: what is not known may be used as anything
  readonly item?: any;
  readonly given?: (input: unknown) => void;
}[];

type One<D extends Definitions> = D extends readonly (infer Each)[] ? Each : D[keyof D];
/** The definition with the name `N`. */
type Named<D extends Definitions, N> = NamedOne<One<D>, N>;
/**
 * Distributes over the union. It tests `N extends Own`, not the reverse, because the name of `Untyped` is `string` and has to match
 * every name.
 */
type NamedOne<Each, N> = Each extends { readonly name: infer Own } ? (N extends Own ? Each : never) : never;

/** The names of the definitions that a client can create runners from. */
export type NameOf<D extends Definitions> = Extract<One<D>, Definition>["name"];

/** The input of the definition with the name `N`; `unknown` if it declares none. */
export type InputOf<D extends Definitions, N> =
  Named<D, N> extends { readonly given?: (input: infer Given) => void } ? Given : unknown;

/** The results of the definition with the name `N`, as they arrive: the items of a sequence or the value of a process, after JSON. */
export type ResultOf<D extends Definitions, N> =
  Named<D, N> extends { readonly kind: "sequence"; readonly item?: infer Item }
    ? AsJson<Item>
    : Named<D, N> extends { readonly kind: "process"; readonly value?: infer Value }
      ? AsJson<Value>
      : unknown;

/**
 * The type of a value after `JSON.parse(JSON.stringify(value))`, by the rules of ECMA-262:
 *
 * - an object with `toJSON` becomes what that returns; a `Date` becomes a string
 * - `undefined`, functions and symbols become `null`, or are left out if they are properties
 * - a `Map` or a `Set` becomes an empty object
 * - a `bigint` becomes `never`: it cannot be serialized
 * - `any` stays `any`; it is the only type for which `0 extends 1 & T` holds
 */
export type AsJson<T> = 0 extends 1 & T
  ? T
  : T extends { toJSON(key: string): infer Form }
    ? AsJson<Form>
    : T extends string | number | boolean | null
      ? T
      : T extends bigint
        ? never
        : T extends undefined | Formless
          ? null
          : T extends readonly unknown[]
            ? { [K in keyof T]: AsJson<T[K]> }
            : T extends ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>
              ? Record<string, never>
              : T extends object
                ? { [K in keyof T as PropertyOf<K, T[K]>]: AsJsonProperty<T, K> }
                : T;

/** Values without a JSON form. */
type Formless = symbol | ((...args: never[]) => unknown);

/** Drops a property whose name is a symbol or whose value has no JSON form. */
type PropertyOf<K, V> = K extends symbol ? never : Exclude<V, undefined> extends Formless ? never : K;

/**
 * Keeps `undefined` in the type of a property that must be there: JSON leaves it out. An optional one needs none, and with
 * `exactOptionalPropertyTypes` must not have it.
 */
type AsJsonProperty<T, K extends keyof T> = undefined extends T[K]
  ? AsJson<Exclude<T[K], undefined>> | (object extends Pick<T, K> ? never : undefined)
  : AsJson<T[K]>;
