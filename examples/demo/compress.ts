/** Compresses every file under a folder, and throws the result away. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { filesIn } from "./files.js";

/** One file. */
export interface Compressed {
  readonly name: string;
  readonly bytes: number;
  readonly packed: number;
}

const compressBuffer = promisify(gzip);

/** Yields file by file. Stops when `signal` aborts. */
export async function* compress(folder: string, signal: AbortSignal): AsyncGenerator<Compressed, void> {
  for await (const { name, size } of filesIn(folder, signal)) {
    const packed = await compressBuffer(await readFile(join(folder, name), { signal }), { level: 9 });
    yield { name, bytes: size, packed: packed.length };
  }
}
