/**
 * The wire: what a request to a runner's URL is answered, without any framework. Reads follow the Durable Streams protocol
 * (draft 1.0, JSON mode); `ack`, `abort`, `state`, the list and creation are ours. Adapters translate, write, and watch the connection.
 *
 * The order of checks tells a stranger nothing: method and action, then the key (the same 404 for everything that is not this
 * identity's own), then where a changing request comes from, then its parameters.
 */
import { onAbort } from "../base/async.js";
import { checkDuration, checkInteger, checkOptions } from "../base/check.js";
import { ActiveSessionError, describe, runnerGone } from "../base/error.js";
import type { Slice } from "../log/result-log.js";
import { headerNames } from "../protocol/headers.js";
import { formatOffset } from "../protocol/offset.js";
import type { RunnerDefinition } from "../runner/definition.js";
import type { Runner } from "../runner/runner.js";
import type { AbortReason } from "../runner/types.js";
import type { ActiveSession } from "../session/active-session.js";
import type { ActiveSessions } from "../session/host.js";
import { nextCursor } from "./cursor.js";
import { type EncodedSlice, type PageLimits, readEncoded } from "./encode.js";
import { checkOrigin } from "./origin.js";
import {
  boundedMinimum,
  maxLongPollTimeout,
  parseAcknowledgement,
  parseEventsQuery,
  parseReadQuery,
  type ReadQuery,
} from "./query.js";
import {
  commonHeaders,
  jsonHeaders,
  noContent,
  type ResponseHeaders,
  type WireRequest,
  type WireResponse,
} from "./request-context.js";
import { addAheadLimit, addHeadHeaders, addReadHeaders } from "./response-headers.js";
import { type CreationSettings, create, exposedByName, stopCreation } from "./routes/create.js";
import { eventSourceForm, ProtocolForm } from "./sse-form.js";
import { type SseOptions, SseResponse, tellResponses } from "./sse-response.js";
import { readWaiting } from "./waiting-read.js";

/** Options of the routes of runners. */
export interface RunnerRouterOptions {
  /** Items on a page: default and maximum of `max-items`. Default: 1000. */
  readonly pageLimit?: number | undefined;
  /**
   * JSON of a page, a long-poll or a creation, in bytes: it ends before the item that would exceed it, but has one item at least, and a
   * read that waits settles when it is full. Larger pages hold the event loop for longer. Default: 1,000,000.
   */
  readonly pageBytes?: number | undefined;
  /**
   * JSON of one item, or of a process's value, in bytes. A read that starts at a larger one is answered with 500 `ITEM_TOO_LARGE`; an
   * event stream ends there. Default: 8,000,000.
   */
  readonly maxItemBytes?: number | undefined;
  /** How long a long-poll waits that does not say, in seconds, 0 to 60. Default: 25. */
  readonly longPollTimeout?: number | undefined;
  /**
   * An SSE response ends so long after its last sign of life (its opening, or an acknowledgement), ms; clients reconnect.
   * Longer keeps abandoned connections, and with them the work, alive longer. `Infinity` disables. Default: 60,000.
   */
  readonly rotateAfter?: number | undefined;
  /**
   * An idle SSE response carries a comment so often, ms; `Infinity` disables. Our client takes a connection on which nothing has
   * come for 45 s as dead. Default: 15,000.
   */
  readonly heartbeat?: number | undefined;
  /**
   * Definitions that clients may create runners from, by `POST {mount}/{name}` with the input as JSON; whoever may use the
   * routes may create. A name is a letter and up to 63 letters, digits, `_` or `-`. Default: none.
   */
  readonly expose?: readonly RunnerDefinition[] | undefined;
  /** How long a creation waits for its first page if the request does not say, in seconds, 0 to 60. Default: 1. */
  readonly firstPageTimeout?: number | undefined;
  /** The largest body of a creation, in bytes; a parser in front of the routes has its own limit. Default: 100 kB. */
  readonly bodyLimit?: number | undefined;
  /** Origins (`https://app.example`) or hosts, besides the request's own, that may stop and remove runners. Default: none. */
  readonly allowedOrigins?: readonly string[] | undefined;
}

/** About so much text is written in one event: a slow client must get through one in time. */
const eventBytes = 65_536;
/** A text of V8 has no more characters than this, whatever they are. */
const largestText = 500_000_000;

type Choices = { [K in keyof RunnerRouterOptions]-?: Exclude<RunnerRouterOptions[K], undefined> };

interface Settings extends Choices, CreationSettings {
  readonly exposed: ReadonlyMap<string, RunnerDefinition>;
  /** Of an SSE event: about as much text as a slow client gets through in time. */
  readonly eventLimits: PageLimits;
  /** The same for the form that has each item by itself. */
  readonly itemEventLimits: PageLimits;
}

