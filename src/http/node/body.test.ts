import type { IncomingMessage } from "node:http";
import { connect, type Socket } from "node:net";
import { expect, test, vi } from "vitest";
import { atEnd } from "../../../test/support/cleanup.js";
import { turns } from "../../../test/support/control.js";
import { waitUntil } from "../../../test/support/patience.js";
import { listen } from "../../../test/support/server.js";
import { createDeferred } from "../../base/async.js";
import { readBody } from "./body.js";

/** A request whose head has arrived, and the socket on which its body is to be sent. */
async function receive(head: string) {
  const received = createDeferred<IncomingMessage>();
  const { url } = await listen((incoming) => received.resolve(incoming));
  const sent = connect(Number(new URL(url).port), "127.0.0.1");
  atEnd(() => sent.destroy());
  sent.write(`POST / HTTP/1.1\r\nhost: a\r\n${head}\r\n\r\n`);
  return { incoming: await received.promise, sent };
}

/** Resolves when the server has got the bytes, with a turn for each piece. */
async function sendPieces(sent: Socket, incoming: IncomingMessage, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    const before = incoming.socket.bytesRead;
    sent.write(piece);
    await waitUntil(() => incoming.socket.bytesRead > before);
    await turns();
  }
}

test.each([
  ["has paused the stream", (incoming: IncomingMessage) => void incoming.pause()],
  ["listens for readable", (incoming: IncomingMessage) => void incoming.on("readable", () => {})],
  ["has set an encoding", (incoming: IncomingMessage) => void incoming.setEncoding("utf8")],
  ["has set another encoding", (incoming: IncomingMessage) => void incoming.setEncoding("latin1")],
])("a body is read also where something in front %s", async (_what, prepare) => {
  const bytes = Buffer.from("a€b");
  for (const cuts of [[bytes], [bytes.subarray(0, 2), bytes.subarray(2)]]) {
    const { incoming, sent } = await receive(`content-length: ${bytes.length}`);
    prepare(incoming);
    const body = readBody(incoming, 100);
    await sendPieces(sent, incoming, cuts);
    await expect(body).resolves.toEqual({ text: "a€b" });
  }
});

test("what cannot be decoded rejects the read instead of ending the process", async () => {
  const { incoming, sent } = await receive("content-length: 3");
  vi.spyOn(TextDecoder.prototype, "decode").mockImplementationOnce(() => {
    throw new RangeError("Invalid string length");
  });
  atEnd(() => vi.restoreAllMocks());
  const body = readBody(incoming, 100);
  sent.write("abc");
  await expect(body).rejects.toThrow("Invalid string length");
});

const listeners = (incoming: IncomingMessage) =>
  ["readable", "end", "error", "close"].map((name) => incoming.listenerCount(name));

test("a body in one piece is read, and no listener is left", async () => {
  const text = '{"name":"Ännchen €"}';
  const { incoming, sent } = await receive(`content-length: ${Buffer.byteLength(text)}`);
  const before = listeners(incoming);
  const body = readBody(incoming, 100);
  sent.write(text);
  await expect(body).resolves.toEqual({ text });
  expect(listeners(incoming)).toEqual(before);
});

test("a character that is split between pieces arrives whole", async () => {
  const bytes = Buffer.from("a€b😀c");
  const { incoming, sent } = await receive(`content-length: ${bytes.length}`);
  const body = readBody(incoming, 100);
  await sendPieces(
    sent,
    incoming,
    Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)),
  );
  await expect(body).resolves.toEqual({ text: "a€b😀c" });
});

test("a byte order mark is no part of the text, in one piece or in several", async () => {
  const bytes = Buffer.from("\uFEFF{}");
  for (const cuts of [[bytes], [bytes.subarray(0, 1), bytes.subarray(1)]]) {
    const { incoming, sent } = await receive(`content-length: ${bytes.length}`);
    const body = readBody(incoming, 100);
    await sendPieces(sent, incoming, cuts);
    await expect(body).resolves.toEqual({ text: "{}" });
  }
});

test.each([10, 11])("a chunked body may have 10 bytes; it has %i", async (size) => {
  const { incoming, sent } = await receive("transfer-encoding: chunked");
  const before = listeners(incoming);
  const body = readBody(incoming, 10);
  sent.write(`5\r\n12345\r\n${(size - 5).toString(16)}\r\n${"x".repeat(size - 5)}\r\n0\r\n\r\n`);
  if (size === 10) await expect(body).resolves.toEqual({ text: "12345xxxxx" });
  else await expect(body).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
  expect(listeners(incoming)).toEqual(before);
});

test("what follows a body that is too large is discarded, so that the client can end it", async () => {
  const { incoming, sent } = await receive("transfer-encoding: chunked");
  const body = readBody(incoming, 10);
  const ended = new Promise((resolve) => incoming.once("end", resolve));
  sent.write(`b\r\n${"x".repeat(11)}\r\n`);
  await expect(body).rejects.toMatchObject({ code: "PAYLOAD_TOO_LARGE" });
  sent.write("5\r\n12345\r\n0\r\n\r\n");
  await ended;
});

test("a connection that ends within the body rejects the read", async () => {
  const { incoming, sent } = await receive("content-length: 10");
  const body = readBody(incoming, 100);
  const outcome = expect(body).rejects.toThrow();
  await sendPieces(sent, incoming, [Buffer.from("12345")]);
  sent.destroy();
  await outcome;
});

test("a connection that has ended before the read rejects it at once", async () => {
  const { incoming, sent } = await receive("content-length: 10");
  const closed = new Promise((resolve) => incoming.once("close", resolve));
  sent.destroy();
  await closed;
  await expect(readBody(incoming, 100)).rejects.toThrow("aborted");
});

test("an empty body needs no event", async () => {
  const { incoming } = await receive("content-length: 0");
  await expect(readBody(incoming, 100)).resolves.toEqual({ text: "" });
});
