// Child processes on a core of their own: the servers that are measured, and what is measured without a server.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";

const hasTaskset = process.platform === "linux" && availableParallelism() > 1;
const running = new Set();

/**
 * Starts a file of `bench/`, which answers questions: `ask("cpu")`.
 * @param {string} file
 * @param {{ args?: string[], dist?: string }} [options] `dist`: which build of the library it measures
 */
export async function start(file, { args = [], dist } = {}) {
  const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
  const node = [process.execPath, ...process.execArgv, "--expose-gc", path, ...args];
  const [command, ...rest] = hasTaskset ? ["taskset", "-c", "0", ...node] : node;
  const child = spawn(command, rest, {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
    env: { ...process.env, NODE_ENV: "production", ...(dist && { BENCH_DIST: dist }) },
  });
  running.add(child);
  child.once("exit", () => running.delete(child));
  const failed = once(child, "exit").then(([code]) => {
    throw new Error(`${file} ${args.join(" ")} ended with ${code}`);
  });
  failed.catch(() => {});
  const answer = () => Promise.race([failed, once(child, "message").then(([message]) => message)]);
  const first = await answer();
  return {
    ...first,
    async ask(question) {
      child.send(question);
      return answer();
    },
    async stop() {
      child.disconnect();
      await failed.catch(() => {});
    },
  };
}

process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** The load generator stays on the other core. */
export function stayOnOwnCore() {
  if (hasTaskset) spawn("taskset", ["-acp", "1", String(process.pid)], { stdio: "ignore" });
}
