// What the log costs an item.
import { compareInline } from "../lib/inline.mjs";

export const name = "log";

export async function* run() {
  const limits = { one: 0.85, many: 0.8, short: undefined };
  const names = {
    one: "async iterable → log → reads of 100, against bare for await, items/CPU s",
    many: "the same for 1,000 runners at once, of 1,000 items each, against bare generators, items/CPU s",
    short: "the same for 1,000 runners at once, of 100 items each, against bare generators, items/CPU s",
  };
  for await (const [question, result] of compareInline("inline/log.mjs", Object.keys(limits), 11)) {
    yield { name: names[question], ...result, atLeast: limits[question] };
  }
}
