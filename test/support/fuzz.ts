/** How the tests with random inputs run: a hundred thousand inputs together in CI, a tenth elsewhere. */
import { randomInt } from "node:crypto";
import fc from "fast-check";
import { advancing } from "./patience.js";

/** @param inCI how many in CI; elsewhere a tenth. `FUZZ=…` multiplies either. */
export function inputs(inCI: number): number {
  const share = process.env.CI === "true" ? 1 : 0.1;
  return Math.ceil(inCI * share * Number(process.env.FUZZ ?? 1));
}

/** Parameters of `fc.assert` for large inputs: a failure names its seed and path, which repeat it, and not the whole input. */
export function briefly<T>(numRuns: number) {
  const reporter = ({ failed, seed, counterexamplePath, errorInstance }: fc.RunDetails<T>) => {
    if (!failed) return;
    throw new Error(`Failed with { seed: ${seed}, path: "${counterexamplePath}" }`, { cause: errorInstance });
  };
  return { numRuns, endOnFailure: true, reporter };
}

/** As `fc.assert`, however long all inputs take together; one of them that does not come to its end fails it. */
export function assertAll<T>(property: fc.IAsyncPropertyWithHooks<T>, parameters: fc.Parameters<T>): Promise<void> {
  const seed = parameters.seed ?? randomInt(2 ** 31);
  let begun = 0;
  const counted = property.beforeEach(() => void begun++);
  const isAt = () => `input ${begun} of { seed: ${seed} }`;
  return advancing(fc.assert(counted, { ...parameters, seed }), () => begun, isAt);
}
