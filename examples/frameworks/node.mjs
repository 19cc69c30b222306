import { createServer } from "node:http";
import { createActiveSessions } from "active-session";
import { activeSession, runnerRouter } from "active-session/node";
import { count } from "./count.mjs";

const sessions = createActiveSessions();
const withSession = activeSession(sessions);
const serveRunners = runnerRouter(sessions);
const server = createServer(async (req, res) => {
  const request = await withSession(req, res);
  if (await serveRunners(request, res)) return;
  const runner = await request.activeSession.createSequenceRunner(count());
  const page = await runner.getRequired({ advance: 3 });
  res.writeHead(201, { "content-type": "application/json" });
  res.end(JSON.stringify({ key: runner.key, ...page }));
});
server.listen(process.env.PORT ?? 3000, "127.0.0.1");
server.keepAliveTimeout = 65_000; // longer than that of a proxy in front
process.once("SIGTERM", async () => {
  server.close();
  await sessions.close();
  server.closeAllConnections();
});
