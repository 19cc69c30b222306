/** Follows runners from a browser, or from anything that has `fetch`. */
export { ActiveSessionError, type ErrorCode } from "./base/error.js";
export {
  createClient,
  type PageOptions,
  type RunnerClient,
  type RunnerPage,
  type RunnerState,
} from "./client/client.js";
export type {
  AbortReason,
  ConnectionState,
  FollowOptions,
  RunnerFollower,
  RunnerProgress,
  RunnerStatus,
  RunnerUpdate,
} from "./client/follow.js";
export type { ClientOptions } from "./client/request.js";