/** A runner, and the session in which the request has found it. */
interface Target {
  readonly runner: Runner;
  readonly session: ActiveSession;
}

/** Answers one request. Rejects only with what is no fault of the request: then the framework's own error handling is due. */
export type RunnerHandler = (request: WireRequest) => Promise<WireResponse>;

/** Makes the handler for a host's runners. Throws `INVALID_OPTION`. */
export function createRunnerHandler(sessions: ActiveSessions, options: RunnerRouterOptions = {}): RunnerHandler {
  const settings = resolveSettings(options);
  return async (request) => {
    try {
      const response = answer(sessions, settings, request);
      return response instanceof Promise ? await response : response;
    } catch (error) {
      return errorResponse(error, request.method === "HEAD");
    }
  };
}

/** At once where nothing has to be waited for: most pages are. Throws, or rejects. */
type Answer = WireResponse | Promise<WireResponse>;

/** The answer to a request that failed by a rule of ours; rethrows every other error. */
function errorResponse(error: unknown, isHead: boolean, more?: ResponseHeaders): WireResponse {
  if (!ActiveSessionError.is(error)) throw error;
  const headers = Object.assign(jsonHeaders(), { [headerNames.errorCode]: error.code }, error.headers, more);
  if (error.firstPosition !== undefined) headers[headerNames.firstOffset] = formatOffset(error.firstPosition);
  return isHead ? { status: error.status, headers } : { status: error.status, headers, body: JSON.stringify(error) };
}

/** What there is at an address: by action (none: the address itself), then by method. */
type Routes<Route> = Readonly<Record<string, Readonly<Record<string, Route>>>>;

/** `{mount}` */
const mountRoutes: Routes<(sessions: ActiveSessions, request: WireRequest) => Answer> = {
  "": { GET: list },
};

/** `{mount}/{name}` */
const definitionRoutes: Routes<(definition: RunnerDefinition, request: WireRequest, settings: Settings) => Answer> = {
  "": { POST: (...asked) => unlessGone(asked[1], () => create(...asked)) },
  abort: { POST: (definition, request) => stopCreation(definition, request, stateOf) },
};

/** `{mount}/{key}` */
const runnerRoutes: Routes<(target: Target, request: WireRequest, settings: Settings) => Answer> = {
  "": { GET: read, HEAD: head, DELETE: remove },
  state: { GET: state },
  events: { GET: events },
  ack: { POST: acknowledge },
  abort: { POST: abort },
};

function answer(sessions: ActiveSessions, settings: Settings, request: WireRequest): Answer {
  const { key } = request;
  if (key === "") return dispatch(mountRoutes, request, (route) => route(sessions, request));
  const definition = settings.exposed.get(key);
  if (!definition) {
    return dispatch(runnerRoutes, request, (route) => route(locate(sessions, request, settings), request, settings));
  }
  return dispatch(definitionRoutes, request, (route) => {
    checkOrigin(request.headers, settings.allowedOrigins, request.host);
    return route(definition, request, settings);
  });
}

function dispatch<Route>(
  routes: Routes<Route>,
  { action = "", method }: WireRequest,
  answerBy: (route: Route) => Answer,
): Answer {
  const methods = Object.hasOwn(routes, action) ? routes[action]! : undefined;
  if (!methods) throw notFound();
  return Object.hasOwn(methods, method) ? answerBy(methods[method]!) : methodNotAllowed(method, Object.keys(methods));
}

function locate(sessions: ActiveSessions, request: WireRequest, { allowedOrigins }: Settings): Target {
  const { identity, key, method, headers } = request;
  const located = identity === undefined ? "unknown" : sessions.locate(identity, key);
  if (located === "unknown") throw notFound();
  if (located === "gone") throw runnerGone();
  request.cameBackTo(located.session);
  if (method === "POST" || method === "DELETE") checkOrigin(headers, allowedOrigins, request.host);
  return located;
}

// --- reads -----------------------------------------------------------------------------------------------------------

function read(target: Target, request: WireRequest, settings: Settings): Answer {
  const query = parseReadQuery(request.query, settings);
  if (query.live === "sse") return unlessGone(request, () => tail(target, request, query, settings));
  if (query.live === "long-poll") return unlessGone(request, () => poll(target, request, query, settings));
  // A page does not wait, unless its runner has to be started first.
  if (target.runner.needsStart) return unlessGone(request, () => pageOnceStarted(target, request, query, settings));
  return page(target.runner, request, query, settings, undefined);
}

async function unlessGone(request: WireRequest, answerIt: () => Answer): Promise<WireResponse> {
  try {
    return await answerIt();
  } catch (error) {
    if (!ActiveSessionError.is(error) && request.signal.aborted) return noContent(); // nobody is left to read it
    throw error;
  }
}

