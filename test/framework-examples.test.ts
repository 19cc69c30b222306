/** The examples for each framework: as short as they claim to be, in the documentation as they are, and running. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { createClient } from "../src/client.js";
import { atEnd } from "./support/cleanup.js";

const folder = join(import.meta.dirname, "../examples/frameworks");
const names = readdirSync(folder).filter((file) => file !== "count.mjs");
const documentation = readFileSync(join(import.meta.dirname, "../docs/frameworks.md"), "utf8");

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as { port: number };
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

describe.each(names)("the example %s", (name) => {
  const code = readFileSync(join(folder, name), "utf8");

  test("has at most 25 lines and is what the documentation shows", () => {
    expect(code.trimEnd().split("\n").length).toBeLessThanOrEqual(25);
    expect(documentation).toContain(code);
  });

  test("gives the first page, the rest, and ends with work in progress when it is told to", async () => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const child = spawn(process.execPath, [join(folder, name)], { env: { ...process.env, PORT: String(port) } });
    atEnd(() => void child.kill("SIGKILL"));
    const output: string[] = [];
    child.stderr.on("data", (bytes) => output.push(String(bytes)));
    const start = () => fetch(`${url}/count`, { method: "POST" });
    const response = await vi.waitUntil(() => start().catch(() => undefined), { timeout: 20_000, interval: 50 });
    const headers = { cookie: response.headers.getSetCookie()[0]!.split(";")[0]! };
    const { key, result } = (await response.json()) as { key: string; result: number[] };
    expect(result).toEqual([1, 2, 3]);
    const rest: unknown[] = [];
    for await (const item of createClient(`${url}/runners`, { headers }).follow(key, { offset: 3 })) rest.push(item);
    expect(rest).toEqual([4, 5, 6, 7, 8, 9, 10]);
    await start();
    child.kill("SIGTERM");
    const [exitCode] = (await once(child, "exit")) as [number | null];
    expect([exitCode, output.join("")]).toEqual([0, ""]);
  });
});
