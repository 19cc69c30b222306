/** The routes that read a runner: a page, a long-poll, an event stream. */
import { ActiveSessionError } from "../../base/error.js";
import { noItems } from "../../log/codec.js";
import { settledWithin } from "../../log/pending-read.js";
import { isPending, type Slice } from "../../log/result-log.js";
import { headerNames } from "../../protocol/headers.js";
import type { RunnerCore } from "../../runner/runner-core.js";
import { nextCursor } from "../cursor.js";
import { boundedMinimum, parseEventsQuery, parseReadQuery, type ReadQuery } from "../query.js";
import type { RouteRequest } from "../request-context.js";
import { addAheadLimit, addReadHeaders } from "../response-headers.js";
import type { RouterSettings } from "../router-options.js";
import { eventSourceForm, ProtocolForm } from "../sse-form.js";
import { type SseOptions, SseResponse } from "../sse-response.js";
import { readWaiting } from "../waiting-read.js";
import { commonHeaders, jsonHeaders, noContent, type WireResponse } from "../wire-response.js";
import type { Answer, Target } from "./route.js";

/**
 * `GET {mount}/{key}`: a page; with `live=long-poll` or `live=sse` a read that waits (Durable Streams
 * protocol, draft 1.0).
 * @returns a plain response for a page of a runner that has been started, else a promise
 * @throws `INVALID_ARGUMENT`, `POSITION_GONE`, `POSITION_AHEAD`, `RUNNER_GONE`, `RUNNER_START_FAILED`,
 *   `RESULT_NOT_SERIALIZABLE`, `ITEM_TOO_LARGE`, `CLIENT_LIMIT_REACHED`, `SERVER_LIMIT_REACHED`
 */
export function read(target: Target, request: RouteRequest, settings: RouterSettings): Answer {
  const query = parseReadQuery(request.query, settings);
  if (query.live === "sse") return unlessGone(request, () => tail(target, request, query, settings));
  if (query.live === "long-poll") return unlessGone(request, () => poll(target, request, query, settings));
  return page(target, request, query, settings);
}

/**
 * Answers 204 instead of an error if the client has disconnected meanwhile: its abort is no failure of the
 * application. Errors of this library are rethrown all the same.
 * @param answerIt makes the response; may throw or reject
 */
export async function unlessGone(request: RouteRequest, answerIt: () => Answer): Promise<WireResponse> {
  try {
    return await answerIt();
  } catch (error) {
    if (!ActiveSessionError.is(error) && request.over.aborted) return noContent();
    throw error;
  }
}

/**
 * A page of what exists now, without waiting for more. Synchronous where the log has the items at hand. The start of
 * its runner can make it wait: that ends when the client disconnects, or when the session moves to another identity.
 */
function page(
  { runner, session: { handover } }: Target,
  request: RouteRequest,
  query: ReadQuery,
  { pageLimits: json }: RouterSettings,
): Answer {
  const { over } = request;
  const start = startOf(query);
  const read = () => runner.read({ start, max: maxOf(runner, query, start), json });
  if (runner.needsStart) {
    return unlessGone(request, async () => {
      if (over.aborted) throw over.reason; // the work is not started for a client that has gone
      const begun = read();
      const slice = isPending(begun) ? await settledWithin(begun, [over, handover]) : begun;
      return pageOf(runner, request, query, slice);
    });
  }
  const begun = read();
  if (!isPending(begun)) return pageOf(runner, request, query, begun);
  return begun.settled.then((slice) => pageOf(runner, request, query, slice));
}

/** The response to a page: 304 if `If-None-Match` has its `ETag`. A page from the tail has no `ETag`. */
function pageOf(
  runner: RunnerCore,
  request: RouteRequest,
  { offset, cursor }: ReadQuery,
  slice: Slice<unknown>,
): WireResponse {
  const { text: body } = slice.json ?? noItems;
  const headers = jsonHeaders();
  addReadHeaders(headers, slice, nextCursor(cursor));
  // The same URL would give another slice next time.
  if (offset === "tail") return { status: 200, headers, body };
  if (slice.closed) runner.endSeen();
  const etag = etagOf(runner, slice);
  headers.ETag = etag;
  if (matches(request.headers["if-none-match"], etag)) return { status: 304, headers };
  return { status: 200, headers, body };
}

/**
 * A long-poll: answers when `min-items` exist, when the page is full, at the end of the runner, or at the
 * time-out. 204 if there is nothing.
 * @throws `RUNNER_GONE` if the session moves to another identity, and what {@link read} throws
 */
