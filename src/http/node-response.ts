/** Writes a wire response to a response of `node:http`, with back-pressure, for the adapters whose frameworks stand on it. */
import type { ServerResponse } from "node:http";
import { noop, onAbort, startTimer } from "../base/async.js";
import { drainTimeout, exposedName, mergeExposed, requestIsOver, type WireResponse } from "./exchange.js";

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
      else this.#response.once("close", () => controller.abort(requestIsOver));
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
  return response.destroyed || response.writableFinished || response.socket?.destroyed === true;
}

/** Resolves when the response takes more, is over, or is to be ended. */
function drained(response: ServerResponse, ended: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const off = onAbort(ended, settle);
    response.once("drain", settle);
    response.once("close", settle);
    function settle() {
      off();
      response.off("drain", settle);
      response.off("close", settle);
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
      response.off("finish", settle);
      response.off("close", settle);
      resolve();
    };
    response.once("finish", settle);
    response.once("close", settle);
    response.end();
  });
}