/** A page that waits for the start of its runner; the session may get another owner meanwhile. */
async function pageOnceStarted(
  { runner, session: { handover } }: Target,
  request: WireRequest,
  query: ReadQuery,
  settings: Settings,
): Promise<WireResponse> {
  const over = new AbortController();
  const offs = [request.signal, handover].map((signal) => onAbort(signal, () => over.abort(signal.reason)));
  try {
    request.signal.throwIfAborted();
    return await page(runner, request, query, settings, over.signal);
  } finally {
    for (const off of offs) off();
  }
}

/** What is there, at once. */
function page(
  runner: Runner,
  request: WireRequest,
  query: ReadQuery,
  { pageLimits }: Settings,
  signal: AbortSignal | undefined,
): Answer {
  const start = startOf(query);
  const read = readEncoded(runner, { start, max: maxOf(runner, query, start), signal }, pageLimits);
  const answerWith = (encoded: EncodedSlice) => pageOf(runner, request, query, encoded);
  return read instanceof Promise ? read.then(answerWith) : answerWith(read);
}

function pageOf(
  runner: Runner,
  request: WireRequest,
  { offset, cursor }: ReadQuery,
  { slice, text }: EncodedSlice,
): WireResponse {
  const headers = jsonHeaders();
  addReadHeaders(headers, runner, slice, nextCursor(cursor));
  if (offset === "tail") return { status: 200, headers, body: text };
  const etag = etagOf(runner, slice);
  headers.ETag = etag;
  if (matches(request.headers["if-none-match"], etag)) return { status: 304, headers };
  return { status: 200, headers, body: text };
}

/** What is there once enough is, or when the time is up. */
async function poll(
  { runner, session: { handover } }: Target,
  { signal }: WireRequest,
  query: ReadQuery,
  { pageLimits: limits }: Settings,
): Promise<WireResponse> {
  const { minItems, maxItems, timeout } = query;
  const min = boundedMinimum(runner, minItems, maxItems);
  const max = maxOf(runner, query, 0);
  const read = await readWaiting({ runner, handover }, { start: startOf(query), min, max, timeout, signal, limits });
  const headers = read.isEmpty ? commonHeaders() : jsonHeaders();
  addReadHeaders(headers, runner, read.slice, nextCursor(query.cursor));
  if (read.isEmpty) return { status: 204, headers };
  headers.ETag = etagOf(runner, read.slice);
  return { status: 200, headers, body: read.text };
}

/** Streams new items over SSE, as the protocol has it. */
function tail(target: Target, { signal }: WireRequest, query: ReadQuery, settings: Settings): Promise<WireResponse> {
  const { rotateAfter, heartbeat, eventLimits: limits } = settings;
  const { maxItems, cursor, acks } = query;
  const [start, form] = [startOf(query), new ProtocolForm(cursor)];
  return stream(target, { start, form, maxItems, limits, acks, heartbeat, rotateAfter, signal });
}

/** Streams them as the browser's own `EventSource` takes them; a status other than 200 makes it give up, 204 without an error. */
function events(target: Target, request: WireRequest, settings: Settings): Answer {
  const { query, headers, signal } = request;
  const offset = parseEventsQuery(query, headers["last-event-id"] as string | undefined);
  if (offset === "end") return noContent();
  const { rotateAfter, heartbeat, pageLimit: maxItems, itemEventLimits: limits } = settings;
  const [start, form, acks] = [startOf({ offset }), eventSourceForm, false];
  return unlessGone(request, () =>
    stream(target, { start, form, maxItems, limits, acks, heartbeat, rotateAfter, signal }),
  );
}

async function stream({ runner, session }: Target, options: SseOptions): Promise<WireResponse> {
  const { id, body, ended } = await SseResponse.open(runner, session, options);
  const headers = commonHeaders();
  headers[headerNames.response] = id;
  headers["Content-Type"] = "text/event-stream";
  headers["Cache-Control"] += ", no-transform"; // a proxy that compresses would collect events
  headers["X-Accel-Buffering"] = "no";
  addAheadLimit(headers, runner);
  return { status: 200, headers, body, ended };
}

function startOf({ offset }: Pick<ReadQuery, "offset">): number | "tail" {
  return offset === "beginning" ? 0 : offset;
}

/** A process has one value, whatever the limit; and whoever asks for a page from the tail on gets none. */
function maxOf(runner: Runner, { maxItems }: ReadQuery, start: number | "tail"): number {
  if (start === "tail") return 0;
  return runner.kind === "process" ? Number.POSITIVE_INFINITY : maxItems;
}

/** The status belongs to it: a stream that closes without a further item must not look unchanged. */
function etagOf(runner: Runner, { start, position, status }: Slice<unknown>): string {
  return `"${runner.key}:${start}:${position}:${status}"`;
}

function matches(ifNoneMatch: string | string[] | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  const tags = String(ifNoneMatch).split(",");
  return tags.some((tag) => tag.trim() === "*" || plainTag(tag) === etag);
}

