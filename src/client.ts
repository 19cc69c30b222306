/** Follows runners from a browser, or from anything that has `fetch`. */
export { CodedError as ActiveSessionError } from "./base/coded-error.js";
export type { ErrorCode } from "./base/error-codes.js";
export {
  type CreateOptions,
  createClient,
  type PageOptions,
  type RequestOptions,
  type RunnerClient,
  type RunnerState,
} from "./client/client.js";
export type { AsJson, Definitions } from "./client/definitions.js";
export type {
  AbortReason,
  ConnectionState,
  FollowOptions,
  RunnerFollower,
  RunnerPlace,
  RunnerProgress,
  RunnerStatus,
  RunnerUpdate,
} from "./client/follower.js";
export type { ClientOptions } from "./client/request.js";
