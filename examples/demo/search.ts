/** Looks for a word in all source files under a folder. */
import { opendir, readFile } from "node:fs/promises";
import { extname, join, relative } from "node:path";

/** A line that contains the word. */
export interface Match {
  /** The file, relative to the folder. */
  readonly file: string;
  /** The line's number, from 1. */
  readonly line: number;
  /** The line, shortened around the word if it is long. */
  readonly text: string;
  /** Where in `text` the word begins, and how long it is. */
  readonly at: number;
  readonly length: number;
}

const extensions = new Set([".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".css", ".html", ".vue"]);
const longestText = 160;
/** The page keeps all matches and shows them again after a reload, so there must be an end to them. */
const mostMatches = 20_000;

/** Yields the matches file by file, as they are found; the case of letters does not matter. Stops when `signal` aborts. */
export async function* search(folder: string, word: string, signal: AbortSignal): AsyncGenerator<Match, void> {
  const wanted = word.toLowerCase();
  let found = 0;
  for await (const path of sourceFiles(folder)) {
    signal.throwIfAborted();
    const lines = (await readFile(path, { encoding: "utf8", signal })).split(/\r?\n/);
    for (const [index, line] of lines.entries()) {
      const at = line.toLowerCase().indexOf(wanted);
      if (at < 0) continue;
      yield { file: relative(folder, path), line: index + 1, length: wanted.length, ...excerpt(line, at) };
      if (++found === mostMatches) return;
    }
  }
}

async function* sourceFiles(folder: string): AsyncGenerator<string, void> {
  const folders: string[] = [];
  for await (const entry of await opendir(folder)) {
    if (entry.isDirectory()) folders.push(entry.name);
    else if (entry.isFile() && extensions.has(extname(entry.name))) yield join(folder, entry.name);
  }
  for (const name of folders.sort()) yield* sourceFiles(join(folder, name));
}

/** Minified files have lines of a megabyte: only what stands around the word is worth sending. */
function excerpt(line: string, at: number): { text: string; at: number } {
  const begin = Math.max(0, at - longestText / 2);
  const text = line.slice(begin, begin + longestText);
  const indent = text.length - text.trimStart().length;
  return { text: text.trim(), at: at - begin - indent };
}
