/** The adapter for NestJS 11 and 12, on Express and on Fastify. */
import {
  type ArgumentsHost,
  type BeforeApplicationShutdown,
  Catch,
  createParamDecorator,
  type DynamicModule,
  type ExecutionContext,
  type FactoryProvider,
  Inject,
  Module,
  type ModuleMetadata,
  type NestModule,
  type Provider,
} from "@nestjs/common";
import {
  type AbstractHttpAdapter,
  APP_FILTER,
  ApplicationConfig,
  BaseExceptionFilter,
  ExternalContextCreator,
  HttpAdapterHost,
} from "@nestjs/core";
import type { Application, Request } from "express";
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from "fastify";
import { ActiveSessionError, answerBody, isAnswerable } from "./base/error.js";
import * as forExpress from "./express.js";
import * as forFastify from "./fastify.js";
import { checkHost, type IdentityOptions } from "./http/middleware.js";
import { toError } from "./http/node/request.js";
import { addressOf } from "./http/path.js";
import type { RunnerRouterOptions } from "./http/router.js";
import type { ActiveSession as Session } from "./session/active-session.js";
import { ActiveSessions, type DrainOptions } from "./session/active-sessions.js";

export * from "./http/adapter-exports.js";
export { ActiveSessions } from "./session/active-sessions.js";

/**
 * Options of sessions and of the routes of runners. Behind a proxy that terminates TLS, set the platform's `trust proxy` or
 * `trustProxy`, or `cookie.secure`.
 * @typeParam Request the platform's request: that of Express or Fastify
 */
export interface ActiveSessionSettings<Request extends object> extends IdentityOptions<Request>, RunnerRouterOptions {
  /** The host. It can be injected as `ActiveSessions`, and is closed with the application. */
  readonly sessions: ActiveSessions<unknown>;
  /**
   * If true, the application's global guards protect the routes of runners, too; `getClass()` gives them `ActiveSessionModule`. They must
   * not be request-scoped: the application fails to start with `INVALID_OPTION`. Default: true.
   */
  readonly guards?: boolean | undefined;
  /** How the host is closed with the application, see `ActiveSessions.close`. Default: all work is aborted at once. */
  readonly drain?: DrainOptions | undefined;
}

/** The address of the routes of runners. Known before asynchronous settings are. */
export interface ActiveSessionPlace {
  /** Path below which runners are served, relative to the application's global prefix. Default: `"runners"`. */
  readonly path?: string | undefined;
}

/** Options of {@link ActiveSessionModule.forRoot}. */
export interface ActiveSessionModuleOptions<Request extends object>
  extends ActiveSessionSettings<Request>,
    ActiveSessionPlace {}

/** Settings for either platform. */
type AnySettings = ActiveSessionSettings<never>;

/** Options of {@link ActiveSessionModule.forRootAsync}. */
export interface ActiveSessionModuleAsyncOptions extends ActiveSessionPlace, Pick<ModuleMetadata, "imports"> {
  /** Tokens of the providers that are passed to the factory. Default: none. */
  readonly inject?: FactoryProvider["inject"];
  /** Makes the settings; may be async. Called once, when the application starts. */
  readonly useFactory: (...injected: never[]) => AnySettings | Promise<AnySettings>;
}

/** Type of `activeSession.services`. Applications add their members by declaration merging. */
// biome-ignore lint/suspicious/noEmptyInterface: it is for others to add to
export interface ActiveSessionServices {}

/** The live session of a request's client, as the type of a parameter with the decorator `@ActiveSession()`. */
export type ActiveSession<Services = ActiveSessionServices> = Session<Services>;

/**
 * Parameter decorator: injects the live session of the request's client into a controller's method. The session is created, if there is
 * none, when the method is called.
 * @throws the errors of `request.activeSession` in `active-session/express`; they are answered with their status
 * @example
 * \@Post("searches")
 * async search(@ActiveSession() session: ActiveSession) {
 *   const runner = await session.createSequenceRunner(matches());
 *   return { key: runner.key, ...(await runner.getRequired({ advance: 20 })) };
 * }
 */
export const ActiveSession = createParamDecorator(
  (_: undefined, context: ExecutionContext): Session =>
    context.switchToHttp().getRequest<{ activeSession: Session }>().activeSession,
);

/** Injection tokens of the options, which stay private to the module. */
const settingsToken = Symbol("active-session settings");
const placeToken = Symbol("active-session place");

/**
 * The global module that attaches the client's session to every request, serves the client's runners, and closes the host with the
 * application. It installs the adapter of the platform, `active-session/express` or `active-session/fastify`, and adds:
 *
 * - the host as the provider `ActiveSessions`,
 * - the decorator {@link ActiveSession},
 * - the global prefix and the global guards on the routes of runners,
 * - an exception filter that answers errors of this library with their status.
 */
export class ActiveSessionModule implements NestModule, BeforeApplicationShutdown {
  readonly #settings: AnySettings;
  readonly #path: string;
  readonly #config: ApplicationConfig;
  readonly #adapter: AbstractHttpAdapter;
  readonly #contexts: ExternalContextCreator;

  /** Called by Nest; `injected` at the end of the file supplies the arguments. */
  constructor(
    settings: AnySettings,
    { path = "runners" }: ActiveSessionPlace,
    { httpAdapter }: HttpAdapterHost,
    config: ApplicationConfig,
    contexts: ExternalContextCreator,
  ) {
    this.#settings = settings;
    this.#path = path;
    this.#config = config;
    this.#adapter = httpAdapter;
    this.#contexts = contexts;
  }

