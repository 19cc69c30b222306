// Asks for much and reads nothing of it. The connection is closed in time (the server's process checks that), and pages of any number
// do no harm.
import { head, openSocket, untilClosed } from "../lib/socket.mjs";
import { router } from "../settings.mjs";

export const share = 1;

/** A response may last so long without a sign of life, and take so long to drain after its end; and some time more on a busy machine. */
const tooLong = router.rotateAfter + 5_000 + 5_000;

export async function turn(visitor) {
  const { key } = await visitor.createQuietly("big", { count: 90 });
  const cookie = { Cookie: visitor.cookie };
  const stream = openUnread(visitor, head("GET", `/runners/${key}?offset=0&live=sse`, cookie));
  // More than the buffers between both ends take: one answer after the other is asked for, and the first is read no more than the last.
  const pages = openUnread(visitor, head("GET", `/runners/${key}?offset=0`, cookie).repeat(8));
  await visitor.pause(tooLong);
  pages.destroy();
  await untilClosed(stream.resume());
  visitor.signal.throwIfAborted();
}

function openUnread(visitor, text) {
  const socket = openSocket(visitor, text);
  socket.pause();
  return socket;
}
