// `node scripts/check-words.mjs`: fails where a tracked text file has a word that plain technical English avoids, one line for each
// finding, `file:line: word`. Say what it is instead: the caller, the client, a request, any, no listener, again, from the start.
import { execFileSync } from "node:child_process";
import { lstatSync, readFileSync } from "node:fs";

const words = /\b(?:whoever|whichever|somebody|nobody|anew)\b|See the top of the file/gi;
/** Not ours to word, and this file, which has to name them. */
const skipped = new Set(["package-lock.json", "docs/benchmark.svg", "scripts/check-words.mjs"]);

const root = new URL("..", import.meta.url);
const listed = execFileSync("git", ["ls-files", "-z"], { cwd: root, encoding: "utf8" }).split("\0");
const files = listed.filter((file) => file && !skipped.has(file) && !file.endsWith("/package-lock.json"));
const findings = files.flatMap((file) => {
  // A deleted file is listed until the deletion is staged; a symbolic link is not followed.
  if (!lstatSync(new URL(file, root), { throwIfNoEntry: false })?.isFile()) return [];
  const bytes = readFileSync(new URL(file, root));
  if (bytes.includes(0)) return []; // binary
  const lines = bytes.toString("utf8").split("\n");
  return lines.flatMap((line, i) => (line.match(words) ?? []).map((word) => `${file}:${i + 1}: ${word}`));
});

for (const finding of findings) console.error(finding);
process.exitCode = findings.length > 0 ? 1 : 0;
