// Reads a page now and then: its work and its session are idle between, for less long than they may be. That the server was frozen
// meanwhile is not its fault.
import { roomy } from "../settings.mjs";

export const share = 3;

const { runnerIdleTimeout } = roomy.options;

export async function turn(visitor) {
  const { key, ledger } = await visitor.createQuietly("kept", { count: 100, every: 100 });
  for (let visits = 3; visits > 0; visits--) {
    await visitor.pause(visitor.between(runnerIdleTimeout / 2, runnerIdleTimeout * 0.75));
    const page = await visitor.client.read(key, { offset: ledger.next, maxItems: 40, signal: visitor.signal });
    ledger.takeFrom(ledger.next, page.items, page.position);
    if (page.closed) return ledger.end(page.status, page.abortReason);
  }
}
