/** The event stream format of Server-Sent Events (HTML standard, section 9.2.6), without `id` and `retry`, which nobody here uses. */

/** An event, complete. */
export interface StreamEvent {
  readonly type: string;
  readonly data: string;
}

/**
 * Makes a function that takes an event stream in pieces, cut anywhere, and gives the events that each has made complete. An event
 * whose end never comes is dropped, as the standard asks.
 */
export function eventParser(): (piece: string) => Iterable<StreamEvent> {
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
