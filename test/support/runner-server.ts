import { expect } from "vitest";
import { createDeferred } from "../../src/base/async.js";
import { createClient, type RunnerClient } from "../../src/client.js";
import { headerNames } from "../../src/protocol/headers.js";
import { formatOffset } from "../../src/protocol/offset.js";
import { atEnd } from "./cleanup.js";

const base = "http://server.test/runners";

/** One request; like a real one it fails, head and body, when its signal aborts. */
export class Asked {
  /** Method and path. */
  readonly what: string;
  readonly body: unknown;
  readonly headers: Headers;
  readonly signal: AbortSignal | undefined;
  readonly #answer = createDeferred<Response>();
  #hasFailed = false;
  #stream: ReadableStreamDefaultController<Uint8Array> | undefined;

  constructor(url: string, { method = "GET", signal, body, headers = {} }: RequestInit) {
    this.what = `${method} ${url.slice(base.length).replace(/\?$/, "")}`; // an empty query is none
    this.body = typeof body === "string" && body !== "" ? JSON.parse(body) : undefined;
    this.headers = new Headers(headers);
    this.signal = signal ?? undefined;
    const abort = () => this.fail(signal?.reason);
    if (signal?.aborted) abort();
    signal?.addEventListener("abort", abort);
  }

  get response(): Promise<Response> {
    return this.#answer.promise;
  }

  /** What the creation is known by. */
  get idempotencyKey(): string | null {
    return this.headers.get("Idempotency-Key");
  }

  respond(body: object | string | null, status = 200, headers: Record<string, string> = {}): void {
    const text = typeof body === "object" && body ? JSON.stringify(body) : body;
    const all = { ...(body instanceof FirstPage && body.headers), ...headers };
    this.#answer.resolve(new Response(text, { status, headers: all }));
  }

  /** One of the server's own errors. */
  refuse(status: number, code: string, message = code): void {
    this.respond({ code, message }, status, { "Runner-Error-Code": code });
  }

  /** Sends pieces of an event stream, which stays open; to a client that has gone it sends nothing. */
  send(...pieces: string[]): void {
    if (this.#hasFailed) return;
    if (!this.#stream) {
      const body = new ReadableStream<Uint8Array>({
        start: (controller) => {
          this.#stream = controller;
        },
      });
      this.#answer.resolve(new Response(body, { headers: { "Content-Type": "text/event-stream" } }));
    }
    for (const piece of pieces) this.#stream!.enqueue(new TextEncoder().encode(piece));
  }

  /** The network fails, before the answer or within it. */
  fail(error: unknown = new TypeError("terminated")): void {
    this.#hasFailed = true;
    this.#answer.reject(error);
    this.#stream?.error(error);
  }
}

/** A server of runners, seen from a client: the test answers every request itself, and looks at what became of each one. */
export interface RunnerServer {
  readonly client: RunnerClient;
  readonly all: Asked[];
  /** What was asked for, in order. */
  readonly asked: string[];
  /** The newest request for just this, or else that begins so. */
  find(what: string): Asked;
}

/** Opens one; when the test is over, nothing may follow a runner any more. */
export function openRunnerServer(): RunnerServer {
  const all: Asked[] = [];
  const fetch = (url: unknown, init: RequestInit = {}) => {
    const one = new Asked(String(url), init);
    all.push(one);
    return one.response;
  };
  atEnd(() => {
    const open = all.filter(({ what, signal }) => what.startsWith("GET /") && !signal?.aborted);
    expect(open.map(({ what }) => what).filter(isFollowing), "still connected").toEqual([]);
  });
  return {
    client: createClient(base, { fetch, connections: Number.POSITIVE_INFINITY }),
    all,
    get asked() {
      return all.map(({ what }) => what);
    },
    find(what) {
      const found = all.findLast((one) => one.what === what) ?? all.findLast((one) => one.what.startsWith(what));
      return found ?? expect.fail(`Nothing has asked for ${what}, but ${all.map((one) => one.what).join(", ")}`);
    },
  };
}

function isFollowing(what: string): boolean {
  return what.includes("live=");
}

/** The first page of a runner that has been created; its answer says in its headers, too, what holds for it. */
export function firstPage(items: unknown[], more: Partial<FirstPage> = {}, key = "0-1-x"): FirstPage {
  return Object.assign(new FirstPage(), {
    key,
    position: items.length,
    progress: { current: items.length },
    items,
    ...more,
  });
}

class FirstPage {
  readonly key: string = "";
  readonly name: string = "search";
  readonly kind: string = "sequence";
  readonly status: string = "progressed";
  readonly offset: number = 0;
  readonly position: number = 0;
  readonly progress: { readonly current: number; readonly estimatedEnd?: number } = { current: 0 };
  readonly closed: boolean = false;
  readonly items: readonly unknown[] = [];
  readonly error?: { readonly code: string; readonly message: string };
  readonly abortReason?: string;

  get headers(): Record<string, string> {
    const { position, status, progress, closed, error, abortReason } = this;
    return {
      ...{ [headerNames.nextOffset]: formatOffset(position), [headerNames.status]: status },
      [headerNames.progress]: String(progress.current),
      ...(progress.estimatedEnd !== undefined && { [headerNames.estimatedEnd]: String(progress.estimatedEnd) }),
      ...(closed && { [headerNames.closed]: "true" }),
      ...(error && {
        [headerNames.errorCode]: error.code,
        [headerNames.errorMessage]: encodeURIComponent(error.message),
      }),
      ...(abortReason && { [headerNames.abortReason]: abortReason }),
    };
  }
}

/** A piece of an event stream: items, the offset behind them, and what else holds for them. */
export function piece(items: unknown[], next: number, more: object = {}): string {
  const control = { streamNextOffset: String(next), runnerStatus: "progressed", runnerProgress: next, ...more };
  return `event: data\ndata:${JSON.stringify(items)}\n\nevent: control\ndata:${JSON.stringify(control)}\n\n`;
}

/** What the last piece says of a runner that has completed. */
export const completed = { runnerStatus: "completed", streamClosed: true };

/** What the last piece says of a runner that has been aborted. */
export function abortedBecause(runnerAbortReason: string): object {
  return { runnerStatus: "aborted", runnerAbortReason, streamClosed: true };
}
