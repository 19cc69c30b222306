// Hammers the Stop button: many stops at once, some removals among them, while it follows. When a stop is answered nothing is made any
// more.
import { check } from "../lib/wrong.mjs";

export const share = 3;

export async function turn(visitor) {
  const { follower, ledger } = await visitor.create("paced", { every: visitor.between(1, 50) });
  const isRemoved = Math.random() < 0.3;
  const followed = followUntilStop(follower, ledger, isRemoved);
  await visitor.pause(visitor.random(1500));
  await Promise.all([followed, hammer(visitor, follower.key, isRemoved)]);
}

async function hammer(visitor, key, isRemoved) {
  const stops = Array.from({ length: visitor.between(2, 12) }, () =>
    visitor.ask(isRemoved ? [200, 410] : 200, `${key}/abort`, { method: "POST" }),
  );
  if (isRemoved) stops.push(visitor.ask([204, 410], key, { method: "DELETE" }));
  await Promise.all(stops);
  if (isRemoved) return void (await visitor.ask(410, `${key}/state`));
  const { progress } = await visitor.client.state(key);
  await visitor.pause(200);
  const later = await visitor.client.state(key);
  check(later.status === "aborted" && later.abortReason === "stopped", `what was stopped is ${later.status}`);
  check(later.progress.current === progress.current, "the work goes on after its stop was answered");
}

async function followUntilStop(follower, ledger, isRemoved) {
  try {
    for await (const { items, position, status, closed } of follower.updates()) {
      ledger.take(items);
      check(ledger.next === position, `the position is ${position} after item ${ledger.next - 1}`, "lost");
      if (closed) check(status === "aborted", `what was stopped ends ${status}`);
    }
  } catch (error) {
    if (!isRemoved || error.code !== "RUNNER_GONE") throw error;
  }
}
