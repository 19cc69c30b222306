// What one reader has got of one runner, item by item: each must be the next one, and the right one.
import { textAt, valueAt } from "../work.mjs";
import { check, Wrong } from "./wrong.mjs";

/** Items checked in this process. */
export const checked = { items: 0, bytes: 0 };

/** How the runners of each definition end. */
const finalStatus = { failing: "failed" };

export class Ledger {
  #name;
  #input;
  next = 0;

  constructor(name, input, from = 0) {
    this.#name = name;
    this.#input = input;
    this.next = from;
  }

  take(items) {
    for (const item of items) this.#takeOne(item);
  }

  /** Items that were read from an offset on, which the reader had reached. */
  takeFrom(offset, items, nextOffset) {
    this.next = offset;
    this.take(items);
    check(this.next === nextOffset, `${items.length} items from ${offset} on, and then ${nextOffset}`, "lost");
  }

  /** The end has been told. */
  end(status, reason = "") {
    const { count } = this.#input;
    const expected = finalStatus[this.#name] ?? "completed";
    check(status === expected, `${this.#name} is ${status} ${reason} at ${this.next} of ${count}`);
    check(this.next === count, `${this.#name} ends after ${this.next} of ${count}`, "lost");
  }

  /** Takes what follows until the end, or until `until` such items are there; returns whether the end has come. */
  async follow(follower, until = Number.POSITIVE_INFINITY) {
    for await (const { items, position, status, closed, abortReason } of follower.updates()) {
      this.take(items);
      check(this.next === position, `after item ${this.next - 1} the position is ${position}`, "lost");
      if (closed) {
        this.end(status, abortReason);
        return true;
      }
      if (this.next >= until) return false;
    }
    throw new Wrong("lost", `${this.#name} ends at ${this.next} without a word`);
  }

  #takeOne(item) {
    const { seed } = this.#input;
    const { i, v, text } = Object(item);
    if (i !== this.next) {
      const kind = i > this.next ? "lost" : "duplicated";
      throw new Wrong(kind, `${this.#name} gives item ${i} where ${this.next} follows`);
    }
    const isRight = v === valueAt(seed, i) && text === (this.#name === "big" ? textAt(seed, i) : undefined);
    check(isRight, `item ${i} of ${this.#name} is another one's: ${JSON.stringify(item).slice(0, 100)}`, "corrupt");
    checked.items++;
    this.next++;
  }
}
