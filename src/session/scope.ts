import { type CleanupSummary, disposeOf, isResource, mergeSummaries, type Resource, runStep } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import { LazySignal } from "../runner/lazy-signal.js";
import { Ownership, releaseAll } from "./ownership.js";
import { Properties, type PropertyOwner } from "./properties.js";

/** The session or group that a {@link SessionScope} belongs to. */
export interface ScopeOwner extends PropertyOwner {
  /** Calls the application's factory of services. Called at most once successfully, at the first use. */
  makeServices(): unknown;
}

/**
 * State that sessions and groups have in common: properties, services, owned resources and the signal of their end. Properties
 * and services are created lazily, so that an idle session stays small.
 *
 *     open ──close──▶ read-only ──release──▶ cleaned up
 *
 * The owner calls `close` once when it ends, then `release` once.
 */
export class SessionScope<Services> {
  /** Aborts on {@link close}, with the error given there. */
  readonly end = new LazySignal();
  readonly #owner: ScopeOwner;
  #properties: Properties | undefined;
  /** Boxed, so that services that are `undefined` are not made twice. */
  #services: { readonly value: Services } | undefined;
  readonly #owned = new Set<Ownership>();

  /** @param owner makes the services, refuses calls after its end, and receives warnings */
  constructor(owner: ScopeOwner) {
    this.#owner = owner;
  }

  /** The properties, created at first use; read-only if the scope is already closed. */
  get properties(): Properties {
    if (!this.#properties) {
      this.#properties = new Properties(this.#owner, this.end);
    }
    return this.#properties;
  }

  /**
   * The services, made at first use. Services that were made before the end stay accessible after it. A factory that throws is
   * called again at the next use.
   * @throws `SESSION_ENDED` if the owner has ended and no services were made; errors of the factory
   */
  get services(): Services {
    if (!this.#services) {
      this.#owner.checkAvailable("make services");
      this.#services = { value: this.#owner.makeServices() as Services };
    }
    return this.#services.value;
  }

  /**
   * Takes over a resource until the end of the scope.
   * @returns a claim that releases the resource early
   * @throws `SESSION_ENDED`; `INVALID_ARGUMENT` if it is neither disposable nor a function. The resource is untouched then.
   */
  own(resource: Resource): Ownership {
    this.#owner.checkAvailable("own a resource");
    if (!isResource(resource)) {
      throw new ActiveSessionError(
        "INVALID_ARGUMENT",
        `Cannot own a resource: it must be disposable or a function, received ${describe(resource)}`,
      );
    }
    return new Ownership(resource, this.#owned);
  }

  /** Aborts {@link end} with `error`, which makes the properties read-only. */
  close(error: ActiveSessionError): void {
    this.end.abort(error);
  }

  /**
   * Releases the owned resources in reverse order, then the services. A failed step does not stop the next one.
   * @param timeout limit for each step, in ms
   * @returns errors and time-outs of all steps; never rejects
   */
  async release(timeout: number): Promise<CleanupSummary> {
    const onLate = (error: unknown) => this.#owner.warn("a clean-up failed when its time was up", error);
    const ofResources = await releaseAll(this.#owned, timeout, onLate);
    const services = this.#services?.value;
    // Only objects: a function counts as a resource elsewhere, but services that are a function are not a disposer.
    const dispose = () => (typeof services === "object" && isResource(services) ? disposeOf(services) : undefined);
    return mergeSummaries([ofResources, await runStep(dispose, timeout, onLate)]);
  }
}
