import { createActiveSessions } from "active-session";
import { activeSession, runnerRouter } from "active-session/express";
import express from "express";
import { count } from "./count.mjs";

const sessions = createActiveSessions();
const app = express();
app.use(activeSession(sessions));
app.use("/runners", runnerRouter(sessions));
app.post("/count", async (request, response) => {
  const runner = await request.activeSession.createSequenceRunner(count());
  const page = await runner.getRequired({ advance: 3 });
  response.status(201).json({ key: runner.key, ...page });
});
const server = app.listen(process.env.PORT ?? 3000, "127.0.0.1");
server.keepAliveTimeout = 65_000; // longer than that of a proxy in front
process.once("SIGTERM", async () => {
  server.close();
  await sessions.close();
  server.closeAllConnections();
});
