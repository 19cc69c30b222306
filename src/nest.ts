/**
 * The adapter for NestJS 11 and 12, on Express and on Fastify: a module that gives every request its client's session, serves the runners
 * of that client, and closes the host with the application. It stands on the adapters for the two, and adds what is Nest's own:
 * the host as a provider, the decorator `@ActiveSession()`, the global prefix, global guards, errors as answers, and the end of the
 * application.
 */
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
import { ActiveSessionError, answerBody } from "./base/error.js";
import * as forExpress from "./express.js";
import * as forFastify from "./fastify.js";
import { checkHost, type IdentityOptions } from "./http/middleware.js";
import type { RunnerRouterOptions } from "./http/router.js";
import type { ActiveSession as Session } from "./session/active-session.js";
import { ActiveSessions } from "./session/host.js";

export type { CookieOptions } from "./http/cookie.js";
export {
  type RotateOptions,
  refreshSession,
  requestSignal,
  resolveIdentity,
  rotateSession,
} from "./http/middleware.js";
export type { Scope } from "./http/scopes.js";
export { ActiveSessions } from "./session/host.js";

/** What holds for sessions and runners. */
export interface ActiveSessionSettings<Request extends object> extends IdentityOptions<Request>, RunnerRouterOptions {
  /** The host, which can be injected as `ActiveSessions`. It is closed with the application. */
  readonly sessions: ActiveSessions<unknown>;
  /**
   * Whether the application's global guards are asked before the routes of runners, as before a controller's; `getClass()` is then
   * `ActiveSessionModule`. Request-scoped ones cannot be: the application does not start with them. Default: true.
   */
  readonly guards?: boolean | undefined;
}

/** Where runners are served. */
export interface ActiveSessionPlace {
  /** The path below the application's global prefix, if it has one. Default: `"runners"`. */
  readonly path?: string | undefined;
}

/** Options of {@link ActiveSessionModule.forRoot}. */
export interface ActiveSessionModuleOptions<Request extends object>
  extends ActiveSessionSettings<Request>,
    ActiveSessionPlace {}

type AnySettings = ActiveSessionSettings<never>;

/** Options of {@link ActiveSessionModule.forRootAsync}. */
export interface ActiveSessionModuleAsyncOptions extends ActiveSessionPlace, Pick<ModuleMetadata, "imports"> {
  /** What the factory is given. */
  readonly inject?: FactoryProvider["inject"];
  readonly useFactory: (...injected: never[]) => AnySettings | Promise<AnySettings>;
}

/** What `activeSession.services` is, for an application that says so by adding to this interface. */
// biome-ignore lint/suspicious/noEmptyInterface: it is for others to add to
export interface ActiveSessionServices {}

/** The live session of a request's client. */
export type ActiveSession<Services = ActiveSessionServices> = Session<Services>;

/**
 * The live session of the request's client, as a parameter of a controller's method; made, if there is none, when the method is
 * called. Throws as `request.activeSession` of the adapter for Express does, which is answered with the error's status.
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

const settingsToken = Symbol("active-session settings");
const placeToken = Symbol("active-session place");

/** See the top of the file. */
export class ActiveSessionModule implements NestModule, BeforeApplicationShutdown {
  readonly #settings: AnySettings;
  readonly #path: string;
  readonly #config: ApplicationConfig;
  readonly #adapter: AbstractHttpAdapter;
  readonly #contexts: ExternalContextCreator;

  /** @internal */
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
   * The module, for the application's root module.
   * @example
   * \@Module({ imports: [ActiveSessionModule.forRoot({ sessions: createActiveSessions() })], controllers: [SearchController] })
   */
  static forRoot<Request extends object>({ path, ...settings }: ActiveSessionModuleOptions<Request>): DynamicModule {
    return moduleOf({ provide: settingsToken, useValue: settings }, { path });
  }

  /** As {@link forRoot}, with settings that depend on other providers. */
  static forRootAsync({ imports, inject = [], useFactory, path }: ActiveSessionModuleAsyncOptions): DynamicModule {
    return moduleOf({ provide: settingsToken, useFactory: useFactory as never, inject }, { path }, imports);
  }

  /** @internal */
  async configure(): Promise<void> {
    const { sessions, identify, anonymous, cookie, scopes, guards = true, ...router } = this.#settings;
    checkHost("serve runners", sessions);
    const options: IdentityOptions<never> = { identify, anonymous, cookie, scopes };
    // What has been said after the module was made holds, too.
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
      void app.register(guarded, { prefix: mount }); // not waited for: Nest says later how errors are answered
    } else {
      app.use(forExpress.activeSession(sessions, options as IdentityOptions<Request>));
      app.use(mount, (request, response, next) => {
        guard(request, response).then(() => next(), next);
      });
      app.use(mount, forExpress.runnerRouter(sessions, router));
    }
  }

  /** Asks the global guards; rejects with what they throw, and `ForbiddenException`. */
  #guard(): (request: object, response: object) => Promise<void> {
    if (this.#config.getGlobalRequestGuards().length > 0) {
      const hint = "Make them of the default scope, or set guards: false and guard the routes otherwise";
      throw new ActiveSessionError(
        "INVALID_OPTION",
        `Cannot serve runners: global guards must not be request-scoped, received such a guard. ${hint}`,
      );
    }
    const only = { guards: true, interceptors: false, filters: false };
    const { passed } = this;
    return this.#contexts.create(this, passed, "passed", undefined, undefined, undefined, undefined, only, "http");
  }

  /** What guards know as the handler of a request to a runner. @internal */
  passed(): void {}

  /** Before the server waits for its open responses, which end with their runners. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.#settings.sessions.close();
  }
}

/** Answers the errors of the library with their status, code and message; those of the application itself are logged. */
class ActiveSessionFilter extends BaseExceptionFilter<ActiveSessionError> {
  override catch(error: ActiveSessionError, host: ArgumentsHost): void {
    if (host.getType() !== "http") throw error;
    const adapter = this.httpAdapterHost!.httpAdapter;
    const response = host.switchToHttp().getResponse();
    if (error.status === 500 || adapter.isHeadersSent(response)) super.catch(error, host);
    else {
      for (const [name, value] of Object.entries(error.headers)) adapter.setHeader(response, name, value);
      adapter.reply(response, answerBody(error), error.status);
    }
  }
}

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

// What decorators would say, which not everything understands that builds this library.
Catch(ActiveSessionError)(ActiveSessionFilter);
Module({})(ActiveSessionModule);
const injected = [settingsToken, placeToken, HttpAdapterHost, ApplicationConfig, ExternalContextCreator];
for (const [index, token] of injected.entries()) {
  Inject(token)(ActiveSessionModule, undefined, index);
}
