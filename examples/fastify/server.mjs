import { createActiveSessions } from "active-session";
import { activeSession, runnerRouter } from "active-session/fastify";
import fastify from "fastify";
import { count } from "./count.mjs";

const sessions = createActiveSessions();
const app = fastify();
await app.register(activeSession, { sessions }); // closing the application closes the sessions
await app.register(runnerRouter, { prefix: "/runners", sessions });
app.post("/count", async (request, reply) => {
  const runner = await request.activeSession.createSequenceRunner(count());
  const page = await runner.getRequired({ advance: 3 });
  return reply.code(201).send({ key: runner.key, ...page });
});
await app.listen({ port: Number(process.env.PORT ?? 3000), host: "127.0.0.1" });
process.once("SIGTERM", () => app.close());
