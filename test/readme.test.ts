import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { ActiveSessionError, errorCodes } from "../src/base/error.js";
import { createClient } from "../src/client.js";
import { browserPath, sharedBrowser } from "./support/browser.js";
import { atEnd } from "./support/cleanup.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const text = readFileSync(`${root}README.md`, "utf8");
const blocks = [...text.matchAll(/```js\n(.*?)```/gs)].map((match) => match[1]!);
const [example] = blocks as [string];

/** A folder with nothing but what the README installs. */
function folderOfReader(): string {
  const folder = mkdtempSync(join(tmpdir(), "active-session-readme-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/active-session"), "dir");
  symlinkSync(join(root, "node_modules/express"), join(folder, "node_modules/express"), "dir");
  return folder;
}

/** Starts the example as it is printed; resolves with the address that it prints. */
async function start(): Promise<string> {
  const folder = folderOfReader();
  writeFileSync(join(folder, "server.mjs"), example);
  const env = { ...process.env, PORT: "0" };
  const server: ChildProcess = spawn(process.execPath, ["server.mjs"], {
    cwd: folder,
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  atEnd(async () => {
    server.kill();
    await once(server, "exit");
  });
  const [printed] = (await once(server.stdout!, "data")) as [Buffer];
  return String(printed).trim();
}

describe("the README", () => {
  test("is short, and has one example in one file", () => {
    expect(text.trimEnd().split("\n").length).toBeLessThanOrEqual(130);
    expect(blocks).toHaveLength(1);
    expect(example.trimEnd().split("\n").length).toBeLessThanOrEqual(32);
  });

  test("has links that lead somewhere in the package, too", () => {
    const { files } = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as { files: string[] };
    const links = [...text.matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g)].map(([, link]) => link!);
    expect(links.length).toBeGreaterThan(20);
    for (const link of links) {
      expect(existsSync(root + link), link).toBe(true);
      expect(
        files.some((file) => link === file || link.startsWith(`${file}/`)),
        `${link} is packed`,
      ).toBe(true);
    }
  });

  test("its example serves what it creates, as the line with curl says", async () => {
    const url = await start();
    const [, path, body] = /curl http:\/\/localhost:3000(\S+) .* -d '(.*)'/.exec(text)!;
    const response = await fetch(url + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: body!,
    });
    const [, printed] = /^# (\{.*\})$/m.exec(text)!;
    const [begin, end] = printed!.split("…,") as [string, string];
    const answer = await response.text();
    expect([answer.startsWith(begin), answer.endsWith(end)], answer).toEqual([true, true]);
    const taken: unknown[] = [];
    let cookie = "";
    const asUser: typeof fetch = async (input, init) => {
      const answer = await fetch(input, {
        ...init,
        headers: { ...Object.fromEntries(new Headers(init?.headers)), cookie },
      });
      cookie = answer.headers.getSetCookie()[0]?.split(";")[0] ?? cookie;
      return answer;
    };
    const numbers = await createClient(`${url}/runners`, { fetch: asUser }).create("count", { to: 15 });
    for await (const number of numbers) taken.push(number);
    expect(taken).toEqual(Array.from({ length: 15 }, (_, i) => i + 1));
  });
});

describe("docs/errors.md", () => {
  test("lists every error code with its status", () => {
    const errors = readFileSync(`${root}docs/errors.md`, "utf8");
    const rows = [...errors.matchAll(/^\| (`[A-Z_`, ]+`) \| (\d+) \|/gm)];
    const listed = rows.flatMap(([, codes, status]) => codes!.split(", ").map((code) => [code.slice(1, -1), status]));
    const known = errorCodes.map((code) => [code, String(new ActiveSessionError(code, "").status)]);
    expect(listed.sort()).toEqual(known.sort());
  });
});

const browser = sharedBrowser();

describe.skipIf(!browserPath)("the README's example in Chromium", () => {
  test("counts when its button is pressed, and goes on after a reload", async () => {
    const page = await browser.open(await start());
    const shows = (least: number) =>
      page.waitForFunction((least) => Number(document.querySelector("output")!.value) >= least, least, { polling: 20 });
    await page.click("button");
    await shows(5);
    await page.reload();
    await shows(7);
    await page.close();
  });
});
