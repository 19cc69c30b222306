/** What a session and a group have alike: properties, services, owned resources, and the signal of their end. */
import { type CleanupSummary, disposeOf, isResource, mergeSummaries, type Resource, runStep } from "../base/dispose.js";
import { ActiveSessionError, describe } from "../base/error.js";
import { LazySignal } from "../runner/lazy-signal.js";
import { Ownership, releaseAll } from "./ownership.js";
import { Properties, type PropertyOwner } from "./properties.js";

/** Whose belongings they are. */
export interface ScopeOwner extends PropertyOwner {
  /** Makes the services, for their first use. */
  makeServices(): unknown;
}

/** Each of them is made at its first use. */
export class SessionScope<Services> {
  readonly end = new LazySignal();
  readonly #owner: ScopeOwner;
  #properties: Properties | undefined;
  #services: { readonly value: Services } | undefined;
  readonly #owned = new Set<Ownership>();

  constructor(owner: ScopeOwner) {
    this.#owner = owner;
  }

  get properties(): Properties {
    if (!this.#properties) {
      this.#properties = new Properties(this.#owner);
      if (this.end.aborted) this.#properties.close(undefined);
    }
    return this.#properties;
  }

  get services(): Services {
    if (!this.#services) {
      this.#owner.checkAvailable("make services");
      this.#services = { value: this.#owner.makeServices() as Services };
    }
    return this.#services.value;
  }

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

  /** The end has come: the signal fires, and the properties cannot be changed any more. */
  close(error: ActiveSessionError): void {
    this.end.abort(error);
    this.#properties?.close(error);
  }

  /** Gives the owned resources back, the last one first, then the services; each step takes `timeout` ms at most. */
  async release(timeout: number): Promise<CleanupSummary> {
    const onLate = (error: unknown) => this.#owner.warn("a clean-up failed when its time was up", error);
    const ofResources = await releaseAll(this.#owned, timeout, onLate);
    const services = this.#services?.value;
    // Services are some object of the application's; a function in their place is no disposer.
    const dispose = () => (typeof services === "object" && isResource(services) ? disposeOf(services) : undefined);
    return mergeSummaries([ofResources, await runStep(dispose, timeout, onLate)]);
  }
}
