// Comes to an item that has no JSON form: it gets everything before that, and is told why there is no more.
import { check } from "../lib/wrong.mjs";

export const share = 1;

export async function turn(visitor) {
  const { follower, ledger, input } = await visitor.create("formless", { count: visitor.between(25, 300) });
  try {
    for await (const { items } of follower.updates()) ledger.take(items);
  } catch (error) {
    check(error.code === "RESULT_NOT_SERIALIZABLE", `${error.code}: ${error.message}`);
    check(ledger.next === input.count, `${ledger.next} of ${input.count} come before it`, "lost");
    return;
  }
  check(false, "an item without a JSON form has come");
}
