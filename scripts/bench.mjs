// `npm run bench`: how fast we are, against floors and peers; what it takes, see bench/run.mjs. The peers live in
// `bench/`, a package of its own, so that neither users nor contributors have to install them.
import { spawnSync } from "node:child_process";
import { install, prepare } from "./prepare.mjs";

prepare();
install("bench");
const { status } = spawnSync(process.execPath, ["bench/run.mjs", ...process.argv.slice(2)], { stdio: "inherit" });
process.exit(status ?? 1);
