/**
 * One connection to a runner: asks from an offset on and gives what arrives as pieces, until the answer ends.
 *
 * A piece of an event stream is complete only with its control event: data whose control event was cut off is as good as not
 * received, the next connection asks for it again. A connection on which nothing arrives for too long is cut here.
 */
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

/** What holds for a piece: the fields of a control event, or, all of them as text, the headers of an answer. */
export type Control = { readonly [K in keyof ControlEvent]?: ControlEvent[K] | string } & {
  readonly streamUpToDate?: string;
};

/** What has arrived in one piece: items, or, of a creation, the runner with its first ones. */
export interface Received<B> {
  readonly body: B;
  readonly control: Control;
}

/** The first bytes of an SSE response come at once; where they do not, something on the way collects the whole answer. */
const firstBytesWithin = 10_000;
/** Three heartbeats of a server with the default settings. */
const silentAtMost = 45_000;
/** The longest long-poll there is, and some time for the way. */
const pollAtMost = 75_000;

/** Event streams do not get through here. */
export const noStream = temporary("No stream");
const silence = temporary("Silence");

/**
 * Makes a connection and gives what arrives.
 * @param cut ends it; it is aborted when the connection is over, too
 * @param onBytes is told that something has arrived, if only a heartbeat
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
    let items: T[] = [];
    const reader = body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await receive(() => reader.read(), signal);
      clearTimeout(timer); // while the application has the turn, nobody listens
      if (done) return;
      onBytes();
      for (const { type, data } of parse(decoder.decode(value, { stream: true }))) {
        if (type === "data") items = decode(data);
        if (type !== "control") continue;
        yield { body: items, control: checked(decode(data)) };
        items = [];
      }
      expectWithin(silentAtMost, silence);
    }
  } finally {
    clearTimeout(timer);
    cut.abort();
  }
}

/** Makes a request that is answered with a page. */
export async function requestPage<B>(
  url: string,
  options: ClientOptions,
  details: RequestDetails,
): Promise<Received<B>> {
  const response = await request(url, options, details);
  const control = controlOf(response.headers);
  // What is ours, and no JSON, has been cut off.
  const body = response.status === 204 ? [] : await receive(() => response.json(), details.signal);
  return { body: body as B, control };
}

/** What the headers of an answer say, in the form of a control event: `Runner-Status` is its `runnerStatus`. */
function controlOf(headers: Headers): Control {
  const control: Record<string, string> = {};
  headers.forEach((value, name) => {
    control[name.toLowerCase().replace(/-(.)/g, (_, letter) => letter.toUpperCase())] = value;
  });
  control.runnerErrorMessage = decode(control.runnerErrorMessage ?? "", decodeURIComponent);
  return checked(control);
}

function checked(control: Control | null): Control {
  if (/^\d+$/.test(control?.streamNextOffset as string)) return control!;
  throw notOfARunner();
}
