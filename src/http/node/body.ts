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
  return { text: await readText(request, limit) };
}

/** Decodes a body that comes in one piece, as most do. Without `stream` it keeps no state, so that all requests share it. */
const utf8 = new TextDecoder();

/**
 * Reads by events: an async iterator over the stream costs several times as much, which matters for bodies of a few bytes. A body in
 * several pieces is decoded piece by piece, because tiny buffers would take far more memory than the text.
 */
function readText(request: IncomingMessage, limit: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let first: Buffer | undefined;
    let decoder: typeof utf8 | undefined;
    let text = "";
    let size = 0;
    const onData = (chunk: Buffer) => {
      size += chunk.length;
      // The stream flows on: it discards the rest, until the answer is sent and the connection closed.
      if (size > limit) return settle(() => reject(tooLarge(limit)));
      if (!first) {
        first = chunk;
        return;
      }
      if (!decoder) {
        decoder = new TextDecoder();
        text = decoder.decode(first, { stream: true });
      }
      text += decoder.decode(chunk, { stream: true });
    };
    const onEnd = () => settle(() => resolve(decoder ? text + decoder.decode() : utf8.decode(first)));
    const onError = (error: unknown) => settle(() => reject(error));
    const onClose = () => settle(() => reject(request.errored ?? new Error("The connection ended before the body")));
    if (request.destroyed || request.aborted) return onClose(); // no event would come any more
    request.on("data", onData).once("end", onEnd).once("error", onError).once("close", onClose);
    function settle(tell: () => void) {
      request.off("data", onData).off("end", onEnd).off("error", onError).off("close", onClose);
      tell();
    }
  });
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
