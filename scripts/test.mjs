// `npm test`: installs what is missing, builds, runs every test, and counts from the runner's own report. A whole run then checks that each
// numbered behaviour (docs/parity.md) and statement (docs/protocol.md) has a test; a check that fails counts as a failed test.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { findChromium } from "./chromium.mjs";
import { prepare } from "./prepare.mjs";
import { reportFile as report } from "./test-names.mjs";

const isCI = process.env.CI === "true";

prepare();
const chromium = findChromium();
rmSync(report, { force: true });
const run = spawnSync(
  process.execPath,
  [
    "node_modules/vitest/vitest.mjs",
    "run",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...process.argv.slice(2),
  ],
  { stdio: "inherit", env: { ...process.env, ...(chromium && { CHROMIUM_PATH: chromium }) } },
);

if (!existsSync(report)) {
  console.error("The test runner wrote no report");
  console.log("0 passed, 1 failed");
  process.exit(1);
}
const { testResults } = JSON.parse(readFileSync(report, "utf8"));
const tests = testResults.flatMap((file) => file.assertionResults);
const count = (...statuses) => tests.filter(({ status }) => statuses.includes(status)).length;
const passed = count("passed");
const skipped = count("pending", "skipped", "todo");
// A file that could not even be loaded has no tests to count, but has failed all the same.
const brokenFiles = testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
let failed = count("failed") + brokenFiles;
if (skipped > 0 && !chromium)
  console.log(
    "Browser tests were skipped: there is no Chromium. Install one (Debian: apt-get install chromium) or set CHROMIUM_PATH.",
  );
if (isCI && skipped > 0) {
  console.error(`${skipped} tests were skipped, which counts as failed under CI=true`);
  failed += skipped;
}
if (failed === 0 && run.status !== 0) failed = 1; // errors outside of tests: an unhandled rejection, for one
if (process.argv.length === 2) failed += numberedChecks();
console.log(`${passed} passed, ${failed} failed${!isCI && skipped > 0 ? `, ${skipped} skipped` : ""}`);
process.exit(failed === 0 && passed > 0 ? 0 : 1);

/** How many of the two fail. */
function numberedChecks() {
  const checks = [["scripts/parity.mjs", "--strict"], ["scripts/protocol.mjs"]];
  return checks.filter((check) => {
    const { status, stdout, stderr } = spawnSync(process.execPath, check, { encoding: "utf8" });
    console.log(stdout.trim().split("\n").at(-1));
    if (status !== 0) console.error(stderr.trim() || stdout.trim());
    return status !== 0;
  }).length;
}
