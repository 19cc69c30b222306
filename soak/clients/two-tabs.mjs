// Two tabs with one cookie: both show everything, each at its own pace; the second one finds the runner in the list.
import { Ledger } from "../lib/ledger.mjs";
import { check } from "../lib/wrong.mjs";

export const share = 3;

export async function turn(visitor) {
  const { key, input } = await visitor.createQuietly("kept", { count: 60, every: 200 });
  const other = visitor.tab();
  const list = await other.client.list();
  check(
    list.some((state) => state.key === key),
    "a runner is not in the list of its client",
  );
  await Promise.all([
    show(visitor, key, input, visitor.random(30)),
    show(other, key, input, visitor.random(30), "long-poll"),
  ]);
}

async function show(tab, key, input, pauseAt, live) {
  const ledger = new Ledger("kept", input);
  await ledger.follow(tab.follow(key, { live }), pauseAt);
  await tab.pause(tab.random(1500));
  if (ledger.next < input.count) await ledger.follow(tab.follow(key, { offset: ledger.next, live }));
}
