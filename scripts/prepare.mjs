// What `npm start` and `npm test` do first: install what is missing, build.
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";

/** Installs the dependencies if they are missing or older than the lock file, and builds everything. */
export function prepare() {
  const installed = "node_modules/.package-lock.json";
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync("package-lock.json").mtimeMs) {
    run("npm", ["ci", "--no-audit", "--no-fund"]);
  }
  run(process.execPath, ["node_modules/typescript/bin/tsc", "-b"]);
  run(process.execPath, ["scripts/bundle-page.mjs"]);
}

function run(command, args) {
  const { status, error } = spawnSync(command, args, { stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}
