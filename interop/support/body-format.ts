/**
 * The protocol's streams carry bytes or text as well as JSON; our runners' wire is JSON only. For the suite an append of bytes
 * or text is one item, its base64 text, and the answers of our handler are turned back into the bytes that were appended. What
 * they say of offsets, status and caching stays as it is.
 */
import type { WireResponse } from "../../src/http/wire-response.js";

/** How the appends of a stream become items, and answers become what the suite reads. */
export interface BodyFormat {
  /** The items of one append; throws on a body that does not fit. */
  itemsOf(body: Buffer): unknown[];
  /** The body of a page or a long-poll, from our JSON text. */
  encodePage(json: string): WireResponse["body"];
  /** The data of an SSE event, from our JSON text. */
  encodeEvent(json: string): string;
  /** What the protocol wants the client to know of SSE data. */
  readonly sseHeaders: Readonly<Record<string, string>>;
}

const json: BodyFormat = {
  itemsOf: (body) => {
    const value: unknown = JSON.parse(body.toString());
    return Array.isArray(value) ? value : [value];
  },
  encodePage: (text) => text,
  encodeEvent: (text) => text,
  sseHeaders: {},
};

const text: BodyFormat = {
  itemsOf: toItem,
  encodePage: (json) => bytesOf(json).toString(),
  encodeEvent: (json) => bytesOf(json).toString(),
  sseHeaders: {},
};

const bytes: BodyFormat = {
  itemsOf: toItem,
  encodePage: (json) => inOnePart(bytesOf(json)),
  encodeEvent: (json) => bytesOf(json).toString("base64"),
  sseHeaders: { "Stream-SSE-Data-Encoding": "base64" },
};

/** The format of a content type. */
export function formatOf(contentType: string): BodyFormat {
  if (contentType.startsWith("application/json")) return json;
  return contentType.startsWith("text/") ? text : bytes;
}

/** Our answer to a request for a stream, as the suite wants it. */
export function encodeAnswer(response: WireResponse, format: BodyFormat, contentType: string): WireResponse {
  const { status, headers, body } = response;
  if (status !== 200) return response;
  if (typeof body === "object") {
    return { ...response, headers: { ...headers, ...format.sseHeaders }, body: encodeEvents(body, format) };
  }
  const typed = { ...response, headers: { ...headers, "Content-Type": contentType } };
  return body === undefined ? typed : { ...typed, body: format.encodePage(body)! };
}

/** Our handler gives whole events in each part. */
async function* encodeEvents(
  parts: AsyncIterable<string>,
  format: BodyFormat,
): AsyncGenerator<string, void, undefined> {
  for await (const part of parts) {
    yield part.replace(/^event: data\ndata:(.*)$/gm, (_event, data: string) => {
      const lines = format.encodeEvent(data).split(/\r\n|\r|\n/);
      return ["event: data", ...lines.map((line) => `data:${line}`)].join("\n");
    });
  }
}

function toItem(body: Buffer): unknown[] {
  return body.length > 0 ? [body.toString("base64")] : [];
}

function bytesOf(json: string): Buffer {
  return Buffer.concat((JSON.parse(json) as string[]).map((item) => Buffer.from(item, "base64")));
}

/** The product's bodies are text; Node's response, which this ends up in, takes bytes as well. */
async function* inOnePart(bytes: Buffer): AsyncGenerator<string, void, undefined> {
  if (bytes.length > 0) yield bytes as Uint8Array as unknown as string;
}
