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
  /** Whether the text of each item is wanted, too. Default: that of the array only. */
  readonly keepsTexts?: boolean;
}

/** A slice and its items as a JSON array. */
export interface EncodedSlice {
  readonly slice: Slice<unknown>;
  readonly text: string;
  readonly isEmpty: boolean;
  /** Whether no further item would fit. */
  readonly isFull: boolean;
  /** The JSON of each item, where the limits ask for it. */
  readonly texts?: readonly string[] | undefined;
}

/** Items as a JSON array. */
export interface EncodedItems {
  readonly text: string;
  /** Its length in bytes. */
  readonly size: number;
  /** How many of the items it has. */
  readonly count: number;
  /** Whether no further item would fit. */
  readonly isFull: boolean;
  /** The JSON of each item, where the limits ask for it. */
  readonly texts?: readonly string[] | undefined;
}

type OwnReadRequest = { -readonly [Name in keyof InternalReadRequest]: InternalReadRequest[Name] } & {
  /** For a read that waits: at how many items to look again whether they fill a page; 0: they do. */
  readonly lookAgainAt?: (encoded: EncodedItems) => number;
};

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
  const { lookAgainAt } = request;
  if (lookAgainAt) request.probe = (items) => probe(() => lookAgainAt(encodeShared(runner, request, items, limits)));
  const asEncoded = (slice: Slice<unknown>) => {
    const { text, isFull, texts } = encoded;
    return { slice, text, isEmpty: text === "[]", isFull, texts };
  };
  const slice = runner.read(request);
  return slice instanceof Promise ? slice.then(asEncoded) : asEncoded(slice);
}

/** What cannot be encoded, the read itself says. */
function probe(look: () => number): number {
  try {
    return look();
  } catch {
    return 0;
  }
}

const nothing: EncodedItems = { text: "[]", size: 2, count: 0, isFull: false };

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
  if (typeof start !== "number" || min === undefined) return encodeFor(runner, items, limits);
  const isSame = latest?.start === start && latest.length === length && latest.first === items[0];
  if (isSame && latest?.runner === runner && latest.limits === limits) return latest.encoded;
  const encoded = encodeFor(runner, items, limits);
  if (!latest) void settled.then(forgetLatest);
  latest = { runner, start, first: items[0], length, limits, encoded };
  return encoded;
}

/** How many bytes an item of a runner has, as far as is known; `Infinity`: some are much larger than others. */
const averages = new WeakMap<Runner, number>();
/** So many items may be encoded in one go where their size is known. */
const mostAtOnce = 128;

/** In one go, which costs a fifth less, where the runner's items so far let expect that they take a small part of a page only. */
function encodeFor(runner: Runner, items: readonly unknown[], limits: PageLimits): EncodedItems {
  if (limits.keepsTexts) return encodeEach(items, limits);
  const average = averages.get(runner);
  const isSmall = average !== undefined && items.length <= mostAtOnce && 4 * average * items.length <= limits.bytes;
  if (isSmall && items.length > mostFirst) {
    const made = new JsonArray();
    if (addBatch(made, items, limits)) return { text: made.text, size: made.size, count: made.count, isFull: false };
    averages.set(runner, Number.POSITIVE_INFINITY);
  }
  const encoded = encodeItems(items, limits);
  if (average === undefined && encoded.count === items.length && encoded.count > 0) {
    averages.set(runner, encoded.size / encoded.count);
  }
  return encoded;
}

const settled = Promise.resolve();

function forgetLatest(): void {
  latest = undefined;
}

/** The first batch is small, because nothing is known yet of how large an item is: one for so many bytes, but not many. */
const firstPerBytes = 125_000;
const mostFirst = 8;
/** What is encoded in one go, and may not fit. */
const mostInBatch = 64;

/**
 * Encodes as many of the items as JSON can carry and the limits allow; throws if it cannot carry the first, or that is too large.
 *
 * In batches, each as large as those before let expect, and at most thrice as large as all of them: what is encoded and does not fit is
 * encoded for nothing. From the first batch on that does not fit, one by one.
 */
export function encodeItems(items: readonly unknown[], limits: PageLimits): EncodedItems {
  const { bytes } = limits;
  const made = new JsonArray();
  while (made.count < items.length) {
    const expected =
      made.count === 0
        ? Math.min(mostFirst, Math.max(1, Math.floor(bytes / firstPerBytes)))
        : Math.min(3 * made.count, mostInBatch, Math.floor((bytes - made.size) / (made.size / made.count)));
    if (expected <= 0) break;
    const isAll = made.count === 0 && expected >= items.length;
    const batch = isAll ? items : items.slice(made.count, made.count + expected);
    if (!addBatch(made, batch, limits)) {
      addOneByOne(made, items.slice(made.count), limits);
      break;
    }
  }
  const { text, size, count } = made;
  return { text, size, count, isFull: count > 0 && (count < items.length || size >= bytes) };
}

/** As {@link encodeItems}, one by one, and keeps the text of each. */
function encodeEach(items: readonly unknown[], limits: PageLimits): EncodedItems {
  const made = new JsonArray();
  made.texts = [];
  addOneByOne(made, items, limits);
  const { text, size, count, texts } = made;
  return { text, size, count, isFull: count > 0 && (count < items.length || size >= limits.bytes), texts };
}

/** A JSON array that grows. */
class JsonArray {
  text = "[]";
  /** Those of the items that were added one by one, if they are to be kept. */
  texts: string[] | undefined;
  /** Bytes. */
  size = 2;
  count = 0;

  /** How large it would be with an array of so many bytes. */
  sizeWith(size: number): number {
    return this.count === 0 ? size : this.size + size - 1;
  }

  /** Adds items that are an array of their own, of so many bytes. */
  add(array: string, size: number, count: number): void {
    this.text = this.count === 0 ? array : `${this.text.slice(0, -1)},${array.slice(1)}`;
    this.size = this.sizeWith(size);
    this.count += count;
  }
}

/** Returns whether all of them fit, and could be encoded; if not, nothing is added. */
function addBatch(made: JsonArray, batch: readonly unknown[], { bytes, itemBytes }: PageLimits): boolean {
  let text: string;
  try {
    if (batch.some(isUnsendable)) return false;
    text = JSON.stringify(batch);
  } catch {
    return false;
  }
  const size = Buffer.byteLength(text);
  if (made.sizeWith(size) > bytes || size > itemBytes) return false;
  made.add(text, size, batch.length);
  return true;
}

function addOneByOne(made: JsonArray, items: readonly unknown[], limits: PageLimits): void {
  for (const item of items) {
    try {
      const own = encodeItem(item, limits);
      const text = `[${own}]`;
      const size = Buffer.byteLength(text);
      if (made.count > 0 && made.sizeWith(size) > limits.bytes) return;
      made.add(text, size, 1);
      made.texts?.push(own);
    } catch (error) {
      if (made.count > 0) return;
      throw error;
    }
  }
}

/** JSON makes `{}` of a Map or a Set, and an object with a property for each byte of bytes: nobody means that. */
function isUnsendable(item: unknown): boolean {
  if (typeof item !== "object" || item === null || item.constructor === Object || "toJSON" in item) return false;
  return ArrayBuffer.isView(item) || item instanceof ArrayBuffer || item instanceof Map || item instanceof Set;
}

function encodeItem(item: unknown, { itemBytes }: PageLimits): string {
  if (isUnsendable(item)) {
    const hint = "Decode bytes, and spread a Map or a Set into an array";
    throw new ActiveSessionError("RESULT_NOT_SERIALIZABLE", `Cannot answer: the result has no JSON form. ${hint}`);
  }
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
