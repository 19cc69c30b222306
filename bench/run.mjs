// `npm run bench`: every figure as a ratio against a floor or a peer, measured in the same run. `npm run bench -- NAME` runs one case.
import { readdirSync, writeFileSync } from "node:fs";
import { stayOnOwnCore } from "./lib/child.mjs";

const names = process.argv.slice(2);
const folder = new URL("cases/", import.meta.url);
const cases = await Promise.all(readdirSync(folder).map((file) => import(new URL(file, folder))));
const chosen = names.length === 0 ? cases : cases.filter(({ name }) => names.includes(name));
if (chosen.length === 0) throw new Error(`There are ${cases.map(({ name }) => name).join(", ")}`);

stayOnOwnCore();
const figures = [];
for (const { run } of chosen) {
  for await (const figure of run()) {
    figures.push(figure);
    print(figure);
  }
}
if (names.length === 0) {
  const result = { node: process.version, date: new Date().toISOString().slice(0, 10), figures };
  writeFileSync(new URL("results.json", import.meta.url), `${JSON.stringify(result, undefined, 2)}\n`);
}
const missed = figures.filter((figure) => !isMet(figure));
console.log(`${figures.length - missed.length} of ${figures.length} figures are as they should be`);
for (const { name } of missed) console.log(`  not: ${name}`);

function isMet({ ratio, atLeast, atMost }) {
  return ratio >= (atLeast ?? 0) && ratio <= (atMost ?? Number.POSITIVE_INFINITY);
}

function print(figure) {
  const { name, ratio, min, max, rate, atLeast, atMost, isNoisy } = figure;
  const limit = atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`;
  const spread = `(${min.toFixed(2)} to ${max.toFixed(2)})`;
  const mark = isMet(figure) ? "ok " : "NOT";
  const noise = isNoisy ? "  the machine was too noisy to tell" : "";
  const absolute =
    rate === undefined ? "" : `  ${rate < 100 ? rate.toFixed(2) : Math.round(rate).toLocaleString("en")}`;
  console.log(
    `${mark} ${ratio.toFixed(2).padStart(6)} ${spread.padEnd(17)} ${limit.padEnd(7)} ${name}${absolute}${noise}`,
  );
}
