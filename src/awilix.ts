/**
 * Services out of an awilix container: each session, and each group, has a scope of it, which is disposed after everything else
 * of the session. A request asks by name, and is told whether the answer came from its session.
 */
import { handOver } from "./base/dispose.js";
import { ActiveSessionError } from "./base/error.js";
import { requestSignal } from "./http/middleware.js";
import type { ActiveSession } from "./session/active-session.js";
import type { LockOptions, SessionLock } from "./session/session-locks.js";

/** An awilix container, asked for no more than is needed. */
export interface Container {
  createScope(): Container;
  register(name: string, resolver: { resolve(): unknown }): unknown;
  hasRegistration(name: string): boolean;
  resolve(name: string): unknown;
  dispose(): Promise<void>;
}

/** The scope of a session or a group: what its `services` are. */
export interface ContainerScope<C> extends AsyncDisposable {
  readonly container: C;
}

/** A service and where it came from. */
export interface FoundService<T> {
  /** `undefined` if nothing of that name is registered. */
  readonly service: T | undefined;
  /** Whether it is the session's: shared by all its requests. Else it is the request's own. */
  readonly isFromSession: boolean;
}

/** A service that nobody else of the session has, until it is disposed or handed to a runner by `holds`. */
export interface LockedService<T> extends AsyncDisposable {
  readonly service: T | undefined;
  /** Whether it is really exclusive; without a session it is the request's own, and there is nobody to exclude. */
  readonly isReallyLocked: boolean;
}

/** A request that has passed `activeSession`. */
type SessionedRequest = Parameters<typeof requestSignal>[0] & { readonly activeSession?: ActiveSession };

/** Options of {@link awilixScopes}. */
export interface AwilixOptions<Request> {
  /** The request's own scope, for requests without a session. Default: the container itself. */
  readonly requestScope?: ((request: Request) => Container | undefined) | undefined;
}

/** What {@link awilixScopes} makes. */
export interface AwilixScopes<C, Request> {
  /** For the option `services`. In its scope the session is registered as `activeSession`. */
  services(session: object): ContainerScope<C>;
  /** For the option `groupServices`. In its scope the group is registered as `sessionGroup`. */
  groupServices(group: object): ContainerScope<C>;
  /**
   * The scope from which the request's services come: its session's, else its own. An application that wants all of a request's
   * services to be the session's puts it where its own code looks: `req.container = scopes.containerOf(req)`.
   */
  containerOf(request: Request): Container;
  /** A service of the request's session; without a session, of the request. Throws what its construction throws. */
  sessionService<T>(request: Request, name: string): FoundService<T>;
  /**
   * A service of the request's session, exclusively: others who ask wait in order. It is released at the end of the request,
   * unless it has been disposed or handed to a runner before. Without a session it does not wait.
   * @returns `undefined` when the time is up
   * @throws what `session.lock` and the service's construction throw; nothing stays locked then
   */
  lockService<T>(request: Request, name: string, options?: LockOptions): Promise<LockedService<T> | undefined>;
}

/**
 * Gives sessions and groups scopes of a container.
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
        return locked(resolve<T>(scopeOf(session), name), lock); // of the session that is locked, whatever has become of it
      } catch (error) {
        lock.release();
        throw error;
      }
    },
  };
}

/** The request's session, as it is at the moment; nothing where it has none that could be used. */
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

function scopeOf(session: ActiveSession): Container {
  const { container } = Object(session.services) as Partial<ContainerScope<Container>>;
  if (container) return container;
  throw new ActiveSessionError(
    "INVALID_OPTION",
    "Cannot find a service: the host's option services must be that of awilixScopes, received another one",
  );
}

function locked<T>(service: T | undefined, lock: SessionLock): LockedService<T> {
  return {
    ...{ service, isReallyLocked: true },
    [Symbol.asyncDispose]: async () => lock.release(),
    [handOver]: () => lock[handOver](),
  } as LockedService<T>;
}

function unlocked<T>(service: T | undefined): LockedService<T> {
  return { service, isReallyLocked: false, [Symbol.asyncDispose]: async () => {} };
}
