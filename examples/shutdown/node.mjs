import { createServer } from "node:http";
import { createActiveSessions } from "active-session";
import { activeSession, runnerRouter } from "active-session/node";
import { slow } from "./work.mjs";

const sessions = createActiveSessions();
const withSession = activeSession(sessions);
const serveRunners = runnerRouter(sessions, { path: "/runners", expose: [slow] });
const server = createServer(async (request, response) => {
  if (request.url === "/ready") return response.writeHead(sessions.health().ready ? 200 : 503).end();
  if (await serveRunners(await withSession(request, response), response)) return;
  response.writeHead(404).end();
});
server.listen(process.env.PORT ?? 3000, "127.0.0.1");

process.once("SIGTERM", async () => {
  await sessions.close({ finish: 30_000 }); // the server still listens: what runs may end, and is read to its end
  server.close();
  server.closeAllConnections();
});
