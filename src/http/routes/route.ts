/** Types shared by the routes. */
import type { RunnerCore } from "../../runner/runner-core.js";
import type { Session } from "../../session/session.js";
import type { WireResponse } from "../wire-response.js";

/** The runner that a request addresses. */
export interface Target {
  readonly runner: RunnerCore;
  /** The runner's session. Its `handover` aborts when the session moves to another identity. */
  readonly session: Session;
}

/**
 * The result of a route. A plain response where nothing has to be awaited, as for most pages. Errors are thrown or
 * rejected.
 */
export type Answer = WireResponse | Promise<WireResponse>;
