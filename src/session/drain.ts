import { settleWithin } from "../base/async.js";
import type { CleanupSummary } from "../base/dispose.js";
import type { CloseSummary } from "./active-sessions.js";
import type { SessionCore } from "./session-core.js";
import type { GroupCore } from "./session-group.js";

/**
 * Ends all sessions, then the groups: a group lasts as long as a session or a request holds it, and requests are not waited for.
 * Never rejects.
 * @param sessions live, or not cleaned up yet
 * @param groups asked for when the sessions have been cleaned up
 * @param timeout for all of it, in ms
 */
export async function drain(
  sessions: ReadonlySet<SessionCore>,
  groups: () => readonly GroupCore[],
  timeout: number,
): Promise<CloseSummary> {
  const errors: unknown[] = [];
  const unfinished = new Set<{ readonly id: string }>(sessions);
  const waitFor = async (one: { readonly id: string }, cleanup: Promise<CleanupSummary>) => {
    const summary = await cleanup;
    errors.push(...summary.errors);
    if (!summary.timedOut) unfinished.delete(one);
  };
  const endAll = async () => {
    await Promise.all([...sessions].map((session) => waitFor(session, session.end("shutdown"))));
    const left = groups();
    for (const group of left) unfinished.add(group);
    await Promise.all(left.map((group) => waitFor(group, group.end())));
  };
  await settleWithin(endAll(), timeout);
  return { sessions: sessions.size, unfinished: [...unfinished].map(({ id }) => id), errors: [...errors] };
}
