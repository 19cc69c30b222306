// What the figures look like: a line each on the terminal, and a picture of all ratios for the docs.

/** @typedef {import("./measure.mjs").Result} Figure */

const marks = { met: "met        ", missed: "MISSED     ", "cannot tell": "cannot tell" };

/** @param {Figure} figure */
export function line(figure) {
  const { mean, low, high, rate, verdict, starts, rounds } = figure;
  const mark = marks[verdict] ?? "           ";
  const interval = `(${short(low)} to ${short(high)})`;
  const absolute = rate === undefined ? "" : `; ${short(rate)}`;
  const count = `${rounds} rounds of ${starts} starts`;
  return `${mark} ${short(mean).padStart(7)} ${interval.padEnd(18)} ${goalOf(figure).padEnd(7)} ${nameOf(figure)}${absolute} [${count}]`;
}

function nameOf({ name, beside }) {
  return beside ? `${name}, beside ${beside}` : name;
}

function goalOf({ atLeast, atMost }) {
  if (atLeast !== undefined) return `≥ ${Number(atLeast.toFixed(3))}`;
  return atMost === undefined ? "" : `≤ ${Number(atMost.toFixed(3))}`;
}

function short(value) {
  return value < 100 ? value.toFixed(2) : Math.round(value).toLocaleString("en");
}

// --- the picture -------------------------------------------------------------------------------------------------------

const rowHeight = 22;
const labelWidth = 560;
const plotWidth = 420;
const top = 56;
const [lowest, highest] = [0.1, 100];

const style = `
  text { font: 12px system-ui, sans-serif; fill: #24292f; }
  .quiet { fill: #57606a; }
  .line { stroke: #8c959f; }
  .limit { stroke: #cf222e; stroke-width: 2; }
  .spread { stroke: #24292f; stroke-width: 1.5; }
  .met { fill: #2da44e; }
  .missed { fill: #cf222e; }
  .unclear { fill: #d4a72c; }
  .free { fill: #6e7781; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .quiet { fill: #9198a1; }
    .spread { stroke: #e6edf3; }
  }`;

/**
 * A picture of all figures that are ratios: a bar from 1, a mark for the goal, a line for the interval.
 * @param {Figure[]} figures
 * @param {string} subtitle
 */
export function picture(figures, subtitle) {
  const ratios = figures.filter(({ floorRate }) => floorRate !== undefined);
  const height = top + ratios.length * rowHeight + 16;
  const width = labelWidth + plotWidth + 70;
  const bottom = height - 16;
  const grid = [0.1, 1, 10, 100].map(
    (
      value,
    ) => `<line class="line" x1="${x(value)}" y1="${top - 8}" x2="${x(value)}" y2="${bottom}" stroke-width="${value === 1 ? 1.5 : 0.5}"/>
  <text class="quiet" x="${x(value)}" y="${top - 14}" text-anchor="middle">${value}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="active-session against floors and peers">
  <style>${style}
  </style>
  <text x="0" y="16" font-weight="600">active-session against floors and peers, as ratios</text>
  <text class="quiet" x="0" y="34">${escapeText(subtitle)}</text>
  ${grid.join("\n  ")}
  ${ratios.map(row).join("\n  ")}
</svg>
`;
}

function row(figure, number) {
  const { mean, low, high, atLeast, atMost, verdict } = figure;
  const name = nameOf(figure);
  const middle = top + number * rowHeight + rowHeight / 2;
  const [from, to] = [x(1), x(mean)].sort((a, b) => a - b);
  const kind = { met: "met", missed: "missed", "cannot tell": "unclear" }[verdict] ?? "free";
  const limit = atLeast ?? atMost;
  const mark =
    limit === undefined
      ? ""
      : `<line class="limit" x1="${x(limit)}" y1="${middle - 8}" x2="${x(limit)}" y2="${middle + 8}"/>`;
  return `<text x="0" y="${middle + 4}">${escapeText(name.length > 92 ? `${name.slice(0, 91)}…` : name)}</text>
  <rect class="${kind}" x="${from}" y="${middle - 5}" width="${Math.max(1, to - from)}" height="10"/>
  <line class="spread" x1="${x(low)}" y1="${middle}" x2="${x(high)}" y2="${middle}"/>${mark}
  <text x="${labelWidth + plotWidth + 8}" y="${middle + 4}">${short(mean)}</text>`;
}

/** The place of a ratio, on a logarithmic scale. */
function x(ratio) {
  const share = Math.log(Math.min(highest, Math.max(lowest, ratio)) / lowest) / Math.log(highest / lowest);
  return Math.round((labelWidth + share * plotWidth) * 10) / 10;
}

function escapeText(text) {
  return text.replace(/[&<>]/g, (sign) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[sign]);
}
