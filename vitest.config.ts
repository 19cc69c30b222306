import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.{ts,tsx}", "test/**/*.test.ts", "examples/**/*.test.ts"],
    setupFiles: ["test/support/leak-guard.ts"],
    pool: "forks",
    // Many tests let work fail on purpose, of which a host without a logger warns.
    execArgv: ["--disable-warning=ActiveSessionWarning"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    fakeTimers: { toFake: ["setTimeout", "clearTimeout", "Date", "performance"] },
    coverage: { provider: "v8", include: ["src/**"], exclude: ["src/**/*.test.ts"] },
  },
});
