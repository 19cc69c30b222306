/** The routes that list runners, give their state, acknowledge, stop and remove. */
import type { AbortReason } from "../../protocol/types.js";
import type { RunnerCore } from "../../runner/runner-core.js";
import type { Host } from "../../session/host.js";
import { parseAcknowledgement } from "../query.js";
import type { RouteRequest } from "../request-context.js";
import { addAheadLimit, addHeadHeaders } from "../response-headers.js";
import { jsonHeaders, noContent, type WireResponse } from "../wire-response.js";
import type { Target } from "./route.js";

/**
 * `GET {mount}`: the states of all runners of the client, in order of creation. An unknown client gets an empty list.
 * Listing does not reset idle timers.
 */
export async function list(sessions: Host, { identity }: RouteRequest): Promise<WireResponse> {
  const runners = identity === undefined ? [] : await sessions.directory.runnersOf(identity);
  const states = await Promise.all(runners.map((runner) => runner.state()));
  return { status: 200, headers: jsonHeaders(), body: JSON.stringify(states) };
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
 * `POST {mount}/{key}/ack`: acknowledges everything before `offset`, 204. Renews the event stream that the request names.
 * @throws `INVALID_ARGUMENT`, `POSITION_AHEAD`, `RUNNER_GONE`
 */
export async function acknowledge({ runner }: Target, { query }: RouteRequest): Promise<WireResponse> {
  const { position, response } = parseAcknowledgement(query);
  await runner.acknowledge(position, response);
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
