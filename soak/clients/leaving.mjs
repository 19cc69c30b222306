// Goes away for so long that its work is stopped, and finds what that had come to; or for so long that nothing is left, and is told so.
import { wasFrozenSince } from "../lib/frozen.mjs";
import { check } from "../lib/wrong.mjs";
import { roomy } from "../settings.mjs";

export const share = 3;

const { idleTimeout, runnerIdleTimeout, finishedTimeout } = roomy.options;

export async function turn(visitor) {
  const { key, ledger } = await visitor.createQuietly("paced", { every: 200 });
  await visitor.ask(200, `${key}?offset=0`);
  const leftAt = performance.now();
  await visitor.pause(runnerIdleTimeout + 2_500);
  if (wasFrozenSince(leftAt)) return; // its request may come before what was due in that time
  const page = await visitor.client.read(key, { offset: 0, signal: visitor.signal });
  ledger.takeFrom(0, page.items, page.position);
  check(page.closed && page.status === "aborted", () => `unused work is not over: ${page.status}`);
  check(page.items.length > 0, "unused work has lost its items");
  if (Math.random() < 0.5) return;
  await visitor.pause(finishedTimeout + 2_500);
  if (wasFrozenSince(leftAt)) return;
  await visitor.ask(410, `${key}?offset=0`);
  const list = await visitor.client.list();
  check(!list.some((state) => state.key === key), "a runner that is gone is in the list");
  await visitor.pause(idleTimeout + 2_500);
  if (wasFrozenSince(leftAt)) return;
  check((await visitor.client.list()).length === 0, "an unused session still has runners");
}
