import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["*.test.ts"],
    pool: "forks",
    execArgv: ["--disable-warning=ActiveSessionWarning"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
  },
});
