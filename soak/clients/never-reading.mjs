// Asks for much and reads nothing of it. When the server has had enough, the connection is closed without what has not been read.
import { wasFrozenSince } from "../lib/frozen.mjs";
import { head, openSocket, untilClosed } from "../lib/socket.mjs";
import { check } from "../lib/wrong.mjs";
import { router } from "../settings.mjs";

export const share = 1;

/** A response may last so long without a sign of life, and take so long to drain after its end; and some time more on a busy machine. */
const tooLong = router.rotateAfter + 5_000 + 5_000;

export async function turn(visitor) {
  const { key } = await visitor.createQuietly("big", { count: 90 });
  const cookie = { Cookie: visitor.cookie };
  const since = performance.now();
  const stream = openUnread(visitor, head("GET", `/runners/${key}?offset=0&live=sse`, cookie));
  // More than the buffers between both ends take: one answer after the other is asked for, and the first is read no more than the last.
  const pages = openUnread(visitor, head("GET", `/runners/${key}?offset=0`, cookie).repeat(8));
  await visitor.pause(tooLong);
  pages.destroy();
  const text = await untilClosed(stream.resume());
  visitor.signal.throwIfAborted();
  const isWhole = text.endsWith("\r\n0\r\n\r\n");
  check(!isWhole || wasFrozenSince(since), `a client that read nothing for ${tooLong} ms was not cut off`);
}

function openUnread(visitor, text) {
  const socket = openSocket(visitor, text);
  socket.pause();
  return socket;
}
