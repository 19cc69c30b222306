// A load generator for answers that are all alike: it writes the request again as soon as the answer is complete, over sockets of its
// own, and looks at no byte of it. That costs a fraction of what an HTTP client costs, so that the server is what is measured.
import { connect } from "node:net";

/**
 * Asks as often as it can, which keeps the server's core busy all the time.
 * @param server a child that is one
 * @param {{ request: string, connections?: number, duration: number }} options the whole request as text; ms
 * @returns {Promise<number>} answers in a second of the server's processor: what its core gives to others meanwhile does not count
 */
export async function hammer({ port, ask }, { request, connections = 64, duration }) {
  const length = await answerLength(port, request);
  const sockets = [];
  let answers = 0;
  let isOver = false;
  const failed = new Promise((_, reject) => {
    for (let i = 0; i < connections; i++) {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true });
      let missing = length;
      socket.on("error", reject);
      socket.on("data", (bytes) => {
        missing -= bytes.length;
        if (missing > 0) return;
        if (missing < 0) reject(new Error("The answers are not all alike"));
        answers++;
        missing = length;
        if (!isOver) socket.write(request);
      });
      sockets.push(socket);
    }
  });
  const { answer: before } = await ask("cpu");
  stayAwake(() => isOver);
  for (const socket of sockets) socket.write(request);
  await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, duration))]);
  isOver = true;
  const { answer: after } = await ask("cpu");
  for (const socket of sockets) socket.destroy();
  return answers / ((after - before) / 1e6);
}

/** A core that sleeps must be woken by each answer, at the cost of the server: more often, the longer an answer takes. */
function stayAwake(isOver) {
  if (!isOver()) setImmediate(stayAwake, isOver);
}

/** How many bytes the answer has, which must be 200 and say its length. */
async function answerLength(port, request) {
  const socket = connect({ port, host: "127.0.0.1" });
  socket.write(request);
  let text = "";
  for await (const bytes of socket) {
    text += bytes.toString("latin1");
    const head = text.indexOf("\r\n\r\n");
    if (head < 0) continue;
    const body = Number(/content-length: (\d+)/i.exec(text)?.[1]);
    if (!text.startsWith("HTTP/1.1 200") || Number.isNaN(body)) throw new Error(`No fit answer: ${text}`);
    if (text.length < head + 4 + body) continue;
    socket.destroy();
    return head + 4 + body;
  }
  throw new Error("The connection ended before its answer");
}

/** The head of a GET request. */
export function get(path, headers = {}) {
  const lines = Object.entries({ host: "127.0.0.1", ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}
