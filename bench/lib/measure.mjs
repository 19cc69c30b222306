// Measures the sides of a case beside each other, until its figures are clear or its time is up.
//
// A case starts its processes several times (a block), warms them up, and measures all sides in each round, in another order each time:
// a machine that is slow for a while is slow for all of them. Before and after each round the machine is measured; a round on a
// disturbed machine is repeated. A figure whose interval spans its goal gets another block.
import { intervalOf, median, verdictOf } from "./statistics.mjs";

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {readonly string[]} ours The sides that are this library: what `compare` compares.
 * @property {(side: string, dist: string) => Promise<Side | undefined>} open Starts the processes of one side; `undefined`: not here.
 * @property {number} rounds Rounds in a block.
 * @property {number | "none"} [warmUp] How long each side runs before it counts, ms; at least one round, unless it is "none". Default: 0.
 * @property {readonly Figure[]} figures
 *
 * @typedef {object} Side
 * @property {() => Promise<number | Record<string, number>>} measure A rate (more is better), or several named values.
 * @property {() => Promise<unknown>} stop
 *
 * @typedef {object} Figure
 * @property {string} name
 * @property {string} of A side.
 * @property {string} [against] The side that it is divided by; without one the value itself is the figure.
 * @property {string} [value] Which of the named values.
 * @property {boolean} [isCost] Less is better. Default: whether there is `atMost`.
 * @property {number} [atLeast]
 * @property {number} [atMost]
 * @property {string} [why] Why there is no goal.
 * @property {string} [beside] What `against` is, in words.
 *
 * @typedef {Figure & import("./statistics.mjs").Interval & { rate?: number, floorRate?: number, starts: number, rounds: number,
 *   disturbed: number, verdict: import("./statistics.mjs").Verdict }} Result
 */

/** How often the processes of a case are started, at least. */
const fewestBlocks = { full: 4, quick: 3 };
/** ms, for one case. */
const longest = { full: 180_000, quick: 20_000 };

/**
 * @param {Case} testCase
 * @param {{ machine: { isQuiet(): Promise<boolean> }, dist: string, isQuick: boolean, deadline: number }} options
 *   `deadline`: no further block begins after it, ms on the clock of `performance.now`
 */
export async function measureCase(testCase, { machine, dist, isQuick, deadline }) {
  const mode = isQuick ? "quick" : "full";
  const end = Math.min(deadline, performance.now() + longest[mode]);
  const { warmUp = 0 } = testCase;
  const pace = isQuick
    ? { rounds: Math.ceil(testCase.rounds / 2), warmUp: warmUp === "none" ? warmUp : warmUp / 2 }
    : { rounds: testCase.rounds, warmUp };
  const blocks = [];
  let disturbed = 0;
  let left = testCase.figures;
  for (let began = performance.now(); ; began = performance.now()) {
    const wanted = blocks.length < fewestBlocks[mode] ? testCase.figures : left;
    const block = await measureBlock(testCase, sidesOf(wanted), { ...pace, machine, dist, end });
    disturbed += block.disturbed;
    blocks.push(block.rounds);
    if (blocks.length < fewestBlocks[mode]) continue;
    left = testCase.figures.filter((figure) => resultOf(figure, blocks)?.verdict === "cannot tell");
    const lasted = performance.now() - began;
    if (left.length === 0 || performance.now() + lasted > end) break;
  }
  return testCase.figures.flatMap((figure) => resultOf(figure, blocks, disturbed) ?? []);
}

/** The sides that these figures need. */
function sidesOf(figures) {
  return [...new Set(figures.flatMap(({ of, against }) => (against ? [of, against] : [of])))];
}

async function measureBlock(testCase, names, { dist, warmUp, ...options }) {
  const sides = {};
  try {
    for (const name of names) {
      const side = await testCase.open(name, dist);
      if (side) sides[name] = side;
    }
    for (const side of Object.values(sides)) await warm(side, warmUp);
    return await measureRounds(sides, options);
  } finally {
    await Promise.all(Object.values(sides).map((side) => side.stop()));
  }
}

async function warm(side, duration) {
  if (duration === "none") return;
  const began = performance.now();
  do await side.measure();
  while (performance.now() - began < duration);
}

/** On a machine that is never quiet no more rounds are repeated than count, and none when the time is up: the intervals tell. */
async function measureRounds(sides, { rounds: count, machine, end }) {
  const names = Object.keys(sides);
  const rounds = [];
  let disturbed = 0;
  let wasQuiet = await machine.isQuiet();
  for (let turn = 0; rounds.length < count; turn++) {
    const round = {};
    for (const name of rotated(names, turn)) round[name] = await sides[name].measure();
    const isQuiet = await machine.isQuiet();
    if (!(wasQuiet && isQuiet) && ++disturbed <= count && performance.now() < end) {
      wasQuiet = isQuiet || (await machine.isQuiet());
      continue;
    }
    wasQuiet = isQuiet;
    rounds.push(round);
  }
  return { rounds, disturbed };
}

/** The figure over all rounds that have its sides; `undefined` if none has. */
function resultOf(figure, blocks, disturbed) {
  const { of, against, value } = figure;
  const pick = (measured) => (value === undefined ? measured : measured[value]);
  const having = blocks
    .map((rounds) => rounds.filter((round) => of in round && (!against || against in round)))
    .filter((rounds) => rounds.length > 0);
  if (having.length === 0) return undefined;
  const valuesOf = (side) => having.flatMap((rounds) => rounds.map((round) => pick(round[side])));
  const entries = having.map((rounds) =>
    rounds.map((round) => (against ? Math.log(pick(round[of]) / pick(round[against])) : pick(round[of]))),
  );
  const interval = intervalOf(entries);
  const scaled = against
    ? { mean: Math.exp(interval.mean), low: Math.exp(interval.low), high: Math.exp(interval.high) }
    : interval;
  return {
    ...figure,
    ...scaled,
    ...(against && { rate: median(valuesOf(of)), floorRate: median(valuesOf(against)) }),
    verdict: verdictOf(scaled, figure),
    starts: having.length,
    rounds: entries.flat().length,
    disturbed,
  };
}

/** The case with its own sides, once as they were built before and once as they are now. */
export function comparisonOf(testCase, { before, after }) {
  const values = testCase.figures.filter(
    ({ of, against }) => testCase.ours.includes(of) && !testCase.ours.includes(against),
  );
  const distinct = [...new Map(values.map((figure) => [`${figure.of} ${figure.value}`, figure])).values()];
  return {
    ...testCase,
    rounds: Math.ceil(testCase.rounds / 3), // more starts tell more than more rounds
    open: (side) => {
      const [name, build] = side.split("@");
      return testCase.open(name, build === "before" ? before : after);
    },
    figures: distinct.map(({ name, of, value, isCost, atMost }) => {
      const goal = (isCost ?? atMost !== undefined) ? { atMost: 1 / 0.97 } : { atLeast: 0.97 };
      return { name, of: `${of}@after`, against: `${of}@before`, ...(value && { value }), ...goal };
    }),
  };
}

function rotated(all, by) {
  const turn = by % all.length;
  return [...all.slice(turn), ...all.slice(0, turn)];
}
