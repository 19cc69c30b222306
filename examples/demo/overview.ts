/** Watches a session's runners. */
import { setTimeout as delay } from "node:timers/promises";
import type { ActiveSession, Runner } from "active-session";

/** What the demo puts into `runner.data`. */
export interface RunnerTitle {
  readonly title: string;
  /** The page that shows it. */
  readonly page: string;
}

/** One runner as the overview shows it. */
export interface RunnerRow extends RunnerTitle {
  readonly key: string;
  /** How far the work itself is. `paused`: it waits until its results are read. */
  readonly state: "starting" | "running" | "paused" | "completed" | "failed" | "aborted";
  readonly current: number;
  readonly estimatedEnd?: number;
  readonly abortReason?: string;
}

/** What is created by its name, over HTTP, has no data of the demo's. */
const titlesByName: Readonly<Record<string, RunnerTitle>> = { files: { title: "List of files", page: "/files" } };

const lookEvery = 250;

/** Reports the rows at first, and whenever one of them has changed. Looking is no use of the runners. */
export async function overview(
  session: Pick<ActiveSession, "runners">,
  report: (rows: RunnerRow[]) => void,
  signal: AbortSignal,
): Promise<RunnerRow[]> {
  let former: readonly RunnerRow[] = [];
  for (let shown = ""; ; await delay(lookEvery, undefined, { signal })) {
    const rows = await rowsOf(session, former);
    const text = JSON.stringify(rows);
    if (text !== shown) report(rows);
    shown = text;
    former = rows;
  }
}

async function rowsOf(session: Pick<ActiveSession, "runners">, former: readonly RunnerRow[]): Promise<RunnerRow[]> {
  const rows: RunnerRow[] = [];
  for await (const runner of session.runners()) {
    const title = titleOf(runner);
    if (!title) continue;
    const { key, abortReason } = runner;
    const { phase, paused, progress } = await runner.state();
    // Between two acknowledgements work that is read is paused, too, but it comes on.
    const isStuck = paused && former.some((row) => row.key === key && row.current === progress.current);
    rows.push({
      ...{ key, ...title, ...progress, state: isStuck ? "paused" : phase },
      ...(abortReason && { abortReason }),
    });
  }
  return rows;
}

/** The key of the newest work of a page that still runs, if there is any. */
export async function runningOn(session: Pick<ActiveSession, "runners">, page: string): Promise<string | undefined> {
  let found: string | undefined;
  for await (const runner of session.runners()) {
    if (!runner.isBackgroundCompleted && titleOf(runner)?.page === page) found = runner.key;
  }
  return found;
}

function titleOf({ data, definition }: Runner): RunnerTitle | undefined {
  if (typeof data === "object" && data !== null && "title" in data && "page" in data) return data as RunnerTitle;
  return titlesByName[definition?.name ?? ""];
}
