/** Deploys, with real processes: the examples of docs/start/shutdown.md are told to stop while 200 runners are at work. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createClient } from "../src/client.js";
import { atEnd } from "./support/cleanup.js";
import { waitUntil } from "./support/patience.js";
import { freePort } from "./support/server.js";

const root = join(import.meta.dirname, "..");
const users = 10;
const runnersOfEach = 20;

/** A browser's cookie, kept over all requests of one user. */
function withCookie(): typeof fetch {
  let cookie: string | undefined;
  return async (url, init) => {
    const headers = new Headers(init?.headers);
    if (cookie) headers.set("cookie", cookie);
    const response = await fetch(url, { ...init, headers });
    cookie = response.headers.getSetCookie()[0]?.split(";", 1)[0] ?? cookie;
    return response;
  };
}

describe.each(["node", "express", "fastify"])("the example of a shutdown with %s", (name) => {
  const file = `examples/shutdown/${name}.mjs`;

  test("is in the documentation as it is", () => {
    const page = readFileSync(join(root, "docs/start/shutdown.md"), "utf8");
    expect(page).toContain(readFileSync(join(root, file), "utf8"));
  });

  test("lets 200 runners end and be read, refuses new ones with a time to wait, and exits", {
    timeout: 120_000,
  }, async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const child = spawn(process.execPath, [join(root, file)], { env: { ...process.env, PORT: String(port) } });
    atEnd(() => void child.kill("SIGKILL"));
    const output: string[] = [];
    child.stderr.on("data", (bytes) => output.push(String(bytes)));
    const exited = once(child, "exit");
    const isReady = () =>
      fetch(`${url}/ready`).then(
        ({ status }) => status,
        () => 0,
      );
    await waitUntil(
      async () => (await isReady()) === 200,
      () => output.length,
    );

    const clients = Array.from({ length: users }, () => createClient(`${url}/runners`, { fetch: withCookie() }));
    // Runs until it is stopped, so that the drain lasts until then.
    const [keeper] = await Promise.all(clients.map((client) => client.create("slow", 100_000)));
    const follow = async (client: (typeof clients)[number]) => {
      const follower = await client.create("slow", 4);
      let last: unknown;
      for await (const update of follower.updates()) last = [update.status, update.items.at(-1)];
      return last;
    };
    const all = clients.flatMap((client) => Array.from({ length: runnersOfEach }, () => follow(client)));
    const areCreated = async (client: (typeof clients)[number]) => (await client.list()).length > runnersOfEach;
    for (const client of clients)
      await waitUntil(
        () => areCreated(client),
        () => output.length,
      );
    for (const client of clients.slice(1))
      for (const { key } of (await client.list()).slice(-1)) await client.remove(key);

    child.kill("SIGTERM");
    await waitUntil(
      async () => (await isReady()) === 503,
      () => output.length,
    );
    const refused = await fetch(`${url}/runners/slow`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "1",
    });
    const { status, headers } = refused;
    const told = [status, headers.get("runner-error-code"), headers.get("retry-after")];
    expect(told).toEqual([503, "HOST_CLOSED", "5"]);
    expect(await Promise.all(all)).toEqual(Array.from({ length: users * runnersOfEach }, () => ["completed", "done"]));
    await clients[0]!.abort(keeper!.key);
    expect([await exited, output.join("")]).toEqual([[0, null], ""]);
  });
});
