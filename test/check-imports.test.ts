/** The check that keeps imports pointing one way is run on small trees that the test makes up. */
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { atEnd } from "./support/cleanup.js";

const root = fileURLToPath(new URL("../", import.meta.url));

/** Files that are in order; a test adds or replaces some. */
const good: Record<string, string> = {
  "package.json": JSON.stringify({
    exports: { ".": {}, "./client": {}, "./express": {}, "./package.json": "./package.json" },
  }),
  "src/index.ts": `export { get } from "./session/session.js";\n`,
  "src/express.ts": `export { handle } from "./http/handler.js";\n`,
  "src/client.ts": `export { follow } from "./client/follow.js";\n`,
  "src/base/error.ts": "export class Failure extends Error {}\n",
  "src/wire/names.ts": `import { Failure } from "../base/error.js";\nexport const names = [Failure];\n`,
  "src/log/log.ts": `import { Failure } from "../base/error.js";\nexport const log = [Failure];\n`,
  "src/runner/runner.ts": `import { log } from "../log/log.js";\nexport const run = () => log;\n`,
  "src/session/session.ts": `import { run } from "../runner/runner.js";\nimport "node:crypto";\nexport const get = run;\n`,
  "src/http/handler.ts": `import {\n  get,\n} from "../session/session.js";\nimport { names } from "../wire/names.js";\nexport const handle = [get, names];\n`,
  "src/client/follow.ts": `import { parse } from "some-package";\nimport { names } from "../wire/names.js";\nexport const follow = [parse, names];\n`,
};

/** Runs the check on the good files with `changes`; `undefined` leaves a file out. */
function runCheck(changes: Record<string, string | undefined> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "active-session-imports-"));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  for (const [path, text] of Object.entries({ ...good, ...changes })) {
    if (text === undefined) continue;
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  }
  const run = spawnSync(process.execPath, [join(root, "scripts/check-imports.mjs"), folder], { encoding: "utf8" });
  return { code: run.status, problems: run.stderr.split("\n").filter((line) => line !== "") };
}

