/** Turns a streamed body into a Node stream, for a framework that writes the response itself after all middleware has run. */
import type { ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { type Ending, noop } from "../../base/async.js";
import { destroyUndrained } from "./response.js";

/**
 * A readable stream over the parts of a body. It pulls a part only when the one before has been taken, so that a slow client suspends
 * the producer.
 * @param ended when it aborts, the stream ends at once, even if the client has not drained it; see {@link destroyUndrained}
 * @param response the response that the stream will be piped to
 * @returns a stream that closes the body when it ends or is destroyed
 */
export function streamOfParts(
  body: AsyncIterable<string>,
  ended: Ending | undefined,
  response: ServerResponse,
): Readable {
  if (ended) destroyUndrained(response, ended);
  return new PartsStream(body[Symbol.asyncIterator](), ended);
}

/**
 * The stream of {@link streamOfParts}. Invariants: one call of `next` is pending at most; `return` is called exactly once, in
 * `_destroy`; nothing is pushed after the end.
 */
class PartsStream extends Readable {
  readonly #parts: AsyncIterator<string>;
  readonly #ended: Ending | undefined;
  /** Removes the listener of `ended`. */
  #off = noop;
  /** True while `next` is pending: its part is pushed before the stream ends. */
  #isPulling = false;

  /** Listens to `ended` at once: it may abort while nothing is being read. */
  constructor(parts: AsyncIterator<string>, ended: Ending | undefined) {
    super({ highWaterMark: 1 }); // no read-ahead: a part is produced when it can be sent
    this.#parts = parts;
    this.#ended = ended;
    // A part that exhausts the client's allowance aborts `ended` while it is produced. It must still be sent, so `#pull` ends the
    // stream then.
    if (ended) this.#off = ended.onAbort(() => this.#isPulling || this.#close());
  }

  /** Called by Node when the buffer is empty. */
  override _read(): void {
    void this.#pull();
  }

  /** Pushes the next part; an error of the body destroys the stream, which ends the response abnormally. */
  async #pull(): Promise<void> {
    this.#isPulling = true;
    try {
      const { done, value } = await this.#parts.next();
      if (this.destroyed) return; // while `next` was pending
      if (!done) this.push(value);
      if (done || this.#ended?.aborted) this.#close();
    } catch (error) {
      this.destroy(error as Error);
    } finally {
      this.#isPulling = false;
    }
  }

  /** Ends the stream after what was pushed. */
  #close(): void {
    this.#off();
    if (!this.destroyed && !this.readableEnded) this.push(null);
  }

  /** Called by Node at the end of the stream and at a disconnect: releases the body's read of the runner. */
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#off();
    // The stream counts as closed only when the body has released what it held.
    void Promise.resolve(this.#parts.return?.()).then(() => callback(error), callback);
  }
}
