/** A set-up file: every host of the tests has logs that answer later. */
import { vi } from "vitest";

vi.mock("../../src/log/log-factory.js", async (importOriginal) => {
  const { memoryLogs } = await importOriginal<typeof import("../../src/log/log-factory.js")>();
  const { slowLogs } = await import("./slow-log.js");
  return { memoryLogs: slowLogs(memoryLogs) };
});
