import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from "react";
import type { RunnerClient } from "../client/client.js";
import type { Definitions, InputOf, NameOf, ResultOf } from "../client/definitions.js";
import { RunnersStore, type RunnersView } from "./runner-list-store.js";
import { RunnerStore } from "./runner-store.js";
import type { RunnerHookOptions, RunnerView, Target } from "./runner-view.js";

/**
 * A runner for the component to create. `input` may be omitted if the definition's input may be `undefined`, or if `start` is
 * `"manual"` and receives it.
 */
export type CreateTarget<Name, Input> = Creation<Name, Input> &
  (undefined extends Input ? unknown : { readonly input: Input } | { readonly start: "manual" });

/** The properties that every creation has. */
interface Creation<Name, Input> {
  /** Name of a definition that the server exposes. */
  readonly create: Name;
  /** The definition's input. Compared as JSON: a different input stops the runner and creates another one. */
  readonly input?: Input;
  /** `"now"` creates the runner when the component is mounted, `"manual"` when `start` is called. Default: `"now"`. */
  readonly start?: "now" | "manual" | undefined;
  /**
   * A name under which the tab keeps the runner, so that the component finds it again after a reload or when it is mounted again,
   * and creates one only if it is gone. It is shown from the first item that the server still has: all of them with
   * `retain: "all"`. Default: none, a component that is mounted again creates another runner.
   */
  readonly resume?: string | undefined;
  /** What the application knows the runner by, as in `client.create`. Default: none. */
  readonly label?: string | undefined;
}

/** Options of `useRunner`. */
export interface UseRunnerOptions extends RunnerHookOptions {
  /**
   * Suspends the component until the first response, and throws errors before that into its error boundary. Components with
   * the same target share one runner. Has no effect with `start: "manual"`, without a key, and on a server. Default: false.
   */
  readonly suspense?: boolean | undefined;
}

/** The result of `useRunner`: the state of the runner, and functions that stay the same while the target does. */
export interface RunnerHandle<T, Input = never> extends RunnerView<T> {
  /**
   * Creates the runner with this input, or else with that of the component. The previous runner is stopped and its items are
   * dropped. Does nothing for a runner that is followed by its key, or after the component was unmounted. By a label it looks again where
   * there was no runner.
   */
  readonly start: (input?: Input) => void;
  /** Stops the work; the items stay. A failure to stop is shown as `error`. */
  readonly stop: () => void;
}

/** The result of `useRunners`. */
export interface RunnersHandle extends RunnersView {
  /** Requests the list now. Resolves once the response is shown; never rejects: a failure is shown as `error`. */
  readonly refresh: () => Promise<void>;
}

/** The hooks of one client. */
export interface RunnerHooks<D extends Definitions> {
  /** Follows the runner with this key. Without a key it does nothing. */
  useRunner<T>(key: string | null | undefined, options?: UseRunnerOptions): RunnerHandle<T>;
  /**
   * Follows the newest runner with this label, so that a page needs no stored key. Shows nothing if there is none; `start` then looks
   * again, for one that has been created meanwhile.
   */
  useRunner<T>(by: { readonly label: string }, options?: UseRunnerOptions): RunnerHandle<T>;
  /**
   * Creates a runner when the component is mounted, and follows it. It goes on when the component is unmounted, for as long as the
   * server keeps a runner without readers, unless `onUnmount` is `"stop"`. Another input stops it and creates another one.
   */
  useRunner<N extends NameOf<D>>(
    target: CreateTarget<N, InputOf<D, N>>,
    options?: UseRunnerOptions,
  ): RunnerHandle<ResultOf<D, N>, InputOf<D, N>>;
  /**
   * Lists the client's runners. The list is requested on mount, every `interval` ms while the page is visible (default 5000;
   * `Infinity` disables), and when the page is shown again or the network comes back.
   */
  useRunners(options?: { readonly interval?: number | undefined }): RunnersHandle;
}

/**
 * How long a suspended component has to render again before its store falls asleep, ms. Half-way its promise resolves, so
 * that a component that still exists renders and extends the time.
 */
const patience = 10_000;

