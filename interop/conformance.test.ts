/**
 * The published conformance suite of the Durable Streams protocol against our handler. What it finds must be what
 * `suite-tests.ts` says: names and counts are compared before anything is run.
 */
import { runConformanceTests } from "@durable-streams/server-conformance-tests";
import { afterAll, beforeAll, beforeEach, type RunnerTask } from "vitest";
import { deletionAndExpiry, expectedCounts, filtered, type TestNames } from "./suite-tests.js";
import { type StreamServer, startStreamServer } from "./support/stream-server.js";

const options = { baseUrl: "" };
let server: StreamServer | undefined;
let reasons: ReadonlyMap<RunnerTask, string>;

// biome-ignore lint/correctness/noEmptyPattern: Vitest reads the pattern to see that no fixture is wanted
beforeAll(async ({}, file) => {
  reasons = reasonsOfFiltered(file.tasks);
  server = await startStreamServer();
  options.baseUrl = server.url;
});

afterAll(() => server?.[Symbol.asyncDispose]());

beforeEach(({ task, skip }) => {
  const reason = reasons.get(task);
  if (reason !== undefined) skip(reason);
});

runConformanceTests(options);

/** Throws, and so fails everything, if a name is not the suite's or a count is not the expected one. */
function reasonsOfFiltered(tasks: readonly RunnerTask[]): ReadonlyMap<RunnerTask, string> {
  const tests = new Map(testsOf(tasks, []));
  const namesOfDeletion = fullNames(deletionAndExpiry);
  const filteredNames = filtered.flatMap(({ reason, tests }) =>
    fullNames(tests).map((name) => [name, reason] as const),
  );
  const names = [...namesOfDeletion, ...filteredNames.map(([name]) => name)];
  const unknown = names.filter((name, i) => !tests.has(name) || names.indexOf(name) !== i);
  if (unknown.length > 0) throw new Error(`No tests of the suite, or listed twice: ${unknown.join(", ")}`);
  const deletion = namesOfDeletion.length;
  const found = { all: tests.size, readPath: tests.size - names.length, deletionAndExpiry: deletion };
  const [wanted, actual] = [expectedCounts, found].map((counts) => JSON.stringify(counts));
  if (actual !== wanted) throw new Error(`The suite's tests must be ${wanted}, found ${actual}`);
  return new Map(filteredNames.map(([name, reason]) => [tests.get(name)!, reason]));
}

function testsOf(tasks: readonly RunnerTask[], path: readonly string[]): [name: string, test: RunnerTask][] {
  return tasks.flatMap((task) => {
    const names = [...path, task.name];
    return task.type === "suite" ? testsOf(task.tasks, names) : [[names.join(" > "), task]];
  });
}

function fullNames(tests: TestNames): string[] {
  return Object.entries(tests).flatMap(([suite, names]) => names.map((name) => `${suite} > ${name}`));
}
