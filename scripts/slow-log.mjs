// `npm run test:slow-log`: the tests of runners, routes, wire, client and model, over logs that answer a macrotask later and whose getters tell
// the latest answer only (test/support/slow-log.ts). What passes here does not rely on a log in memory.
import { spawnSync } from "node:child_process";
import { prepare } from "./prepare.mjs";

const suites = [
  ...["src/runner", "src/http", "src/session/idempotency", "src/log/codec"],
  ...[
    "reading-rules",
    "untaken-reads",
    "protocol",
    "wire-",
    "model",
    "client.test",
    "client-faults",
    "event-source",
  ].map((name) => `test/${name}`),
];

prepare();
const { status } = spawnSync(process.execPath, ["node_modules/vitest/vitest.mjs", "run", ...suites], {
  stdio: "inherit",
  env: { ...process.env, LOG: "slow" },
});
process.exit(status ?? 1);
