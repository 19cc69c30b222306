/**
 * The client: creates, follows and stops runners over HTTP. Runs in browsers and wherever there is `fetch`; has no dependencies.
 * @example
 * const client = createClient("/runners");
 * for await (const item of client.follow(key)) show(item);
 */

// The error class without what only a server needs; `ActiveSessionError.is` accepts errors of both.
export { CodedError as ActiveSessionError } from "./base/coded-error.js";
export type { ErrorCode } from "./base/error-codes.js";
export {
  type CreateOptions,
  createClient,
  type ListOptions,
  type PageOptions,
  type RequestOptions,
  type RunnerClient,
  type RunnerState,
} from "./client/client.js";
export type { AsJson, Definitions } from "./client/definitions.js";
export type { RunnerFollower } from "./client/follower.js";
export type { ClientOptions } from "./client/request.js";
export type { ConnectionState, FollowOptions, RunnerPlace, RunnerUpdate } from "./client/types.js";
export type { AbortReason, RunnerPhase, RunnerProgress, RunnerStatus } from "./protocol/types.js";
