/**
 * Creating runners over HTTP, from the definitions that a router exposes: `POST {mount}/{name}` with the input as JSON.
 *
 * - Everything about the request is checked before there is a session for it.
 * - The answer has the first page and the state: 201 and a `Location` while there is more to come, 200 when everything has
 *   fitted; then nothing is kept, unless the request may be repeated.
 * - A request with an `Idempotency-Key` may: each one is answered with the same runner. With that key the runner can also be
 *   stopped by whoever does not know yet what it is called.
 */
import { createHash } from "node:crypto";
import { abortable } from "../../base/async.js";
import { ActiveSessionError, describe } from "../../base/error.js";
import { isDefinition, type RunnerDefinition, validateInput } from "../../runner/definition.js";
import type { Runner } from "../../runner/runner.js";
import type { ActiveSession } from "../../session/active-session.js";
import type { Idempotency } from "../../session/idempotency.js";
import { nextCursor } from "../cursor.js";
import type { EncodedSlice, PageLimits } from "../encode.js";
import { boundedMinimum, type FirstPageQuery, parseFirstPageQuery } from "../query.js";
import { jsonHeaders, noContent, type WireRequest, type WireResponse } from "../request-context.js";
import { addReadHeaders } from "../response-headers.js";
import { readWaiting, type WaitingReadTarget } from "../waiting-read.js";

/** What limits a creation. */
export interface CreationSettings {
  /** Default and maximum of `max-items`. */
  readonly pageLimit: number;
  readonly pageLimits: PageLimits;
  /** Default of `timeout`, seconds. */
  readonly firstPageTimeout: number;
  /** Bytes of a body. */
  readonly bodyLimit: number;
}

const namePattern = /^[A-Za-z][A-Za-z0-9_-]{0,63}$/;

/** The definitions by name. No name can be taken for a runner's key, which begins with a digit. Throws `INVALID_OPTION`. */
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

/** Creates a runner, and answers with its first page. */
export async function create(
  definition: RunnerDefinition,
  request: WireRequest,
  settings: CreationSettings,
): Promise<WireResponse> {
  checkContentType(request.headers);
  const query = parseFirstPageQuery(request.query, settings);
  const key = idempotencyKey(request.headers);
  const { input, text } = await readInput(definition, request, settings.bodyLimit);
  const once = key === undefined ? undefined : { key: scoped(definition, key), fingerprint: fingerprintOf(text) };
  const { session, creating } = known(request, once) ?? (await createNew(definition, request, input, once));
  const { handover } = session; // of the owner that has asked
  // A client that is told who it is by this very answer can neither repeat nor stop what it was not told of.
  const isNew = session.identity !== request.identity;
  const runner = await abortable(creating, handover); // a source may be slow to open, and the session get another owner meanwhile
  const options = { limits: settings.pageLimits, mayBeRepeated: once !== undefined, isNew };
  return await firstPage({ runner, handover }, request, query, options);
}

/** A creation under way, and whose it is. */
interface Creating {
  readonly session: ActiveSession;
  readonly creating: Promise<Runner>;
}

/** Stops what was, is being or will be created under the request's idempotency key. */
export async function stopCreation(
  definition: RunnerDefinition,
  request: WireRequest,
  answer: (runner: Runner) => Promise<WireResponse>,
): Promise<WireResponse> {
  const key = idempotencyKey(request.headers);
  if (key === undefined) throw invalid("Idempotency-Key", "there", undefined);
  // Without an identity there is nothing that the creating request could have in common with this one.
  if (request.identity === undefined) throw new ActiveSessionError("RUNNER_NOT_FOUND", "There is no such runner");
  const runner = request.openSession().stopCreated(scoped(definition, key));
  return runner ? answer(runner) : noContent();
}

/** What was valid when it was created need not be checked again, and may not be valid any more. */
function known(request: WireRequest, once: Idempotency | undefined): Creating | undefined {
  const session = once && request.findSession();
  const creating = once && session?.findCreated(once);
  return session && creating && { session, creating };
}

async function createNew(
  definition: RunnerDefinition,
  request: WireRequest,
  input: unknown,
  once: Idempotency | undefined,
): Promise<Creating> {
  const checked = await validateInput(definition, input);
  if (!once) request.signal.throwIfAborted(); // nobody could come back to what would be made
  const session = request.openSession();
  return { session, creating: session.createChecked(definition, checked, once) };
}

// --- the answer ------------------------------------------------------------------------------------------------------

interface FirstPageOptions {
  readonly limits: PageLimits;
  /** Whether the same request may come again, and gets the same runner then. */
  readonly mayBeRepeated: boolean;
  /** Whether the client had no identity before. */
  readonly isNew: boolean;
}

