import { afterEach, beforeEach, expect, vi } from "vitest";
import { turns } from "./control.js";

/** The page around components: the test decides when it shows a frame, what time it is, and whether it is visible. */
export class Page {
  /** What React, or anybody else, had to say on the console. */
  readonly warnings: string[] = [];
  readonly #frames = new Map<number, () => void>();
  readonly #listeners = new Set<unknown>();
  #lastFrame = 0;

  /** How many callbacks wait for the next frame. */
  get waiting(): number {
    return this.#frames.size;
  }

  /** Listeners for what happens to the page that are there now. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /** Shows a frame. */
  frame(): void {
    const due = [...this.#frames.values()];
    this.#frames.clear();
    for (const callback of due) callback();
  }

  /** Lets all happen that is due: what has been answered arrives and is shown, without any time going by. */
  async settle(): Promise<void> {
    for (let round = 0; round < 3; round++) {
      await turns(4);
      this.frame();
    }
    await turns(2);
  }

  /** Hides the page, or shows it again. */
  hide(hidden: boolean): void {
    vi.spyOn(document, "hidden", "get").mockReturnValue(hidden);
    globalThis.dispatchEvent(new Event("visibilitychange"));
  }

  /** @internal */
  open(): void {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    vi.spyOn(globalThis, "requestAnimationFrame").mockImplementation((callback) => {
      this.#frames.set(++this.#lastFrame, () => callback(Date.now()));
      return this.#lastFrame;
    });
    vi.spyOn(globalThis, "cancelAnimationFrame").mockImplementation((frame) => void this.#frames.delete(frame));
    for (const method of ["error", "warn"] as const) {
      vi.spyOn(console, method).mockImplementation((...said) => void this.warnings.push(said.map(String).join(" ")));
    }
    const { addEventListener } = globalThis;
    vi.spyOn(globalThis, "addEventListener").mockImplementation((type: string, callback, ...[options]: unknown[]) => {
      if (type === "online" || type === "visibilitychange") this.#count(callback, options);
      Reflect.apply(addEventListener, globalThis, [type, callback, options]);
    });
  }

  /** Counts a listener until its signal aborts. */
  #count(callback: unknown, options: unknown): void {
    const { signal } = options as { readonly signal: AbortSignal };
    this.#listeners.add(callback);
    signal.addEventListener("abort", () => this.#listeners.delete(callback));
  }

  /** One turn after all components have gone, nothing of them may be left. @internal */
  async close(): Promise<void> {
    await vi.advanceTimersByTimeAsync(0);
    await turns(4);
    const said = this.warnings.splice(0);
    const left = { timers: vi.getTimerCount(), frames: this.waiting, listeners: this.listeners };
    vi.clearAllTimers();
    this.#frames.clear();
    this.#listeners.clear();
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
    expect(left, "left behind by the components").toEqual({ timers: 0, frames: 0, listeners: 0 });
    expect(said, "said on the console").toEqual([]);
  }
}

/** A page for every test of a file. `removeComponents` is called at the end of each. */
export function openPage(removeComponents: () => void): Page {
  const page = new Page();
  beforeEach(() => page.open());
  afterEach(async () => {
    removeComponents();
    await page.close();
  });
  return page;
}
