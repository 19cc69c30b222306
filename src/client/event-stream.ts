/** The event stream format of Server-Sent Events (HTML standard, section 9.2.6), without `id` and `retry`, which nobody here uses. */

/**
 * Takes an event stream in pieces, cut anywhere, and calls back for each event that has become complete. An event whose end
 * never comes is dropped, as the standard asks.
 */
export function eventParser(onEvent: (type: string, data: string) => void): (piece: string) => void {
  let line = "";
  let type = "";
  let data = "";
  let endedWithReturn = false;
  const endLine = () => {
    if (line === "") {
      if (data) onEvent(type, data.slice(0, -1));
      type = data = "";
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "event") type = value;
    if (field === "data") data += `${value}\n`;
    line = "";
  };
  return (piece) => {
    if (piece === "") return;
    const lines = (endedWithReturn && piece[0] === "\n" ? piece.slice(1) : piece).split(/\r\n?|\n/);
    endedWithReturn = piece.endsWith("\r");
    const rest = lines.pop();
    for (const end of lines) {
      line += end;
      endLine();
    }
    line += rest;
  };
}
