/**
 * Our client, as it was built, in a real browser: an application of a few routes, a page that is empty but for the library, and
 * sources whose items the test gives by hand. What the page shows is what it has taken from the runners that it watches.
 */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import express from "express";
import type { BrowserContext, Page } from "playwright-core";
import { expect } from "vitest";
import type { ErrorCode } from "../../src/base/error-codes.js";
import type { RunnerFollower } from "../../src/client.js";
import type { RunnerRouterOptions } from "../../src/express.js";
import { defineSequenceRunner } from "../../src/index.js";
import type { ActiveSessions } from "../../src/session/active-sessions.js";
import type { sharedBrowser } from "./browser.js";
import { atEnd } from "./cleanup.js";
import { openHost, PushSource } from "./control.js";
import { openApp } from "./server.js";

/** What a page has taken of a runner that it watches. */
interface Watched {
  readonly items: unknown[];
  /** What the connection did, with the code of the error that it waits for. */
  readonly connections: string[];
  /** `completed`, or the code of the error. */
  end?: string;
}

declare global {
  interface Window {
    /** All that a page may import. */
    readonly library: typeof import("../../src/client.js") & typeof import("../../src/resume.js");
    readonly watched: Record<string, Watched>;
    /** Options with which a follower tells of its connection. */
    told(name: string): { onConnection: (state: string, error?: unknown) => void };
    /** Takes what the runner gives, from now on; does not wait for it. */
    watch(name: string, runner: RunnerFollower): void;
  }
}

/** What goes over the wire, seen from the server. */
export interface Traffic {
  /** Connections that stand now, and at most at any time. */
  readonly connections: { readonly size: number };
  mostConnections: number;
  /** Responses that stay open (SSE, long-poll) now, and at most at any time. */
  readonly live: ReadonlySet<unknown>;
  mostLive: number;
  /** Of every request the method, and the path with what is asked for, keys replaced: `GET /runners/KEY?offset=-1`. */
  readonly requests: string[];
}

/** An application that is being served to pages. */
export interface ClientApp {
  readonly url: string;
  readonly sessions: ActiveSessions;
  readonly traffic: Traffic;
  /** The source of all runners that are created with this name as their input. */
  source(name: string): PushSource<number>;
  /** How many runners have begun with that source. */
  begun(name: string): number;
  /** Opens the page in a tab of its own; the server does not know it until a request has used its session. */
  open(): Promise<Page>;
  /** Opens the page in a tab of its own, with a session. */
  openKnown(): Promise<Page>;
  /** Cuts all connections; the server goes on. */
  cut(): void;
  /** Lets the server vanish, connections and all. */
  stop(): Promise<void>;
  /** Serves again on the same port: as before, or, as after a restart of the process, with another host. */
  start(sessions?: ActiveSessions): Promise<void>;
}

/** What an application for pages is made with. */
export interface ClientAppOptions {
  readonly sessions?: ActiveSessions;
  readonly router?: RunnerRouterOptions;
  /** Of the definition `rows`. */
  readonly aheadLimit?: number;
  /** What the browser may complain of in this test, where requests fail on purpose. Everything else fails the test. */
  readonly complaints?: RegExp;
}

const page = `<!doctype html>
<title>Client</title>
<link rel="icon" href="data:," />
<script type="importmap">
  { "imports": { "active-session/client": "/lib/client.js", "active-session/resume": "/lib/resume.js" } }
</script>
<script type="module">
  import * as client from "active-session/client";
  import * as resume from "active-session/resume";
  window.library = { ...client, ...resume };
</script>`;

/** Serves an application with two definitions: `rows` gives each item once, `kept` keeps them all. */
export async function openClientApp(
  browser: ReturnType<typeof sharedBrowser>,
  options: ClientAppOptions = {},
): Promise<ClientApp> {
  const problems: string[] = [];
  atEnd(() => expect(problems, "what the pages complained of").toEqual([])); // at the very end, when all is closed
  const sources = new Map<string, PushSource<number>>();
  const begun: string[] = [];
  const source = (name: string) => {
    if (!sources.has(name)) sources.set(name, new PushSource());
    return sources.get(name)!;
  };
  const run = (name: string) => {
    begun.push(name);
    return source(name);
  };
  const expose = [
    defineSequenceRunner({ name: "rows", options: { aheadLimit: options.aheadLimit }, run }),
    defineSequenceRunner({ name: "kept", options: { retain: "all" }, run }),
  ];
  // A creation is answered at once, with what is there.
  const router = { expose, firstPageTimeout: 0, ...options.router };
  const serve = (sessions: ActiveSessions) => openApp({ sessions, router, middleware: {}, routes: servePage });
  const sessions = options.sessions ?? openHost();
  const { server, url, app } = await serve(sessions);
  const { traffic, cut } = watchTraffic(server);
  await browser.context.clearCookies(); // they do not tell one port from another
  const open = () => openPage(browser.context, url, problems, options.complaints);
  return {
    ...{ url, sessions, traffic, source, cut },
    begun: (name) => begun.filter((each) => each === name).length,
    open,
    openKnown: async () => {
      const page = await open();
      await page.evaluate(() => fetch("/welcome"));
      return page;
    },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
    start: async (next) => {
      const listener = next ? (await serve(next)).app : app;
      server.off("request", app).on("request", listener);
      await new Promise<void>((resolve) => server.listen(Number(new URL(url).port), "127.0.0.1", resolve));
    },
  };
}

