/**
 * One connection to a runner: asks from an offset on and gives what arrives as updates, until the answer ends.
 *
 * An update is complete only with its control event: data whose control event was cut off is as good as not received, the
 * next connection asks for it again. A connection on which nothing arrives for too long is cut here.
 */
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { noop, onAbort, startTimer } from "../base/async.js";
import { ActiveSessionError } from "../base/error.js";
import { type ControlEvent, headerNames } from "../wire/names.js";
import { parseOffset } from "../wire/offset.js";
import { type ClientOptions, parseJson, receive, request, TemporaryError } from "./request.js";

/** What a connection has received. */
export interface Received<T> {
  readonly items: T[];
  readonly control: ControlEvent;
}

/** What a connection asks for, and whom it tells. */
export interface ConnectionRequest {
  readonly url: string;
  readonly offset: string;
  readonly cursor: string | undefined;
  /** Whether an SSE response is told that acknowledgements will come. */
  readonly acks: boolean;
  readonly signal: AbortSignal;
  readonly options: ClientOptions;
  /** Something has arrived, if only a heartbeat. */
  readonly onBytes: () => void;
}

/** The first bytes of an SSE response come at once; where they do not, something on the way collects the whole answer. */
const firstBytesWithin = 10_000;
/** Three heartbeats of a server with the default settings. */
const silentAtMost = 45_000;
/** The longest long-poll there is, and some time for the way. */
const pollAtMost = 75_000;

/** Cuts the connection when nothing has happened for too long. */
export class Watchdog {
  readonly #controller = new AbortController();
  readonly #off: () => void;
  #cancel: () => void = noop;
  #silent = false;

  constructor(signal: AbortSignal) {
    this.#off = onAbort(signal, () => this.#controller.abort(signal.reason));
    if (signal.aborted) this.#controller.abort(signal.reason);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Whether the watchdog itself has cut the connection. */
  get silent(): boolean {
    return this.#silent;
  }

  expectWithin(delay: number): void {
    this.#cancel();
    this.#cancel = startTimer(delay, () => {
      this.#silent = true;
      this.#controller.abort(new TemporaryError("The connection has gone silent", undefined));
    });
  }

  /** Expects nothing for the time being. */
  rest(): void {
    this.#cancel();
  }

  close(): void {
    this.#cancel();
    this.#off();
    this.#controller.abort();
  }
}

/** Follows by SSE; returns whether that works here at all. */
export async function* stream<T>(asked: ConnectionRequest): AsyncGenerator<Received<T>, boolean, undefined> {
  const watchdog = new Watchdog(asked.signal);
  let hasBytes = false;
  try {
    watchdog.expectWithin(firstBytesWithin);
    const response = await request(urlOf(asked, "sse"), { signal: watchdog.signal }, asked.options);
    if (!response.headers.get("Content-Type")?.startsWith("text/event-stream") || !response.body) return false;
    const assemble = assembler<T>();
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await receive(() => reader.read(), watchdog.signal);
      watchdog.rest(); // while the application has the turn, nobody listens
      if (done) return true;
      hasBytes = true;
      asked.onBytes();
      yield* assemble(decoder.decode(value, { stream: true }));
      watchdog.expectWithin(silentAtMost);
    }
  } catch (error) {
    if (watchdog.silent && !hasBytes) return false;
    throw error;
  } finally {
    watchdog.close();
  }
}

/** Follows by one long-poll. */
export async function* poll<T>(asked: ConnectionRequest): AsyncGenerator<Received<T>, boolean, undefined> {
  const watchdog = new Watchdog(asked.signal);
  try {
    watchdog.expectWithin(pollAtMost);
    const response = await request(urlOf(asked, "long-poll"), { signal: watchdog.signal }, asked.options);
    const control = controlOf(response.headers);
    const items = response.status === 204 ? [] : await receive(() => response.json() as Promise<T[]>, watchdog.signal);
    asked.onBytes();
    yield { items, control };
    return true;
  } finally {
    watchdog.close();
  }
}

function urlOf({ url, offset, cursor, acks }: ConnectionRequest, live: string): string {
  const query = `offset=${offset}&live=${live}${cursor ? `&cursor=${cursor}` : ""}`;
  return `${url}?${query}${live === "sse" && acks ? "&acks=true" : ""}`;
}

/** Puts pieces of an event stream together and gives the updates that have become complete. */
function assembler<T>(): (text: string) => Iterable<Received<T>> {
  let items: T[] = [];
  let complete: Received<T>[] = [];
  const onEvent = ({ event, data }: EventSourceMessage) => {
    if (event === "data") items = parseJson<T[]>(data);
    if (event !== "control") return;
    const control = parseJson<ControlEvent>(data);
    if (parseOffset(String(control.streamNextOffset)) === undefined) throw notOfARunner();
    complete.push({ items, control });
    items = [];
  };
  const parser = createParser({ onEvent });
  return (text) => {
    parser.feed(text);
    const updates = complete;
    complete = [];
    return updates;
  };
}

/** What the headers of a page or a long-poll say, in the form of a control event. */
export function controlOf(headers: Headers): ControlEvent {
  const text = (name: keyof typeof headerNames) => headers.get(headerNames[name]) ?? undefined;
  const streamNextOffset = text("nextOffset");
  if (!streamNextOffset || parseOffset(streamNextOffset) === undefined) throw notOfARunner();
  const estimatedEnd = text("estimatedEnd");
  return {
    streamNextOffset,
    ...({ streamCursor: text("cursor"), runnerAbortReason: text("abortReason") } as object),
    ...(text("upToDate") && { upToDate: true }),
    ...(text("closed") && { streamClosed: true }),
    ...(estimatedEnd && { runnerEstimatedEnd: Number(estimatedEnd) }),
    runnerStatus: text("status") ?? "",
    runnerProgress: Number(text("progress")),
  };
}

function notOfARunner(): ActiveSessionError {
  return new ActiveSessionError("UNEXPECTED_RESPONSE", "The answer is not one of a runner: it has no next offset");
}
