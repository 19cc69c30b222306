// What no HTTP client would do: bytes on a socket.
import { connect } from "node:net";
import { counts } from "./visitor.mjs";
import { check } from "./wrong.mjs";

/** Opens a connection, and writes the text if there is one. */
export function openSocket({ port, signal }, text = "", options = {}) {
  counts.requests++;
  const socket = connect({ port, host: "127.0.0.1", ...options });
  signal.addEventListener("abort", () => socket.destroy());
  socket.on("error", () => {}); // that it is cut off is what some of this is about
  if (text) socket.write(text);
  return socket;
}

/** Everything that comes until the server closes the connection. */
export function untilClosed(socket) {
  return new Promise((resolve) => {
    let text = "";
    socket.setEncoding("latin1").on("data", (part) => {
      text += part;
    });
    socket.once("close", () => resolve(text));
  });
}

/** Sends bytes, and expects one of the statuses; `undefined` stands for none. */
export async function expectStatus(visitor, text, expected) {
  const answer = await untilClosed(openSocket(visitor, text));
  visitor.signal.throwIfAborted();
  const status = /^HTTP\/1\.1 (\d+)/.exec(answer)?.[1];
  const fits = expected.includes(status && Number(status));
  check(fits, `${JSON.stringify(text.slice(0, 100))}: ${status}, not ${expected}: ${answer.slice(0, 200)}`);
}

/** The first lines of a request. */
export function head(method, path, headers = {}) {
  const lines = Object.entries({ Host: "127.0.0.1", ...headers }).map(([name, value]) => `${name}: ${value}`);
  return `${[`${method} ${path} HTTP/1.1`, ...lines].join("\r\n")}\r\n\r\n`;
}
