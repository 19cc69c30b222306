// Child processes that answer questions over IPC, and end with this one in every case.
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** `queryObjects` of node:v8 is experimental, and says so. */
const execArgv = ["--expose-gc", "--disable-warning=ExperimentalWarning"];
const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));

/** Starts a file of `soak/`; resolves when it has told that it is there. */
export async function start(file, args = []) {
  const path = fileURLToPath(new URL(`../${file}`, import.meta.url));
  const env = { ...process.env, NODE_ENV: "production" }; // outside of it, strangers without cookies are warned of
  const child = fork(path, args, { execArgv, env, stdio: ["ignore", "inherit", "inherit", "ipc"] });
  running.add(child);
  const waiting = new Map();
  let lastId = 0;
  const answerTo = (id, seconds) =>
    new Promise((resolve, reject) => {
      const late = () => reject(new Error(`${file} has not answered for ${seconds} s`));
      const timer = setTimeout(late, seconds * 1000);
      waiting.set(id, { resolve, reject, timer });
    });
  child.on("message", ({ id, answer }) => {
    clearTimeout(waiting.get(id)?.timer);
    waiting.get(id)?.resolve(answer);
    waiting.delete(id);
  });
  child.once("exit", (code, signal) => {
    running.delete(child);
    for (const { reject } of waiting.values()) reject(new Error(`${file} ended with ${code ?? signal}`));
  });
  const first = await answerTo(0, 20);
  return {
    ...first,
    ask(question, { seconds = 30, ...more } = {}) {
      child.send({ id: ++lastId, question, ...more });
      return answerTo(lastId, seconds);
    },
    /** Stops the whole process for so long, ms; in every case it goes on after that. */
    async freeze(ms) {
      child.kill("SIGSTOP");
      try {
        await new Promise((resolve) => setTimeout(resolve, ms));
      } finally {
        child.kill("SIGCONT");
      }
    },
    async stop() {
      if (!running.has(child)) return;
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}
