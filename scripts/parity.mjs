// `npm run parity [-- --strict]`: which behaviour of docs/parity.md has which tests, as the names of the tests say: `(parity 12, 13)`
// or `(#12)`, in a test's own name or in that of a `describe` around it. `--strict` fails where a P or Q has none.
import { readFileSync } from "node:fs";
import { allTests } from "./test-names.mjs";

const behaviours = readBehaviours(readFileSync("docs/parity.md", "utf8"));
const known = new Set(behaviours.map(({ number }) => number));
const tests = allTests().map(describeTest);
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

function describeTest({ file, names }) {
  const marks = names.join(" › ").matchAll(/\((?:parity |#)(\d+(?:, #?\d+)*)(?:; [^()]*)?\)/g);
  const numbers = [...marks].flatMap(([, list]) => list.match(/\d+/g).map(Number));
  return { where: `${file}: ${names.join(" › ")}`, numbers };
}
