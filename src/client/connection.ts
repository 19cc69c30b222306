/**
 * One connection to a runner: asks from an offset on and gives what arrives as pieces, until the answer ends.
 *
 * A piece of an event stream is complete only with its control event: data whose control event was cut off is as good as not
 * received, the next connection asks for it again. A connection on which nothing arrives for too long is cut here.
 */
import type { ControlEvent } from "../wire/names.js";
import { eventParser } from "./event-stream.js";
import { type ClientOptions, notOfARunner, parseJson, queryOf, receive, request, TemporaryError } from "./request.js";

/** How a connection waits for what comes: by an event stream, by one long answer, or not at all. */
export type LiveMode = "sse" | "long-poll" | "page";

/** What holds for a piece: the fields of a control event, or, all of them as text, the headers of an answer. */
export type Control = { readonly [K in keyof ControlEvent]?: ControlEvent[K] | string } & {
  readonly streamUpToDate?: string;
};

/** What a connection has received. */
export interface Received<T> {
  readonly items: T[];
  readonly control: Control;
}

/** What a connection asks for, and whom it tells. */
export interface ConnectionRequest {
  readonly url: string;
  readonly live: LiveMode;
  readonly offset: number | "now";
  readonly cursor: string | undefined;
  /** Whether an SSE response is told that acknowledgements will come. */
  readonly acks: boolean;
  /** Ends the connection; it is aborted when the connection is over, too. */
  readonly cut: AbortController;
  readonly options: ClientOptions;
  /** Something has arrived, if only a heartbeat. */
  readonly onBytes: () => void;
  /** Is set when it shows that event streams do not get through here. */
  isUseless?: boolean;
}

/** The first bytes of an SSE response come at once; where they do not, something on the way collects the whole answer. */
const firstBytesWithin = 10_000;
/** Three heartbeats of a server with the default settings. */
const silentAtMost = 45_000;
/** The longest long-poll there is, and some time for the way. */
const pollAtMost = 75_000;

/** Gives what arrives. */
export async function* connect<T>(asked: ConnectionRequest): AsyncGenerator<Received<T>, void, undefined> {
  const { live, onBytes, cut } = asked;
  const { signal } = cut;
  const isStream = live === "sse";
  let isSilent = false;
  let hasBytes = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expectWithin = (delay: number) => {
    timer = setTimeout(() => {
      isSilent = true;
      cut.abort(new TemporaryError("The connection is silent"));
    }, delay);
  };
  try {
    signal.throwIfAborted();
    expectWithin(isStream ? firstBytesWithin : pollAtMost);
    const response = await request(urlOf(asked), asked.options, { signal });
    const { headers, body, status } = response;
    if (!isStream) {
      const control = controlOf(headers);
      const items = status === 204 ? [] : await receive(() => response.json() as Promise<T[]>, signal);
      onBytes();
      yield { items, control };
      return;
    }
    if (!headers.get("Content-Type")?.startsWith("text/event-stream") || !body) {
      asked.isUseless = true;
      return;
    }
    const complete: Received<T>[] = [];
    const parse = eventParser(assembler(complete));
    const reader = body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await receive(() => reader.read(), signal);
      clearTimeout(timer); // while the application has the turn, nobody listens
      if (done) return;
      hasBytes = true;
      onBytes();
      parse(decoder.decode(value, { stream: true }));
      yield* complete.splice(0);
      expectWithin(silentAtMost);
    }
  } catch (error) {
    asked.isUseless = isStream && isSilent && !hasBytes;
    if (!asked.isUseless) throw error;
  } finally {
    clearTimeout(timer);
    cut.abort();
  }
}

function urlOf({ url, live, offset, cursor, acks }: ConnectionRequest): string {
  const mode = live === "page" ? {} : { live, ...(cursor && { cursor }), ...(live === "sse" && acks && { acks }) };
  return url + queryOf({ offset, ...mode });
}

/** Puts the events of a stream together, and adds what has become complete. */
function assembler<T>(complete: Received<T>[]): (type: string, data: string) => void {
  let items: T[] = [];
  return (type, data) => {
    if (type === "data") items = parseJson(data);
    if (type !== "control") return;
    const control = parseJson<Control>(data);
    checkOffset(control.streamNextOffset);
    complete.push({ items, control });
    items = [];
  };
}

/** What the headers of an answer say, in the form of a control event: `Runner-Status` is its `runnerStatus`. */
export function controlOf(headers: Headers): Control {
  const control: Record<string, string> = {};
  headers.forEach((value, name) => {
    control[name.toLowerCase().replace(/-(.)/g, (_, letter) => letter.toUpperCase())] = value;
  });
  checkOffset(control.streamNextOffset);
  control.runnerErrorMessage = decodeURIComponent(control.runnerErrorMessage ?? "");
  return control;
}

function checkOffset(offset: string | undefined): void {
  if (!/^\d{1,16}$/.test(String(offset))) throw notOfARunner();
}
