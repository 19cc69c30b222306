/** What the types of a server's definitions say to its client. Types only: nothing of the server comes along. */

/** A definition, seen from its client. */
interface Definition {
  readonly kind: "sequence" | "process";
  readonly name: string;
  readonly item?: unknown;
  readonly value?: unknown;
  readonly given?: (input: never) => void;
}

/** What a server exposes: `typeof` the array that its router is given, or of an object (a module, say) of definitions. */
export type Definitions = readonly Definition[] | { readonly [name: string]: Definition };

/** Where nothing is known of the server: any name, any input. */
export type Untyped = readonly {
  readonly kind: "sequence";
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: what is not known may be used as anything
  readonly item?: any;
  readonly given?: (input: unknown) => void;
}[];

type One<D extends Definitions> = D extends readonly (infer Each)[] ? Each : D[keyof D];
type Named<D extends Definitions, N> = NamedOne<One<D>, N>;
/** Those of a client that knows nothing of its server have any name. */
type NamedOne<Each, N> = Each extends { readonly name: infer Own } ? (N extends Own ? Each : never) : never;

/** The names that can be created. */
export type NameOf<D extends Definitions> = Extract<One<D>, Definition>["name"];

/** What a creation takes. */
export type InputOf<D extends Definitions, N> =
  Named<D, N> extends { readonly given?: (input: infer Given) => void } ? Given : unknown;

/** What a runner gives, after it has been JSON. */
export type ResultOf<D extends Definitions, N> =
  Named<D, N> extends { readonly kind: "sequence"; readonly item?: infer Item }
    ? AsJson<Item>
    : Named<D, N> extends { readonly kind: "process"; readonly value?: infer Value }
      ? AsJson<Value>
      : unknown;

/** What is left of a value that has been sent as JSON: a `Date` is a text, what has no JSON form is gone. */
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
                ? { [K in keyof T as PropertyOf<K, T[K]>]: AsJsonProperty<T[K]> }
                : T;

type Formless = symbol | ((...args: never[]) => unknown);

/** A property whose name or value has no JSON form is left out. */
type PropertyOf<K, V> = K extends symbol ? never : Exclude<V, undefined> extends Formless ? never : K;

/** A property that is `undefined` is left out. */
type AsJsonProperty<T> = undefined extends T ? AsJson<Exclude<T, undefined>> | undefined : AsJson<T>;
