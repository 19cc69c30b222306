// A page of a hundred items: read from a runner by the routes of the library, or stringified by a bare route that has them and sends
// the same headers.
import { createServer } from "node:http";
import { library } from "../lib/library.mjs";
import { serve } from "../lib/serve.mjs";

const { createActiveSessions } = await library("index");
const { activeSession, runnerRouter } = await library("node");

const [variant] = process.argv.slice(2);
const items = Array.from({ length: 100 }, (_, n) => ({
  id: n,
  name: `The item ${n}`,
  isNew: n % 3 === 0,
  tags: ["a", "b"],
}));
const sessions = createActiveSessions({ idleTimeout: Number.POSITIVE_INFINITY });
const session = await sessions.get("ann");
const runner = await session.createSequenceRunner(items, { retain: "all" });
await runner.getRequired({ advance: 100 });
const withSession = activeSession(sessions, { identify: () => "ann" });
const serveRunners = runnerRouter(sessions);

const headers = {
  "Cache-Control": "private, no-cache, no-store",
  "X-Content-Type-Options": "nosniff",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Access-Control-Expose-Headers":
    "ETag, Location, Retry-After, Stream-Next-Offset, Stream-Up-To-Date, Stream-Cursor, Stream-Closed, Runner-Status, Runner-Progress, Runner-Estimated-End, Runner-Error-Code, Runner-Error-Message, Runner-Abort-Reason, Runner-First-Offset, Runner-Ahead-Limit, Runner-Response",
  "Content-Type": "application/json",
  "Runner-Status": "completed",
  "Runner-Progress": "100",
  "Runner-Estimated-End": "100",
  "Runner-First-Offset": "0000000000000000",
  "Stream-Next-Offset": "0000000000000100",
  "Stream-Cursor": "3423432",
  "Stream-Up-To-Date": "true",
  "Stream-Closed": "true",
  ETag: `"${runner.key}:0:100:completed"`,
};

const answers = {
  async ours(request, response) {
    await serveRunners(await withSession(request, response), response);
  },
  bare(_request, response) {
    const text = JSON.stringify(items);
    response.writeHead(200, { ...headers, "Content-Length": Buffer.byteLength(text) }).end(text);
  },
};
await serve(createServer(answers[variant]), { path: () => `/runners/${runner.key}?offset=0` });
