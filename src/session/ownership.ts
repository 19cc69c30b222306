/** What a session has taken over and gives back when it ends, the last first; each exactly once, sooner if asked. */
import { type CleanupSummary, disposeOf, type OnLate, type Resource, runSteps } from "../base/dispose.js";

/** The claim on an owned resource: disposing it gives the resource back now instead of with the session. */
export class Ownership implements AsyncDisposable {
  readonly #resource: Resource;
  readonly #owner: Set<Ownership>;
  #released: Promise<void> | undefined;

  /** @internal */
  constructor(resource: Resource, owner: Set<Ownership>) {
    this.#resource = resource;
    this.#owner = owner;
    owner.add(this);
  }

  /** Gives the resource back, once; further calls get the same promise. Rejects with what the resource throws. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#released ??= (async () => {
      try {
        await disposeOf(this.#resource);
      } finally {
        this.#owner.delete(this); // until then the session's end waits for it
      }
    })();
    return this.#released;
  }
}

/** Gives everything back in reverse order of taking; each step is bounded by `timeout` ms. */
export async function releaseAll(owned: Set<Ownership>, timeout: number, onLate?: OnLate): Promise<CleanupSummary> {
  const steps = [...owned].reverse().map((ownership) => () => ownership[Symbol.asyncDispose]());
  return runSteps(steps, timeout, onLate);
}
