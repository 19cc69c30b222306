/** The routes that read a runner: a page, a long-poll, an event stream. */
import { onAbort } from "../../base/async.js";
import { ActiveSessionError } from "../../base/error.js";
import type { Slice } from "../../log/result-log.js";
import { headerNames } from "../../protocol/headers.js";
import type { Runner } from "../../runner/runner.js";
import { nextCursor } from "../cursor.js";
import { type EncodedSlice, readEncoded } from "../encode.js";
import { boundedMinimum, parseEventsQuery, parseReadQuery, type ReadQuery } from "../query.js";
import { commonHeaders, jsonHeaders, noContent, type WireRequest, type WireResponse } from "../request-context.js";
import { addAheadLimit, addReadHeaders } from "../response-headers.js";
import type { RouterSettings } from "../router-options.js";
import { eventSourceForm, ProtocolForm } from "../sse-form.js";
import { type SseOptions, SseResponse } from "../sse-response.js";
import { readWaiting } from "../waiting-read.js";
import type { Answer, Target } from "./route.js";

/** `GET {mount}/{key}` */
export function read(target: Target, request: WireRequest, settings: RouterSettings): Answer {
  const query = parseReadQuery(request.query, settings);
  if (query.live === "sse") return unlessGone(request, () => tail(target, request, query, settings));
  if (query.live === "long-poll") return unlessGone(request, () => poll(target, request, query, settings));
  // A page does not wait, unless its runner has to be started first.
  if (target.runner.needsStart) return unlessGone(request, () => pageOnceStarted(target, request, query, settings));
  return page(target.runner, request, query, settings, undefined);
}

/** Answers 204 instead of an error to a client that has gone away meanwhile. */
export async function unlessGone(request: WireRequest, answerIt: () => Answer): Promise<WireResponse> {
  try {
    return await answerIt();
  } catch (error) {
    if (!ActiveSessionError.is(error) && request.signal.aborted) return noContent();
    throw error;
  }
}

/** A page that waits for the start of its runner; the session may get another owner meanwhile. */
async function pageOnceStarted(
  { runner, session: { handover } }: Target,
  request: WireRequest,
  query: ReadQuery,
  settings: RouterSettings,
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
  { pageLimits }: RouterSettings,
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
  { pageLimits: limits }: RouterSettings,
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
function tail(
  target: Target,
  { signal }: WireRequest,
  query: ReadQuery,
  settings: RouterSettings,
): Promise<WireResponse> {
  const { rotateAfter, heartbeat, eventLimits: limits } = settings;
  const { maxItems, cursor, acks } = query;
  const [start, form] = [startOf(query), new ProtocolForm(cursor)];
  return stream(target, { start, form, maxItems, limits, acks, heartbeat, rotateAfter, signal });
}

/** Streams them as the browser's own `EventSource` takes them; a status other than 200 makes it give up, 204 without an error. */
export function events(target: Target, request: WireRequest, settings: RouterSettings): Answer {
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
