/** Walks a folder. */
import { opendir, stat } from "node:fs/promises";
import { join, relative } from "node:path";

/** A file, relative to the folder. */
export interface FoundFile {
  readonly name: string;
  readonly size: number;
}

/** All files under a folder, those of a folder before those of the folders in it. Stops when `signal` aborts. */
export async function* filesIn(
  root: string,
  signal: AbortSignal,
  folder: string = root,
): AsyncGenerator<FoundFile, void> {
  const folders: string[] = [];
  const files: string[] = [];
  for await (const entry of await opendir(folder)) {
    if (entry.isDirectory()) folders.push(entry.name);
    else if (entry.isFile()) files.push(entry.name);
  }
  signal.throwIfAborted();
  for (const name of files.sort()) {
    const path = join(folder, name);
    yield { name: relative(root, path), size: (await stat(path)).size };
  }
  for (const name of folders.sort()) yield* filesIn(root, signal, join(folder, name));
}
