/**
 * Results as JSON text. What JSON cannot carry (a BigInt, a cycle, a `toJSON` that throws) ends the slice before it; a slice
 * that would begin with it cannot be answered.
 */
import { ActiveSessionError } from "../base/error.js";

/** The encoded beginning of some items: a JSON array, and how many items it holds. */
export interface EncodedItems {
  readonly text: string;
  readonly count: number;
}

/**
 * Encodes as many items as JSON can carry.
 * @throws `RESULT_NOT_SERIALIZABLE` if there are items, and the first of them cannot be encoded
 */
export function encodeItems(items: readonly unknown[]): EncodedItems {
  try {
    return { text: JSON.stringify(items), count: items.length };
  } catch {
    return encodeOneByOne(items);
  }
}

function encodeOneByOne(items: readonly unknown[]): EncodedItems {
  const texts: string[] = [];
  for (const item of items) {
    try {
      texts.push(JSON.stringify([item]).slice(1, -1)); // within an array, `undefined` and functions have a form: null
    } catch (cause) {
      if (texts.length > 0) break;
      throw new ActiveSessionError("RESULT_NOT_SERIALIZABLE", "Cannot answer: the result has no JSON form", { cause });
    }
  }
  return { text: `[${texts.join(",")}]`, count: texts.length };
}
