/** What is Nest's own: injection, the parameter decorator, the global prefix, filters, and the end of an application. */
import "reflect-metadata";
import {
  Controller,
  type ExecutionContext,
  Get,
  Inject,
  Injectable,
  Module,
  type NestApplicationOptions,
  Post,
  type Provider,
  Scope,
  UnauthorizedException,
} from "@nestjs/common";
import { APP_GUARD, NestFactory } from "@nestjs/core";
import { FastifyAdapter } from "@nestjs/platform-fastify";
import { describe, expect, test } from "vitest";
import { ActiveSessionError } from "../src/base/error.js";
import { createClient } from "../src/client.js";
import { ActiveSession, ActiveSessionModule, ActiveSessions } from "../src/nest.js";
import { atEnd } from "./support/cleanup.js";
import { openHost, PushSource, turns } from "./support/control.js";

/** What `@Decorator(...)` in front of a method, and of its parameters, does. */
function decorate(target: object, name: string, method: MethodDecorator, ...parameters: ParameterDecorator[]): void {
  method(target, name, Object.getOwnPropertyDescriptor(target, name)!);
  for (const [index, parameter] of parameters.entries()) parameter(target, name, index);
}

class Search {
  readonly sessions: ActiveSessions;
  constructor(sessions: ActiveSessions) {
    this.sessions = sessions;
  }
  async start(session: ActiveSession) {
    const runner = await session.createSequenceRunner([1, 2, 3], { retain: "all" });
    return { key: runner.key, ...(await runner.getRequired({ advance: 2 })) };
  }
  statistics() {
    return this.sessions.stats();
  }
  limit() {
    throw new ActiveSessionError("CLIENT_LIMIT_REACHED", "Enough", { retryAfter: 5 });
  }
  internal() {
    throw new ActiveSessionError("RUNNER_START_FAILED", "The password is 123");
  }
  closed() {
    throw new ActiveSessionError("HOST_CLOSED", "At 10.0.0.7");
  }
}
Controller("searches")(Search);
Inject(ActiveSessions)(Search, undefined, 0);
decorate(Search.prototype, "start", Post(), ActiveSession());
for (const name of ["statistics", "limit", "internal", "closed"]) decorate(Search.prototype, name, Get(name));

async function open(
  imports: readonly object[],
  platform: "express" | "fastify" = "express",
  prefix?: string,
  options: NestApplicationOptions = {},
  providers: readonly Provider[] = [],
) {
  class App {}
  Module({ imports: imports as never[], controllers: [Search], providers: [...providers] })(App);
  const settings = { logger: false, forceCloseConnections: true, abortOnError: false, ...options } as const;
  const app =
    platform === "express"
      ? await NestFactory.create(App, settings)
      : await NestFactory.create(App, new FastifyAdapter({ forceCloseConnections: true }), settings);
  if (prefix) app.setGlobalPrefix(prefix);
  atEnd(() => app.close());
  await app.listen(0, "127.0.0.1");
  return { app, url: (await app.getUrl()) as string };
}

const platforms = ["express", "fastify"] as const;

