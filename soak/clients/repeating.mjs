// The answer to its creation is lost, again and again: it asks with the same key, and there is one runner, from its first item on.
import { wasFrozenSince } from "../lib/frozen.mjs";
import { Ledger } from "../lib/ledger.mjs";
import { head, openSocket } from "../lib/socket.mjs";
import { check } from "../lib/wrong.mjs";

export const share = 2;

export async function turn(visitor) {
  const since = performance.now();
  visitor.forget();
  await visitor.createQuietly("paced", { count: 10, every: 100 }); // from here on it has an identity
  const input = { seed: visitor.random(1000), count: 60, every: 30 };
  const idempotencyKey = `key-${visitor.random(2 ** 31)}`;
  const body = JSON.stringify(input);
  for (let i = visitor.random(4); i > 0; i--) await lose(visitor, idempotencyKey, body);
  const ledger = new Ledger("paced", input);
  const [one, other] = await Promise.all([
    visitor.client.create("paced", input, { idempotencyKey, signal: visitor.signal }),
    visitor.client.create("paced", input, { idempotencyKey, signal: visitor.signal }),
  ]);
  check(one.key === other.key, "one idempotency key has made two runners");
  const listed = (await visitor.client.list()).length;
  // The first one may have idled out while the server was frozen.
  const fits = wasFrozenSince(since) ? listed <= 2 : listed === 2;
  check(fits, `${listed} runners are listed, 2 were created`);
  await ledger.follow(one);
}

async function lose(visitor, idempotencyKey, body) {
  const headers = {
    ...{ Cookie: visitor.cookie, "Content-Type": "application/json" },
    ...{ "Idempotency-Key": idempotencyKey, "Content-Length": body.length },
  };
  const socket = openSocket(visitor, head("POST", "/runners/paced", headers) + body);
  await visitor.pause(visitor.random(30));
  socket.destroy();
}
