// A page of React components, and the items that it shows: as a runner of the library, and as plain events.
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { library, own } from "../lib/library.mjs";
import { serve } from "../lib/serve.mjs";
import { one } from "../ways/hand.mjs";
import { produce } from "../ways/produce.mjs";

const { createActiveSessions, defineSequenceRunner } = await library("index");
const { activeSession, runnerRouter } = await library("node");
const dist = process.env.BENCH_DIST ?? own;
const pathOf = (entry) => fileURLToPath(new URL(`${entry}.js`, dist));

const packageOf = (name) => fileURLToPath(new URL(`../../node_modules/${name}`, import.meta.url));

const bundled = await build({
  entryPoints: [fileURLToPath(new URL("../page/hooks.jsx", import.meta.url))],
  bundle: true,
  write: false,
  format: "esm",
  jsx: "automatic",
  define: { "process.env.NODE_ENV": '"production"' },
  // One copy of React for the library, its peer and the page.
  alias: {
    ...{ react: packageOf("react"), "react-dom": packageOf("react-dom") },
    "active-session/client": pathOf("client"),
    "active-session/react": pathOf("react"),
  },
});
const script = bundled.outputFiles[0].text;
const page = `<!doctype html><title>Items</title><link rel="icon" href="data:,"><body><script type="module" src="/page.js"></script>`;

const count = defineSequenceRunner({ name: "count", run: (input) => produce(input) });
const sessions = createActiveSessions();
const install = activeSession(sessions);
const serveRunners = runnerRouter(sessions, { expose: [count] });

const server = createServer(async (request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  if (pathname.startsWith("/runners")) return serveRunners(await install(request, response), response);
  if (pathname === "/events") return one(request, response, { count: Number(searchParams.get("count")) });
  const [type, body] = pathname === "/page.js" ? ["text/javascript", script] : ["text/html", page];
  response.writeHead(200, { "content-type": type }).end(body);
});
await serve(server);
