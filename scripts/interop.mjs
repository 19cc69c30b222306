// `npm run interop`: how we get on with what others have made for the protocol we speak, its conformance suite and its clients.
// They live in `interop/`, a package of its own, so neither work on active-session nor its use requires them.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { basename, resolve } from "node:path";
import { install, prepare, run } from "./prepare.mjs";

const report = resolve("interop/.test-report.json");

prepare();
install("interop");
run(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "interop"]);
rmSync(report, { force: true });
const vitest = ["node_modules/vitest/vitest.mjs", "run", "--reporter=minimal", "--reporter=json"];
const args = [...vitest, `--outputFile.json=${report}`, ...process.argv.slice(2)];
const { status } = spawnSync(process.execPath, args, { cwd: "interop", stdio: "inherit" });
const isComplete = existsSync(report) && printCounts();
process.exit(status === 0 && isComplete ? 0 : 1);

/** Returns whether something has passed and nothing has failed. */
function printCounts() {
  const { testResults } = JSON.parse(readFileSync(report, "utf8"));
  for (const { name, assertionResults } of testResults) {
    const count = (...statuses) => assertionResults.filter((test) => statuses.includes(test.status)).length;
    const leftOut = count("pending", "skipped", "todo");
    const counts = `${count("passed")} passed, ${count("failed")} failed${leftOut > 0 ? `, ${leftOut} left out` : ""}`;
    console.log(`${basename(name)}: ${counts}`);
  }
  return testResults.length > 0 && testResults.every((file) => file.status === "passed");
}
