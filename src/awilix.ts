/** Services of sessions and groups from scopes of an awilix container. See {@link awilixScopes}. */
import { handOver } from "./base/dispose.js";
import { ActiveSessionError } from "./base/error.js";
import { requestSignal } from "./http/middleware.js";
import type { ActiveSession } from "./session/active-session.js";
import type { LockOptions, SessionLock } from "./session/session-locks.js";

/** An awilix container, reduced to the methods that are used here. */
export interface Container {
  /** Makes a container that inherits the registrations of this one. */
  createScope(): Container;
  /** Registers a service under a name. */
  register(name: string, resolver: { resolve(): unknown }): unknown;
  /** True if the name is registered here or in a parent. */
  hasRegistration(name: string): boolean;
  /** Makes or finds the service. Throws if its construction fails. */
  resolve(name: string): unknown;
  /** Disposes the services that this container has made and cached. */
  dispose(): Promise<void>;
}

/** The scope of a session or a group, as its `services`. Disposed by the library when the session or group has ended. */
export interface ContainerScope<C> extends AsyncDisposable {
  /** The scope, of the type of the container given to {@link awilixScopes}. */
  readonly container: C;
}

/** The result of looking a service up. */
export interface FoundService<T> {
  /** The service; `undefined` if the name is not registered. */
  readonly service: T | undefined;
  /** True if it was resolved in the session's scope, which all requests of the session share; false: in the request's own. */
  readonly isFromSession: boolean;
}

/**
 * A service for exclusive use within its session. Disposing it releases the lock, not the service. Given to a runner by `holds`, it is
 * released when that runner ends.
 */
export interface LockedService<T> extends AsyncDisposable {
  /** The service; `undefined` if the name is not registered. */
  readonly service: T | undefined;
  /** True if a lock is held; false without a session: the service is the request's own then, and no lock is needed. */
  readonly isReallyLocked: boolean;
}

/** A request or context that has passed `activeSession` of an adapter with the property of that name. */
type SessionedRequest = Parameters<typeof requestSignal>[0] & { readonly activeSession?: ActiveSession };

/** Options of {@link awilixScopes}. */
export interface AwilixOptions<Request> {
  /**
   * Returns the request's own scope, for requests without a session. Default, also where it returns `undefined`: the container itself.
   */
  readonly requestScope?: ((request: Request) => Container | undefined) | undefined;
}

/** The result of {@link awilixScopes}. */
export interface AwilixScopes<C, Request> {
  /** For the option `services` of `createActiveSessions`. The scope has the session registered as `activeSession`. */
  services(session: object): ContainerScope<C>;
  /** For the option `groupServices` of `createActiveSessions`. The scope has the group registered as `sessionGroup`. */
  groupServices(group: object): ContainerScope<C>;
  /**
   * The container to resolve a request's services from: its session's scope, else its own. Creates the session if there is none. To use
   * it for all services of a request, store it where the application's code looks: `req.container = scopes.containerOf(req)`.
   * @throws `INVALID_OPTION` if the host's option `services` is another one; errors of `request.activeSession`
   */
  containerOf(request: Request): Container;
  /**
   * Resolves a service in {@link containerOf} the request.
   * @throws errors of the service's construction, and those of {@link containerOf}
   */
  sessionService<T>(request: Request, name: string): FoundService<T>;
  /**
   * Resolves a service for exclusive use: other calls for the same name in this session wait in order. It is released at the end of the
   * request, unless it was disposed or handed to a runner before. Without a session it does not wait.
   * @param options `signal`: default that of the request, see `requestSignal`
   * @returns `undefined` if the lock could not be acquired within `options.timeout`
   * @throws errors of `session.lock` and of the service's construction; the lock is released then
   */
  lockService<T>(request: Request, name: string, options?: LockOptions): Promise<LockedService<T> | undefined>;
}

/**
 * Makes scopes of an awilix container for sessions and groups. A scope is made at the first use of `services`, and disposed after
 * everything else of the session.
 * @param container the application's container
 * @example
 * const scopes = awilixScopes(container);
 * const sessions = createActiveSessions({ services: scopes.services, groupServices: scopes.groupServices });
 * app.get("/orders", (req, res) => {
 *   const { service: db } = scopes.sessionService<Database>(req, "db");
 * });
 */
export function awilixScopes<C extends Container, Request extends SessionedRequest>(
  container: C,
  { requestScope }: AwilixOptions<Request> = {},
): AwilixScopes<C, Request> {
  const makeScope = (name: string, owner: object): ContainerScope<C> => {
    const scope = container.createScope();
    scope.register(name, { resolve: () => owner });
    return { container: scope as C, [Symbol.asyncDispose]: () => scope.dispose() };
  };
  const pick = (request: Request, session = sessionOf(request)): Container =>
    session ? scopeOf(session) : (requestScope?.(request) ?? container);
  const resolve = <T>(scope: Container, name: string) =>
    scope.hasRegistration(name) ? (scope.resolve(name) as T) : undefined;
  const find = <T>(request: Request, name: string): FoundService<T> => {
    const session = sessionOf(request);
    return { service: resolve<T>(pick(request, session), name), isFromSession: session !== undefined };
  };
  return {
    services: (session) => makeScope("activeSession", session),
    groupServices: (group) => makeScope("sessionGroup", group),
    containerOf: (request) => pick(request),
    sessionService: find,
    lockService: async <T>(request: Request, name: string, options: LockOptions = {}) => {
      const session = sessionOf(request);
      if (!session) return unlocked(find<T>(request, name).service);
      const signal = options.signal ?? requestSignal(request);
      const lock = await session.lock(`service:${name}`, { ...options, signal });
      if (!lock) return undefined;
      try {
        return locked(resolve<T>(scopeOf(session), name), lock); // not `find`: the request's session may be another one after the wait
      } catch (error) {
        lock.release();
        throw error;
      }
    },
  };
}

/** The request's session, created if there is none; `undefined` if it has ended, no scope accepts the request, or the host closes. */
function sessionOf(request: SessionedRequest): ActiveSession | undefined {
  try {
    const session = request.activeSession;
    return session?.isAvailable ? session : undefined;
  } catch (error) {
    const isNone = ActiveSessionError.is(error) && ["OUT_OF_SCOPE", "HOST_CLOSED"].includes(error.code);
    if (isNone) return undefined;
    throw error;
  }
}

/** The scope of a session. Throws `INVALID_OPTION` unless its `services` come from {@link awilixScopes}. */
function scopeOf(session: ActiveSession): Container {
  const { container }: Partial<ContainerScope<Container>> = Object(session.services);
  if (container) return container;
  throw new ActiveSessionError(
    "INVALID_OPTION",
    "Cannot find a service: the host's option services must be that of awilixScopes, received another one",
  );
}

/** Ties a service to its lock, which a runner takes over through {@link handOver}. */
function locked<T>(service: T | undefined, lock: SessionLock): LockedService<T> {
  return {
    ...{ service, isReallyLocked: true },
    [Symbol.asyncDispose]: async () => lock.release(),
    [handOver]: () => lock[handOver](),
  } as LockedService<T>;
}

/** The service of a request without a session: there is nothing to release. */
function unlocked<T>(service: T | undefined): LockedService<T> {
  return { service, isReallyLocked: false, [Symbol.asyncDispose]: async () => {} };
}
