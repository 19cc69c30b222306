// `npm run bench`: every figure with its interval and its verdict; see docs/performance.md.
//
//   npm run bench                      all cases, at most 25 minutes; writes results.json and docs/benchmark.svg
//   npm run bench -- quick             all cases, at most 10 minutes; only prints
//   npm run bench -- NAME ...          some cases, or groups of them; only prints
//   npm run bench -- compare REF [NAME ...]   this build against that of another commit, in pairs
import { readdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { buildOf } from "./lib/build.mjs";
import { stayOnOwnCore } from "./lib/child.mjs";
import { own } from "./lib/library.mjs";
import { watchMachine } from "./lib/machine.mjs";
import { comparisonOf, measureCase } from "./lib/measure.mjs";
import { stopRedis } from "./lib/redis.mjs";
import { line, picture } from "./lib/report.mjs";

const minutes = 60_000;
/** For a case of a comparison that is measured again, ms. */
const extra = minutes;
/** Below this share of the time that is left, ms, a case is measured as in a quick run. */
const leastShare = 25_000;

const args = process.argv.slice(2);
const isQuick = take("quick");
const reference = take("compare") ? args.shift() : undefined;
const all = await loadCases();
const chosen = args.length === 0 ? all : all.filter(({ name, group }) => args.includes(name) || args.includes(group));
const unknown = args.filter((arg) => !all.some(({ name, group }) => name === arg || group === arg));
if (unknown.length > 0)
  throw new Error(`There is no case ${unknown.join(", ")}, only ${all.map(({ name }) => name).join(", ")}`);

const build = reference === undefined ? undefined : buildOf(reference);
stayOnOwnCore();
const machine = await watchMachine();
const figures = await measureAll();
await machine.stop();
await stopRedis();
report();

function take(word) {
  if (args[0] !== word) return false;
  args.shift();
  return true;
}

async function loadCases() {
  const folder = new URL("cases/", import.meta.url);
  const files = await Promise.all(readdirSync(folder).map((file) => import(new URL(file, folder))));
  return files.flatMap(({ cases, group }) => cases.map((one) => ({ ...one, group })));
}

/** Each case may use its share of the time that is left, and three minutes at most. */
async function measureAll() {
  const end = performance.now() + (isQuick ? 10 : 25) * minutes;
  const measured = [];
  for (const [number, testCase] of chosen.entries()) {
    const share = (end - performance.now()) / (chosen.length - number);
    const deadline = performance.now() + (chosen.length === 1 ? share : 2 * share);
    const toMeasure = build ? comparisonOf(testCase, { before: build, after: own }) : testCase;
    const isShort = isQuick || share < leastShare;
    const options = { machine, dist: own, isQuick: isShort, deadline };
    const began = performance.now();
    try {
      let results = await measureCase(toMeasure, options).catch((error) => {
        console.log(`           ${testCase.name}: once more (${error.message.slice(0, 120)})`);
        return measureCase(toMeasure, options);
      });
      // Of so many rows one or two miss by chance. One that is missed is measured again; what counts is the second time.
      const isMissed = build && results.some(({ verdict }) => verdict === "missed");
      if (isMissed) results = await measureCase(toMeasure, { ...options, isQuick: false, deadline: deadline + extra });
      measured.push(...results);
      for (const figure of results) console.log(line(figure));
    } catch (error) {
      if (!build) throw error;
      console.log(`           ${testCase.name}: cannot be compared (${error.message.slice(0, 120)})`);
    }
    const seconds = Math.round((performance.now() - began) / 1000);
    console.log(`           ${testCase.name}: ${seconds} s`);
  }
  return measured;
}

function report() {
  const of = (verdict) => figures.filter((figure) => figure.verdict === verdict);
  console.log(`${of("met").length} met, ${of("missed").length} missed, ${of("cannot tell").length} cannot be told`);
  for (const figure of of("missed"))
    console.log(`  missed: ${figure.name}${figure.beside ? `, beside ${figure.beside}` : ""}`);
  if (args.length === 0 && !isQuick && !build) save();
  if (build && of("missed").length > 0) process.exitCode = 1;
}

function save() {
  const hardware = { node: process.version, processors: cpus().length, model: cpus()[0]?.model };
  const date = new Date().toISOString().slice(0, 10);
  const result = { date, machine: hardware, figures: figures.map(rounded) };
  writeFileSync(new URL("results.json", import.meta.url), `${JSON.stringify(result, undefined, 2)}\n`);
  const subtitle = `Node ${process.version}, ${hardware.processors} cores, ${date}; bar: mean, line: 95 % interval, red: the goal`;
  writeFileSync(new URL("../docs/benchmark.svg", import.meta.url), picture(figures, subtitle));
}

function rounded(figure) {
  const round = (value) => (typeof value === "number" ? Number(value.toPrecision(4)) : value);
  return Object.fromEntries(Object.entries(figure).map(([name, value]) => [name, round(value)]));
}
