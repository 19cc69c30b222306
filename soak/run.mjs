// `npm run soak -- MINUTES`: thousands of clients of every behaviour against one server with limits, for some minutes (5). Every item
// that a client gets is checked; at the end nothing may have been lost, given twice, left hanging or kept. Once, in the middle, the server
// is frozen.
// SOAK_CLIENTS=… sets how many clients there are.
import { prepare } from "../scripts/prepare.mjs";
import { faults, printSummary } from "./judge.mjs";
import { start } from "./lib/child.mjs";
import { freeze, roomy, turnDeadline } from "./settings.mjs";

const minutes = Number(process.argv[2] ?? 5);
if (!(minutes > 0 && minutes <= 24 * 60)) throw new Error(`The minutes must be a number, received ${process.argv[2]}`);
const clients = Number(process.env.SOAK_CLIENTS ?? 2000);
const loads = 2;
const seconds = minutes * 60;
const ramp = Math.min(60, seconds / 6);
const sampleEvery = Math.max(2, Math.min(10, seconds / 60));

prepare();
const began = performance.now();
const children = [];
let problems;
try {
  problems = await soak();
} finally {
  await Promise.all(children.map((child) => child.stop()));
}
for (const problem of problems) console.error(`FAILED: ${problem}`);
process.exit(problems.length > 0 ? 1 : 0);

async function soak() {
  const server = await begin("server.mjs");
  const before = await server.ask("objects");
  const baseline = await server.ask("sample");
  const startLoad = () => begin("load.mjs", [server.port, Math.ceil(clients / loads), ramp].map(String));
  const parts = await Promise.all(Array.from({ length: loads }, startLoad));
  console.log(`${clients} clients for ${minutes} minutes, all of them there after ${Math.round(ramp)} s`);
  const samples = await watch(server, parts);
  const figures = await stopClients(parts);
  const settled = await settle(server, baseline);
  const objects = await server.ask("objects", { seconds: 60 });
  const { answers, problems: troubles } = await server.ask("answers");
  const closed = await server.ask("close");
  const result = { clients, minutes, samples, figures, settled, baseline, before, objects, answers, troubles, closed };
  printSummary(result);
  return faults(result);
}

async function begin(file, args) {
  const child = await start(file, args);
  children.push(child);
  return child;
}

function elapsed() {
  return (performance.now() - began) / 1000;
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Takes samples until the time is up; in the middle of it the server is frozen. */
async function watch(server, parts) {
  const samples = [];
  const from = elapsed();
  let isFreezeDue = minutes >= freeze.fromMinutes;
  for (let number = 1; number * sampleEvery <= seconds; number++) {
    const due = from + number * sampleEvery;
    if (elapsed() > due + sampleEvery) continue; // it was frozen
    await pause(Math.max(0, (due - elapsed()) * 1000));
    if (isFreezeDue && elapsed() - from > seconds / 2) {
      isFreezeDue = false;
      await freezeServer(server, parts);
    }
    const [sample, figures] = await Promise.all([server.ask("sample"), figuresOf(parts)]);
    samples.push({ at: elapsed() - from, ...sample, figures });
    printSample(samples.at(-1));
  }
  return samples;
}

/** As a virtual machine is that is moved. Clients that wait for what comes of being away must know of it. */
async function freezeServer(server, parts) {
  console.log(`The server is frozen for ${freeze.lasts / 1000} s`);
  const tell = () => Promise.all(parts.map((part) => part.ask("freeze")));
  await tell();
  await server.freeze(freeze.lasts);
  await tell();
}

/** The figures of all parts as one. */
async function figuresOf(parts) {
  const all = await Promise.all(parts.map((part) => part.ask("figures")));
  return all.reduce(sum);
}

function sum(one, other) {
  if (typeof one === "number") return one + (other ?? 0);
  if (Array.isArray(one)) return [...one, ...other];
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  return Object.fromEntries(
    [...names].map((name) => [name, name in one ? sum(one[name], other[name] ?? empty(one[name])) : other[name]]),
  );
}

function empty(like) {
  return typeof like === "number" ? 0 : Array.isArray(like) ? [] : {};
}

/** No client begins a further turn; those under way are over within their deadline. */
async function stopClients(parts) {
  await Promise.all(parts.map((part) => part.ask("stop")));
  const until = elapsed() + turnDeadline / 1000 + 10;
  let figures = await figuresOf(parts);
  while (figures.busy > 0 && elapsed() < until) {
    await pause(500);
    figures = await figuresOf(parts);
  }
  await Promise.all(parts.map((part) => part.stop()));
  return figures;
}

/** All clients have gone: everything must end by itself, work first, then what it has found. */
async function settle(server, baseline) {
  const { idleTimeout, runnerIdleTimeout, finishedTimeout } = roomy.options;
  const until = elapsed() + Math.max(idleTimeout, runnerIdleTimeout + finishedTimeout) / 1000 + 25;
  let sample = await server.ask("sample");
  while (elapsed() < until && !isAtRest(sample, baseline)) {
    await pause(1000);
    sample = await server.ask("sample");
  }
  return sample;
}

function isAtRest({ held, handles, sources }, baseline) {
  const isEmpty = held.every((stats) => Object.values(stats).every((value) => value === 0));
  const areGone = Object.entries(handles).every(([type, count]) => count <= (baseline.handles[type] ?? 0));
  return isEmpty && areGone && sources.open === 0;
}

function printSample({ at, heap, rss, p99, utilization, held, handles, figures }) {
  const { sessions, runners, openReads, items } = held[0];
  const columns = [
    `${Math.round(at)} s`.padStart(6),
    `heap ${megabytes(heap)}`,
    `rss ${megabytes(rss)}`,
    `p99 ${Math.round(p99)} ms`,
    `busy ${percent(utilization)}, clients ${percent(figures.utilization / loads)}`,
    `${sessions} sessions`,
    `${runners} runners`,
    `${openReads} reads`,
    `${items} items kept`,
    `${handles.TCPSocketWrap ?? 0} sockets`,
    `${figures.requests} requests`,
    `${figures.items} items`,
    `found ${Object.values(figures.found).reduce((all, one) => all + one, 0)}`,
  ];
  console.log(columns.join("  "));
}

function percent(ratio) {
  return `${Math.round(ratio * 100)} %`;
}

function megabytes(bytes) {
  return `${(bytes / 2 ** 20).toFixed(1)} MB`;
}
