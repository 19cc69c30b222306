// Tries the keys of others, with a cookie of its own and without one: for it there are no such runners, whatever it does.
import { check } from "../lib/wrong.mjs";

export const share = 2;

const tries = [
  ["GET", "?offset=-1"],
  ["GET", "?offset=0&live=sse"],
  ["GET", "?offset=0&live=long-poll"],
  ["HEAD", ""],
  ["GET", "/state"],
  ["POST", "/ack?offset=1"],
  ["POST", "/abort"],
  ["DELETE", ""],
];

export async function turn(visitor) {
  const { key } = await visitor.createQuietly("kept", { count: 50, every: 100 });
  const stranger = visitor.stranger();
  check((await stranger.client.list()).length === 0, "a client without a session has runners");
  await visitor.pause(visitor.random(1000));
  const foreign = visitor.foreignKey();
  for (const [method, rest] of tries) {
    if (foreign) await visitor.ask(404, foreign + rest, { method });
    await stranger.ask(404, key + rest, { method });
    await visitor.ask(200, key); // what strangers ask is no use of the runner
  }
  const { status } = await visitor.client.state(key);
  check(status !== "aborted", "a stranger has stopped a runner");
}
