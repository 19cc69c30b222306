// The first step of `npm start`, `npm test` and `npm pack`: install what is missing, build. Long steps are announced on stderr, since
// `npm pack` prints the name of its file on stdout.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";

const toStderr = ["inherit", 2, "inherit"];

/** Installs the dependencies if they are missing or older than the lock file, and builds everything. */
export function prepare() {
  install(".");
  if (!existsSync("dist")) console.error("Building");
  run(process.execPath, ["node_modules/typescript/bin/tsc", "-b"], { stdio: toStderr });
  run(process.execPath, ["scripts/bundle-page.mjs"], { stdio: toStderr });
}

/** Installs the dependencies of the package in `folder` if they are missing or older than its lock file. */
export function install(folder) {
  const installed = join(folder, "node_modules/.package-lock.json");
  const lock = join(folder, "package-lock.json");
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  console.error(`Installing the packages of ${folder === "." ? "the project" : folder} (half a minute, once)`);
  run("npm", ["ci", "--no-audit", "--no-fund"], { cwd: folder, stdio: toStderr });
}

/** Runs a command that must succeed. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: "inherit", ...options });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
