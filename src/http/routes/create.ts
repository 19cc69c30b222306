import { createHash } from "node:crypto";
import { unlessEnded } from "../../base/async.js";
import { ActiveSessionError, describe } from "../../base/error.js";
import { type JsonLimits, noItems } from "../../log/codec.js";
import type { Slice } from "../../log/result-log.js";
import { labelHeader } from "../../protocol/headers.js";
import { isDefinition, type RunnerDefinition, validateInput } from "../../runner/definition.js";
import type { RunnerCore } from "../../runner/runner-core.js";
import type { Idempotency } from "../../session/idempotency.js";
import { isLabel } from "../../session/options.js";
import type { Session } from "../../session/session.js";
import { nextCursor } from "../cursor.js";
import { boundedMinimum, type FirstPageQuery, parseFirstPageQuery } from "../query.js";
import type { RouteRequest } from "../request-context.js";
import { addReadHeaders } from "../response-headers.js";
import { readWaiting, type WaitingReadTarget } from "../waiting-read.js";
import { jsonHeaders, noContent, type WireResponse } from "../wire-response.js";

/** Limits of a creation. */
export interface CreationSettings {
  /** Default and maximum of `max-items`. */
  readonly pageLimit: number;
  /** Limits of the first page in bytes. */
  readonly pageLimits: JsonLimits;
  /** Default of `timeout`, seconds. */
  readonly firstPageTimeout: number;
  /** Maximum body, in bytes. */
  readonly bodyLimit: number;
}

/** Begins with a letter, so that no name can be taken for the key of a runner, which begins with a digit. */
const namePattern = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

/**
 * Checks the option `expose`.
 * @param action completes the message of the error: "Cannot …"
 * @returns the definitions by name
 * @throws `INVALID_OPTION` for anything but definitions with valid, different names
 */
export function exposedByName(action: string, definitions: unknown): ReadonlyMap<string, RunnerDefinition> {
  const fail = (requirement: string, value: unknown): never => {
    const message = `Cannot ${action}: ${requirement}, received ${describe(value)}`;
    throw new ActiveSessionError("INVALID_OPTION", message);
  };
  if (!Array.isArray(definitions)) return fail("expose must be an array of definitions", definitions);
  const byName = new Map<string, RunnerDefinition>();
  for (const definition of definitions) {
    if (!isDefinition(definition)) return fail("expose must be an array of definitions", definition);
    const { name } = definition;
    if (typeof name !== "string" || !namePattern.test(name)) {
      fail("an exposed name must be a letter and up to 63 letters, digits, _ or -", name);
    }
    if (byName.has(name)) fail("exposed names must differ", name);
    byName.set(name, definition);
  }
  return byName;
}

/**
 * `POST {mount}/{name}`: creates a runner from an exposed definition, with the input as JSON, and answers with its
 * first page and its state.
 *
 * - The whole request is checked before a session is opened for it.
 * - 201 with a `Location` while more items follow. 200 if the page has everything: the runner is then removed at
 *   once, unless the request may be repeated.
 * - A request with an `Idempotency-Key` may be repeated: every repetition gets the same runner. With this key a
 *   client can also stop the runner before it knows the runner's key; see {@link stopCreation}.
 * @throws `UNSUPPORTED_MEDIA_TYPE`, `INVALID_ARGUMENT`, `PAYLOAD_TOO_LARGE`, `INVALID_INPUT`,
 *   `IDEMPOTENCY_KEY_REUSED`, `RUNNER_ABORTED` if the creation was stopped before, `RUNNER_GONE`, and what opening a
 *   session, creating a runner and reading it throw
 */
export async function create(
  definition: RunnerDefinition,
  request: RouteRequest,
  settings: CreationSettings,
): Promise<WireResponse> {
  const { headers, identity: former } = request;
  checkContentType(headers);
  const query = parseFirstPageQuery(request.query, settings);
  const key = idempotencyKey(headers);
  const label = labelOf(headers);
  const { input, text } = await readInput(definition, request, settings.bodyLimit);
  const once = key === undefined ? undefined : { key: scoped(definition, key), fingerprint: fingerprintOf(text) };
  const { session, creating } = known(request, once) ?? (await createNew(definition, request, { input, once, label }));
  const { handover } = session; // taken before the await: the next owner has another
  // A client that gets its identity with this answer cannot repeat or stop the request if the answer is lost.
  const isNew = session.identity !== former;
  // A source may be slow to open; the session may move to another identity meanwhile.
  const runner = await unlessEnded(creating, handover);
  const options = { limits: settings.pageLimits, mayBeRepeated: once !== undefined, isNew };
  return await firstPage({ runner, handover }, request, query, options);
}

/** A creation under way, and the session that it belongs to. */
interface Creating {
  readonly session: Session;
  readonly creating: Promise<RunnerCore>;
}