async function firstPage(
  target: WaitingReadTarget,
  request: WireRequest,
  query: FirstPageQuery,
  { limits, mayBeRepeated, isNew }: FirstPageOptions,
): Promise<WireResponse> {
  const { runner, handover } = target;
  try {
    const page = await readFirst(target, request, query, limits);
    request.signal.throwIfAborted(); // what is there at once, a read gives to whoever has gone as well
    const isKept = mayBeRepeated || !page.slice.closed;
    const body = bodyOf(runner, page, isKept);
    const headers = jsonHeaders();
    addReadHeaders(headers, runner, page.slice, nextCursor(undefined));
    if (isKept)
      headers.Location = runner.key; // a relative reference: a proxy may have taken a part of the path away
    else void runner.dispose("stopped");
    return { status: page.slice.closed ? 200 : 201, headers, body };
  } catch (error) {
    // Nobody has been told of it, so nobody could come back to it; but one of another owner is left to that.
    if ((!mayBeRepeated || isNew) && !handover.aborted) void runner.dispose("stopped");
    throw error;
  }
}

/** From the first position that is kept, which is not 0 any more when a repeated request comes late. */
async function readFirst(
  target: WaitingReadTarget,
  request: WireRequest,
  query: FirstPageQuery,
  limits: PageLimits,
): Promise<EncodedSlice> {
  const { runner } = target;
  const isProcess = runner.kind === "process";
  const { maxItems, timeout, minItems = runner.defaultAdvance } = query;
  const min = boundedMinimum(runner, minItems, maxItems);
  const { signal } = request;
  const { firstPosition } = await runner.logState();
  const start = isProcess ? 0 : firstPosition;
  const max = isProcess ? Number.POSITIVE_INFINITY : maxItems;
  return readWaiting(target, { start, min, max, timeout, signal, limits });
}

function bodyOf(runner: Runner, { slice, text }: EncodedSlice, isKept: boolean): string {
  const { start, position, status, progress, closed, error } = slice;
  const { abortReason, isBackgroundCompleted, kind, definition } = runner;
  const state = {
    ...(isKept && { key: runner.key }),
    name: definition?.name,
    ...{ kind, status, offset: start, position, progress, isBackgroundCompleted, closed },
    ...(error && { error }),
    ...(status === "aborted" && { abortReason }),
  };
  return `${JSON.stringify(state).slice(0, -1)},"items":${text}}`;
}

// --- the request -----------------------------------------------------------------------------------------------------

type Headers = WireRequest["headers"];

/** Forms can be sent from any page without being asked; JSON cannot. And what is compressed, nobody here unpacks. */
function checkContentType(headers: Headers): void {
  const type = String(headers["content-type"] ?? "");
  if (/^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i.test(type)) return;
  const message = `Cannot create a runner: the body must be application/json, received ${describe(type)}`;
  throw new ActiveSessionError("UNSUPPORTED_MEDIA_TYPE", message);
}

/** Plain as most send it, or in the quotes of a structured field, which the draft of the header asks for. */
function idempotencyKey(headers: Headers): string | undefined {
  const text = headers["idempotency-key"];
  if (text === undefined) return undefined;
  const [, quoted, plain] = /^(?:"([!#-~]{1,255})"|([!#-~]{1,255}))$/.exec(String(text)) ?? [];
  const key = quoted ?? plain;
  if (key === undefined) throw invalid("Idempotency-Key", "1 to 255 visible characters", text);
  return key;
}

/** The same key may mean something else for another definition. */
function scoped({ name }: RunnerDefinition, key: string): string {
  return `${name} ${key}`;
}

function fingerprintOf(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}

/** An empty body is no input at all. */
async function readInput(
  definition: RunnerDefinition,
  request: WireRequest,
  limit: number,
): Promise<{ readonly input: unknown; readonly text: string }> {
  const body = await request.readBody(limit);
  const fail = (problem: string, cause?: unknown) => {
    const message = `Cannot create ${describe(definition.name)}: its input must be valid (${problem})`;
    return new ActiveSessionError("INVALID_INPUT", message, { cause, issues: [{ message: problem }] });
  };
  if ("value" in body && isTooDeep(body.value)) throw fail(tooDeep);
  try {
    if ("value" in body) return { input: body.value, text: JSON.stringify(body.value) ?? "" };
    const { text } = body;
    const input = text === "" ? undefined : JSON.parse(text);
    if (!isTooDeep(input)) return { input, text };
  } catch (cause) {
    throw fail("the body must be JSON", cause);
  }
  throw fail(tooDeep);
}

/** Validators, and the application's own code, go through an input by recursion: what is nested deeper could exhaust the stack. */
const deepest = 500;
const tooDeep = `the body must not be nested more than ${deepest} deep`;

function isTooDeep(input: unknown): boolean {
  let level: unknown[] = [input];
  for (let depth = 0; depth <= deepest; depth++) {
    level = level.flatMap((value) => (typeof value === "object" && value !== null ? Object.values(value) : []));
    if (level.length === 0) return false;
  }
  return true;
}

function invalid(name: string, requirement: string, value: unknown): ActiveSessionError {
  const received = value === undefined ? "none" : describe(value);
  return new ActiveSessionError(
    "INVALID_ARGUMENT",
    `Cannot answer: the header ${name} must be ${requirement}, received ${received}`,
  );
}
