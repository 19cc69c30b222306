/**
 * Applications under test, opened by the author of an adapter as the suite plans them, and clients that talk to them
 * over real sockets.
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
import type { ActiveSessions } from "../session/active-sessions.js";
import { createActiveSessions } from "../session/host.js";

/**
 * A route of an application. It resolves with the body of its response.
 * @param request as the framework passes it to handlers
 * @param session returns the session that the adapter gives at the moment of the call; throws what the adapter throws
 */
export type AdapterRoute<Request = object> = (request: Request, session: () => ActiveSession) => Promise<object>;

/** An application that the suite asks an adapter's author to open. */
export interface AdapterPlan<Request extends object = object> {
  /** The host of all sessions. The suite closes it. */
  readonly sessions: ActiveSessions;
  /** Options of the adapter's `activeSession`, which must run before everything else. */
  readonly options: IdentityOptions<Request>;
  /** Options of the adapter's `runnerRouter`. */
  readonly router: RunnerRouterOptions;
  /** Path at which `runnerRouter` serves, without a slash at the end: `"/runners"`, for example. */
  readonly mount: string;
  /**
   * Handlers of `POST` by path; each path has one segment. The response is 201 with the resolved value as JSON.
   * Rejections are left to the framework's error handling. Besides, `GET /hello` must answer with the text `hello` and
   * use no session.
   */
  readonly routes: Readonly<Record<string, AdapterRoute<Request>>>;
  /**
   * True if the framework's sessions must run before the adapter. They must be saved only once something is written to
   * them.
   */
  readonly withFrameworkSession: boolean;
  /** True if the application must trust `X-Forwarded-Proto`. */
  readonly behindProxy: boolean;
}

/** An application that accepts connections. */
export interface AdapterApplication {
  /** Its origin, and a path prefix if there is one, without a slash at the end. */
  readonly url: string;
  /** Stops the application and closes open connections. May return a promise. */
  close(): unknown;
}

/**
 * An adapter, described for the suite.
 * @typeParam Request what the framework passes to handlers: a request, or a context
 */
export interface AdapterUnderTest<Request extends object = object> {
  /** Opens an application on a free port of the loopback interface. */
  open(plan: AdapterPlan<Request>): Promise<AdapterApplication>;
  /** Returns a header of a request by its lower-case name. */
  header(request: Request, name: string): string | undefined;
  /**
   * True if the framework parses bodies before the adapter, and so itself rejects those that are too long or not JSON.
   * Default: false.
   */
  readonly readsBodies?: boolean | undefined;
  /** True if the framework can be set to trust `X-Forwarded-Proto`. Default: false. */
  readonly knowsProxies?: boolean | undefined;
  /**
   * Set if the framework has sessions of its own. Both functions may return a promise. Default: none; scenarios about
   * such sessions are skipped.
   */
  readonly frameworkSession?: {
    /** Gives the request's session a new id, or new data, as a login does. */
    renew(request: Request): unknown;
    /** Ends the request's session, as a logout does. */
    destroy(request: Request): unknown;
  };
}

/** The parts of a plan that a scenario sets; the others have defaults. */
export type Wishes = Partial<Omit<AdapterPlan, "sessions">>;

/** An open application, as a scenario sees it. */
export interface Stage {
  /** The host behind the application, for looking at its state. */
  readonly sessions: ActiveSessions;
  /** The application's origin. */
  readonly url: string;
  /** The path of the routes of runners. */
  readonly mount: string;
  /**
   * Creates a client without cookies.
   * @param headers sent with each of its requests
   */
  browser(headers?: Readonly<Record<string, string>>): Browser;
}

/**
 * Opens an application, runs `act`, and closes host and application, even after a failure.
 * @param wishes what the application needs besides the defaults
 * @throws what `act` and the adapter's `open` throw
 */
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
    // The host first: it ends open responses, which a server would wait for.
    await sessions.close();
    await close();
  }
}

/**
 * A minimal browser for one application: `fetch` with a cookie jar. It ignores the attributes of cookies, apart from
 * their expiry.
 */
