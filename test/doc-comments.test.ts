/** The examples in doc comments run as they stand; what they take for granted is given to them here. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";
import express from "express";
import { describe, expect, test, vi } from "vitest";
import { z } from "zod";
import * as ofClient from "../src/client.js";
import * as ofExpress from "../src/express.js";
import * as core from "../src/index.js";
import { sseParser } from "../src/protocol/sse.js";
import * as ofResume from "../src/resume.js";
import { openHost } from "./support/control.js";
import { openApp } from "./support/server.js";

const root = fileURLToPath(new URL("../", import.meta.url));
const AsyncFunction = (async () => {}).constructor as new (...parts: string[]) => (...args: unknown[]) => Promise<void>;

/** Frameworks, React and files are run by the examples of their own pages; the browser's storage by the client's tests. */
const runElsewhere =
  /^src\/(awilix|fastify|fetch|hono|koa|nest|node|react|resume|index|client|express|testing)\.ts|^src\/(react|http|testing|client\/definitions)/;

function examplesOf(file: string): string[] {
  const text = readFileSync(root + file, "utf8");
  return [...text.matchAll(/^[ \t]*\* @example\n((?:[ \t]*\*(?! @|\/).*\n)+)/gm)].map(([, lines]) =>
    lines!.replace(/^[ \t]*\* ?/gm, "").replaceAll("*\\/", "*/"),
  );
}

const files = execFileSync("git", ["ls-files", "src/*.ts"], { cwd: root, encoding: "utf8" }).trim().split("\n");
const examples = files
  .filter((file) => !/\.test\.ts$/.test(file) && !runElsewhere.test(file))
  .flatMap((file) => examplesOf(file).map((code, i) => [`${file} ${i + 1}`, code] as const));

describe("the example in", () => {
  test("most files is run here", () => {
    expect(examples.length).toBeGreaterThanOrEqual(20);
  });

  test.each(examples)("%s runs", async (_name, code) => {
    vi.spyOn(console, "log").mockImplementation(() => {});
    const sessions = openHost();
    const session = await sessions.get("ann");
    const { url } = await openApp({
      sessions,
      middleware: { identify: () => "ann" },
      router: {
        expose: [
          core.defineSequenceRunner({ name: "report", run: () => [1] }),
          core.defineSequenceRunner({ name: "search", run: () => [1] }),
        ],
      },
    });
    const runner = await session.createSequenceRunner([1, 2, 3], { retain: "all" });
    const client = ofClient.createClient(`${url}/runners`);
    const given = {
      ...core,
      ...{
        z,
        app: express(),
        client,
        key: runner.key,
        start: 0,
        text: "a",
        show: () => {},
        exportAll: async () => "",
        ...{ ...ofExpress, ...ofResume },
      },
      ...{
        search: async function* () {
          yield 1;
        },
        findMatches: () => ["needle"],
        computePi: async () => "3.14",
      },
      ...{
        openConnection: () => () => {},
        request: new Request(url),
        sseParser,
        handle: () => {},
        body: ["data: 1\n\n"],
        subscribe: vi.fn(),
      },
      createClient: () => client,
    };
    // Each example declares what it is about; what it does not, it is given.
    const plain = transformSync(code.replace(/^import .*$/gm, ""), { loader: "ts", target: "es2022" }).code;
    const all: Record<string, unknown> = { ...given, sessions, session, runner };
    const declared = [...plain.matchAll(/^(?:const|let|var|class|function) (?:\{([^}]*)\}|(\w+))/gm)].flatMap(
      ([, list, name]) => (name ? [name] : list!.split(",").map((part) => part.split(":").at(-1)!.trim())),
    );
    const names = Object.keys(all).filter((name) => name !== "default" && !declared.includes(name));
    const run = new AsyncFunction(...names, plain.replace("return new Response", "new Response"));
    await run(...names.map((name) => all[name]));
  });
});
