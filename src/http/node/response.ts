/** Writes answers to responses of `node:http` with back-pressure, and detects the end of responses. */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { type Ending, noop, startTimer } from "../../base/async.js";
import { requestIsOver } from "../request-port.js";
import { drainTimeout, exposedName, mergeExposed, type WireResponse } from "../wire-response.js";

/**
 * Ends when the response is over or its client has disconnected. It listens to the response from the first call-back or the first
 * access to its signal on: few requests need either.
 */
export class ResponseEnding implements Ending {
  readonly #response: ServerResponse;
  /** Absent until {@link signal} is read. */
  #controller: AbortController | undefined;

  /** @param response not listened to yet */
  constructor(response: ServerResponse) {
    this.#response = response;
  }

  /** See {@link isOver}. */
  get aborted(): boolean {
    return isOver(this.#response);
  }

  /** {@link requestIsOver}, whether it has ended or not. */
  get reason(): unknown {
    return requestIsOver;
  }

  /** See {@link onResponseOver}. */
  onAbort(callback: () => void): () => void {
    return isOver(this.#response) ? noop : onResponseOver(this.#response, callback);
  }

  /** The signal; already aborted if the response is over. Its reason is {@link requestIsOver}. */
  get signal(): AbortSignal {
    if (!this.#controller) {
      const controller = new AbortController();
      this.#controller = controller;
      if (this.aborted) controller.abort(requestIsOver);
      else this.onAbort(() => controller.abort(requestIsOver));
    }
    return this.#controller.signal;
  }
}

/**
 * Writes a response. One without a streamed body is written synchronously. A client that has disconnected is no error.
 * @param wire its headers are completed in place
 * @returns for a streamed body, a promise that resolves when the response is over; it rejects with errors of the body
 */
export function writeResponse(response: ServerResponse, wire: WireResponse): Promise<void> | undefined {
  const { status, headers, body } = wire;
  if (typeof body === "object") return writeParts(response, wire, body);
  if (!isOver(response)) writeWhole(response, status, headers, body);
  return undefined;
}

/**
 * Writes a streamed body part by part. Back-pressure: the next part is requested only when the response has drained, so that a slow
 * client does not make the server buffer items. Leaving the loop closes the body, and releases its read of the runner.
 */
async function writeParts(
  response: ServerResponse,
  { status, headers, ended }: WireResponse,
  body: AsyncIterable<string>,
): Promise<void> {
  if (isOver(response)) return abandon(body);
  mergeExposed(headers, response.getHeader(exposedName));
  response.writeHead(status, headers);
  response.on("error", noop); // the event `close` reports a disconnect; an unhandled `error` would crash the process
  response.flushHeaders(); // the first part may take long
  for await (const part of body) {
    if (isOver(response)) break; // the client disconnected while the part was awaited
    const isDrained = response.write(part);
    (response as { flush?: () => void }).flush?.(); // of a compressing middleware, which would buffer the part
    if (!isDrained && !ended?.aborted) await drained(response, ended);
    if (ended?.aborted) break; // only now: the part that exhausted the client's allowance must still be sent
  }
  await finish(response);
}

/** Writes a complete response. Passes all headers to `writeHead`: Node validates and stores each that is set by itself. */
function writeWhole(
  response: ServerResponse,
  status: number,
  headers: WireResponse["headers"],
  body: string | undefined,
): void {
  // In bytes. Without the header, Node would send the body in chunks.
  if (body !== undefined) headers["Content-Length"] = String(Buffer.byteLength(body));
  mergeExposed(headers, response.getHeader(exposedName));
  response.writeHead(status, headers).end(body);
}

/** Closes a body that will not be read, so that it releases its read of the runner. */
async function abandon(body: AsyncIterable<string>): Promise<void> {
  await body[Symbol.asyncIterator]().return?.();
}

/**
 * True if nothing that is written reaches the client any more: the response is complete, or its connection destroyed, which a pipelined
 * response does not say itself.
 */
export function isOver(response: ServerResponse): boolean {
  if (response.destroyed || response.writableFinished) return true;
  return (response.socket ?? connectionOf(response))?.destroyed === true;
}

/** The socket of its request: with pipelining, a response that waits for the one before has no socket of its own. */
function connectionOf(response: ServerResponse): Socket | undefined {
  return response.req?.socket;
}

/**
 * Callbacks at the close of connections. One listener per socket: one for each pipelined request would exceed the limit at which Node
 * warns of a leak.
 */
const waiting = new WeakMap<Socket, Set<() => void>>();

/**
 * Calls back once when a response is over: it has been sent, or its client has disconnected. Node emits no `close` on a pipelined
 * response that waits for the one before it when the client disconnects; there this function watches the socket, too.
 * @param response one that is not over yet
 * @returns removes the callback
 */
export function onResponseOver(response: ServerResponse, callback: () => void): () => void {
  const connection = response.socket ? undefined : connectionOf(response);
  if (!connection) {
    response.once("close", callback);
    return () => response.off("close", callback);
  }
  // Both events are listened to: the response gets its socket when its turn comes. The first of them removes the other.
  const callbacks = waiting.get(connection) ?? watch(connection);
  const off = () => {
    response.off("close", over);
    return callbacks.delete(over);
  };
  const over = () => {
    if (off()) callback();
  };
  callbacks.add(over);
  response.once("close", over);
  return off;
}

/** Adds the one listener to a socket. The set is copied before the calls, since callbacks remove themselves from it. */
function watch(connection: Socket): Set<() => void> {
  const callbacks = new Set<() => void>();
  waiting.set(connection, callbacks);
  // Optional: stand-ins for sockets, as test tools inject them, may not emit events.
  connection.once?.("close", () => {
    for (const callback of [...callbacks]) callback();
  });
  return callbacks;
}

/**
 * Resolves when the buffer of the response has drained, the response is over, or `ended` aborts. Removes all its listeners: it is
 * called once for each part that a slow client delays.
 */
function drained(response: ServerResponse, ended: Ending | undefined): Promise<void> {
  return new Promise((resolve) => {
    const offEnded = ended?.onAbort(settle) ?? noop;
    const offOver = onResponseOver(response, settle);
    response.once("drain", settle);
    function settle() {
      offEnded();
      offOver();
      response.off("drain", settle);
      resolve();
    }
  });
}

/**
 * Ends the response and resolves when it has been sent. The connection of a client that has not drained the rest within
 * {@link drainTimeout} is destroyed: `close` then resolves the promise.
 */
function finish(response: ServerResponse): Promise<void> {
  if (isOver(response)) return Promise.resolve();
  return new Promise((resolve) => {
    // Started only now: while parts are written, a slow client has as long as `ended` allows.
    const cancel = destroyIfUndrained(response);
    const settle = () => {
      cancel();
      offOver();
      response.off("finish", settle);
      resolve();
    };
    const offOver = onResponseOver(response, settle);
    response.once("finish", settle);
    response.end();
  });
}

/**
 * Destroys the connection if the response has not drained {@link drainTimeout} from now. A pipelined response that waits for the one before
 * it has as long from the moment when its turn comes.
 * @returns cancels it
 */
function destroyIfUndrained(response: ServerResponse): () => void {
  let cancel = noop;
  const start = () => {
    cancel = startTimer(drainTimeout, () => response.destroy());
  };
  if (response.socket) start();
  else response.once("socket", start);
  return () => {
    response.off("socket", start);
    cancel();
  };
}

/**
 * Destroys the connection of a client that has not drained the response {@link drainTimeout} after `ended` aborts, for responses that
 * the framework writes itself. Otherwise a client that does not read could hold connections for ever. On servers that are not built
 * on `node:http` this is up to the server.
 * @param response the response that the framework writes
 * @param ended ends when the response is to be ended
 */
export function destroyUndrained(response: ServerResponse, ended: Ending): void {
  // Both listeners are removed at the end of the response: `ended` may live longer.
  const off = ended.onAbort(() => {
    if (isOver(response)) return;
    onResponseOver(response, destroyIfUndrained(response));
  });
  onResponseOver(response, off);
}
