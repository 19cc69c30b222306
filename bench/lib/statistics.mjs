// Medians with intervals, and what they say about a goal.

/**
 * What was measured in one start of the processes: a value for each round. Ratios enter as logarithms, so that 2 and 1/2 are as far
 * from 1.
 * @typedef {readonly number[]} Block
 *
 * @typedef {{ median: number, low: number, high: number }} Interval
 * @typedef {{ atLeast?: number, atMost?: number }} Goal
 * @typedef {"met" | "missed" | "cannot tell" | undefined} Verdict `undefined`: there is no goal
 */

const resamples = 2000;

/**
 * The median over all rounds, and where it lies with the given confidence, by a bootstrap in two steps: starts are drawn, then rounds
 * within each. Rounds of one start are alike, because two processes that run the same code are not equally fast.
 *
 * With few starts a plain bootstrap is too narrow. The interval is widened by what Student's distribution is wider than the normal one.
 * @param {readonly Block[]} blocks
 * @param {{ confidence?: number, random?: () => number }} [options] `confidence`: 0.95 by default
 * @returns {Interval}
 */
export function intervalOf(blocks, { confidence = 0.95, random = seeded(1) } = {}) {
  const middle = median(blocks.flat());
  const medians = Array.from({ length: resamples }, () =>
    median(draw(blocks, random).flatMap((block) => draw(block, random))),
  ).sort((a, b) => a - b);
  const tail = (1 - confidence) / 2;
  const at = (share) => medians[Math.min(resamples - 1, Math.floor(share * resamples))];
  const width = widening(blocks.length, confidence);
  return { median: middle, low: middle - width * (middle - at(tail)), high: middle + width * (at(1 - tail) - middle) };
}

/** @param {Interval} interval @param {Goal} goal @returns {Verdict} */
export function verdictOf({ low, high }, { atLeast, atMost }) {
  if (atLeast !== undefined) return low >= atLeast ? "met" : high < atLeast ? "missed" : "cannot tell";
  if (atMost !== undefined) return high <= atMost ? "met" : low > atMost ? "missed" : "cannot tell";
  return undefined;
}

/** @param {readonly number[]} values */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function draw(values, random) {
  return Array.from(values, () => values[Math.floor(random() * values.length)]);
}

/** Two-sided quantiles of Student's distribution, by degrees of freedom from 1. */
const student = {
  0.95: [12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131],
  0.999: [636.6, 31.6, 12.92, 8.61, 6.869, 5.959, 5.408, 5.041, 4.781, 4.587, 4.437, 4.318, 4.221, 4.14, 4.073],
};
const normal = { 0.95: 1.96, 0.999: 3.291 };

function widening(count, confidence) {
  if (count < 2) return 1;
  const quantiles = student[confidence];
  const quantile = quantiles[count - 2] ?? normal[confidence] * (1 + 1.2 / count);
  return (quantile / normal[confidence]) * Math.sqrt(count / (count - 1));
}

/** A random generator that gives the same numbers each time (mulberry32), so that a report can be made again from its rounds. */
export function seeded(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
