/** Serves the demo: `PORT` (default 3000) and `SEARCH_FOLDER` (default: the installed `node_modules`) are respected. */
import type { AddressInfo } from "node:net";
import { createActiveSessions } from "active-session";
import { createDemo } from "./app.js";

const sessions = createActiveSessions();
const folder = process.env.SEARCH_FOLDER;
const server = createDemo({ sessions, ...(folder && { folder }) }).listen(
  Number(process.env.PORT ?? 3000),
  process.env.HOST ?? "127.0.0.1",
);

server.keepAliveTimeout = 65_000; // longer than that of a proxy in front
server.on("listening", () => {
  const { port } = server.address() as AddressInfo;
  console.log(`The demo is at http://localhost:${port}/ (Ctrl+C stops it)`);
});
server.on("error", (error) => {
  console.error(`The demo cannot be served: ${error.message}. Another port can be chosen: PORT=3001 npm start`);
  process.exitCode = 1;
  void sessions.close();
});

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, async () => {
    server.close();
    await sessions.close({ timeout: 3000 });
    server.closeAllConnections();
  });
}
