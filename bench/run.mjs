// `npm run bench`: every figure as a ratio against a floor or a peer, measured in the same run; the results go to `results.json` and,
// as a picture, to `docs/benchmark.svg`. `npm run bench -- NAME` runs one case and only prints.
import { readdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { stayOnOwnCore } from "./lib/child.mjs";
import { isMet, line, picture } from "./lib/report.mjs";

const names = process.argv.slice(2);
const folder = new URL("cases/", import.meta.url);
const cases = await Promise.all(readdirSync(folder).map((file) => import(new URL(file, folder))));
const chosen = names.length === 0 ? cases : cases.filter(({ name }) => names.includes(name));
if (chosen.length === 0) throw new Error(`There are ${cases.map(({ name }) => name).join(", ")}`);

stayOnOwnCore();
const figures = [];
for (const { run } of chosen) {
  for await (const { rates: _, ...figure } of run()) {
    figures.push(figure);
    console.log(line(figure));
  }
}
const missed = figures.filter((figure) => !isMet(figure));
console.log(`${figures.length - missed.length} of ${figures.length} figures are as they should be`);
for (const { name } of missed) console.log(`  not: ${name}`);
if (names.length === 0) save();

function save() {
  const machine = { node: process.version, processors: cpus().length, model: cpus()[0]?.model };
  const date = new Date().toISOString().slice(0, 10);
  const result = { date, machine, figures: figures.map(rounded) };
  writeFileSync(new URL("results.json", import.meta.url), `${JSON.stringify(result, undefined, 2)}\n`);
  const noisy = figures.filter(({ isNoisy }) => isNoisy).length;
  const noise = noisy > 0 ? `; the machine was too noisy for ${noisy} of ${figures.length} figures` : "";
  const subtitle = `Node ${process.version}, ${machine.processors} cores, ${date}; bar: median, line: least to most, red: what is asked${noise}`;
  writeFileSync(new URL("../docs/benchmark.svg", import.meta.url), picture(figures, subtitle));
}

function rounded(figure) {
  const round = (value) => (typeof value === "number" ? Number(value.toPrecision(4)) : value);
  return Object.fromEntries(Object.entries(figure).map(([name, value]) => [name, round(value)]));
}
