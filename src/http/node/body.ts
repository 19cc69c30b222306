/** Reads the body of a request of `node:http`. */
import type { IncomingMessage } from "node:http";
import { checkEncoding, type RequestBody, tooLarge } from "../request-port.js";

/**
 * Reads the body as UTF-8, or takes `request.body` where a parser in front has consumed the stream. Stops at the limit: no more than
 * that is kept in memory, whatever `Content-Length` says.
 * @param limit the largest body, in bytes; not checked for a body that was parsed before
 * @throws `PAYLOAD_TOO_LARGE`, `UNSUPPORTED_MEDIA_TYPE` for a compressed body, the stream's error if the connection breaks
 */
export async function readBody(request: IncomingMessage, limit: number): Promise<RequestBody> {
  const { headers } = request;
  if (!hasBody(request)) return { text: "" };
  if (request.aborted) throw brokenOff(request);
  // A parser applies its own limit, and decompresses.
  if (request.readableEnded) return parsedBefore((request as { body?: unknown }).body);
  checkEncoding(headers["content-encoding"]);
  if (Number(headers["content-length"]) > limit) throw tooLarge(limit);
  return { text: await readText(request, limit) };
}

/**
 * Reads by events: an async iterator over the stream costs several times as much, which matters for bodies of a few bytes. The event
 * `readable` also comes where something in front has paused the stream, or listens to it.
 */
function readText(request: IncomingMessage, limit: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const body = new BodyText(limit);
    const onReadable = () => {
      try {
        for (let chunk = request.read(); chunk !== null; chunk = request.read()) {
          // Something in front may have set an encoding.
          body.add(typeof chunk === "string" ? Buffer.from(chunk, request.readableEncoding ?? undefined) : chunk);
        }
      } catch (error) {
        settle(() => reject(error));
        request.resume(); // discards the rest, until the answer is sent and the connection closed
      }
    };
    const onEnd = () => {
      try {
        const text = body.end();
        settle(() => resolve(text));
      } catch (error) {
        settle(() => reject(error)); // the text is longer than V8 can hold
      }
    };
    const onError = (error: unknown) => settle(() => reject(error));
    const onClose = () => settle(() => reject(brokenOff(request)));
    if (request.destroyed) return reject(brokenOff(request)); // no event would come any more
    request.on("readable", onReadable).once("end", onEnd).once("error", onError).once("close", onClose);
    function settle(tell: () => void) {
      request.off("readable", onReadable).off("end", onEnd).off("error", onError).off("close", onClose);
      tell();
    }
  });
}

/** The error of a body that is not complete: that of the connection, if it has one. */
function brokenOff(request: IncomingMessage): Error {
  return request.errored ?? new Error("The connection ended before the body");
}

/** Decodes a body that comes in one piece, as most do. Without `stream` it keeps no state, so that all requests share it. */
const utf8 = new TextDecoder();

/** The text of a body as its pieces come: decoded piece by piece, because tiny buffers would take far more memory than the text. */
class BodyText {
  readonly #limit: number;
  #size = 0;
  #first: Buffer | undefined;
  /** From the second piece on. */
  #decoder: typeof utf8 | undefined;
  #text = "";

  /** @param limit the largest body, in bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws `PAYLOAD_TOO_LARGE` */
  add(chunk: Buffer): void {
    this.#size += chunk.length;
    if (this.#size > this.#limit) throw tooLarge(this.#limit);
    if (!this.#first) {
      this.#first = chunk;
      return;
    }
    if (!this.#decoder) {
      this.#decoder = new TextDecoder();
      this.#text = this.#decoder.decode(this.#first, { stream: true });
    }
    this.#text += this.#decoder.decode(chunk, { stream: true });
  }

  /** The whole text. */
  end(): string {
    return this.#decoder ? this.#text + this.#decoder.decode() : utf8.decode(this.#first);
  }
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
