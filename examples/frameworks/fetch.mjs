import { serve } from "@hono/node-server"; // or whatever calls a function with a Request: Bun, Deno, Next.js, srvx
import { createActiveSessions } from "active-session";
import { activeSession, runnerRouter } from "active-session/fetch";
import { count } from "./count.mjs";

const sessions = createActiveSessions();
const withSession = activeSession(sessions);
const serveRunners = runnerRouter(sessions);
const handle = withSession(async (request) => {
  const response = await serveRunners(request);
  if (response) return response;
  const runner = await request.activeSession.createSequenceRunner(count());
  return Response.json({ key: runner.key, ...(await runner.getRequired({ advance: 3 })) }, { status: 201 });
});
const server = serve({ fetch: handle, port: Number(process.env.PORT ?? 3000), hostname: "127.0.0.1" });
server.keepAliveTimeout = 65_000; // longer than that of a proxy in front
process.once("SIGTERM", async () => {
  server.close();
  await sessions.close();
  server.closeAllConnections();
});
