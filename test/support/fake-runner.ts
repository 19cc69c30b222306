import { headerNames } from "../../src/protocol/headers.js";
import { formatOffset } from "../../src/protocol/offset.js";

/** What was asked for. */
export interface AskedOf {
  readonly method: string;
  /** Behind the address of the runners. */
  readonly path: string;
  /** When, ms. */
  readonly at: number;
  readonly headers: Headers;
  readonly body: string | undefined;
  readonly keepalive: boolean;
  readonly signal: AbortSignal | undefined;
}

/** A request that waits for items. */
interface Waiting {
  readonly send: () => void;
  readonly fail: (error: unknown) => void;
}

type Answer = Response | Promise<Response>;

/** Where the runners are. */
export const runnersUrl = "http://server.test/runners";

/**
 * A server of one runner without any server: a `fetch` that answers from a list of items, as ours would. The runner's key is
 * `1`; a `POST` to `/count` is answered as its creation.
 */
export class FakeRunner {
  readonly items: string[] = [];
  readonly asked: AskedOf[] = [];
  /** Bounds a page, and the first one. */
  pageLimit = 1000;
  /** Answers instead, unless it gives nothing. */
  instead: (asked: AskedOf) => Answer | undefined = () => undefined;
  #end: { readonly status: string; readonly more: Record<string, string> } | undefined;
  readonly #streams = new Set<Waiting>();
  readonly #polls = new Set<Waiting>();

