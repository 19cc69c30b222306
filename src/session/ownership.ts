import { type CleanupSummary, disposeOf, type OnLate, type Resource, runSteps } from "../base/dispose.js";

/**
 * The claim on a resource owned by a session or group, returned by `own`. The resource is released exactly once: when its owner
 * ends, or earlier by disposing the claim.
 * @example
 * await using claim = session.own(openConnection());
 * // The connection is closed when this block ends, or with the session if that ends first.
 */
export class Ownership implements AsyncDisposable {
  readonly #resource: Resource;
  readonly #owner: Set<Ownership>;
  #released: Promise<void> | undefined;

  /** @param owner the set of everything its owner has to release; the claim adds itself */
  constructor(resource: Resource, owner: Set<Ownership>) {
    this.#resource = resource;
    this.#owner = owner;
    owner.add(this);
  }

  /**
   * Releases the resource: disposes it asynchronously if it can be, else synchronously; a function is called. Idempotent: every call
   * returns the same promise.
   * @throws errors of the resource's own disposal
   */
  [Symbol.asyncDispose](): Promise<void> {
    this.#released ??= (async () => {
      try {
        await disposeOf(this.#resource);
      } finally {
        this.#owner.delete(this); // not before: the owner's clean-up waits for a release in progress
      }
    })();
    return this.#released;
  }
}

/**
 * Releases everything in reverse order of acquisition. Never rejects: a failed step does not stop the next one.
 * @param timeout limit for each step, in ms; `Infinity`: none
 * @param onLate receives the error of a step that fails after its time-out
 */
export async function releaseAll(owned: Set<Ownership>, timeout: number, onLate?: OnLate): Promise<CleanupSummary> {
  const steps = [...owned].reverse().map((ownership) => () => ownership[Symbol.asyncDispose]());
  return runSteps(steps, timeout, onLate);
}
