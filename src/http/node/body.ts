/** The body of a request of `node:http`, whether or not a framework's parser has read it already. */
import type { IncomingMessage } from "node:http";
import { checkEncoding, type RequestBody, tooLarge } from "../request-context.js";

/**
 * Reads the body, or takes what was parsed before.
 * @throws `PAYLOAD_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE` for a compressed one, and the error of a connection that is cut
 */
export async function readBody(request: IncomingMessage, limit: number): Promise<RequestBody> {
  const { headers } = request;
  if (!hasBody(request)) return { text: "" };
  if (request.readableEnded) return parsedBefore((request as { body?: unknown }).body);
  checkEncoding(headers["content-encoding"]);
  if (Number(headers["content-length"]) > limit) throw tooLarge(limit);
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length;
    if (size > limit) break;
    text += decoder.decode(chunk as Buffer, { stream: true });
  }
  if (size <= limit) return { text: text + decoder.decode() };
  request.resume(); // dropped as it comes, until the answer is out and the connection closed
  throw tooLarge(limit);
}

/** HTTP/1 announces a body by a header; later versions need not. */
function hasBody({ headers, httpVersionMajor }: IncomingMessage): boolean {
  const length = headers["content-length"];
  if (length !== undefined) return Number(length) > 0;
  return "transfer-encoding" in headers || httpVersionMajor > 1;
}

function parsedBefore(value: unknown): RequestBody {
  if (value instanceof Uint8Array) return { text: new TextDecoder().decode(value) };
  if (value !== undefined) return { value };
  throw new Error("Cannot read the body: something has read it before and not kept it as request.body");
}