describe("the check of imports", () => {
  it("passes a tree that is in order, and says nothing", () => {
    expect(runCheck()).toEqual({ code: 0, problems: [] });
  });

  it("passes this package", () => {
    const run = spawnSync(process.execPath, ["scripts/check-imports.mjs"], { cwd: root, encoding: "utf8" });
    expect({ code: run.status, problems: run.stderr }).toEqual({ code: 0, problems: "" });
  });

  const session = "../session/session.js";
  const against: [what: string, text: string][] = [
    ["an import", `import { get } from "${session}";`],
    ["a type-only import", `import type { get } from "${session}";`],
    ["an import with inline types", `import { type get } from "${session}";`],
    ["an import over several lines", `import {\n  get,\n} from "${session}";`],
    ["an import behind another one", `import "./other.js";\nimport { get } from "${session}";`],
    ["an import in single quotes", `import { get } from '${session}';`],
    ["a namespace import", `import * as all from "${session}";`],
    ["an import for its effect", `import "${session}";`],
    ["a re-export", `export { get } from "${session}";`],
    ["a re-export of everything", `export * from "${session}";`],
    ["a re-export of a type", `export type { get } from "${session}";`],
    ["a dynamic import", `export const load = () => import("${session}");`],
    ["an import within a type", `export type Get = import("${session}").Get;`],
  ];

  it.each(against)("refuses %s against the direction", (_what, text) => {
    expect(runCheck({ "src/log/extra.ts": `${text}\n`, "src/log/other.ts": "export {};\n" })).toEqual({
      code: 1,
      problems: [expect.stringContaining("log/extra.ts: log must not import from session")],
    });
  });

  it.each([
    ["base", "wire", "../wire/names.js"],
    ["wire", "log", "../log/log.js"],
    ["log", "wire", "../wire/names.js"],
    ["log", "runner", "../runner/runner.js"],
    ["runner", "session", "../session/session.js"],
    ["runner", "wire", "../wire/names.js"],
    ["session", "http", "../http/handler.js"],
    ["session", "wire", "../wire/names.js"],
    ["http", "client", "../client/follow.js"],
    ["http", "index.ts", "../index.js"],
    ["client", "log", "../log/log.js"],
    ["client", "session", "../session/session.js"],
    ["client", "http", "../http/handler.js"],
    ["client", "index.ts", "../index.js"],
    ["client", "express.ts", "../express.js"],
  ])("refuses %s importing from %s", (from, to, specifier) => {
    const { code, problems } = runCheck({ [`src/${from}/extra.ts`]: `import "${specifier}";\n` });
    expect(code).toBe(1);
    expect(problems).toContainEqual(expect.stringMatching(`${from}/extra\\.ts: ${from} must not import from ${to}`));
  });

  it.each([
    ["src/index.ts", "./http/handler.js"],
    ["src/index.ts", "./client/follow.js"],
    ["src/express.ts", "./client/follow.js"],
    ["src/client.ts", "./http/handler.js"],
    ["src/client.ts", "./session/session.js"],
    ["src/client.ts", "./index.js"],
  ])("refuses the entry %s importing %s", (entry, specifier) => {
    const { code, problems } = runCheck({ [entry]: `export * from "${specifier}";\n` });
    expect(code).toBe(1);
    expect(problems).toEqual([expect.stringContaining(entry.replace("src/", ""))]);
  });

  it.each(["src/base/extra.ts", "src/wire/extra.ts", "src/client/extra.ts", "src/client.ts"])(
    "refuses node: in %s, which runs in a browser, too",
    (file) => {
      const lines = [
        `import { readFileSync } from "node:fs";`,
        `import type { Socket } from "node:net";`,
        `import "node:process";`,
        `export * from "node:url";`,
        `export const load = () => import("node:fs/promises");`,
      ];
      const { code, problems } = runCheck({ [file]: lines.join("\n") });
      expect(code).toBe(1);
      expect(problems.sort()).toEqual(
        ["node:fs", "node:fs/promises", "node:net", "node:process", "node:url"].map((name) =>
          expect.stringContaining(`${file.replace("src/", "")}: ${name} `),
        ),
      );
    },
  );

  it.each(["log", "runner", "session", "http"])("lets %s use node:", (folder) => {
    expect(runCheck({ [`src/${folder}/extra.ts`]: `import "node:fs";\n` }).code).toBe(0);
  });

  it("refuses a file that imports itself", () => {
    const { code, problems } = runCheck({ "src/base/a.ts": `import "./a.js";\n` });
    expect(code).toBe(1);
    expect(problems).toEqual([expect.stringContaining("base/a.ts")]);
  });

  it("refuses a circle of two files, by types alone too, and names both", () => {
    const { code, problems } = runCheck({
      "src/base/a.ts": `import type { B } from "./b.js";\n`,
      "src/base/b.ts": `import type { A } from "./a.js";\n`,
    });
    expect(code).toBe(1);
    expect(problems).toEqual([expect.stringMatching(/^circle: .*base\/a\.ts.*base\/b\.ts/)]);
  });

  it("names every file of a circle of three", () => {
    const { code, problems } = runCheck({
      "src/base/a.ts": `import "./b.js";\n`,
      "src/base/b.ts": `import "./c.js";\n`,
      "src/base/c.ts": `import "./a.js";\n`,
    });
    expect(code).toBe(1);
    expect(problems).toHaveLength(1);
    for (const name of ["base/a.ts", "base/b.ts", "base/c.ts"]) expect(problems[0]).toContain(name);
  });

  it("finds a circle behind files that are not part of it, and one through several folders", () => {
    const { code, problems } = runCheck({
      "src/log/first.ts": `import "./second.js";\n`,
      "src/log/second.ts": `import "../base/third.js";\n`,
      "src/base/third.ts": `import "../log/second.js";\n`,
    });
    expect(code).toBe(1);
    expect(problems).toContainEqual(expect.stringMatching(/^circle: .*(log\/second\.ts|base\/third\.ts)/));
    expect(problems.join()).not.toMatch(/circle:.*first/);
  });

  it("is content with two ways to the same file", () => {
    const changes = {
      "src/base/top.ts": `import "./left.js";\nimport "./right.js";\n`,
      "src/base/left.ts": `import "./bottom.js";\n`,
      "src/base/right.ts": `import "./bottom.js";\n`,
      "src/base/bottom.ts": "export {};\n",
    };
    expect(runCheck(changes)).toEqual({ code: 0, problems: [] });
  });

  it("refuses an entry file that package.json does not export, and names it", () => {
    expect(runCheck({ "src/extra.ts": "export {};\n" })).toEqual({
      code: 1,
      problems: [expect.stringContaining("src/extra.ts")],
    });
  });

  it("refuses an export of package.json that has no entry file, and names it", () => {
    expect(runCheck({ "src/express.ts": undefined })).toEqual({
      code: 1,
      problems: [expect.stringContaining("express")],
    });
  });

  it("refuses imports of a folder or an entry that has no place in the order", () => {
    const { code, problems } = runCheck({ "src/elsewhere/extra.ts": `import "../base/error.js";\n` });
    expect(code).toBe(1);
    expect(problems).toEqual([expect.stringContaining("elsewhere/extra.ts")]);
  });

  it("does not look at tests, which may import anything", () => {
    const changes = { "src/log/log.test.ts": `import "../http/handler.js";\nimport "./log.test.js";\n` };
    expect(runCheck(changes)).toEqual({ code: 0, problems: [] });
  });

  it("does not take examples in comments for imports", () => {
    const comment = `/**\n * import { get } from "../session/session.js";\n */\n// import "../http/handler.js";\nexport {};\n`;
    expect(runCheck({ "src/log/extra.ts": comment })).toEqual({ code: 0, problems: [] });
  });

  it("reports all problems at once", () => {
    const { code, problems } = runCheck({
      "src/log/extra.ts": `import "../session/session.js";\n`,
      "src/base/extra.ts": `import "node:fs";\n`,
      "src/unknown.ts": "export {};\n",
    });
    expect(code).toBe(1);
    expect(problems).toHaveLength(3);
  });
});
