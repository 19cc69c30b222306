// `npm run newcomer`: how long it takes from an empty folder to the first page of the README's first example, and how many
// packages come with it besides those of Express.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, posix } from "node:path";
import { prepare } from "./prepare.mjs";

const packagesAtMost = 3;
// Most of the time is npm's, the network's and the machine's. By hand, on a machine that does nothing else, the limit is what we
// promise; CI shares its machine and has an empty cache, and there only a start that has gone quite wrong is to fail.
const secondsAtMost = process.env.CI === "true" ? 40 : 10;

const readme = readFileSync("README.md", "utf8");
const [, example] = /`server\.mjs`:\n\n```js\n(.*?)```/s.exec(readme);
const folder = mkdtempSync(join(tmpdir(), "active-session-newcomer-"));
const tarballs = mkdtempSync(join(tmpdir(), "active-session-tarball-"));
const steps = [];
let server;
try {
  prepare();
  npm(["pack", "--ignore-scripts", "--pack-destination", tarballs], process.cwd());
  const tarball = join(tarballs, readdirSync(tarballs)[0]);
  await step("npm init", () => {
    npm(["init", "-y", "--prefix", folder], folder);
  });
  await step("npm install", () => npm(["install", tarball, "express"], folder));
  await step("write the example", () => writeFileSync(join(folder, "server.mjs"), example));
  const url = await step("start it", start);
  await step("read the first page", () => readFirstPage(url));
  report();
} finally {
  await stop();
  for (const made of [folder, tarballs]) rmSync(made, { recursive: true, force: true });
}

async function step(name, act) {
  const began = performance.now();
  const result = await act();
  steps.push([name, (performance.now() - began) / 1000]);
  return result;
}

function npm(args, cwd) {
  const { status, stderr } = spawnSync("npm", args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot npm ${args.join(" ")}: ${stderr}`);
}

/** The example prints its address. */
async function start() {
  const stdio = ["ignore", "pipe", "inherit"];
  server = spawn(process.execPath, ["server.mjs"], { cwd: folder, env: { ...process.env, PORT: "0" }, stdio });
  const [address] = await Promise.race([once(server.stdout, "data"), once(server, "exit").then(() => [])]);
  if (!address) throw new Error("The example ended before it listened");
  return String(address).trim();
}

/** What the line with curl asks for. */
async function readFirstPage(url) {
  const [, path, body] = /curl http:\/\/localhost:3000(\S+) .* -d '(.*)'/.exec(readme);
  const init = { method: "POST", headers: { "content-type": "application/json" }, body };
  const response = await fetch(url + path, { ...init, signal: AbortSignal.timeout(10_000) });
  const { items } = await response.json();
  if (String(items) !== "1,2,3") throw new Error(`The first page is ${JSON.stringify(items)}`);
}

async function stop() {
  if (!server || server.exitCode !== null) return;
  server.kill();
  await once(server, "exit");
}

function report() {
  const total = steps.reduce((sum, [, seconds]) => sum + seconds, 0);
  for (const [name, seconds] of [...steps, ["total", total]])
    console.log(`${seconds.toFixed(2).padStart(6)} s  ${name}`);
  const extra = packagesBesidesExpress();
  console.log(`${extra.length} packages besides Express: ${extra.join(", ")}`);
  if (extra.length > packagesAtMost) fail(`At most ${packagesAtMost} packages may come besides Express`);
  if (total >= secondsAtMost) fail(`It must take less than ${secondsAtMost} s`);
}

function fail(problem) {
  console.error(problem);
  process.exitCode = 1;
}

/** What npm has installed and Express does not need, direct or indirect. */
function packagesBesidesExpress() {
  const { packages } = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8"));
  const needed = new Set();
  const need = (path) => {
    if (needed.has(path)) return;
    needed.add(path);
    for (const name of Object.keys(packages[path]?.dependencies ?? {})) need(find(name, path));
  };
  /** As Node looks for a package: in the folder of the one that needs it, then further out. */
  const find = (name, from) => {
    const path = posix.join(from, "node_modules", name);
    if (packages[path] || from === "") return path;
    return find(name, from.slice(0, Math.max(0, from.lastIndexOf("node_modules/") - 1)));
  };
  need("node_modules/express");
  return Object.keys(packages)
    .filter((path) => path !== "" && !needed.has(path))
    .map((path) => posix.basename(path));
}
