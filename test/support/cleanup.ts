/** What a test has opened is closed at its end, before the leak guard looks. */

let steps: (() => unknown)[] = [];

/** Runs `step` when the test is over, the last one first. */
export function atEnd(step: () => unknown): void {
  steps.push(step);
}

/** How many steps have not been run yet; for the leak guard. */
export function stepsLeft(): number {
  return steps.length;
}

/** Runs all steps, those behind one that fails too, and fails as the first one did; for the leak guard. */
export async function cleanUp(): Promise<void> {
  const errors: unknown[] = [];
  for (let step = steps.pop(); step; step = steps.pop()) {
    try {
      await step();
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/** Gives up the steps that are left, of a clean-up that does not end; for the leak guard. */
export function forgetSteps(): void {
  steps = [];
}
