// `npm start`: installs what is missing, builds, and serves the demo until it is stopped.
import { spawn } from "node:child_process";
import { prepare } from "./prepare.mjs";

prepare();
const server = spawn(process.execPath, ["examples/demo/dist/server.js"], { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => server.kill(signal));
server.on("exit", (code) => process.exit(code ?? 0));