/**
 * `POST {mount}/{name}/abort`: stops the runner of the request's `Idempotency-Key`. The creation may have finished,
 * be under way, or arrive later: in the last case nothing will be created.
 * @param answer makes the response from the stopped runner
 * @returns that response; 204 if there is no runner yet
 * @throws `INVALID_ARGUMENT` without the header, `RUNNER_NOT_FOUND` without an identity, `RUNNER_GONE`
 */
export async function stopCreation(
  definition: RunnerDefinition,
  request: RouteRequest,
  answer: (runner: RunnerCore) => Promise<WireResponse>,
): Promise<WireResponse> {
  const key = idempotencyKey(request.headers);
  if (key === undefined) throw invalid("Idempotency-Key", "there", undefined);
  // Keys belong to a client: without an identity no creation can match.
  if (request.identity === undefined) throw new ActiveSessionError("RUNNER_NOT_FOUND", "There is no such runner");
  const runner = await request.session.stopCreated(scoped(definition, key));
  return runner ? answer(runner) : noContent();
}

/**
 * Finds the creation that an earlier request with the same idempotency key has begun. Comes before the validation: an
 * input that was valid at first may not be valid any more.
 */
function known(request: RouteRequest, once: Idempotency | undefined): Creating | undefined {
  const session = once && request.find();
  const creating = once && session?.findCreated(once);
  return session && creating && { session, creating };
}

/** What a request wants to create. */
interface NewRunner {
  readonly input: unknown;
  readonly once: Idempotency | undefined;
  readonly label: string | undefined;
}

/** Validates the input, then opens the session and begins the creation. */
async function createNew(
  definition: RunnerDefinition,
  request: RouteRequest,
  { input, once, label }: NewRunner,
): Promise<Creating> {
  const checked = await validateInput(definition, input);
  if (!once && request.over.aborted) throw request.over.reason; // without a key no later request could find the runner
  const session = request.session;
  return { session, creating: session.createChecked(definition, checked, once, label) };
}

// --- the answer ------------------------------------------------------------------------------------------------------

/** Options of {@link firstPage}. */
interface FirstPageOptions {
  /** Limits of the page in bytes. */
  readonly limits: JsonLimits;
  /** True if the request has an idempotency key: a repetition then gets the same runner. */
  readonly mayBeRepeated: boolean;
  /** True if the client gets its identity with this response. */
  readonly isNew: boolean;
}

/**
 * Reads the first page, and decides whether the runner is kept. It is removed if the page has everything and the
 * request cannot be repeated, or if the client cannot find the runner after an error.
 */
async function firstPage(
  target: WaitingReadTarget,
  request: RouteRequest,
  query: FirstPageQuery,
  { limits, mayBeRepeated, isNew }: FirstPageOptions,
): Promise<WireResponse> {
  const { runner, handover } = target;
  try {
    const page = await readFirst(target, request, query, limits);
    if (request.over.aborted) throw request.over.reason; // a read that need not wait does not look
    const isKept = mayBeRepeated || !page.closed;
    const body = bodyOf(runner, page, isKept);
    const headers = jsonHeaders();
    addReadHeaders(headers, page, nextCursor(undefined));
    if (isKept)
      headers.Location = runner.key; // a relative reference: a proxy may have stripped a prefix of the path
    else void runner.dispose("stopped");
    return { status: page.closed ? 200 : 201, headers, body };
  } catch (error) {
    // The client does not know the runner and cannot find it. After a handover it belongs to the new identity.
    if ((!mayBeRepeated || isNew) && !handover.aborted) void runner.dispose("stopped");
    throw error;
  }
}

/**
 * Reads from the first retained position. That is no longer 0 when a repeated request comes after items were
 * acknowledged and dropped.
 */
async function readFirst(
  target: WaitingReadTarget,
  request: RouteRequest,
  query: FirstPageQuery,
  limits: JsonLimits,
): Promise<Slice<unknown>> {
  const { runner } = target;
  const isProcess = runner.kind === "process";
  const { maxItems, timeout, minItems = runner.defaultAdvance } = query;
  const min = boundedMinimum(runner, minItems, maxItems);
  const { over } = request;
  const { firstPosition } = await runner.logState();
  const start = isProcess ? 0 : firstPosition;
  const max = isProcess ? Number.POSITIVE_INFINITY : maxItems;
  return readWaiting(target, { start, min, max, timeout, over, limits });
}

/**
 * The JSON body: the state, and the items spliced in as text, because they are encoded already.
 * @param isKept adds the key: only a runner that is kept can be read again
 */
