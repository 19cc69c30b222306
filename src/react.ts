/** Runners in React components. */

export type {
  CreateTarget,
  RunnerHandle,
  RunnerHooks,
  RunnersHandle,
  UseRunnerOptions,
} from "./react/hooks.js";
export { createRunnerHooks } from "./react/hooks.js";