/** Apache's mod_deflate makes an `ETag` its own: `"x"` becomes `"x-gzip"`. */
function plainTag(tag: string): string {
  return tag
    .trim()
    .replace(/^W\//, "")
    .replace(/-(?:gzip|br|deflate)"$/, '"');
}

// --- the rest --------------------------------------------------------------------------------------------------------

/** All runners of the client, in order of creation. Being looked at is no use of them. */
async function list(sessions: ActiveSessions, { identity }: WireRequest): Promise<WireResponse> {
  const runners = identity === undefined ? [] : sessions.runnersOf(identity);
  const states = await Promise.all(runners.map((runner) => runner.state()));
  return { status: 200, headers: jsonHeaders(), body: JSON.stringify(states) };
}

async function head({ runner }: Target): Promise<WireResponse> {
  const headers = jsonHeaders();
  addAheadLimit(headers, runner);
  addHeadHeaders(headers, runner, await runner.logState());
  return { status: 200, headers };
}

async function state({ runner }: Target): Promise<WireResponse> {
  return stateOf(runner);
}

async function stateOf(runner: Runner): Promise<WireResponse> {
  return { status: 200, headers: jsonHeaders(), body: JSON.stringify(await runner.state()) };
}

/** Renews the response that the request names, and no other: another device of the same user says nothing about this one. */
async function acknowledge({ runner }: Target, { query }: WireRequest): Promise<WireResponse> {
  const { position, response } = parseAcknowledgement(query);
  await runner.acknowledge(position);
  tellResponses(runner, position, response);
  return noContent();
}

async function abort({ runner }: Target): Promise<WireResponse> {
  await runner.abort();
  return stateOf(runner);
}

/** The work's signal has fired when this answers; its clean-up may go on. */
async function remove({ runner }: Target): Promise<WireResponse> {
  const reason: AbortReason = "stopped";
  void runner.dispose(reason);
  return noContent();
}

function notFound(): ActiveSessionError {
  return new ActiveSessionError("RUNNER_NOT_FOUND", "There is no such runner");
}

function methodNotAllowed(method: string, allowed: readonly string[]): WireResponse {
  const message = `Cannot answer: the method must be one of ${allowed.join(", ")}, received ${describe(method)}`;
  const error = new ActiveSessionError("METHOD_NOT_ALLOWED", message);
  return errorResponse(error, method === "HEAD", { Allow: allowed.join(", ") });
}

function resolveSettings(options: RunnerRouterOptions): Settings {
  const action = "serve runners";
  const settings: Choices = {
    pageLimit: options?.pageLimit ?? 1000,
    pageBytes: options?.pageBytes ?? 1_000_000,
    maxItemBytes: options?.maxItemBytes ?? 8_000_000,
    longPollTimeout: options?.longPollTimeout ?? 25,
    rotateAfter: options?.rotateAfter ?? 60_000,
    heartbeat: options?.heartbeat ?? 15_000,
    expose: options?.expose ?? [],
    firstPageTimeout: options?.firstPageTimeout ?? 1,
    bodyLimit: options?.bodyLimit ?? 102_400,
    allowedOrigins: options?.allowedOrigins ?? [],
  };
  checkOptions(action, options, Object.keys(settings));
  checkInteger(action, "pageLimit", settings.pageLimit, { min: 1, max: 1_000_000, code: "INVALID_OPTION" });
  for (const name of ["longPollTimeout", "firstPageTimeout"] as const) {
    checkInteger(action, name, settings[name], { max: maxLongPollTimeout, code: "INVALID_OPTION" });
  }
  checkInteger(action, "bodyLimit", settings.bodyLimit, { code: "INVALID_OPTION" });
  for (const name of ["pageBytes", "maxItemBytes"] as const) {
    checkInteger(action, name, settings[name], { min: 1, max: largestText, code: "INVALID_OPTION" });
  }
  checkDuration(action, "rotateAfter", settings.rotateAfter);
  checkDuration(action, "heartbeat", settings.heartbeat);
  const { allowedOrigins } = settings;
  if (!Array.isArray(allowedOrigins) || !allowedOrigins.every((origin) => typeof origin === "string")) {
    throw new ActiveSessionError(
      "INVALID_OPTION",
      `Cannot ${action}: allowedOrigins must be an array of strings, received ${describe(allowedOrigins)}`,
    );
  }
  const { pageBytes, maxItemBytes: itemBytes } = settings;
  const pageLimits = { bytes: pageBytes, itemBytes };
  const eventLimits = { bytes: Math.min(eventBytes, pageBytes), itemBytes };
  const itemEventLimits = { ...eventLimits, keepsTexts: true };
  return { ...settings, pageLimits, eventLimits, itemEventLimits, exposed: exposedByName(action, settings.expose) };
}
