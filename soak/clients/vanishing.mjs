// Is suddenly not there any more: in the middle of the body of its request, before the answer, in the middle of an event. What it
// missed it asks for again.
import { head, openSocket } from "../lib/socket.mjs";
import { readEvents } from "../lib/stream.mjs";

export const share = 4;

export async function turn(visitor) {
  await vanishInBody(visitor);
  const { key, ledger } = await visitor.createQuietly("bursts", { count: 1200, every: 100 });
  for (let place = { offset: 0 }; !place.closed; ) {
    await vanishBeforeAnswer(visitor, key, place.offset);
    const enough = visitor.between(1, 40_000);
    place = await readEvents(visitor, { key, offset: place.offset, ledger, onPart: (bytes) => bytes < enough });
    await visitor.pause(visitor.random(300));
  }
}

async function vanishInBody(visitor) {
  const headers = { "Content-Type": "application/json", "Content-Length": 1000 };
  const socket = openSocket(visitor, `${head("POST", "/runners/fast", headers)}{"seed":`);
  await visitor.pause(visitor.random(50));
  socket.destroy();
}

async function vanishBeforeAnswer(visitor, key, offset) {
  const live = visitor.pick(["", "&live=long-poll&min-items=500", "&live=sse"]);
  const socket = openSocket(
    visitor,
    head("GET", `/runners/${key}?offset=${offset}${live}`, { Cookie: visitor.cookie }),
  );
  await visitor.pause(visitor.random(10));
  socket.destroy();
}
