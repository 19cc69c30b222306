/**
 * Results as JSON text. The encoder sits in the read itself, so that just what it takes counts as handed out: what JSON cannot
 * carry (a BigInt, a cycle, a `toJSON` that throws) ends the slice before it, and a slice cannot begin with it.
 */
import { ActiveSessionError } from "../base/error.js";
import type { Slice } from "../log/result-log.js";
import type { InternalReadRequest, Runner } from "../runner/runner.js";

/** How much JSON an answer may have. */
export interface PageLimits {
  /** Bytes of a page; it has one item at least, whatever its size. */
  readonly bytes: number;
  /** Bytes of one item. */
  readonly itemBytes: number;
}

/** A slice and its items as a JSON array. */
export interface EncodedSlice {
  readonly slice: Slice<unknown>;
  readonly text: string;
  readonly isEmpty: boolean;
  /** Whether no further item would fit. */
  readonly isFull: boolean;
}

/** Items as a JSON array. */
export interface EncodedItems {
  readonly text: string;
  /** How many of the items it has. */
  readonly count: number;
  /** Whether no further item would fit. */
  readonly isFull: boolean;
}

type OwnReadRequest = { -readonly [Name in keyof InternalReadRequest]: InternalReadRequest[Name] };

/**
 * Reads a slice that can be sent, of as many items as fit into the limits, but of one item at least.
 * @param request is completed here: a copy of it would cost as much as the rest of the read
 * @throws what a read throws, also as one that rejects; `RESULT_NOT_SERIALIZABLE` or `ITEM_TOO_LARGE` for the first item
 */
export function readEncoded(
  runner: Runner,
  request: OwnReadRequest,
  limits: PageLimits,
): EncodedSlice | Promise<EncodedSlice> {
  let encoded = nothing;
  request.accept = (items) => {
    encoded = encodeShared(runner, request, items, limits);
    return encoded.count;
  };
  const asEncoded = (slice: Slice<unknown>) => {
    const { text, isFull } = encoded;
    return { slice, text, isEmpty: text === "[]", isFull };
  };
  const slice = runner.read(request);
  return slice instanceof Promise ? slice.then(asEncoded) : asEncoded(slice);
}

const nothing: EncodedItems = { text: "[]", count: 0, isFull: false };

/** What was encoded last, in this very step. */
let latest:
  | { runner: Runner; start: number; first: unknown; length: number; limits: PageLimits; encoded: EncodedItems }
  | undefined;

/** Reads that wait at the same position are given the same items in one step: these are encoded once for all of them. */
function encodeShared(
  runner: Runner,
  { start, min }: InternalReadRequest,
  items: readonly unknown[],
  limits: PageLimits,
): EncodedItems {
  const { length } = items;
  if (typeof start !== "number" || min === undefined) return encodeItems(items, limits);
  const isSame = latest?.start === start && latest.length === length && latest.first === items[0];
  if (isSame && latest?.runner === runner && latest.limits === limits) return latest.encoded;
  const encoded = encodeItems(items, limits);
  if (!latest) void settled.then(forgetLatest);
  latest = { runner, start, first: items[0], length, limits, encoded };
  return encoded;
}

const settled = Promise.resolve();

function forgetLatest(): void {
  latest = undefined;
}

/** Encodes as many of the items as JSON can carry and the limits allow; throws if it cannot carry the first, or that is too large. */
export function encodeItems(items: readonly unknown[], limits: PageLimits): EncodedItems {
  try {
    return encodeWithin(items, limits) ?? encodeOneByOne(items, limits);
  } catch {
    return encodeOneByOne(items, limits);
  }
}

/** The first batch is small, because nothing is known yet of how large an item is: one for so many bytes, but not many. */
const firstPerBytes = 125_000;
const mostFirst = 8;

/**
 * In batches, each as large as those before let expect: an item that is encoded and does not fit is encoded again for the next slice,
 * and with large items that would be nearly all of them each time. `undefined`: some do not fit.
 */
function encodeWithin(items: readonly unknown[], { bytes, itemBytes }: PageLimits): EncodedItems | undefined {
  const first = Math.min(mostFirst, Math.max(1, Math.floor(bytes / firstPerBytes)));
  let count = Math.min(first, items.length);
  let text = JSON.stringify(count === items.length ? items : items.slice(0, count));
  let size = Buffer.byteLength(text);
  if (size > Math.min(bytes, itemBytes)) return undefined;
  while (count < items.length) {
    const fitting = Math.floor((bytes - size) / (size / count));
    if (fitting <= 0) break;
    const batch = items.slice(count, count + Math.min(fitting, 16 * count));
    const more = JSON.stringify(batch);
    const moreSize = Buffer.byteLength(more);
    if (size + moreSize > bytes || moreSize > itemBytes) return undefined;
    text = `${text.slice(0, -1)},${more.slice(1)}`;
    size += moreSize - 1;
    count += batch.length;
  }
  return { text, count, isFull: count < items.length };
}

function encodeOneByOne(items: readonly unknown[], limits: PageLimits): EncodedItems {
  const texts: string[] = [];
  let size = 2;
  for (const item of items) {
    try {
      const text = encodeItem(item, limits);
      size += Buffer.byteLength(text) + 1;
      if (texts.length > 0 && size > limits.bytes) break;
      texts.push(text);
    } catch (error) {
      if (texts.length > 0) break;
      throw error;
    }
  }
  const isFull = texts.length < items.length || size >= limits.bytes;
  return { text: `[${texts.join(",")}]`, count: texts.length, isFull };
}

function encodeItem(item: unknown, { itemBytes }: PageLimits): string {
  let text: string;
  try {
    text = JSON.stringify([item]).slice(1, -1); // within an array, `undefined` and functions have a form: null
  } catch (cause) {
    if (cause instanceof RangeError && /string length/i.test(cause.message)) throw itemTooLarge(itemBytes);
    throw new ActiveSessionError("RESULT_NOT_SERIALIZABLE", "Cannot answer: the result has no JSON form", { cause });
  }
  if (Buffer.byteLength(text) > itemBytes) throw itemTooLarge(itemBytes);
  return text;
}

function itemTooLarge(itemBytes: number): ActiveSessionError {
  const hint = "See the router's option maxItemBytes";
  return new ActiveSessionError(
    "ITEM_TOO_LARGE",
    `Cannot answer: the JSON of a result must not have more than ${itemBytes} bytes, received more. ${hint}`,
  );
}
