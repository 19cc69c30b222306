/** The package as its users get it: packed, installed into an empty folder, and used from there. */
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deadline } from "./support/patience.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../", import.meta.url));
const { devDependencies } = JSON.parse(readFileSync(`${root}package.json`, "utf8")) as {
  devDependencies: Record<string, string>;
};
/** The compilers: the one that made the package, and the last one written in JavaScript before it. */
const compilers = { "TypeScript 7": `${root}node_modules/typescript`, "TypeScript 5": "node_modules/typescript" };
const older = "typescript@~5.9.3";
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "active-session-package-"));
  mkdirSync(join(folder, "tmp"));
  writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
  // The build stays as it is: other tests are using it.
  await run("npm", ["pack", "--ignore-scripts", "--pack-destination", join(folder, "tmp")], { cwd: root });
  const [tarball] = readdirSync(join(folder, "tmp"));
  const besides = ["express", "@types/express", "@types/node"].map((name) => `${name}@${devDependencies[name]}`);
  const options = ["--prefer-offline", "--no-audit", "--no-fund"];
  await run("npm", ["install", ...options, `./tmp/${tarball}`, ...besides, older], { cwd: folder });
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The files below a folder, relative to it. */
function filesIn(top: string): string[] {
  const entries = readdirSync(top, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => relative(top, join(entry.parentPath, entry.name)));
}

/** Runs a script in the folder until it ends by itself, and returns what it printed, read as JSON. */
async function output(file: string, text: string): Promise<unknown> {
  writeFileSync(join(folder, file), text);
  return JSON.parse((await run(process.execPath, [file], { cwd: folder, timeout: deadline() })).stdout);
}

