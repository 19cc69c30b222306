/** Writes a wire response to a response of `node:http`, with back-pressure, for the adapters whose frameworks stand on it. */
import type { ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { noop, onAbort, startTimer } from "../../base/async.js";
import { drainTimeout, exposedName, mergeExposed, requestIsOver, type WireResponse } from "../request-context.js";

/** Aborts when the response is over or its client has gone; listens only once somebody looks. */
export class ConnectionSignal {
  readonly #response: ServerResponse;
  #controller: AbortController | undefined;

  constructor(response: ServerResponse) {
    this.#response = response;
  }

  get signal(): AbortSignal {
    if (!this.#controller) {
      const controller = new AbortController();
      this.#controller = controller;
      if (isOver(this.#response)) controller.abort(requestIsOver);
      else onResponseOver(this.#response, () => controller.abort(requestIsOver));
    }
    return this.#controller.signal;
  }
}

/**
 * Writes the whole response, at once unless its body comes in parts: then the promise resolves when nothing is left to do for it. A
 * client that has gone is no error.
 */
export function writeResponse(response: ServerResponse, wire: WireResponse): Promise<void> | undefined {
  const { status, headers, body } = wire;
  if (typeof body === "object") return writeParts(response, wire, body);
  if (!isOver(response)) writeWhole(response, status, headers, body);
  return undefined;
}

async function writeParts(
  response: ServerResponse,
  { status, headers, ended }: WireResponse,
  body: AsyncIterable<string>,
): Promise<void> {
  if (isOver(response)) return abandon(body);
  mergeExposed(headers, response.getHeader(exposedName));
  response.writeHead(status, headers);
  response.on("error", noop); // a client that goes away in the middle is what `close` tells, and no error of ours
  response.flushHeaders();
  for await (const part of body) {
    if (isOver(response)) break;
    const isDrained = response.write(part);
    (response as { flush?: () => void }).flush?.(); // a compressing middleware holds back what it is not told to pass on
    if (!isDrained && !ended?.aborted) await drained(response, ended);
    if (ended?.aborted) break;
  }
  await finish(response);
}

/** All headers at once: each set by itself would be looked at one more time. */
function writeWhole(
  response: ServerResponse,
  status: number,
  headers: WireResponse["headers"],
  body: string | undefined,
): void {
  if (body !== undefined) headers["Content-Length"] = String(Buffer.byteLength(body));
  mergeExposed(headers, response.getHeader(exposedName));
  response.writeHead(status, headers).end(body);
}

/** Lets a body that nobody will read clean up behind itself. */
async function abandon(body: AsyncIterable<string>): Promise<void> {
  await body[Symbol.asyncIterator]().return?.();
}

function isOver(response: ServerResponse): boolean {
  if (response.destroyed || response.writableFinished) return true;
  return (response.socket ?? connectionOf(response))?.destroyed === true;
}

/** That of its request: a response that waits for the one before it has none of its own. */
function connectionOf(response: ServerResponse): Socket | undefined {
  return response.req?.socket;
}

/** What is to be told of the end of a connection: one listener for all, however many requests are sent without waiting. */
const waiting = new WeakMap<Socket, Set<() => void>>();

/**
 * Calls back when a response that is under way is over: it has been sent, or its client has gone. One that waits on its connection for
 * the answer before it is not told by Node that its client has gone. Returns what takes the callback off again.
 */
export function onResponseOver(response: ServerResponse, callback: () => void): () => void {
  const connection = response.socket ? undefined : connectionOf(response);
  if (!connection) {
    response.once("close", callback);
    return () => response.off("close", callback);
  }
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

function watch(connection: Socket): Set<() => void> {
  const callbacks = new Set<() => void>();
  waiting.set(connection, callbacks);
  connection.once?.("close", () => {
    for (const callback of [...callbacks]) callback();
  });
  return callbacks;
}

/** Resolves when the response takes more, is over, or is to be ended. */
function drained(response: ServerResponse, ended: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const offEnded = onAbort(ended, settle);
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

/** Ends the response, and destroys the connection if the client does not take what is left in time. */
function finish(response: ServerResponse): Promise<void> {
  if (isOver(response)) return Promise.resolve();
  return new Promise((resolve) => {
    const cancel = startTimer(drainTimeout, () => response.destroy());
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
 * A client that does not read would keep its connection after the response has ended. Where the server stands on `node:http` the
 * connection is destroyed if it has not drained in time; elsewhere it is the server that has to.
 */
export function destroyUndrained(response: ServerResponse, ended: AbortSignal): void {
  const off = onAbort(ended, () => {
    if (isOver(response)) return;
    const cancel = startTimer(drainTimeout, () => response.destroy());
    onResponseOver(response, cancel);
  });
  onResponseOver(response, off);
}
