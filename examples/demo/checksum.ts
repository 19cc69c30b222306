/** Hashes every file under a folder. */
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { type FoundFile, filesIn } from "./files.js";

/** How far the work has come; at its end with what it has found. */
export interface Checksums {
  /** Files hashed so far: as many as there are reports. */
  readonly files: number;
  /** Files there are. */
  readonly of: number;
  /** Bytes hashed so far, and bytes there are. */
  readonly bytes: number;
  readonly ofBytes: number;
  /** How long it has taken so far, ms. */
  readonly elapsed: number;
  /** The file hashed last. */
  readonly latest?: string;
  /** At the end: what each entry of the folder has come to. */
  readonly entries?: readonly Entry[];
}

/** One entry of the folder: a file, or a folder with all that is in it. */
export interface Entry {
  readonly name: string;
  readonly files: number;
  readonly bytes: number;
  /** SHA-256, hexadecimal: over the names and hashes of all its files, in order. */
  readonly sha256: string;
}

/** Reports after every file, and returns the whole. Stops when `signal` aborts. */
export async function checksum(
  folder: string,
  report: (value: Checksums, estimatedEnd?: number) => void,
  signal: AbortSignal,
): Promise<Checksums> {
  const found: FoundFile[] = [];
  const began = performance.now();
  const elapsed = () => Math.round(performance.now() - began);
  for await (const file of filesIn(folder, signal)) found.push(file);
  const ofBytes = found.reduce((sum, { size }) => sum + size, 0);
  const totals = new Map<string, { files: number; bytes: number; hash: ReturnType<typeof createHash> }>();
  let [files, bytes] = [0, 0];
  for (const { name, size } of found) {
    const digest = await hashOf(join(folder, name), signal);
    const [top = name] = name.split(/[\\/]/);
    const total = totals.get(top) ?? { files: 0, bytes: 0, hash: createHash("sha256") };
    totals.set(top, total);
    total.hash.update(`${name}\0${digest}\n`);
    total.files++;
    total.bytes += size;
    files++;
    bytes += size;
    report({ files, of: found.length, bytes, ofBytes, elapsed: elapsed(), latest: name }, found.length + 1);
  }
  const entries = [...totals].map(([name, { hash, ...sums }]) => ({ name, ...sums, sha256: hash.digest("hex") }));
  return { files, of: found.length, bytes, ofBytes, elapsed: elapsed(), entries };
}

async function hashOf(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash, { signal });
  return hash.digest("hex");
}
