/** The routes that list runners, give their state, acknowledge, stop and remove. */
import { ActiveSessionError, describe } from "../../base/error.js";
import type { AbortReason } from "../../protocol/types.js";
import type { RunnerCore } from "../../runner/runner-core.js";
import type { Host } from "../../session/host.js";
import { parseRunnerKey } from "../../session/runner-key.js";
import { parseAcknowledgement, parseListQuery } from "../query.js";
import type { RouteRequest } from "../request-context.js";
import { addAheadLimit, addHeadHeaders } from "../response-headers.js";
import { jsonHeaders, noContent, type WireResponse } from "../wire-response.js";
import type { Target } from "./route.js";

/**
 * `GET {mount}`: the states of the client's runners, the newest first. An unknown client gets an empty list.
 * Listing does not reset idle timers.
 * @throws `INVALID_ARGUMENT`
 */
export async function list(sessions: Host, { identity, query }: RouteRequest): Promise<WireResponse> {
  const { label, name, status, before, limit } = parseListQuery(query);
  const all = identity === undefined ? [] : await sessions.directory.runnersOf(identity);
  const wanted = (before === undefined ? all : all.slice(placeBehind(all, before))).filter(
    (runner) =>
      (label === undefined || runner.label === label) && (name === undefined || runner.definition?.name === name),
  );
  // The status is that of the moment at which it is told.
  const asked = status === undefined ? wanted.slice(0, limit) : wanted;
  const known = await Promise.all(asked.map((runner) => runner.state()));
  const states = known.filter((state) => status === undefined || state.status === status).slice(0, limit);
  return { status: 200, headers: jsonHeaders(), body: JSON.stringify(states) };
}

/**
 * The place in a list, the newest first, behind the runner with this key. If that has been removed, the place behind the newer
 * ones of its session: what a list that is read page by page repeats can be told by its key, a gap cannot.
 * @throws `INVALID_ARGUMENT` if it is no key
 */
function placeBehind(all: readonly RunnerCore[], before: string): number {
  const at = all.findIndex(({ key }) => key === before);
  if (at >= 0) return at + 1;
  const key = parseRunnerKey(before);
  if (!key)
    throw new ActiveSessionError("INVALID_ARGUMENT", `Cannot list: before must be a key, received ${describe(before)}`);
  return (
    1 +
    all.findLastIndex(
      ({ id: { sessionId, generation, number } }) =>
        sessionId === key.sessionId && generation === key.generation && number > key.number,
    )
  );
}

/** `HEAD {mount}/{key}`: the state in headers. Does not reset idle timers, and counts nothing as read. */
export async function head({ runner }: Target): Promise<WireResponse> {
  const headers = jsonHeaders();
  addAheadLimit(headers, runner);
  addHeadHeaders(headers, await runner.logState());
  return { status: 200, headers };
}

/** `GET {mount}/{key}/state`: the whole state as JSON. Does not reset idle timers. */
export async function state({ runner }: Target): Promise<WireResponse> {
  return stateOf(runner);
}

/** The response with the whole state of a runner, which includes its failure. */
export async function stateOf(runner: RunnerCore): Promise<WireResponse> {
  return { status: 200, headers: jsonHeaders(), body: JSON.stringify(await runner.state()) };
}

/**
 * `POST {mount}/{key}/ack`: acknowledges everything before `offset`, 204. Renews the event stream that the request names. With
 * `closed=true` the client has seen the end.
 * @throws `INVALID_ARGUMENT`, `POSITION_AHEAD`, `RUNNER_GONE`
 */
export async function acknowledge({ runner }: Target, { query }: RouteRequest): Promise<WireResponse> {
  const { position, ...said } = parseAcknowledgement(query);
  await runner.acknowledge(position, said);
  return noContent();
}

/**
 * `POST {mount}/{key}/abort`: stops the work, 200 with the state. What has been handed out stays readable.
 * Idempotent.
 */
export async function abort({ runner }: Target): Promise<WireResponse> {
  await runner.abort();
  return stateOf(runner);
}

/**
 * `DELETE {mount}/{key}`: stops and removes the runner, 204; later requests get 410. The signal of the work has fired
 * when this answers; the clean-up is not awaited.
 */
export async function remove({ runner }: Target): Promise<WireResponse> {
  const reason: AbortReason = "stopped";
  void runner.dispose(reason);
  return noContent();
}