function bodyOf(runner: RunnerCore, slice: Slice<unknown>, isKept: boolean): string {
  const { start, position, status, progress, closed, error, abortReason } = slice;
  const { kind, definition } = runner;
  const { isBackgroundCompleted, phase } = runner.workAt(slice);
  const state = {
    ...(isKept && { key: runner.key }),
    name: definition?.name,
    label: runner.label,
    ...{ kind, status, offset: start, position, progress, isBackgroundCompleted, phase, closed },
    ...(error && { error }),
    ...(status === "aborted" && { abortReason }),
  };
  return `${JSON.stringify(state).slice(0, -1)},"items":${(slice.json ?? noItems).text}}`;
}

// --- the request -----------------------------------------------------------------------------------------------------

/** Request headers, lower-case names. */
type Headers = RouteRequest["headers"];

/**
 * Requires `application/json`. A page of another site can send a form without a CORS preflight, but not JSON (Fetch
 * standard, CORS-safelisted request-header).
 * @throws `UNSUPPORTED_MEDIA_TYPE`
 */
function checkContentType(headers: Headers): void {
  const type = String(headers["content-type"] ?? "");
  if (/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(type)) return;
  const message = `Cannot create a runner: the body must be application/json, received ${describe(type)}`;
  throw new ActiveSessionError("UNSUPPORTED_MEDIA_TYPE", message);
}

/**
 * Reads the header `Idempotency-Key`: plain text, as most clients send it, or a quoted string (RFC 8941), which the
 * draft of the header asks for.
 * @returns 1 to 255 visible ASCII characters without `"`; `undefined` without the header
 * @throws `INVALID_ARGUMENT`
 */
function idempotencyKey(headers: Headers): string | undefined {
  const text = headers["idempotency-key"];
  if (text === undefined) return undefined;
  const [, quoted, plain] = /^(?:"([!#-~]{1,255})"|([!#-~]{1,255}))$/.exec(String(text)) ?? [];
  const key = quoted ?? plain;
  if (key === undefined) throw invalid("Idempotency-Key", "1 to 255 visible characters", text);
  return key;
}

/**
 * Reads the header `Runner-Label`, percent-encoded as UTF-8.
 * @throws `INVALID_ARGUMENT`
 */
function labelOf(headers: Headers): string | undefined {
  const text = headers[labelHeader.toLowerCase()];
  if (text === undefined) return undefined;
  const label = /^[\w.!~*'()%-]+$/.test(String(text)) ? decoded(String(text)) : undefined;
  if (!isLabel(label)) throw invalid(labelHeader, "1 to 128 characters, percent-encoded as UTF-8", text);
  return label;
}

/** Decodes percent-encoding; `undefined` if it is malformed. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Scopes a key to its definition: the same key may be used with another definition. A name has no space. */
function scoped({ name }: RunnerDefinition, key: string): string {
  return `${name} ${key}`;
}

/** Detects a key that is reused with another body. A hash, so that the session does not keep the body. */
function fingerprintOf(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}

/**
 * Reads and parses the body. An empty body is the input `undefined`.
 * @returns the input, and the text for {@link fingerprintOf}
 * @throws `INVALID_INPUT`, `PAYLOAD_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE`
 */
async function readInput(
  definition: RunnerDefinition,
  request: RouteRequest,
  limit: number,
): Promise<{ readonly input: unknown; readonly text: string }> {
  const body = await request.readBody(limit);
  const fail = (problem: string, cause?: unknown) => {
    const message = `Cannot create ${describe(definition.name)}: its input must be valid (${problem})`;
    return new ActiveSessionError("INVALID_INPUT", message, { cause, issues: [{ message: problem }] });
  };
  // Before `JSON.stringify`, which recurses.
  if ("value" in body && isTooDeep(body.value)) throw fail(tooDeep);
  try {
    if ("value" in body) return { input: body.value, text: JSON.stringify(body.value) ?? "" };
    const { text } = body;
    const input = text === "" ? undefined : JSON.parse(text);
    // Each level takes an opening and a closing bracket.
    if (text.length <= 2 * deepest || !isTooDeep(input)) return { input, text };
  } catch (cause) {
    throw fail("the body must be JSON", cause);
  }
  throw fail(tooDeep);
}

/**
 * Maximum nesting of an input. Validators and the application's code recurse through it; a deeper one could exhaust
 * the stack.
 */
const deepest = 500;
/** The problem that `INVALID_INPUT` names. */
const tooDeep = `the body must not be nested more than ${deepest} deep`;

/** True if the input is nested deeper than {@link deepest}. Goes level by level, without recursion. */
function isTooDeep(input: unknown): boolean {
  let level: unknown[] = [input];
  for (let depth = 0; depth <= deepest; depth++) {
    level = level.flatMap((value) => (typeof value === "object" && value !== null ? Object.values(value) : []));
    if (level.length === 0) return false;
  }
  return true;
}

/** An `INVALID_ARGUMENT` for a header. */
function invalid(name: string, requirement: string, value: unknown): ActiveSessionError {
  const received = value === undefined ? "none" : describe(value);
  return new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot answer: the header ${name} must be ${requirement}, received ${received}`,
  );
}
