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
type Named<D extends Definitions, N> = Extract<One<D>, { readonly name: N }>;

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
  : T extends { toJSON(): infer Form }
    ? AsJson<Form>
    : T extends string | number | boolean | null
      ? T
      : T extends bigint
        ? never
        : T extends undefined | symbol | ((...args: never[]) => unknown)
          ? null
          : T extends readonly unknown[]
            ? { [K in keyof T]: AsJson<T[K]> }
            : T extends object
              ? {
                  [K in keyof T as T[K] extends symbol | ((...args: never[]) => unknown) ? never : K]: AsJsonProperty<
                    T[K]
                  >;
                }
              : T;

/** A property that is `undefined` is left out. */
type AsJsonProperty<T> = undefined extends T ? AsJson<Exclude<T, undefined>> | undefined : AsJson<T>;
