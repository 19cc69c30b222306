import { createActiveSessions } from "active-session";
import { activeSession, runnerRouter } from "active-session/express";
import express from "express";
import { slow } from "./work.mjs";

const sessions = createActiveSessions();
const app = express();
app.get("/ready", (_request, response) => response.sendStatus(sessions.health().ready ? 200 : 503));
app.use(activeSession(sessions));
app.use("/runners", runnerRouter(sessions, { expose: [slow] }));
const server = app.listen(process.env.PORT ?? 3000, "127.0.0.1");

process.once("SIGTERM", async () => {
  await sessions.close({ finish: 30_000 });
  server.close();
  server.closeAllConnections();
});
