// `npm run protocol`: which statement of docs/protocol.md has which tests. A statement is a point of a list, or a row of a table, that
// ends with its number, `(P12)`; a test proves it that has `P12` in its name, or in that of a `describe` around it. Fails where a
// statement has no test, a point has no number, a number is there twice, or a test names one that is not there.
import { readFileSync } from "node:fs";
import { allTests } from "./test-names.mjs";

const text = readFileSync("docs/protocol.md", "utf8");
const points = text.split(/\n(?=[-#|`]|\d+\. )|\n\n/).filter((part) => /^(?:- |\d+\. )/.test(part));
const statements = [...text.matchAll(/\((P\d+)\)/g)].map(([, number]) => number);
const tests = allTests().map(({ file, names }) => {
  const name = names.join(" › ");
  return { where: `${file}: ${name}`, numbers: name.match(/\bP\d+\b/g) ?? [] };
});

const untested = statements.filter((one) => !tests.some(({ numbers }) => numbers.includes(one)));
const problems = [
  ...points
    .filter((point) => !/\(P\d+\)$/.test(point.trim()))
    .map((point) => `has no number: ${point.split("\n", 1)[0]}`),
  ...statements.filter((one, i) => statements.indexOf(one) < i).map((one) => `${one} is there twice`),
  ...untested.map((one) => `${one} has no test`),
  ...tests.flatMap(({ where, numbers }) =>
    numbers.filter((one) => !statements.includes(one)).map((one) => `${where}: there is no ${one}`),
  ),
];

for (const statement of statements) {
  const [first = "NO TEST", ...others] = tests.filter(({ numbers }) => numbers.includes(statement));
  console.log(`${statement.padStart(5)}  ${first.where ?? first}`);
  for (const { where } of others) console.log(`       ${where}`);
}
const proofs = tests.filter(({ numbers }) => numbers.length > 0).length;
console.log(`\n${statements.length - untested.length} of ${statements.length} statements have a test; ${proofs} tests`);
for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;
