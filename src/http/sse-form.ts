/**
 * What an event stream looks like: in the form of the Durable Streams protocol, or in that of the browser's own `EventSource`. Both
 * are Server-Sent Events; the response that writes them decides when.
 */

import { formatOffset, parseOffset } from "../protocol/offset.js";
import { formatSse } from "../protocol/sse.js";
import type { Runner } from "../runner/runner.js";
import { nextCursor } from "./cursor.js";
import type { EncodedSlice } from "./encode.js";
import { controlEvent } from "./response-headers.js";

/** Makes the text of events. */
export interface SseForm {
  /**
   * The text for a slice.
   * @param opened the id of the response, in its first frame
   */
  frame(runner: Runner, read: EncodedSlice, opened: string | undefined): string | Promise<string>;
  /** A response whose allowance is used up sooner waits until then with its end, ms. */
  readonly shortestLife: number;
}

/** One event of data, if there are items, and one of control for each slice. */
export class ProtocolForm implements SseForm {
  readonly #cursor: number | undefined;
  /** The Durable Streams client takes three in a row that have not lived for a second as the work of a broken proxy, and stops. */
  readonly shortestLife = 1100;

  /** @param cursor what the client has sent */
  constructor(cursor: number | undefined) {
    this.#cursor = cursor;
  }

  frame(runner: Runner, { slice, text, isEmpty }: EncodedSlice, opened: string | undefined): string {
    const control = JSON.stringify(controlEvent(runner, slice, nextCursor(this.#cursor), opened));
    const events = isEmpty ? "" : formatSse({ type: "data", data: text });
    return events + formatSse({ type: "control", data: control });
  }
}

/** A browser waits so long before it connects again, ms; without it, some seconds. */
const retry = 250;
/** Behind the offset in the id of the last event: its client has seen the end. */
const endSuffix = ".end";

/**
 * An unnamed event for each item (of a process: for its newest value), whose id is the offset behind it, and at the end an event `end`
 * with the state. The HTML standard (9.2) sends the id of the latest event back as `Last-Event-ID`, also that of one without data.
 */
export const eventSourceForm: SseForm = {
  shortestLife: 0,
  frame(runner, { slice, texts = [] }, opened) {
    const opening = opened === undefined ? "" : `:\n${formatSse({ retry, id: formatOffset(slice.start) })}`;
    const isProcess = runner.kind === "process";
    const events = texts.map((text, i) => {
      const behind = isProcess ? slice.position : slice.start + i + 1;
      return formatSse({ id: formatOffset(behind), data: text });
    });
    const text = opening + events.join("");
    return slice.closed ? withEnd(runner, slice.position, text) : text;
  },
};

async function withEnd(runner: Runner, position: number, text: string): Promise<string> {
  const data = JSON.stringify(await runner.state());
  return text + formatSse({ type: "end", id: formatOffset(position) + endSuffix, data });
}

/** Reads the id of an event: a position, `"end"` for that of the last event, or `undefined`. */
export function parseEventId(id: string): number | "end" | undefined {
  if (!id.endsWith(endSuffix)) return parseOffset(id);
  return parseOffset(id.slice(0, -endSuffix.length)) === undefined ? undefined : "end";
}