  /** Adds items, and sends them to the waiting requests. */
  push(...items: string[]): void {
    this.items.push(...items);
    for (const { send } of [...this.#streams, ...this.#polls]) send();
  }

  /** There will be no more. `more`: what a control event then says besides. */
  end(status = "completed", more: Record<string, string> = {}): void {
    this.#end = { status, more };
    for (const { send } of [...this.#streams, ...this.#polls]) send();
  }

  /** How many event streams are open. */
  get streams(): number {
    return this.#streams.size;
  }

  /** The network fails for all waiting requests. */
  cutStreams(): void {
    for (const { fail } of [...this.#streams, ...this.#polls]) fail(new TypeError("terminated"));
  }

  /** What has been asked for, with its method. */
  get requests(): string[] {
    return this.asked.map(({ method, path }) => `${method} ${path}`);
  }

  readonly fetch: typeof fetch = async (url, init = {}) => {
    const path = String(url).slice(runnersUrl.length).replace(/\?$/, ""); // an empty query is none
    const asked: AskedOf = {
      ...{ method: init.method ?? "GET", path, at: Date.now() },
      ...{ headers: new Headers(init.headers), body: init.body as string | undefined },
      ...{ keepalive: init.keepalive ?? false, signal: init.signal ?? undefined },
    };
    init.signal?.throwIfAborted();
    this.asked.push(asked);
    return this.instead(asked) ?? this.#answer(asked);
  };

  #answer({ method, path, signal }: Pick<AskedOf, "method" | "path" | "signal">): Answer {
    const { pathname, searchParams } = new URL(path, "http://server.test");
    if (method === "POST" && pathname === "/count") return this.created();
    if (method !== "GET") return new Response(null, { status: 204 });
    if (path === "") return Response.json([this.#state(0)]);
    const asked = searchParams.get("offset");
    const offset = asked === "now" ? this.items.length : Math.max(0, Number(asked));
    const live = searchParams.get("live");
    if (live === "sse") return this.#stream(offset, signal);
    if (live && offset >= this.items.length && !this.#end) return this.#wait(path, signal);
    return this.#page(offset);
  }

  /** A long-poll without a time-out: no test needs one. */
  #wait(path: string, signal: AbortSignal | undefined): Promise<Response> {
    return new Promise((resolve, reject) => {
      const waiting = {
        send: () => {
          this.#polls.delete(waiting);
          resolve(this.#answer({ path, signal, method: "GET" }));
        },
        fail: (error: unknown) => {
          this.#polls.delete(waiting);
          reject(error);
        },
      };
      this.#polls.add(waiting);
      signal?.addEventListener("abort", () => waiting.fail(signal.reason));
    });
  }

  #page(offset: number): Response {
    const items = this.items.slice(offset, offset + this.pageLimit);
    return Response.json(items, { headers: this.#headers(offset + items.length) });
  }

  /** The answer to a creation. */
  created(): Response {
    const items = this.items.slice(0, this.pageLimit);
    const { message } = this.#end?.more ?? {};
    const state = { ...this.#state(items.length), ...(message && { error: { code: "RUNNER_FAILED", message } }) };
    const body = { ...state, offset: 0, items, closed: this.#isClosed(items.length) };
    return Response.json(body, { status: 201, headers: this.#headers(items.length) });
  }

  #state(position: number): object {
    const status = this.#isClosed(position) ? this.#end!.status : "progressed";
    const progress = { current: this.items.length };
    return { key: "1", name: "count", kind: "sequence", status, position, progress, isBackgroundCompleted: false };
  }

  #isClosed(position: number): boolean {
    return this.#end !== undefined && position >= this.items.length;
  }

  /** What holds up to a position; by the names of {@link headerNames}. */
  #control(position: number) {
    const isClosed = this.#isClosed(position);
    return {
      ...{ nextOffset: formatOffset(position), progress: this.items.length },
      ...{ status: isClosed ? this.#end!.status : "progressed", ...(isClosed && { closed: true }) },
      ...(position >= this.items.length && { upToDate: true }),
      ...(isClosed && this.#end!.more.message && { errorMessage: this.#end!.more.message }),
    };
  }

  /** The same as the headers of an answer. */
  #headers(position: number): Record<string, string> {
    const headers = Object.entries(this.#control(position)).map(([field, value]) => {
      const name = headerNames[field as keyof typeof headerNames];
      return [name, name === headerNames.errorMessage ? encodeURIComponent(String(value)) : String(value)];
    });
    return Object.fromEntries(headers);
  }

  #stream(offset: number, signal: AbortSignal | undefined): Response {
    let position = offset;
    let fail: (error: unknown) => void = () => {};
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const send = () => {
          const items = this.items.slice(position);
          position = this.items.length;
          const { nextOffset, closed, status, progress, upToDate, errorMessage } = this.#control(position);
          const control = {
            ...{ streamNextOffset: nextOffset, streamClosed: closed, upToDate },
            ...{ runnerStatus: status, runnerProgress: progress, runnerErrorMessage: errorMessage },
            runnerAheadLimit: 1000,
          };
          const data = items.length > 0 ? `event: data\ndata:${JSON.stringify(items)}\n\n` : "";
          const frame = `${data}event: control\ndata:${JSON.stringify(control)}\n\n`;
          controller.enqueue(new TextEncoder().encode(frame));
          if (closed) end(() => controller.close());
        };
        fail = (error) => end(() => controller.error(error));
        const stream = { send, fail };
        const end = (how: () => void) => {
          if (this.#streams.delete(stream)) how();
        };
        this.#streams.add(stream);
        send();
      },
      cancel: () => fail(undefined),
    });
    signal?.addEventListener("abort", () => fail(signal.reason));
    return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
  }
}

/** The locks that the tabs of an origin share. */
export class FakeLocks {
  readonly held = new Set<string>();
  /** Every request fails with it. */
  refusal: Error | undefined;

  readonly request = async (
    name: string,
    _options: { readonly ifAvailable: true },
    hold: (lock: { readonly name: string } | null) => unknown,
  ): Promise<unknown> => {
    await undefined;
    if (this.refusal) throw this.refusal;
    if (this.held.has(name)) return hold(null);
    this.held.add(name);
    try {
      return await hold({ name });
    } finally {
      this.held.delete(name);
    }
  };
}

/** What a page has on its `window` for its events; in place of the globals of Node, which has none. */
export class FakePage extends EventTarget {
  hidden = false;
  /** How many listen. */
  listeners = 0;

  override addEventListener(
    name: string,
    callback: EventListener,
    { signal, ...options }: AddEventListenerOptions & { readonly signal: AbortSignal },
  ): void {
    if (signal.aborted) return;
    this.listeners++;
    super.addEventListener(name, callback, { ...options, signal });
    signal.addEventListener("abort", () => this.listeners--, { once: true });
  }

  /** The page is hidden, or shown again. */
  show(isShown: boolean): void {
    this.hidden = !isShown;
    this.dispatchEvent(new Event("visibilitychange"));
  }
}
