/** The adapter for Fastify 5: two plugins. */
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import { isBroughtBack, sessionOfStore } from "./http/framework-session.js";
import { activeSessionProperty, checkHost, type IdentityOptions, pathOf } from "./http/middleware.js";
import { answerFor, sessionInstaller } from "./http/node/request.js";
import { writeResponse } from "./http/node/response.js";
import type { FrameworkSession } from "./http/request-port.js";
import { createRunnerHandler, type RunnerRouterOptions as HandlerOptions } from "./http/router.js";
import { exposedName, mergeExposed, type WireResponse } from "./http/wire-response.js";
import type { ActiveSession } from "./session/active-session.js";
import type { ActiveSessions } from "./session/active-sessions.js";

export * from "./http/adapter-exports.js";

declare module "fastify" {
  interface FastifyRequest {
    /**
     * The live session of the request's client, created at first access; defined by the plugin `activeSession`.
     * @throws `IDENTITY_TOO_LATE` if it needs a cookie and the headers have been sent, `HOST_CLOSED` while draining,
     *   `NOT_INSTALLED`, `OUT_OF_SCOPE`, `NO_IDENTITY`, `IDENTITY_PENDING`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
     */
    readonly activeSession: ActiveSession<ActiveSessionServices>;
  }

  /** Type of `activeSession.services`. Applications add their members by declaration merging. */
  interface ActiveSessionServices {}
}

/** Options of {@link activeSession}. Behind a proxy that terminates TLS, set Fastify's `trustProxy` or `cookie.secure`. */
export interface ActiveSessionOptions extends IdentityOptions<FastifyRequest> {
  /** The host, from `createActiveSessions`. */
  readonly sessions: ActiveSessions<unknown>;
  /**
   * If true, `app.close()` closes the host: all work ends, and its resources are released. Set it to false where applications share a
   * host. Default: true.
   */
  readonly closeWithServer?: boolean | undefined;
}

/** Options of {@link runnerRouter}. The path below which runners are served is Fastify's own option `prefix`. */
export interface RunnerRouterOptions extends HandlerOptions {
  /** The host that {@link activeSession} was given. */
  readonly sessions: ActiveSessions<unknown>;
}

/** The session of `@fastify/session` or `@fastify/secure-session`, reduced to what is used here. */
interface FastifySession {
  /** Of `@fastify/session` only. */
  readonly sessionId?: unknown;
  get?(name: string): unknown;
  set?(name: string, value: unknown): void;
  save?(): Promise<unknown>;
}

function sessionIn(request: FastifyRequest): FastifySession | null | undefined {
  return (request as { session?: FastifySession | null }).session;
}

/**
 * The framework's session: identified by its own id if it has one and was stored before, else by an id of ours among its data.
 */
function frameworkSession(request: FastifyRequest): FrameworkSession | undefined {
  const session = sessionIn(request);
  if (typeof session?.get !== "function" || typeof session.set !== "function") return undefined;
  const data = {
    read: (name: string) => session.get!(name),
    write: (name: string, value: string) => session.set!(name, value),
    ...(typeof session.save === "function" && { save: async () => session.save!() }),
  };
  const { sessionId } = session;
  return sessionOfStore(
    session,
    data,
    typeof sessionId === "string" && isBroughtBack(sessionId, request.headers.cookie) ? sessionId : undefined,
  );
}

/**
 * The plugin that attaches the client's session to each request as `request.activeSession`, in the whole application, and drains the
 * host when that closes. The session is created at first access, not for requests that do not use it; only then a cookie is set, or the
 * framework's session written to and saved.
 *
 * Register it behind `@fastify/session` or `@fastify/secure-session` if there is one: the active session then belongs to that session.
 * @example
 * await app.register(activeSession, { sessions });
 * @throws `INVALID_OPTION`. A request fails with errors of `identify`, and `INVALID_IDENTITY`.
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
      const pending = install(request, request.raw, reply.raw);
      if (pending !== undefined) pending.then(() => done(), done);
      else done();
    });
    // In `preClose`: the server then waits for open responses, and event streams end only with their runners.
    if (closeWithServer) app.addHook("preClose", async () => void (await sessions.close()));
  },
);

/**
 * The plugin that serves the client's runners: pages, long-poll, SSE, acknowledgement, state, abort, removal, and creation of what is
 * exposed. Reading never creates a session. Register it behind {@link activeSession}, with a prefix and the same host. Event streams
 * are written without `onSend` hooks.
 * @example
 * await app.register(runnerRouter, { prefix: "/runners", sessions });
 * @throws `INVALID_OPTION`. A request that did not pass `activeSession` fails with `NOT_INSTALLED`.
 */
export const runnerRouter: FastifyPluginAsync<RunnerRouterOptions> = async (app, { sessions, ...options }) => {
  checkHost("serve runners", sessions);
  const { prefix: _, ...own } = options as typeof options & { prefix?: string };
  const handle = createRunnerHandler(sessions, own);
  // Within this plugin no parser reads bodies: the handler does, with its own limit.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", async () => undefined);
  for (const [depth, url] of ["/", "/:key", "/:key/:action"].entries()) {
    app.all(url, { exposeHeadRoute: false }, async (request, reply) => {
      const wire = await answerFor(handle, sessions, lastSegments(request.url, depth), request, request.raw, reply.raw);
      return wire ? send(reply, wire) : reply.callNotFound();
    });
  }
};

/**
 * The last `count` segments of the path, not decoded. Counted from the end, because the prefix may have parameters and repeated slashes.
 */
function lastSegments(url: string, count: number): string {
  const segments = pathOf(url).split("/").filter(Boolean);
  return `/${segments.slice(segments.length - count).join("/")}`;
}

/**
 * Sends the answer. A complete body goes through Fastify, whose hooks set cookies. A streamed body is written here with back-pressure,
 * after the headers that were set so far.
 */
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

/** Makes a plugin apply to the whole application, not only to its own scope, as the package `fastify-plugin` does. */
function forAll<Options extends object>(
  plugin: (app: FastifyInstance, options: Options) => Promise<void>,
): FastifyPluginAsync<Options> {
  return Object.assign(plugin, {
    [Symbol.for("skip-override")]: true,
    [Symbol.for("fastify.display-name")]: "active-session",
  });
}
