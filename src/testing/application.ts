/**
 * What the suite for adapters works with: applications that an adapter's author opens as the suite plans them, and browsers that
 * talk to them over real sockets.
 */
import { once } from "node:events";
import { Agent, createServer, type IncomingMessage, request as requestHttp, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { RunnerClient } from "../client/client.js";
import { createClient } from "../client.js";
import type { IdentityOptions } from "../http/middleware.js";
import type { RunnerRouterOptions } from "../http/router.js";
import type { ActiveSession } from "../session/active-session.js";
import { type ActiveSessions, createActiveSessions } from "../session/host.js";

/** A route of an application: `session` gives what the adapter gives, at the moment it is called. */
export type AdapterRoute<Request = object> = (request: Request, session: () => ActiveSession) => Promise<object>;

/** An application that the suite wants to talk to. */
export interface AdapterPlan<Request extends object = object> {
  readonly sessions: ActiveSessions;
  /** For the adapter's `activeSession`, which is to be in front of everything. */
  readonly options: IdentityOptions<Request>;
  /** For the adapter's `runnerRouter`. */
  readonly router: RunnerRouterOptions;
  /** The path at which that is to serve, `"/runners"` for example. */
  readonly mount: string;
  /**
   * What is to be done at `POST` of each path, which has one segment: the answer is 201 and what the route resolves with, as JSON. What
   * it rejects with is left to the framework. At `GET /hello`, the application answers `hello` and uses no session.
   */
  readonly routes: Readonly<Record<string, AdapterRoute<Request>>>;
  /** The sessions of the framework are to be in front of ours, kept only when something is written to them. */
  readonly withFrameworkSession: boolean;
  /** `X-Forwarded-Proto` is to be believed. */
  readonly behindProxy: boolean;
}

/** An application that listens. */
export interface AdapterApplication {
  /** Its address, without a slash at the end. */
  readonly url: string;
  /** Ends it, and the connections that are open. */
  close(): unknown;
}

/** An adapter, as the suite needs to know it. `Request` is what it calls a request, or a context. */
export interface AdapterUnderTest<Request extends object = object> {
  /** Opens an application, on a free port of the loopback interface. */
  open(plan: AdapterPlan<Request>): Promise<AdapterApplication>;
  /** A header of a request, by its lower-case name. */
  header(request: Request, name: string): string | undefined;
  /** Whether the framework reads bodies before the adapter can, and so refuses itself what is too long or no JSON. */
  readonly readsBodies?: boolean | undefined;
  /** Whether the framework believes `X-Forwarded-Proto` where it is told to. */
  readonly knowsProxies?: boolean | undefined;
  /** Where the framework has sessions of its own: gives a request's session a new id, or new data, as after a login; ends it. */
  readonly frameworkSession?: {
    renew(request: Request): unknown;
    destroy(request: Request): unknown;
  };
}

/** What a scenario may ask for besides its routes. */
export type Wishes = Partial<Omit<AdapterPlan, "sessions">>;

/** An application, and the host behind it. */
export interface Stage {
  readonly sessions: ActiveSessions;
  readonly url: string;
  readonly mount: string;
  browser(headers?: Readonly<Record<string, string>>): Browser;
}

/** Opens an application, acts, and ends it, whatever happens. */
export async function onStage(
  adapter: AdapterUnderTest,
  wishes: Wishes,
  act: (stage: Stage) => Promise<void>,
): Promise<void> {
  const sessions = createActiveSessions();
  const plan = {
    ...{ options: {}, router: {}, mount: "/runners", routes: {}, withFrameworkSession: false, behindProxy: false },
    ...wishes,
    sessions,
  };
  const { url, close } = await adapter.open(plan);
  try {
    await act({ sessions, url, mount: plan.mount, browser: (headers) => new Browser(url, plan.mount, headers) });
  } finally {
    await sessions.close();
    await close();
  }
}

/** As much of a browser as it takes: it keeps cookies. */
export class Browser {
  /** Name and value of each cookie. */
  readonly cookies = new Map<string, string>();
  /** The client of the runners, with the cookies as they are at each request. */
  readonly client: RunnerClient;
  readonly #url: string;
  readonly #mount: string;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(url: string, mount: string, headers: Readonly<Record<string, string>> = {}) {
    this.#url = url;
    this.#mount = mount;
    this.#headers = headers;
    this.client = createClient(url + mount, { headers: () => this.headers });
  }

  /** What every request carries. */
  get headers(): Record<string, string> {
    if (this.cookies.size === 0) return { ...this.#headers };
    return { ...this.#headers, cookie: [...this.cookies].map((pair) => pair.join("=")).join("; ") };
  }

  /** Another browser that knows what this one does. */
  copy(): Browser {
    const copy = new Browser(this.#url, this.#mount, this.#headers);
    for (const [name, value] of this.cookies) copy.cookies.set(name, value);
    return copy;
  }

  /** Sends a request, and keeps the cookies of the answer. */
  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await fetch(new URL(path, this.#url), {
      ...init,
      headers: { ...this.headers, ...(init.headers as Record<string, string>) },
    });
    for (const line of response.headers.getSetCookie()) this.#keep(line);
    return response;
  }

  /** Posts to a route, and gives what it answers. */
  async post<Answer>(path: string): Promise<Answer> {
    return (await this.ask(path, { method: "POST" })).json() as Promise<Answer>;
  }

  #keep(line: string): void {
    const [pair = "", ...attributes] = line.split(";");
    const [name, value] = [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
    const isOver = attributes.some((one) => /^\s*(expires=Thu, 01 Jan 1970|max-age=0)/i.test(one));
    if (isOver || value === "") this.cookies.delete(name);
    else this.cookies.set(name, value);
  }
}

/** A connection that several clients share, as those behind a proxy do. */
export class SharedConnection {
  readonly #url: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  constructor(url: string) {
    this.#url = url;
  }

  /** Posts to a route as the client that sends `cookie`; gives what it answers, the cookie that it is to send from then on. */
  async post<Answer>(path: string, cookie?: string): Promise<{ answer: Answer; cookie: string | undefined }> {
    const headers = cookie === undefined ? {} : { cookie };
    const asked = requestHttp(new URL(path, this.#url), { method: "POST", agent: this.#agent, headers }).end();
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    const answer = JSON.parse(await text(response)) as Answer;
    return { answer, cookie: response.headers["set-cookie"]?.[0]?.split(";")[0] ?? cookie };
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** Opens a proxy that serves what is at `target` below a prefix of its own, and knows nothing of what it carries. */
export async function openProxy(target: string, prefix: string): Promise<AdapterApplication> {
  const forward = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const url = new URL(target + (incoming.url ?? "").slice(prefix.length));
    const headers = { ...incoming.headers, host: url.host };
    const further = requestHttp(url, { method: incoming.method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    further.on("error", () => outgoing.destroy());
    outgoing.on("close", () => further.destroy());
    incoming.pipe(further);
  };
  const server = createServer(forward);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const close = () =>
    new Promise((resolve) => {
      server.close(resolve);
      server.closeAllConnections();
    });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}${prefix}`, close };
}
