// A Redis of its own for the peers that need one, on a free port, with nothing on disk, until the benchmark ends.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { setTimeout as wait } from "node:timers/promises";
import { createClient } from "redis";

let started;

/** The address of the one that all peers use, started at the first call; `undefined` if there is none and none could be installed. */
export async function redisUrl() {
  started ??= startRedis();
  const redis = await started;
  if (redis) process.env.REDIS_URL = redis.url;
  else console.log("There is no redis-server: peers that need one are left out");
  return redis?.url;
}

/** Ends it. */
export async function stopRedis() {
  await (await started)?.stop();
}

async function startRedis() {
  if (!isThere() && !install()) return undefined;
  const port = await freePort();
  const options = ["--port", String(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", "/tmp"];
  const child = spawn("redis-server", options, { stdio: ["ignore", "ignore", "inherit"] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const url = `redis://127.0.0.1:${port}`;
  await untilReady(url);
  return {
    url,
    async stop() {
      process.off("exit", kill);
      child.kill();
      await once(child, "exit");
    },
  };
}

function isThere() {
  return spawnSync("redis-server", ["--version"]).status === 0;
}

/** Debian's, where that is allowed. */
function install() {
  if (process.getuid?.() !== 0 || spawnSync("apt-get", ["--version"]).status !== 0) return false;
  const apt = (...args) => spawnSync("apt-get", ["-q", "-y", ...args], { stdio: ["ignore", "ignore", "inherit"] });
  apt("update");
  apt("install", "--no-install-recommends", "redis-server");
  return isThere();
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

async function untilReady(url) {
  for (let tries = 100; ; tries--) {
    const client = createClient({ url, socket: { reconnectStrategy: false } }).on("error", () => {});
    try {
      await client.connect();
      await client.close();
      return;
    } catch (error) {
      if (tries === 0) throw error;
      await wait(50);
    }
  }
}
