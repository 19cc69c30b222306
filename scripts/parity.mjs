// `npm run parity [-- --strict]`: which behaviour of docs/parity.md has which tests, as the names of the tests say: `(parity 12, 13)`
// or `(#12)`, in a test's own name or in that of a `describe` around it. `--strict` fails where a P or Q has none.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const behaviours = readBehaviours(readFileSync("docs/parity.md", "utf8"));
const known = new Set(behaviours.map(({ number }) => number));
const tests = ["src", "test", "examples"].flatMap((folder) => testFiles(folder)).flatMap(testsIn);
const problems = [
  ...tests.flatMap(({ numbers, where }) =>
    numbers.filter((n) => !known.has(n)).map((n) => `${where}: there is no ${n}`),
  ),
  ...behaviours.map(({ number }) => number).flatMap((n, i, all) => (all.indexOf(n) < i ? [`${n} is there twice`] : [])),
];

const missing = [];
for (const { number, mark, title } of behaviours) {
  const of = tests.filter(({ numbers }) => numbers.includes(number));
  if (of.length === 0 && mark !== "N") missing.push({ number, mark, title });
  const [first = mark === "N" ? "–" : "NO TEST", ...others] = of.map(({ where }) => where);
  console.log(`${String(number).padStart(4)}  ${mark}  ${first}`);
  for (const where of others) console.log(`         ${where}`);
}
if (missing.length > 0) console.log("\nWithout a test:");
for (const { number, mark, title } of missing) console.log(`${String(number).padStart(4)}  ${mark}  ${title}`);
const wanted = behaviours.filter(({ mark }) => mark !== "N").length;
const none = behaviours.length - wanted;
console.log(`\n${wanted - missing.length} of ${wanted} (P and Q) have a test, ${missing.length} have none; ${none} N`);
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 || (process.argv.includes("--strict") && missing.length > 0) ? 1 : 0;

/** The rows of all tables: number, mark, title. */
function readBehaviours(text) {
  return [...text.matchAll(/^\| (\d+) \| ([PQN]) \| (.+) \|$/gm)].map(([, number, mark, title]) => {
    return { number: Number(number), mark, title };
  });
}

function testFiles(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return entry.name === "node_modules" ? [] : testFiles(path);
    return entry.name.endsWith(".test.ts") ? [path] : [];
  });
}

/**
 * The tests of a file, found by their names: a text, then a function, in a call of `describe`, `test` or `it`, or in the second
 * call of their `each`. What stands further to the right than a `describe` before it stands within it; the formatter sees to that.
 */
function testsIn(file) {
  const text = readFileSync(file, "utf8");
  const opening =
    /(?:\b(describe|test|it)((?:\.\w+)*)(?:<[^()]*>)?|\))\(\s*(["'`])((?:\\.|(?!\3)[^\\])*)\3,\s*(?:async\b|function\b|\()/g;
  const around = [];
  const found = [];
  for (const match of text.matchAll(opening)) {
    const [, plain, modifiers = "", , name] = match;
    if (isSkipped(modifiers)) continue;
    const before = text.slice(0, match.index);
    const indent = /^ */.exec(before.slice(before.lastIndexOf("\n") + 1))[0].length;
    while (around.length > 0 && around.at(-1).indent >= indent) around.pop();
    const call = plain ?? callBefore(before, indent);
    if (call === "describe") around.push({ indent, name });
    else if (call) found.push(describeTest(file, [...around.map((outer) => outer.name), name]));
  }
  return found;
}

/** Whose second call it is, as that of `each` or `skipIf`: the last call before it that begins a line as far to the left. */
function callBefore(before, indent) {
  const begin = new RegExp(`^ {${indent}}(describe|test|it)((?:\\.\\w+)+)`);
  const line = before.split("\n").findLast((candidate) => begin.test(candidate)) ?? "";
  const [, call, modifiers] = begin.exec(line) ?? [];
  return isSkipped(modifiers) ? undefined : call;
}

function isSkipped(modifiers) {
  return /\.(?:skip|todo)\b/.test(modifiers);
}

function describeTest(file, names) {
  const marks = names.join(" › ").matchAll(/\((?:parity |#)(\d+(?:, #?\d+)*)(?:; [^()]*)?\)/g);
  const numbers = [...marks].flatMap(([, list]) => list.match(/\d+/g).map(Number));
  return { where: `${file}: ${names.join(" › ")}`, numbers };
}
