/** The hooks: what a component sees of runners, over one client. */
import { useEffect, useMemo, useState, useSyncExternalStore } from "react";
import type { RunnerClient } from "../client/client.js";
import type { Definitions, InputOf, NameOf, ResultOf } from "../client/definitions.js";
import { RunnersStore, type RunnersView } from "./runner-list-store.js";
import { type RunnerHookOptions, RunnerStore, type RunnerView, type Target } from "./runner-store.js";

/** A runner that the component creates. The input may be left out where the definition can do without, or `start` may be given it. */
export type CreateTarget<Name, Input> = Creation<Name, Input> &
  (undefined extends Input ? unknown : { readonly input: Input } | { readonly start: "manual" });

interface Creation<Name, Input> {
  /** The name of the definition that the server exposes. */
  readonly create: Name;
  /** Another input (as JSON) is another runner: the one before is stopped. */
  readonly input?: Input;
  /** `"now"` (the default): when the component is there; `"manual"`: when `start` is called. */
  readonly start?: "now" | "manual" | undefined;
}

/** How a component uses a runner. */
export interface UseRunnerOptions extends RunnerHookOptions {
  /**
   * Suspends the component until the first answer, and throws into its error boundary what prevents that. All components that ask
   * for the same runner in this way share it. What is started by hand is neither waited for nor shared. Default: false.
   */
  readonly suspense?: boolean | undefined;
}

/** What `useRunner` gives: what is known of the runner, and what can be done with it. */
export interface RunnerHandle<T, Input = never> extends RunnerView<T> {
  /**
   * Creates the runner, or creates it anew, with this input or that of the component; the one before is stopped. Does nothing for
   * what is followed by its key, and when the component has gone.
   */
  readonly start: (input?: Input) => void;
  /** Stops the work; what has arrived stays. */
  readonly stop: () => void;
}

/** What `useRunners` gives. */
export interface RunnersHandle extends RunnersView {
  /** Looks now. */
  readonly refresh: () => Promise<void>;
}

/** The hooks of one client. */
export interface RunnerHooks<D extends Definitions> {
  /** Follows the runner with this key; without a key, nothing. */
  useRunner<T>(key: string | null | undefined, options?: UseRunnerOptions): RunnerHandle<T>;
  /** Creates a runner and follows it. */
  useRunner<N extends NameOf<D>>(
    target: CreateTarget<N, InputOf<D, N>>,
    options?: UseRunnerOptions,
  ): RunnerHandle<ResultOf<D, N>, InputOf<D, N>>;
  /**
   * The client's runners, looked at again every `interval` ms (default 5000; `Infinity`: only by `refresh`) while the page is seen,
   * and whenever it is shown again.
   */
  useRunners(options?: { readonly interval?: number | undefined }): RunnersHandle;
}

/** So long a suspended component has to come back for what it has asked for, ms; half-way it is reminded. */
const patience = 10_000;

/**
 * Makes the hooks for a client.
 * @example
 * const { useRunner } = createRunnerHooks(createClient<typeof definitions>("/runners"));
 * function Search({ word }: { word: string }) {
 *   const { items, isRunning, error, stop } = useRunner({ create: "search", input: { word } });
 *   …
 * }
 */
export function createRunnerHooks<D extends Definitions>(client: RunnerClient<D>): RunnerHooks<D> {
  const untyped = client as unknown as RunnerClient<Definitions>;
  const shared = new Map<string, RunnerStore<unknown>>();

  function useRunner(asked: string | null | undefined | CreateTarget<string, unknown>, options: UseRunnerOptions = {}) {
    const target: Target = typeof asked === "object" && asked !== null ? asked : { key: asked };
    const id = idOf(target);
    const isAwaited = Boolean(options.suspense) && hasFirstAnswer(target);
    // biome-ignore lint/correctness/useExhaustiveDependencies: the id stands for the target; options are read as they are then
    const store = useMemo(() => (isAwaited ? sharedStore(shared, id, make) : make()), [id, isAwaited]);
    function make() {
      return new RunnerStore<unknown>(untyped, target, options);
    }
    useEffect(() => store.use(target, options));
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

/** What makes two targets the same runner. A `start` by hand has its own input. */
function idOf(target: Target): string {
  if (!("create" in target)) return `key ${target.key ?? ""}`;
  const { create, start, input } = target;
  return start === "manual" ? `manual ${create}` : `create ${create} ${JSON.stringify(input)}`;
}

/** A component that suspends before it was there loses what it has made, so it must be kept here. */
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

/** Whether there will be one by itself: not on a server, not without a key, and not before somebody starts what is started by hand. */
function hasFirstAnswer(target: Target): boolean {
  if (typeof document === "undefined") return false;
  return "create" in target ? target.start !== "manual" : Boolean(target.key);
}

function suspend(store: RunnerStore<unknown>): void {
  store.rouse(patience);
  const { status, error, isRunning } = store.snapshot();
  if (status !== undefined) return;
  if (error) {
    store.release(); // whoever tries again begins anew
    throw error;
  }
  if (isRunning) throw store.firstAnswer;
}