  /**
   * Makes the module, to be imported once by the application's root module.
   * @example
   * \@Module({ imports: [ActiveSessionModule.forRoot({ sessions: createActiveSessions() })], controllers: [SearchController] })
   */
  static forRoot<Request extends object>({ path, ...settings }: ActiveSessionModuleOptions<Request>): DynamicModule {
    return moduleOf({ provide: settingsToken, useValue: settings }, { path });
  }

  /**
   * As {@link forRoot}, with settings that depend on other providers, for example a configuration service.
   * @param options `imports` lists the modules that export the injected providers
   */
  static forRootAsync({ imports, inject = [], useFactory, path }: ActiveSessionModuleAsyncOptions): DynamicModule {
    return moduleOf({ provide: settingsToken, useFactory: useFactory as never, inject }, { path }, imports);
  }

  /**
   * Called by Nest when the application starts: installs the adapter of the platform and the routes.
   * @throws `INVALID_OPTION`
   */
  async configure(): Promise<void> {
    const { sessions, identify, anonymous, cookie, scopes, guards = true, drain: _, ...router } = this.#settings;
    checkHost("serve runners", sessions);
    const options: IdentityOptions<never> = { identify, anonymous, cookie, scopes };
    // Read here, not in the constructor: `setGlobalPrefix` and `useGlobalGuards` are called after the modules have been made.
    const mount = `/${this.#config.getGlobalPrefix()}/${this.#path}`.replace(/\/+/g, "/").replace(/\/$/, "");
    const app = this.#adapter.getInstance<Application & FastifyInstance>();
    const guard = guards ? this.#guard() : async () => {};
    if (this.#adapter.getType() === "fastify") {
      const own = { sessions, ...(options as IdentityOptions<FastifyRequest>), closeWithServer: false };
      await app.register(forFastify.activeSession, own);
      const guarded: FastifyPluginAsync = async (own) => {
        own.addHook("preHandler", async (request, reply) => guard(request, reply));
        await own.register(forFastify.runnerRouter, { sessions, ...router });
      };
      void app.register(guarded, { prefix: mount }); // not awaited: that would load it before Nest sets its error handler
    } else {
      app.use(forExpress.activeSession(sessions, options as IdentityOptions<Request>));
      app.use(mount, (request, response, next) => {
        const isHome = request.originalUrl === "/";
        if (!addressOf(request.path, request.method, isHome)) return next(); // a route of the application below the mount
        const { url, baseUrl } = request;
        const asMounted = () => Object.assign(request, { url, baseUrl });
        Object.assign(request, { url: request.originalUrl, baseUrl: "" }); // as a controller's guards see it
        guard(request, response).then(
          () => {
            asMounted();
            next();
          },
          (error: unknown) => {
            asMounted();
            next(toError(error));
          },
        );
      });
      app.use(mount, forExpress.runnerRouter(sessions, router));
    }
  }

  /**
   * Makes a function that runs the global guards on a request. It rejects with errors of the guards, and with `ForbiddenException` if
   * one refuses.
   * @throws `INVALID_OPTION` if a global guard is request-scoped: it could not be made here, and leaving it out would open the routes
   */
  #guard(): (request: object, response: object) => Promise<void> {
    if (this.#config.getGlobalRequestGuards().length > 0) {
      const hint = "Make them of the default scope, or set guards: false and guard the routes otherwise";
      throw new ActiveSessionError(
        "INVALID_OPTION",
        `Cannot serve runners: global guards must not be request-scoped, received such a guard. ${hint}`,
      );
    }
    const only = { guards: true, interceptors: false, filters: false };
    // A context with a handler that does nothing: Nest runs the guards in front of it.
    const { passed } = this;
    return this.#contexts.create(this, passed, "passed", undefined, undefined, undefined, undefined, only, "http");
  }

  /** The handler that guards see (`getHandler()`) for requests to the routes of runners. */
  passed(): void {}

  /**
   * Called by Nest at `app.close()`: closes the host before the server waits for open responses, since event streams end only with
   * their runners.
   */
  async beforeApplicationShutdown(): Promise<void> {
    await this.#settings.sessions.close(this.#settings.drain);
  }
}

/** Answers errors of this library with their status, headers, code and message. Those with status 500 are left to Nest, which logs them. */
class ActiveSessionFilter extends BaseExceptionFilter<ActiveSessionError> {
  override catch(error: ActiveSessionError, host: ArgumentsHost): void {
    if (host.getType() !== "http") throw error; // of a gateway or microservice, which has no response
    const adapter = this.httpAdapterHost!.httpAdapter;
    const response = host.switchToHttp().getResponse();
    if (error.status === 500 || !isAnswerable(error) || adapter.isHeadersSent(response)) super.catch(error, host);
    else {
      for (const [name, value] of Object.entries(error.headers)) adapter.setHeader(response, name, value);
      adapter.reply(response, answerBody(error), error.status);
    }
  }
}

/** Assembles the dynamic module; global, so that every module can inject the host. */
function moduleOf(
  settings: Provider,
  place: ActiveSessionPlace,
  imports: ModuleMetadata["imports"] = [],
): DynamicModule {
  const host = {
    provide: ActiveSessions,
    inject: [settingsToken],
    useFactory: (given: AnySettings) => given.sessions,
  };
  const filter = { provide: APP_FILTER, useClass: ActiveSessionFilter };
  return {
    module: ActiveSessionModule,
    global: true,
    imports,
    providers: [settings, { provide: placeToken, useValue: place }, host, filter],
    exports: [ActiveSessions],
  };
}

// Applied as functions: not every tool that builds this library supports decorators on classes and parameters.
Catch(ActiveSessionError)(ActiveSessionFilter);
Module({})(ActiveSessionModule);
const injected = [settingsToken, placeToken, HttpAdapterHost, ApplicationConfig, ExternalContextCreator];
for (const [index, token] of injected.entries()) {
  Inject(token)(ActiveSessionModule, undefined, index);
}
