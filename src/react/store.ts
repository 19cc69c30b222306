/**
 * What the stores behind the hooks have in common: a snapshot that changes, those who look at it, and what goes on only while
 * somebody does.
 *
 *     asleep ──somebody subscribes──▶ awake ──nobody is left, one turn later──▶ asleep
 *
 * React (in its strict mode, above all) takes subscribers away and brings them back in the same turn; that changes nothing.
 */

/** See the top of the file. */
export abstract class Store<View> {
  readonly #listeners = new Set<() => void>();
  readonly #first: View;
  #view: View;
  #isAwake = false;
  #falling: ReturnType<typeof setTimeout> | undefined;

  constructor(view: View) {
    this.#view = this.#first = view;
  }

  /** What there was to be seen at first: on a server, and in the page that takes over what a server has rendered. */
  readonly firstSnapshot = (): View => this.#first;

  /** What there is to be seen; a new object whenever it has changed. */
  readonly snapshot = (): View => this.#view;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    this.rouse();
    return () => {
      this.#listeners.delete(listener);
      this.release();
    };
  };

  /** Lets it fall asleep one turn later, if nobody has subscribed. */
  release(): void {
    if (this.#listeners.size === 0) this.#fallAsleepSoon(0);
  }

  /**
   * Wakes it although nobody has subscribed yet; whoever wants to has so long, ms. Those who still wait for something to see are
   * reminded in between, and rouse it again.
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

  protected get isAwake(): boolean {
    return this.#isAwake;
  }

  protected show(changes: Partial<View>): void {
    const names = Object.keys(changes) as (keyof View)[];
    if (names.every((name) => Object.is(changes[name], this.#view[name]))) return;
    this.#view = { ...this.#view, ...changes };
    for (const listener of [...this.#listeners]) listener();
  }

  /** Whoever waits for something to see looks again. */
  protected remind(): void {}
  protected abstract wake(): void;
  protected abstract sleep(): void;

  #fallAsleepSoon(delay: number): void {
    clearTimeout(this.#falling);
    this.#falling = setTimeout(() => {
      this.#isAwake = false;
      this.sleep();
    }, delay);
  }
}
