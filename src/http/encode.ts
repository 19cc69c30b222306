/**
 * Results as JSON text. The encoder sits in the read itself, so that just what it takes counts as handed out: what JSON cannot
 * carry (a BigInt, a cycle, a `toJSON` that throws) ends the slice before it, and a slice cannot begin with it.
 */
import { ActiveSessionError } from "../base/error.js";
import type { Slice } from "../log/result-log.js";
import type { InternalReadRequest, Runner } from "../runner/runner.js";

/** A slice and its items as a JSON array. */
export interface EncodedSlice {
  readonly slice: Slice<unknown>;
  readonly text: string;
  readonly isEmpty: boolean;
}

type OwnReadRequest = { -readonly [Name in keyof InternalReadRequest]: InternalReadRequest[Name] };

/**
 * Reads a slice that can be sent, of about `textLimit` characters at most, but of one item at least.
 * @param request is completed here: a copy of it would cost as much as the rest of the read
 * @throws what a read throws, also as one that rejects, and `RESULT_NOT_SERIALIZABLE` if the first item has no JSON form
 */
export function readEncoded(
  runner: Runner,
  request: OwnReadRequest,
  textLimit = Number.POSITIVE_INFINITY,
): EncodedSlice | Promise<EncodedSlice> {
  let text = "[]";
  request.accept = (items) => {
    const encoded = encodeShared(runner, request, items, textLimit);
    text = encoded.text;
    return encoded.count;
  };
  const asEncoded = (slice: Slice<unknown>) => ({ slice, text, isEmpty: text === "[]" });
  const slice = runner.read(request);
  return slice instanceof Promise ? slice.then(asEncoded) : asEncoded(slice);
}

type Encoded = ReturnType<typeof encodeItems>;

/** What was encoded last, in this very step. */
let latest:
  | { runner: Runner; start: number; first: unknown; length: number; textLimit: number; encoded: Encoded }
  | undefined;

/** Those who wait at the same place are given the same items one after the other, in one step: it is encoded once for all of them. */
function encodeShared(
  runner: Runner,
  { start, min }: InternalReadRequest,
  items: readonly unknown[],
  textLimit: number,
): Encoded {
  const { length } = items;
  if (typeof start !== "number" || min === undefined) return encodeItems(items, textLimit);
  const isSame = latest?.start === start && latest.length === length && latest.first === items[0];
  if (isSame && latest?.runner === runner && latest.textLimit === textLimit) return latest.encoded;
  const encoded = encodeItems(items, textLimit);
  if (!latest) void settled.then(forgetLatest);
  latest = { runner, start, first: items[0], length, textLimit, encoded };
  return encoded;
}

const settled = Promise.resolve();

function forgetLatest(): void {
  latest = undefined;
}

/** Encodes as many of the items as JSON can carry and the limit allows; throws if it cannot carry the first. */
export function encodeItems(items: readonly unknown[], textLimit: number): { text: string; count: number } {
  try {
    if (textLimit < Number.POSITIVE_INFINITY) return encodeWithin(items, textLimit);
    return { text: JSON.stringify(items), count: items.length };
  } catch {
    return encodeOneByOne(items, textLimit);
  }
}

/**
 * In batches, each as large as those before let expect: what is encoded and does not fit is encoded again for the next slice, and with
 * large items that would be nearly all of them each time.
 */
function encodeWithin(items: readonly unknown[], textLimit: number): { text: string; count: number } {
  let count = Math.min(1, items.length);
  let text = JSON.stringify(items.slice(0, count));
  while (count < items.length) {
    const fitting = Math.floor((textLimit - text.length) / (text.length / count));
    if (fitting <= 0) break;
    const batch = items.slice(count, count + Math.min(fitting, 16 * count));
    const more = JSON.stringify(batch);
    if (text.length + more.length > textLimit) return encodeOneByOne(items, textLimit);
    text = `${text.slice(0, -1)},${more.slice(1)}`;
    count += batch.length;
  }
  return { text, count };
}

function encodeOneByOne(items: readonly unknown[], textLimit: number): { text: string; count: number } {
  const texts: string[] = [];
  let length = 2;
  for (const item of items) {
    try {
      const text = JSON.stringify([item]).slice(1, -1); // within an array, `undefined` and functions have a form: null
      length += text.length + 1;
      if (texts.length > 0 && length > textLimit) break;
      texts.push(text);
    } catch (cause) {
      if (texts.length > 0) break;
      throw new ActiveSessionError("RESULT_NOT_SERIALIZABLE", "Cannot answer: the result has no JSON form", { cause });
    }
  }
  return { text: `[${texts.join(",")}]`, count: texts.length };
}
