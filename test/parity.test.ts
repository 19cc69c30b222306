/** The list of what the .NET original does and the tests that prove it; the script is run on small trees that the test makes up. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { atEnd } from "./support/cleanup.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const list = "| 1 | P | one |\n| 2 | Q | two |\n| 3 | N | three |\n";

interface Reported {
  readonly ancestorTitles: readonly string[];
  readonly title: string;
  readonly status: string;
}

/** A test as the runner reports it: its own name last. */
function reported(...names: string[]): Reported {
  return { ancestorTitles: names.slice(0, -1), title: names.at(-1)!, status: "passed" };
}

/** The output of the script for a list and for tests. */
function runScript(tests: readonly Reported[], { table = list, args = [] as string[] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "active-session-parity-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  const report = { testResults: [{ name: join(folder, "src/some.test.ts"), assertionResults: tests }] };
  mkdirSync(join(folder, "docs"));
  writeFileSync(join(folder, "docs/parity.md"), table);
  writeFileSync(join(folder, ".test-report.json"), JSON.stringify(report));
  const script = join(root, "scripts/parity.mjs");
  const run = spawnSync(process.execPath, [script, ...args], { cwd: folder, encoding: "utf8" });
  const lines = run.stdout.trim().split("\n");
  return { code: run.status, lines, summary: lines.at(-1), problems: run.stderr.trim() };
}

const [both, first, none] = [2, 1, 0].map((n) => `${n} of 2 (P and Q) have a test, ${2 - n} have none; 1 N`);

test.each<[string, Reported[], string | undefined]>([
  ["(#…) in the name of a test", [reported("a (#1, #2)")], both],
  ["(parity …)", [reported("a (parity 1, 2)")], both],
  ["a reason behind the numbers", [reported("a (#1, #2; rule 3)")], both],
  ["a describe for the tests within", [reported("a (#1)", "b (#2)")], both],
  ["no test that was skipped", [{ ...reported("a (#1)"), status: "skipped" }, reported("b (#2)")], first],
  ["no bare number", [reported("a #1")], none],
])("counts %s", (_what, tests, summary) => {
  expect(runScript(tests)).toMatchObject({ code: 0, summary, problems: "" });
});

test("names the tests of each number, and the numbers without one; a missing one fails a strict run only", () => {
  const tests = [reported("a", "b (#1)")];
  const { code, lines } = runScript(tests);
  expect(code).toBe(0);
  expect(lines.slice(0, 3)).toEqual(["1  P  src/some.test.ts: a › b (#1)", "   2  Q  NO TEST", "   3  N  –"]);
  expect(lines.slice(4, 6)).toEqual(["Without a test:", "   2  Q  two"]);
  expect(runScript(tests, { args: ["--strict"] }).code).toBe(1);
  expect(runScript([...tests, reported("c (#2)")], { args: ["--strict"] }).code).toBe(0);
});

test("fails for a number that the list does not have, or has twice", () => {
  expect(runScript([reported("a (#4)")])).toMatchObject({
    code: 1,
    problems: "src/some.test.ts: a (#4): there is no 4",
  });
  expect(runScript([], { table: `${list}| 1 | P | again |\n` })).toMatchObject({
    code: 1,
    problems: "1 is there twice",
  });
});

test("docs/parity.md has every number once, in order", () => {
  const text = readFileSync(join(root, "docs/parity.md"), "utf8");
  const numbers = [...text.matchAll(/^\| (\d+) \| [PQN] \| .+ \|$/gm)].map(([, number]) => Number(number));
  expect(numbers).toEqual(Array.from({ length: 221 }, (_, i) => i + 1));
});
