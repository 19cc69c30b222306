/** A body in parts as a stream of Node, for a framework that writes streams itself, when all its middleware has run. */
import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { noop, onAbort } from "../../base/async.js";
import { destroyUndrained } from "./response.js";

/**
 * Pulled from as the client drains it. When the response is to be ended the stream ends at once, whatever the client has drained.
 * @param response what it will be written to
 */
export function streamOfParts(
  body: AsyncIterable<string>,
  ended: AbortSignal | undefined,
  response: ServerResponse,
): Readable {
  if (ended) destroyUndrained(response, ended);
  return new PartsStream(body[Symbol.asyncIterator](), ended);
}

class PartsStream extends Readable {
  readonly #parts: AsyncIterator<string>;
  readonly #ended: AbortSignal | undefined;
  #off = noop;
  #isPulling = false;

  constructor(parts: AsyncIterator<string>, ended: AbortSignal | undefined) {
    super({ highWaterMark: 1 }); // a part is not asked for before the one before has gone
    this.#parts = parts;
    this.#ended = ended;
    // A part that uses up the client's allowance ends the response before it has been handed out itself.
    this.#off = onAbort(ended, () => this.#isPulling || this.#close());
  }

  override _read(): void {
    void this.#pull();
  }

  async #pull(): Promise<void> {
    this.#isPulling = true;
    try {
      const { done, value } = await this.#parts.next();
      if (this.destroyed) return;
      if (!done) this.push(value);
      if (done || this.#ended?.aborted) this.#close();
    } catch (error) {
      this.destroy(error as Error);
    } finally {
      this.#isPulling = false;
    }
  }

  #close(): void {
    this.#off();
    if (!this.destroyed && !this.readableEnded) this.push(null);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#off();
    void Promise.resolve(this.#parts.return?.()).then(() => callback(error), callback);
  }
}
