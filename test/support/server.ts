/** Real servers on free loopback ports, closed with their connections when the test is over. */
import { once } from "node:events";
import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import express, { type Express } from "express";
import {
  type ActiveSessionMiddlewareOptions,
  activeSession,
  type RunnerRouterOptions,
  runnerRouter,
} from "../../src/express.js";
import type { ActiveSession } from "../../src/session/active-session.js";
import type { ActiveSessions } from "../../src/session/active-sessions.js";
import { atEnd } from "./cleanup.js";
import { openHost } from "./control.js";

/** A port on which nothing listens now, for a process of its own. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

/** Listens on a free port; returns the server and its base URL. */
export async function listen(listener: RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  atEnd(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  );
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** A user of the test's application: every request carries the user's name in a header. */
export interface TestUser {
  readonly name: string;
  readonly headers: { readonly "x-user": string };
  readonly session: ActiveSession;
  /** Sends a request to a path of the application. */
  fetch(path: string, init?: RequestInit): Promise<Response>;
}

/** An Express application with our middleware and, at `/runners`, our router; users are told apart by the header `x-user`. */
export interface TestApp {
  readonly url: string;
  readonly app: Express;
  readonly server: Server;
  readonly sessions: ActiveSessions;
  user(name: string): Promise<TestUser>;
}

/** What a {@link TestApp} is made with. */
export interface TestAppOptions {
  readonly sessions?: ActiveSessions;
  readonly router?: RunnerRouterOptions;
  readonly middleware?: ActiveSessionMiddlewareOptions;
  /** Adds the application's own routes, behind the middleware. */
  readonly routes?: (app: Express) => void;
}

/** Starts a {@link TestApp}. */
export async function openApp(options: TestAppOptions = {}): Promise<TestApp> {
  const sessions = options.sessions ?? openHost();
  const app = express();
  const identify = (request: express.Request) => request.get("x-user");
  app.use(activeSession(sessions, options.middleware ?? { identify }));
  app.use("/runners", runnerRouter(sessions, options.router));
  options.routes?.(app);
  const { server, url } = await listen(app);
  const user = async (name: string): Promise<TestUser> => ({
    name,
    headers: { "x-user": name },
    session: await sessions.get(name),
    fetch: (path, init) => fetch(url + path, { ...init, headers: { "x-user": name, ...init?.headers } }),
  });
  return { url, app, server, sessions, user };
}
