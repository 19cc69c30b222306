// Fails when an import goes against the house's direction (`allowed` below), type imports included;
// when client code reaches server code or Node; when files import each other in a circle; when src/ and "exports" differ.
// Usage: node scripts/check-imports.mjs [root]
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";

const root = process.argv[2] ?? ".";

/** For each folder (or entry file) in src/, the folders it may import from besides itself. */
const allowed = {
  base: [],
  wire: ["base"],
  log: ["base"],
  runner: ["base", "log"],
  session: ["base", "log", "runner"],
  http: ["base", "log", "runner", "session", "wire"],
  client: ["base", "wire"],
  "index.ts": ["base", "log", "runner", "session"],
  "express.ts": ["base", "session", "http"],
  "node.ts": ["base", "session", "http"],
  "fetch.ts": ["base", "session", "http"],
  "hono.ts": ["base", "session", "http"],
  "koa.ts": ["base", "session", "http"],
  "fastify.ts": ["base", "session", "http"],
  "nest.ts": ["base", "session", "http", "express.ts", "fastify.ts"],
  "awilix.ts": ["base", "session", "http"],
  "client.ts": ["base", "wire", "client"],
  "resume.ts": ["client"],
  testing: ["base", "client", "client.ts", "http", "session"],
  "testing.ts": ["testing"],
  react: ["base", "client"],
  "react.ts": ["react"],
};
/** What runs in a browser, too. */
const neutral = ["base", "wire", "client", "client.ts", "resume.ts", "react", "react.ts"];

const problems = [];
const graph = new Map();
for (const file of sources(join(root, "src"))) check(file);
for (const circle of circles()) problems.push(`circle: ${circle.join(" → ")}`);
checkEntries();
for (const problem of problems) console.error(problem);
process.exit(problems.length === 0 ? 0 : 1);

function sources(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return sources(path);
    return /\.tsx?$/.test(entry.name) && !/\.test\.tsx?$/.test(entry.name) ? [path] : [];
  });
}

function check(file) {
  const path = relative(join(root, "src"), file).split("\\").join("/");
  const area = path.split("/")[0];
  const text = readFileSync(file, "utf8");
  const specifiers = [
    ...text.matchAll(
      /^\s*(?:import|export)\b[^"';]*?from\s*["']([^"']+)["']|^\s*import\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']\s*\)/gm,
    ),
  ];
  const targets = [];
  for (const [, from, bare, dynamic] of specifiers) {
    const specifier = from ?? bare ?? dynamic;
    if (!specifier.startsWith(".")) {
      if (specifier.startsWith("node:") && neutral.includes(area))
        problems.push(`${path}: ${specifier} is not there in a browser`);
      continue;
    }
    const target = posix.join(dirname(path), specifier).replace(/\.js$/, ".ts");
    targets.push(target);
    const targetArea = target.split("/")[0];
    if (targetArea === area) continue;
    if (!allowed[area]) problems.push(`${path}: ${area} has no place in the order of imports`);
    else if (!allowed[area].includes(targetArea))
      problems.push(`${path}: ${area} must not import from ${targetArea} (${specifier})`);
  }
  graph.set(path, targets);
}

function circles() {
  const found = [];
  const state = new Map();
  const visit = (file, trail) => {
    state.set(file, "open");
    for (const target of graph.get(file) ?? []) {
      if (state.get(target) === "open") found.push([...trail.slice(trail.indexOf(target)), target]);
      else if (!state.has(target)) visit(target, [...trail, target]);
    }
    state.set(file, "done");
  };
  for (const file of graph.keys()) if (!state.has(file)) visit(file, [file]);
  return found;
}

function checkEntries() {
  const { exports } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const files = [...graph.keys()].filter((path) => !path.includes("/")).map((path) => path.replace(/\.tsx?$/, ""));
  const entries = Object.keys(exports)
    .filter((key) => key !== "./package.json")
    .map((key) => (key === "." ? "index" : key.slice(2)));
  for (const file of files)
    if (!entries.includes(file)) problems.push(`src/${file}.ts is no entry of package.json "exports"`);
  for (const entry of entries)
    if (!files.includes(entry)) problems.push(`package.json exports ${entry}, which src/ does not have`);
}
