/** What all routes have in common. */
import type { Runner } from "../../runner/runner.js";
import type { ActiveSession } from "../../session/active-session.js";
import type { WireResponse } from "../request-context.js";

/** A runner, and the session in which the request has found it. */
export interface Target {
  readonly runner: Runner;
  readonly session: ActiveSession;
}

/** Synchronous where nothing has to be waited for, as with most pages. Throws, or rejects. */
export type Answer = WireResponse | Promise<WireResponse>;
