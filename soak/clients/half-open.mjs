// Connections on which nothing more comes: silent from the first, in the middle of the headers, of a body; or closed on one side, while
// an answer is awaited. None of them may stay.
import { head, openSocket, untilClosed } from "../lib/socket.mjs";

export const share = 3;

const body = head("POST", "/runners/fast", { "Content-Type": "application/json", "Content-Length": 100 });

export async function turn(visitor) {
  const { key } = await visitor.createQuietly("paced", { count: 20, every: 500 });
  const cookie = { Cookie: visitor.cookie };
  const sockets = [
    openSocket(visitor, "GET /runners HTTP/1.1\r\nHost: a\r\nCoo"),
    openSocket(visitor, `${body}{"seed"`),
    halfClosed(visitor, head("GET", `/runners/${key}?offset=0&live=sse`, cookie)),
    halfClosed(visitor, head("GET", `/runners/${key}?offset=15&live=long-poll`, cookie)),
  ];
  await Promise.all(sockets.map(untilClosed));
  visitor.signal.throwIfAborted();
}

function halfClosed(visitor, text) {
  return openSocket(visitor, "", { allowHalfOpen: true }).once("end", endNow).end(text);
}

function endNow() {
  this.destroy();
}