function servePage(app: express.Express): void {
  app.get("/", (_request, response) => void response.type("html").send(page));
  app.get("/welcome", (request, response) => void response.send(request.activeSession.id)); // sets the cookie
  app.get("/click", (_request, response) => void response.send("answered"));
  app.use("/lib", express.static(new URL("../../dist", import.meta.url).pathname));
}

function watchTraffic(server: Awaited<ReturnType<typeof openApp>>["server"]) {
  const connections = new Set<Socket>();
  const live = new Set<ServerResponse>();
  const traffic: Traffic = { connections, live, requests: [], mostConnections: 0, mostLive: 0 };
  server.on("connection", (socket) => {
    connections.add(socket);
    traffic.mostConnections = Math.max(traffic.mostConnections, connections.size);
    socket.once("close", () => connections.delete(socket));
  });
  server.prependListener("request", ({ method, url = "" }, response) => {
    traffic.requests.push(`${method} ${url.replace(/\d+-\d+-[\w-]+/, "KEY")}`);
    if (!url.includes("live=")) return;
    live.add(response);
    traffic.mostLive = Math.max(traffic.mostLive, live.size);
    // Over as soon as its end is written: the browser, which then goes on, cannot know it sooner.
    for (const event of ["finish", "close"]) response.once(event, () => live.delete(response));
  });
  const cut = () => {
    for (const socket of connections) socket.destroy();
  };
  return { traffic, cut };
}

async function openPage(context: BrowserContext, url: string, problems: string[], complaints?: RegExp): Promise<Page> {
  const page = await context.newPage();
  atEnd(() => page.close());
  page.on("pageerror", (error) => problems.push(String(error.stack))); // unhandled rejections, too
  page.on("console", (message) => {
    if (message.type() !== "error" || complaints?.test(message.text())) return;
    problems.push(`${message.text()} (${message.location().url})`);
  });
  await page.addInitScript(addTools);
  await page.goto(url);
  return page;
}

/** Runs in the page, before everything else. */
function addTools(): void {
  const watched: Window["watched"] = {};
  const of = (name: string) => {
    watched[name] ??= { items: [], connections: [] };
    return watched[name];
  };
  const codeOf = (error: unknown) => (error as { code?: ErrorCode }).code ?? String(error);
  const told: Window["told"] = (name) => ({
    onConnection: (state, error) => of(name).connections.push(error ? `${state}: ${codeOf(error)}` : state),
  });
  const watch: Window["watch"] = async (name, runner) => {
    const seen = of(name);
    try {
      for await (const item of runner) seen.items.push(item);
      seen.end = "completed";
    } catch (error) {
      seen.end = codeOf(error);
    }
  };
  Object.assign(window, { watched, told, watch });
}

/** Creates a runner from a definition and watches it, under the name of its source; returns its key. */
export function createIn(page: Page, definition: "rows" | "kept", ...sources: string[]): Promise<string[]> {
  return page.evaluate(
    async ([definition, sources]) => {
      const client = window.library.createClient("/runners");
      const create = async (source: string) => {
        const runner = await client.create(definition, source, window.told(source));
        window.watch(source, runner);
        return runner.key;
      };
      return Promise.all(sources.map(create));
    },
    [definition, sources] as const,
  );
}

/** Waits until the page has taken so many items of what it watches under the name, and returns them all. */
export async function shown(page: Page, name: string, count: number): Promise<unknown[]> {
  // A tab in the background hardly ever draws, which is when a page is looked at otherwise.
  const options = { polling: 20 };
  const arrived = ([name, count]: readonly [string, number]) => (window.watched[name]?.items.length ?? 0) >= count;
  await page.waitForFunction(arrived, [name, count] as const, options);
  return page.evaluate((name) => window.watched[name]!.items, name);
}

/** Waits until what the page watches under the name is over, and returns how it ended. */
export async function ended(page: Page, name: string): Promise<string> {
  await page.waitForFunction((name) => window.watched[name]?.end !== undefined, name, { polling: 20 });
  return page.evaluate((name) => window.watched[name]!.end!, name);
}

/** The numbers from one to another, both included. */
export function upTo(last: number, first = 1): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}
