// Event streams whose connection the reader has in its own hands: it can stop reading, or cut it anywhere.
import { check } from "./wrong.mjs";

/**
 * Reads events from an offset on; only what its control event has confirmed is taken.
 * @param onPart is told how many bytes have come, and awaited; the stream is cut where it returns false
 * @returns where it came to, whether the end was told, and whether the server has cut it off
 */
export async function readEvents(visitor, { key, offset, ledger, acks, onPart = () => true }) {
  const path = `${key}?live=sse&offset=${offset}${acks ? "&acks=true" : ""}`;
  const response = await visitor.open(path);
  const { statusCode, headers } = response;
  if (statusCode !== 200) response.destroy();
  check(statusCode === 200, `at ${offset}: ${statusCode} ${headers["runner-error-code"]}`, "lost");
  const place = { offset, closed: false, isCut: false };
  const events = new Events(ledger, place);
  let bytes = 0;
  try {
    for await (const part of response.setEncoding("utf8")) {
      bytes += part.length;
      events.add(part);
      if ((await onPart(bytes)) === false) break;
    }
  } catch (error) {
    if (error.code !== "ECONNRESET") throw error;
    place.isCut = true; // a reader that is too slow
  }
  response.destroy();
  return place;
}

class Events {
  #ledger;
  #place;
  #text = "";
  #items = [];

  constructor(ledger, place) {
    this.#ledger = ledger;
    this.#place = place;
  }

  add(part) {
    const events = (this.#text + part).split("\n\n");
    this.#text = events.pop();
    for (const event of events) this.#addOne(event);
  }

  #addOne(event) {
    if (event.startsWith(":")) return;
    const [, name, json] = /^event: (\w+)\ndata:(.*)$/.exec(event) ?? [];
    check(name === "data" || name === "control", `an event ${event.slice(0, 80)}`);
    if (name === "data") this.#items = JSON.parse(json);
    else this.#confirm(JSON.parse(json));
  }

  #confirm({ streamNextOffset, streamClosed, runnerStatus }) {
    const place = this.#place;
    const next = Number(streamNextOffset);
    this.#ledger.takeFrom(place.offset, this.#items, next);
    this.#items = [];
    place.offset = next;
    if (!streamClosed) return;
    place.closed = true;
    this.#ledger.end(runnerStatus);
  }
}
