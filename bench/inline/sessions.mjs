// Idle sessions, against the least that could stand for them: an object with as many fields, its place in a table and in a list.
import { answerAll } from "../lib/answer.mjs";
import { library } from "../lib/library.mjs";

const { createActiveSessions } = await library("index");

const many = Number.POSITIVE_INFINITY;
const number = 200_000;
const ids = Array.from({ length: number }, (_, n) => `user-${String(n).padStart(27, "0")}`);

class Bare {
  id;
  previous = null;
  next = null;
  expiresAt = 0;
  createdAt = performance.now();
  runners = null;
  properties = null;
  locks = null;
  services = null;
  signal = null;
  group = null;
  constructor(id, previous) {
    this.id = id;
    this.previous = previous;
    if (previous) previous.next = this;
  }
}

async function heap() {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setImmediate(resolve)); // what the run before has left behind can go
    globalThis.gc();
  }
  return process.memoryUsage().heapUsed;
}

/** Makes a table of all, and gives what that took: bytes, and µs of processor time, each. */
async function measure(make) {
  const before = await heap();
  const cpu = process.cpuUsage();
  const made = await make();
  const { user, system } = process.cpuUsage(cpu);
  const figures = { bytes: ((await heap()) - before) / number, time: (user + system) / number };
  return { made, ...figures };
}

function bare() {
  const table = new Map();
  let last = null;
  for (const id of ids) {
    last = new Bare(`session:${id}`, last);
    table.set(last.id, last);
  }
  return table;
}

async function ours() {
  const sessions = createActiveSessions({ limits: { sessions: many, sessionsPerClient: many } });
  for (const id of ids) await sessions.get(id);
  return sessions;
}

/** How many lookups there are in a µs of processor time, all over the table. */
async function lookups(look) {
  const cpu = process.cpuUsage();
  for (let i = 0; i < number; i++) await look(ids[(i * 7919) % number]);
  const { user, system } = process.cpuUsage(cpu);
  return number / (user + system);
}

async function ofOurs(figure) {
  const { made, ...figures } = await measure(ours);
  const value = figure === "get" ? await lookups((id) => made.get(id)) : figures[figure];
  await made.close({ timeout: many });
  return value;
}

async function ofBare(figure) {
  const { made, ...figures } = await measure(bare);
  return figure === "get" ? await lookups((id) => made.get(`session:${id}`)) : figures[figure];
}

answerAll({
  ...Object.fromEntries(["bytes", "time", "get"].map((figure) => [figure, () => ofOurs(figure)])),
  ...Object.fromEntries(["bytes", "time", "get"].map((figure) => [`${figure}:floor`, () => ofBare(figure)])),
});