/**
 * Creates the hooks for a client. They work with strict mode (one runner, not two), suspense and server rendering, where
 * nothing is requested.
 * @typeParam D the definitions that the server exposes
 * @example
 * const { useRunner } = createRunnerHooks(createClient<typeof definitions>("/runners"));
 * function Search({ word }: { word: string }) {
 *   const { items, isRunning, error, stop } = useRunner({ create: "search", input: { word } });
 *   …
 * }
 */
export function createRunnerHooks<D extends Definitions>(client: RunnerClient<D>): RunnerHooks<D> {
  const untyped = client as unknown as RunnerClient<Definitions>;
  /** The stores of suspended components, by the id of their target. */
  const shared = new Map<string, RunnerStore<unknown>>();

  // Creates one store per target: another target means another store, so nothing of the former runner is ever rendered.
  function useRunner(
    asked: string | null | undefined | { readonly label: string } | CreateTarget<string, unknown>,
    options: UseRunnerOptions = {},
  ) {
    const target: Target = typeof asked === "object" && asked !== null ? asked : { key: asked };
    const id = idOf(target);
    const isAwaited = Boolean(options.suspense) && hasFirstAnswer(target);
    // biome-ignore lint/correctness/useExhaustiveDependencies: the id stands for the target; options are read as they are then
    const store = useMemo(() => (isAwaited ? sharedStore(shared, id, make) : make()), [id, isAwaited]);
    function make() {
      return new RunnerStore<unknown>(untyped, target, options);
    }
    // Passes the latest input and callbacks after each render, without another store.
    useEffect(() => store.use(target, options));
    // Another input: the former runner is of no use any more. By now the former store has lost this component.
    const shown = useRef(store);
    useEffect(() => {
      if (shown.current !== store) shown.current.replace();
      shown.current = store;
    }, [store]);
    if (isAwaited) suspend(store);
    const view = useSyncExternalStore(store.subscribe, store.snapshot, store.firstSnapshot);
    return useMemo(() => ({ ...view, start: store.start, stop: store.stop }), [view, store]);
  }

  function useRunners({ interval = 5000 }: { readonly interval?: number | undefined } = {}): RunnersHandle {
    const [store] = useState(() => new RunnersStore(untyped, interval));
    useEffect(() => store.use(interval));
    const view = useSyncExternalStore(store.subscribe, store.snapshot, store.firstSnapshot);
    return useMemo(() => ({ ...view, refresh: store.refresh }), [view, store]);
  }

  return { useRunner: useRunner as RunnerHooks<D>["useRunner"], useRunners };
}

/**
 * Identifies a target: two targets with the same id are the same runner. The input of a manual start is not part of it,
 * because `start` may receive another one.
 */
function idOf(target: Target): string {
  if (!("create" in target)) return "label" in target ? `label ${target.label}` : `key ${target.key ?? ""}`;
  const { create, start, input, label = "" } = target;
  return start === "manual" ? `manual ${create} ${label}` : `create ${create} ${label} ${JSON.stringify(input)}`;
}

/**
 * Finds or creates the store of a suspended component. React discards the state of a component that suspends before its first
 * commit, so the store is kept outside of it, until it falls asleep.
 */
function sharedStore(
  shared: Map<string, RunnerStore<unknown>>,
  id: string,
  make: () => RunnerStore<unknown>,
): RunnerStore<unknown> {
  const found = shared.get(id) ?? make();
  shared.set(id, found);
  found.onSleep = () => {
    if (shared.get(id) === found) shared.delete(id);
  };
  return found;
}

/** True if a first response will arrive without further action: in a browser, with a key or an automatic start. */
function hasFirstAnswer(target: Target): boolean {
  if (typeof document === "undefined") return false;
  if ("create" in target) return target.start !== "manual";
  return Boolean("label" in target ? target.label : target.key);
}

/**
 * Throws the promise of the first response, for `Suspense`, or the error that prevents it, for the error boundary. Returns
 * once there is something to render.
 */
function suspend(store: RunnerStore<unknown>): void {
  store.rouse(patience);
  const { status, error, isRunning } = store.snapshot();
  if (status !== undefined) return;
  if (error) {
    store.release(); // when the boundary is reset, a new store makes a new attempt
    throw error;
  }
  if (isRunning) throw store.firstAnswer;
}
