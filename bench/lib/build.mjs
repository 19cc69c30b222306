// The build of another commit, beside this one: in a folder of the project, so that its packages are found.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Builds a commit, once; gives the address of its `dist` folder. Throws if there is no such commit or it does not build. */
export function buildOf(reference) {
  const commit = git(["rev-parse", "--verify", `${reference}^{commit}`]).trim();
  const folder = `${root}.bench/${commit}`;
  if (!existsSync(`${folder}/dist/index.js`)) {
    git(["worktree", "prune"]);
    if (!existsSync(folder)) git(["worktree", "add", "--detach", folder, commit]);
    run(process.execPath, [`${root}node_modules/typescript/bin/tsc`, "-b"], folder);
  }
  return pathToFileURL(`${folder}/dist/`).href;
}

function git(args) {
  return run("git", args, root);
}

function run(command, args, cwd) {
  const { status, stdout, stderr } = spawnSync(command, args, { cwd, encoding: "utf8" });
  if (status !== 0) throw new Error(`${command} ${args.join(" ")} failed: ${stderr || stdout}`);
  return stdout;
}
