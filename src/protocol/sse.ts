/** Server-Sent Events (HTML standard, section 9.2.6): written by the server, parsed by the client. */

/** An event to be written. */
export interface SseMessage {
  /** Type of the event. Default: none, which a browser dispatches as `message`. Must not contain a line break. */
  readonly type?: string;
  /**
   * Payload. Written as one `data` field per line, which a parser joins again. Must not contain `\r`, which also
   * ends a line; JSON never does.
   */
  readonly data?: string;
  /** Id that a browser sends back as `Last-Event-ID` when it reconnects. Must not contain a line break. */
  readonly id?: string;
  /** Time a browser waits before it reconnects, ms. Default: the browser's own, some seconds. */
  readonly retry?: number;
}

/** A comment line. It keeps a connection alive without being an event. */
export const sseComment = ":\n\n";

/**
 * Formats one event, including the empty line that ends it. A parser removes one space after the colon, so a line
 * that begins with a space gets another one.
 */
export function formatSse({ type, data, id, retry }: SseMessage): string {
  let text = type === undefined ? "" : `event: ${type}\n`;
  if (retry !== undefined) text += `retry: ${retry}\n`;
  if (id !== undefined) text += `id: ${id}\n`;
  if (data !== undefined)
    for (const line of data.split("\n")) text += line[0] === " " ? `data: ${line}\n` : `data:${line}\n`;
  return `${text}\n`;
}

/** A parsed event. */
export interface SseEvent {
  /** Type of the event; empty if it has none. */
  readonly type: string;
  /** The `data` fields, joined by line feeds. */
  readonly data: string;
}

/**
 * Creates a parser: a function that takes the stream in pieces, split anywhere, and yields the events that each
 * piece completes. It knows all three line endings, ignores comments, `id` and `retry`, and drops events without
 * data. An incomplete event at the end of the stream is dropped as well, as the standard requires.
 *
 * Parsing happens during the iteration: consume each result to its end before passing the next piece.
 * @example
 * const parse = sseParser();
 * for await (const text of body) for (const { type, data } of parse(text)) handle(type, data);
 */
export function sseParser(): (piece: string) => Iterable<SseEvent> {
  // State between pieces: the incomplete line, and the fields of the incomplete event.
  let line = "";
  let type = "";
  let data = "";
  // A piece may end between CR and LF. The LF that follows must not count as another line ending.
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
