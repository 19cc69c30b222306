/** How the tests with random inputs run: a hundred thousand inputs together where nobody waits for them, a tenth elsewhere. */
import type { RunDetails } from "fast-check";

/** @param inCI how many in CI; elsewhere a tenth. `FUZZ=…` multiplies either. */
export function inputs(inCI: number): number {
  const share = process.env.CI === "true" ? 1 : 0.1;
  return Math.ceil(inCI * share * Number(process.env.FUZZ ?? 1));
}

/** Parameters of `fc.assert` for large inputs: a failure names its seed and path, which repeat it, and not the whole input. */
export function briefly<T>(numRuns: number) {
  const reporter = ({ failed, seed, counterexamplePath, errorInstance }: RunDetails<T>) => {
    if (!failed) return;
    throw new Error(`Failed with { seed: ${seed}, path: "${counterexamplePath}" }`, { cause: errorInstance });
  };
  return { numRuns, endOnFailure: true, reporter };
}
