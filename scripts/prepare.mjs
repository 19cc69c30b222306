// What `npm start` and `npm test` do first: install what is missing, build. Each step that takes long says so.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";

/** Installs the dependencies if they are missing or older than the lock file, and builds everything. */
export function prepare() {
  install(".");
  if (!existsSync("dist")) console.log("Building");
  run(process.execPath, ["node_modules/typescript/bin/tsc", "-b"]);
  run(process.execPath, ["scripts/bundle-page.mjs"]);
}

/** Installs the dependencies of the package in `folder` if they are missing or older than its lock file. */
export function install(folder) {
  const installed = join(folder, "node_modules/.package-lock.json");
  const lock = join(folder, "package-lock.json");
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(lock).mtimeMs) return;
  console.log(`Installing the packages of ${folder === "." ? "the project" : folder} (half a minute, once)`);
  run("npm", ["ci", "--no-audit", "--no-fund"], { cwd: folder });
}

/** Runs a command that must succeed. */
export function run(command, args, options = {}) {
  const { status, error } = spawnSync(command, args, { stdio: "inherit", ...options });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
