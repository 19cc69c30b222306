// Asks for far more items at least than it takes at most, of work without end: it is answered with what it takes, and the work does not
// run ahead for it.
import { check } from "../lib/wrong.mjs";

export const share = 1;

const aheadLimit = 1000; // the default
/** What the source may have made besides. */
const aLittle = 64;
const minimum = "min-items=10000&max-items=1";

export async function turn(visitor) {
  const { key, ledger, first } = await visitor.createQuietly("fast", {}, { query: `?${minimum}` });
  ledger.takeFrom(0, first.items, first.position);
  check(first.items.length === 1, `${first.items.length} items where one was asked for`);
  await Promise.all(Array.from({ length: 3 }, () => waitForMany(visitor, key, 0)));
  for (let i = visitor.between(3, 10); i > 0; i--) {
    const { items, next } = await waitForMany(visitor, key, ledger.next);
    ledger.takeFrom(ledger.next, items, next);
    await visitor.pause(visitor.random(500));
  }
  await visitor.client.abort(key);
}

async function waitForMany(visitor, key, offset) {
  const { headers, json } = await visitor.ask(200, `${key}?live=long-poll&offset=${offset}&${minimum}`);
  const [progress, next] = ["runner-progress", "stream-next-offset"].map((name) => Number(headers.get(name)));
  check(json().length === 1 && next === offset + 1, `${json().length} items, and then ${next}, from ${offset} on`);
  check(progress <= offset + aheadLimit + aLittle, `the work has come to ${progress}, and the client to ${offset}`);
  return { items: json(), next };
}
