/**
 * Conformance tests for authors of adapters: scenarios over real sockets that every adapter of this library passes. They need no
 * particular test runner.
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
