import { serve } from "@hono/node-server";
import { createActiveSessions } from "active-session";
import { activeSession, runnerRouter } from "active-session/hono";
import { Hono } from "hono";
import { count } from "./count.mjs";

const sessions = createActiveSessions();
const app = new Hono();
app.use(activeSession(sessions));
app.use(runnerRouter(sessions));
app.post("/count", async (c) => {
  const runner = await c.var.activeSession.createSequenceRunner(count());
  return c.json({ key: runner.key, ...(await runner.getRequired({ advance: 3 })) }, 201);
});
const server = serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: "127.0.0.1" });
server.keepAliveTimeout = 65_000; // longer than that of a proxy in front
process.once("SIGTERM", async () => {
  server.close();
  await sessions.close();
  server.closeAllConnections();
});
