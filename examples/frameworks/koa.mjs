import { createActiveSessions } from "active-session";
import { activeSession, runnerRouter } from "active-session/koa";
import Koa from "koa";
import { count } from "./count.mjs";

const sessions = createActiveSessions();
const app = new Koa();
app.use(activeSession(sessions));
app.use(runnerRouter(sessions));
app.use(async (context) => {
  const runner = await context.activeSession.createSequenceRunner(count());
  const page = await runner.getRequired({ advance: 3 });
  context.body = { key: runner.key, ...page };
  context.status = 201;
});
const server = app.listen(process.env.PORT ?? 3000, "127.0.0.1");
server.keepAliveTimeout = 65_000; // longer than that of a proxy in front
process.once("SIGTERM", async () => {
  server.close();
  await sessions.close();
  server.closeAllConnections();
});
