/**
 * The adapter for NestJS 12, on Express and on Fastify: a module that gives every request its client's session, serves the runners
 * of that client, and closes the host with the application. It stands on the adapters for the two, and adds what is Nest's own:
 * the host as a provider, the decorator `@ActiveSession()`, the global prefix, errors as answers, and the end of the application.
 */
import {
  type ArgumentsHost,
  type BeforeApplicationShutdown,
  Catch,
  createParamDecorator,
  type DynamicModule,
  type ExecutionContext,
  Inject,
  Module,
  type ModuleMetadata,
  type NestModule,
  type Provider,
} from "@nestjs/common";
import { APP_FILTER, ApplicationConfig, BaseExceptionFilter, HttpAdapterHost } from "@nestjs/core";
import { ActiveSessionError, answerBody } from "./base/error.js";
import * as forExpress from "./express.js";
import * as forFastify from "./fastify.js";
import type { RunnerRouterOptions } from "./http/handler.js";
import { checkHost, type IdentityOptions } from "./http/install.js";
import type { ActiveSession as Session } from "./session/active-session.js";
import { ActiveSessions } from "./session/active-sessions.js";

export type { CookieOptions } from "./http/cookie.js";
export { type RotateOptions, refreshSession, requestSignal, rotateSession } from "./http/install.js";
export type { Scope } from "./http/scopes.js";
export { ActiveSessions } from "./session/active-sessions.js";

/** What holds for sessions and runners. */
export interface ActiveSessionSettings<Request = any> extends IdentityOptions<Request>, RunnerRouterOptions {
  /** The host, which can be injected as `ActiveSessions`. It is closed with the application. */
  readonly sessions: ActiveSessions<any>;
}

/** Where runners are served. */
export interface ActiveSessionPlace {
  /** The path below the application's global prefix, if it has one. Default: `"runners"`. */
  readonly path?: string | undefined;
}

/** Options of {@link ActiveSessionModule.forRoot}. */
export interface ActiveSessionModuleOptions<Request = any> extends ActiveSessionSettings<Request>, ActiveSessionPlace {}

/** Options of {@link ActiveSessionModule.forRootAsync}. */
export interface ActiveSessionModuleAsyncOptions extends ActiveSessionPlace, Pick<ModuleMetadata, "imports"> {
  /** What the factory is given. */
  readonly inject?: any[];
  readonly useFactory: (...injected: any[]) => ActiveSessionSettings | Promise<ActiveSessionSettings>;
}

/** What `activeSession.services` is, for an application that says so by adding to this interface. */
export interface ActiveSessionServices {}

/** The live session of a request's client. */
export type ActiveSession<Services = ActiveSessionServices> = Session<Services>;

/**
 * The live session of the request's client, made when the parameter is; `OUT_OF_SCOPE`, `HOST_CLOSED` and other errors are answered
 * as such. With the name of a property, that property: `@ActiveSession("id") id: string`.
 * @example
 * \@Post("searches")
 * async search(@ActiveSession() session: ActiveSession) {
 *   const runner = await session.createSequenceRunner(matches());
 *   return { key: runner.key, ...(await runner.getRequired({ advance: 20 })) };
 * }
 */
export const ActiveSession = createParamDecorator((property: keyof Session | undefined, context: ExecutionContext) => {
  const { activeSession } = context.switchToHttp().getRequest<{ activeSession: Session }>();
  return property === undefined ? activeSession : activeSession[property];
});

const settingsToken = Symbol("active-session settings");
const placeToken = Symbol("active-session place");

/** See the top of the file. */
export class ActiveSessionModule implements NestModule, BeforeApplicationShutdown {
  readonly #settings: ActiveSessionSettings;
  readonly #path: string;
  readonly #adapter: { getType(): string; getInstance(): any };

  /** @internal */
  constructor(
    settings: ActiveSessionSettings,
    { path = "runners" }: ActiveSessionPlace,
    { httpAdapter }: HttpAdapterHost,
    config: ApplicationConfig,
  ) {
    this.#settings = settings;
    this.#path = `/${config.getGlobalPrefix()}/${path}`.replace(/\/+/g, "/").replace(/\/$/, "");
    this.#adapter = httpAdapter;
  }

  /**
   * The module, for the application's root module.
   * @example
   * \@Module({ imports: [ActiveSessionModule.forRoot({ sessions: createActiveSessions() })], controllers: [SearchController] })
   */
  static forRoot({ path, ...settings }: ActiveSessionModuleOptions): DynamicModule {
    return moduleOf({ provide: settingsToken, useValue: settings }, { path });
  }

  /** As {@link forRoot}, with settings that depend on other providers. */
  static forRootAsync({ imports = [], inject = [], useFactory, path }: ActiveSessionModuleAsyncOptions): DynamicModule {
    return moduleOf({ provide: settingsToken, useFactory, inject }, { path }, imports);
  }

  /** @internal */
  async configure(): Promise<void> {
    const { sessions, identify, cookie, scopes, ...router } = this.#settings;
    checkHost("serve runners", sessions);
    const app = this.#adapter.getInstance();
    if (this.#adapter.getType() === "fastify") {
      await app.register(forFastify.activeSession, { sessions, identify, cookie, scopes, closeWithServer: false });
      await app.register(forFastify.runnerRouter, { prefix: this.#path, sessions, ...router });
    } else {
      app.use(forExpress.activeSession(sessions, { identify, cookie, scopes }));
      app.use(this.#path, forExpress.runnerRouter(sessions, router));
    }
  }

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
    if (error.status === 500 || adapter.isHeadersSent(response)) return super.catch(error, host);
    for (const [name, value] of Object.entries(error.headers)) adapter.setHeader(response, name, value);
    adapter.reply(response, answerBody(error), error.status);
  }
}

function moduleOf(settings: Provider, place: ActiveSessionPlace, imports: ModuleMetadata["imports"] = []): DynamicModule {
  const host = { provide: ActiveSessions, inject: [settingsToken], useFactory: (given: ActiveSessionSettings) => given.sessions };
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
for (const [index, token] of [settingsToken, placeToken, HttpAdapterHost, ApplicationConfig].entries()) {
  Inject(token)(ActiveSessionModule, undefined, index);
}
