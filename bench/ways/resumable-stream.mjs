// resumable-stream over Redis: `one` is the first reader of a stream, `resumed` one that joins it while another reads.
import { Readable } from "node:stream";
import { createResumableStreamContext } from "resumable-stream";
import { eventStream, produce } from "./produce.mjs";

const context = createResumableStreamContext({ waitUntil: null });
let last = 0;

/** The items as the texts that this library carries; they begin to come when `begun` resolves. */
function makeStream(wanted, begun) {
  async function* frames() {
    await begun;
    for await (const item of produce(wanted)) yield `data: ${JSON.stringify(item)}\n\n`;
  }
  return () => ReadableStream.from(frames());
}

export async function one(_request, response, wanted) {
  await send(response, await context.createNewResumableStream(`stream-${++last}`, makeStream(wanted)));
}

export async function resumed(_request, response, wanted) {
  const id = `stream-${++last}`;
  let begin;
  const begun = new Promise((resolve) => {
    begin = resolve;
  });
  const first = await context.createNewResumableStream(id, makeStream(wanted, begun));
  const second = await context.resumeExistingStream(id);
  begin();
  await Promise.all([first.pipeTo(new WritableStream()), send(response, second)]);
}

async function send(response, stream) {
  response.writeHead(200, eventStream);
  for await (const text of Readable.fromWeb(stream)) {
    if (!response.write(text)) await new Promise((resolve) => response.once("drain", resolve));
  }
  response.end();
}
