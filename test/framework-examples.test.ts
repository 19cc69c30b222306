/** The examples for each framework: as short as they claim to be, in the documentation as they are, and running. */
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { createClient } from "../src/client.js";
import { atEnd } from "./support/cleanup.js";
import { waitUntil } from "./support/patience.js";
import { freePort } from "./support/server.js";

const root = join(import.meta.dirname, "..");
const simple = readdirSync(join(root, "examples/frameworks")).map((file) => `examples/frameworks/${file}`);
/** The last two are packages of their own, which `npm run examples` installs and starts as their reader would. */
const files = [
  ...simple.filter((file) => !file.endsWith("count.mjs")),
  "examples/fastify/server.mjs",
  "examples/nest/main.ts",
];

/** The page of the framework: named as its example, or as the folder of that. */
function pageOf(file: string): string {
  const name = simple.includes(file) ? basename(file, ".mjs") : basename(dirname(file));
  return readFileSync(join(root, `docs/frameworks/${name}.md`), "utf8");
}

/** Makes a file that Node can run of it; what is a package finds ours, and the others, as if they were installed. */
async function runnable(file: string): Promise<string> {
  if (simple.includes(file)) return join(root, file);
  const folder = mkdtempSync(join(tmpdir(), "active-session-example-"));
  atEnd(() => rmSync(folder, { recursive: true }));
  cpSync(dirname(join(root, file)), folder, { recursive: true });
  mkdirSync(join(folder, "node_modules"));
  for (const name of readdirSync(join(root, "node_modules"))) link(`node_modules/${name}`, `node_modules/${name}`);
  link(".", "node_modules/active-session");
  if (!file.endsWith(".ts")) return join(folder, basename(file));
  await promisify(execFile)(process.execPath, [join(root, "node_modules/typescript/bin/tsc")], { cwd: folder });
  return join(folder, "dist", basename(file).replace(/ts$/, "js"));

  function link(from: string, to: string): void {
    symlinkSync(join(root, from), join(folder, to));
  }
}

test("the page of Next.js shows every file of its example but the configuration", () => {
  const page = readFileSync(join(root, "docs/frameworks/next.md"), "utf8");
  const folder = join(root, "examples/next");
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(
    (name) => /\.(m?js|jsx)$/.test(name) && !/node_modules|count\.mjs|layout|next\.config/.test(name),
  );
  expect(files).toHaveLength(6);
  for (const name of files) expect(page, name).toContain(readFileSync(join(folder, name), "utf8"));
});

describe.each(files)("the example %s", (file) => {
  const code = readFileSync(join(root, file), "utf8");

  test("has at most 25 lines and is what the framework's page shows", () => {
    expect(code.trimEnd().split("\n").length).toBeLessThanOrEqual(25);
    expect(pageOf(file)).toContain(code);
  });

  test("gives the first page, the rest, and ends with work in progress when it is told to", async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const child = spawn(process.execPath, [await runnable(file)], { env: { ...process.env, PORT: String(port) } });
    atEnd(() => void child.kill("SIGKILL"));
    const output: string[] = [];
    child.stderr.on("data", (bytes) => output.push(String(bytes)));
    const start = () => fetch(`${url}/count`, { method: "POST" });
    const response = await waitUntil(() => start().catch(() => undefined));
    const headers = { cookie: response.headers.getSetCookie()[0]!.split(";")[0]! };
    const { key, result } = (await response.json()) as { key: string; result: number[] };
    expect(result).toEqual([1, 2, 3]);
    const rest: unknown[] = [];
    for await (const item of createClient(`${url}/runners`, { headers }).follow(key, { offset: 3 })) rest.push(item);
    expect(rest).toEqual([4, 5, 6, 7, 8, 9, 10]);
    await start();
    child.kill("SIGTERM");
    const [exitCode, signal] = (await once(child, "exit")) as [number | null, string | null];
    // Nest closes everything, and then lets the signal have its way.
    expect([file.includes("nest") ? signal : exitCode, output.join("")]).toEqual([
      file.includes("nest") ? "SIGTERM" : 0,
      "",
    ]);
  });
});
