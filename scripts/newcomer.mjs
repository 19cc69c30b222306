// `npm run newcomer [-- NAME ...]`: what a newcomer reads, done in an empty folder exactly as it is printed, beside a clone of this
// repository: the README's first example, the table, the chat, the worker. The files and the commands of a page are taken from its
// text; pages are used in a real browser, where there is one. Fails if a start takes too long after the installation, or if it brings
// packages besides those of Express.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, posix, resolve } from "node:path";
import { chromium } from "playwright-core";
import { findChromium } from "./chromium.mjs";

/** From the end of the installation to the last check. */
const secondsAtMost = 60;
const packagesAtMost = 3;

/** What is printed, and what a newcomer then does with it. */
const pages = {
  readme: { file: "README.md", use: useCurl },
  table: { file: "docs/start/table.md", use: (url) => inBothPages(url, useTable) },
  chat: { file: "docs/start/chat.md", use: (url) => inBothPages(url, useChat) },
  cpu: { file: "docs/start/cpu.md", installAs: "docs/start/table.md", use: useWorker },
};

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(pages);
const root = mkdtempSync(join(tmpdir(), "active-session-newcomer-"));
const browserPath = findChromium({ mayInstall: process.env.CI === "true" });
const browser = browserPath && (await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] }));
if (!browser) console.log("There is no Chromium: the pages are not looked at");
let server;
try {
  symlinkSync(resolve("."), join(root, "active-session"), "dir");
  for (const name of names) await follow(name, pages[name]);
} finally {
  await stop();
  await browser?.close();
  rmSync(root, { recursive: true, force: true });
}

async function follow(name, { file, installAs = file, use }) {
  const text = readFileSync(file, "utf8");
  const folder = join(root, name);
  mkdirSync(folder);
  const [install] = commandsIn(readFileSync(installAs, "utf8"));
  const installed = timed(() => sh(install, folder));
  if (name === "readme") checkPackages(folder);
  const [files, more] = [filesIn(text), commandsIn(text).slice(1)];
  const began = performance.now();
  for (const [path, content] of files) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  const furtherInstalled = timed(() => {
    for (const command of more) sh(command, folder);
  });
  const url = await start(folder);
  await use(url, text);
  await stop();
  const seconds = (performance.now() - began) / 1000 - furtherInstalled;
  const print = (value) => `${value.toFixed(1)} s`;
  console.log(`${name}: works ${print(seconds)} after the installation (${print(installed + furtherInstalled)})`);
  if (seconds >= secondsAtMost) fail(`${name}: it must take less than ${secondsAtMost} s`);
}

/** The files that a page prints: a line that names one, and a block. */
function filesIn(text) {
  return [...text.matchAll(/^`([\w./-]+)`[^\n]*:\n\n```\w+\n(.*?)^```/gms)].map(([, path, content]) => [path, content]);
}

/** The commands that a page prints, without those that end only by hand. */
function commandsIn(text) {
  const blocks = [...text.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block]) => block);
  return blocks.filter((block) => block.includes("npm install"));
}

function sh(command, cwd) {
  const { status, stderr, stdout } = spawnSync("bash", ["-ec", command], { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`Cannot run ${command}: ${stderr}${stdout}`);
}

/** Seconds that it takes. */
function timed(act) {
  const began = performance.now();
  act();
  return (performance.now() - began) / 1000;
}

/** Each example prints its address. */
async function start(cwd) {
  const options = { cwd, env: { ...process.env, PORT: "0" }, stdio: ["ignore", "pipe", "inherit"] };
  server = spawn(process.execPath, ["server.mjs"], options);
  const [address] = await Promise.race([once(server.stdout, "data"), once(server, "exit").then(() => [])]);
  if (!address) throw new Error("The example ended before it listened");
  return String(address).trim();
}

async function stop() {
  const running = server;
  server = undefined;
  if (!running || running.exitCode !== null || running.signalCode !== null) return;
  running.kill();
  await once(running, "exit");
}

async function create(url, path, body) {
  const init = { method: "POST", headers: { "content-type": "application/json" }, body };
  const response = await fetch(url + path, { ...init, signal: AbortSignal.timeout(20_000) });
  return response.json();
}

/** The line with curl, and the button. */
async function useCurl(url, text) {
  const [, path, body] = /curl http:\/\/localhost:3000(\S+) .* -d '(.*)'/.exec(text);
  const { items } = await create(url, path, body);
  expect(String(items) === "1,2,3", `The first page is ${JSON.stringify(items)}`);
  await inPage(`${url}/`, async (page) => {
    await page.click("button");
    await page.waitForFunction(() => Number(document.querySelector("output").value) >= 12);
    await page.reload();
    await page.waitForFunction(() => Number(document.querySelector("output").value) >= 14);
  });
}

/** The first primes come from the worker, in order, and all of them. */
async function useWorker(url) {
  const { items, closed } = await create(url, "/runners/primes?min-items=1000", '{"to":1000}');
  expect(closed && items.length === 168 && items.at(-1) === 997, `There are ${items.length} primes`);
}

async function inBothPages(url, use) {
  for (const path of ["/", "/react.html"]) await inPage(url + path, use);
}

/** Each page is that of another user. */
async function inPage(address, use) {
  if (!browser) return;
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on("pageerror", (error) => fail(`${address}: ${error.message}`));
  await page.goto(address);
  await use(page);
  await context.close();
}

/** All rows are there after a reload, each once; a stop stops. */
async function useTable(page) {
  const rows = (least) => page.waitForFunction((n) => document.querySelectorAll("#rows tr").length >= n, least);
  await page.click("#start");
  await rows(12);
  await page.reload();
  await rows(15);
  await page.click("#stop");
  await page.waitForFunction(() => document.querySelector("output").textContent.includes("aborted"));
  const orders = await page.locator("#rows tr td:first-child").allTextContents();
  const wanted = orders.map((_, i) => `2026-${i + 1}`);
  expect(String(orders) === String(wanted), `The rows are ${orders}`);
}

/** The answer goes on after a reload, from its beginning; a stop stops; a later reload still shows it. */
async function useChat(page) {
  const said = (text) => page.waitForFunction((t) => document.querySelector("#talk").textContent.includes(t), text);
  await page.fill("#question", "How far?");
  await page.keyboard.press("Enter");
  await said(" 5 ");
  await page.reload();
  await said(" 8 ");
  await page.click("#stop");
  await page.waitForFunction(() => document.querySelector("#stop").disabled);
  const talk = await page.locator("#talk p").allTextContents();
  expect(talk.length === 2 && talk[0] === "How far?", `The conversation is ${JSON.stringify(talk)}`);
  expect(/^You have asked: How far\? I count to fifty: 1 2 3 4 5 6 7 8 /.test(talk[1]), `The answer is ${talk[1]}`);
  await page.reload();
  await said(" 8 ");
  expect((await page.locator("#talk p").allTextContents())[1] === talk[1], "The answer is another one after a reload");
}

function expect(holds, problem) {
  if (!holds) throw new Error(problem);
}

function fail(problem) {
  console.error(problem);
  process.exitCode = 1;
}

function checkPackages(folder) {
  const extra = packagesBesidesExpress(folder);
  console.log(`${extra.length} packages besides Express: ${extra.join(", ")}`);
  if (extra.length > packagesAtMost) fail(`At most ${packagesAtMost} packages may come besides Express`);
}

/** What npm has installed and Express does not need, direct or indirect. */
function packagesBesidesExpress(folder) {
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
