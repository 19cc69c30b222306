// Wants more than it may have: beyond its limit it is refused, and what it has stays.
import { Ledger } from "../lib/ledger.mjs";
import { check } from "../lib/wrong.mjs";
import { roomy } from "../settings.mjs";

export const share = 1;

const { runnersPerClient, openReadsPerClient } = roomy.options.limits;
const init = { method: "POST", headers: { "content-type": "application/json" } };

export async function turn(visitor) {
  visitor.forget();
  await tooManyRunners(visitor);
  await tooManyReads(visitor);
  visitor.forget();
  await whereRoomIsMade(visitor);
  visitor.forget();
}

async function tooManyRunners(visitor) {
  const { key, ledger } = await visitor.createQuietly("kept", { count: 40, every: 100 });
  const wanted = Array.from({ length: runnersPerClient + 4 }, (_, seed) =>
    visitor.ask([201, 429], "kept?timeout=0", { ...init, body: JSON.stringify({ seed, count: 1000, every: 1000 }) }),
  );
  const refused = (await Promise.all(wanted)).filter(({ status }) => status === 429).length;
  // Ended runners make room: of these none but the first one ends. A creation waits for its first items, which is a read: of those that are
  // asked for at once some are refused for that.
  check(refused >= 4, `${refused} of ${runnersPerClient + 5} runners are refused, not 4`);
  const list = await visitor.client.list();
  check(list.length <= runnersPerClient, `${list.length} runners, and ${runnersPerClient} may be`);
  await ledger.follow(visitor.follow(key));
}

async function tooManyReads(visitor) {
  const [{ key }] = await visitor.client.list();
  const wait = `${key}?live=long-poll&offset=now&timeout=1`;
  await visitor.client.abort(key); // its end is there already: nothing waits
  await visitor.ask(204, wait);
  const { key: slow } = (await visitor.client.list()).find(({ isBackgroundCompleted }) => !isBackgroundCompleted) ?? {};
  if (!slow) return;
  const waits = Array.from({ length: openReadsPerClient + 6 }, () =>
    visitor.ask([200, 204, 429], `${slow}?live=long-poll&offset=0&min-items=10000&timeout=1`),
  );
  const statuses = (await Promise.all(waits)).map(({ status }) => status);
  // Once the work is over no read waits any more, and nothing is refused.
  check(statuses.includes(429) || statuses.includes(200), `${waits.length} reads at once, and none is refused`);
}

/**
 * Sessions end of age there, too: with 200 the answer tells the end of what was begun. Idle runners, its own and others', are ended
 * to make room; what it reads is right all the same.
 */
async function whereRoomIsMade(visitor) {
  const waits = [];
  for (let i = 0; i < 10; i++) {
    const input = { seed: visitor.random(1000), count: 200 };
    const { status, json } = await visitor.ask([200, 201, 410, 429, 503], "/tight/fast?max-items=20", {
      ...init,
      body: JSON.stringify(input),
    });
    if (status !== 201) continue;
    const { key, items, position } = json();
    const ledger = new Ledger("fast", input);
    ledger.takeFrom(0, items, position);
    const wait = readOn(visitor, key, position, ledger);
    wait.catch(() => {}); // it is awaited below, unless something else is wrong before
    waits.push(wait);
  }
  await Promise.all(waits);
}

/** What is there, and then what comes within a second: right as long as the runner is there. */
async function readOn(visitor, key, from, ledger) {
  let offset = from;
  for (const query of ["", "&live=long-poll&timeout=1"]) {
    const page = await visitor.ask([200, 204, 404, 410, 429, 503], `/tight/${key}?offset=${offset}${query}`);
    if (page.status !== 200) return;
    const next = Number(page.headers.get("stream-next-offset"));
    ledger.takeFrom(offset, page.json(), next);
    offset = next;
  }
}
