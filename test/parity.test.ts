/** The list of what the .NET original does and the tests that prove it; the script is run on small trees that the test makes up. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { atEnd } from "./support/cleanup.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const list = "| 1 | P | one |\n| 2 | Q | two |\n| 3 | N | three |\n";

/** What the script says of a list and of files of tests. */
function runScript(tests: string, { table = list, args = [] as string[] } = {}) {
  const folder = mkdtempSync(join(tmpdir(), "active-session-parity-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  const files = { "docs/parity.md": table, "src/some.test.ts": tests, "test/none.ts": "", "examples/none.ts": "" };
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const script = join(root, "scripts/parity.mjs");
  const run = spawnSync(process.execPath, [script, ...args], { cwd: folder, encoding: "utf8" });
  const lines = run.stdout.trim().split("\n");
  return { code: run.status, lines, summary: lines.at(-1), problems: run.stderr.trim() };
}

/** A test, or what stands around some, as text; put together here so that this file has no such names itself. */
function call(head: string, name: string, body = "", indent = "") {
  return `${indent}${head}${`(${JSON.stringify(name)}, `}async () => {\n${body}${indent}});\n`;
}

const [both, first, none] = [2, 1, 0].map((n) => `${n} of 2 (P and Q) have a test, ${2 - n} have none; 1 N`);

test.each<[string, string, string | undefined]>([
  ["(#…) in the name of a test", call("test", "a (#1, #2)"), both],
  ["(parity …)", call("it", "a (parity 1, 2)"), both],
  ["a reason behind the numbers", call("test", "a (#1, #2; rule 3)"), both],
  ["a describe for the tests within", call("describe", "a (#1)", call("test", "b (#2)", "", "  ")), both],
  ["a describe no further than to its end", call("describe", "a (#1)") + call("test", "b"), none],
  ["the name of an each", `test.each([\n  [1],\n])${call("", "a %s (#1)")}`, first],
  ["the name of an each in one line", `it.each<number>([1])${call("", "a %s (parity 1)")}`, first],
  [
    "the name of a describe that may be skipped",
    `describe.skipIf(false)${call("", "a (#1)", call("test", "b", "", "  "))}`,
    first,
  ],
  ["no test that is skipped", `${call("test.skip", "a (#1)")}test.skip.each([1])${call("", "b (#2)")}`, none],
  ["no name without a test", `${call("describe", "a (#1)")}test.todo("b (#2)");\n`, none],
  ["no comment, no body, no bare number", `// (#1)\n${call("test", "a #1", '  log("(#2)");\n')}`, none],
])("counts %s", (_what, tests, summary) => {
  expect(runScript(tests)).toMatchObject({ code: 0, summary, problems: "" });
});

test("names the tests of each number, and the numbers without one; a missing one fails a strict run only", () => {
  const tests = call("describe", "a", call("test", "b (#1)", "", "  "));
  const { code, lines } = runScript(tests);
  expect(code).toBe(0);
  expect(lines.slice(0, 3)).toEqual(["1  P  src/some.test.ts: a › b (#1)", "   2  Q  NO TEST", "   3  N  –"]);
  expect(lines.slice(4, 6)).toEqual(["Without a test:", "   2  Q  two"]);
  expect(runScript(tests, { args: ["--strict"] }).code).toBe(1);
  expect(runScript(tests + call("test", "c (#2)"), { args: ["--strict"] }).code).toBe(0);
});

test("fails for a number that the list does not have, or has twice", () => {
  expect(runScript(call("test", "a (#4)"))).toMatchObject({
    code: 1,
    problems: "src/some.test.ts: a (#4): there is no 4",
  });
  expect(runScript("", { table: `${list}| 1 | P | again |\n` })).toMatchObject({
    code: 1,
    problems: "1 is there twice",
  });
});

test("docs/parity.md has every number once, in order, and no test names another one", () => {
  const run = spawnSync(process.execPath, ["scripts/parity.mjs"], { cwd: root, encoding: "utf8" });
  expect({ code: run.status, problems: run.stderr }).toEqual({ code: 0, problems: "" });

  const text = readFileSync(join(root, "docs/parity.md"), "utf8");
  const numbers = [...text.matchAll(/^\| (\d+) \| [PQN] \| .+ \|$/gm)].map(([, number]) => Number(number));
  expect(numbers).toEqual(Array.from({ length: 221 }, (_, i) => i + 1));
});
