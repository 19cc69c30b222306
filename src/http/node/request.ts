/** What the adapters for `node:http`, and for the frameworks that stand on it, share: installing a session, serving runners. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { ActiveSession } from "../../session/active-session.js";
import type { ActiveSessions } from "../../session/host.js";
import type { TaggedIdentity } from "../../session/identity.js";
import type { FrameworkSession, RequestPort, RequestSession } from "../client-identity.js";
import { createInstaller, type IdentityOptions, installedFor, pathOf, queryOf } from "../middleware.js";
import { type Address, addressOf } from "../path.js";
import type { RequestBody, WireRequest, WireResponse } from "../request-context.js";
import type { RunnerHandler } from "../router.js";
import { forbidSharing } from "../sharing.js";
import { readBody } from "./body.js";
import { ConnectionSignal, onResponseOver, writeResponse } from "./response.js";

/** What is particular to a framework's requests. */
export interface NodeFramework<Request> {
  isSecure(request: Request): boolean;
  /** The host that the client has asked, where the framework may know it from a proxy. */
  hostOf?(request: Request): string | undefined;
  /** The whole address, wherever in the application the request is handled. */
  urlOf(request: Request): string;
  frameworkSession(request: Request): FrameworkSession | undefined;
  /** What keeps what was found out of a request: that itself, unless it is slow to write to. */
  holderOf?(request: Request): object;
}

/** What is known of a request of `node:http`, and of the framework that stands on it. */
class NodePort<Request> implements RequestPort {
  readonly #framework: NodeFramework<Request>;
  readonly #request: Request;
  readonly #raw: IncomingMessage;
  readonly #response: ServerResponse;
  #connection: ConnectionSignal | undefined;
  #isUnshared = false;

  constructor(framework: NodeFramework<Request>, request: Request, raw: IncomingMessage, response: ServerResponse) {
    this.#framework = framework;
    this.#request = request;
    this.#raw = raw;
    this.#response = response;
  }

  get path(): string {
    return pathOf(this.#framework.urlOf(this.#request));
  }

  get isSecure(): boolean {
    return this.#framework.isSecure(this.#request);
  }

  get host(): string | undefined {
    return this.#framework.hostOf?.(this.#request);
  }

  get cookies(): string | undefined {
    return cookiesOf(this.#raw.rawHeaders);
  }

  get connection(): object | undefined {
    return this.#raw.httpVersionMajor === 1 ? this.#raw.socket : undefined;
  }

  get headersSent(): boolean {
    return this.#response.headersSent;
  }

  setCookie(header: string): void {
    this.#response.appendHeader("Set-Cookie", header);
  }

  forbidSharing(): void {
    if (this.#isUnshared || this.#response.headersSent) return;
    this.#isUnshared = true;
    forbidSharing(this.#response);
  }

  get signal(): AbortSignal {
    this.#connection ??= new ConnectionSignal(this.#response);
    return this.#connection.signal;
  }

  onOver(callback: () => void): void {
    // That of HTTP/2 has no `closed`.
    if (this.#response.closed || this.#response.writableFinished) callback();
    else onResponseOver(this.#response, callback);
  }

  get frameworkSession(): FrameworkSession | undefined {
    return this.#framework.frameworkSession(this.#request);
  }
}

/** All of them, of which HTTP/2 may send several; an object of all headers would be made only for this. */
function cookiesOf(headers: readonly string[]): string | undefined {
  let cookies: string | undefined;
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i]!;
    if (name.length !== 6 || name.toLowerCase() !== "cookie") continue;
    cookies = cookies === undefined ? headers[i + 1] : `${cookies}; ${headers[i + 1]}`;
  }
  return cookies;
}

/**
 * Makes the function that finds out whose request it is; the other two are what the framework's stands on. It returns a promise only
 * where the application has to be asked.
 * Throws `INVALID_OPTION`.
 */
export function sessionInstaller<Request extends object>(
  sessions: ActiveSessions<unknown>,
  options: IdentityOptions<Request>,
  framework: NodeFramework<Request>,
): (request: Request, raw: IncomingMessage, response: ServerResponse) => Promise<unknown> | undefined {
  const install = createInstaller(sessions, options, framework.holderOf);
  return (request, raw, response) => {
    const own = install(request, new NodePort(framework, request, raw, response));
    return own instanceof Promise ? own : undefined;
  };
}

/** A request to a runner's address; what most of them do not ask for is not made in advance. */
class NodeWireRequest implements WireRequest {
  readonly method: string;
  readonly key: string;
  readonly action: string | undefined;
  readonly query: URLSearchParams;
  readonly identity: TaggedIdentity | undefined;
  readonly #own: RequestSession;
  readonly #raw: IncomingMessage;
  readonly #connection: ConnectionSignal;

  constructor(own: RequestSession, { key, action }: Address, raw: IncomingMessage, response: ServerResponse) {
    this.method = raw.method ?? "GET";
    this.key = key;
    this.action = action;
    this.query = queryOf(raw.url ?? "");
    this.identity = own.identity;
    this.#own = own;
    this.#raw = raw;
    this.#connection = new ConnectionSignal(response);
  }

  get headers(): WireRequest["headers"] {
    return this.#raw.headers;
  }

  get host(): string | undefined {
    return this.#own.host;
  }

  get signal(): AbortSignal {
    return this.#connection.signal;
  }

  cameBackTo(session: ActiveSession): void {
    this.#own.cameBackTo(session);
  }

  findSession(): ActiveSession | undefined {
    return this.#own.find();
  }

  openSession(): ActiveSession {
    return this.#own.session;
  }

  readBody(limit: number): Promise<RequestBody> {
    return readBody(this.#raw, limit);
  }
}

/**
 * Answers a request to a path below the place where runners are served.
 * @param path the rest of the path, from its slash on
 * @returns the answer, not yet written; `undefined` if that is not a runner's address: then nothing has been done
 * @throws `NOT_INSTALLED`, and what is no fault of the request
 */
export async function answerFor(
  handle: RunnerHandler,
  sessions: unknown,
  path: string,
  request: object,
  raw: IncomingMessage & { readonly originalUrl?: string },
  response: ServerResponse,
): Promise<WireResponse | undefined> {
  const method = raw.method ?? "GET";
  const address = addressOf(path, method, pathOf(raw.originalUrl ?? raw.url ?? "") === "/");
  if (!address) return undefined;
  const own = installedFor(request, sessions);
  if (own.isPending) await own.resolve();
  const wire = await handle(new NodeWireRequest(own, address, raw, response));
  if (wire.status === 413) response.shouldKeepAlive = false; // the rest of the body is not waited for
  return wire;
}

/** As {@link answerFor}, and writes the answer; returns whether there was one. */
export async function serveRunner(
  handle: RunnerHandler,
  sessions: unknown,
  path: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const wire = await answerFor(handle, sessions, path, request, request, response);
  if (!wire) return false;
  await writeResponse(response, wire);
  return true;
}
