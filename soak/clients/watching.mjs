// Watches a process: values may be missed, but none comes twice or after a later one, and never is the last one missing.
import { checked } from "../lib/ledger.mjs";
import { check } from "../lib/wrong.mjs";
import { valueAt } from "../work.mjs";

export const share = 3;

export async function turn(visitor) {
  const live = visitor.pick(["sse", "long-poll"]);
  const count = 40;
  const { follower, input } = await visitor.create("tally", { count, every: visitor.between(1, 500) }, { live });
  let last = -1;
  for await (const { items, closed, status } of follower.updates()) {
    for (const { i, v } of items) {
      check(i > last, `the value ${i} comes after ${last}`, "duplicated");
      check(v === valueAt(input.seed, i), `the value ${i} is another one's`, "corrupt");
      last = i;
      checked.items++;
    }
    if (closed) check(status === "completed" && last === count, `it is ${status} with ${last}`, "lost");
  }
  check(last === count, `it ends with ${last}`, "lost");
}
