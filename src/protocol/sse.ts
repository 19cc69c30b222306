/** Server-Sent Events (HTML standard, section 9.2.6): written by the server, parsed by the client. */

/** One event to be written. */
export interface SseMessage {
  /** The event's type; without one, it is a `message`. Must not contain a line break. */
  readonly type?: string;
  /** One `data` field for each line of it. */
  readonly data?: string;
  /** What a browser sends back as `Last-Event-ID`. Must not contain a line break. */
  readonly id?: string;
  /** How long a browser waits before it reconnects, ms. */
  readonly retry?: number;
}

/** A comment: keeps a connection alive, and is no event. */
export const sseComment = ":\n\n";

/** The text of one event, its closing empty line included. */
export function formatSse({ type, data, id, retry }: SseMessage): string {
  let text = type === undefined ? "" : `event: ${type}\n`;
  if (retry !== undefined) text += `retry: ${retry}\n`;
  if (id !== undefined) text += `id: ${id}\n`;
  if (data !== undefined)
    for (const line of data.split("\n")) text += line[0] === " " ? `data: ${line}\n` : `data:${line}\n`;
  return `${text}\n`;
}

/** One event that was parsed. */
export interface SseEvent {
  /** Empty if the event has no type. */
  readonly type: string;
  readonly data: string;
}

/**
 * Creates a parser: a function that takes the stream in pieces, cut anywhere, and yields the events that each piece completes. It
 * ignores `id` and `retry`. An event that is never completed is dropped, as the standard demands.
 * @example
 * const parse = sseParser();
 * for await (const text of body) for (const { type, data } of parse(text)) handle(type, data);
 */
export function sseParser(): (piece: string) => Iterable<SseEvent> {
  let line = "";
  let type = "";
  let data = "";
  let endedWithReturn = false;
  return function* (piece) {
    if (piece === "") return;
    const lines = (endedWithReturn && piece[0] === "\n" ? piece.slice(1) : piece).split(/\r\n?|\n/);
    endedWithReturn = piece.endsWith("\r");
    const rest = lines.pop();
    for (const end of lines) {
      line += end;
      if (line) {
        const [, field, value] = /^([^:]*):? ?(.*)/s.exec(line) as unknown as [string, string, string];
        if (field === "event") type = value;
        if (field === "data") data += `${value}\n`;
      } else {
        if (data) yield { type, data: data.slice(0, -1) };
        type = data = "";
      }
      line = "";
    }
    line += rest;
  };
}
