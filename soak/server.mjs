// The server of the soak, a process of its own: answers clients over HTTP, and questions of its parent about itself over IPC.
import { createServer } from "node:http";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { queryObjects } from "node:v8";
import { createActiveSessions } from "../dist/index.js";
import { activeSession, rotateSession, runnerRouter } from "../dist/node.js";
import { RunnerCore } from "../dist/runner/runner-core.js";
import { SessionCore } from "../dist/session/session-core.js";
import { GroupCore } from "../dist/session/session-group.js";
import { watchDurations } from "./lib/durations.mjs";
import { connections, crowded, freeze, roomy, router, tight } from "./settings.mjs";
import { definitions, sources } from "./work.mjs";

const answers = new Map();
const problems = [];
const delay = monitorEventLoopDelay({ resolution: 10 });
let idle = performance.eventLoopUtilization();

for (const event of ["unhandledRejection", "uncaughtException", "warning"]) {
  process.on(event, (error) => isOurs(error) || note(event, error));
}

// Node opens it itself when the first connection ends; where it is a pipe, that is one handle more.
void process.stderr;

/** `queryObjects` is experimental. */
function isOurs(error) {
  return error?.name === "ExperimentalWarning";
}

function note(what, error) {
  if (problems.length < 100) problems.push(`${what}: ${error?.stack ?? error}`);
}

function isRefusal(error) {
  return error?.code === "CLIENT_LIMIT_REACHED" || error?.code === "SERVER_LIMIT_REACHED";
}

/** What goes wrong; that work fails is what some of it is for. */
const logger = {
  warn: ({ error, errors, ...details }, message) =>
    isRefusal(error ?? errors?.[0]) || note(`logged: ${message}`, error ?? errors?.[0] ?? details),
};

const places = [roomy, tight, crowded].map(({ path, options }) => {
  const sessions = createActiveSessions({ ...options, logger });
  const withSession = activeSession(sessions);
  const serve = runnerRouter(sessions, { ...router, path, expose: definitions });
  return { path, sessions, withSession, answer: async (req, res) => serve(await withSession(req, res), res) };
});

// --- what the application itself does ----------------------------------------------------------------------------------

const [main, , full] = places;
/** Logins that wait for the other one of their double click. */
const logins = new Map();

/** A password is being checked: of the two requests of a double click the second one has come before that is over. */
function bothAreThere(click) {
  const first = logins.get(click);
  if (first) return first();
  return new Promise((resolve) => {
    const settle = () => {
      clearTimeout(timer);
      logins.delete(click);
      resolve();
    };
    const timer = setTimeout(settle, freeze.lasts + 15_000);
    logins.set(click, settle);
  });
}

async function logIn(req, res) {
  const request = await main.withSession(req, res);
  const click = new URL(req.url, "http://soak").searchParams.get("click");
  await bothAreThere(click);
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 50)); // which of the two goes on first is not known
  await rotateSession(request);
  res.writeHead(204).end();
  return true;
}

/** Starts more work than a client may have that has never come back; tells how much it was. */
async function startMany(req, res) {
  const request = await full.withSession(req, res);
  let session;
  try {
    session = request.activeSession;
  } catch (error) {
    if (!isRefusal(error)) throw error;
    res.writeHead(error.status, error.headers).end();
    return true;
  }
  const starts = Array.from({ length: 8 }, (_, seed) => session.createRunner(definitions[0], { seed }));
  const outcomes = await Promise.allSettled(starts);
  const started = outcomes.filter(({ status }) => status === "fulfilled").length;
  res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ started }));
  return true;
}

/** By the beginning of the address; the application's own come first. */
const routes = [{ path: "/login", answer: logIn }, { path: `${crowded.path}/many`, answer: startMany }, ...places];

/** The most that there has been where no client comes back. */
const peaks = { sessions: 0, runners: 0, items: 0 };

function notePeaks() {
  const stats = full.sessions.stats();
  for (const name of Object.keys(peaks)) peaks[name] = Math.max(peaks[name], stats[name]);
}

const server = createServer(connections, (req, res) => {
  res.setHeader("Server", "soak"); // with a header set before, Node keeps those that are written with the head
  res.once("close", () => count(req, res));
  if (/[?&]live=sse/.test(req.url))
    watchDurations(res, { acks: /[?&]acks=true/.test(req.url), report: (problem) => note(req.url, problem) });
  const route = routes.find(({ path }) => req.url.startsWith(path));
  const answered = route ? route.answer(req, res) : Promise.resolve(false);
  answered.then(
    (isAnswered) => isAnswered || res.writeHead(404).end(),
    (error) => {
      note(`${req.method} ${req.url}`, error);
      if (!res.headersSent) res.writeHead(500);
      res.end();
    },
  );
});
// Longer than the clients keep theirs, and than the freeze: a request must not meet the end of its connection.
server.keepAliveTimeout = 20_000 + freeze.lasts;

function count(req, res) {
  const code = res.getHeader("Runner-Error-Code");
  const place = [tight, crowded].find(({ path }) => req.url.startsWith(path))?.path.replace("/", " ") ?? "";
  if (req.url.startsWith(crowded.path)) notePeaks();
  const name = `${res.statusCode}${res.statusCode >= 400 && code ? ` ${code}` : ""}${place}`;
  add(name);
  if (res.writableEnded && !res.writableFinished) add("cut off, not drained");
}

function add(name) {
  answers.set(name, (answers.get(name) ?? 0) + 1);
}

// --- what the parent asks ----------------------------------------------------------------------------------------------

const questions = {
  sample() {
    const p99 = delay.percentile(99) / 1e6;
    const { utilization } = performance.eventLoopUtilization(idle);
    idle = performance.eventLoopUtilization();
    globalThis.gc();
    const { heapUsed, rss } = process.memoryUsage();
    setImmediate(() => delay.reset()); // the collection is ours
    const held = places.map(({ sessions }) => sessions.stats());
    notePeaks();
    return { heap: heapUsed, rss, p99, utilization, held, peaks, sources: { ...sources }, handles: handles() };
  },
  answers: () => ({ answers: Object.fromEntries(answers), problems }),
  /** Of what is over nothing may be left. */
  objects() {
    const kept = { ActiveSession: SessionCore, Runner: RunnerCore, SessionGroup: GroupCore };
    return Object.fromEntries(Object.entries(kept).map(([name, of]) => [name, queryObjects(of, { format: "count" })]));
  },
  async close() {
    const closed = new Promise((resolve) => server.close(resolve));
    const summaries = await Promise.all(places.map(({ sessions }) => sessions.close()));
    server.closeAllConnections();
    await closed;
    return { summaries: summaries.map(({ unfinished, errors }) => ({ unfinished, errors: errors.map(String) })) };
  },
};

function handles() {
  const counts = {};
  for (const type of process.getActiveResourcesInfo()) counts[type] = (counts[type] ?? 0) + 1;
  return counts;
}

process.on("message", async ({ id, question }) => process.send({ id, answer: await questions[question]() }));
process.on("disconnect", () => process.exit());
server.listen(0, "127.0.0.1", 4096, () => {
  delay.enable();
  process.send({ id: 0, answer: { port: server.address().port } });
});
