import { ActiveSessionError } from "../base/error.js";

/** Limits of the JSON that a read is given, i.e. of one response or one SSE event. */
export interface JsonLimits {
  /** Maximum JSON of all items, in bytes. There is at least one item, whatever its size. */
  readonly bytes: number;
  /** Maximum JSON of one item, in bytes; a larger one is `ITEM_TOO_LARGE`. */
  readonly itemBytes: number;
  /** True to keep the JSON of each item besides that of the array. Default: false. */
  readonly keepsTexts?: boolean;
}

/** The first items of a list as a JSON array, as many as the limits allow. */
export interface EncodedItems {
  /** The JSON array. */
  readonly text: string;
  /** Length of `text` in bytes (UTF-8). */
  readonly size: number;
  /** Number of items in the array. */
  readonly count: number;
  /** True if no further item would fit into the limits. */
  readonly isFull: boolean;
  /** The JSON of each item; only with `keepsTexts`. */
  readonly texts?: readonly string[] | undefined;
}

/** The JSON of no items. */
export const noItems: EncodedItems = { text: "[]", size: 2, count: 0, isFull: false };

/** The range of a read whose items are encoded. */
interface Range {
  readonly start?: number | "tail" | undefined;
  readonly min?: number | undefined;
}

/** The latest encoding, for other reads that settle in the same step. Dropped in the next microtask. */
let latest:
  | { codec: JsonCodec; start: number; first: unknown; length: number; limits: JsonLimits; encoded: EncodedItems }
  | undefined;

/** Maximum number of items that are encoded in one go when their average size is known. */
const mostAtOnce = 512;
/** For fewer items, two batches at most, the average is neither kept nor used: that would cost more than it saves. */
const fewestAtOnce = 33;

/**
 * Encodes the items of one log as JSON.
 *
 * An item that JSON cannot represent (a BigInt, a cycle, a `toJSON` that throws) ends the array before it. An array
 * that would begin with it is an error. `toJSON` is code of the application: it may read, acknowledge or abort the log.
 */
export class JsonCodec {
  /**
   * Average JSON of the items, in bytes, from the first read whose items were all encoded. `Infinity` if the sizes
   * differ too much.
   */
  #average: number | undefined;

  /**
   * Encodes items once for all reads that wait at the same position: these get the same items in the same step.
   * Reads that do not wait, or that start at the tail, are not shared.
   * @throws `RESULT_NOT_SERIALIZABLE` or `ITEM_TOO_LARGE` for the first item
   */
  encode({ start, min }: Range, items: readonly unknown[], limits: JsonLimits): EncodedItems {
    const { length } = items;
    if (typeof start !== "number" || min === undefined) return this.#encode(items, limits);
    const isSame = latest?.start === start && latest.length === length && latest.first === items[0];
    if (isSame && latest?.codec === this && latest.limits === limits) return latest.encoded;
    const encoded = this.#encode(items, limits);
    if (!latest) void settled.then(forgetLatest);
    latest = { codec: this, start, first: items[0], length, limits, encoded };
    return encoded;
  }

  /**
   * Estimates from the average size at how many items an array will be full. At least 1.5 times the present number,
   * so that all estimates together cost little more than the last one, and at most twice the number.
   * @param items at least one
   * @returns the number of items at which to ask again; 0 if they fill an array, or if they cannot be encoded
   */
  fullAt(range: Range, items: readonly unknown[], limits: JsonLimits): number {
    let encoded: EncodedItems;
    try {
      encoded = this.encode(range, items, limits);
    } catch {
      return 0; // the read then encodes the items itself, and rejects
    }
    const { size, count, isFull } = encoded;
    if (isFull) return 0;
    const estimate = Math.floor(limits.bytes / (size / count));
    return Math.min(Math.max(estimate, Math.ceil(1.5 * count)), 2 * count);
  }

  /**
   * Encodes in one go if the average size says that the items take at most a quarter of a page, else in batches. One
   * go costs a fifth less.
   */
  #encode(items: readonly unknown[], limits: JsonLimits): EncodedItems {
    if (limits.keepsTexts) return encodeEach(items, limits);
    if (items.length < fewestAtOnce) return encodeItems(items, limits);
    const average = this.#average;
    const isSmall = average !== undefined && 4 * average * items.length <= limits.bytes;
    if (isSmall) {
      const encoded = encodeAll(items, limits);
      if (encoded) return encoded;
      // A quarter of a page was expected: if the items do not even fit, the average is of no use for this log.
      this.#average = Number.POSITIVE_INFINITY;
    }
    const encoded = encodeItems(items, limits);
    if (average === undefined && encoded.count === items.length) this.#average = encoded.size / encoded.count;
    return encoded;
  }
}

/** Schedules the microtask that drops `latest`. */
const settled = Promise.resolve();

function forgetLatest(): void {
  latest = undefined;
}

/**
 * The first batch has one item for each 125,000 bytes of the limit: the size of the items is not known yet.
 */
const firstPerBytes = 125_000;
/** Maximum number of items in the first batch. */
const mostFirst = 8;
/** Maximum number of items in any batch, because a batch that does not fit has been encoded in vain. */
const mostInBatch = 64;

