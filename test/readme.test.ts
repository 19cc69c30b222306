import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createActiveSessions } from "active-session";
import { describe, expect, test } from "vitest";
import { ActiveSessionError, errorCodes } from "../src/base/error.js";
import { atEnd } from "./support/cleanup.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const text = readFileSync(`${root}README.md`, "utf8");
const blocks = [...text.matchAll(/```js\n(.*?)```/gs)].map((match) => match[1]!);
type Examples = [string, string, string, string, string];
const [serverExample, searchExample, clientExample, runnersExample, nodeExample] = blocks as Examples;

/** A folder as an application has it, with Express and this package installed. */
function workshop(): string {
  const folder = mkdtempSync(join(tmpdir(), "active-session-readme-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/active-session"), "dir");
  symlinkSync(join(root, "node_modules/express"), join(folder, "node_modules/express"), "dir");
  return folder;
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

function run(folder: string, script: string, env: Record<string, string>): ChildProcess {
  const options = {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"] as ["ignore", "pipe", "inherit"],
  };
  const child = spawn(process.execPath, ["--import", "./prelude.mjs", script], options);
  atEnd(async () => {
    if (child.exitCode !== null) return;
    child.kill();
    await once(child, "exit");
  });
  return child;
}

/** What a page has and Node has not: an address of its own, and a cookie jar. It also says when a server listens. */
const prelude = `
import { Server } from "node:net";
const listen = Server.prototype.listen;
Server.prototype.listen = function (...args) { this.once("listening", () => console.log("listening")); return listen.apply(this, args); };
globalThis.location = { href: process.env.PAGE };
let cookie = "";
const send = globalThis.fetch;
globalThis.fetch = async (url, init = {}) => {
  const response = await send(new URL(url, process.env.PAGE), { ...init, headers: { ...Object.fromEntries(new Headers(init.headers)), cookie } });
  cookie = response.headers.getSetCookie()[0]?.split(";")[0] ?? cookie;
  return response;
};
`;

describe("the README", () => {
  test("its first example has at most 15 lines of code", () => {
    expect(serverExample.split("\n").filter((line) => line.trim() !== "").length).toBeLessThanOrEqual(15);
  });

  test("has as many examples as are run here", () => {
    expect(blocks).toHaveLength(5);
  });

  test("lists every error code with its status", () => {
    const rows = [...text.matchAll(/^\| (`[A-Z_`, ]+`) \| (\d+) \|/gm)];
    const listed = rows.flatMap(([, codes, status]) => codes!.split(", ").map((code) => [code.slice(1, -1), status]));
    const known = errorCodes.map((code) => [code, String(new ActiveSessionError(code, "").status)]);
    expect(listed.sort()).toEqual(known.sort());
  });

  test.each([
    ["first example", serverExample],
    ["example without Express", nodeExample],
  ])("its %s starts a search, returns the first page, and its client follows the rest", async (_which, example) => {
    const folder = workshop();
    const needles = Array.from({ length: 3000 }, (_, i) => `needle ${i}`);
    writeFileSync(join(folder, "haystack.txt"), needles.map((needle) => `${needle}\nhay\n`).join(""));
    writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
    writeFileSync(join(folder, "prelude.mjs"), prelude);
    writeFileSync(join(folder, "server.js"), example);
    writeFileSync(join(folder, "search.js"), searchExample);
    writeFileSync(join(folder, "page.js"), clientExample);
    const port = String(await freePort());
    const server = run(folder, "server.js", { PORT: port, PAGE: "" });
    expect(await Promise.race([once(server.stdout!, "data"), once(server, "exit")])).toEqual([expect.anything()]);

    const page = run(folder, "page.js", { PAGE: `http://127.0.0.1:${port}/` });
    let printed = "";
    page.stdout!.setEncoding("utf8").on("data", (text: string) => {
      printed += text;
    });
    const [code] = await once(page, "close");
    expect(code).toBe(0);
    expect(printed.trim().split("\n")).toEqual([...needles, "completed 3000"]);
  });

  test("its runners do what their comments say", async () => {
    const sessions = createActiveSessions();
    atEnd(() => sessions.close());
    const session = await sessions.get("reader");
    const AsyncFunction = (async () => {}).constructor as new (
      ...args: string[]
    ) => (session: unknown) => Promise<unknown>;
    const returned = "return { rows, load, sum, all: await load.getRequired({ advance: 3 }) };";
    const example = new AsyncFunction("session", `${runnersExample}\n${returned}`);
    const { rows, sum, all } = (await example(session)) as Record<"rows" | "sum", { status: string }> & {
      all: { result: unknown[]; status: string };
    };
    expect(rows.status).toBe("completed");
    expect(sum.status).toBe("aborted");
    expect(all).toMatchObject({ status: "completed", result: [{ value: expect.any(Number) }, {}, {}] });
  });
});
