// `npm run examples`: the examples that are packages of their own, as their reader starts them: `npm install`, `npm start`. Each must
// give the first page and the rest of its work, and end with work in progress when it is told to.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { prepare } from "./prepare.mjs";

/** Each with the npm scripts that start it. */
const examples = { fastify: ["start"], nest: ["start"], next: ["start", "dev"] };
const patience = 60_000;

prepare();
const folder = mkdtempSync(join(tmpdir(), "active-session-examples-"));
try {
  npm(["pack", "--ignore-scripts", "--pack-destination", folder], process.cwd());
  const tarball = join(folder, readdirSync(folder)[0]);
  for (const [name, scripts] of Object.entries(examples)) {
    const began = performance.now();
    install(join(folder, name), name, tarball);
    for (const script of scripts) await tryOut(join(folder, name), name, script);
    console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${name}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function install(copy, name, tarball) {
  const isSource = (path) => !path.slice("examples/".length).match(/node_modules|dist/);
  cpSync(join("examples", name), copy, { recursive: true, filter: isSource });
  npm(["pkg", "set", `dependencies.active-session=file:${tarball}`], copy);
  npm(["install", "--no-audit", "--no-fund"], copy);
}

async function tryOut(copy, name, script) {
  const port = await freePort();
  const env = { ...process.env, PORT: String(port), NEXT_TELEMETRY_DISABLED: "1" };
  const server = spawn("npm", ["run", script], {
    ...{ cwd: copy, env, stdio: ["ignore", "pipe", "pipe"] },
    detached: true, // a group of its own: what npm leaves behind can be ended
  });
  const output = [];
  for (const stream of [server.stdout, server.stderr]) stream.on("data", (bytes) => output.push(String(bytes)));
  const exited = once(server, "close"); // of all that it has started: their output is over
  try {
    await use(
      `http://127.0.0.1:${port}`,
      name === "next" ? () => useNext(copy, `http://127.0.0.1:${port}`) : undefined,
    );
    process.kill(-server.pid, "SIGTERM"); // to the whole group, as a service manager does: npm does not pass it on
    const isOver = await Promise.race([exited.then(() => true), wait(patience, false, { ref: false })]);
    if (!isOver) throw new Error("It did not end");
    if (/error|exception/i.test(output.join(""))) throw new Error("It complained");
    await refused(`http://127.0.0.1:${port}`);
  } catch (cause) {
    throw new Error(`The example ${name} (npm run ${script}) failed; it said: ${output.join("")}`, { cause });
  } finally {
    try {
      process.kill(-server.pid, "SIGKILL");
    } catch {} // it has ended, as it should
  }
}

/** Takes one count whole, and leaves another one under way. */
async function use(url, more) {
  const deadline = Date.now() + patience;
  const start = () => fetch(`${url}/count`, { method: "POST" });
  let response;
  while (!response) {
    response = await start().catch(async (error) => {
      if (Date.now() > deadline) throw error;
      await wait(100);
    });
  }
  const { key, result } = await response.json();
  const headers = { cookie: response.headers.getSetCookie()[0].split(";")[0] };
  const rest = [];
  while (result.length + rest.length < 10) {
    const query = `offset=${3 + rest.length}&live=long-poll&min-items=1`;
    const page = await fetch(`${url}/runners/${key}?${query}`, { headers });
    if (page.status !== 200) throw new Error(`The rest was answered with ${page.status}`);
    rest.push(...(await page.json()));
  }
  if (String([...result, ...rest]) !== "1,2,3,4,5,6,7,8,9,10") throw new Error(`It gave ${[...result, ...rest]}`);
  await more?.();
  await start();
}

/** A page, an event stream through a rewrite, whose proxy compresses, and, in development, a module that is edited. */
async function useNext(copy, url) {
  const page = await (await fetch(url)).text();
  if (!page.includes("Count")) throw new Error("There is no page");
  const created = await fetch(`${url}/count`, { method: "POST" });
  const { key } = await created.json();
  const headers = { cookie: created.headers.getSetCookie()[0].split(";")[0], "accept-encoding": "gzip" };
  appendFileSync(join(copy, "lib/count.mjs"), "\n// edited\n");
  const events = await fetch(`${url}/backend/runners/${key}/events`, { headers });
  if (events.headers.has("content-encoding")) throw new Error("The event stream is compressed");
  const items = [...(await events.text()).matchAll(/^data:(\d+)$/gm)].map(([, item]) => item);
  if (String(items) !== "4,5,6,7,8,9,10" && String(items) !== "1,2,3,4,5,6,7,8,9,10")
    throw new Error(`It gave ${items}`);
}

async function refused(url) {
  const outcome = await fetch(url).then(
    () => "answered",
    () => "refused",
  );
  if (outcome !== "refused") throw new Error("Something still listens");
}

async function freePort() {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

function npm(args, cwd) {
  const { status, stderr } = spawnSync("npm", args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot npm ${args.join(" ")}: ${stderr}`);
}
