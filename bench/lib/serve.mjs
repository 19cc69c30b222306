// What every server here does: it listens, and answers its parent's questions about itself, until the parent goes.
import { monitorEventLoopDelay } from "node:perf_hooks";

/** @param {import("node:http").Server} server @param {Record<string, () => unknown>} more other questions */
export async function serve(server, more = {}) {
  // The default of 511 connections that wait to be accepted is too few where thousands come while the process is busy.
  await new Promise((resolve) => server.listen(0, "127.0.0.1", 4096, resolve));
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const questions = {
    cpu() {
      const { user, system } = process.cpuUsage();
      return user + system;
    },
    rss() {
      globalThis.gc?.();
      return process.memoryUsage().rss;
    },
    resetDelay: () => void delay.reset(),
    delay: () => delay.percentile(99) / 1e6,
    ...more,
  };
  process.on("message", async (question) => process.send({ answer: await questions[question]() }));
  process.once("disconnect", () => process.exit());
  process.send({ port: server.address().port });
}