async function poll(
  { runner, session: { handover } }: Target,
  { over }: RouteRequest,
  query: ReadQuery,
  { pageLimits: limits }: RouterSettings,
): Promise<WireResponse> {
  const { minItems, maxItems, timeout } = query;
  const min = boundedMinimum(runner, minItems, maxItems);
  const max = maxOf(runner, query, 0);
  const slice = await readWaiting({ runner, handover }, { start: startOf(query), min, max, timeout, over, limits });
  const { count, text: body } = slice.json ?? noItems;
  const headers = count === 0 ? commonHeaders() : jsonHeaders();
  addReadHeaders(headers, slice, nextCursor(query.cursor));
  if (count === 0) return { status: 204, headers };
  headers.ETag = etagOf(runner, slice);
  return { status: 200, headers, body };
}

/** Streams new items over SSE, in the form of the Durable Streams protocol. */
function tail(
  target: Target,
  { over }: RouteRequest,
  query: ReadQuery,
  settings: RouterSettings,
): Promise<WireResponse> {
  const { rotateAfter, heartbeat, eventLimits: limits } = settings;
  const { maxItems, cursor, acks } = query;
  const [start, form] = [startOf(query), new ProtocolForm(cursor)];
  return stream(target, { start, form, maxItems, limits, acks, heartbeat, rotateAfter, over });
}

/**
 * `GET {mount}/{key}/events`: streams items over SSE, in the form for the browser's `EventSource`. It gives
 * up at any status other than 200; 204, after the end, is the standard's way to stop it from reconnecting
 * (HTML standard, 9.2).
 *
 * A browser does not acknowledge: the response ends when its allowance is used up, and the reconnect, with
 * its `Last-Event-ID`, makes room.
 * @throws `INVALID_ARGUMENT`, and what {@link read} throws
 */
export function events(target: Target, request: RouteRequest, settings: RouterSettings): Answer {
  const { query, headers, over } = request;
  const offset = parseEventsQuery(query, headers["last-event-id"] as string | undefined);
  if (offset === "end") return told(target.runner);
  const { rotateAfter, heartbeat, pageLimit: maxItems, itemEventLimits: limits } = settings;
  const [start, form, acks] = [startOf({ offset }), eventSourceForm, false];
  return unlessGone(request, () =>
    stream(target, { start, form, maxItems, limits, acks, heartbeat, rotateAfter, over }),
  );
}

/** The browser has been told of the end, and has come back to be told to stop. */
async function told(runner: RunnerCore): Promise<WireResponse> {
  const { ended } = await runner.logState();
  if (ended) runner.endSeen();
  return noContent();
}

/**
 * Opens the SSE response, and keeps proxies from buffering it.
 * @throws what the first read of {@link SseResponse} throws: the client then gets an error with a status, not
 *   an empty stream
 */
async function stream({ runner, session }: Target, options: SseOptions): Promise<WireResponse> {
  const { id, body, ended } = await SseResponse.open(runner, session, options);
  const headers = commonHeaders();
  headers[headerNames.response] = id;
  headers["Content-Type"] = "text/event-stream";
  headers["Cache-Control"] += ", no-transform"; // a proxy that compresses would buffer events
  headers["X-Accel-Buffering"] = "no"; // nginx
  addAheadLimit(headers, runner);
  return { status: 200, headers, body, ended };
}

/** The position at which a read starts; the beginning is 0. */
function startOf({ offset }: Pick<ReadQuery, "offset">): number | "tail" {
  return offset === "beginning" ? 0 : offset;
}

/**
 * The maximum number of items of a read. A process has one value, whatever `max-items` is; a page from the
 * tail is empty.
 */
function maxOf(runner: RunnerCore, { maxItems }: ReadQuery, start: number | "tail"): number {
  if (start === "tail") return 0;
  return runner.kind === "process" ? Number.POSITIVE_INFINITY : maxItems;
}

/**
 * The `ETag` of a slice. It has the status, because a stream that closes without a further item must not look
 * unchanged.
 */
function etagOf(runner: RunnerCore, { start, position, status }: Slice<unknown>): string {
  return `"${runner.key}:${start}:${position}:${status}"`;
}

/** True if the header `If-None-Match` has the tag or is `*`; weak comparison (RFC 9110, section 13.1.2). */
function matches(ifNoneMatch: string | string[] | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  const tags = String(ifNoneMatch).split(",");
  return tags.some((tag) => tag.trim() === "*" || plainTag(tag) === etag);
}

/**
 * A tag without its weakness mark, and without the suffix of Apache's `mod_deflate`, which turns `"x"` into
 * `"x-gzip"`.
 */
function plainTag(tag: string): string {
  return tag
    .trim()
    .replace(/^W\//, "")
    .replace(/-(?:gzip|br|deflate)"$/, '"');
}