describe("the package", () => {
  test("holds the build of every source file, what explains it, and nothing else", () => {
    const sources = filesIn(join(root, "src")).filter((file) => !/\.test\.tsx?$/.test(file));
    const built = sources.flatMap((file) => [".d.ts", ".js"].map((end) => `dist/${file.replace(/\.ts$/, end)}`));
    const pages = filesIn(join(root, "docs")).map((file) => `docs/${file}`);
    const explains = ["CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md", "package.json", ...pages].filter(
      (file) => existsSync(root + file),
    );
    const installed = filesIn(join(folder, "node_modules/active-session"));
    expect(installed.sort()).toEqual([...built, ...explains].sort());
  });

  test("brings no other package, and frameworks only as optional peers", () => {
    const { packages } = JSON.parse(readFileSync(join(folder, "package-lock.json"), "utf8")) as {
      packages: Record<string, { dependencies?: object; peerDependenciesMeta?: Record<string, { optional: boolean }> }>;
    };
    const { dependencies, peerDependenciesMeta } = packages["node_modules/active-session"]!;
    expect(dependencies).toBeUndefined();
    const optional = { optional: true };
    expect(peerDependenciesMeta).toEqual({
      ...{ express: optional, "@types/express": optional, "@types/node": optional, react: optional },
      ...{ "@nestjs/common": optional, "@nestjs/core": optional },
      ...{ fastify: optional, hono: optional, koa: optional, "@types/koa": optional },
    });
  });

  const readToTheEnd = `
    const sessions = createActiveSessions();
    const session = await sessions.get("user");
    const runner = await session.createSequenceRunner(async function* () {
      for (let i = 0; i < 25; i++) yield i;
    });
    const pages = [];
    let page;
    do {
      page = await runner.getRequired({ advance: 10 });
      pages.push(page.result.length);
    } while (page.status === "progressed" || page.status === "stalled");
    await sessions.close();
    console.log(JSON.stringify({ pages, status: page.status, position: page.position }));`;
  const read = { pages: [10, 10, 5], status: "completed", position: 25 };

  test("reads a sequence to its end in JavaScript that imports it", async () => {
    const script = `import { createActiveSessions } from "active-session";\n${readToTheEnd}`;
    expect(await output("import.mjs", script)).toEqual(read);
  });

  test("reads a sequence to its end in JavaScript that requires it", async () => {
    const script = `const { createActiveSessions } = require("active-session");\n(async () => {${readToTheEnd}\n})();`;
    expect(await output("require.cjs", script)).toEqual(read);
  });

  const serveAndFollow = `
    const sessions = createActiveSessions();
    const app = express();
    app.use(activeSession(sessions));
    app.use("/runners", runnerRouter(sessions));
    app.post("/count", async (req, res) => {
      const runner = await req.activeSession.createSequenceRunner(Array.from({ length: 25 }, (_, i) => i));
      const page = await runner.getRequired({ advance: 10 });
      res.status(201).json({ key: runner.key, ...page });
    });
    const server = app.listen(0, "127.0.0.1", async () => {
      const url = "http://127.0.0.1:" + server.address().port;
      const response = await fetch(url + "/count", { method: "POST" });
      const { key, result, position } = await response.json();
      const headers = { cookie: response.headers.getSetCookie()[0].split(";")[0] };
      const follower = createClient(url + "/runners", { headers }).follow(key, { offset: position });
      for await (const item of follower) result.push(item);
      await sessions.close();
      server.close();
      server.closeAllConnections();
      console.log(JSON.stringify({ result, status: follower.status }));
    });`;
  const followed = { result: Array.from({ length: 25 }, (_, i) => i), status: "completed" };
  const parts = [
    ["express", "express"],
    ["{ createActiveSessions }", "active-session"],
    ["{ createClient }", "active-session/client"],
    ["{ activeSession, runnerRouter }", "active-session/express"],
  ];

  test("serves a runner by Express and follows it, imported", async () => {
    const imports = parts.map(([names, from]) => `import ${names} from "${from}";`).join("\n");
    expect(await output("route.mjs", `${imports}\n${serveAndFollow}`)).toEqual(followed);
  });

  test("serves a runner by Express and follows it, required", async () => {
    const requires = parts.map(([names, from]) => `const ${names} = require("${from}");`).join("\n");
    expect(await output("route.cjs", `${requires}\n${serveAndFollow}`)).toEqual(followed);
  });

  const app = `
    import { createServer } from "node:http";
    import express from "express";
    import { ActiveSessionError, createActiveSessions, type ProcessRunner, type SequenceRunner } from "active-session";
    import { activeSession, runnerRouter } from "active-session/express";
    import * as plain from "active-session/node";
    declare global {
      namespace Express {
        interface ActiveSessionServices { readonly db: string }
      }
    }
    const sessions = createActiveSessions({ services: (session) => ({ db: session.id }) });
    const app = express();
    app.use(activeSession(sessions, { identify: (req) => req.get("x-user") }));
    app.use("/runners", runnerRouter(sessions));
    app.post("/count", async (req, res) => {
      const runner: SequenceRunner<number> = await req.activeSession.createSequenceRunner(async function* ({ signal }) {
        if (!signal.aborted) yield 1;
      });
      const { result, error } = await runner.getRequired({ advance: 1 });
      const numbers: number[] = result;
      const stream: ReadableStream<number> = runner.toReadableStream();
      await stream.cancel();
      res.json({ numbers, isOurs: ActiveSessionError.is(error), db: req.activeSession.services.db.length });
    });
    const withSession = plain.activeSession(sessions);
    createServer(async (req, res) => {
      const { activeSession } = await withSession(req, res);
      const runner: ProcessRunner<string> = await activeSession.createProcessRunner(async () => "done");
      res.end(runner.key);
    });
    await sessions[Symbol.asyncDispose]();`;
  const page = `
    import { ActiveSessionError, createClient, type RunnerFollower } from "active-session/client";
    const client = createClient("/runners", { headers: () => ({ "x-user": "me" }), credentials: "include", fetch });
    createClient("/runners", { headers: new Headers({ "x-user": "me" }) });
    createClient("/runners", { headers: [["x-user", "me"]] });
    const follower: RunnerFollower<{ line: number }> = client.follow<{ line: number }>("key", { offset: "now" });
    for await (const { line } of follower) line.toFixed();
    if (ActiveSessionError.is(follower.error)) follower.error.code.length;
    // @ts-expect-error
    createClient("/runners", { headers: 5 });
    // @ts-expect-error
    createClient("/runners", { credentials: "sometimes" });`;

  const projects = {
    "a server and a client, with Node's types alone,": {
      files: ["app.ts", "page.ts"],
      lib: ["ES2023"],
      types: ["node"],
    },
    "a client, with the DOM's types alone,": { files: ["page.ts"], lib: ["ES2023", "DOM"], types: [] },
  };
  const modules = { nodenext: "NodeNext", bundler: "ESNext" };
  const [server, client] = Object.keys(projects) as (keyof typeof projects)[];

  test.each([
    [server!, "TypeScript 7", "nodenext"],
    [server!, "TypeScript 7", "bundler"],
    [client!, "TypeScript 7", "nodenext"],
    [client!, "TypeScript 7", "bundler"],
    [server!, "TypeScript 5", "nodenext"], // it is slow: each project and each resolution once
    [client!, "TypeScript 5", "bundler"],
  ] as const)("%s compiles with %s and moduleResolution %s", async (project, compiler, moduleResolution) => {
    const { files, lib, types } = projects[project];
    // Nothing is skipped: a declaration of ours that does not compile fails the user's project.
    const strict = { strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false };
    const resolution = { module: modules[moduleResolution], moduleResolution };
    const compilerOptions = { target: "ES2022", lib, types, ...resolution, ...strict, noEmit: true };
    writeFileSync(join(folder, "app.ts"), app);
    writeFileSync(join(folder, "page.ts"), page);
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files }));
    const tsc = join(compilers[compiler], "bin/tsc");
    const { stdout } = await run(process.execPath, [tsc], { cwd: folder }).catch((error) => error);
    expect(stdout).toBe("");
  });
});