export class Browser {
  /** The cookies' values by name. */
  readonly cookies = new Map<string, string>();
  /** A client for the application's runners. It sends the cookies of the moment, but does not store new ones. */
  readonly client: RunnerClient;
  readonly #url: string;
  readonly #mount: string;
  readonly #headers: Readonly<Record<string, string>>;

  /**
   * @param url the application's origin
   * @param mount path of the routes of runners
   * @param headers sent with each request
   */
  constructor(url: string, mount: string, headers: Readonly<Record<string, string>> = {}) {
    this.#url = url;
    this.#mount = mount;
    this.#headers = headers;
    this.client = createClient(url + mount, { headers: () => this.headers });
  }

  /** The headers of the next request, cookies included. */
  get headers(): Record<string, string> {
    if (this.cookies.size === 0) return { ...this.#headers };
    return { ...this.#headers, cookie: [...this.cookies].map((pair) => pair.join("=")).join("; ") };
  }

  /** Creates another browser with the same cookies, like an attacker that has copied them. */
  copy(): Browser {
    const copy = new Browser(this.#url, this.#mount, this.#headers);
    for (const [name, value] of this.cookies) copy.cookies.set(name, value);
    return copy;
  }

  /**
   * Sends a request and stores the cookies of its response.
   * @param path relative to the application's origin
   */
  async ask(path: string, init: RequestInit = {}): Promise<Response> {
    const response = await fetch(new URL(path, this.#url), {
      ...init,
      headers: { ...this.headers, ...Object.fromEntries(new Headers(init.headers)) },
    });
    for (const line of response.headers.getSetCookie()) this.#keep(line);
    return response;
  }

  /** Posts to a route and returns the parsed body of the response. */
  async post<Answer>(path: string): Promise<Answer> {
    return (await this.ask(path, { method: "POST" })).json() as Promise<Answer>;
  }

  /** Stores the cookie of one `Set-Cookie` line, or removes it if the line makes it expire or leaves it empty. */
  #keep(line: string): void {
    const [pair = "", ...attributes] = line.split(";");
    // Split at the first `=` only: the value may contain others.
    const [name, value] = [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)];
    const isOver = attributes.some((one) => /^\s*(expires=Thu, 01 Jan 1970|max-age=0)/i.test(one));
    if (isOver || value === "") this.cookies.delete(name);
    else this.cookies.set(name, value);
  }
}

/**
 * One keep-alive connection for requests of several clients, as a proxy opens it to a server. An adapter must not keep
 * identities with the connection.
 */
export class SharedConnection {
  readonly #url: string;
  /** One socket: requests follow each other on it. */
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });

  /** @param url the application's origin */
  constructor(url: string) {
    this.#url = url;
  }

  /**
   * Posts to a route as the client with this cookie.
   * @returns the parsed body, and the cookie for the client's next request: a new one from the response, else the same
   */
  async post<Answer>(path: string, cookie?: string): Promise<{ answer: Answer; cookie: string | undefined }> {
    const headers = cookie === undefined ? {} : { cookie };
    const asked = requestHttp(new URL(path, this.#url), { method: "POST", agent: this.#agent, headers }).end();
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    const answer: Answer = JSON.parse(await text(response));
    return { answer, cookie: response.headers["set-cookie"]?.[0]?.split(";")[0] ?? cookie };
  }

  /** Closes the connection. */
  close(): void {
    this.#agent.destroy();
  }
}

/**
 * Opens a proxy that serves `target` under a path prefix and forwards everything else unchanged, as reverse proxies do.
 * Paths and `Location` headers in responses are not rewritten.
 * @param target the application's origin
 * @param prefix begins with a slash; removed from the path of each request
 */
export async function openProxy(target: string, prefix: string): Promise<AdapterApplication> {
  const forward = (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const url = new URL(target + (incoming.url ?? "").slice(prefix.length));
    // A proxy names the target as the host. The public host, and the prefix, are unknown to the application.
    const headers = { ...incoming.headers, host: url.host };
    const further = requestHttp(url, { method: incoming.method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    further.on("error", () => outgoing.destroy());
    // When the client goes away, the application must see it, too.
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
