// Ratios of what is measured side by side: a machine that is slow for a while is slow for all of them.

/** So much faster may the fastest run of the floor be than its slowest, before the machine counts as too noisy to tell. */
const noisyFrom = 1.35;

/**
 * Runs the sides one after the other, again and again, each round in another order.
 * @template {string} Name
 * @param {Record<Name, () => Promise<number>>} sides each measures once, and gives a rate: more is better
 * @param {{ rounds: number, floor: Name, warmUp?: number }} options `warmUp`: so long, ms, but once at least, each side runs before it counts
 * @returns {Promise<Record<Name, Comparison>>} each side against the floor
 * @typedef {{ ratio: number, min: number, max: number, rate: number, floorRate: number, rates: number[], isNoisy: boolean }} Comparison
 *   medians over the rounds of the ratio and of both rates, and the side's rate in each round
 */
export async function compare(sides, { rounds, floor, warmUp = 0 }) {
  const names = Object.keys(sides);
  const rates = Object.fromEntries(names.map((name) => [name, []]));
  for (const name of names) {
    const began = performance.now();
    do await sides[name]();
    while (performance.now() - began < warmUp);
  }
  for (let round = 0; round < rounds; round++) {
    for (const name of rotated(names, round)) rates[name].push(await sides[name]());
  }
  return compared(rates, floor);
}

/** One comparison of several, of the same sides. */
export function together(comparisons, floor) {
  const names = Object.keys(comparisons[0]);
  return compared(
    Object.fromEntries(names.map((name) => [name, comparisons.flatMap((one) => one[name].rates)])),
    floor,
  );
}

function compared(rates, floor) {
  const isNoisy = Math.max(...rates[floor]) / Math.min(...rates[floor]) > noisyFrom;
  return Object.fromEntries(
    Object.keys(rates).map((name) => [name, { ...ofRates(rates[name], rates[floor]), isNoisy }]),
  );
}

/** One side of a comparison against another one than the floor. */
export function against(side, other) {
  return { ...ofRates(side.rates, other.rates), isNoisy: side.isNoisy };
}

function ofRates(rates, floor) {
  const ratios = rates.map((rate, i) => rate / floor[i]);
  const spread = { min: Math.min(...ratios), max: Math.max(...ratios) };
  return { ratio: median(ratios), ...spread, rate: median(rates), floorRate: median(floor), rates };
}

/** A figure that is compared with no other one. */
export function spreadOf(values) {
  return { ratio: median(values), min: Math.min(...values), max: Math.max(...values) };
}

export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function rotated(all, by) {
  const turn = by % all.length;
  return [...all.slice(turn), ...all.slice(0, turn)];
}
