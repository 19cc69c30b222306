/**
 * A store for `useSyncExternalStore`: an immutable snapshot, its subscribers, and work that goes on only
 * while there are any.
 *
 *     asleep ──a subscriber──▶ awake ──no subscriber is left, one turn later──▶ asleep
 *
 * React, in strict mode above all, removes subscribers and adds them again in the same turn. The delay
 * keeps the store awake then.
 * @typeParam View the type of the snapshot
 */
export abstract class Store<View> {
  /** Called after each change of the snapshot. */
  readonly #listeners = new Set<() => void>();
  /** The snapshot before anything has happened. */
  readonly #first: View;
  /** The snapshot; replaced, never modified. */
  #view: View;
  /** True between `wake` and `sleep`. */
  #isAwake = false;
  /** The timer that puts the store to sleep. */
  #falling: ReturnType<typeof setTimeout> | undefined;

  constructor(view: View) {
    this.#view = this.#first = view;
  }

  /**
   * The initial snapshot, for rendering on a server and for hydration of what a server has rendered: both
   * must be the same.
   */
  readonly firstSnapshot = (): View => this.#first;

  /** The current snapshot; the same object as long as nothing has changed. */
  readonly snapshot = (): View => this.#view;

  /**
   * Adds a listener and wakes the store.
   * @returns a function that removes the listener
   */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.rouse();
    return () => {
      this.#listeners.delete(listener);
      this.release();
    };
  };

  /** Puts the store to sleep one turn later, unless it has subscribers. */
  release(): void {
    if (this.#listeners.size === 0) this.#fallAsleepSoon(0);
  }

  /**
   * Wakes the store, also before it has subscribers.
   * @param patience how long to wait for a subscriber, ms; half-way `remind` is called, so that waiting
   *   components can call again. Default: the store stays awake until {@link release}
   */
  rouse(patience?: number): void {
    clearTimeout(this.#falling);
    if (!this.#isAwake) {
      this.#isAwake = true;
      this.wake();
    }
    if (patience === undefined || this.#listeners.size > 0) return;
    this.#falling = setTimeout(() => {
      this.#fallAsleepSoon(patience / 2);
      this.remind();
    }, patience / 2);
  }

  /** True while the store has subscribers, or waits for one. */
  protected get isAwake(): boolean {
    return this.#isAwake;
  }

  /** True while the store has subscribers. */
  protected get isWatched(): boolean {
    return this.#listeners.size > 0;
  }

  /** Changes the snapshot and calls the listeners, unless all values are the same. */
  protected show(changes: Partial<View>): void {
    const names = Object.keys(changes) as (keyof View)[];
    if (names.every((name) => Object.is(changes[name], this.#view[name]))) return;
    this.#view = { ...this.#view, ...changes };
    // A copy: listeners may unsubscribe while they are called.
    for (const listener of [...this.#listeners]) listener();
  }

  /** Lets components that wait for the first snapshot look again. */
  protected remind(): void {}
  /** Starts the work: called when the store wakes. */
  protected abstract wake(): void;
  /** Ends the work: called when the store falls asleep. */
  protected abstract sleep(): void;

  /** Replaces the timer, so that only the latest decision counts. */
  #fallAsleepSoon(delay: number): void {
    clearTimeout(this.#falling);
    this.#falling = setTimeout(() => {
      this.#isAwake = false;
      this.sleep();
    }, delay);
  }
}
