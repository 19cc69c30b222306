// How fast the machine is at the moment, told by a fixed computation on the measured core and on that of the load generator.
import { start } from "./child.mjs";
import { median } from "./statistics.mjs";

/** So much slower than usual may the fixed computation be before a round counts as disturbed. */
const disturbedFrom = 1.2;
/** What is usual: the faster half of so many of the latest readings. */
const remembered = 60;

/** Runs a computation of a few milliseconds, and gives how long it took, ms. */
export function computeFixed() {
  const began = performance.now();
  let sum = 0;
  for (let i = 0; i < 4_000_000; i++) sum = (sum + i * i) | 0;
  if (sum === 1) throw new Error("Never");
  return performance.now() - began;
}

/** Watches the machine. `isQuiet` measures it once. */
export async function watchMachine() {
  const other = await start("inline/machine.mjs");
  const readings = [[], []];
  for (let i = 0; i < 20; i++) await isQuiet();
  async function isQuiet() {
    const now = [computeFixed(), (await other.ask("compute")).answer];
    return now.map((value, core) => isUsual(value, readings[core])).every(Boolean);
  }
  return { isQuiet, stop: () => other.stop() };
}

function isUsual(value, readings) {
  readings.push(value);
  if (readings.length > remembered) readings.shift();
  const fastest = readings.toSorted((a, b) => a - b).slice(0, Math.ceil(readings.length / 2));
  return value < median(fastest) * disturbedFrom;
}
