import { setTimeout as wait } from "node:timers/promises";

/** What the examples do: ten numbers, one every 20 ms. */
export async function* count() {
  for (let n = 1; n <= 10; n++) {
    await wait(20);
    yield n;
  }
}
