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
 * The mean over all starts of the median of each, and its 95 % interval by Student's distribution.
 *
 * Rounds of one start are alike, because two processes that run the same code are not equally fast: some rows have two speeds, a third
 * apart, and each start has one of them. So the starts are what is drawn, and more rounds in one tell nothing more. A median over the
 * starts would jump between the two speeds.
 * @param {readonly Block[]} blocks
 * @returns {Interval} without width for one start, which tells nothing of others
 */
export function intervalOf(blocks) {
  const starts = blocks.map(median);
  const count = starts.length;
  const mean = sum(starts) / count;
  if (count < 2) return { mean, low: mean, high: mean };
  const variance = sum(starts.map((value) => (value - mean) ** 2)) / (count - 1);
  const width = quantile(count - 1) * Math.sqrt(variance / count);
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

/** Two-sided 95 % quantiles of Student's distribution, by degrees of freedom from 1. */
const student = [
  12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131,
];
const normal = 1.96;

/** Beyond the table by the first terms of its expansion, which is then exact to a hundredth. */
function quantile(freedom) {
  return student[freedom - 1] ?? normal + (normal ** 3 + normal) / (4 * freedom);
}
