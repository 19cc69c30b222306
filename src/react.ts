/**
 * React hooks that create and follow runners. Their state comes from a client of `active-session/client`.
 * @example
 * const { useRunner } = createRunnerHooks(createClient("/runners"));
 * const { items, isRunning } = useRunner<number>(key);
 */

export type {
  CreateTarget,
  RunnerHandle,
  RunnerHooks,
  RunnersHandle,
  UseRunnerOptions,
} from "./react/hooks.js";
export { createRunnerHooks } from "./react/hooks.js";