/**
 * Encodes items until one does not fit into the limits or has no JSON form.
 *
 * Works in batches: their sizes follow from the average of the items before, and are at most three times what
 * is there. From the first batch that does not fit on, the items are encoded one by one.
 * @returns the array; empty only if there are no items
 * @throws `RESULT_NOT_SERIALIZABLE` or `ITEM_TOO_LARGE` for the first item
 */
export function encodeItems(items: readonly unknown[], limits: JsonLimits): EncodedItems {
  const { bytes } = limits;
  const made = new JsonArray();
  while (made.count < items.length) {
    const expected =
      made.count === 0
        ? Math.min(mostFirst, Math.max(1, Math.floor(bytes / firstPerBytes)))
        : Math.min(3 * made.count, mostInBatch, Math.floor((bytes - made.size) / (made.size / made.count)));
    if (expected <= 0) break; // no room for an item of average size
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

/** Encodes all items, in large batches; `undefined` if one does not fit or has no JSON form. */
function encodeAll(items: readonly unknown[], limits: JsonLimits): EncodedItems | undefined {
  const made = new JsonArray();
  while (made.count < items.length) {
    const isAll = items.length <= mostAtOnce;
    const batch = isAll ? items : items.slice(made.count, made.count + mostAtOnce);
    if (!addBatch(made, batch, limits)) return undefined;
  }
  return { text: made.text, size: made.size, count: made.count, isFull: false };
}

/** As {@link encodeItems}, but one by one, and with the text of each item. */
function encodeEach(items: readonly unknown[], limits: JsonLimits): EncodedItems {
  const made = new JsonArray();
  made.texts = [];
  addOneByOne(made, items, limits);
  const { text, size, count, texts } = made;
  return { text, size, count, isFull: count > 0 && (count < items.length || size >= limits.bytes), texts };
}

/** A JSON array that grows by parts that are encoded already. */
class JsonArray {
  /** The array so far. */
  text = "[]";
  /** The JSON of each item that is added one by one; `undefined` if it is not kept. */
  texts: string[] | undefined;
  /** Length of `text` in bytes. */
  size = 2;
  /** Number of items. */
  count = 0;

  /** The size after the addition of an array of `size` bytes. */
  sizeWith(size: number): number {
    return this.count === 0 ? size : this.size + size - 1;
  }

  /** Appends the items of a JSON array of `size` bytes. */
  add(array: string, size: number, count: number): void {
    this.text = this.count === 0 ? array : `${this.text.slice(0, -1)},${array.slice(1)}`;
    this.size = this.sizeWith(size);
    this.count += count;
  }
}

/** Adds all items of a batch, or none of them; returns false if they do not fit or cannot be encoded. */
function addBatch(made: JsonArray, batch: readonly unknown[], { bytes, itemBytes }: JsonLimits): boolean {
  let text: string;
  try {
    for (let i = 0; i < batch.length; i++) if (isUnsendable(batch[i])) return false;
    text = JSON.stringify(batch);
  } catch {
    return false;
  }
  const size = Buffer.byteLength(text);
  if (made.sizeWith(size) > bytes || size > itemBytes) return false;
  made.add(text, size, batch.length);
  return true;
}

/**
 * Adds items until one does not fit or cannot be encoded. Throws only if that is the first one of the array,
 * which is added even if it exceeds the page.
 */
function addOneByOne(made: JsonArray, items: readonly unknown[], limits: JsonLimits): void {
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

/**
 * True for values that JSON would distort without an error: a Map or a Set becomes `{}`, bytes an object with
 * a property for each byte. A `toJSON` of their own makes them sendable.
 */
function isUnsendable(item: unknown): boolean {
  if (typeof item !== "object" || item === null || item.constructor === Object || "toJSON" in item) return false;
  return ArrayBuffer.isView(item) || item instanceof ArrayBuffer || item instanceof Map || item instanceof Set;
}

/**
 * The JSON of one item.
 * @throws `RESULT_NOT_SERIALIZABLE`, `ITEM_TOO_LARGE`; the message does not show the item
 */
function encodeItem(item: unknown, { itemBytes }: JsonLimits): string {
  if (isUnsendable(item)) {
    const hint = "Decode bytes, and spread a Map or a Set into an array";
    throw new ActiveSessionError("RESULT_NOT_SERIALIZABLE", `Cannot answer: the result has no JSON form. ${hint}`);
  }
  let text: string;
  try {
    text = JSON.stringify([item]).slice(1, -1); // in an array `undefined` and functions become null
  } catch (cause) {
    // V8 cannot hold the text: its message is "Invalid string length".
    if (cause instanceof RangeError && /string length/i.test(cause.message)) throw itemTooLarge(itemBytes);
    throw new ActiveSessionError("RESULT_NOT_SERIALIZABLE", "Cannot answer: the result has no JSON form", { cause });
  }
  if (Buffer.byteLength(text) > itemBytes) throw itemTooLarge(itemBytes);
  return text;
}

/** The error `ITEM_TOO_LARGE`, with the option that raises the limit. */
function itemTooLarge(itemBytes: number): ActiveSessionError {
  const hint = "See the router's option maxItemBytes";
  return new ActiveSessionError(
    "ITEM_TOO_LARGE",
    `Cannot answer: the JSON of a result must not have more than ${itemBytes} bytes, received more. ${hint}`,
  );
}
