// Figures with intervals, and what they say about a goal.

/**
 * What was measured in one start of the processes: a value for each round. Ratios enter as logarithms, so that 2 and 1/2 are as far
 * from 1.
 * @typedef {readonly number[]} Block
 *
 * @typedef {{ mean: number, low: number, high: number }} Interval
 * @typedef {{ atLeast?: number, atMost?: number }} Goal
 * @typedef {"met" | "missed" | "cannot tell" | undefined} Verdict `undefined`: there is no goal
 */

/**
 * The mean over all starts of the median of each, and where it lies with the given confidence, by Student's distribution.
 *
 * Rounds of one start are alike, because two processes that run the same code are not equally fast: some rows have two speeds, a third
 * apart, and each start has one of them. So the starts are what is drawn, and more rounds in one tell nothing more. A median over the
 * starts would jump between the two speeds.
 * @param {readonly Block[]} blocks
 * @param {{ confidence?: number }} [options] `confidence`: 0.95 by default
 * @returns {Interval} without width for one start, which tells nothing of others
 */
export function intervalOf(blocks, { confidence = 0.95 } = {}) {
  const starts = blocks.map(median);
  const count = starts.length;
  const mean = sum(starts) / count;
  if (count < 2) return { mean, low: mean, high: mean };
  const variance = sum(starts.map((value) => (value - mean) ** 2)) / (count - 1);
  const width = quantile(count - 1, confidence) * Math.sqrt(variance / count);
  return { mean, low: mean - width, high: mean + width };
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

function sum(values) {
  return values.reduce((total, value) => total + value, 0);
}

/** Two-sided quantiles of Student's distribution, by degrees of freedom from 1. */
const student = {
  0.95: [12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131],
  0.999: [636.6, 31.6, 12.92, 8.61, 6.869, 5.959, 5.408, 5.041, 4.781, 4.587, 4.437, 4.318, 4.221, 4.14, 4.073],
};
const normal = { 0.95: 1.96, 0.999: 3.291 };

/** Beyond the table by the first terms of its expansion, which is then exact to a hundredth. */
function quantile(freedom, confidence) {
  const z = normal[confidence];
  return student[confidence][freedom - 1] ?? z + (z ** 3 + z) / (4 * freedom);
}
