/** Types shared by the routes. */
import type { Runner } from "../../runner/runner.js";
import type { ActiveSession } from "../../session/active-session.js";
import type { WireResponse } from "../request-context.js";

/** The runner that a request addresses. */
export interface Target {
  readonly runner: Runner;
  /** The runner's session. Its `handover` aborts when the session moves to another identity. */
  readonly session: ActiveSession;
}

/**
 * The result of a route. A plain response where nothing has to be awaited, as for most pages. Errors are thrown or
 * rejected.
 */
export type Answer = WireResponse | Promise<WireResponse>;
