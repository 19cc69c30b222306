/** The configuration for Vite's development server, as docs/start/proxy.md has it, in front of a server of ours. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { createDeferred } from "../src/base/async.js";
import { createClient } from "../src/client.js";
import { defineSequenceRunner } from "../src/session/define.js";
import { atEnd } from "./support/cleanup.js";
import { waitUntil } from "./support/patience.js";
import { openApp } from "./support/server.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const page = readFileSync(`${root}docs/start/proxy.md`, "utf8");
const [, printed] = /`vite\.config\.js`:\n\n```mjs\n(.*?)```/s.exec(page) as unknown as [string, string];

/** Starts Vite as printed, with the address of the server in place; gives its origin. */
async function startVite(serverUrl: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "active-session-vite-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, "vite.config.mjs"), printed.replace("http://localhost:3000", serverUrl));
  const command = [join(root, "node_modules/vite/bin/vite.js"), "--host", "127.0.0.1", "--port", "0"];
  const vite = spawn(process.execPath, command, { cwd: folder, stdio: ["ignore", "pipe", "inherit"] });
  atEnd(async () => {
    vite.kill();
    await once(vite, "exit");
  });
  let output = "";
  vite.stdout.on("data", (part) => {
    output += part;
  });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of the terminal
  const address = () => /http:\/\/127\.0\.0\.1:\d+/.exec(output.replace(/\u001b\[\d+m/g, ""))?.[0];
  return waitUntil(address, () => output);
}

test("a page behind Vite creates, follows item by item and stops; a reader that leaves is not held", async () => {
  const gate = createDeferred();
  const stopped = createDeferred();
  const work = defineSequenceRunner({
    name: "work",
    async *run(_input: undefined, { signal }) {
      signal.addEventListener("abort", () => stopped.resolve());
      yield 1;
      await gate.promise;
      yield 2;
      await stopped.promise;
    },
  });
  const { url, sessions } = await openApp({ router: { expose: [work] } });
  const origin = await startVite(url);
  const headers = { "x-user": "ann", origin };
  const client = createClient<[typeof work]>(`${origin}/runners`, { headers });
  const leave = new AbortController();
  const follower = await client.create("work", undefined, { signal: leave.signal });
  const items = follower[Symbol.asyncIterator]();
  expect((await items.next()).value).toBe(1);
  const second = items.next();
  await waitUntil(() => sessions.stats().openReads === 1);
  gate.resolve();
  expect((await second).value).toBe(2);
  const third = items.next();
  third.catch(() => {});
  leave.abort();
  await waitUntil(() => sessions.stats().openReads === 0);
  await client.abort(follower.key); // its origin is the page's: it is no request of another site
  await stopped.promise;
});
