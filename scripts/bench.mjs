// `npm run bench`: how fast we are, against floors and peers; `npm run bench -- NAME` runs one case of bench/cases. The peers live in
// `bench/`, a package of its own: nobody who works on active-session, or uses it, has to install them.
import { spawnSync } from "node:child_process";
import { install, prepare } from "./prepare.mjs";

prepare();
install("bench");
const { status } = spawnSync(process.execPath, ["bench/run.mjs", ...process.argv.slice(2)], { stdio: "inherit" });
process.exit(status ?? 1);
