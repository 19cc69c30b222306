/** Connections to a runner: event streams, long-polls and pages, read into items and control data. */
import type { CodedError } from "../base/coded-error.js";
import type { ControlEvent } from "../protocol/headers.js";
import { sseParser } from "../protocol/sse.js";
import {
  type ClientOptions,
  decode,
  notOfARunner,
  type RequestDetails,
  receive,
  request,
  temporary,
} from "./request.js";

/**
 * The control data of a piece: the fields of a control event, or the response headers under the same names. From headers all values
 * are text, so consumers convert them.
 */
export type Control = { readonly [K in keyof ControlEvent]?: ControlEvent[K] | string } & {
  /** The header `Stream-Up-To-Date`; a control event calls it `upToDate`. */
  readonly streamUpToDate?: string;
};

/** A piece that has arrived in full. */
export interface Received<B> {
  /** Items; for a creation the runner's state with its first items. */
  readonly body: B;
  /** Offset, status and progress after `body`. */
  readonly control: Control;
}

/**
 * How long an event stream may take to its first bytes, ms. The server sends some at once; if they do not arrive, a proxy buffers
 * the whole response.
 */
const firstBytesWithin = 10_000;
/** After so long without a byte an event stream is cut, ms: three heartbeats of a server with the default settings. */
const silentAtMost = 45_000;
/** How long a long-poll may take, ms: the longest time-out that the server grants, 60 s, and some more. */
const pollAtMost = 75_000;

/** The error for an event stream that does not get through. Compared by identity: a follower changes to long-polls for good. */
export const noStream = temporary("No stream");
/** The error for a connection that was cut because nothing arrived. */
const silence = temporary("Silence");

/**
 * Opens one connection to a runner and yields what arrives, until the response ends.
 *
 * - An event stream yields a piece at its control event. Data without one, from a connection that was cut, is dropped: the next
 *   connection asks for it again.
 * - A long-poll or a page yields one piece.
 * - A connection on which nothing arrives for too long is cut.
 * - Leaving the loop cancels the request.
 * @param url includes the query
 * @param isStream true for an event stream
 * @param cut aborts the connection, with the error to be thrown; it is also aborted when the connection is over
 * @param onBytes called whenever bytes arrive, heartbeats included
 * @throws what {@link request} throws; `noStream`; the reason of `cut`
 */
export async function* connect<T>(
  url: string,
  isStream: boolean,
  options: ClientOptions,
  cut: AbortController,
  onBytes: () => void,
): AsyncGenerator<Received<T[]>, void, undefined> {
  const { signal } = cut;
  let timer: ReturnType<typeof setTimeout> | undefined;
  /** Starts the timer that cuts the connection. It runs only while bytes are awaited. */
  const expectWithin = (delay: number, otherwise: CodedError) => {
    timer = setTimeout(() => cut.abort(otherwise), delay);
  };
  try {
    expectWithin(isStream ? firstBytesWithin : pollAtMost, isStream ? noStream : silence);
    if (!isStream) {
      const page = await requestPage<T[]>(url, options, { signal });
      onBytes();
      return yield page;
    }
    const { headers, body } = await request(url, options, { signal });
    if (!headers.get("Content-Type")?.startsWith("text/event-stream") || !body) throw noStream;
    const parse = sseParser();
    /** Data events wait here for their control event. */
    let items: T[] = [];
    const reader = body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await receive(() => reader.read(), signal);
      clearTimeout(timer); // the application may take its time with a piece
      if (done) return;
      onBytes();
      for (const { type, data } of parse(decoder.decode(value, { stream: true }))) {
        if (type === "data") items = decode(data, url);
        if (type !== "control") continue;
        yield { body: items, control: checked(decode(data, url), url) };
        items = [];
      }
      expectWithin(silentAtMost, silence);
    }
  } finally {
    clearTimeout(timer);
    // Cancels the request if the consumer has left the loop, and removes the listeners of `cut.signal`.
    cut.abort();
  }
}

/**
 * Sends a request whose response is a page, and reads its headers and its body.
 * @throws what {@link request} throws; `UNEXPECTED_RESPONSE` if the headers are not those of a read; a temporary error if the body
 *   was cut off
 */
export async function requestPage<B>(
  url: string,
  options: ClientOptions,
  details: RequestDetails,
): Promise<Received<B>> {
  const response = await request(url, options, details);
  const control = controlOf(response.headers, url);
  // The headers are the server's own, so a body that is not JSON has been cut off. 204 is a long-poll whose time was up.
  const body = response.status === 204 ? [] : await receive(() => response.json(), details.signal);
  return { body: body as B, control };
}

/**
 * Converts response headers into the form of a control event: `Runner-Status` becomes `runnerStatus`. The error message is
 * percent-encoded, because headers have no Unicode.
 */
function controlOf(headers: Headers, url: string): Control {
  const control: Record<string, string> = {};
  headers.forEach((value, name) => {
    control[name.toLowerCase().replace(/-(.)/g, (_, letter) => letter.toUpperCase())] = value;
  });
  control.runnerErrorMessage = decode(control.runnerErrorMessage ?? "", url, decodeURIComponent);
  return checked(control, url);
}

/** Rejects responses without a valid offset: they come from something else than the runner. */
function checked(control: Control | null, url: string): Control {
  if (/^\d+$/.test(control?.streamNextOffset as string)) return control!;
  throw notOfARunner(url);
}
