// A page of a hundred items: read from a runner by the routes of the library, or stringified by a bare route that has them.
import { createServer } from "node:http";
import { createActiveSessions } from "../../dist/index.js";
import { activeSession, runnerRouter } from "../../dist/node.js";
import { serve } from "./serve.mjs";

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

const answers = {
  async ours(request, response) {
    await serveRunners(await withSession(request, response), response);
  },
  bare(_request, response) {
    const text = JSON.stringify(items);
    response
      .writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(text) })
      .end(text);
  },
};
await serve(createServer(answers[variant]), { path: () => `/runners/${runner.key}?offset=0` });
