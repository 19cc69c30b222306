/**
 * The adapter for Fastify 5: the plugin `activeSession` gives each request its client's session, the plugin `runnerRouter` serves the
 * runners of that client. Where `@fastify/session` or `@fastify/secure-session` stands before them, the session belongs to its session.
 */
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import type { FrameworkSession } from "./http/client-identity.js";
import { noteKept, sessionOfStore, wasKept } from "./http/framework-session.js";
import { activeSessionProperty, checkHost, type IdentityOptions, pathOf } from "./http/middleware.js";
import { answerFor, sessionInstaller } from "./http/node/request.js";
import { writeResponse } from "./http/node/response.js";
import { exposedName, mergeExposed, type WireResponse } from "./http/request-context.js";
import { createRunnerHandler, type RunnerRouterOptions as HandlerOptions } from "./http/router.js";
import type { ActiveSession } from "./session/active-session.js";
import type { ActiveSessions } from "./session/host.js";

export type { CookieOptions } from "./http/cookie.js";
export {
  type RotateOptions,
  refreshSession,
  requestSignal,
  resolveIdentity,
  rotateSession,
} from "./http/middleware.js";
export type { Scope } from "./http/scopes.js";

declare module "fastify" {
  interface FastifyRequest {
    /**
     * The live session of the request's client, made at the first access; installed by `activeSession`.
     * Throws `IDENTITY_TOO_LATE` if it needs a cookie and the headers have been sent, `HOST_CLOSED` while draining.
     */
    readonly activeSession: ActiveSession<ActiveSessionServices>;
  }

  /** What `activeSession.services` is, for an application that says so by adding to this interface. */
  interface ActiveSessionServices {}
}

/** Options of {@link activeSession}. Behind a proxy that ends TLS, set Fastify's `trustProxy` or `cookie.secure`. */
export interface ActiveSessionOptions extends IdentityOptions<FastifyRequest> {
  readonly sessions: ActiveSessions<unknown>;
  /** Whether the host is closed with the application: all work ends, and what it held is released. Default: true. */
  readonly closeWithServer?: boolean | undefined;
}

/** Options of {@link runnerRouter}; where the runners are served, Fastify's `prefix` says. */
export interface RunnerRouterOptions extends HandlerOptions {
  readonly sessions: ActiveSessions<unknown>;
}

/** What `@fastify/session` (with an id) and `@fastify/secure-session` (without) add to a request. */
interface FastifySession {
  readonly sessionId?: unknown;
  get?(name: string): unknown;
  set?(name: string, value: unknown): void;
  save?(): Promise<unknown>;
}

function frameworkSession(request: FastifyRequest): FrameworkSession | undefined {
  const session = (request as { session?: FastifySession | null }).session;
  if (typeof session?.get !== "function" || typeof session.set !== "function") return undefined;
  const data = {
    read: (name: string) => session.get!(name),
    write: (name: string, value: string) => session.set!(name, value),
    ...(typeof session.save === "function" && { save: async () => session.save!() }),
  };
  const { sessionId } = session;
  return sessionOfStore(session, data, typeof sessionId === "string" && wasKept(session) ? sessionId : undefined);
}

/**
 * Gives every request its client's session as `request.activeSession`, and drains the host when the application closes. The session
 * is made at the first access, never for a request that does not ask for it; only then a cookie is set, or the framework's session
 * written to and saved.
 * @example
 * await app.register(activeSession, { sessions });
 * @throws `INVALID_OPTION`. A request fails with what `identify` throws, and `INVALID_IDENTITY`.
 */
export const activeSession: FastifyPluginAsync<ActiveSessionOptions> = forAll(
  async (app, { sessions, closeWithServer = true, identify, anonymous, cookie, scopes }) => {
    const install = sessionInstaller<FastifyRequest>(
      sessions,
      { identify, anonymous, cookie, scopes },
      {
        isSecure: ({ protocol }) => protocol === "https",
        hostOf: ({ host }) => host || undefined,
        urlOf: ({ originalUrl }) => originalUrl,
        frameworkSession,
      },
    );
    if (!app.hasRequestDecorator("activeSession")) {
      app.decorateRequest("activeSession", { getter: activeSessionProperty.get as () => ActiveSession<never> });
    }
    app.addHook("onRequest", (request, reply, done) => {
      const { session } = request as { session?: FastifySession | null };
      if (typeof session?.sessionId === "string") noteKept(session);
      const pending = install(request, request.raw, reply.raw);
      if (pending !== undefined) pending.then(() => done(), done);
      else done();
    });
    // Before the server waits for its open responses, which end with their runners.
    if (closeWithServer) app.addHook("preClose", async () => void (await sessions.close()));
  },
);

/**
 * Serves the runners of the request's client: pages, long-poll, SSE, acknowledgement, state, abort, removal, and creation of what is
 * exposed. Register it behind {@link activeSession}, with a prefix.
 * @example
 * await app.register(runnerRouter, { prefix: "/runners", sessions });
 * @throws `INVALID_OPTION`. A request that did not pass `activeSession` fails with `NOT_INSTALLED`.
 */
export const runnerRouter: FastifyPluginAsync<RunnerRouterOptions> = async (app, { sessions, ...options }) => {
  checkHost("serve runners", sessions);
  const { prefix: _, ...own } = options as typeof options & { prefix?: string };
  const handle = createRunnerHandler(sessions, own);
  // The bodies of creations are read by the handler, with its own limit.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", async () => undefined);
  for (const [depth, url] of ["/", "/:key", "/:key/:action"].entries()) {
    app.all(url, { exposeHeadRoute: false }, async (request, reply) => {
      const wire = await answerFor(handle, sessions, lastSegments(request.url, depth), request, request.raw, reply.raw);
      return wire ? send(reply, wire) : reply.callNotFound();
    });
  }
};

/** The end of a path as it came, not decoded. The prefix may have parameters, and slashes more than once. */
function lastSegments(url: string, count: number): string {
  const segments = pathOf(url).split("/").filter(Boolean);
  return `/${segments.slice(segments.length - count).join("/")}`;
}

/** What is whole goes through Fastify's own hooks, which set cookies; what comes in parts is written here, with the headers so far. */
async function send(reply: FastifyReply, wire: WireResponse): Promise<FastifyReply> {
  mergeExposed(wire.headers, reply.getHeader(exposedName));
  if (typeof wire.body !== "object")
    return reply
      .code(wire.status)
      .headers({ ...wire.headers })
      .send(wire.body);
  reply.hijack();
  for (const [name, value] of Object.entries(reply.getHeaders()))
    if (value !== undefined) reply.raw.setHeader(name, value);
  await writeResponse(reply.raw, wire);
  return reply;
}

/** A plugin that holds for the whole application, not only for what is registered within it. */
function forAll<Options extends object>(
  plugin: (app: FastifyInstance, options: Options) => Promise<void>,
): FastifyPluginAsync<Options> {
  return Object.assign(plugin, {
    [Symbol.for("skip-override")]: true,
    [Symbol.for("fastify.display-name")]: "active-session",
  });
}
