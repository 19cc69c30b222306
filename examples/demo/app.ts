/** The demo's application: its pages, and the requests that start something. */
import { fileURLToPath } from "node:url";
import type { ActiveSessions } from "active-session";
import { activeSession, type RunnerRouterOptions, runnerRouter } from "active-session/express";
import express, { type Express } from "express";
import { search } from "./search.js";

/** What the demo is made with. */
export interface DemoOptions {
  readonly sessions: ActiveSessions;
  /** Where the search looks. Default: the installed `node_modules`. */
  readonly folder?: string;
  readonly router?: RunnerRouterOptions;
  /** What searches. Default: the real one; a test puts its own steps in between. */
  readonly searchIn?: typeof search;
}

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Makes the demo's Express application. */
export function createDemo(options: DemoOptions): Express {
  const { sessions, folder = `${root}node_modules`, router = {}, searchIn = search } = options;
  const app = express();
  app.disable("x-powered-by");
  app.use(express.static(`${root}examples/demo/page`, { extensions: ["html"] }));
  app.use("/page", express.static(`${root}examples/demo/dist/page`));
  // The browser loads the library as it was built, module by module; see the import map in the pages.
  app.use("/lib", express.static(`${root}dist`));
  app.use("/vendor/eventsource-parser", express.static(`${root}node_modules/eventsource-parser/dist`));

  app.use(activeSession(sessions));
  app.use("/runners", runnerRouter(sessions, router));

  app.post("/search", express.json(), async (request, response) => {
    const word: unknown = request.body?.word;
    if (typeof word !== "string" || word.trim() === "" || word.length > 100) {
      response.status(422).json({ message: "Please enter a word of at most 100 characters." });
      return;
    }
    const runner = await request.activeSession.createSequenceRunner(
      ({ signal }) => searchIn(folder, word.trim(), signal),
      { retain: "all" }, // a reload shows everything again, and a second tab can follow
    );
    const page = await runner.getRequired({ advance: 20 });
    response
      .status(201)
      .location(`/runners/${runner.key}`)
      .json({ key: runner.key, ...page });
  });
  return app;
}
