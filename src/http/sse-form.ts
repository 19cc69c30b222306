/**
 * The two forms of an event stream: that of the Durable Streams protocol, and that for the browser's `EventSource`.
 */
import { noItems } from "../log/codec.js";
import type { Slice } from "../log/result-log.js";
import { formatOffset, parseOffset } from "../protocol/offset.js";
import { formatSse } from "../protocol/sse.js";
import type { RunnerCore } from "../runner/runner-core.js";
import { nextCursor } from "./cursor.js";
import { controlEvent } from "./response-headers.js";

/** Turns slices into the text of Server-Sent Events. The response decides when to write. */
export interface SseForm {
  /**
   * The text for one slice, which has its items as JSON.
   * @param opened the id of the response for its first frame, else `undefined`
   */
  frame(runner: RunnerCore, slice: Slice<unknown>, opened: string | undefined): string | Promise<string>;
  /** Minimum life of a response, in ms: one that uses up its allowance sooner waits until then with its end. */
  readonly shortestLife: number;
}

/**
 * The form of the Durable Streams protocol: one `data` event if there are items, and a `control` event for each
 * slice.
 */
export class ProtocolForm implements SseForm {
  readonly #cursor: number | undefined;
  /**
   * The client of Durable Streams stops after three responses in a row of less than a second: it takes them for the
   * work of a broken proxy.
   */
  readonly shortestLife = 1100;

  /** @param cursor the cursor that the client echoes */
  constructor(cursor: number | undefined) {
    this.#cursor = cursor;
  }

  frame(runner: RunnerCore, slice: Slice<unknown>, opened: string | undefined): string {
    const { text, count } = slice.json ?? noItems;
    const control = JSON.stringify(controlEvent(runner, slice, nextCursor(this.#cursor), opened));
    const events = count === 0 ? "" : formatSse({ type: "data", data: text });
    return events + formatSse({ type: "control", data: control });
  }
}

/** Delay before a browser reconnects, in ms. Without it a browser waits for some seconds. */
const retry = 250;
/** Follows the offset in the id of the event `end`: a client that sends it back has seen the end. */
const endSuffix = ".end";

/**
 * The form for `EventSource`: an unnamed event for each item (of a process: for its newest value) with the offset
 * after it as id, and at the end an event `end` with the state. A browser sends the latest id back as
 * `Last-Event-ID`, also that of an event without data, like the opening one here (HTML standard, 9.2).
 */
export const eventSourceForm: SseForm = {
  shortestLife: 0,
  frame(runner, slice, opened) {
    const { texts = [] } = slice.json ?? noItems;
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

/** Appends the event `end`, whose data is the whole state. */
async function withEnd(runner: RunnerCore, position: number, text: string): Promise<string> {
  const data = JSON.stringify(await runner.state());
  return text + formatSse({ type: "end", id: formatOffset(position) + endSuffix, data });
}

/**
 * Parses the id of an event.
 * @returns its position, `"end"` for the id of the event `end`, or `undefined` for any other text
 */
export function parseEventId(id: string): number | "end" | undefined {
  if (!id.endsWith(endSuffix)) return parseOffset(id);
  return parseOffset(id.slice(0, -endSuffix.length)) === undefined ? undefined : "end";
}
