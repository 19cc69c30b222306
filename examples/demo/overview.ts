/** Watches a session's runners. */
import { setTimeout as delay } from "node:timers/promises";
import type { ActiveSession } from "active-session";

/** What the demo puts into `runner.data`; a runner without it is not shown. */
export interface RunnerTitle {
  readonly title: string;
  /** The page that shows it. */
  readonly page: string;
}

/** One runner as the overview shows it. */
export interface RunnerRow extends RunnerTitle {
  readonly key: string;
  readonly kind: "sequence" | "process";
  /** The runner's status; `finished` when the work has ended, but not all of it has been read. */
  readonly status: string;
  readonly current: number;
  readonly estimatedEnd?: number;
  readonly abortReason?: string;
}

const lookEvery = 250;

/** Reports the rows at first, and whenever one of them has changed. Looking is no use of the runners. */
export async function overview(
  session: Pick<ActiveSession, "runners">,
  report: (rows: RunnerRow[]) => void,
  signal: AbortSignal,
): Promise<RunnerRow[]> {
  for (let shown = ""; ; await delay(lookEvery, undefined, { signal })) {
    const rows = await rowsOf(session);
    const text = JSON.stringify(rows);
    if (text !== shown) report(rows);
    shown = text;
  }
}

async function rowsOf(session: Pick<ActiveSession, "runners">): Promise<RunnerRow[]> {
  const rows: RunnerRow[] = [];
  for await (const { key, kind, data, status, progress, isBackgroundCompleted, abortReason } of session.runners()) {
    if (!isTitle(data)) continue;
    const isOver = ["completed", "failed", "aborted"].includes(status);
    rows.push({
      ...{ key, kind, title: data.title, page: data.page, ...progress },
      status: isBackgroundCompleted && !isOver ? "finished" : status,
      ...(abortReason && { abortReason }),
    });
  }
  return rows;
}

/** The key of the newest work of a page that still runs, if there is any. */
export async function runningOn(session: Pick<ActiveSession, "runners">, page: string): Promise<string | undefined> {
  let found: string | undefined;
  for await (const { key, data, isBackgroundCompleted } of session.runners()) {
    if (!isBackgroundCompleted && isTitle(data) && data.page === page) found = key;
  }
  return found;
}

function isTitle(data: unknown): data is RunnerTitle {
  return typeof data === "object" && data !== null && "title" in data && "page" in data;
}
