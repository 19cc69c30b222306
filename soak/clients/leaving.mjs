// Goes away for longer than anybody waits: what it had is gone, and it is told so.
import { wasFrozenSince } from "../lib/frozen.mjs";
import { check } from "../lib/wrong.mjs";
import { roomy } from "../settings.mjs";

export const share = 3;

export async function turn(visitor) {
  const { key } = await visitor.createQuietly("paced", { every: 200 });
  await visitor.ask(200, `${key}?offset=0`);
  const leftAt = performance.now();
  await visitor.pause(roomy.options.runnerIdleTimeout + 2_500);
  if (wasFrozenSince(leftAt)) return; // its request may come before what was due in that time
  await visitor.ask(410, `${key}?offset=0`);
  const list = await visitor.client.list();
  check(!list.some((state) => state.key === key), "a runner that is gone is in the list");
  if (Math.random() < 0.5) return;
  await visitor.pause(roomy.options.idleTimeout + 2_500);
  if (wasFrozenSince(leftAt)) return;
  check((await visitor.client.list()).length === 0, "an unused session still has runners");
}
