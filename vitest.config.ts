import { defineConfig } from "vitest/config";

/** Enough for every test on a machine that is ten times slower than usual, ms. */
const safetyNet = 300_000;

/** `LOG=slow`: with logs that answer later, as those of another host would. */
const withSlowLogs = process.env.LOG === "slow";

export default defineConfig({
  test: {
    include: ["src/**/*.test.{ts,tsx}", "test/**/*.test.ts", "examples/**/*.test.ts"],
    setupFiles: ["test/support/leak-guard.ts", ...(withSlowLogs ? ["test/support/use-slow-logs.ts"] : [])],
    pool: "forks",
    // Many tests let work fail on purpose, of which a host without a logger warns.
    execArgv: ["--disable-warning=ActiveSessionWarning"],
    // A safety net only: what may hang notices it itself, see test/support/patience.ts.
    testTimeout: safetyNet,
    hookTimeout: safetyNet,
    teardownTimeout: safetyNet,
    // A file is a line of the output; what a test says is shown when it fails.
    slowTestThreshold: safetyNet,
    silent: "passed-only",
    fakeTimers: { toFake: ["setTimeout", "clearTimeout", "Date", "performance"] },
    coverage: { provider: "v8", include: ["src/**"], exclude: ["src/**/*.test.ts"] },
  },
});
