/** What a test has opened is closed at its end, before the leak guard looks. */

let steps: (() => unknown)[] = [];

/** Runs `step` when the test is over, the last one first. */
export function atEnd(step: () => unknown): void {
  steps.push(step);
}

/** Runs all steps; for the leak guard. */
export async function cleanUp(): Promise<void> {
  const due = steps.reverse();
  steps = [];
  for (const step of due) await step();
}
