/**
 * For authors of adapters: the scenarios that every adapter of this library passes, over real sockets, in whatever runs your tests.
 * @example
 * for (const { name, suits, run } of adapterScenarios) {
 *   if (suits(adapter)) test(name, () => run(adapter));
 * }
 */
export type {
  AdapterApplication,
  AdapterPlan,
  AdapterRoute,
  AdapterUnderTest,
} from "./testing/application.js";
export { type AdapterScenario, adapterScenarios } from "./testing/scenarios.js";
