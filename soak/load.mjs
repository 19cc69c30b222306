// A part of the clients of the soak, a process of its own: each has one behaviour and takes one turn after the other.
// node soak/load.mjs PORT CLIENTS RAMP_SECONDS
import { setMaxListeners } from "node:events";
import { readdirSync } from "node:fs";
import { noteFreeze, wasFrozenSince } from "./lib/frozen.mjs";
import { checked } from "./lib/ledger.mjs";
import { counts, Visitor } from "./lib/visitor.mjs";
import { Wrong } from "./lib/wrong.mjs";
import { turnDeadline } from "./settings.mjs";

// The server says for how long it keeps a connection. A client gives it up before that, by more than the server is frozen: else its
// request would meet a connection that Node closes when it goes on.
void Headers; // from here on the dispatcher of `fetch` is there
const dispatcher = Symbol.for("undici.globalDispatcher.1");
globalThis[dispatcher] = new globalThis[dispatcher].constructor({ keepAliveMaxTimeout: 15_000 });

const [port, clients, ramp] = process.argv.slice(2).map(Number);
const behaviours = await loadBehaviours();
const found = { lost: 0, duplicated: 0, corrupt: 0, hung: 0, unexpected: 0 };
const details = [];
const turns = Object.fromEntries(behaviours.map(({ name }) => [name, 0]));
let idle = performance.eventLoopUtilization();
let rejections = 0;
let isOver = false;
let busy = 0;

for (const event of ["unhandledRejection", "uncaughtException"]) {
  process.on(event, (error) => {
    rejections++;
    tell(`${event}: ${error?.stack ?? error}`);
  });
}

async function loadBehaviours() {
  const folder = new URL("clients/", import.meta.url);
  const files = readdirSync(folder).filter(
    (file) => !process.env.SOAK_ONLY || process.env.SOAK_ONLY.includes(file.slice(0, -4)),
  );
  return Promise.all(
    files.map(async (file) => ({ name: file.slice(0, -4), ...(await import(new URL(file, folder))) })),
  );
}

/** Behaviours by their shares, the same at each run. */
function* inTurn() {
  const cards = behaviours.flatMap((behaviour) => Array.from({ length: behaviour.share }, () => behaviour));
  for (let i = 0; ; i++) yield cards[i % cards.length];
}

async function live(behaviour, delayed) {
  await pause(delayed);
  const visitor = new Visitor(port);
  while (!isOver) {
    await takeTurn(behaviour, visitor);
    if (!isOver) await pause(20_000 + Math.random() * 100_000);
  }
}

async function takeTurn({ name, turn }, visitor) {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const hung = new Wrong("hung", `a turn has taken more than ${turnDeadline / 1000} s`);
  const timer = setTimeout(() => stop.abort(hung), turnDeadline);
  const began = performance.now();
  busy++;
  try {
    visitor.begin(stop.signal);
    await turn(visitor);
    turns[name]++;
  } catch (error) {
    // Node itself answers 408 to a request that it had begun to read when it was frozen; a client asks again.
    const isOfFreeze = wasFrozenSince(began) && /\b408\b/.test(error?.message);
    const kind = isOfFreeze ? undefined : stop.signal.aborted ? "hung" : (error?.kind ?? "unexpected");
    if (kind) found[kind]++;
    if (kind) tell(`${name}: ${kind}: ${error instanceof Wrong ? error.message : describe(error)}`);
    visitor.forget();
  }
  busy--;
  clearTimeout(timer);
  stop.abort(new Error("the turn is over")); // what it has left open
}

function describe(error) {
  const cause = error?.cause ? ` (${error.cause.code ?? ""} ${error.cause.message})` : "";
  return `${error?.code ?? ""} ${error?.stack ?? error}${cause}`;
}

function tell(problem) {
  if (details.length < 200) details.push(problem);
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const questions = {
  figures() {
    const { utilization } = performance.eventLoopUtilization(idle);
    idle = performance.eventLoopUtilization();
    return { ...counts, ...checked, found, details, turns, rejections, busy, utilization };
  },
  freeze() {
    noteFreeze();
    return {};
  },
  stop() {
    isOver = true;
    return {};
  },
};

process.on("message", ({ id, question }) => process.send({ id, answer: questions[question]() }));
process.on("disconnect", () => process.exit());
const next = inTurn();
for (let i = 0; i < clients; i++) void live(next.next().value, (i / clients) * ramp * 1000);
process.send({ id: 0, answer: {} });
