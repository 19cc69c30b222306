/** Reads the body of a request of `node:http`. */
import type { IncomingMessage } from "node:http";
import { checkEncoding, type RequestBody, tooLarge } from "../request-context.js";

/**
 * Reads the body as UTF-8, or takes `request.body` where a parser in front has consumed the stream. Stops at the limit: no more than
 * that is kept in memory, whatever `Content-Length` says.
 * @param limit the largest body, in bytes; not checked for a body that was parsed before
 * @throws `PAYLOAD_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE` for a compressed body, the stream's error if the connection breaks
 */
export async function readBody(request: IncomingMessage, limit: number): Promise<RequestBody> {
  const { headers } = request;
  if (!hasBody(request)) return { text: "" };
  // A parser applies its own limit, and decompresses.
  if (request.readableEnded) return parsedBefore((request as { body?: unknown }).body);
  checkEncoding(headers["content-encoding"]);
  if (Number(headers["content-length"]) > limit) throw tooLarge(limit);
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  // The request must not be destroyed at the break: that would close the connection before the answer is sent.
  const chunks: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > limit) break;
    text += decoder.decode(chunk, { stream: true });
  }
  if (size <= limit) return { text: text + decoder.decode() };
  request.resume(); // discards the rest, until the answer is sent and the connection closed
  throw tooLarge(limit);
}

/** HTTP/1 announces a body in a header (RFC 9112, 6); HTTP/2 need not, so there may be one. */
function hasBody({ headers, httpVersionMajor }: IncomingMessage): boolean {
  const length = headers["content-length"];
  if (length !== undefined) return Number(length) > 0;
  return "transfer-encoding" in headers || httpVersionMajor > 1;
}

/**
 * The body as a parser in front left it in `request.body`: bytes, or a value that is passed on as it is.
 * @throws a plain `Error`, which is the application's fault, if the stream was read and the body not kept
 */
function parsedBefore(value: unknown): RequestBody {
  if (value instanceof Uint8Array) return { text: new TextDecoder().decode(value) };
  if (value !== undefined) return { value };
  throw new Error("Cannot read the body: something has read it before and not kept it as request.body");
}
