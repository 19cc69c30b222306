/** The demo's application: its pages, and the requests that start something. */
import { fileURLToPath } from "node:url";
import { ActiveSessionError, type ActiveSessions, type Runner, type RunnerResult } from "active-session";
import { activeSession, type RunnerRouterOptions, requestSignal, runnerRouter } from "active-session/express";
import express, { type ErrorRequestHandler, type Express, type Response } from "express";
import { checksum } from "./checksum.js";
import { compress } from "./compress.js";
import { definitionsFor } from "./definitions.js";
import { filesIn } from "./files.js";
import { pageAt, pages } from "./layout.js";
import { createGauge } from "./monitor.js";
import { overview, type RunnerTitle, runningOn } from "./overview.js";
import { search } from "./search.js";

/** What the demo is made with. */
export interface DemoOptions {
  readonly sessions: ActiveSessions;
  /** Where the search looks and what the checksum page offers first. Default: the installed `node_modules`. */
  readonly folder?: string;
  readonly router?: RunnerRouterOptions;
  /** What does the work. Default: the real thing; a test puts its own steps in between. */
  readonly work?: Partial<typeof realWork>;
}

const realWork = { search, checksum, compress, createGauge, overview, filesIn };
const root = fileURLToPath(new URL("../../../", import.meta.url));
/** A monitor keeps so many measurements for a page that is loaded again. */
const keptMeasurements = 600;
/** How long an answer waits for its first page, ms: without a bound a reload before a rare match would lose the key. */
const firstPage = 1000;
const intervals = [100, 250, 500, 1000, 2000, 5000];

/** Makes the demo's Express application. */
export function createDemo(options: DemoOptions): Express {
  const { sessions, folder = `${root}node_modules`, router = {} } = options;
  const work = { ...realWork, ...options.work };
  const folders: Record<string, string> = { packages: folder, library: `${root}src`, tests: `${root}test` };
  const app = express();
  app.disable("x-powered-by");
  serveFiles(app);

  // What is exclusive has a session of its own: ending it leaves the rest alone.
  app.use(activeSession(sessions, { scopes: [{ when: "/exclusive", suffix: "exclusive" }, { when: "/" }] }));
  servePages(app);
  app.use("/runners", runnerRouter(sessions, { expose: definitionsFor(folders, work), ...router }));
  app.use(express.json());

  app.post("/search", async (request, response) => {
    const word: unknown = request.body?.word;
    if (typeof word !== "string" || word.trim() === "" || word.length > 100) {
      return refuse(response, "Please enter a word of at most 100 characters.");
    }
    const runner = await request.activeSession.createSequenceRunner(
      ({ signal }) => work.search(folder, word.trim(), signal),
      // A reload shows everything again, and a second tab can follow.
      { retain: "all", data: titleOf(`Search for “${word.trim()}”`, "/search") },
    );
    sendStarted(response, runner, await runner.getRequired({ advance: 20, timeout: firstPage }));
  });

  app.post("/monitor", async (request, response) => {
    const interval: unknown = request.body?.interval;
    if (typeof interval !== "number" || !intervals.includes(interval)) {
      return refuse(response, "Please choose one of the intervals.");
    }
    const session = request.activeSession; // which may be refused; the gauge is closed by what it is given to
    const { gauge, close } = work.createGauge();
    const runner = await session.createTimeSeriesRunner(
      { gauge, interval },
      { retain: keptMeasurements, holds: [close], data: titleOf(`Monitor, every ${interval} ms`, "/monitor") },
    );
    sendStarted(response, runner, await runner.getRequired({ advance: 1, timeout: firstPage }));
  });

  app.post("/checksum", async (request, response) => {
    const name = String(request.body?.folder);
    const path = Object.hasOwn(folders, name) ? folders[name] : undefined;
    if (path === undefined) return refuse(response, "Please choose one of the folders.");
    const runner = await request.activeSession.createProcessRunner(
      ({ report, signal }) => work.checksum(path, report, signal),
      { data: titleOf(`Checksums of ${name}`, "/checksum") },
    );
    sendStarted(response, runner, await runner.getRequired({ timeout: firstPage }));
  });

  app.post("/exclusive", async (request, response) => {
    const name = String(request.body?.folder);
    const path = Object.hasOwn(folders, name) ? folders[name] : undefined;
    if (path === undefined) return refuse(response, "Please choose one of the folders.");
    const session = request.activeSession;
    const signal = requestSignal(request);
    const lock = await session.lock("compression", { signal });
    if (!lock) throw new Error("A lock without a time-out cannot run out of time");
    const runner = await session.createSequenceRunner(({ signal: stop }) => work.compress(path, stop), {
      ...{ retain: "all", holds: [lock], data: titleOf(`Compression of ${name}`, "/exclusive") },
    });
    if (signal.aborted) await runner[Symbol.asyncDispose](); // no client receives its key
    sendStarted(response, runner, await runner.getRequired({ advance: 1, timeout: firstPage }));
  });

  // What a page asks for when it is entered: the work that runs already.
  app.get(
    ["/search", "/monitor", "/checksum", "/exclusive"].map((page) => `${page}/work`),
    async (request, response) => {
      const page = request.path.replace(/\/work$/, "");
      response.json({ key: await runningOn(request.activeSession, page) });
    },
  );

  app.post(["/end", "/exclusive/end"], async (request, response) => {
    await request.activeSession.terminate();
    response.sendStatus(204);
  });
  app.use(sayWhatIsWrong);
  return app;
}

/** What the library refuses, in words for the user. */
const sayWhatIsWrong: ErrorRequestHandler = (error, request, response, next) => {
  if (!ActiveSessionError.is(error)) {
    if (!requestSignal(request).aborted) next(error); // otherwise the client has gone: there is no answer to send
    return;
  }
  const sentences: Partial<Record<typeof error.code, string>> = {
    SESSION_ENDED: "Your session has ended meanwhile.",
    CLIENT_LIMIT_REACHED: "You have started as much as you may. Wait until something has ended.",
    SERVER_LIMIT_REACHED: "The server is busy. Try again later.",
    HOST_CLOSED: "The server is shutting down.",
  };
  response
    .status(error.status)
    .set(error.headers)
    .json({ message: sentences[error.code] ?? "Something went wrong." });
};

const folderOfPages = `${root}examples/demo/page`;

/** Each page sets the cookie, so that the first request that starts something has a session, even if its answer is lost. */
function servePages(app: Express): void {
  for (const path of Object.keys(pages) as (keyof typeof pages)[]) {
    app.get(path, (request, response) => {
      void request.activeSession.id;
      response.type("html").send(pageAt(path, folderOfPages));
    });
  }
}

function serveFiles(app: Express): void {
  app.get("/style.css", (_request, response) => response.sendFile(`${folderOfPages}/style.css`));
  app.use("/page", express.static(`${root}examples/demo/dist/page`));
  // The browser loads the library as it was built, module by module; see the import map in layout.ts.
  app.use("/lib", express.static(`${root}dist`));
  app.use("/vendor/uplot", express.static(`${root}node_modules/uplot/dist`));
}

/** What the overview shows of a runner. */
function titleOf(title: string, page: string): RunnerTitle {
  return { title, page };
}

function sendStarted(response: Response, runner: Runner, page: RunnerResult<unknown>): void {
  response
    .status(201)
    .location(`/runners/${runner.key}`)
    .json({ key: runner.key, ...page });
}

function refuse(response: Response, message: string): void {
  response.status(422).json({ message });
}