describe.each(platforms)("on %s", (platform) => {
  test("a parameter is the client's session, the host can be injected, and runners are served below the prefix", async () => {
    const sessions = openHost();
    const { url } = await open([ActiveSessionModule.forRoot({ sessions })], platform, "api");
    const response = await fetch(`${url}/api/searches`, { method: "POST" });
    const { key, result } = (await response.json()) as { key: string; result: number[] };
    expect([response.status, result]).toEqual([201, [1, 2]]);
    const headers = { cookie: response.headers.getSetCookie()[0]!.split(";")[0]! };
    expect((await createClient(`${url}/api/runners`, { headers }).read(key)).items).toEqual([1, 2, 3]);
    expect((await fetch(`${url}/runners/${key}`, { headers })).status).toBe(404);
    expect(await (await fetch(`${url}/api/searches/statistics`)).json()).toMatchObject({ sessions: 1, runners: 1 });
  });

  test("global guards stand before the routes of runners, and may be what finds out who the user is", async () => {
    const sessions = openHost();
    const asked: string[] = [];
    class Guard {
      canActivate(context: ExecutionContext) {
        const request = context.switchToHttp().getRequest<{ headers: Record<string, string>; user?: string }>();
        const user = request.headers["x-user"];
        asked.push(context.getClass().name);
        if (user === "mallory") return false;
        if (user === undefined) throw new UnauthorizedException();
        request.user = user;
        return true;
      }
    }
    const identify = ({ user }: { user?: string }) => user;
    const module = ActiveSessionModule.forRoot({ sessions, identify: identify as never, anonymous: "none" });
    const { url } = await open([module], platform, "api", {}, [{ provide: APP_GUARD, useClass: Guard }]);
    const started = await fetch(`${url}/api/searches`, { method: "POST", headers: { "x-user": "ann" } });
    const { key } = (await started.json()) as { key: string };
    const read = async (headers: Record<string, string>) => {
      const response = await fetch(`${url}/api/runners/${key}?offset=0`, { headers });
      return [response.status, await response.json()];
    };
    expect(await read({ "x-user": "ann" })).toEqual([200, [1, 2, 3]]);
    expect(await read({ "x-user": "eve" })).toEqual([404, expect.objectContaining({ code: "RUNNER_NOT_FOUND" })]);
    expect(await read({})).toEqual([401, { message: "Unauthorized", statusCode: 401 }]);
    expect(await read({ "x-user": "mallory" })).toMatchObject([403, { statusCode: 403 }]);
    expect(asked).toEqual(["Search", ...Array<string>(4).fill("ActiveSessionModule")]);
  });

  test("global guards that are made for each request are refused, unless the routes are to have none", async () => {
    class Guard {
      canActivate() {
        return false;
      }
    }
    Injectable({ scope: Scope.REQUEST })(Guard);
    const guard = { provide: APP_GUARD, useClass: Guard, scope: Scope.REQUEST };
    const start = (settings: object) =>
      open([ActiveSessionModule.forRoot({ sessions: openHost(), ...settings })], platform, undefined, {}, [guard]);
    await expect(start({})).rejects.toMatchObject({ code: "INVALID_OPTION" });
    const { url } = await start({ guards: false });
    const response = await fetch(`${url}/runners/1?offset=0`);
    expect([response.status, await response.json()]).toEqual([
      404,
      expect.objectContaining({ code: "RUNNER_NOT_FOUND" }),
    ]);
  });

  test("settings may come from a factory with what it asks for, and the path is the application's to choose", async () => {
    const sessions = openHost();
    class Config {}
    Module({ providers: [{ provide: "user", useValue: "ann" }], exports: ["user"] })(Config);
    const useFactory = async (user: string) => ({ sessions, identify: () => user });
    const asked = ActiveSessionModule.forRootAsync({
      imports: [Config],
      inject: ["user"],
      useFactory,
      path: "/my/work/",
    });
    const { url } = await open([asked], platform);
    const { key } = (await (await fetch(`${url}/searches`, { method: "POST" })).json()) as { key: string };
    expect(await (await fetch(`${url}/my/work/${key}`)).json()).toEqual([1, 2, 3]);
    expect(await (await sessions.find("ann"))?.findRunner(key)).toBeDefined();
  });

  test("errors are answered with status, code and Retry-After; what is internal is not told", async () => {
    const { url } = await open([ActiveSessionModule.forRoot({ sessions: openHost() })], platform);
    const ask = async (name: string) => {
      const response = await fetch(`${url}/searches/${name}`);
      return [response.status, response.headers.get("retry-after"), await response.text()] as const;
    };
    expect(await ask("limit")).toEqual([429, "5", '{"code":"CLIENT_LIMIT_REACHED","message":"Enough"}']);
    expect(await ask("closed")).toEqual([503, null, '{"code":"HOST_CLOSED","message":"The server has failed"}']);
    const [status, , text] = await ask("internal");
    expect([status, text]).toEqual([500, expect.not.stringContaining("123")]);
  });

  test("closing the application ends the work, and the responses that are open", async () => {
    const sessions = openHost();
    const { app, url } = await open([ActiveSessionModule.forRoot({ sessions, identify: () => "ann" })], platform);
    const session = await sessions.get("ann");
    const runner = await session.createSequenceRunner(new ReadableStream<number>());
    const stream = await fetch(`${url}/runners/${runner.key}?offset=0&live=sse`);
    const text = stream.text();
    await app.close();
    expect(await text).toContain('"runnerAbortReason":"shutdown"');
    expect([session.isAvailable, runner.status]).toEqual([false, "aborted"]);
  });

  test("closing the application lets work end that runs, where drain says so", async () => {
    const sessions = openHost();
    const settings = { sessions, identify: () => "ann", drain: { finish: 60_000 } };
    const { app, url } = await open([ActiveSessionModule.forRoot(settings)], platform);
    const source = new PushSource<number>();
    const runner = await (await sessions.get("ann")).createSequenceRunner(source);
    const closing = app.close();
    await turns(10);
    source.push(1);
    source.end();
    const page = await fetch(`${url}/runners/${runner.key}?offset=0&live=long-poll&min-items=2`);
    expect([await page.json(), page.headers.get("runner-status")]).toEqual([[1], "completed"]);
    await closing;
  });

  test("what is no host is refused when the application starts", async () => {
    const asked = ActiveSessionModule.forRoot({ sessions: {} as never });
    await expect(open([asked], platform)).rejects.toMatchObject({ code: "INVALID_OPTION" });
  });
});
