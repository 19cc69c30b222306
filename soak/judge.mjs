// What a soak has come to: what must not be, in words, and a table of the rest.

import { crowded } from "./settings.mjs";

const megabyte = 2 ** 20;
/**
 * A run below so many minutes ends before everything has its size (a session may live for three, and the server stands still once); then
 * so much may be gained, bytes. What is left when all have gone is looked at in every run.
 */
const shortRun = 10;
const slack = { heap: 32 * megabyte, rss: 80 * megabyte };
/** The heap may grow by so much after the warm-up; what the process has from the system is in larger pieces. */
const growthAtMost = { heap: 0.05, rss: 0.1 };

/** What the server's process keeps for good, code that was compiled above all, bytes. */
const restAtMost = 8 * megabyte;

/** Refusals that are documented, and that the clients here ask for. */
const documented = /^(503 SERVER_LIMIT_REACHED|500 RESULT_NOT_SERIALIZABLE)/;

/** Everything that is not as it must be. */
export function faults(result) {
  return [...ofClients(result), ...ofServer(result), ...ofCrowd(result), ...ofRest(result), ...ofGrowth(result)];
}

function* ofClients({ figures, samples }) {
  const { found, details, rejections, turns, busy, items } = figures;
  for (const [kind, count] of Object.entries(found)) if (count > 0) yield `${kind}: ${count}`;
  yield* alike(details);
  if (rejections > 0) yield `${rejections} unhandled rejections of clients`;
  if (busy > 0) yield `${busy} clients did not end`;
  if (items === 0 || samples.length === 0) yield "nothing has been checked";
  for (const [name, count] of Object.entries(turns))
    if (count === 0) yield `${name} has not come to the end of any turn`;
}

/** Those that differ in their numbers only are one. */
function* alike(details) {
  const kinds =
    Map.groupBy?.(details, (detail) => detail.replace(/\d+/g, "0")) ?? new Map(details.map((one, i) => [i, [one]]));
  for (const of of [...kinds.values()].slice(0, 30)) yield `  ${of.length} × ${of[0]}`;
}

function* ofServer({ answers, troubles }) {
  for (const [answer, count] of Object.entries(answers)) {
    if (answer.startsWith("5") && !documented.test(answer)) yield `${count} answers ${answer}`;
  }
  yield* alike(troubles.map((trouble) => `the server: ${trouble}`));
}

/** What clients that never come back may have together. */
function* ofCrowd({ settled: { peaks } }) {
  const { unconfirmedSessions, unconfirmedItems, unconfirmedRunners } = crowded.options.limits;
  const bounds = {
    sessions: unconfirmedSessions,
    runners: unconfirmedSessions * unconfirmedRunners,
    items: unconfirmedItems + crowded.aheadLimit,
  };
  for (const [name, bound] of Object.entries(bounds)) {
    if (peaks[name] > bound) yield `${peaks[name]} ${name} of clients that never come back, ${bound} are allowed`;
  }
}

/** At the end nothing may be left. */
function* ofRest({ settled, baseline, before, objects, closed }) {
  for (const stats of settled.held) {
    for (const [name, count] of Object.entries(stats)) if (count > 0) yield `${count} ${name} are left`;
  }
  if (settled.sources.open > 0) yield `${settled.sources.open} sources are open`;
  for (const [type, count] of Object.entries(settled.handles)) {
    const before = baseline.handles[type] ?? 0;
    if (count > before) yield `${count} handles ${type} are left, ${before} were there before`;
  }
  for (const [name, count] of Object.entries(objects)) {
    if (count > before[name]) yield `${count - before[name]} objects ${name} are kept`;
  }
  for (const { unfinished, errors } of closed.summaries) {
    for (const id of unfinished) yield `${id} has not been cleaned up`;
    for (const error of errors) yield `a clean-up failed: ${error}`;
  }
}

function* ofGrowth(result) {
  const left = result.settled.heap - result.baseline.heap;
  if (left > restAtMost) yield `${mb(left)} of heap are left when all is over, ${mb(restAtMost)} are allowed`;
  for (const name of ["heap", "rss"]) {
    const { early, late } = growth(result, name);
    const allowed = Math.max(growthAtMost[name] * early, result.minutes < shortRun ? slack[name] : 0);
    if (late - early > allowed) yield `${name} has grown by ${mb(late - early)}, ${mb(allowed)} are allowed`;
  }
}

/** The median of the second quarter of the time, and that of the last. */
function growth({ samples }, name) {
  const quarter = (number) => {
    const [from, to] = [number - 1, number].map((end) => Math.floor((samples.length * end) / 4));
    return median(samples.slice(from, to).map((sample) => sample[name]));
  };
  return { early: quarter(2), late: quarter(4) };
}

function median(values) {
  return values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function mb(bytes) {
  return `${(bytes / megabyte).toFixed(1)} MB`;
}

/** Prints what there was. */
export function printSummary(result) {
  const { clients, minutes, samples, figures, settled, baseline, answers } = result;
  const most = (of) => Math.max(...samples.map(of));
  const rows = [
    ["clients, minutes", `${clients}, ${minutes}`],
    ["requests", figures.requests],
    ["items checked", figures.items],
    ...Object.entries(figures.found),
    ["unhandled rejections", figures.rejections],
    ["sources opened", settled.sources.opened],
    ["most sessions", most(({ held }) => held[0].sessions)],
    ["most open reads", most(({ held }) => held[0].openReads)],
    ...Object.entries(settled.peaks).map(([name, most]) => [`flood: most ${name}`, most]),
    ["most sockets", most(({ handles }) => handles.TCPSocketWrap ?? 0)],
    ...["heap", "rss"].map((name) => {
      const { early, late } = growth(result, name);
      return [`${name} early, late`, `${mb(early)}, ${mb(late)} (${percent(late / early - 1)})`];
    }),
    ["heap before, after", `${mb(baseline.heap)}, ${mb(settled.heap)}`],
    [
      "event-loop delay p99",
      `${Math.round(median(samples.map(({ p99 }) => p99)))} ms (at most ${Math.round(most(({ p99 }) => p99))})`,
    ],
  ];
  console.log();
  for (const [name, value] of rows) console.log(`${name.padEnd(24)}${value}`);
  printTable("turns", figures.turns);
  printTable("answers", answers);
}

function printTable(title, counts) {
  const sorted = Object.entries(counts).sort(([, a], [, b]) => b - a);
  console.log(`${title.padEnd(24)}${sorted.map(([name, count]) => `${name}: ${count}`).join(", ")}`);
}

function percent(ratio) {
  return `${ratio < 0 ? "−" : "+"}${Math.abs(ratio * 100).toFixed(1)} %`;
}
