import { createActiveSessions } from "active-session";
import { activeSession, runnerRouter } from "active-session/fastify";
import fastify from "fastify";
import { slow } from "./work.mjs";

const sessions = createActiveSessions();
const app = fastify();
app.get("/ready", (_request, reply) => reply.code(sessions.health().ready ? 200 : 503).send());
await app.register(activeSession, { sessions });
await app.register(runnerRouter, { prefix: "/runners", sessions, expose: [slow] });
await app.listen({ port: Number(process.env.PORT ?? 3000), host: "127.0.0.1" });

process.once("SIGTERM", async () => {
  await sessions.close({ finish: 30_000 }); // before the application: when that closes, Fastify answers everything with 503
  await app.close();
});
